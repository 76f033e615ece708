package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/parser"
	"io"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const caddyModule = "github.com/caddyserver/caddy/v2"

// floor is the place of a package in the tree. Arrows go down only, and packages
// of one floor never import each other.
type floor string

const (
	protocol  floor = "realtime/protocol"        // standard library only
	leaf      floor = "internal"                 // standard library only
	meters    floor = "internal/meter"           // the Prometheus client, and nothing of the project
	deltas    floor = "realtime/delta"           // standard library besides
	filters   floor = "realtime/filter"          // standard library besides
	language  floor = "realtime/filter/jmespath" // standard library only
	standIn   floor = "internal/…test"           // servers for tests only
	diagnosis floor = "internal/doctor"
	traces    floor = "internal/span"        // and OpenTelemetry
	streamed  floor = "internal/eventstream" // and Protobuf
	common    floor = "internal/words"       // what the caddy.go files of drivers have in common
	contracts floor = "storage"
	past      floor = "realtime/history"
	live      floor = "realtime"
	pushing   floor = "push"
	hooks     floor = "webhooks"
	migrating floor = "migrate"                      // standard library only
	between   floor = "storage/relay, storage/batch" // what several drivers have in common
	driver    floor = "storage/<driver>"
	provider  floor = "push/<provider>"
	transport floor = "console, realtime/ws, realtime/rest, push/rest"
	top       floor = "the root package"
	above     floor = "commands and tests above the root"
)

// mayImport says which floors a package may import.
var mayImport = map[floor][]floor{
	protocol:  {},
	leaf:      {},
	meters:    {},
	deltas:    {protocol, leaf},
	filters:   {language, protocol, leaf},
	language:  {},
	standIn:   {leaf},
	contracts: {protocol, leaf},
	past:      {contracts, protocol, leaf},
	live:      {traces, past, contracts, deltas, filters, protocol, meters, leaf},
	pushing:   {traces, contracts, protocol, meters, leaf},
	hooks:     {contracts, protocol, meters, leaf},
	migrating: {},
	common:    {},
	diagnosis: {protocol, leaf},
	between:   {contracts, protocol, leaf},
	driver:    {common, between, contracts, protocol, meters, leaf},
	provider:  {common, pushing, contracts, protocol, meters, leaf},
	transport: {traces, live, past, pushing, contracts, protocol, meters, leaf},
	top:       {traces, streamed, common, diagnosis, transport, provider, driver, between, live, past, pushing, hooks, migrating, contracts, deltas, filters, protocol, meters, leaf},
	above:     {traces, streamed, common, diagnosis, top, above, transport, provider, driver, between, live, past, pushing, hooks, migrating, contracts, deltas, filters, protocol, meters, leaf},
	traces:    {},
	streamed:  {meters},
}

// plain are the floors that import nothing from outside but the standard library.
var plain = []floor{protocol, leaf, deltas, filters, language, migrating}

// floorOf is the floor of a package, by its path below the module: "." is the
// root package. It is empty for a package that nobody has given a place.
func floorOf(dir string) floor {
	area, rest, _ := strings.Cut(dir, "/")
	switch area {
	case ".":
		return top
	case "cmd", "bench", "conformance":
		return above
	case "internal":
		if rest == "e2e" || rest == "house" || strings.HasPrefix(rest, "e2e/") || strings.HasPrefix(rest, "house/") {
			return above
		}
		switch rest {
		case "words":
			return common
		case "doctor":
			return diagnosis
		case "meter":
			return meters
		case "span":
			return traces
		case "eventstream":
			return streamed
		case "cqltest", "eventstreamtest", "natstest", "pushtest", "redistest":
			return standIn
		}
		return leaf
	case "realtime":
		return map[string]floor{
			"": live, "history": past, "protocol": protocol, "delta": deltas, "filter": filters, "filter/jmespath": language, "ws": transport, "rest": transport,
		}[rest]
	case "storage":
		if rest == "relay" || rest == "batch" {
			return between
		}
		return below(rest, contracts, driver)
	case "push":
		if rest == "rest" {
			return transport
		}
		return below(rest, pushing, provider)
	case "webhooks":
		return below(rest, hooks, "")
	case "migrate":
		return below(rest, migrating, "")
	case "console":
		return below(rest, transport, "")
	}
	return ""
}

