package sockudo

import (
	"cmp"
	"context"
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awscredentials "github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/dynamodb"
)

func TestDynamoDBModule(t *testing.T) {
	t.Setenv("TEST_AWS_SECRET", "hush")
	const keys = " aws_access_key_id a\n aws_secret_access_key {env.TEST_AWS_SECRET}\n"
	for text, want := range map[string]string{
		"dynamodb": "",
		"dynamodb {\n region eu-central-1\n table_name my.Apps-1_\n endpoint_url http://db:8000\n" + keys + " aws_session_token t\n}": "",
		"dynamodb {\n aws_profile_name ops\n}":                                                    "",
		"dynamodb {\n aws_secret_access_key {env.TEST_NO_SUCH_VARIABLE}\n aws_access_key_id a\n}": "aws_secret_access_key:",
		"dynamodb {\n aws_secret_access_key {env.TEST_AWS_SECRET}\n}":                             "aws_access_key_id and aws_secret_access_key go together",
		"dynamodb {\n" + keys + " aws_profile_name ops\n}":                                        "aws_profile_name must not be set beside aws_access_key_id",
		"dynamodb {\n aws_session_token t\n}":                                                     "aws_session_token goes with aws_access_key_id",
		"dynamodb {\n table_name a/b\n}":                                                          `table_name "a/b"`,
		"dynamodb {\n table_name ab\n}":                                                           `table_name "ab"`,
		"dynamodb {\n region \"eu central\"\n}":                                                   `region "eu central"`,
		"dynamodb {\n endpoint_url db:8000\n}":                                                    "endpoint_url is not a URL",
		"dynamodb {\n endpoint_url http://u:hush@db:8000\n}":                                      "endpoint_url is not a URL",
		"dynamodb {\n tabel_name a\n}":                                                            "tabel_name is unknown to this driver",
		"dynamodb {\n region a\n region b\n}":                                                     "written twice",
		"dynamodb {\n region\n}":                                                                  "region takes one value",
		"dynamodb apps":                                                                           "wrong argument count",
	} {
		m := new(dynamodb.AppManagerModule)
		err := m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
		if err == nil {
			err = m.Provision(caddy.Context{})
		}
		if err == nil {
			err = m.Validate()
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(want)) || strings.Contains(err.Error(), "hush")) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if strings.Contains(text, "session") && err == nil && !strings.Contains(m.Key(), "hush") {
			t.Error("the secret is not that of the environment")
		}
	}
}

func TestKeyTellsTablesApart(t *testing.T) {
	key := func(m dynamodb.AppManagerModule) string {
		if err := m.Provision(caddy.Context{}); err != nil {
			t.Fatal(err)
		}
		return m.Key()
	}
	one := dynamodb.AppManagerModule{Account: dynamodb.Account{AWSAccessKeyID: "a", AWSSecretAccessKey: "b"}}
	same := one
	same.Region, same.TableName = "us-east-1", "sockudo-applications"
	if key(one) != key(same) {
		t.Error("one table has two keys")
	}
	for _, change := range []func(*dynamodb.AppManagerModule){
		func(m *dynamodb.AppManagerModule) { m.Region = "eu-west-1" },
		func(m *dynamodb.AppManagerModule) { m.TableName = "other" },
		func(m *dynamodb.AppManagerModule) { m.EndpointURL = "http://db:8000" },
		func(m *dynamodb.AppManagerModule) { m.AWSAccessKeyID = "c" },
		func(m *dynamodb.AppManagerModule) { m.AWSSecretAccessKey = "c" },
		func(m *dynamodb.AppManagerModule) { m.AWSSessionToken = "c" },
	} {
		other := one
		if change(&other); key(one) == key(other) {
			t.Errorf("%+v has the key of another table", other)
		}
	}
}

// Checklist: configuration 40
func TestAppsOfDynamoDB(t *testing.T) {
	endpoint := cmp.Or(os.Getenv("TEST_DYNAMODB_ENDPOINT"), "http://127.0.0.1:28002")
	t.Setenv("TEST_AWS_SECRET", "canary")
	table := "apps-" + strings.ToLower(rand.Text()[:10])
	client := awsdynamodb.New(awsdynamodb.Options{
		Region: "us-east-1", BaseEndpoint: &endpoint, Credentials: awscredentials.NewStaticCredentialsProvider("test", "canary", ""),
	})
	t.Cleanup(func() {
		if _, err := client.DeleteTable(context.Background(), &awsdynamodb.DeleteTableInput{TableName: aws.String(table)}); err != nil {
			t.Error(err)
		}
	})
	block := func(endpoint string) string {
		return "app_manager dynamodb {\nendpoint_url " + endpoint + "\ntable_name " + table + "\naws_access_key_id test\naws_secret_access_key {env.TEST_AWS_SECRET}\n}\n"
	}
	s, port := newServer(t), freePort(t)
	s.mustLoad("", site(port, "sockudo {\nrate_limiter {\nenabled off\n}\n"+block(endpoint)+"}")) // which makes the table
	store, err := dynamodb.OpenAppManager(t.Context(), dynamodb.Options{Table: table, Endpoint: endpoint, AccessKeyID: "test", SecretAccessKey: "canary"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if err := store.PutApp(t.Context(), &storage.App{ID: "a", Key: "a-key", Secret: "a-secret", Enabled: true}, storage.NoVersion); err != nil {
		t.Fatal(err)
	}
	live := dial(t, "127.0.0.1:"+port, "/app/a-key")
	live.subscribe("room")
	publish(t, port, "a-secret", "by DynamoDB")
	live.expect("by DynamoDB")
	if status, text := request(t, "GET", "http://127.0.0.1:"+port+"/up", nil); status != 200 {
		t.Errorf("/up: %d %s", status, text)
	}
	if code := refusal(t, port, "unknown"); code != 4001 {
		t.Errorf("a handshake with an unknown key: %d", code)
	}

	// A service that is not there fails the load, and the old configuration goes on.
	err = s.load("", site(port, "sockudo {\nrate_limiter {\nenabled off\n}\n"+block("http://127.0.0.1:1")+"}"))
	if err == nil || !strings.Contains(err.Error(), "app_manager: opening dynamodb: dynamodb 127.0.0.1:1/"+table+": ") || strings.Contains(err.Error(), "canary") {
		t.Errorf("a configuration whose store is down: %v", err)
	}
	publish(t, port, "a-secret", "after that")
	live.expect("after that")
	if strings.Contains(s.logged(), "canary") {
		t.Error("the log has the secret")
	}
}
