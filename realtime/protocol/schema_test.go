package protocol

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// schema is that of messages in Protobuf, for the library of those who make it.
type schema struct{ file protoreflect.FileDescriptor }

// field is a field of a message: of a type, or of a message of that name.
type field struct {
	number int32
	name   string
	kind   descriptorpb.FieldDescriptorProto_Type
	of     string
}

const (
	ofText   = descriptorpb.FieldDescriptorProto_TYPE_STRING
	ofNumber = descriptorpb.FieldDescriptorProto_TYPE_UINT64
	ofDouble = descriptorpb.FieldDescriptorProto_TYPE_DOUBLE
	ofBool   = descriptorpb.FieldDescriptorProto_TYPE_BOOL
	ofBytes  = descriptorpb.FieldDescriptorProto_TYPE_BYTES
	ofOther  = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
)

func newSchema(t testing.TB) schema {
	t.Helper()
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: new("wire.proto"), Syntax: new("proto3"), Package: new("wire"),
		MessageType: []*descriptorpb.DescriptorProto{
			optional("Envelope",
				[]field{
					{1, "event", ofText, ""},
					{2, "channel", ofText, ""},
					{3, "data", ofOther, "Data"},
					{4, "name", ofText, ""},
					{5, "user_id", ofText, ""},
					{7, "sequence", ofNumber, ""},
					{8, "conflation_key", ofText, ""},
					{9, "message_id", ofText, ""},
					{10, "stream_id", ofText, ""},
					{11, "serial", ofNumber, ""},
					{12, "idempotency_key", ofText, ""},
					{13, "extras", ofOther, "Extras"},
					{14, "delta_sequence", ofNumber, ""},
					{15, "delta_conflation_key", ofText, ""},
				},
				field{6, "tags", ofText, ""}),
			oneOf("Data", []field{{1, "string", ofText, ""}, {2, "structured", ofOther, "Structured"}, {3, "json", ofText, ""}, {4, "binary", ofBytes, ""}}),
			optional("Structured", []field{{1, "channel_data", ofText, ""}, {2, "channel", ofText, ""}, {3, "user_data", ofText, ""}},
				field{4, "extra", ofText, ""}),
			optional("Extras", []field{{2, "ephemeral", ofBool, ""}, {3, "idempotency_key", ofText, ""}, {4, "echo", ofBool, ""}, {5, "ai", ofOther, "Ai"}},
				field{1, "headers", ofOther, "ExtrasValue"}),
			oneOf("ExtrasValue", []field{{1, "string", ofText, ""}, {2, "number", ofDouble, ""}, {3, "bool", ofBool, ""}}),
			optional("Ai", nil, field{1, "transport", ofText, ""}, field{2, "codec", ofText, ""}),
		},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return schema{file}
}

func (f field) descriptor() *descriptorpb.FieldDescriptorProto {
	d := &descriptorpb.FieldDescriptorProto{
		Name: &f.name, Number: &f.number, Type: &f.kind, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
	}
	if f.of != "" {
		d.TypeName = new(".wire." + f.of)
	}
	return d
}

// optional is a message of optional fields, and of maps by text.
func optional(name string, fields []field, maps ...field) *descriptorpb.DescriptorProto {
	m := &descriptorpb.DescriptorProto{Name: &name}
	for i, f := range fields {
		d := f.descriptor()
		if f.of == "" {
			d.Proto3Optional, d.OneofIndex = new(true), new(int32(i))
			for len(m.OneofDecl) <= i {
				m.OneofDecl = append(m.OneofDecl, nil)
			}
			m.OneofDecl[i] = &descriptorpb.OneofDescriptorProto{Name: new("_" + f.name)}
		}
		m.Field = append(m.Field, d)
	}
	packed := m.OneofDecl[:0]
	for i, d := range m.OneofDecl {
		if d != nil {
			m.Field[i].OneofIndex = new(int32(len(packed)))
			packed = append(packed, d)
		}
	}
	m.OneofDecl = packed
	for _, f := range maps {
		entry := map[string]string{"tags": "TagsEntry", "extra": "ExtraEntry", "headers": "HeadersEntry", "transport": "TransportEntry", "codec": "CodecEntry"}[f.name]
		m.NestedType = append(m.NestedType, &descriptorpb.DescriptorProto{
			Name:    &entry,
			Field:   []*descriptorpb.FieldDescriptorProto{field{1, "key", ofText, ""}.descriptor(), field{2, "value", f.kind, f.of}.descriptor()},
			Options: &descriptorpb.MessageOptions{MapEntry: new(true)},
		})
		d := field{f.number, f.name, ofOther, name + "." + entry}.descriptor()
		d.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		m.Field = append(m.Field, d)
	}
	return m
}

