package conformance

import (
	"encoding/json"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// A column of the schema of Appendix D: the number of a field is its place.
type column struct {
	name string
	// of is a scalar type, the name of a message, or "map" for texts by name, or "map "
	// and the name of a message.
	of string
}

// schema is Appendix D. The fields of the messages in unions are in a oneof.
var schema = map[string][]column{
	"Envelope": {
		{"event", "string"},
		{"channel", "string"},
		{"data", "Data"},
		{"name", "string"},
		{"user_id", "string"},
		{"tags", "map"},
		{"sequence", "uint64"},
		{"conflation_key", "string"},
		{"message_id", "string"},
		{"stream_id", "string"},
		{"serial", "uint64"},
		{"idempotency_key", "string"},
		{"extras", "Extras"},
		{"delta_sequence", "uint64"},
		{"delta_conflation_key", "string"},
	},
	"Data":        {{"string", "string"}, {"structured", "Structured"}, {"json", "string"}, {"binary", "bytes"}},
	"Structured":  {{"channel_data", "string"}, {"channel", "string"}, {"user_data", "string"}, {"extra", "map"}},
	"Extras":      {{"headers", "map ExtrasValue"}, {"ephemeral", "bool"}, {"idempotency_key", "string"}, {"echo", "bool"}, {"ai", "Ai"}},
	"ExtrasValue": {{"string", "string"}, {"number", "double"}, {"bool", "bool"}},
	"Ai":          {{"transport", "map"}, {"codec", "map"}},
}

var unions = map[string]bool{"Data": true, "ExtrasValue": true}

var scalars = map[string]descriptorpb.FieldDescriptorProto_Type{
	"string": descriptorpb.FieldDescriptorProto_TYPE_STRING,
	"bytes":  descriptorpb.FieldDescriptorProto_TYPE_BYTES,
	"bool":   descriptorpb.FieldDescriptorProto_TYPE_BOOL,
	"double": descriptorpb.FieldDescriptorProto_TYPE_DOUBLE,
	"uint64": descriptorpb.FieldDescriptorProto_TYPE_UINT64,
}

// wire is the schema in the form that the Protobuf library reads.
var wire = compileSchema()

func compileSchema() protoreflect.MessageDescriptor {
	file := &descriptorpb.FileDescriptorProto{
		Name: new("appendix_d.proto"), Syntax: new("proto3"),
	}
	for name, columns := range schema {
		file.MessageType = append(file.MessageType, messageOf(name, columns))
	}
	compiled, err := protodesc.NewFile(file, nil)
	if err != nil {
		panic(err) // the schema is above
	}
	return compiled.Messages().ByName("Envelope")
}

func messageOf(name string, columns []column) *descriptorpb.DescriptorProto {
	m := &descriptorpb.DescriptorProto{Name: &name}
	if unions[name] {
		m.OneofDecl = []*descriptorpb.OneofDescriptorProto{{Name: new("kind")}}
	}
	for i, c := range columns {
		field := fieldOf(c.name, c.of, int32(i+1))
		var value string
		switch _, err := fmt.Sscanf(c.of+" string", "map %s", &value); {
		case err == nil:
			entry := messageOf(entryName(c.name), []column{{"key", "string"}, {"value", value}})
			entry.Options = &descriptorpb.MessageOptions{MapEntry: new(true)}
			m.NestedType = append(m.NestedType, entry)
			field = fieldOf(c.name, name+"."+entry.GetName(), int32(i+1))
			field.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		case unions[name]:
			field.OneofIndex = new(int32(0))
		case c.name == "key" || c.name == "value":
		default: // each optional field is the only one of a oneof
			field.Proto3Optional, field.OneofIndex = new(true), new(int32(len(m.OneofDecl)))
			m.OneofDecl = append(m.OneofDecl, &descriptorpb.OneofDescriptorProto{Name: new("_" + c.name)})
		}
		m.Field = append(m.Field, field)
	}
	return m
}

// entryName is what the compiler calls the entries of a map, whose names have one word.
func entryName(field string) string { return string(field[0]-'a'+'A') + field[1:] + "Entry" }

func fieldOf(name, of string, number int32) *descriptorpb.FieldDescriptorProto {
	f := &descriptorpb.FieldDescriptorProto{
		Name: &name, Number: &number, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
	}
	if scalar, ok := scalars[of]; ok {
		f.Type = scalar.Enum()
		return f
	}
	f.Type, f.TypeName = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), new("."+of)
	return f
}

