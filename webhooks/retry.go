package webhooks

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// jitter is the share by which a pause may be shorter or longer.
const jitter = 0.2

// maxRetryAfter bounds what an answer may ask for.
const maxRetryAfter = 24 * time.Hour

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

// parseRetryAfter reads the header of that name: seconds, or a date. Zero is none
// that can be read, or one that is over.
func parseRetryAfter(text string, now time.Time) time.Duration {
	text = strings.TrimSpace(text)
	if seconds, err := strconv.ParseUint(text, 10, 64); err == nil {
		return time.Duration(min(seconds, uint64(maxRetryAfter/time.Second))) * time.Second
	}
	date, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(date.Sub(now), 0), maxRetryAfter)
}

// retryStatus reports whether the same request may be answered differently later.
func retryStatus(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return status >= 500
}
