package sockudo

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// providerVariable overrides one setting of a push service that is switched on, see
// configuration, section 2.17.
type providerVariable struct {
	// names are its spellings. The first one that is set counts.
	names []string
	word  string
	// instead are the words that it takes the place of. Of several variables that take the
	// place of something, the first one that is set counts: they are ways to log in.
	instead []string
	// unless are words that make it needless.
	unless []string
}

// both are the two spellings of most variables of providers.
func both(bare string) []string { return []string{bare, "PUSH_" + bare} }

var (
	fcmAccount = []string{"credentials_path", "credentials_json"}
	apnsLogin  = []string{"private_key", "private_key_path", "certificate_path", "certificate_password", "provider_token"}
)

// providerVariables are those of each provider, ways to log in last.
var providerVariables = map[string][]providerVariable{
	"fcm": {
		{names: both("FCM_PROJECT_ID"), word: "project_id"},
		{names: both("FCM_ENDPOINT"), word: "endpoint"},
		{names: both("FCM_SERVICE_ACCOUNT_JSON"), word: "credentials_json", instead: slices.Concat(fcmAccount, []string{"provider_token"})},
		{names: both("FCM_SERVICE_ACCOUNT_JSON_PATH"), word: "credentials_path", instead: slices.Concat(fcmAccount, []string{"provider_token"})},
		{names: []string{googleCredentials}, word: "credentials_path", instead: []string{"provider_token"}, unless: fcmAccount},
		{names: both("FCM_PROVIDER_TOKEN"), word: "provider_token", instead: []string{"provider_token"}, unless: fcmAccount},
	},
	"apns": {
		{names: both("APNS_TOPIC"), word: "bundle_id"},
		{names: both("APNS_ENDPOINT"), word: "endpoint"},
		{names: both("APNS_TEAM_ID"), word: "team_id"},
		{names: both("APNS_KEY_ID"), word: "key_id"},
		{names: both("APNS_PRIVATE_KEY"), word: "private_key", instead: apnsLogin},
		{names: both("APNS_PRIVATE_KEY_PATH"), word: "private_key_path", instead: apnsLogin},
		{names: both("APNS_PROVIDER_TOKEN"), word: "provider_token", instead: slices.Concat(apnsLogin, []string{"team_id", "key_id"})},
	},
	"webpush": {
		{names: []string{"VAPID_PRIVATE_KEY", "PUSH_WEBPUSH_VAPID_PRIVATE_KEY"}, word: "vapid_private_key"},
		{names: []string{"VAPID_CONTACT", "PUSH_WEBPUSH_VAPID_CONTACT"}, word: "vapid_subject"},
	},
	"hms": {
		{names: both("HMS_APP_ID"), word: "app_id"},
		{names: both("HMS_ENDPOINT"), word: "endpoint"},
		{names: both("HMS_PROVIDER_TOKEN"), word: "provider_token", instead: []string{"client_id", "client_secret"}},
	},
	"wns": {
		{names: both("WNS_PROVIDER_TOKEN"), word: "provider_token", instead: []string{"package_sid", "client_secret"}},
	},
}

// googleCredentials is a variable that Google's own programs know.
const googleCredentials = "GOOGLE_APPLICATION_CREDENTIALS" //nolint:gosec // it is a name

// readProvider applies the variables of a provider, if it is switched on. Other programs
// know some of them, so that until then nothing is wrong with them.
func (e *environment) readProvider(provider string) {
	e.set = append(e.set, func(c *HubConfig) {
		p := c.Push
		if p == nil {
			return
		}
		on, written := p.flags()[provider]
		if !p.Enabled.or(true) {
			if name := "PUSH_" + strings.ToUpper(provider) + "_ENABLED"; on && slices.Contains(e.names, name) {
				e.warnings = append(e.warnings, "environment variable "+name+" has no effect: push is off; write push on")
			}
			return
		}
		own, err := objectOf(p.Providers[provider])
		if err != nil || written && !on || !written && (p.Providers[provider] == nil || own["enabled"] == false) {
			return
		}
		applied := len(e.names)
		e.editProvider(provider, own)
		if len(e.names) > applied {
			p.setProvider(provider, own)
		}
	})
}

// editProvider applies variables to the object of a provider.
func (e *environment) editProvider(provider string, own map[string]any) {
	loggedIn := false
	for _, v := range providerVariables[provider] {
		name, text := e.firstOf(v.names)
		needless := slices.ContainsFunc(v.unless, func(word string) bool { return own[word] != nil })
		if text == "" || needless || loggedIn && v.instead != nil {
			continue
		}
		var value any = literal(text)
		if v.word == "credentials_json" {
			if value = text; !json.Valid([]byte(text)) { // braces are those of JSON
				e.late(name, errors.New("is not JSON"))
				continue
			}
		}
		for _, word := range v.instead {
			delete(own, word)
			loggedIn = true
		}
		own[v.word] = value
		e.names = append(e.names, name)
	}
}

// firstOf is the first of some variables that is set. That it is empty is an error, but for
// the one that other programs know.
func (e *environment) firstOf(names []string) (name, text string) {
	for _, name := range names {
		text, set := e.lookup(name)
		if !set {
			continue
		}
		if text = strings.TrimSpace(text); text == "" && name != googleCredentials {
			e.late(name, errors.New("is empty; give it a value, or do not set it"))
		}
		return name, text
	}
	return "", ""
}

// flags are the switches of providers that are written outside of their blocks.
func (n *PushConfig) flags() map[string]bool {
	written := map[string]bool{}
	for name, flag := range map[string]Switch{"fcm": n.FCMEnabled, "apns": n.APNsEnabled, "webpush": n.WebPushEnabled, "hms": n.HMSEnabled, "wns": n.WNSEnabled} {
		if flag != "" {
			written[name] = flag.or(true)
		}
	}
	return written
}
