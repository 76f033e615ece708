package push

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// task is what a job in the queue is about. The state of it is in the store.
type task struct {
	App     string `json:"app"`
	Publish string `json:"publish"`
	Batch   string `json:"batch,omitempty"`
	// ReadyMS is when the job was to run.
	ReadyMS int64 `json:"ready"`
}

func (p *Pipeline) job(queue string, t task, delay time.Duration) storage.Job {
	delay = max(delay, 0)
	t.ReadyMS = p.nowMS() + delay.Milliseconds()
	return storage.Job{Queue: queue, Payload: raw(t), Delay: delay}
}

func (p *Pipeline) planJob(app, publish string, delay time.Duration) storage.Job {
	return p.job(queuePublishes, task{App: app, Publish: publish}, delay)
}

func (p *Pipeline) batchJob(app, publish, batch string, kind Kind) storage.Job {
	return p.job(queueDeliveries+kind.Key(), task{App: app, Publish: publish, Batch: batch}, 0)
}

func readTask(payload []byte) (t task, err error) {
	if err := json.Unmarshal(payload, &t); err != nil || t.App == "" || t.Publish == "" {
		return t, &storage.FinalError{Cause: errors.New("the job makes no sense")}
	}
	return t, nil
}
