package redis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/storage"
)

// How a script of the apps compares the record that is there.
const (
	compareNothing = "any"  // whatever it is
	compareRecord  = "same" // with the one given, which is empty for none
)

// What a script of the apps answers.
const (
	answerDone  = "done"
	answerRaced = "raced" // the record is not the one given
	answerTaken = "taken" // another app has the key; its id follows
	answerNone  = "none"  // there is no record
)

// appFunctions are what the scripts have in common. KEYS are the two hashes, ARGV
// the channel, the id, what to compare, and the record to compare. The channel is
// told first: if we may not do that, nothing has been written yet, and nobody can
// look before the script has ended.
const appFunctions = `
local channel, id = ARGV[1], ARGV[2]
local there = redis.call('HGET', KEYS[1], id)
local function raced()
	return ARGV[3] == 'same' and (there or '') ~= ARGV[4]
end
local function key_of(record)
	local read, app = pcall(cjson.decode, record)
	if read and type(app) == 'table' and type(app.key) == 'string' then return app.key end
end
local function forget_key()
	local key = there and key_of(there)
	if key and redis.call('HGET', KEYS[2], key) == id then redis.call('HDEL', KEYS[2], key) end
end
`

// putApp stores a record under its id, and its key. An app that is said to have
// the key must have it.
var putApp = newScript(appFunctions + `
local record, key = ARGV[5], ARGV[6]
if raced() then return {'raced'} end
local owner = redis.call('HGET', KEYS[2], key)
if owner and owner ~= id then
	local other = redis.call('HGET', KEYS[1], owner)
	if other and (key_of(other) or key) == key then return {'taken', owner} end
end
redis.call('PUBLISH', channel, id)
forget_key()
redis.call('HSET', KEYS[1], id, record)
redis.call('HSET', KEYS[2], key, id)
return {'done'}
`)

// deleteApp removes a record and its key.
var deleteApp = newScript(appFunctions + `
if not there then return {'none'} end
if raced() then return {'raced'} end
redis.call('PUBLISH', channel, id)
forget_key()
redis.call('HDEL', KEYS[1], id)
return {'done'}
`)

// PutApp stores an app, see storage.AppEditor.
func (m *AppManager) PutApp(ctx context.Context, app *storage.App, version string) error {
	if err := storage.CheckApp(app); err != nil {
		return fmt.Errorf("app %s: %w", app.ID, err)
	}
	record, err := storage.MarshalApp(app)
	if err != nil {
		return fmt.Errorf("app %s: %w", app.ID, err)
	}
	return m.change(ctx, app.ID, version, putApp, record, app.Key)
}

// DeleteApp removes an app, see storage.AppEditor.
func (m *AppManager) DeleteApp(ctx context.Context, id, version string) error {
	if !storage.CanBeStored(id) {
		return fmt.Errorf("app %s: %w", id, storage.ErrNotFound)
	}
	return m.change(ctx, id, version, deleteApp)
}

// change runs a script on the record of an app. If a version is wanted, the record
// is read and compared here, and the script makes sure that it is still the same.
func (m *AppManager) change(ctx context.Context, id, version string, s *script, args ...any) error {
	return m.client.call(ctx, func(ctx context.Context) error {
		for n := range maxRaces {
			compare, record := compareNothing, ""
			if version != storage.AnyVersion {
				app, there, _, err := m.read(ctx, id)
				if err != nil {
					return err
				}
				if app == nil && s == deleteApp {
					return fmt.Errorf("app %s: %w", id, storage.ErrNotFound)
				}
				if err := storage.CheckVersion(id, app, version); err != nil {
					return err
				}
				compare, record = compareRecord, there
			}
			answer, about, err := m.edit(ctx, s, append([]any{m.changed, id, compare, record}, args...))
			switch {
			case err != nil:
				return err
			case answer == answerDone:
				m.Note(id, nil, nil)
				return nil
			case answer == answerNone:
				return fmt.Errorf("app %s: %w", id, storage.ErrNotFound)
			case answer == answerTaken:
				return fmt.Errorf("app %s: app %s has the key too: %w", id, about, storage.ErrKeyTaken)
			case answer != answerRaced:
				return fmt.Errorf("app %s: the script answers %q", id, answer)
			}
			if !wait.For(ctx, time.Duration(rand.IntN(n+1))*time.Millisecond) {
				return ctx.Err()
			}
		}
		return fmt.Errorf("app %s: it keeps being changed by others: %w", id, storage.ErrConflict)
	})
}

// edit runs a script and takes its answer apart.
func (m *AppManager) edit(ctx context.Context, s *script, args []any) (answer, about string, err error) {
	reply, err := m.client.run(ctx, s, []string{m.apps, m.keys}, args...)
	if err != nil {
		return "", "", err
	}
	list, ok := reply.([]any)
	if !ok || len(list) == 0 {
		return "", "", errors.New("the script answers nothing")
	}
	answer, _ = list[0].(string)
	if len(list) > 1 {
		about, _ = list[1].(string)
	}
	return answer, about, nil
}
