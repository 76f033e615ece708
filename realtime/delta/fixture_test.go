package delta

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
)

// algorithms are all of them, for tests that hold for each.
var algorithms = []Algorithm{Fossil, XDelta3}

// sample is a pair of texts that differ in one way.
type sample struct {
	name         string
	base, target []byte
}

// samples are pairs of every kind, the same in each run.
func samples() []sample {
	r := rand.New(rand.NewPCG(1, 2))
	tick := ticker(r, 500)
	book := ticker(r, 100<<10)
	noise := random(r, 100<<10)
	list := []sample{
		{"both empty", nil, nil},
		{"empty base", nil, tick},
		{"empty target", tick, nil},
		{"identical", tick, tick},
		{"one byte", []byte("a"), []byte("b")},
		{"shorter than a window", []byte("abcdefg"), []byte("abXdefg")},
		{"grows at the end", tick, append(bytes.Clone(tick), tick[:40]...)},
		{"grows at the start", tick, append(bytes.Clone(tick[100:140]), tick...)},
		{"shrinks", tick, tick[30 : len(tick)-30]},
		{"disjoint", bytes.Repeat([]byte("a"), 5000), bytes.Repeat([]byte("b"), 5000)},
		{"one byte repeated", bytes.Repeat([]byte("a"), 100<<10), bytes.Repeat([]byte("a"), 99<<10)},
		{"a period of two", bytes.Repeat([]byte("ab"), 20<<10), bytes.Repeat([]byte("ba"), 20<<10)},
		{"a period of nine", bytes.Repeat([]byte("abcdefgh,"), 9<<10), bytes.Repeat([]byte("abcdefgh,X"), 9<<10)},
		{"halves exchanged", book, append(bytes.Clone(book[50<<10:]), book[:50<<10]...)},
		{"large with edits", book, edited(r, book, 50)},
		{"large from nothing", nil, book},
		{"noise", noise, edited(r, noise, 200)},
		{"noise from noise", noise, random(r, 100<<10)},
		{"above a megabyte", bytes.Repeat(noise, 12), edited(r, bytes.Repeat(noise, 12), 20)},
	}
	for i := range 300 {
		base := ticker(r, 20+r.IntN(3000))
		list = append(list, sample{fmt.Sprint("edited ", i), base, edited(r, base, 1+r.IntN(8))})
	}
	for i := range 300 {
		alphabet := 1 + r.IntN(4)
		list = append(list, sample{fmt.Sprint("few letters ", i), letters(r, r.IntN(400), alphabet), letters(r, r.IntN(400), alphabet)})
	}
	return list
}

// ticker is a JSON-like text of about size bytes.
func ticker(r *rand.Rand, size int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"event":"tick","channel":"ticker","data":"[`)
	for b.Len() < size {
		fmt.Fprintf(&b, `{\"symbol\":\"S%d\",\"bid\":%.2f,\"ask\":%.2f,\"venue\":\"XETR\"},`, r.IntN(100), r.Float64()*1000, r.Float64()*1000)
	}
	b.WriteString(`]"}`)
	return b.Bytes()
}

// edited changes, inserts and removes a few bytes here and there.
func edited(r *rand.Rand, text []byte, times int) []byte {
	text = bytes.Clone(text)
	for range times {
		at := r.IntN(len(text) + 1)
		n := min(r.IntN(12), len(text)-at)
		text = append(text[:at:at], append(random(r, r.IntN(12)), text[at+n:]...)...)
	}
	return text
}

func random(r *rand.Rand, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(r.UintN(256))
	}
	return b
}

func letters(r *rand.Rand, size, alphabet int) []byte {
	return []byte(strings.Map(func(rune) rune { return rune('a' + r.IntN(alphabet)) }, strings.Repeat(".", size)))
}
