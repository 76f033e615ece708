package docs

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// manifests are those of the example, by kind; each kind is there once.
func manifests(t *testing.T) map[string]tree {
	t.Helper()
	all := map[string]tree{}
	for _, name := range examples(t, ".yaml") {
		if path.Dir(name) != "examples/kubernetes" {
			continue
		}
		for _, one := range yamls(t, read(t, name)) {
			m := tree{one}
			kind := m.text("kind")
			if m.text("apiVersion") == "" || kind == "" || m.text("metadata.name") == "" {
				t.Errorf("%s lacks apiVersion, kind or a name", name)
			}
			if _, twice := all[kind]; twice {
				t.Errorf("%s is there twice", kind)
			}
			all[kind] = m
			if kind != "Kustomization" && kind != "HorizontalPodAutoscaler" && !strings.Contains(read(t, "examples/kubernetes/kustomization.yaml"), "- "+path.Base(name)+"\n") {
				t.Errorf("the kustomization does not have %s", name)
			}
		}
	}
	return all
}

// tree is what YAML holds, and is asked by paths such as spec.ports.0.name.
type tree struct{ value any }

func (v tree) at(where string) tree {
	for key := range strings.SplitSeq(where, ".") {
		switch inner := v.value.(type) {
		case map[string]any:
			v = tree{inner[key]}
		case []any:
			i := int(key[0] - '0')
			if i >= len(inner) {
				return tree{}
			}
			v = tree{inner[i]}
		default:
			return tree{}
		}
	}
	return v
}

func (v tree) text(where string) string {
	if found := v.at(where).value; found != nil {
		return fmt.Sprint(found)
	}
	return ""
}

func (v tree) each(where string) (all []tree) {
	list, _ := v.at(where).value.([]any)
	for _, one := range list {
		all = append(all, tree{one})
	}
	return all
}

// TestKubernetes holds the manifests of the example against each other, and against the
// configuration that they carry.
func TestKubernetes(t *testing.T) {
	all := manifests(t)
	for _, kind := range []string{"ConfigMap", "Deployment", "Service", "PodDisruptionBudget", "Ingress", "HorizontalPodAutoscaler"} {
		if _, is := all[kind]; !is {
			t.Fatalf("there is no %s", kind)
		}
	}
	deployment, service := all["Deployment"], all["Service"]
	labels := deployment.text("spec.template.metadata.labels")
	pod := deployment.at("spec.template.spec")
	for where, selector := range map[string]string{
		"Deployment": deployment.text("spec.selector.matchLabels"), "Service": service.text("spec.selector"),
		"PodDisruptionBudget": all["PodDisruptionBudget"].text("spec.selector.matchLabels"),
		"spread":              pod.text("topologySpreadConstraints.0.labelSelector.matchLabels"),
	} {
		if selector != labels {
			t.Errorf("%s selects %s, and pods have %s", where, selector, labels)
		}
	}
	container := pod.at("containers.0")
	ports := map[string]string{}
	for _, p := range container.each("ports") {
		ports[p.text("name")] = p.text("containerPort")
	}
	for probe, want := range map[string]string{"startupProbe": "/live", "readinessProbe": "/up", "livenessProbe": "/live"} {
		if got := container.text(probe + ".httpGet.path"); got != want {
			t.Errorf("%s asks %s", probe, got)
		}
		if ports[container.text(probe+".httpGet.port")] == "" {
			t.Errorf("%s asks a port that is not there", probe)
		}
	}
	if ports[service.text("spec.ports.0.targetPort")] == "" {
		t.Error("the service leads to a port that is not there")
	}
	annotations, _ := deployment.at("spec.template.metadata.annotations").value.(map[string]any)
	if annotations["prometheus.io/port"] != ports["metrics"] {
		t.Error("Prometheus is sent to another port")
	}
	for _, p := range all["Ingress"].at("spec.rules.0").each("http.paths") {
		if p.text("backend.service.name") != service.text("metadata.name") || p.text("backend.service.port.name") != service.text("spec.ports.0.name") {
			t.Errorf("the ingress leads %s nowhere", p.text("path"))
		}
	}
	scaler := all["HorizontalPodAutoscaler"]
	if scaler.text("spec.scaleTargetRef.name") != deployment.text("metadata.name") {
		t.Error("the autoscaler scales something else")
	}
	if metric := scaler.text("spec.metrics.0.pods.metric.name"); !strings.Contains(read(t, "docs/operations.md"), "| `"+metric+"` |") {
		t.Errorf("there is no metric %s", metric)
	}
	checkVolumes(t, pod, all)
	checkPodConfig(t, all["ConfigMap"].text("data.Caddyfile"), pod, ports)
}

