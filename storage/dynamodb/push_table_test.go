package dynamodb

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sockudo/caddy-sockudo/storage"
)

// A table that is there is not made again, and one that is of something else is left as it
// is.
func TestPushStoreTable(t *testing.T) {
	g, o := newGate(t), newTable(t)
	openPush(t, o)
	o.Endpoint = g.url
	s := openPush(t, o)
	if asked := g.operations(); !slices.Equal(asked, []string{"DescribeTable"}) {
		t.Errorf("a second start asked for %v, want the table's description only", asked)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := OpenHistory(t.Context(), o); err == nil || !strings.Contains(err.Error(), "the table is another one: its key is not log and item") {
		t.Errorf("as a table of histories: %v", err)
	}
	for want, change := range map[string]func(*types.TableDescription){
		"its key is not table and record, both binary": func(d *types.TableDescription) { d.AttributeDefinitions[0].AttributeType = types.ScalarAttributeTypeS },
		"has no index QueueIndex of queue":             func(d *types.TableDescription) { d.GlobalSecondaryIndexes = nil },
		"index QueueIndex is not of queue":             func(d *types.TableDescription) { d.GlobalSecondaryIndexes[0].KeySchema = keys("due", "queue") },
		"QueueIndex is not of queue, which is binary":  func(d *types.TableDescription) { d.AttributeDefinitions[2].AttributeType = types.ScalarAttributeTypeN },
		"the table is DELETING":                        func(d *types.TableDescription) { d.TableStatus = types.TableStatusDeleting },
		"its key is not table and record":              func(d *types.TableDescription) { d.KeySchema = keys("record", "table") },
		"":                                             func(d *types.TableDescription) { d.GlobalSecondaryIndexes[0].IndexStatus = types.IndexStatusUpdating },
		"not yet":                                      func(d *types.TableDescription) { d.TableStatus = types.TableStatusCreating },
		"not yet either":                               func(d *types.TableDescription) { d.GlobalSecondaryIndexes[0].IndexStatus = types.IndexStatusCreating },
	} {
		made := createPush()
		d := &types.TableDescription{
			TableStatus: types.TableStatusActive, KeySchema: made.KeySchema, AttributeDefinitions: made.AttributeDefinitions,
			GlobalSecondaryIndexes: []types.GlobalSecondaryIndexDescription{{
				IndexName: aws.String(queueIndex), KeySchema: made.GlobalSecondaryIndexes[0].KeySchema, IndexStatus: types.IndexStatusActive,
			}},
		}
		change(d)
		ready, err := usableForPush(d)
		if strings.HasPrefix(want, "not yet") {
			if ready || err != nil {
				t.Errorf("%s: %v, %v", want, ready, err)
			}
		} else if want == "" && (!ready || err != nil) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, %v", want, ready, err)
		}
	}
}

