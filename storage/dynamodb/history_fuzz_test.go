package dynamodb

import (
	"fmt"
	"maps"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sockudo/caddy-sockudo/storage"
)

// FuzzHistoryItems reads items that anybody may have written. What can be read is the
// same after it was written here.
func FuzzHistoryItems(f *testing.F) {
	f.Add([]byte("\x03appchannel"), "id", []byte("i\x02ide\x00\x00\x00\x00\x00\x00\x00\x01"), "1", "2", "-3", []byte("subject"), []byte("payload"), true)
	f.Add([]byte("\xff"), "", []byte("i\x02ids\x01x\x00\x00\x00\x00\x00\x00\x00\x01"), "1", "18446744073709551615", "9223372036854775807", []byte{}, []byte{}, false)
	f.Add([]byte{}, "i\x00", []byte{}, "1e3", "", "x", []byte{0xff}, []byte("p"), true)
	f.Fuzz(func(t *testing.T, log []byte, stream string, name []byte, size, n, at string, text, payload []byte, isRow bool) {
		if key, err := keyOf(log); err == nil {
			if again, err := keyOf(logOf(key)); err != nil || again != key {
				t.Errorf("%q became %v, %v", key, again, err)
			}
		}
		s := itemsOf(storage.LogKey{Channel: "c"}, stream)
		i := item{
			attributeLog: bin(log), attributeItem: bin(name), attributeRow: number(n), attributeTotal: number(n), attributeSerial: number(n),
			attributeFirst: number(n), attributeFirstAt: number(at), attributeKeep: number(at), attributeStream: bin([]byte(stream)),
			attributeAt: number(at), attributeSize: number(size), attributeSubject: bin(text), attributeOnce: bin(text),
			attributePayload: bin(payload), attributeIsRow: truth(isRow), attributeGone: &types.AttributeValueMemberBS{Value: [][]byte{text}},
			attributeState: bin(text), attributeReason: str(at), attributeSince: number(at),
		}
		for attribute := range i { // each may be missing, or of another kind
			odd := maps.Clone(i)
			delete(odd, attribute)
			_, _ = s.entryOf(odd, false)
			_, _ = headOf(odd)
			odd[attribute] = list("x")
			_, _ = s.entryOf(odd, true)
			_, _ = headOf(odd)
		}
		if head, err := headOf(i); err == nil {
			if due, ever := head.due(); ever && due < head.firstAt {
				t.Errorf("due at %d, before %d", due, head.firstAt)
			}
		}
		e, err := s.entryOf(i, false)
		if err != nil {
			return
		}
		again, err := s.entryOf(s.entryItemOf(&e, e.Payload), false)
		if err != nil || fmt.Sprintf("%#v", again) != fmt.Sprintf("%#v", e) {
			t.Errorf("%#v became %#v, %v", e, again, err)
		}
	})
}
