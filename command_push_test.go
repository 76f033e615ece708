package sockudo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sockudo/caddy-sockudo/push/webpush"
)

// The lines that the command writes are taken as they are, and no two pairs are one.
func TestVAPIDKeys(t *testing.T) {
	run := func(args ...string) string {
		t.Helper()
		cmd := vapidKeysCommand()
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetArgs(args)
		if err := cmd.Execute(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	text := run()
	_, block, ok := strings.Cut(text, "In the configuration:\n")
	if !ok {
		t.Fatal(text)
	}
	m := new(webpush.Module)
	if err := m.UnmarshalCaddyfile(caddyfile.NewTestDispenser("webpush {" + block + "}")); err != nil {
		t.Fatal(err)
	}
	if err := m.Provision(caddy.Context{}); err != nil {
		t.Error(err)
	}
	contains(t, text, "Public key:   "+m.VAPIDPublicKey+"\n", "Private key:  "+m.VAPIDPrivateKey+"\n")
	var keys VAPIDKeys
	if err := json.Unmarshal([]byte(run("--json")), &keys); err != nil || keys.PrivateKey == m.VAPIDPrivateKey {
		t.Errorf("%+v, %v", keys, err)
	}
	material := fmt.Sprintf(`{"publicKey":%q,"privateKey":%q}`, keys.PublicKey, keys.PrivateKey)
	if err := (webpush.Provider{}).CheckMaterial([]byte(material)); err != nil {
		t.Error(err)
	}
	if err := runCommand(vapidKeysCommand(), "x"); err == nil {
		t.Error("an argument is taken")
	}
}
