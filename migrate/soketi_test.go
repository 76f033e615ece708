package migrate

import (
	"strings"
	"testing"
)

// TestVariablesAreReported sets every variable of every server, and wants each in the
// report.
func TestVariablesAreReported(t *testing.T) {
	texts := map[string]string{Soketi: "", Reverb: "", Pusher: ""}
	for name, path := range soketiVariables {
		texts[Soketi] += "SOKETI_" + name + "=" + sample(path) + "\n"
	}
	for name, path := range reverbVariables {
		if name != "REVERB_APP_ALLOWED_ORIGINS" { // another name of the same
			texts[Reverb] += name + "=" + sample(path) + "\n"
		}
	}
	for name, path := range pusherVariables {
		texts[Pusher] += name + "=" + sample(path) + "\n"
	}
	for from, text := range texts {
		r, err := Read(from, []File{{".env", []byte(text + "UNRELATED=1\n")}})
		if err != nil {
			t.Errorf("%s: %v", from, err)
			continue
		}
		reported := map[string]bool{}
		for _, e := range r.Report {
			first, _, _ := strings.Cut(e.Setting, ".")
			reported[first] = true
			if strings.Contains(e.Note, "as far as is known here") {
				t.Errorf("%s is unknown", e.Setting)
			}
		}
		for line := range strings.Lines(text + "UNRELATED=1") {
			if name, _, _ := strings.Cut(line, "="); !reported[name] {
				t.Errorf("%s: %s is not in the report", from, name)
			}
		}
	}
}

// sample is a value that an option may have.
func sample(path string) string {
	last := path[strings.LastIndexByte(path, '.')+1:]
	switch {
	case path == "url":
		return "https://k:a-secret@h/apps/1"
	case strings.HasSuffix(path, "scaling.server.url"):
		return "redis://h"
	case last == "driver":
		switch path {
		case "appManager.driver":
			return "array"
		case "adapter.driver":
			return "cluster"
		case "metrics.driver":
			return "prometheus"
		case "queue.driver":
			return "sync"
		case "cache.driver":
			return "memory"
		}
		return "local"
	case path == "mode":
		return "server"
	case last == "webhooks" || strings.HasSuffix(path, "servers") || last == "sentinels" || last == "clusterNodes":
		return `[{"url":"https://h","event_types":["a"],"host":"h"}]`
	case strings.HasSuffix(last, "Options"):
		return `{"host":"h"}`
	case last == "scheme":
		return "https"
	case last == "host" && strings.HasPrefix(path, "options"):
		return "h"
	case last == "accept_client_events_from":
		return "members"
	}
	return "1"
}
