package sockudo

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// choiceOf is what a directive makes of its app manager.
func choiceOf(t *testing.T, block string, env map[string]string) map[string]any {
	t.Helper()
	d := mustResolve(t, &mustParse(t, block).HubConfig, env)
	var settings map[string]any
	if err := json.Unmarshal(d.drivers[kindApps].config, &settings); err != nil {
		t.Fatal(err)
	}
	return settings
}

func TestDriversInheritDatabases(t *testing.T) {
	const database = "database pgsql {\n host db\n password hush\n table_name shared\n}\n"
	for _, c := range []struct {
		name, block string
		env         map[string]string
		want        map[string]any
	}{
		{"all of it", database + "apps postgres", nil, map[string]any{"host": "db", "password": "hush", "table_name": "shared"}},
		{"an own table", database + "apps postgres {\n table_name mine\n}", nil, map[string]any{"host": "db", "password": "hush", "table_name": "mine"}},
		{"another host does not get the password", database + "apps postgres {\n host other\n}", nil, map[string]any{"host": "other", "table_name": "shared"}},
		{"another driver", database + "apps mysql", nil, map[string]any{}},
		{"variables over the block", database + "apps postgres", map[string]string{"DATABASE_POSTGRES_HOST": "env", "DATABASE_POSTGRES_PORT": "7"}, map[string]any{"host": "env", "port": 7.0, "password": "hush", "table_name": "shared"}},
		{"variables alone", "apps mysql", map[string]string{"DATABASE_MYSQL_USERNAME": "u", "DATABASE_MYSQL_TABLE_NAME": "t", "DATABASE_POSTGRES_HOST": "env"}, map[string]any{"username": "u", "table_name": "t"}},
		{"own settings over variables", "apps mysql {\n host mine\n}", map[string]string{"DATABASE_MYSQL_HOST": "env"}, map[string]any{"host": "mine"}},
		{"credentials that any program may have, for others", "apps mysql", map[string]string{"AWS_ACCESS_KEY_ID": "env"}, map[string]any{}},
		{"credentials for a while", "apps dynamodb", map[string]string{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}, map[string]any{"aws_access_key_id": "a", "aws_secret_access_key": "s", "aws_session_token": "t"}},
		{"credentials over a profile", "database dynamodb {\n region r\n aws_profile_name p\n}\napps dynamodb", map[string]string{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}, map[string]any{"region": "r", "aws_access_key_id": "a", "aws_secret_access_key": "s"}},
		{"a table of one's own with others' credentials", "apps dynamodb {\n table_name mine\n}", map[string]string{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "DATABASE_DYNAMODB_REGION": "r"}, map[string]any{"table_name": "mine", "region": "r", "aws_access_key_id": "a", "aws_secret_access_key": "s"}},
		{"SurrealDB by variables", "apps surreal", map[string]string{
			"DATABASE_SURREALDB_URL": "ws://db", "DATABASE_SURREALDB_NAMESPACE": "n", "DATABASE_SURREALDB_DATABASE": "d",
			"DATABASE_SURREALDB_USERNAME": "u", "DATABASE_SURREALDB_PASSWORD": "p", "DATABASE_SURREALDB_TABLE_NAME": "t",
		}, map[string]any{"url": "ws://db", "namespace": "n", "database": "d", "username": "u", "password": "p", "table_name": "t"}},
		{"a user of one's own", "database surrealdb {\n url wss://db\n password hush\n}\napps surrealdb {\n auth_level database\n}", nil, map[string]any{"auth_level": "database"}},
		{"braces in variables", "apps mysql", map[string]string{"DATABASE_MYSQL_PASSWORD": "a{b}"}, map[string]any{"password": `a\{b}`}},
	} {
		if got := choiceOf(t, c.block, c.env); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	d := mustResolve(t, &mustParse(t, database+"apps sqlite").HubConfig, nil)
	if !reflect.DeepEqual(d.warnings, []string{"no driver uses the settings of database postgres"}) {
		t.Errorf("warnings are %q", d.warnings)
	}
	d = mustResolve(t, &mustParse(t, "apps sqlite").HubConfig, map[string]string{"AWS_ACCESS_KEY_ID": "a"})
	if len(d.warnings)+len(d.variables) > 0 {
		t.Errorf("a variable of others was applied: %q %q", d.variables, d.warnings)
	}
	if _, err := resolve(&mustParse(t, "apps mysql").HubConfig, map[string]string{"DATABASE_MYSQL_PORT": "x"}); err == nil || !strings.Contains(err.Error(), "DATABASE_MYSQL_PORT") {
		t.Errorf("a port that is none: %v", err)
	}
}

func TestBadDatabases(t *testing.T) {
	for block, want := range map[string]string{
		"database":                        "database takes the name of one driver, not 0 arguments, at Testfile:2",
		"database oracle":                 `database: driver "oracle" is not compiled in`,
		"database postgres {\n prot 1\n}": "database: prot is unknown to this driver",
		"database postgres {\n}\ndatabase pgsql {\n}":   "database postgres is written twice",
		"app_manager sqlite {\n cache {\n ttl 1s\n}\n}": "app_manager: cache is written beside it: app_cache { ... }, at Testfile:3",
	} {
		if _, err := parse(block); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", block, err)
		}
	}
	for object, want := range map[string]string{
		`{"database": {"postgres": {"prot": 1}}}`: "database.postgres: prot is unknown (did you mean port?)",
		`{"database": {"pgsql": {}}}`:             "database.pgsql: write postgres",
		`{"database": {"postgres": 1}}`:           "database.postgres: must be an object",
	} {
		h := new(Handler)
		if err := json.Unmarshal([]byte(object), h); err != nil {
			t.Fatal(err)
		}
		if _, err := resolve(&h.HubConfig, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", object, err)
		}
	}
}
