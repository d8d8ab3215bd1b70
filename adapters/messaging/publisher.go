package messaging

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"kicau/adapters/command"
	"kicau/domain/event"
)

// ErrClosed is what a Publisher or Subscriber says after its Close.
var ErrClosed = errors.New("the publisher or subscriber has been closed")

// ExpectedRevision is the metadata key that says what the stream must look like
// for the messages to be appended: "any", "no_stream", or the revision of its
// last event. See [ExpectRevision].
const ExpectedRevision = "expected_revision"

const (
	expectAny      = "any"
	expectNoStream = "no_stream"
)

// ExpectRevision lets a message be published only while its stream is at e. Of
// the messages of one Publish call to a stream one has to say so; those that
// do must agree.
func ExpectRevision(m *message.Message, e command.Expect) {
	switch e {
	case command.Any:
		m.Metadata.Set(ExpectedRevision, expectAny)
	case command.NoStream:
		m.Metadata.Set(ExpectedRevision, expectNoStream)
	default:
		m.Metadata.Set(ExpectedRevision, strconv.FormatInt(int64(e), 10))
	}
}

func parseExpect(s string) (command.Expect, error) {
	switch s {
	case expectAny:
		return command.Any, nil
	case expectNoStream:
		return command.NoStream, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("metadata %s is %q: say %q, %q or the revision of the stream's last event", ExpectedRevision, s, expectAny, expectNoStream)
	}
	return command.Expect(n), nil
}

// Defaults of a Publisher.
const (
	DefaultEventType     = "Message"
	DefaultAppendTimeout = 10 * time.Second
)

// PublisherConfig configures a Publisher; the zero value is good.
type PublisherConfig struct {
	// Stream names the stream that a message goes to. Nil: the topic is the
	// stream. Messages of one Publish call that go to different streams are
	// appended stream by stream, and only those of one stream are all or none.
	Stream func(topic string, m *message.Message) (string, error)
	// DefaultType is the type of events whose message has no [EventType] in its
	// metadata. "": [DefaultEventType].
	DefaultType string
	// AppendTimeout bounds an append, besides the contexts of its messages. 0:
	// [DefaultAppendTimeout].
	AppendTimeout time.Duration
	// Logger is told what is published, at trace level. Nil: nobody is.
	Logger watermill.LoggerAdapter
}

// Publisher appends messages to a log.
type Publisher struct {
	log    command.Log
	config PublisherConfig
	closed atomic.Bool
}

var _ message.Publisher = (*Publisher)(nil)

// NewPublisher makes a publisher. Closing it does not close the log.
func NewPublisher(log command.Log, config PublisherConfig) *Publisher {
	if config.Stream == nil {
		config.Stream = func(topic string, _ *message.Message) (string, error) { return streamOfTopic(topic) }
	}
	if config.DefaultType == "" {
		config.DefaultType = DefaultEventType
	}
	if config.AppendTimeout <= 0 {
		config.AppendTimeout = DefaultAppendTimeout
	}
	if config.Logger == nil {
		config.Logger = watermill.NopLogger{}
	}
	return &Publisher{log: log, config: config}
}

// Publish appends the messages, each stream's as one, durable when it returns.
// A stream that is not where it was expected is a [*command.WrongRevision]:
// nothing was written to it. After any other error the messages may have been
// written or not; publish the same again.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	if p.closed.Load() {
		return fmt.Errorf("publish to %s: %w", topic, ErrClosed)
	}
	appends, err := p.group(topic, messages)
	if err != nil {
		return fmt.Errorf("publish to %s: nothing was written: %w", topic, err)
	}
	for _, a := range appends {
		if err := p.append(a); err != nil {
			return fmt.Errorf("publish %d messages to stream %s: %w", len(a.events), a.stream, err)
		}
	}
	return nil
}

// Close makes later calls of Publish fail. There is nothing to flush.
func (p *Publisher) Close() error {
	p.closed.Store(true)
	return nil
}

// streamAppend is what goes to one stream.
type streamAppend struct {
	stream   string
	expect   command.Expect
	expected bool // some message said so
	events   []event.Proposed
	messages []*message.Message
}

// group sorts messages by stream, in the order in which they came. All that can
// be wrong with a message is found here, before anything is written.
func (p *Publisher) group(topic string, messages []*message.Message) ([]*streamAppend, error) {
	var appends []*streamAppend
	byStream := map[string]*streamAppend{}
	for i, m := range messages {
		stream, err := p.config.Stream(topic, m)
		if err != nil {
			return nil, err
		}
		a := byStream[stream]
		if a == nil {
			a = &streamAppend{stream: stream, expect: command.Any}
			byStream[stream] = a
			appends = append(appends, a)
		}
		if err := a.add(m, p.config.DefaultType); err != nil {
			return nil, fmt.Errorf("message %d of %d (%s): %w", i+1, len(messages), m.UUID, err)
		}
	}
	return appends, nil
}

func (a *streamAppend) add(m *message.Message, defaultType string) error {
	if said, ok := m.Metadata[ExpectedRevision]; ok {
		expect, err := parseExpect(said)
		if err != nil {
			return err
		}
		if a.expected && a.expect != expect {
			return fmt.Errorf("it expects stream %s at %s, another message of the same call at %s", a.stream, expect, a.expect)
		}
		a.expect, a.expected = expect, true
	}
	e, err := propose(m, defaultType)
	if err != nil {
		return err
	}
	a.events = append(a.events, e)
	a.messages = append(a.messages, m)
	return nil
}

// append writes to one stream. It gives up when the time is over or the context
// of any of the messages ends.
func (p *Publisher) append(a *streamAppend) error {
	ctx, cancel := context.WithTimeout(a.messages[0].Context(), p.config.AppendTimeout)
	defer cancel()
	for _, m := range a.messages {
		if err := m.Context().Err(); err != nil {
			return err
		}
		defer context.AfterFunc(m.Context(), cancel)()
	}
	at, err := p.log.Append(ctx, a.stream, a.expect, a.events)
	if err != nil {
		return err
	}
	p.config.Logger.Trace("Appended messages", watermill.LogFields{
		"stream": a.stream, "messages": len(a.events), "revision": at.Revision, "position": at.Position.String(),
	})
	return nil
}
