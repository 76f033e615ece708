package protocol

// Close and error codes (section 1.7). Clients give up on 4000-4099, wait and
// retry on 4100-4199, retry at once on 4200-4299.
const (
	CodeGenericError      = 4000 // frame code only: as a close code it means "use TLS"
	CodeAppNotFound       = 4001
	CodeAppDisabled       = 4003
	CodeAppOverQuota      = 4004
	CodeUnauthorized      = 4009
	CodeOverCapacity      = 4100
	CodeReconnect         = 4200
	CodePongTimeout       = 4201
	CodeChannelError      = 4300 // frame code only
	CodeClientEvent       = 4301
	CodeRecoveryPositions = 4302 // frame code only; also the watchlist limit
	CodeBroadcast         = 4303 // frame code only
)

// Close codes of RFC 6455 that the server sends by itself.
const (
	CloseNormal      = 1000
	CloseIdle        = 1001
	CloseInvalidUTF8 = 1007
	CloseTooBig      = 1009
)

// Error is a refusal that the client is told about with an error frame. When
// Close is set, the connection is closed with the same code and text.
type Error struct {
	Code    int
	Message string
	Close   bool
}

func (e *Error) Error() string { return e.Message }

// Errors with a fixed text. They are compared by identity and never changed.
var (
	ErrAppNotFound      = &Error{CodeAppNotFound, "Application does not exist", true}
	ErrAppDisabled      = &Error{CodeAppDisabled, "Application is disabled", true}
	ErrAppOverQuota     = &Error{CodeAppOverQuota, "Application is over its connection quota", true}
	ErrOrigin           = &Error{CodeUnauthorized, "Origin not allowed", true}
	ErrTokenOnV1        = &Error{CodeUnauthorized, "Authentication error: capability tokens require protocol V2", true}
	ErrNotAuthorized    = &Error{CodeUnauthorized, "Connection not authorized within timeout.", true}
	ErrTerminated       = &Error{CodeUnauthorized, "You got disconnected by the app.", true}
	ErrNodeOverCapacity = &Error{CodeOverCapacity, "Over capacity", true}
	ErrStoreDown        = &Error{CodeOverCapacity, "Application data is temporarily unavailable", true}
	ErrSlowConsumer     = &Error{CodeOverCapacity, "Connection is too slow", true}
	ErrShutdown         = &Error{CodeReconnect, "Server shutting down", true}
	ErrForceReconnect   = &Error{CodeReconnect, "Force reconnect requested by the app.", true}
	ErrTokenRevoked     = &Error{CodeUnauthorized, "capability token revoked", true}
	ErrPongTimeout      = &Error{CodePongTimeout, "Pong reply not received in time", true}

	ErrSignatureRequired = &Error{CodeUnauthorized, "Authentication error: Authentication signature required for this channel", false}
	ErrSignatureInvalid  = &Error{CodeUnauthorized, "Authentication error: Channel requires authentication", false}
	ErrSigninDisabled    = &Error{CodeUnauthorized, "Authentication error: User authentication is disabled for this app", false}
	ErrSigninInvalid     = &Error{CodeUnauthorized, "Authentication error: Connection not authorized.", false}
	ErrUserChannel       = &Error{CodeUnauthorized, "Authentication error: Not signed in as the user of this channel", false}
	ErrOverCapacity      = &Error{CodeOverCapacity, "Over capacity", false}
	ErrTooManyChannels   = &Error{CodeOverCapacity, "Over capacity: too many channels on this connection", false}
	ErrRateLimited       = &Error{CodeClientEvent, "Client event rejected due to rate limit", false}
	ErrRateTerminated    = &Error{CodeClientEvent, "Connection closed due to client event rate limit", true}
	ErrEventRequired     = &Error{CodeGenericError, "Invalid event name: Event name is required", false}
	ErrWatchlistLimit    = &Error{CodeRecoveryPositions, "Watchlist limit exceeded", false}
	ErrWildcardV1        = &Error{CodeChannelError, "Channel error: Wildcard subscriptions are only supported on protocol V2", false}
	ErrMetaV1            = &Error{CodeChannelError, "Channel error: Meta channels are only supported on protocol V2", false}
	ErrRewindV1          = &Error{CodeChannelError, "Channel error: Channel rewind is only supported on protocol V2", false}
	ErrReadings          = &Error{CodeClientEvent, "Client event error: Too many concurrent channel_history requests for this connection", false}
	ErrRecoveryOff       = &Error{CodeClientEvent, "Connection recovery is not enabled", false}
	ErrNoPositions       = &Error{CodeRecoveryPositions, "No channel recovery positions provided", false}
	ErrTokenExpired      = &Error{CodeUnauthorized, "capability token expired", true}
	ErrTokenWasRevoked   = &Error{CodeUnauthorized, "Authentication error: capability token has been revoked", false}
	ErrTokenSignin       = &Error{CodeUnauthorized, "Authentication error: A connection with a capability token cannot sign in", false}
	ErrNoCapability      = &Error{CodeUnauthorized, "Authentication error: Missing capability for this channel", false}
	ErrNamespaceFlag     = &Error{CodeUnauthorized, "Authentication error: The namespace of this channel does not allow it", false}
	ErrUserList          = &Error{CodeUnauthorized, "Authentication error: Not signed in as a user of this channel", false}
	ErrIdle              = &Error{CloseIdle, "Connection idle timeout", true}
	ErrTokenOnV1Frame    = &Error{CodeUnauthorized, "Authentication error: capability tokens require protocol V2", false}
)

// BadFormat is the error for a frame that cannot be understood (section 2.3).
func BadFormat(detail string) *Error {
	return &Error{CodeGenericError, "Invalid message format: " + detail, false}
}

// BadVersion is the error for an event of V2 on a V1 connection.
func BadVersion(detail string) *Error {
	return &Error{CodeGenericError, "Protocol error: " + detail, false}
}

// BadChannel is the error for a broken channel rule.
func BadChannel(detail string) *Error {
	return &Error{CodeChannelError, "Channel error: " + detail, false}
}

// ErrRewindOff is the error for a rewind on a channel that keeps no history.
func ErrRewindOff(channel string) *Error {
	return BadChannel("Channel rewind is disabled by policy for channel '" + channel + "'")
}

// ErrHistoryOff is the error for a question about the history of such a channel.
func ErrHistoryOff(channel string) *Error {
	return BadChannel("Durable history is disabled by policy for channel '" + channel + "'")
}

// ErrHistoryDown is the error for a question that the history cannot answer now.
func ErrHistoryDown(channel string) *Error {
	return BadChannel("History of channel '" + channel + "' cannot be read at the moment")
}

// BadSignin is the error for a signin that cannot be understood.
func BadSignin(detail string) *Error {
	return &Error{CodeUnauthorized, "Authentication error: " + detail, false}
}

// BadEventName is the error for a client event with an unusable name.
func BadEventName(detail string) *Error {
	return &Error{CodeGenericError, "Invalid event name: " + detail, false}
}

// BadClientEvent is the error for a broken client-event rule.
func BadClientEvent(detail string) *Error {
	return &Error{CodeClientEvent, "Client event error: " + detail, false}
}
