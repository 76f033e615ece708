package dynamodb

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sockudo/caddy-sockudo/storage"
)

// item is what the table has under one id.
type item = map[string]types.AttributeValue

// The attributes of an app, as Sockudo has them, and the one that only guards have:
// the id of the app whose key is guarded.
const (
	attributeID      = "id"
	attributeKey     = "key"
	attributeSecret  = "secret"
	attributeEnabled = "enabled"
	attributePolicy  = "policy"
	attributeOwner   = "app_of_key"
)

// flat are the attributes that Sockudo wrote before there was a policy. true says
// that the value is JSON in a text.
var flat = map[string]bool{
	"max_connections": false, "max_backend_events_per_second": false, "max_client_events_per_second": false,
	"max_read_requests_per_second": false, "max_presence_members_per_channel": false,
	"max_presence_member_size_in_kb": false, "max_channel_name_length": false, "max_event_channels_at_once": false,
	"max_event_name_length": false, "max_event_payload_in_kb": false, "max_event_batch_size": false,
	"enable_client_messages": false, "enable_user_authentication": false, "enable_watchlist_events": false,
	"allowed_origins": false, "annotations_enabled": false,
	"channel_delta_compression": true, "webhooks": true, "idempotency": true, "connection_recovery": true,
}

// guardPrefix begins the id of a guard. No app gets such an id.
const guardPrefix = "sockudo:key:"

func guardID(key string) string { return guardPrefix + key }

// owner is the id of the app that a guard is for. It is empty for what is no guard.
func owner(i item) string {
	if !strings.HasPrefix(stringOf(i, attributeID), guardPrefix) {
		return ""
	}
	return stringOf(i, attributeOwner)
}

// guardOf is the guard of an app's key. The first attributes make it a disabled app
// for those who know no guards, with a secret that nobody knows.
func guardOf(app *storage.App, secret string) item {
	return item{
		attributeID: str(guardID(app.Key)), attributeKey: str(guardID(app.Key)), attributeSecret: str(secret),
		attributeEnabled: &types.AttributeValueMemberBOOL{}, attributeOwner: str(app.ID),
	}
}

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

// stringOf is an attribute that is a string, or empty.
func stringOf(i item, name string) string {
	if s, ok := i[name].(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

// itemOf is the item of an app. What others have written into the one before, and
// what is none of Sockudo's, stays.
func itemOf(app *storage.App, policy []byte, before item) item {
	i := maps.Clone(before)
	if i == nil {
		i = item{}
	}
	for name := range flat {
		delete(i, name)
	}
	i[attributeID], i[attributeKey], i[attributeSecret] = str(app.ID), str(app.Key), str(app.Secret)
	i[attributeEnabled] = &types.AttributeValueMemberBOOL{Value: app.Enabled}
	i[attributePolicy] = str(string(policy))
	return i
}

// appOf is an item as an app: by its policy or, in one that Sockudo has written
// before there was one, by the flat attributes. A broken one has its id and key.
func appOf(i item) (app *storage.App, ignored []string, err error) {
	app = &storage.App{ID: stringOf(i, attributeID), Key: stringOf(i, attributeKey), Secret: stringOf(i, attributeSecret), Enabled: true}
	for _, name := range []string{attributeKey, attributeSecret} {
		if stringOf(i, name) == "" {
			return app, nil, fmt.Errorf("attribute %s is missing or no text", name)
		}
	}
	switch enabled := i[attributeEnabled].(type) {
	case nil:
	case *types.AttributeValueMemberBOOL:
		app.Enabled = enabled.Value
	default:
		return app, nil, fmt.Errorf("attribute %s is neither true nor false", attributeEnabled)
	}
	var policy []byte
	switch p := i[attributePolicy].(type) {
	case nil, *types.AttributeValueMemberNULL:
	case *types.AttributeValueMemberS:
		policy = []byte(p.Value)
	default:
		return app, nil, fmt.Errorf("attribute %s is no text", attributePolicy)
	}
	if len(policy) == 0 || string(policy) == "null" {
		if policy, err = flatPolicy(i); err != nil {
			return app, nil, err
		}
	}
	ignored, err = storage.UnmarshalPolicy(policy, app)
	return app, ignored, err
}

// flatPolicy is the policy that the flat attributes make.
func flatPolicy(i item) ([]byte, error) {
	members := map[string]json.RawMessage{}
	for name, isJSON := range flat {
		value, ok := i[name]
		if !ok {
			continue
		}
		if s, ok := value.(*types.AttributeValueMemberS); ok && isJSON {
			if s.Value != "" && !json.Valid([]byte(s.Value)) {
				return nil, fmt.Errorf("attribute %s is no JSON", name)
			}
			members[name] = json.RawMessage(s.Value)
			continue
		}
		plain, err := plainOf(value)
		if err != nil {
			return nil, fmt.Errorf("attribute %s: %w", name, err)
		}
		if members[name], err = json.Marshal(plain); err != nil {
			return nil, fmt.Errorf("attribute %s: %w", name, err)
		}
	}
	return storage.PolicyOfFlat(members)
}

// plainOf is a value as JSON has it.
func plainOf(value types.AttributeValue) (any, error) {
	switch v := value.(type) {
	case *types.AttributeValueMemberS:
		return v.Value, nil
	case *types.AttributeValueMemberN:
		return json.Number(v.Value), nil
	case *types.AttributeValueMemberBOOL:
		return v.Value, nil
	case *types.AttributeValueMemberNULL:
		return nil, nil
	case *types.AttributeValueMemberSS:
		return v.Value, nil
	case *types.AttributeValueMemberL:
		list := make([]any, len(v.Value))
		for n, element := range v.Value {
			var err error
			if list[n], err = plainOf(element); err != nil {
				return nil, err
			}
		}
		return list, nil
	}
	return nil, fmt.Errorf("a %T is no setting of an app", value)
}
