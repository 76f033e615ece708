package protocol

import (
	"encoding/json"
	"strconv"
)

// ParseAuth reads the data of an auth event: an object, or a string holding one.
func ParseAuth(data json.RawMessage) (token string, e *Error) {
	members, err := objectOrText(data)
	if err != nil {
		return "", BadSignin("auth data: " + err.Error())
	}
	token, ok := stringOf(members["token"])
	if !ok || token == "" {
		return "", BadSignin("auth data: token must be a string")
	}
	return token, nil
}

// AuthSuccess tells a client that its new token is in use.
func AuthSuccess(t *Token) *Outbound {
	b := AppendString([]byte(`{"client_id":`), t.ClientID)
	b = AppendString(append(b, `,"jti":`...), t.ID)
	b = strconv.AppendInt(append(b, `,"exp":`...), t.Expires.Unix(), 10)
	return &Outbound{Class: System, Event: "auth_success", Data: append(b, '}')}
}

// TokenExpired and TokenRevoked tell a client that its token is in use no more.
var (
	TokenExpired = &Outbound{Class: System, Event: "token_expired", Data: json.RawMessage(`{"code":40142,"reason":"expired"}`)}
	TokenRevoked = &Outbound{Class: System, Event: "token_expired", Data: json.RawMessage(`{"code":40160,"reason":"revoked"}`)}
)
