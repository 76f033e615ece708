package dynamodb

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

// AppManager keeps apps in a table of DynamoDB.
type AppManager struct {
	*link
	storage.AppNotes
}

// OpenAppManager finds the table, or makes it if there is none, and waits until it
// can be used, at most for OpenTimeout. The logger may be nil.
func OpenAppManager(ctx context.Context, o Options, log *zap.Logger) (*AppManager, error) {
	o = o.withDefaults()
	l, err := o.open(ctx, "app manager", appTable)
	if err != nil {
		return nil, err
	}
	return &AppManager{link: l, AppNotes: storage.AppNotes{Store: o.place(), Log: log}}, nil
}

// AppByID finds an app by its id.
func (m *AppManager) AppByID(ctx context.Context, id string) (*storage.App, error) {
	ctx, done, err := m.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	var i item
	if storage.CanBeStored(id) {
		if i, err = m.get(ctx, id); err != nil {
			return nil, m.fail(ctx, err)
		}
	}
	if i == nil || owner(i) != "" {
		return nil, fmt.Errorf("app with id %q: %w", id, storage.ErrNotFound)
	}
	return m.read(i)
}

// AppByKey finds an app by its public key.
func (m *AppManager) AppByKey(ctx context.Context, key string) (*storage.App, error) {
	ctx, done, err := m.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	var i item
	if storage.CanBeStored(key) {
		var guard item
		if guard, err = m.get(ctx, guardID(key)); err == nil {
			i, err = m.holder(ctx, key, guard, "")
		}
		if err != nil {
			return nil, m.fail(ctx, err)
		}
	}
	if i == nil {
		return nil, fmt.Errorf("app with key %q: %w", key, storage.ErrNotFound)
	}
	return m.read(i)
}

// holder is the item of an app that has a key and is not the one to leave out, nil
// if there is none: the app that the guard names, or else one that the index knows.
// Either may be out of date, so the item itself has the last word. If the guard was
// right when it was read and its app has another key by now, then nobody had the key
// in between.
func (m *AppManager) holder(ctx context.Context, key string, guard item, except string) (item, error) {
	first := owner(guard)
	if first != "" && first != except {
		if i, err := m.get(ctx, first); err != nil || holds(i, key) {
			return i, err
		}
	}
	ids, err := m.indexed(ctx, key)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if id == first || id == except {
			continue
		}
		if i, err := m.get(ctx, id); err != nil || holds(i, key) {
			return i, err
		}
	}
	return nil, nil
}

// holds reports whether an item is that of an app with a key.
func holds(i item, key string) bool {
	return i != nil && owner(i) == "" && stringOf(i, attributeKey) == key
}

// get is the item with an id as it is now, nil if there is none.
func (m *AppManager) get(ctx context.Context, id string) (item, error) {
	out, err := m.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &m.table, Key: item{attributeID: str(id)}, ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil, err
	}
	return out.Item, nil
}

// indexed are the ids of the items that had a key a moment ago.
func (m *AppManager) indexed(ctx context.Context, key string) (ids []string, err error) {
	var from item
	for {
		out, err := m.client.Query(ctx, &dynamodb.QueryInput{
			TableName: &m.table, IndexName: aws.String(keyIndex), ExclusiveStartKey: from,
			KeyConditionExpression: aws.String("#key = :key"), ProjectionExpression: aws.String("#id"),
			ExpressionAttributeNames:  map[string]string{"#key": attributeKey, "#id": attributeID},
			ExpressionAttributeValues: item{":key": str(key)},
		})
		if err != nil {
			return nil, err
		}
		for _, i := range out.Items {
			ids = append(ids, stringOf(i, attributeID))
		}
		if from = out.LastEvaluatedKey; from == nil {
			slices.Sort(ids)
			return ids, nil
		}
	}
}

// read makes an app of its item, and notes what is odd about it.
func (m *AppManager) read(i item) (*storage.App, error) {
	app, ignored, broken := appOf(i)
	m.Note(app.ID, ignored, broken)
	if broken != nil {
		return nil, fmt.Errorf("%s: app %s: %w", m.place, app.ID, broken)
	}
	return app, nil
}

// Apps lists all apps, ordered by id. One whose record cannot be read is left
// out, and the log says why.
func (m *AppManager) Apps(ctx context.Context) ([]*storage.App, error) {
	var apps []*storage.App
	var from item
	for {
		items, next, err := m.page(ctx, from)
		if err != nil {
			return nil, err
		}
		for _, i := range items {
			if owner(i) != "" {
				continue
			}
			if app, err := m.read(i); err == nil {
				apps = append(apps, app)
			}
		}
		if from = next; from == nil {
			break
		}
	}
	slices.SortFunc(apps, func(a, b *storage.App) int { return strings.Compare(a.ID, b.ID) })
	return apps, nil
}

// page are the items from a key on, as many as the service gives at a time, which
// is 1 MiB of them. next is nil after the last one.
func (m *AppManager) page(ctx context.Context, from item) (items []item, next item, err error) {
	ctx, done, err := m.begin(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	out, err := m.client.Scan(ctx, &dynamodb.ScanInput{TableName: &m.table, ExclusiveStartKey: from, ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, nil, m.fail(ctx, err)
	}
	return out.Items, out.LastEvaluatedKey, nil
}

var (
	_ storage.AppManager     = (*AppManager)(nil)
	_ storage.AppEditor      = (*AppManager)(nil)
	_ storage.UnreadableApps = (*AppManager)(nil)
	_ storage.Checker        = (*AppManager)(nil)
)
