package main

import (
	"strings"
	"testing"
)

func TestMatrix(t *testing.T) {
	const events = `{"Action":"attr","Package":"p","Test":"TestSuite/x","Key":"engine","Value":"x: X 1"}
{"Action":"attr","Package":"p","Test":"TestSuite/x","Key":"contract","Value":"cache"}
{"Action":"pass","Package":"p","Test":"TestSuite/x/a"}
{"Action":"fail","Package":"p","Test":"TestSuite/x/b"}
{"Action":"skip","Package":"p","Test":"TestSuite/x/c"}
{"Action":"fail","Package":"p","Test":"TestSuite/x"}
{"Action":"attr","Package":"p","Test":"TestOther","Key":"contract","Value":"queue"}
{"Action":"output","Package":"p","Test":"TestOther","Output":"    y_test.go:1: FIGURE 7 of 7\n"}
{"Action":"pass","Package":"p","Test":"TestOther/a"}
{"Action":"pass","Package":"p","Test":"TestOther"}`
	r, err := read(strings.NewReader(events))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	r.print(&out)
	const want = `| driver and engine | cache | queue |
| --- | --- | --- |
| not named: p TestOther |  | 1 of 1 |
| x: X 1 | 1 of 2, 1 n/a |  |
FIGURE 7 of 7
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
}
