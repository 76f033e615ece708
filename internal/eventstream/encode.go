package eventstream

import (
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sockudo/caddy-sockudo/internal/meter"
)

// Fields of the messages, see the package's description.
const (
	eventMetadata protowire.Number = 1
	eventMetric   protowire.Number = 2

	metadataName        protowire.Number = 1
	metadataType        protowire.Number = 2
	metadataUnit        protowire.Number = 3
	metadataDescription protowire.Number = 4

	metricName      protowire.Number = 1
	metricTimestamp protowire.Number = 2
	metricLabels    protowire.Number = 3

	incrementCounter protowire.Number = 4
	setCounter       protowire.Number = 5
	incrementGauge   protowire.Number = 6
	decrementGauge   protowire.Number = 7
	setGauge         protowire.Number = 8
	recordHistogram  protowire.Number = 9

	timestampSeconds protowire.Number = 1
	timestampNanos   protowire.Number = 2

	entryKey   protowire.Number = 1
	entryValue protowire.Number = 2
)

// metadataEvent is the event that describes a metric, with its length.
func metadataEvent(name string, info meter.Info) []byte {
	var body []byte
	body = appendText(body, metadataName, name)
	if kind := metricType(info.Kind); kind > 0 {
		body = protowire.AppendTag(body, metadataType, protowire.VarintType)
		body = protowire.AppendVarint(body, kind)
	}
	if info.Unit != "" {
		body = appendText(body, metadataUnit, info.Unit)
	}
	if info.Help != "" {
		body = appendText(body, metadataDescription, info.Help)
	}
	return event(eventMetadata, body)
}

func metricType(k meter.Kind) uint64 {
	switch k {
	case meter.KindGauge:
		return 1
	case meter.KindHistogram:
		return 2
	default:
		return 0
	}
}

// operation is one change of a metric.
type operation struct {
	name   string
	at     time.Time
	kind   meter.Kind
	labels []meter.Label
	op     meter.Op
	value  float64
}

// metricEvent is the event of an operation, with its length. There is none for a value
// that the operation cannot have.
func metricEvent(o operation) ([]byte, bool) {
	body := make([]byte, 0, 160)
	body = appendText(body, metricName, o.name)
	var stamp [2 * (1 + 10)]byte
	body = protowire.AppendTag(body, metricTimestamp, protowire.BytesType)
	body = protowire.AppendBytes(body, appendTimestamp(stamp[:0], o.at))
	for _, l := range o.labels {
		body = appendLabel(body, l)
	}
	body, ok := appendValue(body, o)
	if !ok {
		return nil, false
	}
	return event(eventMetric, body), true
}

// appendValue writes the operation itself. Counters are whole numbers on the wire.
func appendValue(b []byte, o operation) ([]byte, bool) {
	double := func(field protowire.Number) ([]byte, bool) {
		b = protowire.AppendTag(b, field, protowire.Fixed64Type)
		return protowire.AppendFixed64(b, math.Float64bits(o.value)), true
	}
	switch {
	case math.IsNaN(o.value):
		return b, false
	case o.op == meter.Observe:
		return double(recordHistogram)
	case o.kind == meter.KindCounter:
		return appendCount(b, o)
	case o.op == meter.Set:
		return double(setGauge)
	case o.op == meter.Decrease:
		return double(decrementGauge)
	default:
		return double(incrementGauge)
	}
}

func appendCount(b []byte, o operation) ([]byte, bool) {
	field := incrementCounter
	if o.op == meter.Set {
		field = setCounter
	}
	if o.op == meter.Decrease || o.value < 0 || o.value >= math.MaxUint64 {
		return b, false
	}
	b = protowire.AppendTag(b, field, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(math.Round(o.value))), true
}

func appendTimestamp(b []byte, at time.Time) []byte {
	b = protowire.AppendTag(b, timestampSeconds, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(at.Unix()))
	if n := at.Nanosecond(); n > 0 {
		b = protowire.AppendTag(b, timestampNanos, protowire.VarintType)
		b = protowire.AppendVarint(b, uint64(n))
	}
	return b
}

func appendLabel(b []byte, l meter.Label) []byte {
	var room [128]byte
	entry := appendText(appendText(room[:0], entryKey, l.Name), entryValue, l.Value)
	b = protowire.AppendTag(b, metricLabels, protowire.BytesType)
	return protowire.AppendBytes(b, entry)
}

// appendText writes text, which protobuf wants to be valid UTF-8.
func appendText(b []byte, field protowire.Number, text string) []byte {
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendString(b, text)
}

// event is the message around one of its kinds, behind its length.
func event(kind protowire.Number, body []byte) []byte {
	size := protowire.SizeTag(kind) + protowire.SizeBytes(len(body))
	b := make([]byte, 0, protowire.SizeVarint(uint64(size))+size)
	b = protowire.AppendVarint(b, uint64(size))
	b = protowire.AppendTag(b, kind, protowire.BytesType)
	return protowire.AppendBytes(b, body)
}
