package webhooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

// authorization is the header of Signature Version 4.
var authorization = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/lambda/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$`)

// verifyV4 computes the signature of a request anew, as AWS documents it.
func verifyV4(r *http.Request, body []byte, secret string) bool {
	m := authorization.FindStringSubmatch(r.Header.Get("Authorization"))
	if m == nil {
		return false
	}
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return hex.EncodeToString(sum[:])
	}
	mac := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	var headers strings.Builder
	for name := range strings.SplitSeq(m[4], ";") {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = strconv.Itoa(len(body))
		}
		headers.WriteString(name + ":" + strings.TrimSpace(value) + "\n")
	}
	canonical := strings.Join([]string{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, headers.String(), m[4], hash(string(body))}, "\n")
	scope := m[2] + "/" + m[3] + "/lambda/aws4_request"
	text := strings.Join([]string{"AWS4-HMAC-SHA256", r.Header.Get("X-Amz-Date"), scope, hash(canonical)}, "\n")
	key := mac(mac(mac(mac([]byte("AWS4"+secret), m[2]), m[3]), "lambda"), "aws4_request")
	return hex.EncodeToString(mac(key, text)) == m[5]
}

// A stand-in for AWS Lambda checks what real AWS does: path, kind of invocation and
// signature.
func TestLambda(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "canary-aws")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	var code atomic.Int64
	var calls atomic.Int64
	code.Store(http.StatusAccepted)
	got := make(chan []byte, 10)
	aws := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.URL.Path != "/2015-03-31/functions/fn/invocations" || r.Header.Get("X-Amz-Invocation-Type") != "Event":
			w.WriteHeader(http.StatusNotFound)
		case !verifyV4(r, body, "canary-aws"):
			w.WriteHeader(http.StatusForbidden)
		default:
			w.WriteHeader(int(code.Load()))
			got <- body
		}
	}))
	defer aws.Close()
	g := newRig(t, Settings{LambdaEndpoint: aws.URL}, storage.Webhook{Lambda: &storage.Lambda{FunctionName: "fn", Region: "eu-west-1"}, EventTypes: []string{"channel_occupied"}})
	event := occupied("a")
	event.TimeMS = 5
	g.tell(t, event)
	g.drained(t)
	select {
	case body := <-got:
		if string(body) != `{"time_ms":5,"events":[{"name":"channel_occupied","channel":"a","event_id":"id-a"}]}` {
			t.Errorf("the payload is %s", body)
		}
	default:
		t.Fatalf("AWS has not accepted the invocation; it was called %d times", calls.Load())
	}
	code.Store(http.StatusTooManyRequests)
	before := calls.Load()
	g.tell(t, occupied("b"))
	if l := g.dead(t, 1)[0]; l.Reason != "AWS Lambda has answered 429" || calls.Load() != before+1 {
		t.Errorf("the dead letter says %q after %d calls", l.Reason, calls.Load()-before)
	}
	for _, entry := range g.logs.All() {
		if strings.Contains(entry.Message, "canary") {
			t.Error("the log shows the secret")
		}
	}
}
