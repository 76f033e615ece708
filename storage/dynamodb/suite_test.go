package dynamodb

import (
	"cmp"
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/outage"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

// local is where scripts/setup starts DynamoDB Local.
const local = "http://127.0.0.1:28002"

func endpoint() string { return cmp.Or(os.Getenv("TEST_DYNAMODB_ENDPOINT"), local) }

// engine names what answers.
func engine(t *testing.T) {
	t.Helper()
	if endpoint() == local {
		storagetest.Engine(t, "dynamodb: DynamoDB Local 1.25.1")
		return
	}
	storagetest.Engine(t, "dynamodb: "+endpoint())
}

// newTable are options for a table of the test's own, which is not there yet.
func newTable(t *testing.T) Options {
	t.Helper()
	o := Options{
		Table: "apps-" + strings.ToLower(rand.Text()[:10]), Endpoint: endpoint(),
		AccessKeyID: "test", SecretAccessKey: "hush" + rand.Text(),
	}
	t.Cleanup(func() {
		client, connections, err := o.withDefaults().connect(context.Background())
		if err != nil {
			t.Error(err)
			return
		}
		defer connections.CloseIdleConnections()
		if _, err := client.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: &o.Table}); err != nil && !strings.Contains(err.Error(), "ResourceNotFound") {
			t.Error(err)
		}
	})
	return o
}

func open(t *testing.T, o Options) *AppManager {
	t.Helper()
	return openLogged(t, o, nil)
}

func openLogged(t *testing.T, o Options, log *zap.Logger) *AppManager {
	t.Helper()
	m, err := OpenAppManager(context.Background(), o, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func put(t *testing.T, m *AppManager, apps ...*storage.App) {
	t.Helper()
	for _, app := range apps {
		if err := m.PutApp(t.Context(), app, storage.AnyVersion); err != nil {
			t.Fatal(err)
		}
	}
}

func openHistory(t *testing.T, o Options) *History {
	t.Helper()
	h, err := OpenHistory(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// write puts an item as it is, as Sockudo does.
func write(t *testing.T, m *AppManager, i item) {
	t.Helper()
	if _, err := m.client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &m.table, Item: i}); err != nil {
		t.Fatal(err)
	}
}

// remove removes an item, as Sockudo does.
func remove(t *testing.T, m *AppManager, id string) {
	t.Helper()
	if _, err := m.client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &m.table, Key: item{attributeID: str(id)}}); err != nil {
		t.Fatal(err)
	}
}

// Checklist: configuration 30, 31, 32
func TestAppManagerSuite(t *testing.T) {
	engine(t)
	storagetest.TestAppEditor(t, func(t *testing.T, apps []*storage.App) storage.AppManager {
		m := open(t, newTable(t))
		put(t, m, apps...)
		return m
	})
}

// Checklist: configuration 41
func TestAppManagerOutage(t *testing.T) {
	engine(t)
	u, err := url.Parse(endpoint())
	if err != nil {
		t.Fatal(err)
	}
	storagetest.TestAppOutage(t, u.Host, func(t *testing.T, proxy *outage.Proxy, apps []*storage.App) storage.AppManager {
		o := newTable(t)
		o.Endpoint = u.Scheme + "://" + proxy.Addr()
		m := open(t, o)
		put(t, m, apps...)
		return m
	})
}

func TestHistorySuite(t *testing.T) {
	engine(t)
	o := newTable(t)
	storagetest.TestHistory(t, func(t *testing.T) (here, there storage.History) {
		return openHistory(t, o), openHistory(t, o)
	})
}

func TestPushStoreSuite(t *testing.T) {
	engine(t)
	o := newTable(t)
	storagetest.TestPushStore(t, func(t *testing.T) (here, there storage.PushStore) {
		return openPush(t, o), openPush(t, o)
	})
}

func TestPushStoreReopens(t *testing.T) {
	engine(t)
	o := newTable(t)
	storagetest.TestPushStoreReopens(t, func(t *testing.T) storage.PushStore { return openPush(t, o) })
}
