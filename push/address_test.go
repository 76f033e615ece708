package push

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadAddress(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "https://a.example": "https://a.example", "https://a.example:8443/": "https://a.example:8443", "https://[::1]:1//": "https://[::1]:1",
	} {
		if got, err := ReadAddress("endpoint", text, false); err != nil || got != want {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
	if got, err := ReadAddress("endpoint", "https://a.example/oauth2/v3/token", true); err != nil || got != "https://a.example/oauth2/v3/token" {
		t.Errorf("with a path: %q, %v", got, err)
	}
	for _, text := range []string{
		"http://a.example", "a.example", "https://", "https:///x", "https://u:hush@a.example", "https://a.example?hush=1", "https://a.example?",
		"https://a.example#x", "https://a.example/x", "https://a b", "://",
	} {
		_, err := ReadAddress("endpoint", text, false)
		if err == nil || !strings.HasPrefix(err.Error(), "endpoint: ") || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestReadRoots(t *testing.T) {
	if roots, err := ReadRoots("ca_file", ""); roots != nil || err != nil {
		t.Errorf("without a file: %v, %v", roots, err)
	}
	name := filepath.Join(t.TempDir(), "ca.pem")
	if _, err := ReadRoots("ca_file", name); err == nil || !strings.HasPrefix(err.Error(), "ca_file: ") {
		t.Errorf("without that file: %v", err)
	}
	if err := os.WriteFile(name, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadRoots("ca_file", name); err == nil || !strings.HasPrefix(err.Error(), "ca_file: ") {
		t.Errorf("with nothing in it: %v", err)
	}
}
