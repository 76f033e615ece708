package sockudo

import (
	"bufio"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metricsql"
	"go.yaml.in/yaml/v3"

	"github.com/sockudo/caddy-sockudo/internal/meter"
)

// promFunctions are those of Prometheus that the examples call. metricsql knows more.
var promFunctions = []string{"rate", "increase", "deriv", "histogram_quantile"}

// promAggregates are the aggregations of Prometheus that the examples make use of.
var promAggregates = []string{"sum", "min", "max"}

// everyTarget are the labels that Prometheus adds to what it collects.
var everyTarget = []string{"instance", "job"}

// labelsOfMetrics are the labels of each metric that a Caddy with this module has.
func labelsOfMetrics(t *testing.T) map[string][]string {
	t.Helper()
	s := newServer(t)
	port := freePort(t)
	s.mustLoad("metrics\n", site(port, "sockudo {\n"+appBlock+"}"))
	request(t, "GET", "http://127.0.0.1:"+port+"/apps/demo/channels", nil)
	known := map[string][]string{}
	for _, i := range findHub(defaultHub).Metrics().Infos() {
		name, labels := meter.FullName("sockudo_", i.Name), append(slices.Clone(i.Labels), "hub")
		known[name] = labels
		if i.Kind == meter.KindHistogram {
			known[name+"_bucket"], known[name+"_sum"], known[name+"_count"] = append(slices.Clone(labels), "le"), labels, labels
		}
	}
	_, text := request(t, "GET", "http://"+s.admin+"/metrics", nil)
	sample, label := regexp.MustCompile(`^([a-z_]+)(\{.*\})? `), regexp.MustCompile(`([a-z_]+)="`)
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		m := sample.FindStringSubmatch(lines.Text())
		if len(m) == 0 || strings.HasPrefix(m[1], "sockudo_") {
			continue
		}
		for _, l := range label.FindAllStringSubmatch(m[2], -1) {
			known[m[1]] = append(known[m[1]], l[1])
		}
		known[m[1]] = append(known[m[1]], "")
	}
	return known
}

// checkQuery checks that an expression is one of Prometheus, and that all metrics and labels
// in it are there.
func checkQuery(known map[string][]string, text string) (problems []string) {
	e, err := metricsql.Parse(text)
	if err != nil {
		return []string{err.Error()}
	}
	metricsql.VisitAll(e, func(e metricsql.Expr) {
		switch e := e.(type) {
		case *metricsql.MetricExpr:
			problems = append(problems, checkMetric(known, e)...)
		case *metricsql.AggrFuncExpr:
			if !slices.Contains(promAggregates, e.Name) {
				problems = append(problems, "the aggregation "+e.Name)
			}
			if op := e.Modifier.Op; op != "" && op != "by" {
				problems = append(problems, "the modifier "+op)
			}
			for _, inner := range e.Args {
				metricsql.VisitAll(inner, func(inner metricsql.Expr) {
					if m, ok := inner.(*metricsql.MetricExpr); ok {
						problems = append(problems, lacks(known, nameOf(m), e.Modifier.Args)...)
					}
				})
			}
		case *metricsql.FuncExpr:
			problems = append(problems, checkFunction(e)...)
		}
	})
	return problems
}

// checkFunction wants a window for what needs one in Prometheus.
func checkFunction(e *metricsql.FuncExpr) []string {
	if !slices.Contains(promFunctions, e.Name) {
		return []string{"the function " + e.Name}
	}
	if e.Name == "histogram_quantile" {
		return nil
	}
	if r, ok := e.Args[0].(*metricsql.RollupExpr); !ok || r.Window == nil {
		return []string{e.Name + " without a window"}
	}
	return nil
}

func nameOf(m *metricsql.MetricExpr) string {
	for _, f := range m.LabelFilterss[0] {
		if f.Label == "__name__" {
			return f.Value
		}
	}
	return ""
}

func checkMetric(known map[string][]string, m *metricsql.MetricExpr) []string {
	if len(m.LabelFilterss) != 1 || known[nameOf(m)] == nil {
		return []string{"there is no metric " + string(m.AppendString(nil))}
	}
	var labels []string
	for _, f := range m.LabelFilterss[0] {
		if f.Label != "__name__" {
			labels = append(labels, f.Label)
		}
	}
	return lacks(known, nameOf(m), labels)
}

// lacks names the labels that a metric does not have.
func lacks(known map[string][]string, name string, labels []string) (problems []string) {
	for _, l := range labels {
		if !slices.Contains(known[name], l) && !slices.Contains(everyTarget, l) {
			problems = append(problems, name+" has no label "+l)
		}
	}
	return problems
}

// legend are the labels that a text names.
var legend = regexp.MustCompile(`\{\{ *(?:\$labels\.)?([a-z_]+) *\}\}`)

// board is what is checked of a Grafana board.
type board struct {
	SchemaVersion int
	Panels        []boardPanel
	Templating    struct {
		List []struct{ Name, Type, Definition string }
	}
}

type boardPanel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ H, W, X, Y int }
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Datasource               struct{ UID string }
	Targets                  []struct{ RefID, Expr, LegendFormat string }
}

// boardUnits are the units of Grafana that the board has.
var boardUnits = []string{"short", "ops", "reqps", "bytes", "Bps", "s", "ms", "percentunit"}

// boardRows are what the board is to tell about.
var boardRows = []string{
	"Overview", "Connections", "Channels", "Publish latency", "HTTP API", "Rate limits", "Adapter", "Queue", "Webhooks", "Push", "History and recovery", "Process",
}

