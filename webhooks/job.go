package webhooks

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"strconv"
)

// job is the payload of a queued job: events for one endpoint of an app. Neither a
// secret nor an URL is in it; both are looked up when it runs.
type job struct {
	App      string `json:"app"`
	Endpoint string `json:"endpoint"`
	Target   string `json:"target"`
	// TimeMS is when the earliest of the events happened.
	TimeMS int64 `json:"time_ms"`
	// Count is the number of events.
	Count int `json:"count"`
	// Events is the array, as it is sent.
	Events json.RawMessage `json:"events"`
}

// encode writes the payload.
func (j *job) encode() []byte {
	text := func(dst []byte, name, value string) []byte {
		dst = append(append(dst, name...), ':')
		quoted, _ := json.Marshal(value) //nolint:errchkjson // a string
		return append(append(dst, quoted...), ',')
	}
	b := make([]byte, 0, len(j.Events)+len(j.App)+128)
	b = text(append(b, '{'), `"app"`, j.App)
	b = text(b, `"endpoint"`, j.Endpoint)
	b = text(b, `"target"`, j.Target)
	b = strconv.AppendInt(append(b, `"time_ms":`...), j.TimeMS, 10)
	b = strconv.AppendInt(append(b, `,"count":`...), int64(j.Count), 10)
	b = append(append(b, `,"events":`...), j.Events...)
	return append(b, '}')
}

// decodeJob reads a payload.
func decodeJob(payload []byte) (*job, error) {
	j := new(job)
	switch err := json.Unmarshal(payload, j); {
	case err != nil:
		return nil, errors.New("the job cannot be read")
	case j.App == "" || j.Endpoint == "" || len(j.Events) < 2 || j.Events[0] != '[':
		return nil, errors.New("the job lacks its app, its endpoint or its events")
	}
	return j, nil
}

// body is what is posted. These very bytes are signed.
func (j *job) body() []byte {
	b := make([]byte, 0, len(j.Events)+40)
	b = strconv.AppendInt(append(b, `{"time_ms":`...), j.TimeMS, 10)
	b = append(append(b, `,"events":`...), j.Events...)
	return append(b, '}')
}

// newID names a job, the same in every attempt.
func newID() string { return rand.Text() }
