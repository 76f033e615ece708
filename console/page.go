package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"time"
)

//go:embed page
var embedded embed.FS

// file is one of the page, with what the browser is told about it.
type file struct {
	body []byte
	kind string
	tag  string
}

var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
}

// files are those of the page, by name.
var files = readFiles()

func readFiles() map[string]file {
	all := map[string]file{}
	entries, err := embedded.ReadDir("page")
	if err != nil {
		return all // it is in the binary
	}
	for _, entry := range entries {
		body, err := embedded.ReadFile("page/" + entry.Name())
		if err != nil {
			continue
		}
		sum := sha256.Sum256(body)
		all[entry.Name()] = file{body, kinds[path.Ext(entry.Name())], `"` + hex.EncodeToString(sum[:12]) + `"`}
	}
	return all
}

// servePage serves a file of the page. There is nothing in it that is not public.
func servePage(w http.ResponseWriter, r *http.Request, name string) {
	if name == "" {
		name = "index.html"
	}
	f, ok := files[name]
	switch {
	case !ok:
		refuse(w, http.StatusNotFound, "There is no such thing here.")
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "This can only be read.")
	default:
		w.Header().Set("Content-Type", f.kind)
		w.Header().Set("ETag", f.tag)
		w.Header().Set("Cache-Control", "no-cache") // it is asked every time whether it has changed
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
	}
}
