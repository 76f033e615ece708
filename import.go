package sockudo

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sockudo/caddy-sockudo/migrate"
)

// Imported is what the settings of another server come to.
type Imported struct {
	// From is the server: soketi, reverb, pusher or sockudo.
	From string `json:"from"`

	// Because says how that showed. It is empty when it was told.
	Because string `json:"because,omitempty"`

	// Caddyfile is the configuration. Secrets are not in it, but the names of the
	// environment variables that have them.
	Caddyfile string `json:"caddyfile"`

	// Report says what has become of each setting.
	Report []migrate.Entry `json:"report"`

	// Variables are the names of the environment variables that the Caddyfile refers to.
	Variables []string `json:"variables"`

	secrets []migrate.Secret
}

// complete reports whether everything has an equivalent.
func (i *Imported) complete() bool {
	for _, e := range i.Report {
		if e.Outcome == migrate.NoEquivalent {
			return false
		}
	}
	return true
}

// importFiles reads the settings of another server. from may be empty, and so may site,
// which is the address that clients use.
func importFiles(from, site string, files []migrate.File) (*Imported, error) {
	i := &Imported{From: from, Report: []migrate.Entry{}, Variables: []string{}}
	var err error
	if from == "" {
		if i.From, i.Because, err = migrate.Detect(files); err != nil {
			return nil, err
		}
	}
	read := migrate.Read
	if i.From == migrate.Sockudo {
		read = readSockudoFiles
	}
	result, err := read(i.From, files)
	if err != nil {
		return nil, err
	}
	if site != "" {
		result.Site.Address = site
		result.Report = append(withoutSite(result.Report), migrate.Entry{Setting: "--site", Value: site, Outcome: migrate.TakenOver, Word: "site address"})
	}
	i.Report, i.secrets = append(i.Report, result.Report...), result.Secrets
	for _, s := range i.secrets {
		i.Variables = append(i.Variables, s.Name)
	}
	hub, err := decodeHub(result.Hub)
	if err != nil {
		return nil, fmt.Errorf("the settings of %s say what cannot be here: %w", i.From, err)
	}
	if i.Caddyfile, err = composeCaddyfile(i.From, result.Site, hub); err != nil {
		return nil, err
	}
	return i, i.check(hub)
}

// withoutSite leaves out what a report says of a site address that is not used.
func withoutSite(report []migrate.Entry) (list []migrate.Entry) {
	for _, e := range report {
		if e.Word != "site address" {
			list = append(list, e)
			continue
		}
		if e.Place != "" { // it is a setting
			e.Outcome, e.Word, e.Note = migrate.NotNeeded, "", "--site says where the server is"
			list = append(list, e)
		}
	}
	return list
}

func decodeHub(words map[string]any) (*HubConfig, error) {
	b, err := json.Marshal(words)
	if err != nil {
		return nil, err
	}
	hub := new(HubConfig)
	return hub, decodeConfig(b, hub)
}

// composeCaddyfile writes a whole Caddyfile.
func composeCaddyfile(from string, site migrate.Site, hub *HubConfig) (string, error) {
	var w caddyfileWriter
	fmt.Fprintf(&w, "# What \"caddy sockudo import\" has made of settings of %s.\n", from)
	if err := writeOptions(&w, site); err != nil {
		return "", err
	}
	err := w.site(site.Address, func() error {
		if site.Bind != "" {
			if err := w.line("bind", site.Bind); err != nil {
				return err
			}
		}
		if site.Cert != "" {
			if err := w.line("tls", site.Cert, site.Key); err != nil {
				return err
			}
		}
		if site.Prefix == "" {
			return writeHub(&w, "", hub)
		}
		return w.block(func() error { return writeHub(&w, "", hub) }, "handle_path", "/"+site.Prefix+"/*")
	})
	if err != nil || site.Metrics == "" {
		return w.String(), err
	}
	w.WriteByte('\n')
	err = w.site(site.Metrics, func() error {
		if site.MetricsBind != "" {
			if err := w.line("bind", site.MetricsBind); err != nil {
				return err
			}
		}
		return w.line("metrics", "/metrics")
	})
	return w.String(), err
}

