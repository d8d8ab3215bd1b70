package messaging

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"kicau/adapters/command"
)

// Bounds of a GroupSubscriber.
const (
	// MaxInFlight bounds GroupConfig.InFlight.
	MaxInFlight = 1000
	// DefaultDrain is how long messages in flight may take to finish when a
	// GroupSubscriber is closed.
	DefaultDrain = 10 * time.Second
	// heldAtMost is the largest part of the message timeout that a nacked
	// message is held back, so that the log does not give it to another
	// meanwhile.
	heldAtMost = 4 // a quarter
)

// GroupConfig configures a GroupSubscriber. Only Name is needed.
type GroupConfig struct {
	// Name of the consumer group: who subscribes to the same topic under the
	// same name, in this process or another, shares the messages.
	Name string
	// Topic says what a topic stands for. Nil: [ParseTopic].
	Topic func(topic string) (Selection, error)
	// FromEnd makes a new group begin with what is published from then on;
	// otherwise it begins with the first event there is.
	FromEnd bool
	// InFlight is how many messages of a subscription may be in flight: handed
	// over and not yet acked, or nacked and held back. 0: 1, and then one
	// subscriber gets the messages in the order of the log.
	InFlight int
	// MessageTimeout is how long a message may take, from when it is handed
	// over to its ack. After it the message's context ends and the log delivers
	// the event again, maybe to another process, whatever becomes of the
	// message: do nothing longer than this that may not be done twice at once.
	// 0: [command.DefaultMessageTimeout].
	MessageTimeout time.Duration
	// MaxRetries is how often a message comes again before it is parked. 0: it
	// is never parked for its failures, only for a permanent one. Times when a
	// consumer was lost with the message, or late, count too, so one that ends
	// the process every time is parked as well.
	MaxRetries int
	// Permanent tells whether trying again is of no use: the message is parked
	// at once. An error marked with [Permanent] is permanent in any case.
	Permanent func(error) bool
	// Retry is the pause before a message that was nacked is given back, by how
	// often it came. It counts as in flight meanwhile. Zero: [DefaultRedeliver];
	// at most a quarter of MessageTimeout.
	Retry Backoff
	// Reconnect is the pause before a lost connection to the group is taken up
	// again; zero: [DefaultReconnect]. There is no last attempt.
	Reconnect Backoff
	// Drain is how long Close lets messages in flight finish. 0: [DefaultDrain].
	Drain time.Duration
	// Stopped is told why a subscription ended when neither Close nor its
	// context ended it: the log was closed or the group was deleted. The channel
	// is closed after it returns.
	Stopped func(topic string, err error)
	// Logger is told what goes wrong. Nil: nobody is.
	Logger watermill.LoggerAdapter
}

func (c *GroupConfig) complete() error {
	switch {
	case c.Name == "":
		return errors.New("the consumer group has no name")
	case c.InFlight < 0 || c.InFlight > MaxInFlight:
		return fmt.Errorf("%d messages in flight, want 1 to %d", c.InFlight, MaxInFlight)
	case c.MessageTimeout < 0 || c.MessageTimeout > math.MaxInt32*time.Millisecond:
		return fmt.Errorf("a message timeout of %v, want at most %v", c.MessageTimeout, math.MaxInt32*time.Millisecond)
	case c.MaxRetries < 0 || c.MaxRetries > command.MaxGroupRetries:
		return fmt.Errorf("%d retries, want 0 to %d", c.MaxRetries, command.MaxGroupRetries)
	case c.Drain < 0:
		return fmt.Errorf("a drain of %v", c.Drain)
	}
	c.InFlight = cmp.Or(c.InFlight, 1)
	c.MessageTimeout = cmp.Or(c.MessageTimeout, command.DefaultMessageTimeout)
	c.Drain = cmp.Or(c.Drain, DefaultDrain)
	c.Retry = c.Retry.orDefault(DefaultRedeliver)
	c.Reconnect = c.Reconnect.orDefault(DefaultReconnect)
	if c.Topic == nil {
		c.Topic = ParseTopic
	}
	if c.Permanent == nil {
		c.Permanent = func(error) bool { return false }
	}
	if c.Stopped == nil {
		c.Stopped = func(string, error) {}
	}
	if c.Logger == nil {
		c.Logger = watermill.NopLogger{}
	}
	return nil
}

