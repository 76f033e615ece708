package protocol

import (
	"crypto/md5" //nolint:gosec // the protocol asks for it
	"encoding/hex"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SignRequest makes the query of a signed request (section 1.5 of the HTTP API): the
// parameters of query, those of the authentication, and the signature at its end. path
// is as it will be sent, still escaped. Parameters of query whose names the
// authentication has are left out, and names go out in lower case, as they are signed.
func SignRequest(key, secret, method, path string, query url.Values, body []byte, now time.Time) string {
	q := &SignedQuery{pairs: make([]pair, 0, len(query)+4)}
	for name, values := range query {
		name = strings.ToLower(name)
		if len(values) == 0 || isAuthKey(name) {
			continue
		}
		q.pairs = append(q.pairs, pair{name, values[len(values)-1]})
	}
	q.pairs = append(q.pairs,
		pair{"auth_key", key},
		pair{"auth_timestamp", strconv.FormatInt(now.Unix(), 10)},
		pair{"auth_version", "1.0"})
	if len(body) > 0 {
		sum := md5.Sum(body) //nolint:gosec // as above
		q.pairs = append(q.pairs, pair{"body_md5", hex.EncodeToString(sum[:])})
	}
	slices.SortFunc(q.pairs, func(a, b pair) int { return strings.Compare(a.key, b.key) })
	signature := Sign(secret, string(q.appendText(nil, method, strings.TrimSuffix(path, "/"))))
	var text strings.Builder
	for _, p := range q.pairs {
		text.WriteString(url.QueryEscape(p.key) + "=" + url.QueryEscape(p.value) + "&")
	}
	return text.String() + "auth_signature=" + signature
}
