package push

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

// MaxMaterial bounds an uploaded credential, in bytes.
const MaxMaterial = 64 << 10

// Credential is what an app has uploaded for a provider, as the store has it.
type Credential struct {
	ID       string `json:"id"`
	Provider Kind   `json:"provider"`
	Version  int64  `json:"version"`
	// Sealed is the encrypted material, see Keyring.
	Sealed string `json:"sealed"`
	// UpdatedAtMS orders the credentials of one provider: the newest is used.
	UpdatedAtMS int64 `json:"updatedAtMs"`
}

// CredentialView is what anybody is told of a credential (section 5).
type CredentialView struct {
	AppID        string `json:"app_id"`
	CredentialID string `json:"credential_id"`
	Provider     Kind   `json:"provider"`
	Version      int64  `json:"version"`
}

// upload is what a request to store a credential has besides the material.
type upload struct {
	CredentialID string `json:"credentialId"`
	Version      *int64 `json:"version"`
}

// PutCredential stores what an app has uploaded for a provider, encrypted, in place of
// one with the same id. It is used from then on.
func (g *Registry) PutCredential(ctx context.Context, app string, kind Kind, body []byte) (CredentialView, error) {
	c := Credential{Provider: kind}
	material, err := g.material(kind, body, &c)
	if err != nil {
		return CredentialView{}, err
	}
	c.Sealed = g.o.Keys.Seal(material, c.place(app))
	err = g.again(ctx, func() error {
		self, err := g.get(ctx, key(app, tableCredentials, "", c.ID))
		if err != nil {
			return err
		}
		c.UpdatedAtMS = g.nowMS()
		err = g.credentials(ctx, app, func(_ *storage.PushRecord, other *Credential) error {
			if other.ID == c.ID && other.Provider != kind {
				return Fault("credentialId", "it is that of a credential for %s", other.Provider)
			}
			if other.Provider == kind { // the clocks of nodes differ
				c.UpdatedAtMS = max(c.UpdatedAtMS, other.UpdatedAtMS+1)
			}
			return nil
		})
		if err != nil {
			return err
		}
		err = g.o.Store.Apply(ctx, put(self.Key, self.Version, &c, 0))
		if errors.Is(err, storage.ErrTooLarge) {
			return Fault("body", "it is too large for the store")
		}
		return err
	})
	if err != nil {
		return CredentialView{}, err
	}
	g.o.Log.Info("push credential stored", zap.String("app", app), zap.String("credential", c.ID),
		zap.String("provider", string(kind)), zap.Int64("version", c.Version))
	return c.view(app), nil
}

// material reads a request. The material is all of it that is not about the record.
func (g *Registry) material(kind Kind, body []byte, c *Credential) (json.RawMessage, error) {
	p := g.o.Providers[kind]
	if p == nil || kind == Realtime {
		return nil, Fault("provider", "this server takes no credentials for %q", clip(string(kind)))
	}
	if g.o.Keys == nil {
		return nil, Fault("body", "this server has no key to encrypt credentials with")
	}
	if len(body) > MaxMaterial {
		return nil, Fault("body", "it has %d bytes, more than %d", len(body), MaxMaterial)
	}
	var u upload
	if err := Parse(body, &u); err != nil {
		return nil, err
	}
	c.ID, c.Version = u.CredentialID, 1
	if c.ID == "" {
		c.ID = kind.Key()
	}
	if err := checkName("credentialId", c.ID); err != nil {
		return nil, err
	}
	if u.Version != nil {
		c.Version = *u.Version
	}
	if c.Version < 1 {
		return nil, Fault("version", "it must be more than 0")
	}
	members := map[string]json.RawMessage{}
	if err := Parse(body, &members); err != nil {
		return nil, err
	}
	for name, value := range members {
		if bytes.Equal(value, []byte("null")) {
			delete(members, name)
		}
	}
	for _, name := range []string{"appId", "credentialId", "version"} {
		delete(members, name)
	}
	if len(members) == 0 {
		return nil, Fault("body", "it has no credentials")
	}
	material := raw(members)
	return material, p.CheckMaterial(material)
}

// place is what the encrypted material is bound to.
func (c *Credential) place(app string) Binding {
	return Binding{App: app, ID: c.ID, Provider: c.Provider, Version: strconv.FormatInt(c.Version, 10)}
}

func (c *Credential) view(app string) CredentialView {
	return CredentialView{AppID: app, CredentialID: c.ID, Provider: c.Provider, Version: c.Version}
}

// credentials calls each for all credentials of an app.
func (g *Registry) credentials(ctx context.Context, app string, each func(*storage.PushRecord, *Credential) error) error {
	for after := ""; ; {
		records, next, err := g.list(ctx, app, tableCredentials, "", after, 100)
		if err != nil {
			return err
		}
		for i := range records {
			var c Credential
			if err := decode(&records[i], &c); err != nil {
				return err
			}
			if err := each(&records[i], &c); err != nil {
				return err
			}
		}
		if after = next; after == "" {
			return nil
		}
	}
}

// Credentials lists an app's credentials by id, after a position.
func (g *Registry) Credentials(ctx context.Context, app, position string, limit int) (Page[CredentialView], error) {
	records, next, err := g.list(ctx, app, tableCredentials, "", position, limit)
	page := Page[CredentialView]{Items: []CredentialView{}, Next: next}
	if err != nil {
		return page, err
	}
	for i := range records {
		var c Credential
		if err := decode(&records[i], &c); err != nil {
			return page, err
		}
		page.Items = append(page.Items, c.view(app))
	}
	return page, nil
}

// DeleteCredential removes a credential of a provider. It is storage.ErrNotFound if there
// is none.
func (g *Registry) DeleteCredential(ctx context.Context, app string, kind Kind, id string) error {
	if id == "" || len(id) > MaxName {
		return missing("credential", id)
	}
	err := g.again(ctx, func() error {
		r, err := g.get(ctx, key(app, tableCredentials, "", id))
		if err != nil {
			return err
		}
		var c Credential
		if r.Version == 0 || decode(&r, &c) == nil && c.Provider != kind {
			return missing("credential", id)
		}
		return g.o.Store.Apply(ctx, remove(r.Key, r.Version))
	})
	if err == nil {
		g.o.Log.Info("push credential deleted", zap.String("app", app), zap.String("credential", id), zap.String("provider", string(kind)))
	}
	return err
}

// Material is the newest credential that an app has uploaded for a provider. The version
// differs whenever anything has changed. It is storage.ErrNotFound if there is none.
func (g *Registry) Material(ctx context.Context, app string, kind Kind) (id string, version uint64, material json.RawMessage, err error) {
	var newest *Credential
	err = g.credentials(ctx, app, func(r *storage.PushRecord, c *Credential) error {
		if c.Provider == kind && (newest == nil || c.UpdatedAtMS > newest.UpdatedAtMS) {
			newest, version = c, r.Version
		}
		return nil
	})
	if err != nil {
		return "", 0, nil, err
	}
	if newest == nil {
		return "", 0, nil, missing("credential for", string(kind))
	}
	if g.o.Keys == nil {
		return newest.ID, version, nil, errors.New("the credential is encrypted, and there is no key")
	}
	material, err = g.o.Keys.Open(newest.Sealed, newest.place(app))
	return newest.ID, version, material, err
}
