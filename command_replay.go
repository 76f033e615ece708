package sockudo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/sockudo/caddy-sockudo/webhooks"
)

const (
	// replayPage is how many dead letters are asked for at a time.
	replayPage = 1000
	// maxReplays bounds how many one command sends again.
	maxReplays = 1 << 20
)

// letterSource lists dead letters, those behind a place only, and says where the next ones begin: "" for nowhere.
type letterSource func(ctx context.Context, a *adminClient, hub, after string) (ids []string, next string, err error)

// replayAll sends all dead letters again that there are when it begins, one after the other, and tells how it gets on: there may be many.
// path is that of one of them.
func replayAll(cmd *cobra.Command, list letterSource, path func(id string) string) (int, error) {
	a, err := newAdminClient(cmd)
	if err != nil {
		return 0, err
	}
	hub, err := a.hub(cmd)
	if err != nil {
		return 0, err
	}
	ctx := contextOf(cmd)
	var ids []string
	for after := ""; len(ids) < maxReplays; {
		page, next, err := list(ctx, a, hub, after)
		if err != nil {
			return 0, err
		}
		ids = append(ids, page...)
		if after = next; next == "" {
			break
		}
	}
	p := newProgress(cmd.ErrOrStderr(), "dead letters", len(ids), asksJSON(cmd) || len(ids) < 2)
	defer p.end()
	done := 0
	for i, id := range ids {
		p.set(len(ids) - i)
		switch _, err := a.call(ctx, http.MethodPost, hub+path(id), nil, nil); {
		case err == nil:
			done++
		case exitCode(err) != exitMissing: // somebody else has sent it, or thrown it away
			return done, fmt.Errorf("after %d of %d dead letters: %w", done, len(ids), err)
		}
	}
	return done, nil
}

// deadWebhooks lists requests. Those that fail again meanwhile are not among them.
func deadWebhooks(ctx context.Context, a *adminClient, hub, _ string) (ids []string, next string, err error) {
	const most = "10000" // as many as the admin API lists at once
	text, err := a.call(ctx, http.MethodGet, hub+"/webhooks/dead?limit="+most, nil, nil)
	if err != nil {
		return nil, "", err
	}
	var letters []webhooks.Letter
	if err := json.Unmarshal(text, &letters); err != nil {
		return nil, "", fmt.Errorf("reading the answer: %w", err)
	}
	for _, l := range letters {
		ids = append(ids, l.Key)
	}
	return ids, "", nil
}

// deadPush lists notifications of an app that can be sent again.
func deadPush(query url.Values) letterSource {
	query.Set("limit", fmt.Sprint(replayPage))
	return func(ctx context.Context, a *adminClient, hub, after string) (ids []string, next string, err error) {
		query.Set("after", after)
		text, err := a.call(ctx, http.MethodGet, hub+"/push/dead?"+query.Encode(), nil, nil)
		if err != nil {
			return nil, "", err
		}
		var page PushLetters
		if err := json.Unmarshal(text, &page); err != nil {
			return nil, "", fmt.Errorf("reading the answer: %w", err)
		}
		for _, l := range page.Letters {
			if l.Replayable {
				ids = append(ids, l.ID)
			}
		}
		return ids, page.Next, nil
	}
}

// showCount writes how many letters a command has concerned.
func showCount(cmd *cobra.Command, n int, what string) error {
	var body bytes.Buffer
	if err := json.NewEncoder(&body).Encode(WebhookCount{n}); err != nil {
		return err
	}
	return show(cmd, body.Bytes(), printCount(what))
}