// checkVolumes wants each mount to have a volume, and each volume a source that exists.
func checkVolumes(t *testing.T, pod tree, all map[string]tree) {
	volumes := map[string]bool{}
	for _, v := range pod.each("volumes") {
		volumes[v.text("name")] = true
		if name := v.text("configMap.name"); name != "" && name != all["ConfigMap"].text("metadata.name") {
			t.Errorf("there is no ConfigMap %s", name)
		}
		if name := v.text("secret.secretName"); name != "" && !strings.Contains(read(t, "docs/operations.md"), "kubectl create secret generic "+name+" ") {
			t.Errorf("docs/operations.md does not make the secret %s", name)
		}
	}
	for _, m := range pod.at("containers.0").each("volumeMounts") {
		if !volumes[m.text("name")] {
			t.Errorf("there is no volume %s", m.text("name"))
		}
		delete(volumes, m.text("name"))
	}
	if len(volumes) > 0 {
		t.Errorf("nobody mounts %v", slices.Collect(maps.Keys(volumes)))
	}
}

// checkPodConfig loads the configuration, and holds its times and ports against those
// of the pod.
func checkPodConfig(t *testing.T, caddyfile string, pod tree, ports map[string]string) {
	checkCaddyfile(t, block{doc: "examples/kubernetes/configmap.yaml", text: caddyfile})
	for name, port := range ports {
		if !strings.Contains(caddyfile, ":"+port+" {") {
			t.Errorf("nobody listens on port %s, %s", port, name)
		}
	}
	grace, before := pod.at("terminationGracePeriodSeconds").value.(int), 0
	if _, err := fmt.Sscan(pod.text("containers.0.lifecycle.preStop.exec.command.1"), &before); err != nil {
		t.Error(err)
	}
	if drain := drainTimeout(t, caddyfile); grace < before+drain+5 {
		t.Errorf("a pod has %d seconds, and needs %d before and %d to drain", grace, before, drain)
	}
}

// drainTimeout is that of a Caddyfile, in seconds.
func drainTimeout(t *testing.T, caddyfile string) (seconds int) {
	t.Helper()
	_, rest, is := strings.Cut(caddyfile, "drain_timeout ")
	if _, err := fmt.Sscanf(rest, "%ds", &seconds); err != nil || !is {
		t.Fatalf("no drain_timeout in seconds: %v", err)
	}
	return seconds
}

// TestCompose holds the example for Docker against its Dockerfile and its Caddyfile.
func TestCompose(t *testing.T) {
	var whole any
	if err := yaml.Unmarshal([]byte(read(t, "examples/docker/compose.yaml")), &whole); err != nil {
		t.Fatal(err)
	}
	compose, caddyfile, dockerfile := tree{whole}, read(t, "examples/docker/Caddyfile"), read(t, "examples/docker/Dockerfile")
	checkDockerfile(t, block{doc: "examples/docker/Dockerfile", text: dockerfile})
	service := compose.at("services.realtime")
	var grace int
	if _, err := fmt.Sscanf(service.text("stop_grace_period"), "%ds", &grace); err != nil || grace < drainTimeout(t, caddyfile)+5 {
		t.Errorf("%v: %d seconds are not enough to drain", err, grace)
	}
	_, port, _ := strings.Cut(service.text("ports.0"), ":")
	for where, want := range map[string]string{caddyfile: ":" + port + " {", dockerfile: "EXPOSE " + port + "\n"} {
		if !strings.Contains(where, want) {
			t.Errorf("port %s is not there as %q", port, want)
		}
	}
	if !strings.Contains(dockerfile, "curl -fsS http://localhost:"+port+"/up\n") {
		t.Error("the health check asks another port")
	}
	for _, name := range []string{"realtime", "redis"} {
		for _, v := range compose.at("services." + name).each("volumes") {
			volume, _, _ := strings.Cut(fmt.Sprint(v.value), ":")
			if _, is := compose.at("volumes").value.(map[string]any)[volume]; !is {
				t.Errorf("%s mounts %s, which is no volume", name, volume)
			}
		}
	}
	for name := range service.at("depends_on").value.(map[string]any) {
		if compose.text("services."+name+".healthcheck.test") == "" {
			t.Errorf("nothing says when %s is healthy", name)
		}
	}
	secret := service.text("secrets.0")
	if compose.text("secrets."+secret+".file") == "" || !strings.Contains(caddyfile, "{file./run/secrets/"+secret+"}") {
		t.Errorf("the secret %s leads nowhere", secret)
	}
}
