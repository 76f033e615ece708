package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// TestCache checks a cache against its contract. It needs room for some hundred
// keys and 1 MiB.
func TestCache(t *testing.T, open func(t *testing.T) storage.Cache) {
	t.Attr("contract", "cache")
	runAll(t, open, []subtest[storage.Cache]{
		{"values", cacheValues},
		{"missing", cacheMissing},
		{"overwrite", cacheOverwrite},
		{"expiry", cacheExpiry},
		{"ttl is per call", cacheTTL},
		{"ttl must be positive", cacheBadTTL},
		{"set if absent", cacheSetIfAbsent},
		{"compare and swap", cacheSwap},
		{"compare and delete", cacheCompareAndDelete},
		{"delete", cacheDelete},
		{"slices are copied", cacheCopies},
		{"one of many sets if absent", cacheSetRace},
		{"one of many deletes", cacheDeleteRace},
		{"many swaps count", cacheSwapRace},
		{"many keys at once", cacheManyKeys},
		{"too large", cacheTooLarge},
		{"ended context", cacheEnded},
		{"closed", cacheClosed},
	})
}

func wantValue(t *testing.T, c storage.Cache, key string, want []byte) {
	t.Helper()
	got, err := c.Get(t.Context(), key)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("Get(%q) = %.80q, %v; want %.80q", key, got, err, want)
	}
}

func wantMissing(t *testing.T, c storage.Cache, key string) {
	t.Helper()
	_, err := c.Get(t.Context(), key)
	wantErr(t, "Get of a missing key", err, storage.ErrNotFound)
	_, err = c.TTL(t.Context(), key)
	wantErr(t, "TTL of a missing key", err, storage.ErrNotFound)
}

func cacheValues(t *testing.T, c storage.Cache) {
	name := unique()
	values := map[string][]byte{
		"text":    []byte(weird),
		"empty":   {},
		"nil":     nil,
		"zeros":   {0, 0, 0},
		"binary":  {0xff, 0xfe, 0, 1, '\r', '\n'},
		"large":   bytes.Repeat([]byte("0123456789abcdef"), 16<<10),
		"unicode": []byte("héllo 世界 \u2028"),
	}
	for key, value := range values {
		must(t, c.Set(t.Context(), name+key, value, time.Minute))
	}
	for key, value := range values {
		wantValue(t, c, name+key, value)
	}
	longest := name + strings.Repeat("k", 1024-len(name))
	must(t, c.Set(t.Context(), longest, []byte("long"), time.Minute))
	wantValue(t, c, longest, []byte("long"))
	wantMissing(t, c, longest[:1023])
}

func cacheMissing(t *testing.T, c storage.Cache) {
	key := unique()
	wantMissing(t, c, key)
	// Keys differ by case and by spaces at their ends.
	must(t, c.Set(t.Context(), key+"a", []byte("x"), time.Minute))
	for _, other := range []string{key, key + "A", key + "a ", " " + key + "a"} {
		wantMissing(t, c, other)
	}
}

func cacheOverwrite(t *testing.T, c storage.Cache) {
	key := unique()
	must(t, c.Set(t.Context(), key, []byte("first, and longer"), time.Minute))
	must(t, c.Set(t.Context(), key, []byte("second"), time.Hour))
	wantValue(t, c, key, []byte("second"))
	wantTTL(t, c, key, time.Hour)
}

// wantTTL checks that about want is left.
func wantTTL(t *testing.T, c storage.Cache, key string, want time.Duration) {
	t.Helper()
	got, err := c.TTL(t.Context(), key)
	if err != nil || got > want+rounding || got < want-patience {
		t.Errorf("TTL = %v, %v; want about %v", got, err, want)
	}
}

