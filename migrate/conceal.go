package migrate

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Conceal replaces secrets of the hub by references to variables. nameOf says which
// variable has a value, or nothing.
func (r *Result) Conceal(nameOf func(value string) string) {
	r.concealIn(r.Hub, "", nameOf)
}

func (r *Result) concealIn(tree any, path string, nameOf func(string) string) any {
	switch tree := tree.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(tree)) {
			tree[name] = r.concealIn(tree[name], join(path, name), nameOf)
		}
	case []any:
		for i := range tree {
			tree[i] = r.concealIn(tree[i], join(path, elementName(tree[i], i)), nameOf)
		}
	case string:
		return r.concealText(tree, path, nameOf)
	}
	return tree
}

// elementName calls an element of a list by its name, if it has one.
func elementName(element any, i int) string {
	object, _ := element.(map[string]any)
	for _, key := range []string{"id", "name"} {
		if name, ok := object[key].(string); ok && name != "" {
			return name
		}
	}
	return strconv.Itoa(i)
}

// concealed are words whose values are secrets, beside those whose names say so.
var concealed = []string{
	"aws_access_key_id", "aws_session_token", "credential_encryption_key", "previous_encryption_keys", "vapid_private_key", "provider_token",
	"credentials_json", "private_key", "token", "key", "dsn",
}

func (r *Result) concealText(text, path string, nameOf func(string) string) string {
	words := strings.Split(path, ".")
	last := words[len(words)-1]
	if _, err := strconv.Atoi(last); err == nil && len(words) > 1 {
		last = words[len(words)-2]
	}
	isFile := strings.HasPrefix(text, "/") || strings.HasPrefix(text, "./")
	isKeyOfApp := words[0] == "apps" && last == "key"
	secret := isSecretName(last) || slices.Contains(concealed, last) || words[0] != "apps" && slices.Contains(words, "headers")
	if text == "" || isKeyOfApp || isFile || !secret && !hasCredentials(text) || hasReference(text) {
		return text
	}
	name := nameOf(text)
	note := "the Caddyfile refers to the variable " + name + ", which Caddy needs in its environment: caddy run --envfile"
	if name == "" {
		name = variableFor(append([]string{"sockudo"}, words...)...)
		note = "the Caddyfile refers to the environment variable " + name + ", which has to be set to it"
	}
	value := strings.NewReplacer(`\{`, "{", `\}`, "}").Replace(text)
	if !slices.ContainsFunc(r.Secrets, func(s Secret) bool { return s.Name == name }) {
		r.Secrets = append(r.Secrets, Secret{name, value})
		r.Report = append(r.Report, Entry{Setting: path, Value: hidden, Outcome: TakenOver, Word: path, Note: note})
	}
	return "{env." + name + "}"
}

// hasReference reports whether text already refers to something else.
func hasReference(text string) bool {
	for _, source := range []string{"{env.", "{file.", "{system."} {
		if i := strings.Index(text, source); i == 0 || i > 0 && text[i-1] != '\\' {
			return true
		}
	}
	return false
}

// Shown is a value as a report shows it, by the name of what has it.
func Shown(name, value string) string {
	if isSecretName(name) || hasCredentials(value) || slices.Contains(concealed, strings.ToLower(name)) || strings.HasSuffix(name, "_KEY") && !strings.HasSuffix(name, "APP_KEY") {
		return hidden
	}
	return shown(value)
}
