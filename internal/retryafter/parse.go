// Package retryafter reads how long a server asks its clients to wait.
package retryafter

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Max bounds what an answer may ask for.
const Max = 24 * time.Hour

// Parse reads the header Retry-After: seconds, or a date. Zero is none that can be
// read, or one that is over.
func Parse(text string, now time.Time) time.Duration {
	text = strings.TrimSpace(text)
	if seconds, err := strconv.ParseUint(text, 10, 64); err == nil {
		return time.Duration(min(seconds, uint64(Max/time.Second))) * time.Second
	}
	date, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(date.Sub(now), 0), Max)
}