func cacheExpiry(t *testing.T, c storage.Cache) {
	const ttl = 300 * time.Millisecond
	key := unique()
	writes := map[string]func(key string) error{
		"Set": func(key string) error { return c.Set(t.Context(), key, []byte("v"), ttl) },
		"SetIfAbsent": func(key string) error {
			_, err := c.SetIfAbsent(t.Context(), key, []byte("v"), ttl)
			return err
		},
		"CompareAndSwap": func(key string) error {
			if err := c.Set(t.Context(), key, []byte("o"), time.Hour); err != nil {
				return err
			}
			_, err := c.CompareAndSwap(t.Context(), key, []byte("o"), []byte("v"), ttl)
			return err
		},
	}
	for name, write := range writes {
		key := key + name
		start := time.Now()
		must(t, write(key))
		eventually(t, "expiry after "+name, func() bool {
			value, err := c.Get(t.Context(), key)
			if err == nil && !bytes.Equal(value, []byte("v")) {
				t.Fatalf("%s: value changed to %q", name, value)
			}
			return errors.Is(err, storage.ErrNotFound)
		})
		if lived := time.Since(start); lived < ttl-rounding || lived > ttl+patience/2 {
			t.Errorf("%s: value lived %v, want %v", name, lived, ttl)
		}
		wantMissing(t, c, key)
	}
	// What has expired is absent for every call.
	if ok, err := c.CompareAndSwap(t.Context(), key+"Set", []byte("v"), []byte("w"), time.Minute); ok || err != nil {
		t.Errorf("CompareAndSwap of an expired key = %v, %v", ok, err)
	}
	if ok, err := c.CompareAndDelete(t.Context(), key+"Set", []byte("v")); ok || err != nil {
		t.Errorf("CompareAndDelete of an expired key = %v, %v", ok, err)
	}
	if ok, err := c.SetIfAbsent(t.Context(), key+"Set", []byte("again"), time.Minute); !ok || err != nil {
		t.Errorf("SetIfAbsent of an expired key = %v, %v", ok, err)
	}
	wantValue(t, c, key+"Set", []byte("again"))
}

func cacheTTL(t *testing.T, c storage.Cache) {
	key := unique()
	for i, ttl := range []time.Duration{time.Minute, time.Hour, 48 * time.Hour} {
		must(t, c.Set(t.Context(), fmt.Sprint(key, i), []byte("v"), ttl))
		wantTTL(t, c, fmt.Sprint(key, i), ttl)
	}
	must(t, c.Set(t.Context(), key, []byte("v"), time.Hour))
	if ok, err := c.CompareAndSwap(t.Context(), key, []byte("v"), []byte("w"), time.Minute); !ok || err != nil {
		t.Errorf("CompareAndSwap = %v, %v", ok, err)
	}
	wantTTL(t, c, key, time.Minute)
	if ok, err := c.SetIfAbsent(t.Context(), key, []byte("x"), time.Hour); ok || err != nil {
		t.Errorf("SetIfAbsent = %v, %v", ok, err)
	}
	if ok, err := c.CompareAndSwap(t.Context(), key, []byte("x"), []byte("y"), time.Hour); ok || err != nil {
		t.Errorf("CompareAndSwap = %v, %v", ok, err)
	}
	wantTTL(t, c, key, time.Minute) // what changes nothing does not prolong
}

func cacheBadTTL(t *testing.T, c storage.Cache) {
	key := unique()
	for _, ttl := range []time.Duration{0, -time.Second} {
		if err := c.Set(t.Context(), key, []byte("v"), ttl); err == nil {
			t.Errorf("Set with ttl %v: no error", ttl)
		}
		if ok, err := c.SetIfAbsent(t.Context(), key, []byte("v"), ttl); ok || err == nil {
			t.Errorf("SetIfAbsent with ttl %v = %v, %v", ttl, ok, err)
		}
		wantMissing(t, c, key)
	}
	must(t, c.Set(t.Context(), key, []byte("v"), time.Minute))
	if ok, err := c.CompareAndSwap(t.Context(), key, []byte("v"), []byte("w"), 0); ok || err == nil {
		t.Errorf("CompareAndSwap with ttl 0 = %v, %v", ok, err)
	}
	wantValue(t, c, key, []byte("v"))
}

func cacheSetIfAbsent(t *testing.T, c storage.Cache) {
	key := unique()
	if ok, err := c.SetIfAbsent(t.Context(), key, nil, time.Minute); !ok || err != nil {
		t.Fatalf("first SetIfAbsent = %v, %v", ok, err)
	}
	// An empty value is a value.
	if ok, err := c.SetIfAbsent(t.Context(), key, []byte("v"), time.Minute); ok || err != nil {
		t.Errorf("second SetIfAbsent = %v, %v", ok, err)
	}
	wantValue(t, c, key, nil)
}

func cacheSwap(t *testing.T, c storage.Cache) {
	key := unique()
	for _, old := range [][]byte{nil, {}, []byte("v")} {
		if ok, err := c.CompareAndSwap(t.Context(), key, old, []byte("w"), time.Minute); ok || err != nil {
			t.Errorf("CompareAndSwap(%q) of a missing key = %v, %v; want false", old, ok, err)
		}
	}
	wantMissing(t, c, key)
	must(t, c.Set(t.Context(), key, []byte("v\x00"), time.Minute))
	for _, old := range []string{"", "v", "V\x00", "v\x00 "} {
		if ok, err := c.CompareAndSwap(t.Context(), key, []byte(old), []byte("w"), time.Minute); ok || err != nil {
			t.Errorf("CompareAndSwap(%q) = %v, %v; want false", old, ok, err)
		}
	}
	wantValue(t, c, key, []byte("v\x00"))
	if ok, err := c.CompareAndSwap(t.Context(), key, []byte("v\x00"), nil, time.Minute); !ok || err != nil {
		t.Errorf("CompareAndSwap = %v, %v; want true", ok, err)
	}
	wantValue(t, c, key, nil)
	if ok, err := c.CompareAndSwap(t.Context(), key, nil, []byte("end"), time.Minute); !ok || err != nil {
		t.Errorf("CompareAndSwap of an empty value = %v, %v; want true", ok, err)
	}
	wantValue(t, c, key, []byte("end"))
}

