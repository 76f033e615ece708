package docs

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// unitKeys are the keys that units here may have: systemd ignores what it does not
// know, so that a misspelt one would do nothing.
var unitKeys = map[string][]string{
	"Unit":    {"Description", "Documentation", "After", "Wants", "Requires"},
	"Install": {"WantedBy"},
	"Service": {
		"Type", "User", "Group", "ExecStart", "ExecReload", "TimeoutStopSec", "LimitNOFILE", "LimitNPROC", "PrivateTmp", "ProtectSystem", "ProtectHome", "ReadWritePaths",
		"AmbientCapabilities", "CapabilityBoundingSet", "NoNewPrivileges", "Environment", "EnvironmentFile", "LoadCredential", "Restart", "RestartSec", "StateDirectory",
		"ConfigurationDirectory", "KillMode", "MemoryDenyWriteExecute", "RestrictSUIDSGID", "PrivateDevices", "ProtectKernelTunables", "ProtectKernelModules", "ProtectControlGroups",
	},
}

// checkUnit reads a unit of systemd, or a drop-in of one. systemd itself looks at
// whole units where it is installed.
func checkUnit(t testing.TB, b block) {
	section := ""
	for line := range strings.Lines(b.text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
			if unitKeys[section] == nil {
				t.Errorf("no section %s", section)
			}
		default:
			key, value, is := strings.Cut(line, "=")
			if !is || !slices.Contains(unitKeys[section], key) {
				t.Errorf("[%s] has no %s", section, line)
			}
			if exec, is := strings.CutPrefix(value, "/usr/bin/caddy "); is {
				for _, words := range commands("caddy " + exec) {
					checkCommand(t, words, false)
				}
			} else if strings.HasPrefix(key, "Exec") {
				t.Errorf("nobody checks %s", line)
			}
		}
	}
	if !strings.Contains(b.text, "ExecStart=") {
		return
	}
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Log("systemd-analyze is not here")
		return
	}
	file := filepath.Join(t.TempDir(), "caddy.service")
	// What the unit names is elsewhere on this machine.
	text := regexp.MustCompile(`(?m)^(User|Group)=.*\n|^(EnvironmentFile|LoadCredential)=.*\n`).ReplaceAllString(b.text, "")
	write(t, file, strings.ReplaceAll(text, "/usr/bin/caddy", caddyBinary(t)))
	if out, err := command(t, "systemd-analyze", "verify", "--man=no", file).CombinedOutput(); err != nil || strings.Contains(string(out), "caddy.service:") {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}

// instructions are those of a Dockerfile.
var instructions = []string{"FROM", "RUN", "COPY", "ENV", "USER", "EXPOSE", "VOLUME", "WORKDIR", "HEALTHCHECK", "CMD", "ENTRYPOINT", "STOPSIGNAL", "LABEL", "ARG"}

// checkDockerfile reads the instructions of a Dockerfile. What it copies from the
// directory has to be there, and from a stage that stands above.
func checkDockerfile(t testing.TB, b block) {
	text := strings.ReplaceAll(b.text, "\\\n", " ")
	var stages []string
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		switch {
		case !slices.Contains(instructions, words[0]):
			t.Errorf("no instruction: %s", line)
		case len(stages) == 0 && words[0] != "FROM" && words[0] != "ARG":
			t.Errorf("before FROM: %s", line)
		case words[0] == "FROM":
			stages = append(stages, words[len(words)-1])
		case words[0] == "COPY":
			checkCopy(t, b, words[1:], stages)
		}
	}
	if len(stages) == 0 {
		t.Error("no FROM")
	}
}

func checkCopy(t testing.TB, b block, words, stages []string) {
	var sources []string
	for _, word := range words[:len(words)-1] {
		if from, is := strings.CutPrefix(word, "--from="); is {
			if !slices.Contains(stages, from) {
				t.Errorf("no stage %s above", from)
			}
			return
		}
		if !strings.HasPrefix(word, "--") {
			sources = append(sources, word)
		}
	}
	for _, source := range sources {
		if here := filepath.ToSlash(filepath.Join(filepath.Dir(b.doc), source)); !slices.Contains(examples(t, filepath.Base(source)), here) {
			t.Errorf("there is no %s to copy", here)
		}
	}
}
