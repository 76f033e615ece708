package dynamodb

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sockudo/caddy-sockudo/storage"
)

func TestHistoryTableIsMadeOnce(t *testing.T) {
	g, o := newGate(t), newTable(t)
	o.Endpoint = g.url
	fill(t, openHistory(t, o), 2)
	if !slices.Contains(g.operations(), "CreateTable") {
		t.Error("the table was not made")
	}
	g.let(nil)
	again := openHistory(t, o)
	if asked := g.operations(); !slices.Equal(asked, []string{"DescribeTable"}) {
		t.Errorf("a second start asked for %v, want the table's description only", asked)
	}
	shows(t, again, 1, 2)
	if err := again.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// A table that is there and is not of histories is left as it is.
func TestHistoryRefusesOtherTables(t *testing.T) {
	apps := newTable(t)
	open(t, apps)
	if _, err := OpenHistory(t.Context(), apps); err == nil || !strings.Contains(err.Error(), apps.place()+": the table is another one: its key is not log and item") {
		t.Errorf("the table of apps: %v", err)
	}
	for want, change := range map[string]func(*types.TableDescription){
		"its key is not log and item, both binary": func(d *types.TableDescription) { d.AttributeDefinitions[0].AttributeType = types.ScalarAttributeTypeS },
		"has no index DueIndex of bucket and due":  func(d *types.TableDescription) { d.GlobalSecondaryIndexes = nil },
		"index DueIndex is not of bucket and due":  func(d *types.TableDescription) { d.GlobalSecondaryIndexes[0].KeySchema = keys("due", "bucket") },
		"the table is DELETING":                    func(d *types.TableDescription) { d.TableStatus = types.TableStatusDeleting },
		"its key is not log and item":              func(d *types.TableDescription) { d.KeySchema = keys("item", "log") },
		"":                                         func(d *types.TableDescription) { d.GlobalSecondaryIndexes[0].IndexStatus = types.IndexStatusUpdating },
		"not yet":                                  func(d *types.TableDescription) { d.TableStatus = types.TableStatusCreating },
		"not yet either":                           func(d *types.TableDescription) { d.GlobalSecondaryIndexes[0].IndexStatus = types.IndexStatusCreating },
	} {
		made := createLogs()
		d := &types.TableDescription{
			TableStatus: types.TableStatusActive, KeySchema: made.KeySchema, AttributeDefinitions: made.AttributeDefinitions,
			GlobalSecondaryIndexes: []types.GlobalSecondaryIndexDescription{{
				IndexName: aws.String(dueIndex), KeySchema: made.GlobalSecondaryIndexes[0].KeySchema, IndexStatus: types.IndexStatusActive,
			}},
		}
		change(d)
		ready, err := usableForLogs(d)
		if strings.HasPrefix(want, "not yet") {
			if ready || err != nil {
				t.Errorf("%s: %v, %v", want, ready, err)
			}
		} else if want == "" && (!ready || err != nil) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, %v", want, ready, err)
		}
	}
}

// What somebody has broken is said, and is not taken for anything else.
func TestHistoryBrokenItems(t *testing.T) {
	h := openHistory(t, newTable(t))
	fill(t, h, 2)
	s := itemsOf(room, "id")
	breaking := func(name []byte, attribute string) {
		t.Helper()
		u := newUpdate()
		u.set(attribute, &types.AttributeValueMemberBOOL{Value: true})
		u.was(attributeLog, bin(s.log))
		if _, err := h.client.UpdateItem(t.Context(), u.input(h.table, at(s.log, name))); err != nil {
			t.Fatal(err)
		}
	}
	says := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), h.place+": ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	breaking(s.entry(1), attributeTotal)
	_, err := h.Read(t.Context(), room, "id", storage.LogQuery{Limit: 1})
	says(err, "an entry is broken: attribute total is missing or of another kind")
	breaking(s.once("o2"), attributeSerial)
	a := &storage.LogAppend{Key: room, Fresh: "id", Once: "o2"}
	h.Append(t.Context(), []*storage.LogAppend{a})
	says(a.Err, "the guard of an entry is broken: attribute serial")
	breaking(s.newest("s1"), attributeSerial)
	_, err = h.Latest(t.Context(), room, "id", []string{"s1"})
	says(err, "the guard of a subject is broken: attribute serial")
	breaking(headItem, attributeFirst)
	_, err = h.Head(t.Context(), room)
	says(err, "the head of a log is broken: attribute first")
}
