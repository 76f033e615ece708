package migrate

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

var notInNames = regexp.MustCompile(`[^A-Z0-9]+`)

// variableFor makes the name of an environment variable of words.
func variableFor(words ...string) string {
	return strings.Trim(notInNames.ReplaceAllString(strings.ToUpper(strings.Join(words, "_")), "_"), "_")
}

// secret refers to the value of a setting by the name of a variable: the one that it came
// from, or one that is to be set.
func (m *importer) secret(s *setting, word, fallback string) string {
	return m.conceal(s, m.text(s), word, fallback)
}

func (m *importer) conceal(s *setting, value, word, fallback string) string {
	name := fallback
	note := "the Caddyfile refers to the environment variable " + name + ", which has to be set to it"
	if s.variable != "" && value == s.value {
		name = s.variable
		note = "the Caddyfile refers to the variable " + name + ", which Caddy needs in its environment: caddy run --envfile"
	}
	m.note(s, TakenOver, word, note)
	m.keep(name, value)
	return "{env." + name + "}"
}

// keep remembers a secret.
func (m *importer) keep(name, value string) {
	if !slices.ContainsFunc(m.Secrets, func(s Secret) bool { return s.Name == name }) {
		m.Secrets = append(m.Secrets, Secret{name, value})
	}
}

// hasCredentials reports whether text is a URL with a login, or with parameters that may be
// as good as one.
func hasCredentials(text string) bool {
	_, rest, isURL := strings.Cut(text, "://")
	if !isURL {
		return false
	}
	u, err := url.Parse(text)
	if err != nil {
		return strings.ContainsAny(rest, "@?")
	}
	return u.User != nil || u.RawQuery != ""
}

// envfile reports secrets that "caddy run --envfile" reads otherwise than dotenv does.
func (r *Result) envfile(files []File) {
	for _, s := range r.Secrets {
		for _, f := range files {
			if extension(f) != ".env" {
				continue
			}
			if there, same := sameForCaddy(f, s.Name); there && !same {
				r.Report = append(r.Report, Entry{
					Setting: s.Name, Value: hidden, Place: f.Name, Outcome: Approximated,
					Note: "caddy run --envfile knows no references to other variables, takes # for a comment also within quotes, and no escapes: give the value in another way, as --secrets does",
				})
			}
		}
	}
}
