package surrealdb

import (
	"errors"
	"fmt"

	"github.com/sockudo/caddy-sockudo/storage"
)

// columns are what is asked for of each record.
const columns = "record::id(id) AS id, [key, payload] AS content"

// record is an app as it is stored. Each part is read by itself, so that a broken
// record is no obstacle to others.
type record struct {
	ID      raw `json:"id"`
	Content raw `json:"content"` // the key and the payload
}

// app is the record as an app. As with Sockudo, its id and its key are those of the
// record, whatever the payload says. A broken one has what could be read of them.
func (r record) app() (app *storage.App, ignored []string, err error) {
	var name any
	if err := read(r.ID, &name); err != nil {
		return new(storage.App), nil, fmt.Errorf("id: %w", err)
	}
	id, ok := name.(string)
	if !ok {
		return &storage.App{ID: fmt.Sprintf("%T %v", name, name)}, nil, errors.New("the id is no text")
	}
	app = &storage.App{ID: id}
	key, payload := r.content()
	if app.Key, err = textOf(key); err != nil || app.Key == "" {
		return app, nil, errors.New("field key is missing or no text")
	}
	text, err := textOf(payload)
	if err != nil {
		return app, nil, errors.New("field payload is missing or no text")
	}
	known := app.Key
	app, ignored, err = storage.UnmarshalApp([]byte(text))
	app.ID, app.Key = id, known
	if err == nil && app.Secret == "" {
		err = errors.New("secret is missing")
	}
	return app, ignored, err
}

// content are the two fields, nil for what cannot be read.
func (r record) content() (key, payload raw) {
	var fields []raw
	if read(r.Content, &fields) != nil || len(fields) != 2 {
		return nil, nil
	}
	return fields[0], fields[1]
}

// key is the key of the record, empty for one that has none.
func (r record) key() string {
	key, _ := r.content()
	text, _ := textOf(key)
	return text
}

// errNoText says that a value is another one than a text.
var errNoText = errors.New("no text")

func textOf(value raw) (string, error) {
	var v any
	if len(value) == 0 {
		return "", errNoText
	}
	if err := read(value, &v); err != nil {
		return "", err
	}
	text, ok := v.(string)
	if !ok {
		return "", errNoText
	}
	return text, nil
}
