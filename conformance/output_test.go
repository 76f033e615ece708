package conformance

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
)

// output keeps what a process wrote.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Len()
}

// since returns the last most bytes written after mark.
func (o *output) since(mark, most int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text.Bytes()[max(mark, o.text.Len()-most):])
}

// complaint is an error if the log has what no run may have.
func (o *output) complaint() error {
	text := o.since(0, 64<<20)
	for _, word := range []string{"DATA RACE", "panic:", `"level":"panic"`, "goroutine stack exceeds"} {
		if at := strings.Index(text, word); at >= 0 {
			return fmt.Errorf("%s in the log of the server:\n%s", word, text[at:min(len(text), at+4<<10)])
		}
	}
	return nil
}
