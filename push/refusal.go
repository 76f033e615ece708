package push

import (
	"net/http"
	"time"
)

// Refusal is why a publish or another call is not carried out, other than a fault of one
// of its members.
type Refusal struct { //nolint:errname // it is the answer, too
	// Status and Code are those of the answer (section 1.2).
	Status int
	Code   string
	Text   string
	// RetryAfter, unless it is zero, is when it may be tried again.
	RetryAfter time.Duration
}

// Error is the text.
func (r *Refusal) Error() string { return r.Text }

func refuse(status int, text string) *Refusal {
	code := map[int]string{
		http.StatusBadRequest: "invalid_input", http.StatusForbidden: "forbidden", http.StatusNotFound: "not_found",
		http.StatusConflict: "conflict", http.StatusTooManyRequests: "rate_limited", http.StatusServiceUnavailable: "service_unavailable",
	}[status]
	return &Refusal{Status: status, Code: code, Text: text}
}

func (r *Refusal) after(d time.Duration) *Refusal {
	r.RetryAfter = max(d, time.Second)
	return r
}
