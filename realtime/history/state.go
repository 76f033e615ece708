package history

import "context"

// The states of a log that is not healthy.
const (
	// StateDegraded says that something was published that the log may not have.
	StateDegraded = "degraded"
	// StateResetRequired says that only a reset makes the log usable again.
	StateResetRequired = "reset_required"
)

// State is where a history stands, for operators (HTTP API, section 4.6).
type State struct {
	Floor Floor

	log Log
}

// State reads where the history stands. It answers whatever the state is.
func (l Log) State(ctx context.Context) (*State, error) {
	s, err := l.stand(ctx)
	if err != nil {
		return nil, err
	}
	return &State{Floor: s.Floor, log: l}, nil
}

// Append appends the state as JSON. A history without anything has no stream.
func (s *State) Append(b []byte) []byte {
	o := object(b)
	o.textOrNull("stream_id", s.Floor.Head.Stream)
	o.uint("next_serial", s.Floor.Head.Row+1)
	o.key("retained")
	o.b = s.Floor.appendRetained(o.b, s.log.kind())
	o.key("state")
	o.b = s.log.appendState(o.b, s.Floor)
	return o.end()
}
