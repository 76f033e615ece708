package sockudo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"
)

// secretVariable is where commands look for the secret of an app.
const secretVariable = "SOCKUDO_APP_SECRET" //nolint:gosec // the name of a variable

// maxSecretBytes bounds a secret that comes from a file or from the standard input.
const maxSecretBytes = 64 << 10

// errNoSecret says where a secret may come from.
var errNoSecret = errors.New("there is no secret: set " + secretVariable + ", name a file with --secret-file, pipe it in with --secret -, or name an app of the running Caddy with --app")

// appKeys are what an app signs with.
type appKeys struct{ id, key, secret string }

// addCredentialFlags adds those that say which app signs.
func addCredentialFlags(cmd *cobra.Command) {
	addFlags(cmd)
	flags := cmd.PersistentFlags()
	flags.StringP("key", "k", "", "The key of the app")
	flags.StringP("secret", "", "", "Only \"-\": read the secret of the app from the standard input")
	flags.StringP("secret-file", "", "", "A file with the secret of the app")
	flags.StringP("app", "", "", "The id of an app that is written in the configuration of the running Caddy: key and secret come from there")
	flags.StringP("hub", "", defaultHub, "The name of the hub of that app")
}

// readCredentials finds the key and the secret that the flags name, or those of an app
// of the running Caddy. found is false when nothing says what the secret is.
func readCredentials(cmd *cobra.Command) (c appKeys, found bool, err error) {
	c.key = flagOf(cmd, "key")
	secret, found, err := readSecret(cmd)
	if err != nil {
		return c, false, err
	}
	c.secret = secret
	id := flagOf(cmd, "app")
	if id == "" || c.key != "" && found {
		c.id = id
		return c, found, nil
	}
	known, err := runningApp(cmd, flagOf(cmd, "hub"), id)
	if err != nil {
		return c, false, err
	}
	if c.key == "" {
		c.key = known.key
	}
	if c.key != known.key {
		return c, false, fmt.Errorf("--key %s is not the key of app %s", c.key, id)
	}
	if !found {
		c.secret = known.secret
	}
	c.id = id
	return c, true, nil
}

// signer are the credentials of a command that cannot do without them.
func signer(cmd *cobra.Command) (appKeys, error) {
	c, found, err := readCredentials(cmd)
	switch {
	case err != nil:
		return c, err
	case c.key == "":
		return c, errors.New("there is no key: name it with --key, or an app of the running Caddy with --app")
	case !found:
		return c, errNoSecret
	}
	return c, nil
}

// readSecret reads the secret from the one place that the flags name, or else from the
// environment unless an app of the running Caddy is named.
func readSecret(cmd *cobra.Command) (secret string, found bool, err error) {
	from, file := flagOf(cmd, "secret"), flagOf(cmd, "secret-file")
	switch {
	case from != "" && from != "-":
		return "", false, errors.New("a secret on the command line is seen by everybody who can list processes, and stays in the history of the shell: use --secret-file, --secret - or " + secretVariable)
	case from != "" && file != "":
		return "", false, errors.New("--secret and --secret-file are both given: choose one")
	case from != "":
		secret, err = secretFrom(cmd.InOrStdin())
		return secret, err == nil, at("--secret -", err)
	case file != "":
		f, err := os.Open(file) //nolint:gosec // the caller's file
		if err != nil {
			return "", false, at("--secret-file", err)
		}
		defer f.Close()
		secret, err = secretFrom(f)
		return secret, err == nil, at("--secret-file "+file, err)
	case flagOf(cmd, "app") != "" && flagOf(cmd, "key") == "":
		return "", false, nil
	}
	secret = os.Getenv(secretVariable)
	return secret, secret != "", nil
}

// secretFrom reads a secret, without the end of its line.
func secretFrom(r io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxSecretBytes+1))
	if err != nil {
		return "", err
	}
	secret := strings.TrimRight(string(text), "\r\n")
	switch {
	case len(text) > maxSecretBytes:
		return "", fmt.Errorf("is longer than %d bytes", maxSecretBytes)
	case secret == "":
		return "", errors.New("is empty")
	}
	return secret, nil
}

// runningApp finds an app that is written in the configuration of the running Caddy.
func runningApp(cmd *cobra.Command, hub, id string) (appKeys, error) {
	body, err := ask(cmd, http.MethodGet, "/config/")
	if err != nil {
		return appKeys{}, err
	}
	var tree any
	if err := json.Unmarshal(body, &tree); err != nil {
		return appKeys{}, fmt.Errorf("reading the running configuration: %w", err)
	}
	app := writtenApp(tree, hub, id)
	if app == nil {
		return appKeys{}, fmt.Errorf("the running configuration has no app %s in hub %s; if it is in a store, give --key and the secret", id, hub)
	}
	text := func(name string) (string, error) {
		value, _ := app[name].(string)
		value, err := expandText(caddy.NewReplacer(), value, name == "secret")
		if err != nil {
			return "", fmt.Errorf("%s of app %s, as this command sees it: %w", name, id, err)
		}
		return value, nil
	}
	c := appKeys{id: id}
	if c.key, err = text("key"); err != nil {
		return c, err
	}
	c.secret, err = text("secret")
	return c, err
}

// writtenApp looks for an app in a configuration: below the hubs of the app sockudo, and
// below every handler sockudo.
func writtenApp(tree any, hub, id string) map[string]any {
	switch v := tree.(type) {
	case []any:
		for _, part := range v {
			if app := writtenApp(part, hub, id); app != nil {
				return app
			}
		}
	case map[string]any:
		if v["handler"] == "sockudo" {
			name, _ := v["name"].(string)
			if name == "" {
				name = defaultHub
			}
			if name != hub {
				return nil
			}
			return appIn(v, id)
		}
		if hubs, ok := v["hubs"].(map[string]any); ok {
			if one, ok := hubs[hub].(map[string]any); ok {
				if app := appIn(one, id); app != nil {
					return app
				}
			}
		}
		for _, name := range sortedKeys(v) {
			if app := writtenApp(v[name], hub, id); app != nil {
				return app
			}
		}
	}
	return nil
}

// appIn finds an app among those of a hub.
func appIn(hub map[string]any, id string) map[string]any {
	apps, _ := hub["apps"].([]any)
	for _, one := range apps {
		if app, ok := one.(map[string]any); ok && app["id"] == id {
			return app
		}
	}
	return nil
}
