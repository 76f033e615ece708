package sockudo

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// fileWords are keys of a file that are none of the hub.
var fileWords = strings.Fields("host port debug ssl unix_socket logging shutdown_grace_period trusted_proxies websocket_max_payload_kb " +
	"http_api instance database_pooling cleanup connection_recovery")

// section reads a table of the file into an object of the handler's JSON, and keeps all
// that is wrong with it.
func (r *fileReader) section(n *fileNode, t reflect.Type) map[string]any {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if alone := lexicons[t].alone; alone != "" {
		switch n.value.(type) {
		case string, bool:
			n = n.like(fileTable{alone: n})
		}
	}
	if !r.isTable(n) {
		return nil
	}
	object, spelled, guest := map[string]any{}, map[string]*fileNode{}, n.like(fileTable{})
	for _, word := range n.keys() {
		value := n.table()[word]
		if value.value == nil {
			continue // null is as good as absent
		}
		var others []string
		if t == hubType {
			others = fileWords
		}
		f, a, err := findWord(t, word, others...)
		if _, unknown := errors.AsType[unknownError](err); unknown && isDriverSection(t) {
			guest.table()[word] = value // the driver's
			continue
		}
		if why, needless := errors.AsType[needlessError](err); needless && why.asksNothing(plainValue(value.value)) {
			r.note(value, "%s", why.reason)
			continue
		}
		if err != nil {
			r.fail(value, err)
			continue
		}
		if other := spelled[f.name]; other != nil {
			r.failf(value, "and %s mean the same: write one of them", other.path)
			continue
		}
		spelled[f.name] = value
		object[f.name] = r.fieldValue(value, t, f, a)
	}
	if s, ok := reflect.TypeAssert[driverSection](reflect.New(t)); ok {
		r.driverOptions(s, object, spelled["driver"], guest)
	}
	return object
}

// plainValue is a value of the file as JSON has it, if it is a single one.
func plainValue(value any) any {
	switch v := value.(type) {
	case fileTable, []*fileNode, fileDate:
		return map[string]any{}
	default:
		return v
	}
}

// fieldValue reads the value of one setting.
func (r *fileReader) fieldValue(n *fileNode, section reflect.Type, f field, a alias) any {
	kind := f.kind
	switch {
	case f.namespace != "" && kind.Kind() == reflect.Map:
		return r.guests(n, f.namespace)
	case f.namespace != "":
		return r.driver(n, f.namespace)
	case section == hubType && kind == reflect.TypeFor[Databases]():
		return r.guests(n, namespaces[kindApps])
	case kind == rawType:
		return plainTree(n, &r.vars)
	case kind.Kind() == reflect.Pointer:
		return r.section(n, kind)
	case kind.Kind() == reflect.Slice:
		return r.list(n, kind.Elem(), f)
	case kind.Kind() == reflect.Map:
		return r.byName(n, kind.Elem(), f)
	}
	value, err := r.ofSetting(n, f, a)
	if err != nil {
		r.refuse(n, f.rule.secret, err)
	}
	return value
}

func (r *fileReader) list(n *fileNode, element reflect.Type, f field) any {
	nodes, ok := n.value.([]*fileNode)
	if !ok {
		r.refuse(n, f.rule.secret, errors.New("must be a list"))
		return nil
	}
	list := []any{}
	for _, one := range nodes {
		if element.Kind() == reflect.Pointer {
			list = append(list, r.section(one, element))
			continue
		}
		text, ok := one.value.(string)
		if !ok {
			r.refuse(one, f.rule.secret, errors.New("must be a string"))
		}
		list = append(list, r.vars.forCaddy(text))
	}
	return list
}

func (r *fileReader) byName(n *fileNode, element reflect.Type, f field) any {
	if !r.isTable(n) {
		return nil
	}
	object := map[string]any{}
	for _, name := range n.keys() {
		value := n.table()[name]
		if element.Elem().Kind() == reflect.Struct {
			object[name] = r.section(value, element)
			continue
		}
		text, ok := value.value.(string)
		if !ok {
			r.refuse(value, f.rule.secret, errors.New("must be a string"))
		}
		object[name] = r.vars.forCaddy(text)
	}
	return object
}

// driver reads the table that selects a driver.
func (r *fileReader) driver(n *fileNode, namespace string) any {
	if !r.isTable(n) {
		return nil
	}
	name := n.get("driver")
	if name == nil {
		r.failf(n, "names no driver")
		return nil
	}
	own := n.like(fileTable{})
	for _, key := range n.keys() {
		if key != "driver" {
			own.table()[key] = n.table()[key]
		}
	}
	object := r.chosen(name, namespace, own)
	if object != nil {
		object["driver"] = driverName(r.text(name, ""))
	}
	return object
}

// chosen are the settings of the driver that a value names.
func (r *fileReader) chosen(name *fileNode, namespace string, own *fileNode) map[string]any {
	word := r.text(name, "")
	module, err := findDriver(namespace, word)
	if err != nil {
		r.refuse(name, false, err)
		return nil
	}
	for _, key := range own.keys() {
		if isLaterOfDriver(namespace, key) {
			r.fail(own.take(key), errLater)
		}
	}
	return r.guest(own, module, "driver")
}

