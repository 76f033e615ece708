package push

import "go.uber.org/zap"

// meta tells what has happened in one line of the log, for machines (section 21).
func (p *Pipeline) meta(event, app, publish string, kind Kind, detail string) {
	p.settings.Log.Named("push").Debug(event, zap.String("app", app), zap.String("publish", publish), zap.String("provider", string(kind)), zap.String("detail", detail))
}

// audit tells what somebody has asked for that others may want to know.
func (p *Pipeline) audit(action, app, subject string) {
	p.settings.Log.Named("push_audit").Info(action, zap.String("app", app), zap.String("subject", subject))
}

// Audit tells what somebody with the rights to do so has asked for.
func (p *Pipeline) Audit(action, app, subject string) { p.audit(action, app, subject) }
