package delta

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// envelope is a message as a V2 client gets it, of about size bytes, in which the
// ids and two numbers differ from message to message.
func envelope(serial, size int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"event":"tick","channel":"ticker","data":"{\"symbol\":\"BTC\",\"price\":%d.%02d,`, 60000+serial%97, serial%100)
	for i := 0; b.Len() < size-190; i++ {
		fmt.Fprintf(&b, `\"field%d\":\"value %d\",`, i, i*7919)
	}
	fmt.Fprintf(&b, `\"volume\":%d}","message_id":"%s","stream_id":"0d6cfc3a-6a5e-4b0a-9d0c-f6a1d4a3b7c1","serial":%d}`,
		1000+serial*37%9000, uuid(serial), serial)
	return b.Bytes()
}

func uuid(n int) string {
	r := rand.New(rand.NewPCG(uint64(n), 0))
	return fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", r.Uint32(), r.Uint32()>>16, r.Uint32()>>20, r.Uint32()>>20, r.Uint64()>>16)
}

// BenchmarkEncode reports what a delta saves of the text's bytes, in per cent, once
// it is in base64.
func BenchmarkEncode(b *testing.B) {
	r := rand.New(rand.NewPCG(5, 6))
	book := ticker(r, 10<<10)
	noise := random(r, 100<<10)
	for _, one := range []sample{
		{"two numbers and ids in 500 B", envelope(41, 500), envelope(42, 500)},
		{"two numbers and ids in 10 KiB", envelope(41, 10<<10), envelope(42, 10<<10)},
		{"20 edits in 10 KiB", book, edited(r, book, 20)},
		{"halves exchanged in 10 KiB", book, append(bytes.Clone(book[5<<10:]), book[:5<<10]...)},
		{"nothing in common in 100 KiB", noise, random(r, 100<<10)},
	} {
		for _, a := range algorithms {
			b.Run(a.String()+"/"+one.name, func(b *testing.B) {
				b.ReportAllocs()
				size := 0
				for b.Loop() {
					size = len(Encode(a, one.base, one.target))
				}
				b.ReportMetric(float64(size), "B/delta")
				b.ReportMetric(100*(1-float64((size+2)/3*4)/float64(len(one.target))), "%saved")
			})
		}
	}
}
