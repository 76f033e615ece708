package conformance

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// publisher signs requests itself, so that it can do what no SDK does: try again
// with the same idempotency_key.
type publisher struct {
	server *server
	client *http.Client
	// retried counts requests that were sent again.
	retried int
}

func newPublisher(s *server) *publisher {
	// A transport of its own: its connections are kept alive as an application's are,
	// and a reload may find one of them in use.
	return &publisher{server: s, client: &http.Client{Transport: new(http.Transport), Timeout: 10 * time.Second}}
}

// event is the body of a publish.
type event struct {
	Name           string `json:"name"`
	Channel        string `json:"channel"`
	Data           string `json:"data"`
	IdempotencyKey string `json:"idempotency_key,omitempty"`
}

// publish sends an event once, however often it has to be tried. Tried again is
// what no answer came for, and what says that the first try is still under way.
func (p *publisher) publish(e event) error {
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		status, answer, err := p.post(p.server.app, "/events", body)
		switch {
		case err == nil && status == http.StatusOK:
			return nil
		case try == 10:
			return errors.Join(fmt.Errorf("%s: given up, last answer %d %s", e.Data, status, answer), err)
		case err == nil && !(try > 1 && status == http.StatusServiceUnavailable):
			return fmt.Errorf("%s: %d %s", e.Data, status, answer)
		}
		p.retried++
		time.Sleep(5 * time.Millisecond)
	}
}

// post sends a signed request and returns what was answered.
func (p *publisher) post(a app, path string, body []byte) (status int, answer string, err error) {
	path = "/apps/" + a.ID + path
	sum := md5.Sum(body)
	query := "auth_key=" + a.Key + "&auth_timestamp=" + strconv.FormatInt(time.Now().Unix(), 10) +
		"&auth_version=1.0&body_md5=" + hex.EncodeToString(sum[:])
	url := p.server.url(path) + "?" + query + "&auth_signature=" + sign(a.Secret, "POST\n"+path+"\n"+query)
	res, err := p.client.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}
