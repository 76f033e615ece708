package migrate

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Detect says which server the files are of, and how that shows.
func Detect(files []File) (from, why string, err error) {
	var found []string
	for _, f := range files {
		source, reason, err := detect(f)
		if err != nil {
			return "", "", err
		}
		if source != "" && !slices.Contains(found, source) {
			found = append(found, source)
			from, why = source, f.Name+" "+reason
		}
	}
	switch len(found) {
	case 0:
		return "", "", fmt.Errorf("nothing in %s shows which server it is of; say so with --from %s", namesOf(files), strings.Join(Sources, "|"))
	case 1:
		return from, why, nil
	}
	return "", "", fmt.Errorf("the files are of several servers, %s; say which one is meant with --from", strings.Join(found, " and "))
}

func namesOf(files []File) string {
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
	}
	return strings.Join(names, " and ")
}

func detect(f File) (source, reason string, err error) {
	switch extension(f) {
	case ".php":
		return "", "", errPHP(f)
	case ".toml":
		return Sockudo, "is TOML, which only Sockudo has", nil
	case ".json":
		n, err := readTree(f.Name, f.Text)
		if err != nil {
			return "", "", err
		}
		source, reason = detectTree(n)
		return source, reason, nil
	}
	variables, err := ReadEnv(f)
	if err != nil {
		return "", "", err
	}
	source, reason = detectVariables(variables)
	return source, reason, nil
}

// extension tells the forms of files apart, by name or by how they begin.
func extension(f File) string {
	text := strings.TrimSpace(strings.TrimPrefix(string(f.Text), "\ufeff"))
	switch ext := strings.ToLower(path.Ext(f.Name)); {
	case ext == ".php" || strings.HasPrefix(text, "<?php"):
		return ".php"
	case ext == ".toml" || ext == ".json":
		return ext
	case strings.HasPrefix(text, "{"):
		return ".json"
	case strings.HasPrefix(text, "["):
		return ".toml"
	}
	return ".env"
}

// errPHP says how to go on with a file that only PHP understands.
func errPHP(f File) error {
	return fmt.Errorf("%s is PHP, which is not run here; let Laravel write its values as JSON and import that:\n"+
		`	php artisan tinker --execute='echo json_encode(config("reverb"));' > reverb.json`, f.Name)
}

var errNoObject = errors.New("the file has to be one object")

func detectTree(n *node) (source, reason string) {
	for _, m := range n.members {
		first, _, dotted := strings.Cut(m.name, ".")
		switch {
		case slices.Contains(soketiSections, first) || dotted && slices.Contains(soketiSections, first):
			return Soketi, "has " + m.name + ", as soketi does"
		case slices.Contains([]string{"app_manager", "rate_limiter", "event_limits", "channel_limits", "http_api", "connection_recovery", "tag_filtering"}, m.name):
			return Sockudo, "has " + m.name + ", as Sockudo does"
		case m.name == "servers" || m.name == "provider":
			return Reverb, "has " + m.name + ", as the configuration of Laravel Reverb does"
		}
	}
	return "", ""
}

func detectVariables(variables []Variable) (source, reason string) {
	prefixes := map[string]string{}
	for _, v := range variables {
		for _, prefix := range []string{"SOKETI_", "SOCKUDO_", "REVERB_", "PUSHER_"} {
			if strings.HasPrefix(v.Name, prefix) && prefixes[prefix] == "" {
				prefixes[prefix] = v.Name
			}
		}
	}
	for _, one := range []struct{ prefix, source string }{{"SOKETI_", Soketi}, {"SOCKUDO_", Sockudo}} {
		if name := prefixes[one.prefix]; name != "" {
			return one.source, "has " + name
		}
	}
	for _, v := range variables {
		if v.Name == "BROADCAST_CONNECTION" || v.Name == "BROADCAST_DRIVER" {
			if v.Value == Reverb || v.Value == Pusher {
				return v.Value, "has " + v.Name + "=" + v.Value
			}
		}
	}
	for _, one := range []struct{ prefix, source string }{{"REVERB_", Reverb}, {"PUSHER_", Pusher}} {
		if name := prefixes[one.prefix]; name != "" {
			return one.source, "has " + name
		}
	}
	return "", ""
}