// oneOf is a message of which one field is set.
func oneOf(name string, fields []field) *descriptorpb.DescriptorProto {
	m := &descriptorpb.DescriptorProto{Name: &name, OneofDecl: []*descriptorpb.OneofDescriptorProto{{Name: new("kind")}}}
	for _, f := range fields {
		d := f.descriptor()
		d.OneofIndex = new(int32)
		m.Field = append(m.Field, d)
	}
	return m
}

func (s schema) message(name protoreflect.Name) *dynamicpb.Message {
	return dynamicpb.NewMessage(s.file.Messages().ByName(name))
}

// decode reads a message with the library.
func (s schema) decode(payload []byte) (Decoded, error) {
	m := s.message("Envelope")
	if err := proto.Unmarshal(payload, m); err != nil {
		return Decoded{}, err
	}
	e := fields{m}
	d := Decoded{
		Event: e.text("event"), Channel: e.text("channel"), Name: e.text("name"), UserID: e.text("user_id"),
		MessageID: e.text("message_id"), StreamID: e.text("stream_id"), ConflationKey: e.text("delta_conflation_key"),
		Serial: e.value("serial").Uint(), HasSerial: e.has("serial"),
		DeltaSequence: e.value("delta_sequence").Uint(), HasDelta: e.has("delta_sequence"), Tags: e.texts("tags"),
	}
	if e.has("data") {
		e.message("data").decodeData(&d)
	}
	if !e.has("extras") {
		return d, nil
	}
	x := e.message("extras")
	d.Ephemeral, d.Echo = x.truth("ephemeral"), x.truth("echo")
	x.each("headers", func(name string, v protoreflect.Value) {
		if d.Headers == nil {
			d.Headers = map[string]any{}
		}
		d.Headers[name] = ""
		value := v.Message()
		if set := value.WhichOneof(value.Descriptor().Oneofs().Get(0)); set != nil {
			d.Headers[name] = value.Get(set).Interface()
		}
	})
	if x.has("ai") {
		d.AITransport, d.AICodec = x.message("ai").texts("transport"), x.message("ai").texts("codec")
	}
	return d, nil
}

func (f fields) decodeData(d *Decoded) {
	d.DataKind, d.Data = kindJSON, []byte("null")
	set := f.WhichOneof(f.Descriptor().Oneofs().Get(0))
	if set == nil {
		return
	}
	switch d.DataKind = string(set.Name()); d.DataKind {
	case kindBinary:
		d.Data = byteArray(f.Get(set).Bytes())
	case kindStructured:
		s, inner := structured{}, f.message("structured")
		for _, name := range structuredNames {
			if inner.has(protoreflect.Name(name)) {
				s.text(name, []byte(inner.text(protoreflect.Name(name))))
			}
		}
		for name, text := range inner.texts("extra") {
			s[name], _ = jsonText([]byte(text))
		}
		d.Data = s.json()
	case kindString:
		d.Data = AppendString(nil, f.Get(set).String())
	default:
		d.Data, _ = jsonText([]byte(f.Get(set).String()))
	}
}

// fields reads the fields of a message by name.
type fields struct{ protoreflect.Message }

func (f fields) field(name protoreflect.Name) protoreflect.FieldDescriptor {
	return f.Descriptor().Fields().ByName(name)
}

func (f fields) has(name protoreflect.Name) bool                 { return f.Has(f.field(name)) }
func (f fields) value(name protoreflect.Name) protoreflect.Value { return f.Get(f.field(name)) }
func (f fields) text(name protoreflect.Name) string              { return f.value(name).String() }
func (f fields) message(name protoreflect.Name) fields           { return fields{f.value(name).Message()} }

func (f fields) truth(name protoreflect.Name) *bool {
	if !f.has(name) {
		return nil
	}
	on := f.value(name).Bool()
	return &on
}

func (f fields) each(name protoreflect.Name, take func(string, protoreflect.Value)) {
	f.value(name).Map().Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
		take(key.String(), value)
		return true
	})
}

func (f fields) texts(name protoreflect.Name) (texts map[string]string) {
	f.each(name, func(key string, value protoreflect.Value) {
		if texts == nil {
			texts = map[string]string{}
		}
		texts[key] = value.String()
	})
	return texts
}

// envelope builds a message of some texts, of which data is a JSON text.
func (s schema) envelope(t testing.TB, texts map[protoreflect.Name]string) []byte {
	t.Helper()
	m := s.message("Envelope")
	for name, text := range texts {
		if name != "data" {
			m.Set(fields{m}.field(name), protoreflect.ValueOfString(text))
			continue
		}
		data := s.message("Data")
		data.Set(fields{data}.field(kindJSON), protoreflect.ValueOfString(text))
		m.Set(fields{m}.field(name), protoreflect.ValueOfMessage(data))
	}
	payload, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}