func cacheCompareAndDelete(t *testing.T, c storage.Cache) {
	key := unique()
	for _, old := range [][]byte{nil, []byte("v")} {
		if ok, err := c.CompareAndDelete(t.Context(), key, old); ok || err != nil {
			t.Errorf("CompareAndDelete(%q) of a missing key = %v, %v; want false", old, ok, err)
		}
	}
	must(t, c.Set(t.Context(), key, []byte("v"), time.Minute))
	if ok, err := c.CompareAndDelete(t.Context(), key, []byte("w")); ok || err != nil {
		t.Errorf("CompareAndDelete of another value = %v, %v; want false", ok, err)
	}
	wantValue(t, c, key, []byte("v"))
	if ok, err := c.CompareAndDelete(t.Context(), key, []byte("v")); !ok || err != nil {
		t.Errorf("CompareAndDelete = %v, %v; want true", ok, err)
	}
	wantMissing(t, c, key)
}

func cacheDelete(t *testing.T, c storage.Cache) {
	key := unique()
	must(t, c.Delete(t.Context(), key))
	must(t, c.Set(t.Context(), key, []byte("v"), time.Minute))
	must(t, c.Set(t.Context(), key+"other", []byte("o"), time.Minute))
	must(t, c.Delete(t.Context(), key))
	wantMissing(t, c, key)
	wantValue(t, c, key+"other", []byte("o"))
	must(t, c.Delete(t.Context(), key))
}

func cacheCopies(t *testing.T, c storage.Cache) {
	key, value := unique(), []byte("value")
	must(t, c.Set(t.Context(), key, value, time.Minute))
	value[0] = 'X'
	got, err := c.Get(t.Context(), key)
	must(t, err)
	if string(got) != "value" {
		t.Errorf("changing the slice after Set changed the value to %q", got)
	}
	got[1] = 'X'
	wantValue(t, c, key, []byte("value"))
}

func cacheTooLarge(t *testing.T, c storage.Cache) {
	limited, ok := c.(SizeLimited)
	if !ok {
		t.Skip("the driver declares no limit")
	}
	key := unique()
	large := make([]byte, limited.MaxSize()+1)
	must(t, c.Set(t.Context(), key, []byte("small"), time.Minute))
	wantErr(t, "Set", c.Set(t.Context(), key, large, time.Minute), storage.ErrFull)
	_, err := c.CompareAndSwap(t.Context(), key, []byte("small"), large, time.Minute)
	wantErr(t, "CompareAndSwap", err, storage.ErrFull)
	_, err = c.SetIfAbsent(t.Context(), key+"absent", large, time.Minute)
	wantErr(t, "SetIfAbsent", err, storage.ErrFull)
	wantValue(t, c, key, []byte("small"))
	wantMissing(t, c, key+"absent")
}

func cacheCalls(c storage.Cache, key string) []call {
	return []call{
		{"Get", func(ctx context.Context) error { _, err := c.Get(ctx, key); return err }},
		{"TTL", func(ctx context.Context) error { _, err := c.TTL(ctx, key); return err }},
		{"Set", func(ctx context.Context) error { return c.Set(ctx, key, []byte("w"), time.Minute) }},
		{"SetIfAbsent", func(ctx context.Context) error {
			_, err := c.SetIfAbsent(ctx, key+"absent", []byte("w"), time.Minute)
			return err
		}},
		{"CompareAndSwap", func(ctx context.Context) error {
			_, err := c.CompareAndSwap(ctx, key, []byte("v"), []byte("w"), time.Minute)
			return err
		}},
		{"CompareAndDelete", func(ctx context.Context) error { _, err := c.CompareAndDelete(ctx, key, []byte("v")); return err }},
		{"Delete", func(ctx context.Context) error { return c.Delete(ctx, key) }},
	}
}

func cacheEnded(t *testing.T, c storage.Cache) {
	key := unique()
	must(t, c.Set(t.Context(), key, []byte("v"), time.Minute))
	testEnded(t, cacheCalls(c, key))
	wantValue(t, c, key, []byte("v"))
	wantMissing(t, c, key+"absent")
}

func cacheClosed(t *testing.T, c storage.Cache) {
	testClosed(t, c, cacheCalls(c, unique()))
}
