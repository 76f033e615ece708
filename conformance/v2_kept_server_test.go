package conformance

import (
	"crypto/md5"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// keeping is a server that keeps what is published, started by the first test that
// needs it.
type keeping struct {
	features string
	once     sync.Once
	server   *server
	err      error
}

// recorded keeps the history of channels, and versioned also the versions of messages,
// annotations and who was present.
var recorded, versioned = &keeping{features: recordedFeatures}, &keeping{features: versionedFeatures}

var (
	// keptApp has all that its server can keep. It remembers for a moment what clients
	// have missed, so that they resume from what is kept.
	keptApp = app{"kept", "kept-key", "kept-secret"}
	// oblivionApp keeps no history.
	oblivionApp = app{"oblivion", "oblivion-key", "oblivion-secret"}
	// toldApp has a webhook, whose receiver is there while its test runs.
	toldApp = app{"told", "told-key", "told-secret"}
)

// pageSize is the most that one page has of a history.
const pageSize = 10

const recordedFeatures = `
		history sqlite {
			max_page_size 10
		}
		recovery {
			buffer_size 20
			ttl 1s
		}
		tag_filtering {
			enable_tags on
		}
		app kept {
			key kept-key
			secret kept-secret
			enable_client_messages on
			enable_user_authentication on
			namespace still {
				history {
					rewind off
				}
			}
			namespace short {
				history {
					max_items_per_channel 3
				}
			}
		}
		app second {
			key second-key
			secret second-secret
		}
		app oblivion {
			key oblivion-key
			secret oblivion-secret
			history off
		}
`

const versionedFeatures = `
		history sqlite {
			max_page_size 10
		}
		versioned_messages on
		annotations on
		presence_history on
		presence {
			v2_grace 1s
		}
		recovery {
			buffer_size 20
			ttl 1s
		}
		app kept {
			key kept-key
			secret kept-secret
			enable_client_messages on
			enable_user_authentication on
			annotations on
			namespace bare {
				annotations off
				presence_history off
			}
		}
		app oblivion {
			key oblivion-key
			secret oblivion-secret
			history off
		}
		app told {
			key told-key
			secret told-secret
			annotations on
			webhook http://{{HOOKS}}/hooks {
				events message_version_created annotation_created annotation_deleted member_updated
			}
		}
`

// need returns the running server.
func (k *keeping) need(t *testing.T) *server {
	t.Helper()
	if testing.Short() || os.Getenv("CONFORMANCE_TARGET") != "" {
		t.Skip("our own server, which is no part of a short run")
	}
	k.once.Do(func() { k.server, k.err = k.start() })
	if k.err != nil {
		t.Fatal(k.err)
	}
	mark := k.server.log.len()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of the server that keeps:\n%s", k.server.log.since(mark, 8<<10))
		}
	})
	return k.server
}

func (k *keeping) start() (*server, error) {
	s, err := newServer()
	if err != nil {
		return nil, err
	}
	s.conf.Extra = strings.ReplaceAll(k.features, "{{HOOKS}}", s.host+":"+strconv.Itoa(s.conf.Hooks))
	return s, s.start()
}

// inEncodings plays a scenario in each encoding on that server, all at once.
func (k *keeping) inEncodings(t *testing.T, play func(*stage)) {
	server := k.need(t)
	for _, d := range []dialect{inJSON, messagePack, protobuf} {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			play(&stage{T: t, server: server, app: keptApp, dialect: d, number: stages.Add(1)})
		})
	}
}

// alone plays one for which the encoding makes no difference.
func (k *keeping) alone(t *testing.T) *stage {
	t.Helper()
	return &stage{T: t, server: k.need(t), app: keptApp, dialect: inJSON, number: stages.Add(1)}
}

// call makes a signed call of the HTTP API. The query is name and value in turn, and an
// empty body none.
func (s *stage) call(method, path, body string, query ...string) (status int, answer string) {
	s.Helper()
	path = "/apps/" + s.app.ID + path
	params := map[string]string{"auth_key": s.app.Key, "auth_timestamp": strconv.FormatInt(time.Now().Unix(), 10), "auth_version": "1.0"}
	if body != "" {
		sum := md5.Sum([]byte(body))
		params["body_md5"] = hex.EncodeToString(sum[:])
	}
	for i := 0; i < len(query); i += 2 {
		params[query[i]] = query[i+1]
	}
	var signed, sent []string
	for name, value := range params {
		signed = append(signed, name+"="+value)
		sent = append(sent, name+"="+url.QueryEscape(value))
	}
	slices.Sort(signed)
	sent = append(sent, "auth_signature="+sign(s.app.Secret, method+"\n"+path+"\n"+strings.Join(signed, "&")))
	req, err := http.NewRequestWithContext(s.Context(), method, s.server.url(path)+"?"+strings.Join(sent, "&"), strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// get is the answer to a call that succeeds, as an object.
func (s *stage) get(path string, query ...string) (o document) {
	s.Helper()
	status, answer := s.call(http.MethodGet, path, "", query...)
	if status != http.StatusOK {
		s.Fatalf("GET %s: %d %s", path, status, answer)
	}
	unmarshal(s, []byte(answer), &o)
	return o
}

// fails makes a call that is refused with a status and words.
func (s *stage) fails(status int, word, method, path, body string, query ...string) {
	s.Helper()
	if got, answer := s.call(method, path, body, query...); got != status || !strings.Contains(answer, word) {
		s.Errorf("%s %s %s: %d %s, want %d %s", method, path, body, got, answer, status, word)
	}
}

// document is a JSON object, whose members are read by a path of names and indexes.
type document map[string]any

// at is the member at a path such as "items.0.serial" as text, in JSON.
func (o document) at(path string) string {
	var value any = map[string]any(o)
	for name := range strings.SplitSeq(path, ".") {
		switch v := value.(type) {
		case map[string]any:
			value = v[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(v) {
				return "absent"
			}
			value = v[i]
		default:
			return "absent"
		}
	}
	if text, ok := value.(string); ok {
		return text
	}
	return compact(value)
}

// all are the members at a path in each of a list.
func (o document) all(list, path string) (texts []string) {
	items, _ := o[list].([]any)
	for i := range items {
		texts = append(texts, o.at(list+"."+strconv.Itoa(i)+"."+path))
	}
	return texts
}

// is compares what is at paths, given in turn with what should be.
func (o document) is(s *stage, pairs ...string) {
	s.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if got := o.at(pairs[i]); got != pairs[i+1] {
			s.Errorf("%s is %s, want %s, in %s", pairs[i], got, pairs[i+1], compact(o))
		}
	}
}
