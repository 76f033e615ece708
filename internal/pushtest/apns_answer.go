package pushtest

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"
)

// APNsAnswer is what a stand-in answers for a device.
type APNsAnswer struct {
	// Status is the HTTP status. Default: 200.
	Status int
	// Reason is APNs's word for what is wrong.
	Reason string
	// Timestamp is when the device has become unreachable, if it is not zero.
	Timestamp time.Time
	// Header has further fields, such as Retry-After or Location.
	Header http.Header
	// Body is sent in place of the JSON that has the reason.
	Body []byte
	// Wait is how long it takes, besides the latency of all.
	Wait time.Duration
	// Hang gives no answer at all, until the client leaves.
	Hang bool
	// Cut resets the request after the status and one byte.
	Cut bool
	// GoAway ends the connection with this answer.
	GoAway bool
}

// Script has the next requests for a device answered one after another. Beyond the last
// it is 200 again. Requests that are wrong themselves take none of the answers.
func (a *APNs) Script(token string, answers ...APNsAnswer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.scripts[token] = append(a.scripts[token], answers...)
}

// ServeHTTP answers one request.
func (a *APNs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return // the client has left
	}
	latency, others := a.begin(r)
	defer a.finish()
	if others != nil {
		select {
		case <-others:
		case <-r.Context().Done():
			return
		case <-a.end:
			return
		}
	}
	token := strings.TrimPrefix(r.URL.Path, "/3/device/")
	status, reason := a.check(r, token, body)
	answer := APNsAnswer{Status: status, Reason: reason}
	if status == http.StatusOK {
		answer = a.next(token)
	}
	if !a.wait(r, latency+answer.Wait, answer.Hang) {
		return
	}
	a.note(r, token, body, &answer)
	a.write(w, r, &answer)
}

// begin counts a request. It is told how long all answers take, and what it has to wait
// for first, or nil.
func (a *APNs) begin(r *http.Request) (latency time.Duration, others chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inFlight++
	a.most = max(a.most, a.inFlight)
	if a.gather > 0 && a.inFlight >= a.gather {
		a.gather = 0
		close(a.gathered)
	}
	conn, ok := r.Context().Value(apnsConn{}).(*apnsConn)
	if ok && conn.used && a.gather > 0 {
		others = a.gathered
	}
	if ok {
		conn.used = true
	}
	return a.latency, others
}

func (a *APNs) finish() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inFlight--
}

// next is the next answer for a device.
func (a *APNs) next(token string) APNsAnswer {
	a.mu.Lock()
	defer a.mu.Unlock()
	answer := APNsAnswer{}
	if script := a.scripts[token]; len(script) > 0 {
		answer, a.scripts[token] = script[0], script[1:]
	}
	if answer.Status == 0 {
		answer.Status = http.StatusOK
	}
	return answer
}

// wait reports whether there is still somebody to answer.
func (a *APNs) wait(r *http.Request, d time.Duration, ever bool) bool {
	if d == 0 && !ever {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	elapsed := timer.C
	if ever {
		elapsed = nil
	}
	select {
	case <-elapsed:
		return true
	case <-r.Context().Done():
	case <-a.end:
	}
	return false
}

// note keeps a request for the test to look at.
func (a *APNs) note(r *http.Request, token string, body []byte, answer *APNsAnswer) {
	header := r.Header.Clone()
	header.Del("Authorization")
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = append(a.requests, APNsRequest{Token: token, Header: header, Body: body, Status: answer.Status, Reason: answer.Reason})
}

// write writes an answer.
func (a *APNs) write(w http.ResponseWriter, r *http.Request, answer *APNsAnswer) {
	a.mu.Lock()
	conn, ok := r.Context().Value(apnsConn{}).(*apnsConn)
	last := ok && conn.farewells < a.farewells
	a.mu.Unlock()
	maps.Copy(w.Header(), answer.Header)
	if last || answer.GoAway {
		w.Header().Set("Connection", "close") // which is a GOAWAY in HTTP/2
	}
	w.Header().Set("apns-id", r.Header.Get("apns-id"))
	if answer.Status == http.StatusOK {
		w.WriteHeader(http.StatusOK)
		return
	}
	body := answer.Body
	if body == nil && answer.Reason != "" {
		said := map[string]any{"reason": answer.Reason}
		if !answer.Timestamp.IsZero() {
			said["timestamp"] = answer.Timestamp.UnixMilli()
		}
		body, _ = json.Marshal(said)
	}
	w.WriteHeader(answer.Status)
	if answer.Cut {
		_, _ = w.Write([]byte("{"))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(body) // the client may have left
}
