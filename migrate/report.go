package migrate

import (
	"strings"
	"unicode/utf8"
)

// Outcome says what has become of a setting.
type Outcome string

const (
	// TakenOver says that the configuration says the same.
	TakenOver Outcome = "taken_over"
	// Approximated says that it says something like it; the note says how it differs.
	Approximated Outcome = "approximated"
	// NoEquivalent says that nothing here is like it; the note says what to do instead.
	NoEquivalent Outcome = "no_equivalent"
	// NotNeeded says that nothing has to be done about it; the note says why.
	NotNeeded Outcome = "not_needed"
)

// Outcomes are all of them, in the order in which a report lists them.
var Outcomes = []Outcome{NoEquivalent, Approximated, TakenOver, NotNeeded}

// Entry is what a report says of one setting.
type Entry struct {
	// Setting is its name, as the other server has it.
	Setting string `json:"setting"`
	// Value is what it was set to. That of a secret is not shown.
	Value string `json:"value,omitempty"`
	// Place is the file and the line where it stands.
	Place string `json:"place,omitempty"`
	// Outcome says what has become of it.
	Outcome Outcome `json:"outcome"`
	// Word is where the configuration says it, with dots between words.
	Word string `json:"word,omitempty"`
	// Note says what else there is to know.
	Note string `json:"note,omitempty"`
}

// Secret is one that a configuration refers to by the name of an environment variable.
type Secret struct {
	// Name is that of the variable.
	Name string
	// Value is the secret itself.
	Value string
}

// Site is what Caddy has to be told beside the hub.
type Site struct {
	// Address is that of the site, such as https://realtime.example.com or :6001.
	Address string
	// Bind is the address of the interface to listen at. Empty means all of them.
	Bind string
	// Prefix stands before all paths. Empty means none.
	Prefix string
	// Cert and Key are files with a certificate. Without them it is Caddy's business.
	Cert, Key string
	// HTTPPort is where clients without TLS are redirected from. Zero means the usual one.
	HTTPPort int
	// Proxies are the addresses of those that may say who a client is.
	Proxies []string
	// Debug asks for a detailed log.
	Debug bool
	// Grace bounds how long the end of the process may take, such as 3s.
	Grace string
	// Metrics is the address of a site for metrics, such as :9601. Empty means none.
	Metrics string
	// MetricsBind is the address of the interface of that site.
	MetricsBind string
}

// Result is what the settings of another server come to here.
type Result struct {
	// Hub has the words of a hub as JSON has them.
	Hub map[string]any
	// Site is the rest.
	Site Site
	// Report has an entry for each setting.
	Report []Entry
	// Secrets are those that the hub refers to.
	Secrets []Secret
}

const hidden = "(hidden)"

// shown is text as a report has it: short, and in one line.
func shown(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	const most = 60
	if utf8.RuneCountInString(text) > most {
		text = string([]rune(text)[:most]) + "…"
	}
	return text
}

// literal is text in which a brace is a brace: a configuration expands placeholders.
func literal(text string) string {
	return strings.NewReplacer("{", `\{`, "}", `\}`).Replace(text)
}
