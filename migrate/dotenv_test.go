package migrate

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestReadEnv(t *testing.T) {
	text := "\ufeff# a comment\r\nA=1\n\nexport B = two words # and a comment\nC='it''s'\n"
	if _, err := ReadEnv(File{"x", []byte(text)}); err == nil || err.Error() != "x:5: C: there is text behind the closing quote" {
		t.Error(err)
	}
	text = strings.Join([]string{
		`PLAIN=a#b`, `COMMENT=a #b`, `EMPTY=`, `SINGLE='a ${PLAIN} \n # "'`, `DOUBLE="a\tb \"q\" \\ \$x # ${PLAIN}" # after`, "BACK=`a 'b' \"c\"`",
		`LINES="one`, `two=2`, `three"`, `REFERS=${PLAIN}`, `QUOTED="${PLAIN}"`, `PART=x${PLAIN}y`, `DEFAULT=${NONE:-else}`, `EMPTY_DEFAULT=${NONE:-}`, `UNKNOWN=${NONE}`,
		`ESCAPED="\${PLAIN}"`, `exported=1`, `PLAIN=again`, `JSON='[{"a":1}]'`, `DOLLAR=pa$$word`,
	}, "\n")
	list, err := ReadEnv(File{"x", []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	want := []Variable{
		{"PLAIN", "a#b", "", 1},
		{"COMMENT", "a", "", 2},
		{"EMPTY", "", "", 3},
		{"SINGLE", `a ${PLAIN} \n # "`, "", 4},
		{"DOUBLE", "a\tb \"q\" \\ $x # a#b", "", 5},
		{"BACK", `a 'b' "c"`, "", 6},
		{"LINES", "one\ntwo=2\nthree", "", 7},
		{"REFERS", "a#b", "PLAIN", 10},
		{"QUOTED", "a#b", "PLAIN", 11},
		{"PART", "xa#by", "", 12},
		{"DEFAULT", "else", "", 13},
		{"EMPTY_DEFAULT", "", "", 14},
		{"UNKNOWN", "${NONE}", "", 15},
		{"ESCAPED", "${PLAIN}", "", 16},
		{"exported", "1", "", 17},
		{"PLAIN", "again", "", 18},
		{"JSON", `[{"a":1}]`, "", 19},
		{"DOLLAR", "pa$$word", "", 20},
	}
	for i := range want {
		if i >= len(list) || list[i] != want[i] {
			t.Errorf("got %+v\nwant %+v", list[min(i, len(list)-1)], want[i])
		}
	}
}

func TestReadEnvErrors(t *testing.T) {
	for text, want := range map[string]string{
		"A=1\nnothing":     "x:2: a line has to be like NAME=VALUE",
		"1A=1":             `x:1: "1A" is not the name of a variable`,
		"=1":               `x:1: "" is not the name of a variable`,
		"A=\"1\nB=2\nC=3":  `x:1: A: the closing " is missing`,
		"\n\nA=\"1\" hush": "x:3: A: there is text behind the closing quote",
		"A=12345678\n" + strings.Repeat("A=${A}${A}\n", 30): "x:17: A: the value is longer than 262144 bytes",
		"A=\x00": "x is not a file of text",
		"A=\xff": "x is not a file of text",
	} {
		_, err := ReadEnv(File{"x", []byte(text)})
		if err == nil || err.Error() != want || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q\ngot  %v\nwant %s", text, err, want)
		}
	}
}

func TestSameForCaddy(t *testing.T) {
	for text, want := range map[string]bool{
		"A=plain": true, `A="quoted"`: true, `A='quoted'`: true, "export A=1": true, "A=1 # x": true, `A="a#b"`: false, "A = 1": false, "A=`b`": false,
		"B=1\nA=${B}": false, `A="a\"b"`: false, "A=a#b": false, "A=\"a\nb\"": false,
	} {
		if there, same := sameForCaddy(File{"x", []byte(text)}, "A"); !there || same != want {
			t.Errorf("%q: %v %v", text, there, same)
		}
	}
	if there, _ := sameForCaddy(File{"x", []byte("B=1")}, "A"); there {
		t.Error("a variable that is not there is found")
	}
}

func FuzzReadEnv(f *testing.F) {
	for _, text := range []string{"A=1", "A=\"${B:-c}\\n\" # d\nexport B='x\ny'", "A=`", "A=${A}${A}", "\ufeffA=1\r\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := ReadEnv(File{"x", text})
		if err != nil {
			if !strings.HasPrefix(err.Error(), "x") {
				t.Errorf("%v names no file", err)
			}
			return
		}
		again, err := ReadEnv(File{"x", text})
		if err != nil || !reflect.DeepEqual(list, again) {
			t.Errorf("%v, %v, %v", list, again, err)
		}
		for _, v := range list {
			if v.Line < 1 || !variableName.MatchString(v.Name) || !utf8.ValidString(v.Value) {
				t.Errorf("%+v", v)
			}
			sameForCaddy(File{"x", text}, v.Name)
		}
	})
}