// driverOptions reads what is the driver's in a section that selects one beside other
// words.
func (r *fileReader) driverOptions(s driverSection, object map[string]any, name, own *fileNode) {
	kind, _, _ := s.selection()
	if name == nil && len(own.table()) == 0 {
		return
	}
	if name == nil {
		name = own.like(defaultDrivers[kind])
	} else {
		object["driver"] = driverName(r.text(name, ""))
	}
	// A word that is misspelt may be one of the section's as well as of the driver's.
	module, err := findDriver(namespaces[kind], r.text(name, ""))
	if err != nil {
		r.refuse(name, false, err)
		return
	}
	section := reflect.TypeOf(s).Elem()
	for _, key := range own.keys() {
		if _, _, known := guestField(module, key); !known {
			words := slices.Concat(sortedKeys(fieldsOf(section)), sortedKeys(lexiconOf(section).aliases), guestWords(kind, r.text(name, "")))
			r.fail(own.take(key), unknownWord(key, words))
		}
	}
	maps.Copy(object, r.chosen(name, namespaces[kind], own))
}

// guests reads the tables of modules by their names: databases and push services.
func (r *fileReader) guests(n *fileNode, namespace string) any {
	if !r.isTable(n) {
		return nil
	}
	object := map[string]any{}
	for _, name := range n.keys() {
		value := n.table()[name]
		module, err := findDriver(namespace, name)
		if err != nil {
			r.fail(value, err)
			continue
		}
		if r.isTable(value) {
			object[driverName(name)] = r.guest(value, module)
		}
	}
	return object
}

// guestField is a setting of a module, with the unit that the spelling of its key says.
func guestField(module, key string) (f field, unit string, ok bool) {
	info, err := caddy.GetModule(module)
	if err != nil {
		return field{}, "", false
	}
	t := structOf(info.New())
	if t.Kind() != reflect.Struct {
		return field{}, "", true // which only it can tell
	}
	return fieldWithUnit(t, key)
}

func fieldWithUnit(t reflect.Type, key string) (f field, unit string, ok bool) {
	fields := fieldsOf(t)
	if f, ok = fields[key]; ok {
		return f, "", true
	}
	for _, s := range guestSuffixes {
		base, cut := strings.CutSuffix(key, s.suffix)
		f, known := fields[base]
		if cut && known && (f.kind == caddyDurationType || f.kind == reflect.PointerTo(caddyDurationType)) {
			return f, s.unit, true
		}
	}
	return field{}, "", false
}

// guest reads the settings of a module, and lets the module read them once. others are
// words that may be meant beside its own.
func (r *fileReader) guest(n *fileNode, module string, others ...string) map[string]any {
	info, err := caddy.GetModule(module)
	if err != nil {
		r.fail(n, err)
		return nil
	}
	fresh := info.New()
	before := len(r.errs)
	var object map[string]any
	if _, own := fresh.(json.Unmarshaler); own || structOf(fresh).Kind() != reflect.Struct {
		object, _ = plainTree(n, &r.vars).(map[string]any)
	} else {
		object = r.guestSection(n, structOf(fresh), others...)
	}
	if len(r.errs) > before {
		return object
	}
	b, err := json.Marshal(object)
	if err == nil {
		err = json.Unmarshal(b, fresh)
	}
	if err == nil {
		b, err = json.Marshal(fresh) // as a Caddyfile has it, times in nanoseconds
	}
	if err == nil {
		object, err = objectOf(b)
	}
	if err != nil {
		r.fail(n, err)
	}
	return object
}

func (r *fileReader) guestSection(n *fileNode, t reflect.Type, others ...string) map[string]any {
	object := map[string]any{}
	for _, key := range n.keys() {
		value := n.table()[key]
		f, unit, ok := fieldWithUnit(t, key)
		switch {
		case value.value == nil:
		case !ok:
			r.fail(value, unknownWord(key, append(sortedKeys(fieldsOf(t)), others...)))
		case object[f.name] != nil:
			r.failf(value, "is written twice, in two spellings")
		default:
			object[f.name] = r.guestValue(value, f, unit)
		}
	}
	return object
}

func (r *fileReader) guestValue(n *fileNode, f field, unit string) any {
	kind := f.kind
	if kind.Kind() == reflect.Pointer {
		kind = kind.Elem()
	}
	switch list, isList := n.value.([]*fileNode); {
	case kind.Kind() == reflect.Struct:
		if r.isTable(n) {
			return r.guestSection(n, kind)
		}
		return nil
	case kind.Kind() == reflect.Slice && isList:
		all := []any{}
		for _, one := range list {
			value, err := r.ofGuest(one, kind.Elem(), unit)
			if err != nil {
				r.refuse(one, true, err)
			}
			all = append(all, value)
		}
		return all
	}
	value, err := r.ofGuest(n, kind, unit)
	if err != nil {
		r.refuse(n, f.kind.Kind() == reflect.String, err)
	}
	return value
}

// plainTree is a value of the file as JSON has it.
func plainTree(n *fileNode, vars *fileVariables) any {
	switch v := n.value.(type) {
	case fileTable:
		object := map[string]any{}
		for key, value := range v {
			object[key] = plainTree(value, vars)
		}
		return object
	case []*fileNode:
		list := []any{}
		for _, value := range v {
			list = append(list, plainTree(value, vars))
		}
		return list
	case string:
		return vars.forCaddy(v)
	case fileDate:
		return string(v)
	default:
		return v
	}
}
