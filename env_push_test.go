package sockudo

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/push"
)

// inMemory is push that keeps nothing, for what only looks at settings.
const inMemory = "queue memory\npush {\nstorage memory\nallow_memory_drivers\n"

// Every variable changes what it names, over what is written, and switches nothing else
// on.
func TestPushVariables(t *testing.T) {
	type change = func(*pushDefinition)
	second, day := time.Second, 24*time.Hour
	for assignment, c := range map[string]struct {
		block  string
		change change
	}{
		"PUSH_FCM_ENABLED=true":                     {"", func(p *pushDefinition) { p.providers["fcm"] = json.RawMessage("{}") }},
		"PUSH_FCM_ENABLED=false":                    {"provider fcm\nprovider wns", func(p *pushDefinition) { p.providers["wns"] = json.RawMessage("{}") }},
		"PUSH_APNS_ENABLED=1":                       {"apns_enabled off", func(p *pushDefinition) { p.providers["apns"] = json.RawMessage("{}") }},
		"PUSH_WEBPUSH_ENABLED=yes":                  {"", func(p *pushDefinition) { p.providers["webpush"] = json.RawMessage("{}") }},
		"PUSH_HMS_ENABLED=on":                       {"provider hms {\nenabled off\n}", func(p *pushDefinition) { p.providers["hms"] = json.RawMessage("{}") }},
		"PUSH_WNS_ENABLED=no":                       {"provider wns {\nenabled on\n}", func(*pushDefinition) {}},
		"PUSH_PUBLISH_STATUS_TTL_DAYS=7":            {"publish_status_ttl 2d", func(p *pushDefinition) { p.settings.StatusTTL = 7 * day }},
		"PUSH_STALE_DEVICE_MAX_AGE_DAYS=7":          {"", func(p *pushDefinition) { p.stale = 7 * day }},
		"PUSH_STALE_DEVICE_MAX_AGE_DAYS=0":          {"stale_device_max_age 7d", func(*pushDefinition) {}},
		"PUSH_DISPATCH_MAX_OUTBOUND_REQUESTS=7":     {"", func(p *pushDefinition) { p.settings.Outbound = 7 }},
		"PUSH_FANOUT_FAST_THRESHOLD=7":              {"", func(p *pushDefinition) { p.settings.FastThreshold = 7 }},
		"PUSH_FANOUT_SHARD_SIZE=7":                  {"", func(p *pushDefinition) { p.settings.ShardSize = 7 }},
		"PUSH_FAILURE_THRESHOLD=7":                  {"", func(p *pushDefinition) { p.settings.Breaker.Failures = 7 }},
		"PUSH_SCHEDULER_INTERVAL_SECS=7":            {"", func(p *pushDefinition) { p.settings.Tick = 7 * second }},
		"PUSH_BACKPRESSURE=true":                    {"", func(p *pushDefinition) { p.settings.Lag.Refuse = true }},
		"PUSH_BACKPRESSURE_LAG_THRESHOLD_SECS=7":    {"", func(p *pushDefinition) { p.settings.Lag.Age = 7 * second }},
		"PUSH_BACKPRESSURE_LAG_THRESHOLD_SECS=0":    {"", func(p *pushDefinition) { p.settings.Lag.Age = -1 }},
		"PUSH_BACKPRESSURE_RETRY_AFTER_SECONDS=7":   {"", func(p *pushDefinition) { p.settings.Lag.RetryAfter = 7 * second }},
		"PUSH_PUBLISH_LOG_MAX_LAG=7":                {"", func(p *pushDefinition) { p.settings.Lag.Publishes = 7 }},
		"PUSH_CRITICAL_QUEUE_MAX_LAG=7":             {"", func(p *pushDefinition) { p.settings.Lag.Deliveries = 7 }},
		"PUSH_RETRY_MAX_ATTEMPTS=7":                 {"", func(p *pushDefinition) { p.settings.Retry.MaxAttempts = 7 }},
		"PUSH_RETRY_INITIAL_BACKOFF_MS=7":           {"", func(p *pushDefinition) { p.settings.Retry.InitialBackoff = 7 * time.Millisecond }},
		"PUSH_RETRY_MAX_BACKOFF_MS=7000":            {"", func(p *pushDefinition) { p.settings.Retry.MaxBackoff = 7 * second }},
		"PUSH_RETRY_MAX_ELAPSED_SECS=7":             {"", func(p *pushDefinition) { p.settings.Retry.MaxElapsed = 7 * second }},
		"PUSH_RETRY_JITTER=off":                     {"", func(p *pushDefinition) { p.settings.Retry.JitterPercent = -1 }},
		"PUSH_RETRY_JITTER_RATIO_PERCENT=7":         {"", func(p *pushDefinition) { p.settings.Retry.JitterPercent = 7 }},
		"PUSH_RETRY_RESPECT_RETRY_AFTER=no":         {"", func(p *pushDefinition) { p.settings.Retry.IgnoreRetryAfter = true }},
		"PUSH_REPAIR_INTERVAL_SECS=0":               {"", func(p *pushDefinition) { p.settings.RepairEvery = -1 }},
		"PUSH_REPAIR_MIN_AGE_SECS=7":                {"", func(p *pushDefinition) { p.settings.RepairAge = 7 * second }},
		"PUSH_REPAIR_BATCH_SIZE=7":                  {"", func(p *pushDefinition) { p.settings.RepairBatch = 7 }},
		"PUSH_CLEANUP_INTERVAL_SECS=7":              {"", func(p *pushDefinition) { p.settings.CleanEvery = 7 * second }},
		"PUSH_CLEANUP_BATCH_SIZE=7":                 {"", func(p *pushDefinition) { p.settings.CleanBatch = 7 }},
		"PUSH_CLEANUP_MAX_DELETED_PER_TICK=7":       {"", func(p *pushDefinition) { p.settings.CleanMost = 7 }},
		"PUSH_DEFAULT_ACCEPTANCE_RPS=7":             {"default_quotas {\nacceptance_rps 5\n}", func(p *pushDefinition) { p.settings.Quotas.AcceptanceRPS = 7 }},
		"PUSH_ACCEPTANCE_RATE_LIMIT=0":              {"", func(p *pushDefinition) { p.settings.Quotas.AcceptanceRPS = -1 }},
		"PUSH_DEFAULT_DELIVERY_QUOTA_DAILY=7":       {"", func(p *pushDefinition) { p.settings.Quotas.Daily = 7 }},
		"PUSH_DELIVERY_QUOTA_DAILY=7":               {"", func(p *pushDefinition) { p.settings.Quotas.Daily = 7 }},
		"PUSH_DEFAULT_FANOUT_MAX=7":                 {"max_recipients_per_publish 5", func(p *pushDefinition) { p.settings.Quotas.FanoutMax = 7 }},
		"PUSH_FANOUT_MAX=0":                         {"default_quotas {\nfanout_max 5\n}", func(p *pushDefinition) { p.settings.Quotas.FanoutMax = 0 }},
		"PUSH_DEFAULT_INFLIGHT_MAX=7":               {"", func(p *pushDefinition) { p.settings.Quotas.InFlight = 7 }},
		"PUSH_ALLOW_LOCAL_WEB_PUSH_ENDPOINTS=1":     {"", func(p *pushDefinition) { p.policy.AllowLocal = true }},
		"PUSH_WEBPUSH_ALLOWED_HOSTS=a.example, .b":  {"", func(p *pushDefinition) { p.policy.AllowedHosts = []string{"a.example", ".b"} }},
		"PUSH_WEBPUSH_DENIED_HOSTS=a.example":       {"", func(p *pushDefinition) { p.policy.DeniedHosts = []string{"a.example"} }},
		"PUSH_STORAGE_DRIVER=memory":                {"", func(*pushDefinition) {}},
		"PUSH_QUEUE_DRIVER=memory":                  {"", func(*pushDefinition) {}},
		"PUSH_ALLOW_MEMORY_DRIVERS=on":              {"", func(*pushDefinition) {}},
		"PUSH_CREDENTIAL_ENCRYPTION_KEY=some-key-x": {"credential_encryption_key other", func(p *pushDefinition) { p.keys, _ = push.NewKeyring("some-key-x") }},
	} {
		name, value, _ := strings.Cut(assignment, "=")
		want, err := resolveEnv(t, inMemory+"}", nil)
		if err != nil {
			t.Fatal(err)
		}
		c.change(want.push)
		got, err := resolveEnv(t, inMemory+c.block+"\n}", map[string]string{name: value})
		if err != nil {
			t.Errorf("%s: %v", assignment, err)
			continue
		}
		if !reflect.DeepEqual(got.push, want.push) {
			t.Errorf("%s\ngot  %+v\nwant %+v", assignment, got.push, want.push)
		}
		if !slices.Equal(got.variables, []string{name}) {
			t.Errorf("%s: applied %q", assignment, got.variables)
		}
		// Where no block is written, none of them switches push on.
		if d, err := resolveEnv(t, "", map[string]string{name: value}); err != nil || d.push != nil {
			t.Errorf("%s: %v, and push is %v", assignment, err, d)
		}
	}
}

