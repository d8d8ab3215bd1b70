package stripe_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/sandbox"
	"kicau/adapters/stripe"
	"kicau/domain/order"
	"kicau/domain/payment"
)

// What a call costs us, without a network and with nobody at the other end: the
// client's own share.
func BenchmarkClient(b *testing.B) {
	answers := map[string][]byte{}
	for path, body := range map[string]object{"/v1/payment_intents": capturable, "/v1/payment_intents/pi_1": capturable, "/v1/refunds": givenBack} {
		answers[path], _ = json.Marshal(body)
	}
	transport := inProcess(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(answers[r.URL.Path])), Request: r}, nil
	})
	client, err := stripe.New(stripe.Options{SecretKey: secretKey, Transport: transport, Now: func() time.Time { return noon }})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("authorise", func(b *testing.B) {
		for b.Loop() {
			client.Perform(context.Background(), effect(order.Authorise))
		}
	})
	b.Run("refund", func(b *testing.B) {
		for b.Loop() {
			client.Perform(context.Background(), effect(order.Refunding))
		}
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			client.Read(context.Background(), "pi_1")
		}
	})
}

// The same with the sandbox in the same process, as a simulation has it: an order
// is authorised and captured, and read once after.
func BenchmarkSandboxInProcess(b *testing.B) {
	now := noon
	server := sandbox.New(sandbox.Options{SecretKey: "sk_test_sandbox", Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler)})
	if err := server.Open(); err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	client, err := stripe.New(stripe.Options{SecretKey: "sk_test_sandbox", Transport: server.Transport(), Now: func() time.Time { return now }})
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	for b.Loop() {
		now = now.Add(time.Second)
		id := uuid.New()
		e := payment.Effect{Step: order.Authorise, Key: id.String(), RequestedAt: now, Order: id, Amount: 2500, Currency: "GBP", PaymentMethod: "pm_card_visa"}
		a, ok := client.Perform(ctx, e).(payment.Authorised)
		if !ok {
			b.Fatalf("%#v", a)
		}
		client.Perform(ctx, payment.Effect{Step: order.Capture, Key: id.String() + "2", RequestedAt: now, Order: id, Amount: 2500, Currency: "GBP", Intent: a.Intent})
		client.Read(ctx, a.Intent)
	}
}
