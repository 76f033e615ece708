package dynamodb

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sockudo/caddy-sockudo/storage"
)

// FuzzItem reads items that anybody may have written. What can be read is the same
// after it was written here.
func FuzzItem(f *testing.F) {
	f.Add("id", "key", "s", `{"limits":{"max_connections":"7"}}`, "8", `[{"url":"https://a.example"}]`, "https://a.example", true)
	f.Add("id", "key", "s", "", "-1", "{", "", false)
	f.Add("sockudo:key:k", "sockudo:key:k", "s", "null", "1e3", "", "x", true)
	f.Fuzz(func(t *testing.T, id, key, secret, policy, n, document, origin string, on bool) {
		before := item{
			attributeID: str(id), attributeKey: str(key), attributeSecret: str(secret), attributeEnabled: truth(on),
			attributePolicy: str(policy), "max_connections": number(n), "max_event_batch_size": str(n), "webhooks": str(document),
			"idempotency": str(document), "allowed_origins": list(origin), "annotations_enabled": truth(on),
			"enable_client_messages": truth(on), "decoration": &types.AttributeValueMemberB{Value: []byte(document)},
		}
		app, _, err := appOf(before)
		if err != nil {
			return
		}
		text, err := storage.MarshalPolicy(app)
		if err != nil {
			return // such as namespaces that no store takes
		}
		again, _, err := appOf(itemOf(app, text, before))
		if err != nil {
			t.Fatalf("%q became %q, which cannot be read: %v", policy, text, err)
		}
		first, err := storage.AppVersion(app)
		if err != nil {
			return
		}
		if second, err := storage.AppVersion(again); err != nil || first != second {
			t.Errorf("%q became %q: version %s is %s, %v", policy, text, first, second, err)
		}
	})
}