// site writes a block behind addresses, which have commas between them.
func (w *caddyfileWriter) site(addresses string, body func() error) error {
	if strings.ContainsAny(addresses, "{}\"`\n\t#") || addresses == "" {
		return fmt.Errorf("%q is no address of a site", addresses)
	}
	words := strings.Fields(strings.ReplaceAll(addresses, ",", ", "))
	return w.block(body, words...)
}

// writeOptions writes the global options, if there are any.
func writeOptions(w *caddyfileWriter, site migrate.Site) error {
	var options [][]string
	add := func(needed bool, words ...string) {
		if needed {
			options = append(options, words)
		}
	}
	add(site.Debug, "debug")
	add(site.Grace != "", "grace_period", site.Grace)
	add(site.HTTPPort != 0, "http_port", strconv.Itoa(site.HTTPPort))
	add(site.Metrics != "", "metrics")
	if len(options) == 0 && len(site.Proxies) == 0 {
		return nil
	}
	w.WriteString("{\n")
	w.depth++
	err := each(options, func(words []string) error { return w.line(words...) })
	if len(site.Proxies) > 0 && err == nil {
		err = w.block(func() error { return w.line(append([]string{"trusted_proxies", "static"}, site.Proxies...)...) }, "servers")
	}
	w.depth--
	w.WriteString("}\n\n")
	return err
}

// check adapts the Caddyfile and reads it as a load would, with the secrets that it
// refers to. What comes of it is what was meant.
func (i *Imported) check(hub *HubConfig) error {
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(i.Caddyfile), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return fmt.Errorf("the settings make a Caddyfile that cannot be: %w", err)
	}
	if err := i.compare(config, hub); err != nil {
		return err
	}
	replacer := caddy.NewEmptyReplacer()
	replacer.Map(func(key string) (any, bool) {
		for _, s := range i.secrets {
			if key == "env."+s.Name && s.Value != "" {
				return s.Value, true
			}
		}
		return "set later", strings.HasPrefix(key, "env.") || strings.HasPrefix(key, "file.") || strings.HasPrefix(key, "system.")
	})
	if _, err := hub.resolve(replacer, func(string) (string, bool) { return "", false }); err != nil {
		return fmt.Errorf("the settings of %s say what cannot be here: %w", i.From, err)
	}
	if formatted := caddyfile.Format([]byte(i.Caddyfile)); string(formatted) != i.Caddyfile {
		i.Caddyfile = string(formatted)
	}
	return nil
}

var errOtherwise = errors.New("the Caddyfile does not say what the settings do; please report this with the file, without its secrets")

// compare writes the hub of an adapted configuration again, and wants the same text.
func (i *Imported) compare(config []byte, hub *HubConfig) error {
	var tree any
	if err := json.Unmarshal(config, &tree); err != nil {
		return err
	}
	again := new(HubConfig)
	object := findHandler(tree)
	delete(object, "handler")
	b, err := json.Marshal(object)
	if err == nil {
		err = json.Unmarshal(b, again)
	}
	if err != nil {
		return err
	}
	var meant, got caddyfileWriter
	if err := errors.Join(writeHub(&meant, "", hub), writeHub(&got, "", again)); err != nil {
		return err
	}
	if meant.String() != got.String() {
		return errOtherwise
	}
	return nil
}

// findHandler finds the one handler of this module in a configuration.
func findHandler(tree any) map[string]any {
	switch tree := tree.(type) {
	case []any:
		for _, one := range tree {
			if found := findHandler(one); found != nil {
				return found
			}
		}
	case map[string]any:
		if tree["handler"] == "sockudo" {
			return tree
		}
		for _, key := range sortedKeys(tree) {
			if found := findHandler(tree[key]); found != nil {
				return found
			}
		}
	}
	return nil
}