// GroupSubscriber subscribes to groups of a log. It may have any number of
// subscriptions.
type GroupSubscriber struct {
	groups  command.Groups
	config  GroupConfig
	running *subscriptions
}

var (
	_ message.Subscriber           = (*GroupSubscriber)(nil)
	_ message.SubscribeInitializer = (*GroupSubscriber)(nil)
)

// NewGroupSubscriber makes a subscriber. Closing it does not close the log.
func NewGroupSubscriber(groups command.Groups, config GroupConfig) (*GroupSubscriber, error) {
	if err := config.complete(); err != nil {
		return nil, fmt.Errorf("group subscriber: %w", err)
	}
	return &GroupSubscriber{groups: groups, config: config, running: newSubscriptions()}, nil
}

// Group is the group of the log behind a topic: where an operator finds what
// was parked. A topic that is a stream has a group of that name on the stream,
// $all one on the whole log, and any other topic one on the whole log that has
// the topic in its name: "billing:order" for billing's "category:order".
func (s *GroupSubscriber) Group(topic string) (command.Group, error) {
	selection, err := s.config.Topic(topic)
	return s.group(topic, selection), err
}

func (s *GroupSubscriber) group(topic string, of Selection) command.Group {
	switch {
	case of.Stream != "":
		return command.Group{Stream: of.Stream, Name: s.config.Name}
	case topic == topicAll:
		return command.Group{Name: s.config.Name}
	default:
		return command.Group{Name: s.config.Name + ":" + strings.TrimPrefix(topic, topicCategory)}
	}
}

// SubscribeInitialize makes the group of a topic, from which its place in the
// log is kept. Subscribe does too; here it is said when it fails.
func (s *GroupSubscriber) SubscribeInitialize(topic string) error {
	sub, err := s.subscription(topic)
	if err == nil {
		err = sub.make(s.running.closing)
	}
	if err != nil {
		return fmt.Errorf("initialize subscription: %w", err)
	}
	return nil
}

func (s *GroupSubscriber) subscription(topic string) (*groupSubscription, error) {
	selection, err := s.config.Topic(topic)
	if err != nil {
		return nil, err
	}
	sub := &groupSubscription{
		groups: s.groups, config: &s.config, topic: topic, group: s.group(topic, selection),
		settings: command.GroupSettings{
			FromEnd: s.config.FromEnd, MessageTimeout: s.config.MessageTimeout,
			MaxRetries: s.config.MaxRetries, Ordered: s.config.InFlight == 1,
		},
		out:       make(chan *message.Message),
		slots:     make(chan struct{}, s.config.InFlight),
		abandoned: make(chan struct{}),
	}
	if selection.Stream == "" {
		if sub.settings.Filter = selection.Filter; len(selection.Filter.StreamPrefixes) > 0 && len(selection.Filter.Types) > 0 {
			return nil, fmt.Errorf("topic %s: a consumer group selects by stream or by type, not by both", topic)
		}
	}
	sub.logger = s.config.Logger.With(watermill.LogFields{"topic": topic, "group": sub.group.String()})
	return sub, nil
}

// Subscribe begins a subscription. The group is made if it is not there, before
// Subscribe returns; when the log is out of reach, that is tried again in the
// background. The channel is closed after Close, after the context has ended, or
// after Stopped was told.
//
// The messages' contexts have the values of ctx and end with it. Close the
// subscriber, or the Router, to let messages in flight finish undisturbed.
func (s *GroupSubscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	sub, err := s.subscription(topic)
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	sub.work = ctx
	first, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.running.closing, cancel)()
	if err := sub.make(first); err != nil {
		sub.logger.Error("Group could not be made, will be tried again", err, nil)
	}
	if err := s.running.begin(ctx, sub.run); err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	return sub.out, nil
}

// Close takes no new messages, lets those in flight finish for at most the
// configured Drain, and ends all subscriptions. What was not acked by then
// comes again.
func (s *GroupSubscriber) Close() error { return s.running.end(s.config.Drain + closeTimeout) }
