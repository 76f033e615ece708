package webhooks

import (
	"bytes"
	"encoding/json"
	"testing"
)

func FuzzDecodeJob(f *testing.F) {
	f.Add([]byte(`{"app":"a","endpoint":"e","target":"t","time_ms":1,"count":1,"events":[{"name":"x"}]}`))
	f.Add([]byte(`{"app":"a","endpoint":"e","events":[ ]}`))
	f.Add([]byte(`{"app":"a","endpoint":"e","events":{}}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		j, err := decodeJob(payload)
		if err != nil {
			return
		}
		if !json.Valid(j.body()) {
			t.Fatalf("the body is %s", j.body())
		}
		again, err := decodeJob(j.encode())
		if err != nil {
			t.Fatalf("reading %s: %v", j.encode(), err)
		}
		if again.App != j.App || again.Endpoint != j.Endpoint || again.Target != j.Target || again.TimeMS != j.TimeMS || again.Count != j.Count || !bytes.Equal(again.Events, j.Events) {
			t.Fatalf("%+v became %+v", j, again)
		}
	})
}
