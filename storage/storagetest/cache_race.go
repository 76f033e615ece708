package storagetest

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

func cacheSetRace(t *testing.T, c storage.Cache) {
	key := unique()
	var won atomic.Int64
	won.Store(-1)
	atOnce(32, func(i int) {
		ok, err := c.SetIfAbsent(t.Context(), key, []byte(fmt.Sprint(i)), time.Minute)
		if err != nil {
			t.Error(err)
		}
		if ok && !won.CompareAndSwap(-1, int64(i)) {
			t.Errorf("%d set what %d had set", i, won.Load())
		}
	})
	wantValue(t, c, key, []byte(fmt.Sprint(won.Load())))
}

func cacheDeleteRace(t *testing.T, c storage.Cache) {
	key := unique()
	must(t, c.Set(t.Context(), key, []byte("v"), time.Minute))
	var deleted atomic.Int64
	atOnce(32, func(int) {
		ok, err := c.CompareAndDelete(t.Context(), key, []byte("v"))
		if err != nil {
			t.Error(err)
		}
		if ok {
			deleted.Add(1)
		}
	})
	if n := deleted.Load(); n != 1 {
		t.Errorf("%d calls deleted the key, want 1", n)
	}
}

func cacheSwapRace(t *testing.T, c storage.Cache) {
	const callers, each = 8, 10
	key := unique()
	must(t, c.Set(t.Context(), key, []byte("0"), time.Minute))
	atOnce(callers, func(int) {
		for done := 0; done < each; {
			old, err := c.Get(t.Context(), key)
			if err != nil {
				t.Error(err)
				return
			}
			var n int
			_, _ = fmt.Sscan(string(old), &n)
			ok, err := c.CompareAndSwap(t.Context(), key, old, []byte(fmt.Sprint(n+1)), time.Minute)
			if err != nil {
				t.Error(err)
				return
			}
			if ok {
				done++
			}
		}
	})
	wantValue(t, c, key, []byte(fmt.Sprint(callers*each)))
}

func cacheManyKeys(t *testing.T, c storage.Cache) {
	name := unique()
	atOnce(16, func(i int) {
		for n := range 10 {
			key := fmt.Sprint(name, i, "-", n)
			if err := c.Set(t.Context(), key, []byte(key), time.Minute); err != nil {
				t.Error(err)
				return
			}
			wantValue(t, c, key, []byte(key))
			if n%2 == 0 {
				if err := c.Delete(t.Context(), key); err != nil {
					t.Error(err)
				}
			}
		}
	})
	wantValue(t, c, name+"3-7", []byte(name+"3-7"))
	wantMissing(t, c, name+"3-8")
}
