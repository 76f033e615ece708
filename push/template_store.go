package push

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/sockudo/caddy-sockudo/storage"
)

// PutTemplate stores a template in place of one with the same id, and answers what it has
// stored.
func (g *Registry) PutTemplate(ctx context.Context, app string, t *Template) (*Template, error) {
	kept := *t
	kept.AppID = app
	if err := kept.Validate(); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(kept.ProviderOverrides)) {
		o := kept.ProviderOverrides[name]
		if p := g.o.Providers[o.Provider]; p != nil {
			if err := p.CheckPayload(o.Payload, true); err != nil {
				return nil, under("providerOverrides."+name+".payload", err)
			}
		}
	}
	err := g.again(ctx, func() error {
		return g.o.Store.Apply(ctx, set(key(app, tableTemplates, "", kept.ID), &kept, 0))
	})
	if errors.Is(err, storage.ErrTooLarge) {
		return nil, Fault("locales", "the template is too large for the store")
	}
	if err != nil {
		return nil, err
	}
	return &kept, nil
}

// Template reads a template. It is storage.ErrNotFound if there is none.
func (g *Registry) Template(ctx context.Context, app, id string) (*Template, error) {
	if id == "" || len(id) > MaxName {
		return nil, missing("template", id)
	}
	r, err := g.get(ctx, key(app, tableTemplates, "", id))
	if err != nil {
		return nil, err
	}
	if r.Version == 0 {
		return nil, missing("template", id)
	}
	t := &Template{}
	if err := decode(&r, t); err != nil {
		return nil, err
	}
	return t, nil
}

// Templates lists an app's templates by id, after a position.
func (g *Registry) Templates(ctx context.Context, app, position string, limit int) (Page[*Template], error) {
	records, next, err := g.list(ctx, app, tableTemplates, "", position, limit)
	page := Page[*Template]{Items: []*Template{}, Next: next}
	if err != nil {
		return page, err
	}
	for i := range records {
		t := &Template{}
		if err := decode(&records[i], t); err != nil {
			return page, err
		}
		page.Items = append(page.Items, t)
	}
	return page, nil
}

// DeleteTemplate removes a template, and reports whether there has been one.
func (g *Registry) DeleteTemplate(ctx context.Context, app, id string) (existed bool, err error) {
	if id == "" || len(id) > MaxName {
		return false, nil
	}
	err = g.again(ctx, func() error {
		r, err := g.get(ctx, key(app, tableTemplates, "", id))
		if existed = r.Version != 0; err != nil || !existed {
			return err
		}
		return g.o.Store.Apply(ctx, remove(r.Key, r.Version))
	})
	return existed, err
}

// Resolve fills a payload from its template, in the language of the publish, and merges the
// overrides of both: those of the publish win. Placeholders stay, for RenderContent. A
// template that does not exist is a fault.
func (g *Registry) Resolve(ctx context.Context, app string, p Payload, overrides []Override) (Payload, []Override, error) {
	overrides = slices.Clone(overrides)
	if err := p.Validate(); err != nil {
		return p, nil, err
	}
	if err := CheckOverrides(overrides); err != nil {
		return p, nil, err
	}
	if p.TemplateID == "" {
		return p, mergeOverrides(overrides...), nil
	}
	t, err := g.Template(ctx, app, p.TemplateID)
	if errors.Is(err, storage.ErrNotFound) {
		return p, nil, Fault("payload.templateId", "there is no such template")
	}
	if err != nil {
		return p, nil, err
	}
	t.fill(&p)
	all := make([]Override, 0, len(t.ProviderOverrides)+len(overrides))
	for _, o := range t.ProviderOverrides {
		all = append(all, o)
	}
	return p, mergeOverrides(append(all, overrides...)...), p.Validate()
}
