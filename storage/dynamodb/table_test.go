package dynamodb

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Checklist: configuration 35
func TestTableIsMadeOnce(t *testing.T) {
	g, o := newGate(t), newTable(t)
	o.Endpoint = g.url
	m := open(t, o)
	if !slices.Contains(g.operations(), "CreateTable") {
		t.Error("the table was not made")
	}
	table, err := m.describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	index := table.GlobalSecondaryIndexes[0]
	if len(table.KeySchema) != 1 || text(table.KeySchema[0].AttributeName) != "id" || len(table.GlobalSecondaryIndexes) != 1 ||
		text(index.IndexName) != "KeyIndex" || text(index.KeySchema[0].AttributeName) != "key" || index.Projection.ProjectionType != types.ProjectionTypeAll {
		t.Errorf("the table is %+v", table)
	}
	put(t, m, app("a", "k"))
	g.let(nil)
	again := open(t, o)
	if asked := g.operations(); !slices.Equal(asked, []string{"DescribeTable"}) {
		t.Errorf("a second start asked for %v, want the table's description only", asked)
	}
	knows(t, again, "k", "a")
	if err := again.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if asked := g.operations(); slices.Contains(asked, "ListTables") {
		t.Errorf("a check asks for %v", asked)
	}
	if _, err := m.client.DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: &m.table}); err != nil {
		t.Fatal(err)
	}
	if err := again.Check(t.Context()); err == nil || !strings.Contains(err.Error(), again.place+": the table is gone") {
		t.Errorf("a check without a table: %v", err)
	}
	if _, err := again.AppByKey(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), "ResourceNotFoundException") {
		t.Errorf("a lookup without a table: %v", err)
	}
}

func TestManyNodesMakeTheTable(t *testing.T) {
	o := newTable(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			m, err := OpenAppManager(t.Context(), o, nil)
			if err != nil {
				t.Error(err)
				return
			}
			_ = m.Close()
		})
	}
	group.Wait()
}

// Checklist: configuration 36
func TestOddTableNameIsRefused(t *testing.T) {
	g := newGate(t)
	for _, table := range []string{"ab", `a"; x`, "a b c", "tables/apps", "arn:aws:dynamodb:us-east-1:1:table/apps", "ключи", strings.Repeat("a", 256)} {
		_, err := OpenAppManager(t.Context(), Options{Table: table, Endpoint: g.url}, nil)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("table_name %q", table)) {
			t.Errorf("table %q: %v", table, err)
		}
	}
	if asked := g.operations(); len(asked) > 0 {
		t.Errorf("the service was asked for %v", asked)
	}
	o := newTable(t)
	o.Table = "Apps_1.a-b." + o.Table
	o2 := o
	t.Cleanup(func() {
		m, err := OpenAppManager(context.Background(), o2, nil)
		if err == nil {
			_, err = m.client.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: &o2.Table})
			_ = m.Close()
		}
		if err != nil {
			t.Error(err)
		}
	})
	put(t, open(t, o), app("a", "k"))
}

// A table that is there and is not of apps is left as it is.
func TestOtherTablesAreRefused(t *testing.T) {
	hash := func(name string) []types.KeySchemaElement {
		return []types.KeySchemaElement{{AttributeName: &name, KeyType: types.KeyTypeHash}}
	}
	index := func(name, key string) []types.GlobalSecondaryIndex {
		return []types.GlobalSecondaryIndex{{IndexName: &name, KeySchema: hash(key), Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly}}}
	}
	for name, c := range map[string]struct {
		schema  []types.KeySchemaElement
		indexes []types.GlobalSecondaryIndex
		want    string
	}{
		"another key":      {hash("key"), index(keyIndex, "id"), "its key is not id alone"},
		"a longer key":     {append(hash("id"), types.KeySchemaElement{AttributeName: aws.String("key"), KeyType: types.KeyTypeRange}), index(keyIndex, "key"), "its key is not id alone"},
		"no index":         {hash("id"), index("OtherIndex", "key"), "has no index KeyIndex"},
		"another index":    {hash("id"), index(keyIndex, "id"), "its index KeyIndex is not of key"},
		"ids in the index": {hash("id"), index(keyIndex, "key"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := newTable(t).withDefaults()
			client, connections, err := o.connect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer connections.CloseIdleConnections()
			definitions := []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS}}
			if name != "another index" {
				definitions = append(definitions, types.AttributeDefinition{AttributeName: aws.String("key"), AttributeType: types.ScalarAttributeTypeS})
			}
			if _, err := client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
				TableName: &o.Table, BillingMode: types.BillingModePayPerRequest, KeySchema: c.schema,
				AttributeDefinitions: definitions, GlobalSecondaryIndexes: c.indexes,
			}); err != nil {
				t.Fatal(err)
			}
			m, err := OpenAppManager(t.Context(), o, nil)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), o.place()) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = m.Close() }()
			write(t, m, rowOf("a", "k", `{}`))
			knows(t, m, "k", "a")
		})
	}
}

// status makes the table look as if it were in another state.
func status(w http.ResponseWriter, pass func() *answer, state types.TableStatus) bool {
	a := pass()
	a.body = []byte(strings.Replace(string(a.body), `"TableStatus":"ACTIVE"`, `"TableStatus":"`+string(state)+`"`, 1))
	header := a.header.Clone()
	header.Del("Content-Length")
	header.Del("X-Amz-Crc32")
	(&answer{a.status, header, a.body}).send(w)
	return true
}

func TestOpenWaitsForTheTable(t *testing.T) {
	g, o := newGate(t), newTable(t)
	o.Endpoint = g.url
	put(t, open(t, o), app("a", "k"))
	var mu sync.Mutex
	described := 0
	g.let(func(operation string, w http.ResponseWriter, _ *http.Request, pass func() *answer) bool {
		mu.Lock()
		defer mu.Unlock()
		if operation != "DescribeTable" || described == 3 {
			return false
		}
		described++
		return status(w, pass, types.TableStatusCreating)
	})
	knows(t, open(t, o), "k", "a")
	if described != 3 {
		t.Errorf("the table was described %d times before it was used, want 3", described)
	}

	state := types.TableStatusCreating
	g.let(func(operation string, w http.ResponseWriter, _ *http.Request, pass func() *answer) bool {
		return operation == "DescribeTable" && status(w, pass, state)
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := OpenAppManager(ctx, o, nil); err == nil || !strings.Contains(err.Error(), o.place()+": the table is CREATING and cannot be used yet") {
		t.Errorf("a table that is never made: %v", err)
	}
	state = types.TableStatusDeleting
	if _, err := OpenAppManager(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), "the table is DELETING") {
		t.Errorf("a table that is deleted: %v", err)
	}
}
