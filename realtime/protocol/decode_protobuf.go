package protocol

import "math"

// more reads a member of a message that a server has sent.
func (f *fieldReader) more(d *Decoded) {
	if text := d.textSlot(f.field); text != nil {
		*text = string(f.text(slotNames[f.field-1]))
		return
	}
	if value, has := d.numberSlot(f.field); value != nil {
		*value, *has = f.number(slotNames[f.field-1]), true
		return
	}
	switch f.field {
	case slotTags:
		f.texts(&d.Tags, "tags")
	case slotExtras:
		f.extras(d)
	case slotSequence, slotConflationKey, slotIdempotencyKey:
		d.leak(slotNames[f.field-1])
	}
}

// texts adds an entry to a map.
func (f *fieldReader) texts(into *map[string]string, what string) {
	key, value := f.entry(what)
	if *into == nil {
		*into = map[string]string{}
	}
	(*into)[string(key)] = string(value)
}

func (f *fieldReader) truth(what string) *bool {
	on := f.number(what) != 0
	return &on
}

func (f *fieldReader) extras(d *Decoded) {
	x := f.message("extras")
	for x.next() {
		switch x.field {
		case fieldHeaders:
			x.header(d)
		case fieldEphemeral:
			d.Ephemeral = x.truth("extras.ephemeral")
		case fieldIdempotency:
			d.leak("extras.idempotency_key")
		case fieldEcho:
			d.Echo = x.truth("extras.echo")
		case fieldAI:
			ai := x.message("extras.ai")
			for ai.next() {
				switch ai.field {
				case fieldTransport:
					ai.texts(&d.AITransport, "extras.ai.transport")
				case fieldCodec:
					ai.texts(&d.AICodec, "extras.ai.codec")
				}
			}
			x.end(&ai)
		}
	}
	f.end(&x)
}

// header reads an entry of the headers. A value of no kind is an empty text.
func (f *fieldReader) header(d *Decoded) {
	const what = "extras.headers"
	var name string
	value := any("")
	e := f.message(what)
	for e.next() {
		switch e.field {
		case fieldKey:
			name = string(e.text(what))
		case fieldValue:
			v := e.message(what)
			for v.next() {
				switch v.field {
				case fieldString:
					value = string(v.text(what))
				case fieldNumber:
					if v.wire != wireFixed8 {
						v.failf("a header of the kind number has the wire type %d, not %d", v.wire, wireFixed8)
					}
					value = math.Float64frombits(v.n)
				case fieldBool:
					value = *v.truth(what)
				}
			}
			e.end(&v)
		}
	}
	f.end(&e)
	if d.Headers == nil {
		d.Headers = map[string]any{}
	}
	d.Headers[name] = value
}
