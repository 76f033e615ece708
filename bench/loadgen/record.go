//go:build linux

package loadgen

import "strconv"

// form is what the events of a run look like.
type form struct {
	payload int    // bytes of data, before JSON escapes them
	record  bool   // data is JSON, not plain text
	tags    string // a JSON object, or empty
}

// appendEvent appends the JSON of one event. Channel names and data are the
// generator's own and need no other escapes than those that appendRecord writes.
func (f form) appendEvent(b []byte, channel string, s stamp) []byte {
	b = append(b, `{"name":"bench","channel":`...)
	b = strconv.AppendQuote(b, channel)
	if f.tags != "" {
		b = append(append(b, `,"tags":`...), f.tags...)
	}
	b = append(b, `,"data":"`...)
	if f.record {
		b = s.appendRecord(b, f.payload)
	} else {
		b = s.appendData(b, f.payload)
	}
	return append(b, `"}`...)
}

// recordLevels is the number of entries after which one more of a record's prices
// changes from event to event.
const recordLevels = 4

// appendRecord appends event data that is JSON and of the given size in bytes, as it
// stands inside a JSON string. It opens with the stamp and holds a price, as many
// entries of a list as there is room for, and a note that fills it up. From one
// event to the next the stamp changes, the price, and the price of the first and of
// every fourth entry. Sizes below 89 are raised to that.
func (s stamp) appendRecord(b []byte, size int) []byte {
	const open, end = `{\"stamp\":\"`, `,\"note\":\"`
	left := size - len(`{"stamp":"","price":12345.67,"note":""}`) - stampLen
	b = append(b, open...)
	b = s.appendData(b, 0)
	b = append(b, `\",\"price\":`...)
	b = appendPrice(b, 10_000_00+int64(s.seq)*7919%90_000_00)
	const entry = len(`,"l00":{"price":12345.67,"size":1000,"venue":"XETR"}`)
	for i := 0; i < 100 && left >= entry; i++ {
		left -= entry
		price := int64(20_000_00 + 101*i)
		if i%recordLevels == 0 {
			price += int64(s.seq) * int64(31+i) % 50_000_00
		}
		b = append(b, `,\"l`...)
		b = append(b, byte('0'+i/10), byte('0'+i%10))
		b = append(b, `\":{\"price\":`...)
		b = appendPrice(b, price)
		b = append(b, `,\"size\":1000,\"venue\":\"XETR\"}`...)
	}
	b = append(b, end...)
	for range left {
		b = append(b, 'x')
	}
	return append(b, `\"}`...)
}

// appendPrice appends hundredths as a number with two decimals.
func appendPrice(b []byte, hundredths int64) []byte {
	b = strconv.AppendInt(b, hundredths/100, 10)
	return append(b, '.', byte('0'+hundredths/10%10), byte('0'+hundredths%10))
}
