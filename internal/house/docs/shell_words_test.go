package docs

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
)

var (
	heredoc    = regexp.MustCompile(`(?ms)<<-?'?(\w+)'?(.*?)\n(.*?)^\s*(\w+)$`)
	assignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z_0-9]*=`)
)

// shellWords are those of the grammar that stand before a command.
var shellWords = map[string]bool{"if": true, "then": true, "else": true, "fi": true, "while": true, "until": true, "do": true, "done": true, "for": true, "!": true, "{": true, "}": true}

// commands are the simple commands of a script, as words: what is between pipes,
// semicolons and ends of lines, without assignments, redirections and comments.
func commands(script string) (all [][]string) {
	script = heredoc.ReplaceAllString(script, "$2\n")
	script = strings.ReplaceAll(script, "\\\n", " ")
	var words []string
	word, quote, depth, open := "", rune(0), 0, false
	endWord := func() {
		if open && (len(words) > 0 || (!assignment.MatchString(word) && !shellWords[word])) {
			words = append(words, word)
		}
		word, open = "", false
	}
	end := func() {
		endWord()
		if len(words) > 0 {
			all = append(all, words)
		}
		words = nil
	}
	comment := false
	for _, c := range script + "\n" {
		switch {
		case comment:
			if comment = c != '\n'; !comment {
				end()
			}
		case quote != 0:
			if c == quote {
				quote = 0
			} else {
				word += string(c)
			}
		case c == '\'' || c == '"':
			quote, open = c, true
		case c == '(' || (depth > 0 && c == ')'):
			if c == '(' {
				depth++
			} else {
				depth--
			}
			word, open = word+string(c), true
		case depth > 0:
			word += string(c)
		case c == '#' && !open:
			comment = true
		case strings.ContainsRune("|&;\n", c):
			end()
		case c == ' ' || c == '\t':
			endWord()
		default:
			word, open = word+string(c), true
		}
	}
	return all
}

func TestCommands(t *testing.T) {
	got := commands("A=b c 'd | e' | f # g\nh \\\n  --i=\"j k\" && l\nx=$(m | n)\n")
	want := [][]string{{"c", "d | e"}, {"f"}, {"h", "--i=j k"}, {"l"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
}
