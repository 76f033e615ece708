package dynamodb

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/storage"
)

// maxRaces is how often a change is planned again because what it was planned from
// has changed.
const maxRaces = 20

// PutApp stores an app, see storage.AppEditor. A key that Sockudo has given to
// another app a moment ago may be overlooked, since only the index knows of it, which
// lags behind.
func (m *AppManager) PutApp(ctx context.Context, app *storage.App, version string) error {
	if err := storage.CheckApp(app); err != nil {
		return fmt.Errorf("app %s: %w", app.ID, err)
	}
	if strings.HasPrefix(app.ID, guardPrefix) {
		return fmt.Errorf("app %s: ids that begin with %s are for guards of keys", app.ID, guardPrefix)
	}
	policy, err := storage.MarshalPolicy(app)
	if err != nil {
		return fmt.Errorf("app %s: %w", app.ID, err)
	}
	return m.change(ctx, app.ID, func(ctx context.Context, there item) ([]types.TransactWriteItem, error) {
		if err := checkVersion(app.ID, there, version); err != nil {
			return nil, err
		}
		writes, err := m.claim(ctx, app, there)
		if err != nil {
			return nil, err
		}
		if old := stringOf(there, attributeKey); old != "" && old != app.Key {
			released, err := m.release(ctx, old, app.ID)
			if err != nil {
				return nil, err
			}
			writes = append(writes, released...)
		}
		c := unchanged(there)
		return append(writes, types.TransactWriteItem{Put: &types.Put{
			TableName: &m.table, Item: itemOf(app, policy, there),
			ConditionExpression: &c.expression, ExpressionAttributeNames: c.names, ExpressionAttributeValues: c.values,
		}}), nil
	})
}

// DeleteApp removes an app, see storage.AppEditor.
func (m *AppManager) DeleteApp(ctx context.Context, id, version string) error {
	err := m.change(ctx, id, func(ctx context.Context, there item) ([]types.TransactWriteItem, error) {
		if there == nil || owner(there) != "" {
			return nil, fmt.Errorf("app %s: %w", id, storage.ErrNotFound)
		}
		if err := checkVersion(id, there, version); err != nil {
			return nil, err
		}
		writes, err := m.release(ctx, stringOf(there, attributeKey), id)
		if err != nil {
			return nil, err
		}
		c := unchanged(there)
		return append(writes, types.TransactWriteItem{Delete: &types.Delete{
			TableName: &m.table, Key: item{attributeID: str(id)},
			ConditionExpression: &c.expression, ExpressionAttributeNames: c.names, ExpressionAttributeValues: c.values,
		}}), nil
	})
	if err == nil {
		m.Note(id, nil, nil) // nothing is odd about it any more
	}
	return err
}

// checkVersion is storage.CheckVersion for an item. One that cannot be read may be
// replaced or deleted.
func checkVersion(id string, there item, version string) error {
	if there == nil {
		return storage.CheckVersion(id, nil, version)
	}
	app, _, _ := appOf(there)
	return storage.CheckVersion(id, app, version)
}

// plan makes the writes of a change out of the item that is there. They are made
// all or none, and only if what they were planned from is unchanged.
type plan func(ctx context.Context, there item) ([]types.TransactWriteItem, error)

// change does something to the item of an app. If somebody else was faster, it is
// planned again. The client gives each transaction a token, by which one whose
// answer was lost is sent again without being made twice.
func (m *AppManager) change(ctx context.Context, id string, p plan) error {
	ctx, done, err := m.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	for n := 1; ; n++ {
		err = m.try(ctx, id, p)
		if !lostRace(err) || n == maxRaces || !wait.For(ctx, time.Duration(mathrand.IntN(n*20))*time.Millisecond) {
			break
		}
	}
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrConflict) {
		return err
	}
	return m.fail(ctx, err)
}

func (m *AppManager) try(ctx context.Context, id string, p plan) error {
	var there item
	if storage.CanBeStored(id) { // what no table holds is not there
		var err error
		if there, err = m.get(ctx, id); err != nil {
			return err
		}
	}
	writes, err := p(ctx, there)
	if err != nil {
		return err
	}
	_, err = m.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
	return err
}

// claim makes the guard of an app's key the app's. It is ErrKeyTaken if another app
// has the key, by its guard or, where Sockudo has written it, by the index. A guard
// whose app has the key no more, because Sockudo took it away, is taken over; that
// app may not get the key back meanwhile. there is the app's item before.
func (m *AppManager) claim(ctx context.Context, app *storage.App, there item) ([]types.TransactWriteItem, error) {
	guard, err := m.get(ctx, guardID(app.Key))
	if err != nil {
		return nil, err
	}
	before := owner(guard)
	put := types.TransactWriteItem{Put: &types.Put{TableName: &m.table, Item: guardOf(app, rand.Text())}}
	switch {
	case guard == nil:
		put.Put.ConditionExpression = aws.String("attribute_not_exists(" + attributeID + ")")
	case before == "":
		return nil, fmt.Errorf("app %s: app %s is where the guard of its key would be: %w", app.ID, guardID(app.Key), storage.ErrConflict)
	default:
		put.Put.ConditionExpression = aws.String(attributeOwner + " = :owner")
		put.Put.ExpressionAttributeValues = item{":owner": str(before)}
	}
	if before == app.ID && holds(there, app.Key) {
		return []types.TransactWriteItem{put}, nil
	}
	other, err := m.holder(ctx, app.Key, guard, app.ID)
	if err != nil {
		return nil, err
	}
	if other != nil {
		return nil, fmt.Errorf("app %s: app %s has the key too: %w", app.ID, stringOf(other, attributeID), storage.ErrKeyTaken)
	}
	writes := []types.TransactWriteItem{put}
	if before != "" && before != app.ID {
		writes = append(writes, types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
			TableName: &m.table, Key: item{attributeID: str(before)},
			ConditionExpression:       aws.String("attribute_not_exists(#key) OR #key <> :key"),
			ExpressionAttributeNames:  map[string]string{"#key": attributeKey},
			ExpressionAttributeValues: item{":key": str(app.Key)},
		}})
	}
	return writes, nil
}

// release removes the guard of a key if it is that of an app.
func (m *AppManager) release(ctx context.Context, key, id string) ([]types.TransactWriteItem, error) {
	if key == "" {
		return nil, nil
	}
	guard, err := m.get(ctx, guardID(key))
	if err != nil || owner(guard) != id {
		return nil, err
	}
	return []types.TransactWriteItem{{Delete: &types.Delete{
		TableName: &m.table, Key: item{attributeID: str(guardID(key))},
		ConditionExpression:       aws.String(attributeOwner + " = :owner"),
		ExpressionAttributeValues: item{":owner": str(id)},
	}}}, nil
}

// condition is what must be so for a write to be made.
type condition struct {
	expression string
	names      map[string]string
	values     item
}

// unchanged is that an item is still what it was: every attribute of it, since
// Sockudo's writes leave no version behind.
func unchanged(there item) condition {
	if there == nil {
		return condition{expression: "attribute_not_exists(" + attributeID + ")"}
	}
	c := condition{names: map[string]string{}, values: item{}}
	var parts []string
	for n, name := range slices.Sorted(maps.Keys(there)) {
		at := "a" + strconv.Itoa(n)
		c.names["#"+at], c.values[":"+at] = name, there[name]
		parts = append(parts, "#"+at+" = :"+at)
	}
	if there[attributePolicy] == nil {
		c.names["#policy"] = attributePolicy
		parts = append(parts, "attribute_not_exists(#policy)")
	}
	c.expression = strings.Join(parts, " AND ")
	return c
}
