package messaging_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"kicau/adapters/command"
	"kicau/adapters/messaging"
	"kicau/adapters/node"
)

func openNode(t testing.TB) *node.Node {
	t.Helper()
	n, err := node.Open(node.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// Watermill's own tests for every Pub/Sub, over the embedded node: real
// appends, real subscriptions. A message is one event; a topic is a stream.
func TestUniversal(t *testing.T) {
	log := openNode(t).Log()
	pubSub := func(*testing.T) (message.Publisher, message.Subscriber) {
		quick := messaging.Backoff{Min: time.Millisecond, Max: 2 * time.Millisecond}
		return messaging.NewPublisher(log, messaging.PublisherConfig{}),
			messaging.NewSubscriber(log, messaging.SubscriberConfig{Redeliver: quick, Reconnect: quick})
	}
	tests.TestPubSub(t, tests.Features{
		ConsumerGroups:                   false, // every subscription gets every message
		ExactlyOnceDelivery:              false,
		GuaranteedOrder:                  true,
		Persistent:                       true,
		NewSubscriberReceivesOldMessages: true,
	}, pubSub, nil)
}

func TestConflictOnTheNode(t *testing.T) {
	p := messaging.NewPublisher(openNode(t).Log(), messaging.PublisherConfig{})
	publish := func(id string, e command.Expect) error {
		m := message.NewMessage(id, []byte(`{}`))
		messaging.ExpectRevision(m, e)
		return p.Publish("order-1", m)
	}
	for range 2 { // the second time it is there already
		if err := publish("7b0b4d1a-0d5a-4f6f-9c0e-8f3d2f5b6a01", command.NoStream); err != nil {
			t.Fatal(err)
		}
	}
	var wrong *command.WrongRevision
	if err := publish("7b0b4d1a-0d5a-4f6f-9c0e-8f3d2f5b6a02", command.NoStream); !errors.As(err, &wrong) || wrong.Actual != command.At(0) {
		t.Errorf("%v, want a conflict at revision 0", err)
	}
	large := message.NewMessage("x", []byte(`"`+strings.Repeat("x", command.MaxAppendBytes)+`"`))
	if err := p.Publish("order-2", large); !errors.Is(err, command.ErrTooLarge) {
		t.Errorf("%v, want ErrTooLarge", err)
	}
}

// BenchmarkSubscribe reads a log through a subscription, acking at once.
func BenchmarkSubscribe(b *testing.B) {
	const events, perCall = 50_000, 500
	log := openNode(b).Log()
	p := messaging.NewPublisher(log, messaging.PublisherConfig{})
	for range events / perCall {
		var ms []*message.Message
		for range perCall {
			ms = append(ms, message.NewMessage("", []byte(`{"text":"`+strings.Repeat("x", 300)+`"}`)))
		}
		if err := p.Publish("bench-1", ms...); err != nil {
			b.Fatal(err)
		}
	}
	for name, inPages := range map[string]bool{"event": false, "page": true} {
		b.Run(name, func(b *testing.B) {
			read := 0
			for b.Loop() {
				s := messaging.NewSubscriber(log, messaging.SubscriberConfig{Pages: inPages})
				ch, err := s.Subscribe(context.Background(), "category:bench")
				if err != nil {
					b.Fatal(err)
				}
				for n := 0; n < events; {
					m := <-ch
					if page, ok := messaging.PageOf(m); ok {
						n += len(page.Events)
					} else {
						n++
					}
					m.Ack()
				}
				read += events
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
