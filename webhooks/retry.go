package webhooks

import (
	"net/http"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// jitter is the share by which a pause may be shorter or longer.
const jitter = 0.2

// backoff is the pause before the next attempt of a job that has made some.
func backoff(id string, attempts int, r storage.WebhookRetry) time.Duration {
	return storage.Retry{Base: r.InitialBackoff, Max: r.MaxBackoff, Jitter: jitter}.Delay(id, attempts)
}

// scheduled is how long after the first attempt the given one comes, when all of
// them take no time.
func scheduled(attempt int, r storage.WebhookRetry) (sum time.Duration) {
	plain := storage.Retry{Base: r.InitialBackoff, Max: r.MaxBackoff}
	for n := 1; n < attempt && sum < r.MaxElapsed; n++ {
		sum += plain.Delay("", n)
	}
	return sum
}

// retryStatus reports whether the same request may be answered differently later.
func retryStatus(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return status >= 500
}