// encodeProtobuf writes a message, its fields in any order. Further members are texts, texts by name, and
// headers as extras.
func encodeProtobuf(r request) ([]byte, error) {
	m := dynamicpb.NewMessage(wire)
	setText(m, "event", r.Event)
	if r.Channel != "" {
		setText(m, "channel", r.Channel)
	}
	for name, value := range r.More {
		switch value := value.(type) {
		case string:
			setText(m, name, value)
		case map[string]string:
			setTexts(m, name, value)
		case headers:
			x := m.Mutable(fieldNamed(m, name)).Message()
			all := x.Mutable(fieldNamed(x, "headers")).Map()
			for name, text := range value {
				setText(all.Mutable(protoreflect.ValueOfString(name).MapKey()).Message(), "string", text)
			}
		}
	}
	if r.Data == nil {
		return proto.Marshal(m)
	}
	data := m.Mutable(fieldNamed(m, "data")).Message()
	switch body := r.Data.(type) {
	case string:
		setText(data, "string", body)
	case []byte:
		data.Set(fieldNamed(data, "binary"), protoreflect.ValueOfBytes(body))
	case structured:
		s := data.Mutable(fieldNamed(data, "structured")).Message()
		for name, body := range map[string]string{"channel_data": body.ChannelData, "channel": body.Channel, "user_data": body.UserData} {
			if body != "" {
				setText(s, protoreflect.Name(name), body)
			}
		}
		setTexts(s, "extra", body.Extra)
	default:
		setText(data, "json", compact(body))
	}
	return proto.Marshal(m)
}

func fieldNamed[N protoreflect.Name | string](m protoreflect.Message, name N) protoreflect.FieldDescriptor {
	return m.Descriptor().Fields().ByName(protoreflect.Name(name))
}

func setText[N protoreflect.Name | string](m protoreflect.Message, name N, body string) {
	m.Set(fieldNamed(m, name), protoreflect.ValueOfString(body))
}

func setTexts(m protoreflect.Message, name string, texts map[string]string) {
	into := m.Mutable(fieldNamed(m, name)).Map()
	for name, body := range texts {
		into.Set(protoreflect.ValueOfString(name).MapKey(), protoreflect.ValueOfString(body))
	}
}

// decodeProtobuf reads a message of the schema and nothing else.
func decodeProtobuf(payload []byte) (e envelope, err error) {
	m := dynamicpb.NewMessage(wire)
	if err := proto.Unmarshal(payload, m); err != nil {
		return e, err
	}
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		err = e.takeField(string(field.Name()), value)
		return err == nil
	})
	switch {
	case err != nil:
		return e, err
	case len(m.GetUnknown()) > 0:
		return e, errors.New("unknown fields")
	case e.Event == "":
		return e, errors.New("no event")
	}
	e.text, e.raw = e.asJSON(), payload
	return e, nil
}

func (e *envelope) takeField(name string, value protoreflect.Value) (err error) {
	switch into := map[string]any{
		"event": &e.Event, "channel": &e.Channel, "name": &e.Name, "user_id": &e.UserID,
		"message_id": &e.MessageID, "stream_id": &e.StreamID,
		"serial": &e.Serial, "delta_sequence": &e.DeltaSeq, "delta_conflation_key": &e.DeltaKey,
		"tags": &e.Tags, "data": &e.Data, "extras": &e.Extras,
	}[name].(type) {
	case *string:
		*into = value.String()
	case **string:
		key := value.String()
		*into = &key
	case **uint64:
		n := value.Uint()
		*into = &n
	case *map[string]string:
		*into = textsOf(value)
	case *json.RawMessage:
		if name == "extras" {
			*into, err = extrasOf(value.Message())
			return err
		}
		e.Kind, *into, err = dataOf(value.Message())
	default:
		return fmt.Errorf("%s: no message has it", name)
	}
	return err
}

func textsOf(value protoreflect.Value) map[string]string {
	texts := map[string]string{}
	value.Map().Range(func(name protoreflect.MapKey, value protoreflect.Value) bool {
		texts[name.String()] = value.String()
		return true
	})
	return texts
}

// set is the field of a oneof that is set.
func set(m protoreflect.Message) (name string, value protoreflect.Value) {
	field := m.WhichOneof(m.Descriptor().Oneofs().ByName("kind"))
	if field == nil {
		return "", protoreflect.Value{}
	}
	return string(field.Name()), m.Get(field)
}

func dataOf(m protoreflect.Message) (kind string, data json.RawMessage, err error) {
	kind, value := set(m)
	switch {
	case kind == "string":
		return kind, json.RawMessage(compact(value.String())), nil
	case kind == "json" && json.Valid([]byte(value.String())):
		return kind, json.RawMessage(value.String()), nil
	}
	return "", nil, fmt.Errorf("data of the kind %q", kind)
}

func extrasOf(m protoreflect.Message) (raw json.RawMessage, err error) {
	var x extras
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch field.Name() {
		case "headers":
			x.Headers = map[string]any{}
			value.Map().Range(func(name protoreflect.MapKey, value protoreflect.Value) bool {
				_, header := set(value.Message())
				x.Headers[name.String()] = header.Interface()
				return true
			})
		case "ephemeral", "echo":
			on := value.Bool()
			*map[protoreflect.Name]**bool{"ephemeral": &x.Ephemeral, "echo": &x.Echo}[field.Name()] = &on
		case "ai":
			ai := value.Message()
			x.AI = &aiExtras{textsOf(ai.Get(fieldNamed(ai, "transport"))), textsOf(ai.Get(fieldNamed(ai, "codec")))}
		default:
			err = fmt.Errorf("extras have %s", field.Name())
		}
		return err == nil
	})
	return json.RawMessage(compact(x)), err
}