func TestGrafanaBoard(t *testing.T) {
	known := labelsOfMetrics(t)
	text, err := os.ReadFile(filepath.Join("examples", "grafana", "sockudo.json"))
	if err != nil {
		t.Fatal(err)
	}
	var b board
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	ids, rows, taken := map[int]bool{}, []string{}, map[[2]int]string{}
	for _, p := range b.Panels {
		if ids[p.ID] || p.ID == 0 {
			t.Errorf("panel %q has the id %d of another one", p.Title, p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x > 23 {
					t.Errorf("panel %q lies upon %q", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			rows = append(rows, p.Title)
			continue
		}
		checkPanel(t, known, p)
	}
	if !slices.Equal(rows, boardRows) || b.SchemaVersion < 39 {
		t.Errorf("schema %d, rows %q", b.SchemaVersion, rows)
	}
	checkVariables(t, known, string(text), b)
}

func checkPanel(t *testing.T, known map[string][]string, p boardPanel) {
	t.Helper()
	if !slices.Contains(boardUnits, p.FieldConfig.Defaults.Unit) || p.Description == "" || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
		t.Errorf("panel %q is %+v", p.Title, p)
	}
	refs := map[string]bool{}
	for _, target := range p.Targets {
		if refs[target.RefID] {
			t.Errorf("panel %q: two queries %s", p.Title, target.RefID)
		}
		refs[target.RefID] = true
		query := strings.ReplaceAll(target.Expr, "$__rate_interval", "5m")
		for _, problem := range checkQuery(known, query) {
			t.Errorf("panel %q: %s: %s", p.Title, query, problem)
		}
		for _, m := range legend.FindAllStringSubmatch(target.LegendFormat, -1) {
			if !strings.Contains(query, m[1]) && !slices.Contains(everyTarget, m[1]) {
				t.Errorf("panel %q: the legend names %s, which %s does not keep", p.Title, m[1], query)
			}
		}
	}
}

// checkVariables checks that each variable of the board is defined and made use of.
func checkVariables(t *testing.T, known map[string][]string, text string, b board) {
	t.Helper()
	values, names := regexp.MustCompile(`^label_values\((.*), ([a-z_]+)\)$`), map[string]bool{}
	for _, v := range b.Templating.List {
		names[v.Name] = true
		if v.Type == "datasource" {
			continue
		}
		m := values.FindStringSubmatch(v.Definition)
		if m == nil {
			t.Fatalf("variable %s is %s", v.Name, v.Definition)
		}
		for _, problem := range append(checkQuery(known, m[1]), lacks(known, "sockudo_connected", m[2:])...) {
			t.Errorf("variable %s: %s", v.Name, problem)
		}
	}
	used := map[string]bool{"__rate_interval": true}
	for _, m := range regexp.MustCompile(`\$\{?([a-z_]+)`).FindAllStringSubmatch(text, -1) {
		if used[m[1]] = true; !names[m[1]] && !strings.HasPrefix(m[1], "__") {
			t.Errorf("there is no variable %s", m[1])
		}
	}
	for name := range names {
		if !used[name] {
			t.Errorf("nothing makes use of variable %s", name)
		}
	}
	if got := slices.Sorted(maps.Keys(names)); !slices.Equal(got, []string{"app_id", "datasource", "hub", "instance"}) {
		t.Errorf("variables %q", got)
	}
}

// rules is a file of rules for Prometheus.
type rules struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Expr, For    string
			Labels, Annotations map[string]string
		}
	}
}

// documents is where runbooks are, on the web.
const documents = "https://github.com/sockudo/caddy-sockudo/blob/main/"

func TestAlertRules(t *testing.T) {
	known := labelsOfMetrics(t)
	file, err := os.Open(filepath.Join("examples", "prometheus", "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var r rules
	decoder := yaml.NewDecoder(file)
	decoder.KnownFields(true)
	if err := decoder.Decode(&r); err != nil {
		t.Fatal(err)
	}
	guide, err := os.ReadFile(filepath.Join("docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Groups) != 1 || len(r.Groups[0].Rules) < 10 {
		t.Fatalf("%d groups", len(r.Groups))
	}
	for _, rule := range r.Groups[0].Rules {
		for _, problem := range checkQuery(known, rule.Expr) {
			t.Errorf("%s: %s", rule.Alert, problem)
		}
		for _, m := range legend.FindAllStringSubmatch(rule.Annotations["summary"], -1) {
			if !strings.Contains(rule.Expr, m[1]) && !slices.Contains(everyTarget, m[1]) && !strings.Contains(rule.Expr, "transport_up") {
				t.Errorf("%s: the summary names %s", rule.Alert, m[1])
			}
		}
		page, _, _ := strings.Cut(strings.TrimPrefix(rule.Annotations["runbook"], documents), "#")
		if _, err := os.Stat(page); err != nil || page == rule.Annotations["runbook"] {
			t.Errorf("%s: the runbook %s", rule.Alert, rule.Annotations["runbook"])
		}
		if severity := rule.Labels["severity"]; severity != "warning" && severity != "critical" {
			t.Errorf("%s: severity %q", rule.Alert, severity)
		}
		if !strings.Contains(string(guide), "**"+rule.Alert+"**") {
			t.Errorf("docs/metrics.md does not say what to do about %s", rule.Alert)
		}
	}
}