// below is the floor of an area's own package, or of a package one level below.
func below(rest string, own, child floor) floor {
	switch {
	case rest == "":
		return own
	case strings.Contains(rest, "/"):
		return ""
	default:
		return child
	}
}

// local is a package's path below the module, "." for the root package.
func local(pkg string) (dir string, ok bool) {
	if pkg == module {
		return ".", true
	}
	return strings.CutPrefix(pkg, module+"/")
}

// TestFloors checks the imports of every source file, whatever system it is for.
func TestFloors(t *testing.T) {
	walk(t, func(name string) {
		dir := path.Dir(name)
		from := floorOf(dir)
		if from == "" {
			t.Errorf("%s: the package has no floor; give it one here and in .golangci.yml", name)
			return
		}
		test := strings.HasSuffix(name, "_test.go")
		for _, pkg := range imports(t, name) {
			to, ours := local(pkg)
			switch {
			case ours && floorOf(to) == top && from != above && from != top:
				t.Errorf("%s imports the root package", name)
			case ours && to != dir && !test && !slices.Contains(mayImport[from], floorOf(to)):
				t.Errorf("%s imports %s, which is not below it", name, to)
			case !ours && strings.HasPrefix(pkg, caddyModule) && !mayKnowCaddy(from, name):
				t.Errorf("%s imports Caddy", name)
			case !ours && !test && slices.Contains(plain, from) && strings.Contains(pkg, "."):
				t.Errorf("%s imports %s, not only the standard library", name, pkg)
			case !ours && !test && from == meters && strings.Contains(pkg, ".") && !strings.HasPrefix(pkg, "github.com/prometheus/"):
				t.Errorf("%s imports %s, not only the Prometheus client", name, pkg)
			}
		}
	}, ".go")
}

// mayKnowCaddy reports whether a file may import Caddy: below the root, only the
// files of a driver or provider that register it.
func mayKnowCaddy(from floor, name string) bool {
	switch from {
	case top, above:
		return true
	case driver, provider, common:
		return isModuleFile(name) || path.Base(name) == "caddy_test.go"
	default:
		return false
	}
}

// tooLong are the files beside a caddy.go that has no room for them.
var tooLong = []string{"storage/redis/caddy_push.go", "storage/sql/caddy_push.go"}

// isModuleFile reports whether a file registers a driver or provider.
func isModuleFile(name string) bool {
	return path.Base(name) == "caddy.go" || slices.Contains(tooLong, name)
}

func imports(t *testing.T, name string) []string {
	t.Helper()
	var list []string
	for _, spec := range parse(t, name, parser.ImportsOnly).Imports {
		pkg, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, pkg)
	}
	return list
}

// TestReach checks the same for what packages reach through others.
func TestReach(t *testing.T) {
	seen := 0
	for _, p := range list(t) {
		dir, ours := local(p.ImportPath)
		if !ours {
			continue
		}
		seen++
		from := floorOf(dir)
		if from == top || from == above {
			continue
		}
		if slices.Contains(p.Deps, module) {
			t.Errorf("%s reaches the root package", dir)
		}
		if slices.Contains(p.Deps, caddyModule) && from != driver && from != provider && from != common {
			t.Errorf("%s reaches Caddy", dir)
		}
	}
	if seen < 3 {
		t.Fatalf("go list knows %d packages of this module", seen)
	}
}

type listed struct {
	ImportPath string
	Deps       []string
}

func list(t *testing.T) (packages []listed) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-deps", "-json=ImportPath,Deps", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}
