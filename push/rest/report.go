package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/sockudo/caddy-sockudo/push"
)

// deliveryReport is what an app tells of a notification (section 8).
type deliveryReport struct {
	AppID        string       `json:"appId"`
	PublishID    string       `json:"publishId"`
	EventID      string       `json:"eventId"`
	OccurredAtMS int64        `json:"occurredAtMs"`
	Result       reportResult `json:"result"`
}

// reportResult is what has come of the notification.
type reportResult struct {
	AppID     string       `json:"appId"`
	PublishID string       `json:"publishId"`
	Provider  push.Kind    `json:"provider"`
	BatchID   string       `json:"batchId"`
	DeviceID  string       `json:"deviceId,omitempty"`
	Outcome   push.Outcome `json:"outcome"`
	MessageID string       `json:"providerMessageId,omitempty"`
	Attempt   int          `json:"attempt"`
	Error     *reportError `json:"error,omitempty"`
}

// reportError is why it has failed.
type reportError struct {
	Class        string     `json:"class"`
	FailureClass push.Class `json:"failureClass,omitempty"`
	Reason       string     `json:"reason"`
	RetryAfterMS int64      `json:"retryAfterMs,omitempty"`
}

var (
	outcomes = []push.Outcome{push.Accepted, push.Rejected, push.Retryable, push.Expired, push.Cancelled}
	classes  = []push.Class{
		push.DeviceTerminal, push.DeviceTransient, push.ProviderTransient, push.ProviderQuota,
		push.CredentialAuth, push.CallerPayload, push.NetworkTransport, push.UnknownFailure,
	}
)

// report keeps a report, and answers with it as it is kept. Nothing else changes by it.
func (c *call) report() (reply, error) {
	if err := c.readable(); err != nil {
		return reply{}, err
	}
	r := &deliveryReport{}
	if err := push.Parse(c.in.Body, r); err != nil {
		return reply{}, err
	}
	r.AppID, r.Result.AppID = c.app, c.app
	if r.Result.PublishID == "" {
		r.Result.PublishID = r.PublishID
	}
	if err := r.check(); err != nil {
		return reply{}, err
	}
	result, err := encode(r.Result)
	if err != nil {
		return reply{}, fmt.Errorf("writing a report: %w", err)
	}
	e := &push.DeliveryEvent{PublishID: r.PublishID, EventID: r.EventID, OccurredAtMS: r.OccurredAtMS, Result: json.RawMessage(result)}
	if err := c.pipeline().AddEvent(c.ctx, c.app, e); err != nil {
		return reply{}, err
	}
	return reply{http.StatusAccepted, r}, nil
}

// check refuses what makes no sense, and hides what nobody is to see.
func (r *deliveryReport) check() error {
	one := &r.Result
	kind, err := push.ParseKind(string(one.Provider))
	switch {
	case err != nil:
		return push.Fault("result.provider", "there is no such provider")
	case one.PublishID != r.PublishID:
		return push.Fault("result.publishId", "it is not publishId")
	case !slices.Contains(outcomes, one.Outcome):
		return push.Fault("result.outcome", "it must be accepted, rejected, retryable, expired or cancelled")
	case one.Attempt < 0 || one.Attempt > 1000:
		return push.Fault("result.attempt", "it must be 0 to 1000")
	}
	one.Provider = kind
	for _, text := range []struct{ field, text string }{
		{"result.batchId", one.BatchID}, {"result.deviceId", one.DeviceID}, {"result.providerMessageId", one.MessageID},
	} {
		if len(text.text) > push.MaxName {
			return push.Fault(text.field, "it has %d bytes, more than %d", len(text.text), push.MaxName)
		}
	}
	if e := one.Error; e != nil {
		if e.FailureClass != "" && !slices.Contains(classes, e.FailureClass) {
			return push.Fault("result.error.failureClass", "there is no such class")
		}
		if e.RetryAfterMS < 0 {
			return push.Fault("result.error.retryAfterMs", "it must not be negative")
		}
		e.Class, e.Reason = push.RedactReason(e.Class), push.RedactReason(e.Reason)
	}
	return nil
}
