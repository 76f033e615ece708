package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strings"
	"testing"
)

// secretName is how things are called whose content must not be told by the time that a
// comparison takes.
var secretName = regexp.MustCompile(`(?i)(signature|md5|mac)$|^Sign|^want(Sum|MAC)$`)

// comparesSecret reports whether an expression compares such a thing, with anything but a
// constant, by == or !=.
func comparesSecret(e *ast.BinaryExpr) bool {
	if e.Op != token.EQL && e.Op != token.NEQ {
		return false
	}
	secret := false
	for _, side := range []ast.Expr{e.X, e.Y} {
		switch side := side.(type) {
		case *ast.BasicLit:
			return false
		case *ast.Ident:
			if side.Name == "nil" {
				return false
			}
			secret = secret || secretName.MatchString(side.Name)
		case *ast.SelectorExpr:
			secret = secret || secretName.MatchString(side.Sel.Name)
		case *ast.CallExpr:
			if f, ok := side.Fun.(*ast.SelectorExpr); ok {
				secret = secret || secretName.MatchString(f.Sel.Name)
			} else if f, ok := side.Fun.(*ast.Ident); ok {
				secret = secret || secretName.MatchString(f.Name)
			}
		}
	}
	return secret
}

// Signatures are compared in time that does not depend on their content. How
// long a comparison takes cannot be tested, so this looks at how it is written.
//
// Checklist: http-api 29
func TestSignaturesAreComparedInConstantTime(t *testing.T) {
	equal := 0
	walk(t, func(name string) {
		if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "bench/") || strings.HasPrefix(name, "internal/") {
			return
		}
		ast.Inspect(parse(t, name, parser.SkipObjectResolution), func(n ast.Node) bool {
			if e, ok := n.(*ast.BinaryExpr); ok && comparesSecret(e) {
				t.Errorf("%s compares a signature by %s: use protocol.Equal", name, e.Op)
			}
			if e, ok := n.(*ast.SelectorExpr); ok && (e.Sel.Name == "ConstantTimeCompare" || e.Sel.Name == "Equal") {
				equal++
			}
			return true
		})
	}, ".go")
	if equal == 0 {
		t.Error("nothing is compared in constant time")
	}
	for text, want := range map[string]bool{
		"a.Signature == b": true, "Sign(x) != y": true, "protocol.Sign(x, y) == z": true, "sum == q.bodyMD5": true,
		`q.bodyMD5 == ""`: false, "a == b": false, "mac == nil": false, "signature > 1": false,
	} {
		e, err := parser.ParseExpr(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := comparesSecret(e.(*ast.BinaryExpr)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
