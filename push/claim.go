package push

import "strings"

// claim names a run of a step, which others leave alone while it lives.
func (p *Pipeline) claim() (name string, end func()) {
	name = p.node + newID()
	p.mu.Lock()
	p.runs[name] = true
	p.mu.Unlock()
	return name, func() {
		p.mu.Lock()
		delete(p.runs, name)
		p.mu.Unlock()
	}
}

// claimed reports whether a run that has said that it lives until a time is to be left
// alone. One of this pipeline is known to live or not.
func (p *Pipeline) claimed(name string, until int64) bool {
	if name == "" || until <= p.nowMS() {
		return false
	}
	if !strings.HasPrefix(name, p.node) {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.runs[name]
}
