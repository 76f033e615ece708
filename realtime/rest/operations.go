package rest

import (
	"encoding/json"
	"net/http"
	"strings"

	"go.uber.org/zap"
)

// serveOperations answers the endpoints that are neither signed nor limited.
func (h *Handler) serveOperations(w http.ResponseWriter, r *http.Request, path string) {
	var serve func(http.ResponseWriter, *http.Request, string)
	switch {
	case path == "/live":
		serve = alive
	case path == "/up", appOfUp(path) != "":
		serve = h.up
	case path == "/usage", path == "/stats", path == "/operator/stats":
		if h.usageServed() {
			serve = h.usage
		}
	}
	switch {
	case serve == nil:
		writeNotFound(w)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		methodNotAllowed.with("Method not allowed").write(w)
	default:
		serve(w, r, path)
	}
}

// appOfUp is the app that a path /up/{app} names, or "".
func appOfUp(path string) string {
	app, _ := strings.CutPrefix(path, "/up/")
	if len(app) == len(path) || strings.Contains(app, "/") {
		return ""
	}
	return app
}

// alive answers /live: the process serves requests, nothing else.
func alive(w http.ResponseWriter, _ *http.Request, _ string) {
	w.WriteHeader(http.StatusOK)
}

func (h *Handler) usageServed() bool {
	live, err := h.hub.Live()
	if err != nil {
		return false
	}
	defer live.Release()
	return live.Settings.HTTP.Usage
}

// usage answers /usage with the memory, and /stats with everything.
func (h *Handler) usage(w http.ResponseWriter, r *http.Request, path string) {
	var answer any = struct {
		Memory Memory `json:"memory"`
	}{ReadMemory()}
	if path != "/usage" {
		stats, err := ReadStats(r.Context(), h.hub)
		if err != nil {
			h.warn("collecting statistics", err)
			errStoreDown.write(w)
			return
		}
		answer = stats
	}
	body, err := json.Marshal(answer)
	if err != nil {
		h.warn("encoding statistics", err)
		errInternal.write(w)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, body)
}

func (h *Handler) warn(what string, err error) {
	if live, e := h.hub.Live(); e == nil {
		live.Settings.Log.Warn(what, zap.Error(err))
		live.Release()
	}
}
