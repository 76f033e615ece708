package sockudo

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"reflect"
	"strings"

	"github.com/sockudo/caddy-sockudo/migrate"
)

// readSockudoFiles reads settings of Sockudo. Variables override the rest, as they do with
// Sockudo itself.
func readSockudoFiles(_ string, files []migrate.File) (*migrate.Result, error) {
	s := &sockudoImport{Result: migrate.Result{Hub: map[string]any{}}, values: map[string]migrate.Variable{}, files: map[string]migrate.File{}}
	s.Site.Address = ":6001"
	for _, f := range files {
		if ext := strings.ToLower(path.Ext(f.Name)); ext == ".toml" || ext == ".json" {
			return nil, fmt.Errorf("%s: files of Sockudo in TOML and JSON are read by --adapter sockudo", f.Name)
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
	return s.read()
}

type sockudoImport struct {
	migrate.Result
	values map[string]migrate.Variable
	files  map[string]migrate.File
	order  []string
}

// read applies the variables to a configuration that says nothing.
func (s *sockudoImport) read() (*migrate.Result, error) {
	over, err := readEnv(func(name string) (string, bool) {
		v, ok := s.values[name]
		return v.Value, ok
	})
	if err != nil {
		return nil, s.placed(err)
	}
	hub := new(HubConfig)
	if err := over.apply(hub); err != nil {
		return nil, s.placed(err)
	}
	hub.EnvOverrides = "off"
	if err := visit(reflect.ValueOf(hub).Elem(), "", func(text reflect.Value, _ rule, _ string) error {
		text.SetString(literal(text.String()))
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
	s.Conceal(func(value string) string {
		for _, name := range s.order {
			if literal(s.values[name].Value) == value {
				return name
			}
		}
		return ""
	})
	return &s.Result, nil
}

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
	if s.Site.Metrics != "" {
		s.Site.MetricsBind = metricsHost
	}
}

func isOff(text string) bool {
	on, err := parseEnvBool(text)
	return err == nil && !on
}
