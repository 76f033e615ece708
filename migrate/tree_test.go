package migrate

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestFlatten(t *testing.T) {
	n, err := readTree("x", []byte("{\n\"a\": {\"b\": 1,\n\"c.d\": [\"e\", true]},\n\"list\": [{\"f\": null},\n[1]], \"none\": [], \"tls\": {}}"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	n.flatten("", func(path string, value any, line int) { got = append(got, fmt.Sprintf("%s=%v:%d", path, value, line)) })
	want := "a.b=1:2 a.c.d=[e true]:3 list.0.f=<nil>:4 list.1=[1]:5 none=[]:5 tls={}:5"
	if strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
}

// FuzzRead reads anything as settings of every server: nothing panics, and every entry of
// a report says what it has to.
func FuzzRead(f *testing.F) {
	for _, text := range []string{
		`{"port": 1, "appManager.array.apps": [{"secret": "a-long-secret", "webhooks": "[{}]"}]}`,
		`{"adapter": {"driver": "redis", "redis": {"redisSubOptions": {"host": "a", "tls": {}}}}, "database": {"redis": {"sentinels": [{"host": "b"}]}}}`,
		`{"servers": {"reverb": {"scaling": {"enabled": true, "server": {"url": "redis://u:a-long-secret@h"}}}}, "apps": {"apps": [{"app_id": 1, "key": "k", "secret": "s"}]}}`,
		"SOKETI_DEFAULT_APP_WEBHOOKS=[{\"url\":\"http://a/?token=a-long-secret\",\"headers\":{\"X-Key\":\"a-long-secret\"}}]",
		"REVERB_APP_ID=1\nREVERB_APP_KEY=k\nREVERB_APP_SECRET=a-long-secret\nREVERB_SCALING_ENABLED=1\nREDIS_PASSWORD=a-long-secret",
		"PUSHER_URL=https://k:a-long-secret@h/apps/1\nPUSHER_HOST=h\nVITE_PUSHER_HOST=i", "<?php", "[a]",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, name := range []string{"x.env", "x.json", "x"} {
			files := []File{{name, text}}
			_, _, _ = Detect(files)
			for _, from := range []string{Soketi, Reverb, Pusher} {
				r, err := Read(from, files)
				if err != nil {
					continue
				}
				if _, err := json.Marshal(r.Hub); err != nil {
					t.Error(err)
				}
				for _, e := range r.Report {
					if e.Setting == "" || e.Outcome == "" || e.Outcome == NoEquivalent && e.Note == "" {
						t.Errorf("%+v", e)
					}
				}
			}
		}
	})
}
