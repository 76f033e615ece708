package main

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // body_md5 is part of the Pusher HTTP API
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// maxBody and maxSkew bound a publish: its size in bytes and its age in seconds.
const (
	maxBody = 1 << 20
	maxSkew = 600
)

// event is a publish to one or more channels.
type event struct {
	Name     string          `json:"name"`
	Data     json.RawMessage `json:"data"`
	Channel  string          `json:"channel"`
	Channels []string        `json:"channels"`
}

// publish serves events and batch_events.
func (h *Handler) publish(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return caddyhttp.Error(http.StatusRequestEntityTooLarge, err)
	}
	if !h.signed(r, body) {
		return caddyhttp.Error(http.StatusUnauthorized, nil)
	}
	request := struct {
		event
		Batch []event `json:"batch"`
	}{}
	if err := json.Unmarshal(body, &request); err != nil {
		return caddyhttp.Error(http.StatusBadRequest, err)
	}
	for _, e := range append(request.Batch, request.event) {
		if err := h.hub.publish(e); err != nil {
			return caddyhttp.Error(http.StatusBadRequest, err)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = io.WriteString(w, "{}")
	return err
}

func (h *hub) publish(e event) error {
	if e.Channel != "" {
		e.Channels = append(e.Channels, e.Channel)
	}
	for _, channel := range e.Channels {
		message, err := prepare(envelope{Event: e.Name, Channel: channel, Data: e.Data})
		if err != nil {
			return err
		}
		h.broadcast(channel, message)
	}
	return nil
}

// signed checks key, time, body hash and signature of a request.
func (h *Handler) signed(r *http.Request, body []byte) bool {
	query := r.URL.Query()
	at, err := strconv.ParseInt(query.Get("auth_timestamp"), 10, 64)
	if err != nil || query.Get("auth_key") != h.Key || max(at, time.Now().Unix())-min(at, time.Now().Unix()) > maxSkew {
		return false
	}
	sum := md5.Sum(body) //nolint:gosec // as above
	if query.Get("body_md5") != hex.EncodeToString(sum[:]) {
		return false
	}
	mac := hmac.New(sha256.New, []byte(h.Secret))
	mac.Write([]byte(r.Method + "\n" + r.URL.Path + "\n" + canonical(query)))
	return hmac.Equal([]byte(query.Get("auth_signature")), []byte(hex.EncodeToString(mac.Sum(nil))))
}

// canonical is the query as it is signed: sorted by name, without the signature.
func canonical(query url.Values) string {
	var pairs []string
	for name, values := range query {
		if name != "auth_signature" {
			pairs = append(pairs, strings.ToLower(name)+"="+strings.Join(values, ","))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}
