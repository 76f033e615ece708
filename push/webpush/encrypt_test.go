package webpush

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	library "github.com/SherClockHolmes/webpush-go"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
	"github.com/sockudo/caddy-sockudo/push"
)

func bytesOf(t testing.TB, text string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(strings.ReplaceAll(text, "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The example of RFC 8291, appendix A: with its keys and salt the same bytes come out.
//
// Checklist: push 102
func TestVector(t *testing.T) {
	own, err := ecdh.P256().NewPrivateKey(bytesOf(t, "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"))
	if err != nil {
		t.Fatal(err)
	}
	browser, err := ecdh.P256().NewPrivateKey(bytesOf(t, "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"))
	if err != nil {
		t.Fatal(err)
	}
	auth := bytesOf(t, "BTBZMqHH6r4Tts7J_aSIgg")
	plaintext := "When I grow up, I want to be a watermelon"
	got, err := seal([]byte(plaintext), browser.PublicKey(), auth, own, [saltSize]byte(bytesOf(t, "DGv6ra1nlYgDCS1FRnbzlw")))
	if err != nil {
		t.Fatal(err)
	}
	const want = `DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml
mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT
pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN`
	if !bytes.Equal(got, bytesOf(t, want)) {
		t.Errorf("got %s", base64.RawURLEncoding.EncodeToString(got))
	}
	back, err := pushtest.DecryptWebPush(bytesOf(t, want), browser, auth)
	if err != nil || string(back) != plaintext {
		t.Errorf("the push service of the tests reads %q, %v", back, err)
	}
}

// Every message has a key and a salt of its own, and is as short as it can be.
func TestEncrypt(t *testing.T) {
	browser, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	auth := []byte("0123456789abcdef")
	seen := map[string]bool{}
	for _, size := range []int{0, 1, 15, 16, 17, 1000, MaxPlaintext} {
		text := bytes.Repeat([]byte{2}, size) // as the end of a record looks
		got, err := encrypt(text, browser.PublicKey(), auth)
		if err != nil || len(got) != size+103 {
			t.Fatalf("%d bytes became %d: %v", size, len(got), err)
		}
		back, err := pushtest.DecryptWebPush(got, browser, auth)
		if err != nil || !bytes.Equal(back, text) {
			t.Errorf("%d bytes came back as %d: %v", size, len(back), err)
		}
		for _, part := range []string{string(got[:saltSize]), string(got[21:preambleSize])} {
			if seen[part] {
				t.Error("a salt or key was used twice")
			}
			seen[part] = true
		}
		got[len(got)-1] ^= 1
		if _, err := pushtest.DecryptWebPush(got, browser, auth); err == nil {
			t.Error("a changed message can be read")
		}
	}
}

// What webpush-go sends is taken by the same push service that takes what we send.
func TestLibrary(t *testing.T) {
	service := pushtest.NewWebPush(t)
	private, public, err := library.GenerateVAPIDKeys()
	if err != nil {
		t.Fatal(err)
	}
	s := service.Subscribe(t, public)
	answer, err := library.SendNotification([]byte(`{"title":"hi"}`), &library.Subscription{
		Endpoint: s.Endpoint, Keys: library.Keys{P256dh: s.P256dh, Auth: s.Auth},
	}, &library.Options{
		HTTPClient: (&push.ConnectOptions{Roots: service.Roots, AllowPrivate: true}).Client(), Subscriber: "ops@example.com",
		VAPIDPublicKey: public, VAPIDPrivateKey: private, TTL: 30, Urgency: library.UrgencyHigh, Topic: "t1",
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = push.ReadAnswer(answer.Body)
	got := service.Received(s.Endpoint)
	if answer.StatusCode != http.StatusCreated || len(got) != 1 || string(got[0].Plaintext) != `{"title":"hi"}` {
		t.Fatalf("%d: %+v, %q", answer.StatusCode, got, service.Refusals())
	}
	if m := got[0]; m.TTL != 30*time.Second || m.Urgency != "high" || m.Topic != "t1" || m.Subject != "mailto:ops@example.com" {
		t.Errorf("%+v", m)
	}
	// Its keys are ours, and the other way round.
	i, err := readMaterial([]byte(`{"publicKey":"` + public + `","privateKey":"` + private + `"}`))
	if err != nil || i.public != public {
		t.Errorf("keys of webpush-go: %v", err)
	}
}

// taken answers without a network.
type taken struct{}

func (taken) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusCreated, Body: http.NoBody, Request: r, Header: http.Header{}}, nil
}

// BenchmarkSend is one message without the network, and BenchmarkLibrary the same by
// webpush-go.
func BenchmarkSend(b *testing.B) {
	n, i := benchmarked(b)
	s := &sender{identity: i, client: &http.Client{Transport: taken{}}, now: time.Now}
	b.ReportAllocs()
	for b.Loop() {
		if r := s.Send(b.Context(), n); r.Outcome != push.Accepted {
			b.Fatal(r)
		}
	}
}

func BenchmarkLibrary(b *testing.B) {
	n, i := benchmarked(b)
	private, err := i.key.Bytes()
	if err != nil {
		b.Fatal(err)
	}
	options := &library.Options{
		HTTPClient: &http.Client{Transport: taken{}}, Subscriber: "ops@example.com", TTL: 60,
		VAPIDPublicKey: i.public, VAPIDPrivateKey: encoding.EncodeToString(private),
	}
	to := &library.Subscription{Endpoint: n.Recipient.Endpoint, Keys: library.Keys{P256dh: n.Recipient.P256dh, Auth: n.Recipient.Auth}}
	b.ReportAllocs()
	for b.Loop() {
		answer, err := library.SendNotification(n.Payload, to, options)
		if err != nil {
			b.Fatal(err)
		}
		_ = answer.Body.Close()
	}
}

func benchmarked(b *testing.B) (*push.Notification, *identity) {
	b.Helper()
	browser, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	i, err := readMaterial(newMaterial(b))
	if err != nil {
		b.Fatal(err)
	}
	payload, err := Provider{}.Render(&push.Content{
		Title: "Order 123", Body: "It has been packed and is on its way.", CollapseKey: "order-123", Data: []byte(`{"order":{"id":123,"lines":[1,2,3]}}`),
	})
	if err != nil {
		b.Fatal(err)
	}
	return &push.Notification{
		Recipient: push.Recipient{
			TransportType: "web", Endpoint: "https://updates.push.services.mozilla.com/wpush/v2/gAAAAABk",
			P256dh: encoding.EncodeToString(browser.PublicKey().Bytes()), Auth: encoding.EncodeToString(make([]byte, authSize)),
		},
		Payload: payload, TTL: time.Hour, Expires: time.Now().Add(time.Hour),
	}, i
}
