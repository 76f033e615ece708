package dynamodb

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func TestHistoryModule(t *testing.T) {
	t.Setenv("TEST_AWS_SECRET", "hush")
	read := func(text string) (*HistoryModule, error) {
		m := new(HistoryModule)
		err := m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
		if err == nil {
			err = m.Provision(caddy.Context{})
		}
		if err == nil {
			err = m.Validate()
		}
		return m, err
	}
	const keys = " aws_access_key_id a\n aws_secret_access_key {env.TEST_AWS_SECRET}\n"
	for text, want := range map[string]string{
		"dynamodb": "",
		"dynamodb {\n region eu-central-1\n table_name my.Logs-1_\n endpoint_url http://db:8000\n" + keys + " aws_session_token t\n}": "",
		"dynamodb {\n aws_profile_name ops\n}":               "",
		"dynamodb {\n" + keys + " aws_profile_name ops\n}":   "aws_profile_name must not be set beside aws_access_key_id",
		"dynamodb {\n table_name a/b\n}":                     `table_name "a/b"`,
		"dynamodb {\n endpoint_url http://u:hush@db:8000\n}": "endpoint_url is not a URL",
		"dynamodb {\n tabel_name a\n}":                       "tabel_name is unknown to this driver",
		"dynamodb logs":                                      "wrong argument count",
	} {
		_, err := read(text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush")) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	key := func(text string) string {
		m, err := read(text)
		if err != nil {
			t.Fatal(err)
		}
		return m.Key()
	}
	if key("dynamodb") != key("dynamodb {\n table_name sockudo_history\n region us-east-1\n}") {
		t.Error("one table has two keys")
	}
	if key("dynamodb") == key("dynamodb {\n table_name sockudo-applications\n}") {
		t.Error("two tables have one key")
	}
	info, err := caddy.GetModule("sockudo.histories.dynamodb")
	if err != nil || info.New().(*HistoryModule).Driver() != "dynamodb" {
		t.Errorf("the module is %v, %v", info, err)
	}
}

// A module opens what it says.
func TestHistoryModuleOpens(t *testing.T) {
	o := newTable(t)
	m := &HistoryModule{TableName: o.Table, Account: Account{EndpointURL: o.Endpoint, AWSAccessKeyID: o.AccessKeyID, AWSSecretAccessKey: o.SecretAccessKey}}
	if err := m.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	h, err := m.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	shows(t, func() *History { h := openHistory(t, o); fill(t, h, 1); return h }(), 1, 1)
}

func TestPushStoreModule(t *testing.T) {
	t.Setenv("TEST_AWS_SECRET", "hush")
	read := func(text string) (*PushStoreModule, error) {
		m := new(PushStoreModule)
		err := m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
		if err == nil {
			err = m.Provision(caddy.Context{})
		}
		if err == nil {
			err = m.Validate()
		}
		return m, err
	}
	for text, want := range map[string]string{
		"dynamodb":                       "",
		"dynamodb {\n table_name a/b\n}": `table_name "a/b"`,
		"dynamodb {\n endpoint_url http://u:hush@db:8000\n}": "endpoint_url is not a URL",
		"dynamodb {\n tabel_name a\n}":                       "tabel_name is unknown to this driver",
	} {
		_, err := read(text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush")) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	one, err := read("dynamodb")
	other, otherErr := read("dynamodb {\n table_name sockudo_push\n region us-east-1\n}")
	third, thirdErr := read("dynamodb {\n table_name sockudo_history\n}")
	if err := errors.Join(err, otherErr, thirdErr); err != nil || one.Key() != other.Key() || one.Key() == third.Key() {
		t.Errorf("keys %q, %q and %q, %v", one.Key(), other.Key(), third.Key(), err)
	}
	o := newTable(t)
	m, err := read(fmt.Sprintf("dynamodb {\n table_name %s\n endpoint_url %s\n aws_access_key_id test\n aws_secret_access_key {env.TEST_AWS_SECRET}\n}", o.Table, o.Endpoint))
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Apply(t.Context(), pushPut(device("a"), "")), s.Close()); err != nil {
		t.Error(err)
	}
	info, err := caddy.GetModule("sockudo.push_stores.dynamodb")
	if err != nil || info.New().(*PushStoreModule).Driver() != "dynamodb" {
		t.Errorf("the module is %v, %v", info, err)
	}
}
