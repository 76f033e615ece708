package storagetest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

func logSenseless(t *testing.T, h histories) {
	key := logKey()
	long := strings.Repeat("x", 257)
	for what, a := range map[string]*storage.LogAppend{
		"no id":        {Key: key},
		"no channel":   {Key: storage.LogKey{App: "a"}, Fresh: "id"},
		"long channel": {Key: storage.LogKey{Channel: strings.Repeat("x", 1025)}, Fresh: "id"},
		"long subject": {Key: key, Fresh: "id", Subject: long},
		"long once":    {Key: key, Fresh: "id", Once: long},
	} {
		good := &storage.LogAppend{Key: logKey(), Fresh: "id"}
		h.here.Append(t.Context(), []*storage.LogAppend{a, good})
		if a.Err == nil || good.Err != nil {
			t.Errorf("%s: %v; the other: %v", what, a.Err, good.Err)
		}
	}
	longest := storage.LogKey{App: strings.Repeat("a", 24), Channel: unique() + strings.Repeat("x", 1000-len(unique()))}
	addTo(t, h.here, &storage.LogAppend{Key: longest, Subject: long[:256], Once: long[:256]})
	h.wantSerials(t, longest, storage.LogQuery{Subject: long[:256]}, 1)
	h.here.Append(t.Context(), nil)
}

func logTooLarge(t *testing.T, h histories) {
	key := logKey()
	limit := int64(storage.MaxLogPayload)
	if s, ok := h.here.(SizeLimited); ok {
		limit = min(limit, s.MaxSize())
	}
	large := &storage.LogAppend{Key: key, Fresh: "id", Payload: make([]byte, limit+1)}
	small := &storage.LogAppend{Key: key, Fresh: "id", Payload: []byte("x")}
	h.here.Append(t.Context(), []*storage.LogAppend{large, small})
	if !errors.Is(large.Err, storage.ErrTooLarge) || small.Err != nil {
		t.Fatalf("%d bytes: %v; a small one beside it: %v", limit+1, large.Err, small.Err)
	}
	addTo(t, h.here, &storage.LogAppend{Key: key, Payload: make([]byte, limit)})
	h.wantSerials(t, key, storage.LogQuery{Bare: true}, 1, 2)
}

func logEnded(t *testing.T, h histories) {
	key := logKey()
	fill(t, h.here, key, "a")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := &storage.LogAppend{Key: key, Fresh: "id"}
	h.here.Append(ctx, []*storage.LogAppend{a})
	errs := map[string]error{
		"Append": a.Err, "Trim": h.here.Trim(ctx, key, "id", 2), "Reset": h.here.Reset(ctx, key, "new"),
		"Mark": h.here.Mark(ctx, key, "id", storage.LogState{Name: "degraded", Since: 1}),
	}
	_, errs["Head"] = h.here.Head(ctx, key)
	_, errs["Read"] = h.here.Read(ctx, key, "id", storage.LogQuery{Limit: 1})
	_, errs["Latest"] = h.here.Latest(ctx, key, "id", []string{"x"})
	_, errs["Due"] = h.here.Due(ctx, time.Now(), 1)
	for name, err := range errs {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with an ended context: %v", name, err)
		}
	}
	h.wantHead(t, key, storage.LogHead{Stream: "id", Serial: 1, Row: 1, At: 1000, Total: 1, First: 1})
}

func logClosed(t *testing.T, h histories) {
	key := logKey()
	fill(t, h.here, key, "a")
	must(t, h.here.Close())
	a := &storage.LogAppend{Key: key, Fresh: "id"}
	h.here.Append(t.Context(), []*storage.LogAppend{a})
	errs := map[string]error{
		"Append": a.Err, "Trim": h.here.Trim(t.Context(), key, "id", 2), "Reset": h.here.Reset(t.Context(), key, "new"),
		"Mark": h.here.Mark(t.Context(), key, "id", storage.LogState{Name: "degraded", Since: 1}),
	}
	_, errs["Head"] = h.here.Head(t.Context(), key)
	_, errs["Read"] = h.here.Read(t.Context(), key, "id", storage.LogQuery{Limit: 1})
	_, errs["Latest"] = h.here.Latest(t.Context(), key, "id", []string{"x"})
	_, errs["Due"] = h.here.Due(t.Context(), time.Now(), 1)
	for name, err := range errs {
		if !errors.Is(err, storage.ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
}