// The index may show records as they were, or at two places. The records have the last
// word, and what is behind them is found.
func TestPushStoreIndexLags(t *testing.T) {
	g, through, direct := pushBehindGate(t)
	var all []storage.PushChange
	for i := range 60 {
		c := pushPut(device(fmt.Sprint(i)), "")
		c.Due = int64(i + 1)
		all = append(all, c)
	}
	apply(t, direct, all...)
	var stale []*answer
	g.let(func(operation string, w http.ResponseWriter, _ *http.Request, pass func() *answer) bool {
		if operation == "Query" {
			g.mu.Lock()
			defer g.mu.Unlock()
			stale = append(stale, pass())
		}
		return false
	})
	if due, err := through.Due(t.Context(), "devices", 100, 100); err != nil || len(due) != len(all) || len(stale) != pushQueues {
		t.Fatalf("%d are due, %v, after %d queries", len(due), err, len(stale))
	}
	later := all[0]
	later.Due = 1000
	apply(t, direct, later, storage.PushChange{Op: storage.PushDelete, Key: all[1].Key}, pushPut(all[2].Key, "never"))
	for limit := 1; limit <= len(all); limit += 7 {
		due, err := through.Due(t.Context(), "devices", 100, limit)
		if err != nil || len(due) != min(limit, len(all)-3) {
			t.Fatalf("%d of %d, %v", len(due), limit, err)
		}
		for i, r := range due {
			if r.Key != all[i+3].Key {
				t.Fatalf("record %d of %d is %s", i, limit, r.Key.Name)
			}
		}
	}
	first := true
	g.let(func(operation string, w http.ResponseWriter, _ *http.Request, pass func() *answer) bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		if operation != "Query" || !first {
			return false
		}
		first = false
		changed(t, pass(), func(body map[string]any) {
			items, _ := body["Items"].([]any)
			body["Items"] = append(items, items...)
		}).send(w)
		return true
	})
	if due, err := through.Due(t.Context(), "devices", 100, 100); err != nil || len(due) != len(all)-3 {
		t.Errorf("%d are due, %v", len(due), err)
	}
	g.let(func(operation string, w http.ResponseWriter, _ *http.Request, _ func() *answer) bool {
		if operation != "Query" {
			return false
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		stale[0].send(w) // all four queues look like the first one did
		return true
	})
	if due, err := through.Due(t.Context(), "devices", 100, 100); err != nil || len(due) == 0 || len(due) > len(all)-3 {
		t.Errorf("%d are due, %v", len(due), err)
	}
}

// What somebody has broken is said, and is not taken for anything else.
func TestPushStoreBrokenItems(t *testing.T) {
	s := openPush(t, newTable(t))
	for _, attribute := range []string{attributeVersion, attributeValue, countAttribute(0)} {
		apply(t, s, pushOne(device("a")))
		place, _ := placeOf(&storage.PushKey{App: "app", Table: "devices", Group: "g", Name: "a"})
		u := newUpdate()
		u.set(attribute, &types.AttributeValueMemberBOOL{Value: true})
		u.was(attributeTable, place[attributeTable])
		if _, err := s.client.UpdateItem(t.Context(), u.input(s.table, place)); err != nil {
			t.Fatal(err)
		}
		_, one := s.Get(t.Context(), device("a"))
		_, other := s.List(t.Context(), storage.PushQuery{App: "app", Table: "devices", Limit: 5})
		for _, err := range []error{one, other} {
			if want := s.place + `: a record of "devices" is broken: attribute ` + attribute + " is missing or of another kind"; err == nil || err.Error() != want {
				t.Errorf("%v, want %q", err, want)
			}
		}
		apply(t, s, storage.PushChange{Op: storage.PushDelete, Key: device("a")})
	}
}

// FuzzPushItems reads items that anybody may have written. What can be read is the same
// after it was written here.
func FuzzPushItems(f *testing.F) {
	f.Add([]byte("\x03app\x07devices"), []byte("gr\x00\xffup\x00\x01name"), "7", "-1")
	f.Add(append([]byte("\x01a\x01t"), make([]byte, maxRecord)...), []byte("\x00\x01n"), "1", "9223372036854775808")
	f.Add([]byte("\xff\xff"), []byte{0, 2}, "x", "")
	f.Fuzz(func(t *testing.T, table, record []byte, n, count string) {
		i := recordAt(table, record)
		i[attributeVersion], i[attributeDue], i[attributeValue], i[countAttribute(3)] = number(n), number(count), bin(record), number(count)
		for attribute := range i { // each may be missing, or of another kind
			odd := maps.Clone(i)
			delete(odd, attribute)
			_, _ = recordOf(odd)
			odd[attribute] = list("x")
			_, _ = recordOf(odd)
		}
		key, err := pushKeyOf(table, record)
		if err != nil {
			return
		}
		place, _ := placeOf(&key)
		again, err := pushKeyOf(keyPart(place, attributeTable), keyPart(place, attributeRecord))
		if err != nil || again != key {
			t.Errorf("%+v became %+v, %v", key, again, err)
		}
	})
}
