package delta

import (
	"fmt"
	"math"
	"slices"
)

// vcdiffReader reads one section of a delta.
type vcdiffReader struct{ rest []byte }

func (r *vcdiffReader) byte() (byte, error) {
	if len(r.rest) == 0 {
		return 0, fmt.Errorf("%w: it ends too early", ErrCorrupt)
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b, nil
}

// integer reads a number of at most 31 bits.
func (r *vcdiffReader) integer() (int, error) {
	n := 0
	for {
		b, err := r.byte()
		if err != nil {
			return 0, err
		}
		if n > math.MaxInt32>>7 {
			return 0, fmt.Errorf("%w: a number has more than 31 bits", ErrCorrupt)
		}
		n = n<<7 | int(b&0x7f)
		if b < 0x80 {
			return n, nil
		}
	}
}

// take reads size bytes.
func (r *vcdiffReader) take(size int) ([]byte, error) {
	if size > len(r.rest) {
		return nil, fmt.Errorf("%w: %d bytes where %d are left", ErrCorrupt, size, len(r.rest))
	}
	part := r.rest[:size]
	r.rest = r.rest[size:]
	return part, nil
}

// decodeVCDIFF takes any number of windows, like the decoders of clients, and
// none of the options that they refuse.
func decodeVCDIFF(base, delta []byte, maxSize int) ([]byte, error) {
	if len(delta) < len(vcdiffHeader) || string(delta[:len(vcdiffHeader)]) != vcdiffHeader {
		return nil, fmt.Errorf("%w: not VCDIFF, or with an option in its header", ErrCorrupt)
	}
	r := vcdiffReader{delta[len(vcdiffHeader):]}
	var out []byte
	for first := true; first || len(r.rest) > 0; first = false {
		w, err := r.window(base)
		if err != nil {
			return nil, err
		}
		if w.size > maxSize-len(out) {
			return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, maxSize)
		}
		w.out, w.start = slices.Grow(out, w.size), len(out)
		if err := w.run(); err != nil {
			return nil, err
		}
		out = w.out
	}
	return out, nil
}

// window is one window of a delta while it is applied.
type window struct {
	source []byte
	size   int // of the target
	start  int // where the target begins in out
	out    []byte
	cache  addressCache

	data, instructions, addresses vcdiffReader
}

// window reads a window up to its end.
func (r *vcdiffReader) window(base []byte) (*window, error) {
	w := new(window)
	indicator, err := r.byte()
	if err != nil {
		return nil, err
	}
	switch indicator {
	case 0:
	case vcdSource:
		if w.source, err = r.segment(base); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("%w: window indicator %#x", ErrCorrupt, indicator)
	}
	length, err := r.integer()
	if err != nil {
		return nil, err
	}
	body, err := r.take(length)
	if err != nil {
		return nil, err
	}
	return w, w.open(vcdiffReader{body})
}

// segment reads which part of the base is the source.
func (r *vcdiffReader) segment(base []byte) ([]byte, error) {
	size, err := r.integer()
	if err != nil {
		return nil, err
	}
	from, err := r.integer()
	if err != nil {
		return nil, err
	}
	if size+from > len(base) {
		return nil, fmt.Errorf("%w: a source of %d bytes from %d in a base of %d", ErrCorrupt, size, from, len(base))
	}
	return base[from : from+size], nil
}

// open splits the body of a window into its sections.
func (w *window) open(body vcdiffReader) (err error) {
	if w.size, err = body.integer(); err != nil {
		return err
	}
	indicator, err := body.byte()
	if err != nil {
		return err
	}
	if indicator != 0 {
		return fmt.Errorf("%w: delta indicator %#x", ErrCorrupt, indicator)
	}
	var sizes [3]int
	for i := range sizes {
		if sizes[i], err = body.integer(); err != nil {
			return err
		}
	}
	for i, section := range [3]*vcdiffReader{&w.data, &w.instructions, &w.addresses} {
		if section.rest, err = body.take(sizes[i]); err != nil {
			return err
		}
	}
	if len(body.rest) > 0 {
		return fmt.Errorf("%w: %d bytes after a window", ErrCorrupt, len(body.rest))
	}
	return nil
}

// run applies all instructions.
func (w *window) run() error {
	for len(w.instructions.rest) > 0 {
		code, err := w.instructions.byte()
		if err != nil {
			return err
		}
		for _, one := range codes[code] {
			if err := w.apply(one); err != nil {
				return err
			}
		}
	}
	if done := len(w.out) - w.start; done != w.size {
		return fmt.Errorf("%w: a window has %d of %d bytes", ErrCorrupt, done, w.size)
	}
	if left := len(w.data.rest) + len(w.addresses.rest); left > 0 {
		return fmt.Errorf("%w: %d bytes of a window are not used", ErrCorrupt, left)
	}
	return nil
}

func (w *window) apply(one instruction) (err error) {
	if one.kind == noop {
		return nil
	}
	size := int(one.size)
	if size == 0 {
		if size, err = w.instructions.integer(); err != nil {
			return err
		}
	}
	if done := len(w.out) - w.start; size > w.size-done {
		return fmt.Errorf("%w: a window is longer than %d bytes", ErrCorrupt, w.size)
	}
	switch one.kind {
	case add:
		part, err := w.data.take(size)
		if err != nil {
			return err
		}
		w.out = append(w.out, part...)
	case run:
		b, err := w.data.byte()
		if err != nil {
			return err
		}
		for range size {
			w.out = append(w.out, b)
		}
	default:
		return w.copy(int(one.mode), size)
	}
	return nil
}

// copy copies from the source, from the target, or across the border between them.
func (w *window) copy(mode, size int) error {
	here := len(w.source) + len(w.out) - w.start
	address, err := w.address(mode, here)
	if err != nil {
		return err
	}
	if address >= here && size > 0 {
		return fmt.Errorf("%w: a copy from %d, at %d", ErrCorrupt, address, here)
	}
	if address < len(w.source) {
		n := min(size, len(w.source)-address)
		w.out = append(w.out, w.source[address:address+n]...)
		address, size = address+n, size-n
	}
	for from := w.start + address - len(w.source); size > 0; size-- {
		w.out = append(w.out, w.out[from]) // which may just have been written
		from++
	}
	return nil
}

func (w *window) address(mode, here int) (address int, err error) {
	if mode >= modeSame {
		b, err := w.addresses.byte()
		if err != nil {
			return 0, err
		}
		address = int(w.cache.same[(mode-modeSame)*256+int(b)])
	} else {
		if address, err = w.addresses.integer(); err != nil {
			return 0, err
		}
		switch {
		case mode == modeHere:
			address = here - address
		case mode >= modeNear:
			address += int(w.cache.near[mode-modeNear])
		}
	}
	if address < 0 || address > math.MaxInt32 {
		return 0, fmt.Errorf("%w: address %d", ErrCorrupt, address)
	}
	w.cache.add(uint32(address))
	return address, nil
}
