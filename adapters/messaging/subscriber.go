package messaging

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"kicau/adapters/command"
	"kicau/domain/event"
)

// Bounds of a Subscriber.
var (
	// DefaultRedeliver is the pause before a message that was nacked comes
	// again.
	DefaultRedeliver = Backoff{Min: 50 * time.Millisecond, Max: 10 * time.Second}
	// DefaultReconnect is the pause before a lost subscription is taken up
	// again.
	DefaultReconnect = Backoff{Min: 100 * time.Millisecond, Max: 30 * time.Second}
)

// closeTimeout is how long Close waits for the log to let go of subscriptions.
const closeTimeout = 30 * time.Second

// SubscriberConfig configures a Subscriber; the zero value is good.
type SubscriberConfig struct {
	// From says where a subscription of a topic begins: after this position,
	// the checkpoint of the consumer. Nil: with the first event of the log. It
	// is asked once a subscription; what was acked is remembered from then on.
	From func(ctx context.Context, topic string) (event.Position, error)
	// Topic says what a topic stands for. Nil: [ParseTopic].
	Topic func(topic string) (Selection, error)
	// Pages makes a message of each page of events, also of those without any
	// event that the topic lets through: they move a checkpoint too. See
	// [PageOf].
	Pages bool
	// Redeliver is the pause before a message that was nacked comes again; zero:
	// [DefaultRedeliver].
	Redeliver Backoff
	// Reconnect is the pause before a lost subscription is taken up again; zero:
	// [DefaultReconnect]. There is no last attempt: nobody knows beforehand how
	// long a server will be away. Each failed one is logged.
	Reconnect Backoff
	// Stopped is told why a subscription ended when neither Close nor its
	// context ended it: the log was closed, or [ErrLogWentBack]. The channel is
	// closed after it returns.
	Stopped func(topic string, err error)
	// Logger is told what goes wrong. Nil: nobody is.
	Logger watermill.LoggerAdapter
}

// ErrLogWentBack: the log gave an event at or before a position that was there
// already. It lost its end (a cluster's old leader cut off, an old backup put
// in its place) or it is another log: what was derived from it must be rebuilt.
var ErrLogWentBack = errors.New("the log went back: what was derived from it cannot be continued")

// Subscriber subscribes to a log. It may have any number of subscriptions.
type Subscriber struct {
	log     command.Log
	config  SubscriberConfig
	running *subscriptions
}

var _ message.Subscriber = (*Subscriber)(nil)

// NewSubscriber makes a subscriber. Closing it does not close the log.
func NewSubscriber(log command.Log, config SubscriberConfig) *Subscriber {
	if config.From == nil {
		config.From = func(context.Context, string) (event.Position, error) { return event.Position{}, nil }
	}
	if config.Topic == nil {
		config.Topic = ParseTopic
	}
	if config.Stopped == nil {
		config.Stopped = func(string, error) {}
	}
	if config.Logger == nil {
		config.Logger = watermill.NopLogger{}
	}
	config.Redeliver = config.Redeliver.orDefault(DefaultRedeliver)
	config.Reconnect = config.Reconnect.orDefault(DefaultReconnect)
	return &Subscriber{log: log, config: config, running: newSubscriptions()}
}

// Subscribe begins a subscription. Its channel is closed when the context ends,
// with Close, or after Stopped was told.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	selection, err := s.config.Topic(topic)
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	after, err := s.config.From(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: where to begin: %w", topic, err)
	}
	sub := &subscription{
		log: s.log, config: s.config, topic: topic, selection: selection, after: after,
		out:    make(chan *message.Message),
		logger: s.config.Logger.With(watermill.LogFields{"topic": topic}),
	}
	if err := s.running.begin(ctx, sub.run); err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	return sub.out, nil
}

// Close ends all subscriptions and waits until they have ended. Messages that
// were not acked come again in the next subscription.
func (s *Subscriber) Close() error { return s.running.end(closeTimeout) }
