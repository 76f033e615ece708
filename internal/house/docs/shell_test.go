package docs

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// syntaxOnly are commands of which only the shell's syntax is checked: they are not
// here, or do to a machine what a test must not.
var syntaxOnly = []string{
	"[", "apt-get", "bin/importmap", "bundle", "cat", "cd", "chmod", "composer", "cp", "cut", "date", "docker", "echo", "export", "git", "head", "install", "kubectl", "md5sum", "mkdir", "mv", "npm", "npx",
	"openssl", "php", "printf", "rails", "redis-cli", "rm", "sed", "sleep", "sqlite3", "sudo", "sysctl", "systemctl", "systemd-analyze", "tar", "test", "ulimit", "xcaddy",
}

// checkShell compares commands with what they know. A block that is marked to run is
// run by the shell, with the server of the example.
func checkShell(t testing.TB, b block) {
	if out, err := command(t, "bash", "-n", "-c", b.text).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, runs := b.marks["runs"]
	_, file := b.marks["file"] // the test of its guide runs it
	words := commands(b.text)
	if len(words) == 0 {
		t.Error("no command")
	}
	for _, words := range words {
		checkCommand(t, words, runs || file)
	}
	if runs {
		runShell(t, b.text)
	}
}

// checkConsole checks the commands that a terminal shows after its prompts.
func checkConsole(t testing.TB, b block) {
	var lines []string
	for line := range strings.Lines(b.text) {
		if typed, is := strings.CutPrefix(line, "$ "); is {
			lines = append(lines, typed)
		}
	}
	b.text = strings.Join(lines, "")
	checkShell(t, b)
}

func checkCommand(t testing.TB, words []string, runs bool) {
	line := strings.Join(words, " ")
	switch name := strings.TrimPrefix(strings.TrimPrefix(words[0], "dist/"), "./"); {
	case name == "caddy":
		checkCaddy(t, words[1:])
	case strings.HasPrefix(line, "go run ./cmd/caddy "):
		checkCaddy(t, words[3:])
	case name == "go":
		checkPackages(t, words[1:])
	case name == "make":
		for _, target := range words[1:] {
			if !strings.Contains(target, "=") && !regexp.MustCompile(`(?m)^`+target+`:`).MatchString(read(t, "Makefile")) {
				t.Errorf("make has no target %s", target)
			}
		}
	case strings.HasPrefix(name, "scripts/"):
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Error(err)
		}
	case name == "curl":
		if strings.Contains(line, "localhost:6001") && !runs || strings.Contains(line, "localhost:2019") && !runs {
			t.Errorf("this can run, and is not marked to: %s", line)
		}
	case !slices.Contains(syntaxOnly, name):
		t.Errorf("nobody checks the command %s", name)
	}
}

// checkPackages looks for the packages that a command of Go names.
func checkPackages(t testing.TB, words []string) {
	if words[0] == "install" {
		return // from elsewhere
	}
	if words[0] != "test" && words[0] != "run" {
		t.Errorf("nobody checks go %s", words[0])
	}
	for _, word := range words[1:] {
		dir, is := strings.CutPrefix(strings.TrimSuffix(word, "/..."), "./")
		if _, err := os.Stat(filepath.Join(root, dir)); is && err != nil {
			t.Error(err)
		}
	}
}

var flags = regexp.MustCompile(`(?m)^ +(?:(-[a-zA-Z]), )?(--[a-z-]+)`)

// checkCaddy asks Caddy itself which subcommands and flags it has.
func checkCaddy(t testing.TB, words []string) {
	var path, given []string
	for i := 0; i < len(words) && (words[0] == "sockudo" || i == 0); i++ {
		if !regexp.MustCompile(`^[a-z-]+$`).MatchString(words[i]) || strings.HasPrefix(words[i], "-") {
			break
		}
		path = append(path, words[i])
	}
	for _, word := range words {
		if name, _, _ := strings.Cut(word, "="); strings.HasPrefix(name, "-") && name != "-" {
			given = append(given, name)
		}
	}
	if len(path) == 0 {
		t.Fatalf("caddy %s names no command", strings.Join(words, " "))
	}
	// An argument that looks like a command is none: the last ones are tried without.
	for {
		out, err := command(t, caddyBinary(t), append(slices.Clone(path), "--help")...).CombinedOutput()
		usage := regexp.MustCompile(`(?m)^ +caddy ` + strings.Join(path, " ") + `( |$)`).Match(out)
		if err == nil && usage {
			for _, name := range given {
				all := flags.FindAllStringSubmatch(string(out), -1)
				if !slices.ContainsFunc(all, func(m []string) bool { return name == m[1] || name == m[2] }) {
					t.Errorf("caddy %s has no flag %s", strings.Join(path, " "), name)
				}
			}
			return
		}
		known := regexp.MustCompile(`(?m)^Available Commands:`).Match(out)
		if len(path) <= 2 || known {
			t.Errorf("there is no command caddy %s (%v)\n%s", strings.Join(path, " "), err, out)
			return
		}
		path = path[:len(path)-1]
	}
}

// runShell runs a script beside the server of the example, whose apps are in a store.
func runShell(t testing.TB, script string) {
	store := filepath.Join(t.TempDir(), "apps.db")
	example := read(t, "examples/Caddyfile")
	with := strings.Replace(example, "\t\tmode development\n", "\t\tmode development\n\t\tapp_manager sqlite {\n\t\t\tpath "+store+"\n\t\t}\n", 1)
	if with == example {
		t.Fatal("the example is not what it was")
	}
	s := start(t, root, with)
	cmd := command(t, "bash", "-euo", "pipefail", "-c", s.here(script))
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(caddyBinary(t))+":"+os.Getenv("PATH"), "CURL_HOME="+cmd.Dir)
	// A refusal is not a success.
	if err := os.WriteFile(filepath.Join(cmd.Dir, ".curlrc"), []byte("fail-with-body\nsilent\nshow-error\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s\n%s", err, out, s.log)
	}
	for _, m := range regexp.MustCompile(`(?m)^# (\S.*)$`).FindAllStringSubmatch(script, -1) {
		if want, says := strings.CutPrefix(m[1], "answers "); says && !strings.Contains(string(out), want) {
			t.Errorf("it does not answer %s, but\n%s", want, out)
		}
	}
}

// command is one that ends with the test at the latest.
func command(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, name, args...)
}
