//go:build linux

package loadgen

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // body_md5 is part of the Pusher HTTP API
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// hmacHex is the hexadecimal HMAC-SHA256 that Pusher signs everything with.
func hmacHex(secret, text string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// channelAuth signs a subscription to a private or, with channel data, a
// presence channel.
func (t Target) channelAuth(socketID, channel, channelData string) string {
	text := socketID + ":" + channel
	if channelData != "" {
		text += ":" + channelData
	}
	return t.Key + ":" + hmacHex(t.Secret, text)
}

// signedPost is a whole HTTP/1.1 request to an endpoint of the application, its
// query signed and its body hashed as the HTTP API wants it.
func (t Target) signedPost(endpoint string, body []byte, at time.Time) []byte {
	sum := md5.Sum(body) //nolint:gosec // as above
	path := "/apps/" + t.AppID + "/" + endpoint
	query := "auth_key=" + t.Key +
		"&auth_timestamp=" + strconv.FormatInt(at.Unix(), 10) +
		"&auth_version=1.0&body_md5=" + hex.EncodeToString(sum[:])
	signature := hmacHex(t.Secret, "POST\n"+path+"\n"+query)
	head := "POST " + path + "?" + query + "&auth_signature=" + signature + " HTTP/1.1\r\n" +
		"Host: " + t.Addr + "\r\n" +
		"Content-Type: application/json\r\n" +
		"Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n"
	return append([]byte(head), body...)
}

// signedGet is a whole HTTP/1.1 request for something of the application. The values of
// the parameters need no escapes.
func (t Target) signedGet(resource string, parameters map[string]string, at time.Time) []byte {
	all := maps.Clone(parameters)
	if all == nil {
		all = map[string]string{}
	}
	all["auth_key"], all["auth_version"] = t.Key, "1.0"
	all["auth_timestamp"] = strconv.FormatInt(at.Unix(), 10)
	pairs := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		pairs = append(pairs, name+"="+all[name])
	}
	path, query := "/apps/"+t.AppID+"/"+resource, strings.Join(pairs, "&")
	signature := hmacHex(t.Secret, "GET\n"+path+"\n"+query)
	return []byte("GET " + path + "?" + query + "&auth_signature=" + signature + " HTTP/1.1\r\nHost: " + t.Addr + "\r\n\r\n")
}
