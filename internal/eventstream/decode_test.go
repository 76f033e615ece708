package eventstream_test

import (
	"testing"

	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	_ "google.golang.org/protobuf/types/known/timestamppb" // which the messages import

	"github.com/sockudo/caddy-sockudo/internal/eventstream"
	"github.com/sockudo/caddy-sockudo/internal/meter"
)

// schema is event.proto as a descriptor.
const schema = `
name: "event.proto" package: "event.proto" syntax: "proto3" dependency: "google/protobuf/timestamp.proto"
message_type { name: "Event"
  field { name: "metadata" number: 1 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: ".event.proto.Metadata" oneof_index: 0 }
  field { name: "metric" number: 2 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: ".event.proto.Metric" oneof_index: 0 }
  oneof_decl { name: "event" } }
message_type { name: "Metadata"
  field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "metric_type" number: 2 type: TYPE_ENUM label: LABEL_OPTIONAL type_name: ".event.proto.Metadata.MetricType" }
  field { name: "unit_value" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "description_value" number: 4 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 1 }
  enum_type { name: "MetricType" value { name: "COUNTER" number: 0 } value { name: "GAUGE" number: 1 } value { name: "HISTOGRAM" number: 2 } }
  oneof_decl { name: "unit" } oneof_decl { name: "description" } }
message_type { name: "Metric"
  field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "timestamp" number: 2 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: ".google.protobuf.Timestamp" }
  field { name: "labels" number: 3 type: TYPE_MESSAGE label: LABEL_REPEATED type_name: ".event.proto.Metric.LabelsEntry" }
  field { name: "increment_counter" number: 4 type: TYPE_UINT64 label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "set_counter" number: 5 type: TYPE_UINT64 label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "increment_gauge" number: 6 type: TYPE_DOUBLE label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "decrement_gauge" number: 7 type: TYPE_DOUBLE label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "set_gauge" number: 8 type: TYPE_DOUBLE label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "record_histogram" number: 9 type: TYPE_DOUBLE label: LABEL_OPTIONAL oneof_index: 0 }
  nested_type { name: "LabelsEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL } }
  oneof_decl { name: "operation" } }`

// eventType is the type of an event, as the library of those who make Protobuf knows it.
func eventType(t *testing.T) protoreflect.MessageDescriptor {
	t.Helper()
	var file descriptorpb.FileDescriptorProto
	if err := prototext.Unmarshal([]byte(schema), &file); err != nil {
		t.Fatal(err)
	}
	described, err := protodesc.NewFile(&file, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return described.Messages().ByName("Event")
}

// Another decoder than that of the other tests reads the stream, and finds nothing that the
// schema does not know.
//
// Checklist: configuration 130
func TestOtherDecoder(t *testing.T) {
	s, from := serve(t, eventstream.Options{}), newSource()
	s.Attach(from, prefix)
	r, kind := dial(t, s), eventType(t)
	read := func() *dynamicpb.Message {
		t.Helper()
		m := dynamicpb.NewMessage(kind)
		if err := protodelim.UnmarshalFrom(r.Rest(), m); err != nil {
			t.Fatal(err)
		}
		m.Range(func(_ protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			if unknown := v.Message().GetUnknown(); len(unknown) > 0 {
				t.Errorf("unknown fields %x", unknown)
			}
			return true
		})
		return m
	}
	equal := func(m *dynamicpb.Message, want string) {
		t.Helper()
		expected := dynamicpb.NewMessage(kind)
		if err := protojson.Unmarshal([]byte(want), expected); err != nil {
			t.Fatal(err)
		}
		if metric := kind.Fields().ByName("metric"); m.Has(metric) {
			at := metric.Message().Fields().ByName("timestamp")
			if !m.Get(metric).Message().Has(at) {
				t.Error("an operation without a time")
			}
			m.Mutable(metric).Message().Clear(at)
		}
		if got, want := protojson.Format(m), protojson.Format(expected); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	equal(read(), `{"metadata": {"name": "rt_events_total", "descriptionValue": "Events."}}`)
	equal(read(), `{"metadata": {"name": "rt_depth", "metricType": "GAUGE", "unitValue": "bytes", "descriptionValue": "Depth of the queue."}}`)
	equal(read(), `{"metadata": {"name": "rt_seconds", "metricType": "HISTOGRAM", "unitValue": "seconds", "descriptionValue": "Time."}}`)
	labels := []meter.Label{{Name: "app_id", Value: "a"}, {Name: "kind", Value: ""}}
	from.record("events_total", meter.Increment, 300, labels...)
	equal(read(), `{"metric": {"name": "rt_events_total", "labels": {"app_id": "a", "kind": ""}, "incrementCounter": 300}}`)
	from.record("depth", meter.Decrease, 1.5, labels...)
	equal(read(), `{"metric": {"name": "rt_depth", "labels": {"app_id": "a", "kind": ""}, "decrementGauge": 1.5}}`)
	from.record("seconds", meter.Observe, 0.25)
	equal(read(), `{"metric": {"name": "rt_seconds", "recordHistogram": 0.25}}`)
}
