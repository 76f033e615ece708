//go:build linux

package loadgen

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func TestStampRoundTrip(t *testing.T) {
	for _, want := range []stamp{
		{},
		{lane: 7, channel: 999, seq: 123_456, slot: 31, at: 1_700_000_000_000_000_001},
		{lane: 99, channel: 99_999, seq: 1<<32 - 1, slot: noSlot, at: 1<<63 - 1},
	} {
		data := want.appendData(nil, 100)
		if len(data) != 100 {
			t.Errorf("%d bytes of data, want 100", len(data))
		}
		var finder stampFinder
		for _, prefix := range []string{`{"event":"e","data":"`, `{"data":"`, `{"channel":"seq","data":"`, ""} {
			if got, ok := finder.find([]byte(prefix + string(data) + `"}`)); !ok || got != want {
				t.Errorf("behind %q found %+v, %v; want %+v", prefix, got, ok, want)
			}
		}
	}
}

func TestStampRefusesDamage(t *testing.T) {
	good := string(stamp{lane: 1, channel: 2, seq: 3, slot: 4, at: 5}.appendData(nil, 0))
	if _, ok := parseStamp([]byte(good)); !ok {
		t.Fatal("the undamaged stamp is refused")
	}
	for i := range good {
		for _, c := range []string{"", "-", "x"} {
			damaged := good[:i] + c + good[i+1:]
			if damaged == good {
				continue
			}
			if s, ok := parseStamp([]byte(damaged)); ok {
				t.Errorf("%q parses as %+v", damaged, s)
			}
		}
	}
	if _, ok := parseStamp([]byte(strings.Replace(good, "0000000003", "4294967296", 1))); ok {
		t.Error("a sequence number over 32 bits is accepted")
	}
}

// The example of RFC 6455, section 1.3.
func TestUpgradeResponse(t *testing.T) {
	const key = "dGhlIHNhbXBsZSBub25jZQ=="
	head := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
	for i := range len(head) {
		if _, done, err := cutUpgradeResponse([]byte(head[:i]), key); done || err != nil {
			t.Fatalf("the first %d bytes: done %v, error %v", i, done, err)
		}
	}
	rest, done, err := cutUpgradeResponse([]byte(head+"rest"), key)
	if !done || err != nil || string(rest) != "rest" {
		t.Errorf("rest %q, done %v, error %v", rest, done, err)
	}
	for name, b := range map[string]string{
		"other key":  strings.Replace(head, "s3p", "s3q", 1),
		"status 200": strings.Replace(head, "101", "200", 1),
		"status 403": "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
		"not HTTP":   "SSH-2.0\r\n\r\n",
		"endless":    strings.Repeat("x", maxHead+1),
	} {
		if _, done, err := cutUpgradeResponse([]byte(b), key); done || !errors.Is(err, errHandshake) {
			t.Errorf("%s: done %v, error %v", name, done, err)
		}
	}
}

// The worked examples of the Pusher documentation.
func TestSignatures(t *testing.T) {
	target := Target{Addr: "127.0.0.1:1", AppID: "3", Key: "278d425bdf160c739803", Secret: "7ad3773142a6692b25b8"}
	if got, want := target.channelAuth("1234.1234", "private-foobar", ""),
		"278d425bdf160c739803:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"; got != want {
		t.Errorf("private channel: %s, want %s", got, want)
	}
	if got, want := target.channelAuth("1234.1234", "presence-foobar", `{"user_id":10,"user_info":{"name":"Mr. Pusher"}}`),
		"278d425bdf160c739803:afaed3695da2ffd16931f457e338e6c9f2921fa133ce7dac49f529792be6304c"; got != want {
		t.Errorf("presence channel: %s, want %s", got, want)
	}
	request := string(target.signedPost("events", []byte(`{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}`), time.Unix(1353088179, 0)))
	for _, part := range []string{
		"POST /apps/3/events?", "body_md5=ec365a775a4cd0599faeb73354201b6f",
		"auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c",
	} {
		if !strings.Contains(request, part) {
			t.Errorf("%s is not in %s", part, request)
		}
	}
}

func TestBounds(t *testing.T) {
	local := Target{Addr: "127.0.0.1:1", PID: os.Getpid()}
	for name, run := range map[string]func() (Result, error){
		"remote target": func() (Result, error) {
			return Idle{Connections: 1}.Run(t.Context(), Target{Addr: "192.0.2.1:80", PID: os.Getpid()})
		},
		"remote publish": func() (Result, error) {
			return Publish{}.Run(t.Context(), Target{Addr: "192.0.2.1:80", PID: os.Getpid()})
		},
		"connections":      func() (Result, error) { return Idle{Connections: 20_000}.Run(t.Context(), local) },
		"too long":         func() (Result, error) { return Idle{Connections: 1, Settle: time.Hour}.Run(t.Context(), local) },
		"window and rate":  func() (Result, error) { return Fanout{Subscribers: 1, Window: 1, Rate: 1}.Run(t.Context(), local) },
		"neither":          func() (Result, error) { return Fanout{Subscribers: 1}.Run(t.Context(), local) },
		"uneven channels":  func() (Result, error) { return Fanout{Subscribers: 5, Channels: 2, Window: 1}.Run(t.Context(), local) },
		"too many members": func() (Result, error) { return Presence{Members: 2001}.Run(t.Context(), local) },
		"deltas in V1": func() (Result, error) {
			return Fanout{Subscribers: 1, Window: 1, Delta: true}.Run(t.Context(), local)
		},
		"no such dialect": func() (Result, error) {
			return Fanout{Subscribers: 1, Window: 1, Dialect: 4}.Run(t.Context(), local)
		},
		"too much missed": func() (Result, error) { return Resume{Subscribers: 1, Missed: 101}.Run(t.Context(), local) },
		"uneven resume":   func() (Result, error) { return Resume{Subscribers: 5, Channels: 2}.Run(t.Context(), local) },
		"too large batch": func() (Result, error) { return Publish{Batch: 11}.Run(t.Context(), local) },
	} {
		if _, err := run(); !errors.Is(err, errBounds) {
			t.Errorf("%s: %v, want %v", name, err, errBounds)
		}
	}
}

func TestReadUsage(t *testing.T) {
	before, err := readUsage(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); time.Since(start) < 30*time.Millisecond; {
		_ = hmacHex("a", "b")
	}
	after, err := readUsage(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if spent := after.cpu - before.cpu; spent < 5*time.Millisecond || spent > 5*time.Second {
		t.Errorf("30 ms of work cost %s by the process clock", spent)
	}
	if after.rss < 1<<20 {
		t.Errorf("%d bytes resident", after.rss)
	}
	if _, err := readUsage(1 << 30); err == nil {
		t.Error("a process that cannot exist has a usage")
	}
}
