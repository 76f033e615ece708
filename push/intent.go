package push

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/sockudo/caddy-sockudo/storage"
)

// intent is what a publish is to do. It never changes.
type intent struct {
	Targets   []Target   `json:"targets"`
	Payload   Payload    `json:"payload"`
	Overrides []Override `json:"overrides,omitempty"`
	Suppress  *Suppress  `json:"suppress,omitempty"`
}

// hash names what was asked for, however it was written, without the id.
func (i *intent) hash(notBefore, expires int64) string {
	var tree any
	decoder := json.NewDecoder(bytes.NewReader(raw(i)))
	decoder.UseNumber()
	if err := decoder.Decode(&tree); err != nil {
		return ""
	}
	return Hash(fmt.Sprintf("%s %d %d", raw(tree), notBefore, expires)) // maps are written in the order of their keys
}

// state reads the record of a publish. One that is gone is storage.ErrNotFound.
func (p *Pipeline) state(ctx context.Context, app, id string) (*publish, *storage.PushRecord, error) {
	if id == "" || len(id) > maxPublishID { // no publish has it
		return nil, nil, fmt.Errorf("publish: %w", storage.ErrNotFound)
	}
	records, err := p.settings.Store.Get(ctx, key(app, tablePublishes, "", id))
	if err != nil {
		return nil, nil, fmt.Errorf("reading a publish: %w", err)
	}
	return decodePublish(&records[0])
}

func decodePublish(r *storage.PushRecord) (*publish, *storage.PushRecord, error) {
	if r.Version == 0 {
		return nil, nil, fmt.Errorf("publish: %w", storage.ErrNotFound)
	}
	pub := new(publish)
	return pub, r, decode(r, pub)
}

func (p *Pipeline) intent(ctx context.Context, app, id string) (*intent, error) {
	records, err := p.settings.Store.Get(ctx, key(app, tableIntents, "", id))
	if err != nil {
		return nil, fmt.Errorf("reading what a publish is to do: %w", err)
	}
	if records[0].Version == 0 {
		return nil, fmt.Errorf("what a publish is to do: %w", storage.ErrNotFound)
	}
	in := new(intent)
	return in, decode(&records[0], in)
}
