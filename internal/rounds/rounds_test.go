package rounds

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestLeaveWaitsForEarlierRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New[int]()
		delivered := false
		leave, _ := s.Add("hub", func(int) { time.Sleep(time.Minute); delivered = true })
		go s.Deliver(1)
		synctest.Wait()
		// Others come and go while that delivery runs.
		for range 3 {
			if _, ok := s.Add("other", func(int) {}); !ok {
				t.Fatal("refused")
			}
		}
		if err := leave(t.Context()); err != nil || !delivered {
			t.Errorf("leave returned %v, delivered %v", err, delivered)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.endLocked(newRound[int](nil)); len(s.ending) != 0 {
			t.Errorf("%d ended rounds are kept", len(s.ending))
		}
	})
}

func TestLeaveWaitsForWhoHasEntered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New[int]()
		leave, _ := s.Add("hub", func(int) {})
		r, ok := s.Enter()
		if !ok {
			t.Fatal("refused")
		}
		r.Deliver(1)
		time.AfterFunc(time.Minute, r.Exit)
		start := time.Now()
		if err := leave(t.Context()); err != nil || time.Since(start) != time.Minute {
			t.Errorf("leave returned %v after %v, want the exit", err, time.Since(start))
		}
	})
}

func TestClosed(t *testing.T) {
	s := New[int]()
	leave, _ := s.Add("hub", func(int) { t.Error("delivered after Close") })
	s.Close()
	s.Close()
	if _, ok := s.Enter(); ok || s.Deliver(1) {
		t.Error("entered after Close")
	}
	if _, ok := s.Add("hub", func(int) {}); ok {
		t.Error("added after Close")
	}
	if err := leave(t.Context()); err != nil {
		t.Errorf("leave after Close: %v", err)
	}
}
