package protocol

import "math"

// more reads a member of a message that a server has sent.
func (p *packedReader) more(number int, d *Decoded) {
	if text := d.textSlot(number); text != nil {
		*text = p.text(slotNames[number-1])
		return
	}
	if value, has := d.numberSlot(number); value != nil {
		*value, *has = p.unsigned(slotNames[number-1])
		return
	}
	switch number {
	case slotTags:
		d.Tags = p.texts("tags")
	case slotExtras:
		p.extras(d)
	case slotSequence, slotConflationKey, slotIdempotencyKey:
		p.never(slotNames[number-1], d)
	default:
		p.skip()
	}
}

// never reads a member that only may be nil.
func (p *packedReader) never(name string, d *Decoded) {
	if len(p.rest) > 0 && p.rest[0] != packedNil {
		d.leak(name)
	}
	p.skip()
}

func (p *packedReader) unsigned(what string) (n uint64, ok bool) {
	switch v := p.next(); v.kind {
	case isNil:
		return 0, false
	case isUint:
		return v.n, true
	default:
		p.failf("%s must be an unsigned integer, not %s", what, v.kind)
		return 0, false
	}
}

func (p *packedReader) truth(what string) *bool {
	switch v := p.next(); v.kind {
	case isNil:
		return nil
	case isBool:
		on := v.n == 1
		return &on
	default:
		p.failf("%s must be a bool, not %s", what, v.kind)
		return nil
	}
}

// entries begins a map, and reports its size. A nil is none.
func (p *packedReader) entries(what string) (n uint64, ok bool) {
	switch v := p.next(); v.kind {
	case isNil:
		return 0, false
	case isMap:
		return v.n, true
	default:
		p.failf("%s must be a map, not %s", what, v.kind)
		return 0, false
	}
}

func (p *packedReader) texts(what string) map[string]string {
	n, ok := p.entries(what)
	if !ok {
		return nil
	}
	texts := map[string]string{}
	for ; n > 0 && p.err == nil; n-- {
		name := p.name(what)
		texts[string(name)] = string(p.body(isText, what))
	}
	return texts
}

// extrasNames are the members of extras, in their order in an array.
var extrasNames = [extrasSlots]string{"headers", "ephemeral", "idempotency_key", "echo", "ai"}

// extras reads extras as an array or as a map.
func (p *packedReader) extras(d *Decoded) {
	switch v := p.next(); {
	case v.kind == isNil:
	case v.kind == isArray && v.n == extrasSlots:
		for _, name := range extrasNames {
			p.extra(name, d)
		}
	case v.kind == isMap:
		for ; v.n > 0 && p.err == nil; v.n-- {
			p.extra(string(p.name("extras")), d)
		}
	default:
		p.failf("extras must be an array of %d or a map", extrasSlots)
	}
}

func (p *packedReader) extra(name string, d *Decoded) {
	switch name {
	case "headers":
		p.headers(d)
	case "ephemeral":
		d.Ephemeral = p.truth("extras.ephemeral")
	case "idempotency_key":
		p.never("extras.idempotency_key", d)
	case "echo":
		d.Echo = p.truth("extras.echo")
	case "ai":
		switch v := p.next(); {
		case v.kind == isNil:
		case v.kind == isArray && v.n == 2:
			d.AITransport = p.texts("extras.ai.transport")
			d.AICodec = p.texts("extras.ai.codec")
		default:
			p.failf("extras.ai must be an array of 2")
		}
	default:
		p.skip()
	}
}

func (p *packedReader) headers(d *Decoded) {
	n, ok := p.entries("extras.headers")
	if !ok {
		return
	}
	d.Headers = map[string]any{}
	for ; n > 0 && p.err == nil; n-- {
		name := p.name("extras.headers")
		d.Headers[string(name)] = p.header()
	}
}

func (p *packedReader) header() any {
	const what = "a header"
	kind, ok := p.pair(what)
	if !ok {
		p.failf("%s has no value", what)
		return nil
	}
	switch string(kind) {
	case kindString:
		return string(p.body(isText, what))
	case kindNumber:
		switch v := p.next(); v.kind {
		case isFloat:
			return math.Float64frombits(v.n)
		case isUint:
			return float64(v.n)
		case isNegative:
			return float64(int64(v.n))
		default:
			p.failf("%s of the kind number has none", what)
		}
	case kindBool:
		if on := p.truth(what); on != nil {
			return *on
		}
		p.failf("%s of the kind bool has none", what)
	default:
		p.failf("%s has the unknown kind %s", what, quoted(kind))
	}
	return nil
}
