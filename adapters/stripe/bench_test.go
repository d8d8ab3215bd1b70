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

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/google/uuid"
	stripego "github.com/stripe/stripe-go/v76"

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

// Reading a captured payment intent into stripe-go's type, and into ours.
func BenchmarkShapes(b *testing.B) {
	body := capturedIntent(b)
	b.Run("stripe-go", func(b *testing.B) {
		for b.Loop() {
			if err := json.Unmarshal(body, &stripego.PaymentIntent{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			if err := jsonv2.Unmarshal(body, &stripe.PaymentIntent{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// capturedIntent is the sandbox's answer to a capture.
func capturedIntent(b *testing.B) (body []byte) {
	server := sandbox.New(sandbox.Options{SecretKey: "sk_test_sandbox", Logger: slog.New(slog.DiscardHandler)})
	if err := server.Open(); err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	client, err := stripe.New(stripe.Options{SecretKey: "sk_test_sandbox", Transport: inProcess(func(r *http.Request) (*http.Response, error) {
		res, err := server.Transport().RoundTrip(r)
		if err == nil {
			body, err = io.ReadAll(res.Body)
			res.Body = io.NopCloser(bytes.NewReader(body))
		}
		return res, err
	})})
	if err != nil {
		b.Fatal(err)
	}
	e := effect(order.Authorise)
	e.PaymentMethod, e.RequestedAt = "pm_card_visa", time.Now()
	held := client.Perform(context.Background(), e).(payment.Authorised)
	e = effect(order.Capture)
	e.Intent, e.RequestedAt = held.Intent, time.Now()
	if o, ok := client.Perform(context.Background(), e).(payment.Captured); !ok {
		b.Fatalf("%#v", o)
	}
	return body
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
