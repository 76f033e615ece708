package sockudo

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// maxSignedBody bounds a body that is signed, as http max_body bounds one by default.
const maxSignedBody = 10 << 20

// SignedCall is what the command sign writes as JSON about a call of the HTTP API.
type SignedCall struct {
	// Method is the method of the call.
	Method string `json:"method"`
	// URL is where to send it: the path and the query alone if it is not known where the
	// HTTP API is.
	URL string `json:"url"`
	// Path is the path that was signed.
	Path string `json:"path"`
	// Query has the signature in it, which is good for ten minutes.
	Query string `json:"query"`
	// Body is what was signed as the body, empty for none.
	Body string `json:"body,omitempty"`
	// Curl is a line for the shell, if it is known where the HTTP API is.
	Curl string `json:"curl,omitempty"`

	base  string
	query url.Values
}

// callOf reads the flags of a call.
func callOf(cmd *cobra.Command) (*SignedCall, error) {
	path, query, _ := strings.Cut(flagOf(cmd, "path"), "?")
	if !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("--path %q does not begin with a slash", path)
	}
	parsed, err := url.Parse(path)
	if err != nil {
		return nil, at("--path", err)
	}
	c := &SignedCall{Path: parsed.EscapedPath()}
	if c.query, err = url.ParseQuery(query); err != nil {
		return nil, at("--path", err)
	}
	if c.Body, err = bodyOf(cmd); err != nil {
		return nil, at("--body", err)
	}
	otherwise := http.MethodGet
	if c.Body != "" {
		otherwise = http.MethodPost
	}
	c.Method = cmp.Or(strings.ToUpper(flagOf(cmd, "method")), otherwise)
	if !slices.Contains(methods, c.Method) {
		return nil, fmt.Errorf("--method %s is not one of %s", c.Method, strings.Join(methods, ", "))
	}
	if c.Body != "" && c.Method != http.MethodPost {
		return nil, fmt.Errorf("--body means nothing with %s: only POST signs one", c.Method)
	}
	if c.base, err = baseOf(flagOf(cmd, "url")); err != nil {
		return nil, err
	}
	if flagOf(cmd, "curl") == "true" && c.base == "" {
		return nil, errors.New("--curl needs --url: it says where the HTTP API is")
	}
	c.Path = strings.TrimSuffix(parsedPath(c.base), "/") + c.Path
	c.base = strings.TrimSuffix(c.base, parsedPath(c.base))
	return c, nil
}

// baseOf checks the address of a server. It may have a path, below which the HTTP API is.
func baseOf(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", at("--url", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "", fmt.Errorf("--url %q is not an address such as https://example.com", text)
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return "", fmt.Errorf("--url %q has more in it than a host and a path", text)
	}
	return u.Scheme + "://" + u.Host + u.EscapedPath(), nil
}

// parsedPath is the path of an address that was checked.
func parsedPath(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	return u.EscapedPath()
}

// bodyOf reads the body from the command line, from a file or from the standard input.
func bodyOf(cmd *cobra.Command) (string, error) {
	text := flagOf(cmd, "body")
	var from io.Reader
	switch {
	case text == "-":
		if flagOf(cmd, "secret") == "-" {
			return "", errors.New("the standard input has the secret already: use @FILE")
		}
		from = cmd.InOrStdin()
	case strings.HasPrefix(text, "@"):
		f, err := os.Open(text[1:])
		if err != nil {
			return "", err
		}
		defer f.Close()
		from = f
	default:
		return text, nil
	}
	body, err := io.ReadAll(io.LimitReader(from, maxSignedBody+1))
	if err != nil {
		return "", err
	}
	if len(body) > maxSignedBody {
		return "", fmt.Errorf("is larger than %d bytes", maxSignedBody)
	}
	return string(body), nil
}

// curl is the call as a line for a POSIX shell.
func (c *SignedCall) curl() string {
	line := "curl"
	if c.Method == http.MethodHead {
		line += " --head"
	} else if c.Method != http.MethodGet {
		line += " -X " + c.Method
	}
	if c.Body != "" {
		line += " -H 'Content-Type: application/json' --data-binary " + quoted(c.Body)
	}
	return line + " " + quoted(c.URL)
}

// quoted is text as one word for a POSIX shell.
func quoted(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
