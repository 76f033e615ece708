package rest

import (
	"fmt"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/push"
)

// Checklist: push 56
func TestNobodyWaits(t *testing.T) {
	s := newSite(t, func(one *setup) { one.idle = true }) // so that waiting had no end
	for name, got := range map[string]answer{
		"the parameter": s.do("POST", "publish?mode=sync", publishBody("", rawTarget)),
		"the member":    s.do("POST", "publish", publishBody("", rawTarget, `,"sync":true`)),
		"a batch":       s.do("POST", "batch/publish?mode=sync", "["+publishBody("", rawTarget)+"]"),
		"an item":       s.do("POST", "batch/publish", "["+publishBody("", rawTarget)+","+publishBody("", rawTarget, `,"sync":true`)+"]"),
	} {
		if got.status != 202 || got.header.Get("X-Sockudo-Forced-Async") != "publish-api-is-async" {
			t.Errorf("%s: %d %v", name, got.status, got.header)
		}
	}
	for _, path := range []string{"publish", "publish?mode=async"} {
		if got := s.do("POST", path, publishBody("", rawTarget, `,"sync":false`)); got.status != 202 || got.header.Get("X-Sockudo-Forced-Async") != "" {
			t.Errorf("%s: %d %v", path, got.status, got.header)
		}
	}
}

func TestWaiting(t *testing.T) {
	s := newSite(t, func(one *setup) { one.api.AllowSync = true })
	for name, got := range map[string]answer{
		"the parameter": s.do("POST", "publish?mode=sync", publishBody("", rawTarget)),
		"the member":    s.do("POST", "publish", publishBody("", rawTarget, `,"sync":true`)),
	} {
		if one := read[published](t, got, 202); one.Status != "succeeded" || got.header.Get(headerForced) != "" {
			t.Errorf("%s: %+v %v", name, one, got.header)
		}
	}
	batch := read[list[published]](t, s.do("POST", "batch/publish?mode=sync", "["+publishBody("", rawTarget)+","+publishBody("", `{"type":"device","device_id":"nobody"}`)+"]"), 202)
	if len(batch.Items) != 2 || batch.Items[0].Status != "succeeded" || batch.Items[1].Status != "succeeded" {
		t.Errorf("%+v", batch.Items)
	}
	// One whose time is far away is not waited for, one that fails is.
	begun := time.Now()
	later := fmt.Sprintf(`,"notBeforeMs":%d`, begun.Add(time.Hour).UnixMilli())
	if one := read[published](t, s.do("POST", "publish?mode=sync", publishBody("", rawTarget, later)), 202); one.Status != "accepted" || time.Since(begun) > waitTime {
		t.Errorf("%+v after %v", one, time.Since(begun))
	}
	s.fcm.decide(func(push.Notification) push.Result {
		return push.Result{Outcome: push.Rejected, Class: push.DeviceTerminal, Reason: "gone"}
	})
	if one := read[published](t, s.do("POST", "publish?mode=sync", publishBody("", rawTarget)), 202); one.Status != "failed" {
		t.Errorf("%+v", one)
	}
}

// Only so many calls wait at one time.
func TestWaitingIsBounded(t *testing.T) {
	s := newSite(t, func(one *setup) { one.idle = true })
	a := New(Options{Registry: s.registry, Pipeline: s.pipeline, AllowSync: true})
	for range maxWaiting {
		a.waiting <- struct{}{}
	}
	c := &call{api: a, ctx: t.Context(), app: appID, header: map[string][]string{}}
	c.wait(&push.Acceptance{PublishID: "p"})
	if c.header.Get(headerForced) != forcedAsync {
		t.Errorf("%v", c.header)
	}
}
