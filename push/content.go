package push

import (
	"context"
	"encoding/json"
)

// resolve is the payload of a request with what its template adds, and the overrides.
func (p *Pipeline) resolve(ctx context.Context, app string, r *Request) (Payload, []Override, error) {
	payload, overrides, err := p.settings.Registry.Resolve(ctx, app, *r.Payload, r.Overrides)
	if err != nil {
		return Payload{}, nil, err
	}
	return payload, overrides, p.checkOverrides(overrides)
}

// previews are the payloads for all providers. What cannot be made for one is only a fault
// of the request if it goes to an address there.
func (p *Pipeline) previews(in *intent) ([]Preview, error) {
	content, err := RenderContent(&in.Payload)
	if err != nil {
		return nil, err
	}
	wanted := map[Kind]bool{}
	for i := range in.Targets {
		if to := in.Targets[i].direct(); to != nil {
			wanted[to.Kind()] = true
		}
	}
	all := make([]Preview, 0, len(Kinds))
	for _, kind := range Kinds {
		preview := Preview{Provider: kind}
		preview.Payload, preview.UsedOverride, err = p.form(kind, content, in.Overrides)
		if err != nil {
			if wanted[kind] {
				return nil, under("payload", err)
			}
			preview.Payload, preview.Error = json.RawMessage("null"), err.Error()
		}
		all = append(all, preview)
	}
	return all, nil
}

// form is the payload for one provider.
func (p *Pipeline) form(kind Kind, content *Content, overrides []Override) (payload json.RawMessage, override bool, err error) {
	for i := range overrides {
		if overrides[i].Provider == kind {
			payload, override = overrides[i].Payload, true
		}
	}
	provider := p.settings.Codecs[kind]
	if provider == nil { // realtime, which has nothing of its own
		if !override {
			payload = realtimePayload(content)
		}
		if len(payload) > maxRealtime {
			return nil, override, Fault("realtime", "is of %d bytes, more than %d", len(payload), maxRealtime)
		}
		return payload, override, nil
	}
	if !override {
		if payload, err = provider.Render(content); err != nil {
			return nil, false, under(kind.Key(), err)
		}
	}
	return payload, override, under(kind.Key(), provider.CheckPayload(payload, override))
}

// maxRealtime bounds a payload for realtime, in bytes.
const maxRealtime = 65536

func realtimePayload(c *Content) json.RawMessage {
	var payload struct {
		Notification struct {
			Title       string `json:"title"`
			Body        string `json:"body"`
			Icon        string `json:"icon,omitempty"`
			Sound       string `json:"sound,omitempty"`
			CollapseKey string `json:"collapseKey,omitempty"`
		} `json:"notification"`
		Data json.RawMessage `json:"data,omitempty"`
	}
	n := &payload.Notification
	n.Title, n.Body, n.Icon, n.Sound, n.CollapseKey, payload.Data = c.Title, c.Body, c.Icon, c.Sound, c.CollapseKey, c.Data
	return raw(payload)
}
