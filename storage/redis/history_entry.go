package redis

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sockudo/caddy-sockudo/storage"
)

// readEntry reads what is kept of an entry, see historyCommon.
func readEntry(serial uint64, text string) (storage.LogEntry, error) {
	e := storage.LogEntry{Serial: serial}
	wrong := func() (storage.LogEntry, error) {
		return storage.LogEntry{}, fmt.Errorf("%.100q is where entry %d of a log should be: somebody else has written there", text, serial)
	}
	var n [6]uint64
	rest := text
	for i := range n {
		word, after, ok := strings.Cut(rest, " ")
		value, err := strconv.ParseUint(word, 10, 63)
		if !ok || err != nil || strconv.FormatUint(value, 10) != word {
			return wrong()
		}
		n[i], rest = value, after
	}
	if n[1] > 1 || n[4] > storage.MaxLogPayload || n[5] > uint64(len(rest)) || n[5] > storage.MaxLogText || uint64(len(rest))-n[5] > storage.MaxLogText {
		return wrong()
	}
	e.Row, e.IsRow, e.At, e.Total, e.Size = n[0], n[1] == 1, int64(n[2]), n[3], int(n[4])
	e.Subject, e.Once = rest[:n[5]], rest[n[5]:]
	return e, nil
}

// number is a serial or sum in an answer. Scripts count in floating point, which holds
// whole numbers up to 1<<53.
func number(element any) (uint64, error) {
	text, _ := element.(string)
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > maxNumber {
		return 0, fmt.Errorf("the script answers %.100v for a number", element)
	}
	return n, nil
}

// maxNumber is the largest whole number that scripts count to.
const maxNumber = 1 << 53

// readTriples reads entries: the serial, what is kept of it, and the payload.
func readTriples(list []any, bare bool) ([]storage.LogEntry, error) {
	if len(list)%3 != 0 {
		return nil, fmt.Errorf("the script answers with %d elements, where three are an entry", len(list))
	}
	entries := make([]storage.LogEntry, 0, len(list)/3)
	for ; len(list) > 0; list = list[3:] {
		serial, err := number(list[0])
		if err != nil {
			return nil, err
		}
		text, _ := list[1].(string)
		payload, isText := list[2].(string)
		e, err := readEntry(serial, text)
		if err != nil {
			return nil, err
		}
		if !bare {
			if e.Payload = []byte(payload); !isText || len(payload) != e.Size {
				return nil, fmt.Errorf("entry %d of a log has %d bytes of %d: somebody else has written there", serial, len(payload), e.Size)
			}
		}
		entries = append(entries, e)
	}
	return entries, nil
}
