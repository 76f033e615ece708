package sockudo

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sockudo/caddy-sockudo/migrate"
)

// readSockudoFiles reads settings of Sockudo. Variables override the rest, as they do with
// Sockudo itself.
func readSockudoFiles(_ string, files []migrate.File) (*migrate.Result, error) {
	s := &sockudoImport{Result: migrate.Result{Hub: map[string]any{}}, values: map[string]migrate.Variable{}, files: map[string]migrate.File{}}
	s.Site.Address = ":6001"
	var trees []migrate.File
	for _, f := range files {
		if ext := strings.ToLower(path.Ext(f.Name)); ext == ".toml" || ext == ".json" {
			trees = append(trees, f)
			continue
		}
		list, err := migrate.ReadEnv(f)
		if err != nil {
			return nil, err
		}
		for _, v := range list {
			s.values[v.Name], s.files[v.Name] = v, f
			s.order = append(s.order, v.Name)
		}
	}
	if len(trees) > 1 {
		return nil, fmt.Errorf("%s and %s: Sockudo reads one file of its own, and variables beside it", trees[0].Name, trees[1].Name)
	}
	for _, f := range trees {
		if err := s.readFile(f); err != nil {
			return nil, err
		}
	}
	return s.read()
}

type sockudoImport struct {
	migrate.Result
	values map[string]migrate.Variable
	files  map[string]migrate.File
	order  []string
}

// lookup finds a variable in the files, or in the environment of this process.
func (s *sockudoImport) lookup(name string) (string, bool) {
	if v, ok := s.values[name]; ok {
		return v.Value, true
	}
	return os.LookupEnv(name)
}

// readFile reads a file of Sockudo's own. What it refers to stays a reference.
func (s *sockudoImport) readFile(f migrate.File) error {
	file, err := readSockudo(f.Text, f.Name, s.lookup)
	if err != nil {
		return err
	}
	s.Hub = file.Hub
	s.fileSite(file)
	for _, word := range wordsIn(file.Hub, "") {
		s.Report = append(s.Report, migrate.Entry{Setting: word, Place: f.Name, Outcome: migrate.TakenOver, Word: word})
	}
	for _, note := range file.Notes {
		s.Report = append(s.Report, migrate.Entry{Setting: f.Name, Outcome: migrate.NotNeeded, Note: note})
	}
	return nil
}

// wordsIn are the paths of all settings of a hub.
func wordsIn(tree any, path string) (list []string) {
	switch tree := tree.(type) {
	case map[string]any:
		for _, name := range sortedKeys(tree) {
			list = append(list, wordsIn(tree[name], join(path, name))...)
		}
	case []any:
		for i, one := range tree {
			if _, object := one.(map[string]any); !object {
				return []string{path}
			}
			list = append(list, wordsIn(one, join(path, strconv.Itoa(i)))...)
		}
	default:
		return []string{path}
	}
	return list
}

// fileSite takes what is Caddy's.
func (s *sockudoImport) fileSite(file *sockudoFile) {
	server := file.server
	s.Site = migrate.Site{
		Address: ":" + strconv.Itoa(file.Port), Cert: server.cert, Key: server.key, HTTPPort: server.httpPort, Proxies: server.proxies,
		Debug: file.Debug, Grace: strconv.Itoa(server.grace) + "s",
	}
	switch {
	case server.socket != "":
		s.Site.Bind = server.socket
	case file.Host != "0.0.0.0":
		s.Site.Bind = file.Host
	}
	if server.cert != "" {
		s.Site.Address = "https://" + s.Site.Address
	}
	if m := file.Metrics; m != nil {
		s.Site.Metrics = ":" + strconv.Itoa(m.Port)
		if m.Host != "0.0.0.0" {
			s.Site.MetricsBind = m.Host
		}
	}
}

// read applies the variables to what the file says, or to a configuration that says
// nothing.
func (s *sockudoImport) read() (*migrate.Result, error) {
	over, err := readEnv(func(name string) (string, bool) {
		v, ok := s.values[name]
		return v.Value, ok
	})
	if err != nil {
		return nil, s.placed(err)
	}
	hub, err := decodeHub(s.Hub)
	if err != nil {
		return nil, err
	}
	if over.dropApps {
		hub.Apps = nil
	}
	if err := over.apply(hub); err != nil {
		return nil, s.placed(err)
	}
	hub.EnvOverrides = "off"
	if err := visit(reflect.ValueOf(hub).Elem(), "", func(text reflect.Value, _ rule, _ string) error {
		if !isReferenceText(text.String()) {
			text.SetString(literal(unescaped(text.String())))
		}
		return nil
	}); err != nil {
		return nil, err
	}
	b, err := json.Marshal(hub)
	if err != nil {
		return nil, err
	}
	if s.Hub, err = objectOf(b); err != nil {
		return nil, err
	}
	applied := map[string]bool{}
	for _, name := range over.names {
		applied[name] = true
	}
	s.report(applied)
	s.ShareCache()
	s.Conceal(s.nameOf)
	s.keepReferences()
	return &s.Result, nil
}