// The later of two variables for one setting wins, and a driver that is selected keeps
// its own words.
func TestPushDriverVariables(t *testing.T) {
	env := map[string]string{
		"PUSH_DEFAULT_ACCEPTANCE_RPS": "5", "PUSH_ACCEPTANCE_RATE_LIMIT": "6", "PUSH_DEFAULT_DELIVERY_QUOTA_DAILY": "7",
		"PUSH_DELIVERY_QUOTA_DAILY": "8", "PUSH_DEFAULT_FANOUT_MAX": "9", "PUSH_FANOUT_MAX": "10",
	}
	d, err := resolveEnv(t, inMemory+"}", env)
	if want := (push.Quotas{AcceptanceRPS: 6, Daily: 8, FanoutMax: 10}); err != nil || d.push.settings.Quotas != want {
		t.Fatalf("%v %+v", err, d)
	}
	for block, want := range map[string]string{
		"storage memory {\nmax_size 5\n}": `{"max_size":5}`, "storage_driver sqlite": "{}", "": "{}",
	} {
		d, err := resolveEnv(t, "queue memory\npush {\nallow_memory_drivers\n"+block+"\n}", map[string]string{"PUSH_STORAGE_DRIVER": "Memory"})
		if err != nil {
			t.Errorf("%s: %v", block, err)
		} else if got := d.drivers[kindPushStore]; got.driver != "memory" || string(got.config) != want {
			t.Errorf("%s: %s %s", block, got.driver, got.config)
		}
	}
	// A store in Redis goes where REDIS_URL says, as everything in Redis does, whichever way
	// it is written.
	for _, c := range []*PushConfig{{StorageDriver: "redis"}, {StorageRaw: json.RawMessage(`{"driver":"redis","host":"h"}`)}} {
		e, err := readEnv(envOf(map[string]string{"REDIS_URL": "redis://other:6379/1"}))
		if err != nil {
			t.Fatal(err)
		}
		if err := e.apply(&HubConfig{Push: c}); err != nil || string(c.StorageRaw) != `{"driver":"redis","url":"redis://other:6379/1"}` || c.StorageDriver != "" {
			t.Errorf("%v: %s %s", err, c.StorageDriver, c.StorageRaw)
		}
	}
	// Connection settings are inherited, and the app manager's table is not.
	d, err = resolveEnv(t, "database dynamodb {\nregion eu-west-1\ntable_name apps\n}\npush {\nstorage_driver dynamodb\n}", map[string]string{"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(d.drivers[kindPushStore].config), `{"aws_access_key_id":"id","aws_secret_access_key":"secret","region":"eu-west-1"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// That a provider is wanted where push is off is no secret.
	d, err = resolveEnv(t, "", map[string]string{"PUSH_FCM_ENABLED": "true", "PUSH_WNS_ENABLED": "no", "FCM_PROJECT_ID": ""})
	if want := "environment variable PUSH_FCM_ENABLED has no effect: push is off; write push on"; err != nil || !slices.Contains(d.warnings, want) {
		t.Errorf("%v %+v", err, d)
	}
}

// The words of providers can be variables, in two spellings of which the shorter one
// wins, and one way to log in takes the place of others.
//
// Checklist: push 114
func TestProviderVariables(t *testing.T) {
	const account = `{"type":"service_account","project_id":"p"}`
	for name, c := range map[string]struct {
		block string
		env   map[string]string
		want  map[string]string // by provider
		not   []string          // variables that are not applied
	}{
		"a path alone": {
			"",
			map[string]string{"PUSH_FCM_ENABLED": "true", "PUSH_FCM_SERVICE_ACCOUNT_JSON_PATH": "/a.json"},
			map[string]string{"fcm": `{"credentials_path":"/a.json"}`},
			nil,
		},
		"the short spelling": {
			"provider fcm",
			map[string]string{"FCM_PROJECT_ID": "short", "PUSH_FCM_PROJECT_ID": "long", "FCM_PROVIDER_TOKEN": "a{b}"},
			map[string]string{"fcm": `{"project_id":"short","provider_token":"a\\{b}"}`},
			[]string{"PUSH_FCM_PROJECT_ID"},
		},
		"an account first": {
			"provider fcm {\nprovider_token t\ncredentials_path /b\n}",
			map[string]string{"FCM_SERVICE_ACCOUNT_JSON": account, "FCM_SERVICE_ACCOUNT_JSON_PATH": "/a", googleCredentials: "/g", "FCM_PROVIDER_TOKEN": "u"},
			map[string]string{"fcm": `{"credentials_json":` + quote(account) + `}`},
			[]string{"FCM_SERVICE_ACCOUNT_JSON_PATH", googleCredentials, "FCM_PROVIDER_TOKEN"},
		},
		"then the path": {
			"provider fcm {\ncredentials_json {}\n}",
			map[string]string{"FCM_SERVICE_ACCOUNT_JSON_PATH": "/a", googleCredentials: "/g", "FCM_PROVIDER_TOKEN": "u"},
			map[string]string{"fcm": `{"credentials_path":"/a"}`},
			[]string{googleCredentials, "FCM_PROVIDER_TOKEN"},
		},
		"then Google's": {
			"provider fcm {\nprovider_token t\n}",
			map[string]string{googleCredentials: "/g", "FCM_PROVIDER_TOKEN": "u"},
			map[string]string{"fcm": `{"credentials_path":"/g"}`},
			[]string{"FCM_PROVIDER_TOKEN"},
		},
		"what is written before Google's": {
			"provider fcm {\ncredentials_path /a\n}",
			map[string]string{googleCredentials: "/g", "FCM_PROVIDER_TOKEN": "u"},
			map[string]string{"fcm": `{"credentials_path":"/a"}`},
			[]string{googleCredentials, "FCM_PROVIDER_TOKEN"},
		},
		"Google's is empty": {
			"provider fcm",
			map[string]string{googleCredentials: "", "PUSH_FCM_ENDPOINT": "https://f"},
			map[string]string{"fcm": `{"endpoint":"https://f"}`},
			[]string{googleCredentials},
		},
		"a key of Apple": {
			"provider apns {\ncertificate_path /c\ncertificate_password p\n}",
			map[string]string{"APNS_TOPIC": "t", "APNS_TEAM_ID": "i", "PUSH_APNS_KEY_ID": "k", "APNS_PRIVATE_KEY_PATH": "/k", "APNS_PROVIDER_TOKEN": "x", "APNS_ENDPOINT": "https://a"},
			map[string]string{"apns": `{"bundle_id":"t","endpoint":"https://a","key_id":"k","private_key_path":"/k","team_id":"i"}`},
			[]string{"APNS_PROVIDER_TOKEN"},
		},
		"the key itself": {
			"provider apns {\nprivate_key_path /k\n}",
			map[string]string{"APNS_PRIVATE_KEY": "pem"},
			map[string]string{"apns": `{"private_key":"pem"}`},
			nil,
		},
		"a token for Apple": {
			"provider apns {\nprivate_key_path /k\nteam_id t\nkey_id k\nbundle_id b\n}",
			map[string]string{"PUSH_APNS_PROVIDER_TOKEN": "x"},
			map[string]string{"apns": `{"bundle_id":"b","provider_token":"x"}`},
			nil,
		},
		"browsers": {
			"provider webpush {\nvapid_private_key k\n}",
			map[string]string{"PUSH_WEBPUSH_VAPID_PRIVATE_KEY": "l", "VAPID_CONTACT": "mailto:a@b.example"},
			map[string]string{"webpush": `{"vapid_private_key":"l","vapid_subject":"mailto:a@b.example"}`},
			nil,
		},
		"Huawei and Windows": {
			"provider hms {\nclient_secret s\n}\nwns_enabled",
			map[string]string{"HMS_APP_ID": "1", "HMS_PROVIDER_TOKEN": "t", "HMS_ENDPOINT": "https://h", "WNS_PROVIDER_TOKEN": "w"},
			map[string]string{"hms": `{"app_id":"1","endpoint":"https://h","provider_token":"t"}`, "wns": `{"provider_token":"w"}`},
			nil,
		},
		"what is off": {
			"provider fcm {\nenabled off\n}\nprovider wns\nwns_enabled off",
			map[string]string{"FCM_PROJECT_ID": " ", "WNS_PROVIDER_TOKEN": "w", "VAPID_CONTACT": ""},
			map[string]string{"fcm": `{"enabled":false}`},
			[]string{"FCM_PROJECT_ID", "WNS_PROVIDER_TOKEN", "VAPID_CONTACT"},
		},
	} {
		d, err := resolveEnv(t, inMemory+c.block+"\n}", c.env)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := map[string]string{}
		for provider, raw := range d.push.providers {
			got[provider] = string(raw)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s\ngot  %s\nwant %s", name, got, c.want)
		}
		for variable := range c.env {
			if slices.Contains(d.variables, variable) == slices.Contains(c.not, variable) {
				t.Errorf("%s: applied %q", name, d.variables)
			}
		}
	}
}

func quote(text string) string {
	b, _ := json.Marshal(text)
	return string(b)
}

// A variable that cannot be meant stops the configuration, and is named.
func TestPushVariableRefusals(t *testing.T) {
	const canary = "canary-secret"
	for name, c := range map[string]struct {
		env  map[string]string
		want string
	}{
		"no driver": {
			map[string]string{"PUSH_STORAGE_DRIVER": "kafka"},
			`environment variable PUSH_STORAGE_DRIVER: driver "kafka" is not compiled in: there is no module sockudo.push_stores.kafka; this Caddy has ` + pushStores() + `, others come with xcaddy build --with PACKAGE`,
		},
		"another queue": {
			map[string]string{"PUSH_QUEUE_DRIVER": "redis"},
			"push: queue_driver: redis is not the driver of the hub's queue, which is memory: the jobs of push are in that queue; write queue redis, or leave queue_driver out",
		},
		"no switch":     {map[string]string{"PUSH_FCM_ENABLED": "maybe"}, `environment variable PUSH_FCM_ENABLED: "maybe" is no boolean; write true, 1, yes, on, false, 0, no or off`},
		"no number":     {map[string]string{"PUSH_RETRY_MAX_ATTEMPTS": "x"}, `environment variable PUSH_RETRY_MAX_ATTEMPTS: push.retry.max_attempts: "x" is not a whole number`},
		"too many":      {map[string]string{"PUSH_RETRY_MAX_ATTEMPTS": "101"}, "push: retry: max_attempts: 101 is more than 100"},
		"no days":       {map[string]string{"PUSH_PUBLISH_STATUS_TTL_DAYS": "0"}, "environment variable PUSH_PUBLISH_STATUS_TTL_DAYS: push.publish_status_ttl: must be at least 1s"},
		"a ceiling":     {map[string]string{"PUSH_PROVIDER_FCM_CEILING": "5"}, "environment variable PUSH_PROVIDER_FCM_CEILING: is not supported: bounds are of apps, see default_quotas, not of providers"},
		"a daily quota": {map[string]string{"PUSH_PROVIDER_WNS_DAILY_QUOTA": "5"}, "environment variable PUSH_PROVIDER_WNS_DAILY_QUOTA: is not supported: bounds are of apps, see default_quotas, not of providers"},
		"blank":         {map[string]string{"PUSH_FCM_ENABLED": "1", "PUSH_FCM_PROJECT_ID": " "}, "environment variable PUSH_FCM_PROJECT_ID: is empty; give it a value, or do not set it"},
		"blank before":  {map[string]string{"PUSH_FCM_ENABLED": "1", "FCM_PROJECT_ID": "", "PUSH_FCM_PROJECT_ID": "p"}, "environment variable FCM_PROJECT_ID: is empty; give it a value, or do not set it"},
		"no JSON":       {map[string]string{"PUSH_FCM_ENABLED": "1", "FCM_SERVICE_ACCOUNT_JSON": "{" + canary}, "environment variable FCM_SERVICE_ACCOUNT_JSON: is not JSON"},
	} {
		_, err := resolveEnv(t, inMemory+"}", c.env)
		t.Run(name, func(t *testing.T) { expectError(t, err, c.want) })
	}
}
