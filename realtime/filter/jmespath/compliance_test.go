package jmespath

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// suite is a part of a file of the compliance suite: expressions on one document.
type suite struct {
	Given any
	Cases []struct {
		Expression string
		Result     any
		Error      string
		Bench      string
	}
}

func suites(t testing.TB) map[string][]suite {
	t.Helper()
	files, err := filepath.Glob("testdata/compliance/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("files %v, %v", files, err)
	}
	all := map[string][]suite{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var parts []suite
		if err := json.Unmarshal(raw, &parts); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[file] = parts
	}
	return all
}

// The whole compliance suite, but for its benchmarks. A syntax error is one of
// Compile; any other may be one of Compile or one of Search.
func TestCompliance(t *testing.T) {
	ran := 0
	for file, parts := range suites(t) {
		for _, part := range parts {
			for _, c := range part.Cases {
				if c.Bench != "" {
					continue
				}
				ran++
				e, err := Compile(c.Expression)
				if c.Error == "syntax" {
					if err == nil {
						t.Errorf("%s: %s compiles", file, c.Expression)
					}
					continue
				}
				var got any
				if err == nil {
					got, err = e.Search(part.Given)
				}
				switch {
				case c.Error != "" && err == nil:
					t.Errorf("%s: %s is %#v, want the error %s", file, c.Expression, got, c.Error)
				case c.Error == "" && (err != nil || !reflect.DeepEqual(got, c.Result)):
					t.Errorf("%s: %s is %#v, %v; want %#v", file, c.Expression, got, err, c.Result)
				}
			}
		}
	}
	if ran < 800 {
		t.Errorf("only %d cases ran", ran)
	}
	t.Logf("%d cases", ran)
}