// isReferenceText reports whether text refers to a variable or a file.
func isReferenceText(text string) bool {
	return slices.ContainsFunc([]string{"{env.", "{file.", "{system."}, func(source string) bool {
		i := strings.Index(text, source)
		return i == 0 || i > 0 && text[i-1] != '\\'
	})
}

func unescaped(text string) string { return strings.ReplaceAll(text, `\{`, "{") }

// nameOf is the variable that has a value.
func (s *sockudoImport) nameOf(value string) string {
	for _, name := range s.order {
		if literal(s.values[name].Value) == value {
			return name
		}
	}
	return ""
}

// keepReferences lists the variables that the file itself refers to.
func (s *sockudoImport) keepReferences() {
	b, _ := json.Marshal(s.Hub) //nolint:errchkjson // it came from JSON
	for _, m := range envReference.FindAllStringSubmatch(string(b), -1) {
		if slices.ContainsFunc(s.Secrets, func(one migrate.Secret) bool { return one.Name == m[1] }) {
			continue
		}
		value, _ := s.lookup(m[1])
		s.Secrets = append(s.Secrets, migrate.Secret{Name: m[1], Value: value})
	}
}

var envReference = regexp.MustCompile(`\{env\.([A-Za-z_][A-Za-z0-9_]*)\}`)

// placed adds the file and the line of the variable that an error names.
func (s *sockudoImport) placed(err error) error {
	_, rest, ok := strings.Cut(err.Error(), "environment variable ")
	name, what, _ := strings.Cut(rest, ": ")
	if v, known := s.values[name]; ok && known {
		return fmt.Errorf("%s:%d: %s: %w", s.files[name].Name, v.Line, name, errors.New(what))
	}
	return err
}

// sockudoSite are variables for what Caddy does.
var sockudoSite = map[string]string{
	"SSL_ENABLED": "the site address, and a certificate that Caddy gets", "SSL_CERT_PATH": "tls CERT KEY in the site", "SSL_KEY_PATH": "tls CERT KEY in the site",
	"SSL_REDIRECT_HTTP": "Caddy redirects by itself", "SSL_HTTP_PORT": "the global option http_port",
	"UNIX_SOCKET_ENABLED": "bind unix//PATH in the site", "UNIX_SOCKET_PATH": "bind unix//PATH in the site", "UNIX_SOCKET_PERMISSION_MODE": "bind unix//PATH|MODE in the site",
	"LOG_OUTPUT_FORMAT": "the global option log", "LOG_COLORS_ENABLED": "the global option log", "LOG_INCLUDE_TARGET": "the global option log",
	"METRICS_DRIVER": "the directive metrics",
}

// report says what has become of each variable.
func (s *sockudoImport) report(applied map[string]bool) {
	metricsHost := ""
	for _, name := range s.order {
		v := s.values[name]
		e := migrate.Entry{Setting: name, Value: migrate.Shown(name, v.Value), Place: fmt.Sprintf("%s:%d", s.files[name].Name, v.Line), Outcome: migrate.TakenOver}
		instead, caddys := sockudoSite[name]
		switch {
		case v.Value == "":
			e.Outcome, e.Note = migrate.NotNeeded, "it is empty"
		case name == "PORT":
			s.Site.Address, e.Word = ":"+v.Value, "site address"
		case name == "HOST":
			s.Site.Bind, e.Word = v.Value, "bind"
		case name == "DEBUG" || name == "DEBUG_MODE":
			s.Site.Debug, _ = parseEnvBool(v.Value)
			e.Word = "the global option debug"
		case name == "SHUTDOWN_GRACE_PERIOD":
			s.Site.Grace, e.Word = v.Value+"s", "the global option grace_period"
		case name == "METRICS_PORT":
			s.Site.Metrics, e.Word = ":"+v.Value, "a site with metrics"
		case name == "METRICS_HOST":
			metricsHost, e.Word = v.Value, "bind of the site with metrics"
		case applied[name]:
			e.Note = "it is written in the Caddyfile, which variables override no more"
		case caddys && isOff(v.Value):
			e.Outcome, e.Note = migrate.NotNeeded, "it is off, as it is here"
		case caddys:
			e.Outcome, e.Note = migrate.NoEquivalent, "it is Caddy's own business: "+instead
		case strings.HasPrefix(name, "SOCKUDO_"):
			e.Outcome, e.Note = migrate.NoEquivalent, "no such variable is known here; it is left out"
		default:
			e.Outcome, e.Note = migrate.NotNeeded, "nothing of the configuration asks for it"
		}
		s.Report = append(s.Report, e)
	}
	if s.Site.Metrics != "" && metricsHost != "" {
		s.Site.MetricsBind = metricsHost
	}
}

func isOff(text string) bool {
	on, err := parseEnvBool(text)
	return err == nil && !on
}
