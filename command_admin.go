package sockudo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

const (
	// adminTimeout bounds one call of the admin API that is no stream.
	adminTimeout = 60 * time.Second
	// adminDial bounds connecting to it.
	adminDial = 10 * time.Second
	// maxAdminAnswer bounds what is read of an answer, in bytes.
	maxAdminAnswer = 64 << 20
)

// adminClient calls the admin API of a running Caddy.
type adminClient struct {
	origin string
	client *http.Client
}

// addFlags adds those that say where the admin API is and how to write its answer.
func addFlags(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringP("address", "", "", "The address of the admin API, if it is not the default one")
	flags.StringP("config", "c", "", "A configuration file that says where the admin API is")
	flags.StringP("adapter", "a", "", "The adapter of that configuration file")
	flags.BoolP("json", "", false, "Write JSON, as the admin API has it")
}

// addHubFlag adds the one that names a hub.
func addHubFlag(cmd *cobra.Command) {
	cmd.PersistentFlags().StringP("hub", "", "", "The name of the hub, if there are several")
}

// flagOf is the text of a flag.
func flagOf(cmd *cobra.Command, name string) string { return cmd.Flag(name).Value.String() }

func asksJSON(cmd *cobra.Command) bool { return flagOf(cmd, "json") == "true" }

// newAdminClient finds the admin API that the flags of a command name.
func newAdminClient(cmd *cobra.Command) (*adminClient, error) {
	address, err := caddycmd.DetermineAdminAPIAddress(flagOf(cmd, "address"), nil, flagOf(cmd, "config"), flagOf(cmd, "adapter"))
	if err != nil {
		return nil, fmt.Errorf("finding the admin API: %w", err)
	}
	parsed, err := caddy.ParseNetworkAddress(address)
	if err != nil || parsed.PortRangeSize() > 1 {
		return nil, fmt.Errorf("finding the admin API: %q is not an address: %w", address, err)
	}
	a := &adminClient{origin: "http://" + parsed.JoinHostPort(0)}
	if parsed.IsUnixNetwork() {
		a.origin = "http://127.0.0.1"
		parsed.Host, _, _ = strings.Cut(parsed.Host, "|") // the permissions of the socket
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: adminDial}).DialContext(ctx, parsed.Network, parsed.JoinHostPort(0))
	}
	a.client = &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	return a, nil
}

// open begins a call. The caller closes the body of the answer, which is no error.
func (a *adminClient) open(ctx context.Context, method, path string, header http.Header, body io.Reader) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, a.origin+path, body)
	if err != nil {
		return nil, fmt.Errorf("asking the admin API: %w", err)
	}
	r.Header.Set("Origin", a.origin)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	maps.Copy(r.Header, header)
	resp, err := a.client.Do(r)
	if err != nil {
		return nil, coded(exitUnreachable, fmt.Errorf("asking the admin API: %w", err))
	}
	if resp.StatusCode < http.StatusBadRequest {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, refused(resp)
}

// refused is an answer that is an error.
func refused(resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // what there is of it
	var told struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(text, &told) != nil || told.Error == "" {
		told.Error = strings.TrimSpace(string(text))
	}
	err := fmt.Errorf("the server answers %d: %s", resp.StatusCode, printable(told.Error))
	if resp.StatusCode == http.StatusNotFound {
		return coded(exitMissing, err)
	}
	return err
}

// call calls the admin API and reads its answer.
func (a *adminClient) call(ctx context.Context, method, path string, header http.Header, body io.Reader) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	resp, err := a.open(ctx, method, path, header, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAdminAnswer))
	if err != nil {
		return nil, coded(exitUnreachable, fmt.Errorf("reading the answer: %w", err))
	}
	return text, nil
}

// read reads an answer whatever its status is.
func (a *adminClient) read(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.origin+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := a.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, maxAdminAnswer))
}

// hub is the path of the hub that a command is about: the one that it names, or the only one.
func (a *adminClient) hub(cmd *cobra.Command) (string, error) {
	name := flagOf(cmd, "hub")
	if name == "" {
		text, err := a.call(contextOf(cmd), http.MethodGet, "/sockudo/hubs", nil, nil)
		if err != nil {
			return "", err
		}
		var hubs []HubState
		if err := json.Unmarshal(text, &hubs); err != nil {
			return "", fmt.Errorf("reading the answer: %w", err)
		}
		names := make([]string, len(hubs))
		for i := range hubs {
			names[i] = printable(hubs[i].Name)
		}
		switch len(hubs) {
		case 0:
			return "", codedf(exitMissing, "no hub is running")
		case 1:
			name = hubs[0].Name
		default:
			return "", fmt.Errorf("several hubs are running: name one of them with --hub: %s", strings.Join(names, ", "))
		}
	}
	return "/sockudo/hubs/" + url.PathEscape(name), nil
}

// ask calls the admin API and reads its answer.
func ask(cmd *cobra.Command, method, path string) ([]byte, error) {
	a, err := newAdminClient(cmd)
	if err != nil {
		return nil, err
	}
	return a.call(contextOf(cmd), method, path, nil, nil)
}

// askHub calls the admin API about the hub of a command. query may be nil.
func askHub(cmd *cobra.Command, method, path string, query url.Values, header http.Header, body io.Reader) ([]byte, error) {
	a, err := newAdminClient(cmd)
	if err != nil {
		return nil, err
	}
	hub, err := a.hub(cmd)
	if err != nil {
		return nil, err
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return a.call(contextOf(cmd), method, hub+path, header, body)
}

// queryOf are flags that are set, as parameters of the same name.
func queryOf(cmd *cobra.Command, flags ...string) url.Values {
	query := url.Values{}
	for _, name := range flags {
		if value := flagOf(cmd, name); value != "" {
			query.Set(name, value)
		}
	}
	return query
}

func contextOf(cmd *cobra.Command) context.Context {
	if ctx := cmd.Context(); ctx != nil {
		return ctx
	}
	return context.Background()
}

// show writes an answer as it is, if that was asked for, or as write does.
func show[T any](cmd *cobra.Command, body []byte, write func(io.Writer, T) error) error {
	if asksJSON(cmd) {
		_, err := cmd.OutOrStdout().Write(body)
		return err
	}
	var v T
	if err := json.Unmarshal(body, &v); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	return write(cmd.OutOrStdout(), v)
}
