package house

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// module is the path of this module, and root its directory.
const (
	module = "github.com/sockudo/caddy-sockudo"
	root   = "../.."
)

// walk calls f for every file of the repository with one of the extensions, by
// its slash-separated path below the root. What is built, downloaded or hidden
// is left out.
func walk(t *testing.T, f func(name string), extensions ...string) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			skip := d.Name() == "node_modules" || d.Name() == "dist" || d.Name() == "testdata"
			if skip || (strings.HasPrefix(d.Name(), ".") && name != root) {
				return filepath.SkipDir
			}
			return nil
		}
		for _, e := range extensions {
			if strings.HasSuffix(name, e) {
				rel, err := filepath.Rel(root, name)
				if err != nil {
					return err
				}
				f(filepath.ToSlash(rel))
				break
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func parse(t *testing.T, name string, mode parser.Mode) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, read(t, name), mode)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// maxLines is the length of the longest file that needs no reason.
const maxLines = 500

// longFiles are those that may be longer, with the reason.
var longFiles = map[string]string{}

func TestFileLength(t *testing.T) {
	seen := map[string]bool{}
	walk(t, func(name string) {
		seen[name] = true
		lines := bytes.Count(read(t, name), []byte("\n"))
		reason, excused := longFiles[name]
		switch {
		case lines > maxLines && !excused:
			t.Errorf("%s has %d lines, more than %d; split it by nouns", name, lines, maxLines)
		case lines <= maxLines && excused:
			t.Errorf("%s is short enough and needs no excuse any more: %s", name, reason)
		}
	}, ".go", ".mjs")
	for name := range longFiles {
		if !seen[name] {
			t.Errorf("%s is excused for its length and does not exist", name)
		}
	}
}

// ordinary are methods whose meaning is that of a well-known interface.
var ordinary = map[string]bool{
	"Error": true, "Unwrap": true, "Is": true, "As": true, "String": true,
	"Read": true, "Write": true, "Close": true, "Len": true, "Less": true, "Swap": true,
	"ServeHTTP": true, "Header": true, "WriteHeader": true, "Hijack": true, "Flush": true,
	"MarshalJSON": true, "UnmarshalJSON": true, "MarshalText": true, "UnmarshalText": true,
}

// TestComments wants a comment on every package and every exported name, since
// the documentation is made of them.
func TestComments(t *testing.T) {
	documented := map[string]bool{} // by directory
	walk(t, func(name string) {
		if strings.HasSuffix(name, "_test.go") {
			return
		}
		file := parse(t, name, parser.ParseComments|parser.SkipObjectResolution)
		dir := path.Dir(name)
		documented[dir] = documented[dir] || file.Doc != nil
		config := dir == "." || isModuleFile(name)
		for _, missing := range undocumented(file, config) {
			t.Errorf("%s: %s has no comment", name, missing)
		}
	}, ".go")
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s: no file has a package comment", dir)
		}
	}
}

// undocumented names what lacks a comment. config says that the file's structs
// are read by Caddy, whose documentation of a module is made of their fields.
func undocumented(file *ast.File, config bool) (missing []string) {
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Doc == nil && d.Name.IsExported() && exportedReceiver(d) && !(d.Recv != nil && ordinary[d.Name.Name]) {
				missing = append(missing, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				missing = append(missing, undocumentedSpec(d, spec, config)...)
			}
		}
	}
	return missing
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	kind := d.Recv.List[0].Type
	for {
		switch k := kind.(type) {
		case *ast.StarExpr:
			kind = k.X
		case *ast.IndexExpr:
			kind = k.X
		case *ast.IndexListExpr:
			kind = k.X
		case *ast.Ident:
			return k.IsExported()
		default:
			return true
		}
	}
}

func undocumentedSpec(d *ast.GenDecl, spec ast.Spec, config bool) (missing []string) {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if !s.Name.IsExported() {
			return nil
		}
		if d.Doc == nil && s.Doc == nil {
			missing = append(missing, s.Name.Name)
		}
		if fields, ok := s.Type.(*ast.StructType); ok && config {
			missing = append(missing, undocumentedFields(s.Name.Name, fields)...)
		}
	case *ast.ValueSpec:
		if d.Doc != nil || s.Doc != nil || s.Comment != nil {
			return nil
		}
		for _, name := range s.Names {
			if name.IsExported() {
				missing = append(missing, name.Name)
			}
		}
	}
	return missing
}

// undocumentedFields names the exported fields with a JSON name.
func undocumentedFields(kind string, fields *ast.StructType) (missing []string) {
	for _, f := range fields.Fields.List {
		if f.Doc != nil || f.Comment != nil || f.Tag == nil || !strings.Contains(f.Tag.Value, `json:"`) {
			continue
		}
		for _, name := range f.Names {
			if name.IsExported() {
				missing = append(missing, kind+"."+name.Name)
			}
		}
	}
	return missing
}
