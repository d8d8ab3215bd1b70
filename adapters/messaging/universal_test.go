package messaging_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"kicau/adapters/command"
	"kicau/adapters/esdb"
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

// store is what a Pub/Sub is made of.
type store struct {
	log     command.Log
	groups  command.Groups
	restart []string // the command that does it, if it can be done
}

// stores are the node in this process, and one in a process of its own that is
// killed and started again, used through the official client.
var stores = map[string]func(*testing.T) store{
	"in process": func(t *testing.T) store {
		n := openNode(t)
		return store{log: n.Log(), groups: n.Groups()}
	},
	"over the network": func(t *testing.T) store {
		p := startProcess(t)
		l, err := esdb.Open(esdb.Options{URL: "esdb://" + p.addr + "?tls=false", Connections: 4, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return store{log: l, groups: l, restart: p.restartCommand()}
	},
}

var quick = messaging.Backoff{Min: time.Millisecond, Max: 2 * time.Millisecond}

// Watermill's own tests for every Pub/Sub: real appends, real subscriptions. A
// message is one event; a topic is a stream. Over the network they are run with
// few messages, but for the test that kills the node. Set STRESS_TEST_COUNT to
// run all with many, and so many times at once.
func TestUniversal(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			t.Run("catch-up", func(t *testing.T) {
				s := open(t)
				universal(t, tests.Features{
					ConsumerGroups:                   false, // every subscription gets every message
					GuaranteedOrder:                  true,
					NewSubscriberReceivesOldMessages: true,
				}, s, func(string) message.Subscriber {
					return messaging.NewSubscriber(s.log, messaging.SubscriberConfig{Redeliver: quick, Reconnect: quick})
				})
			})
			t.Run("group", func(t *testing.T) {
				s := open(t)
				universal(t, tests.Features{ConsumerGroups: true}, s, s.inGroup(t, 20))
			})
			t.Run("group in order", func(t *testing.T) {
				s := open(t)
				universal(t, tests.Features{
					ConsumerGroups: true, GuaranteedOrder: true, GuaranteedOrderWithSingleSubscriber: true,
				}, s, s.inGroup(t, 1))
			})
			t.Run("a group each", func(t *testing.T) {
				s := open(t)
				inGroup := s.inGroup(t, 20)
				f := tests.Features{Persistent: true, NewSubscriberReceivesOldMessages: true}
				tests.TestNewSubscriberReceivesOldMessages(t, tests.TestContext{TestID: tests.NewTestID(), Features: f},
					func(*testing.T) (message.Publisher, message.Subscriber) {
						return messaging.NewPublisher(s.log, messaging.PublisherConfig{}), inGroup(watermill.NewUUID())
					})
			})
		})
	}
}

func (s store) inGroup(t *testing.T, inFlight int) func(string) message.Subscriber {
	return func(group string) message.Subscriber {
		sub, err := messaging.NewGroupSubscriber(s.groups, messaging.GroupConfig{
			Name: group, InFlight: inFlight, Retry: quick, Reconnect: quick, Drain: 20 * time.Millisecond,
		})
		if err != nil {
			t.Error(err)
		}
		return sub
	}
}

func universal(t *testing.T, f tests.Features, s store, subscriber func(group string) message.Subscriber) {
	f.Persistent, f.ForceShort = true, s.restart != nil || raceEnabled
	run := tests.TestPubSub
	if os.Getenv("STRESS_TEST_COUNT") != "" {
		run, f.ForceShort = tests.TestPubSubStressTest, false
	}
	if s.restart != nil && !raceEnabled { // it has a race of its own: see returned
		f := f
		f.RestartServiceCommand = s.restart
		t.Run("TestReconnect", func(t *testing.T) {
			var slow returned
			tests.TestReconnect(t, tests.TestContext{TestID: tests.NewTestID(), Features: f}, func(*testing.T) (message.Publisher, message.Subscriber) {
				return slow.publisher(messaging.NewPublisher(s.log, messaging.PublisherConfig{})), slow.subscriber(subscriber("shared"))
			})
		})
	}
	inGroup := func(_ *testing.T, group string) (message.Publisher, message.Subscriber) {
		return messaging.NewPublisher(s.log, messaging.PublisherConfig{}), subscriber(group)
	}
	run(t, f, func(t *testing.T) (message.Publisher, message.Subscriber) { return inGroup(t, "shared") }, inGroup)
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
