// Package migrate reads the settings of other realtime servers, and says the same in the
// words of this one: soketi, Laravel Reverb and Pusher Channels. What cannot be said, or
// not exactly, it reports.
//
// It knows the words of a configuration, not what they mean here: its result is to be
// checked as any configuration is.
package migrate

import (
	"fmt"
	"strings"
)

// The servers that settings may be of.
const (
	Soketi  = "soketi"
	Reverb  = "reverb"
	Pusher  = "pusher"
	Sockudo = "sockudo"
)

// Sources are all of them, in the order in which they are described.
var Sources = []string{Soketi, Reverb, Pusher, Sockudo}

// File is one that settings are read from.
type File struct {
	// Name is what errors and reports call it.
	Name string
	// Text is what is in it.
	Text []byte
}

// Read reads the settings of a server other than Sockudo.
func Read(from string, files []File) (*Result, error) {
	read := map[string]func([]File) (*Result, error){Soketi: readSoketi, Reverb: readReverb, Pusher: readPusher}[from]
	if read == nil {
		return nil, fmt.Errorf("%q is no server whose settings are read here; there are %s", from, strings.Join(Sources, ", "))
	}
	r, err := read(files)
	if err != nil {
		return nil, err
	}
	r.envfile(files)
	return r, nil
}
