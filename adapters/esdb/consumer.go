package esdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"kicau/adapters/command"
)

const (
	// maxGroupBuffer bounds the deliveries that a consumer may ask for at once.
	maxGroupBuffer = 10_000
	// farewell bounds how long Close of a consumer waits for its last answers
	// to reach the server.
	farewell = 2 * time.Second
)

// consumer receives in the background what the server gives it, and answers in
// the background too: a Send can hang, and two at once are not allowed.
type consumer struct {
	session
	group      command.Group
	deliveries chan command.Delivery
	answers    chan answer
	closing    chan struct{} // closed by Close
	said       chan struct{} // closed when no more answers are sent
	once       sync.Once
}

type answer struct {
	event  *esdb.ResolvedEvent
	nack   bool
	action esdb.NackAction
	reason string
}

// Consume is described at [command.Groups].
func (l *Log) Consume(ctx context.Context, g command.Group, buffer int) (command.Consumer, error) {
	if buffer <= 0 {
		buffer = command.DefaultGroupBuffer
	}
	buffer = min(buffer, maxGroupBuffer)
	c := &consumer{
		group:      g,
		deliveries: make(chan command.Delivery, buffer),
		answers:    make(chan answer, buffer),
		closing:    make(chan struct{}), said: make(chan struct{}),
	}
	o := esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: uint32(buffer)}
	err := c.start(context.WithoutCancel(ctx), ctx, l, func() error {
		return c.run(func(ctx context.Context, client *esdb.Client) (*esdb.PersistentSubscription, error) {
			if g.Stream == "" {
				return client.SubscribeToPersistentSubscriptionToAll(ctx, g.Name, o)
			}
			return client.SubscribeToPersistentSubscription(ctx, g.Stream, g.Name, o)
		})
	}, c.end)
	if err != nil {
		return nil, fmt.Errorf("consume group %s: %w", g, groupError(g, err))
	}
	return c, nil
}

// errConsumerClosed is what a consumer says after its Close.
var errConsumerClosed = errors.New("the consumer is closed")

// run receives until the connection, the group or the consumer is gone.
func (c *consumer) run(connect func(context.Context, *esdb.Client) (*esdb.PersistentSubscription, error)) error {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	sub, err := connect(ctx, c.client.Client)
	if err != nil {
		c.end(err)
		return err
	}
	go func() {
		defer close(c.said)
		if err := protect(func() error { return c.send(ctx, sub) }); err != nil {
			c.end(err)
			cancel()
		}
	}()
	defer func() {
		cancel()
		<-c.said
		_ = sub.Close() // never fails, and must not meet a Send
	}()
	close(c.opened)
	for {
		err := c.receive(ctx, sub.Recv())
		if err != nil {
			c.end(err)
			return err
		}
	}
}

// receive hands on what was received.
func (c *consumer) receive(ctx context.Context, e *esdb.PersistentSubscriptionEvent) error {
	if e.SubscriptionDropped != nil {
		return e.SubscriptionDropped.Error
	}
	resolved := e.EventAppeared.Event
	if resolved.OriginalEvent() == nil {
		return errors.New("the server sent a delivery without an event")
	}
	d := command.Delivery{Retries: e.EventAppeared.RetryCount, Token: resolved}
	if resolved.Event != nil {
		d.Event = recordedEvent(resolved.Event)
	}
	if c.group.Stream == "" && isSystem(d.Event.Stream) {
		// A filter by type lets it through.
		select {
		case c.answers <- answer{event: resolved}:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	select {
	case c.deliveries <- d:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// send sends answers until the connection is gone or, when the consumer is
// closed, there are no more.
func (c *consumer) send(ctx context.Context, sub *esdb.PersistentSubscription) error {
	for sent := 0; ; sent++ {
		var a answer
		select {
		case a = <-c.answers:
		case <-ctx.Done():
			return nil
		case <-c.closing:
			select {
			case a = <-c.answers:
			default:
				return c.settle(ctx, sent)
			}
		}
		if err := a.send(sub); err != nil {
			return err
		}
	}
}

func (a answer) send(sub *esdb.PersistentSubscription) error {
	if a.nack {
		return sub.Nack(a.reason, a.action, a.event)
	}
	return sub.Ack(a.event)
}

// settle waits until the server has the answers, as a rule: the client cuts the
// connection off when it closes a subscription, and what is on the way is lost.
// Behind the answers goes a question on the same connection.
func (c *consumer) settle(ctx context.Context, answers int) error {
	if answers == 0 {
		return nil
	}
	ctx, done := context.WithTimeout(ctx, farewell)
	defer done()
	_, err := groupInfo(ctx, c.client.Client, c.group)
	return err
}

// end keeps why the consumer has no more.
func (c *consumer) end(err error) {
	switch {
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF // a group has no end
	case status.Code(err) == codes.NotFound:
		err = fmt.Errorf("%w: %w", command.NoGroup(c.group), err)
	}
	c.fail(err)
}

// over says why the consumer is of no more use, nil while it is.
func (c *consumer) over() error {
	var err error
	switch {
	case isClosed(c.closing):
		err = errConsumerClosed
	case isClosed(c.ended):
		err = c.reason()
	case c.ctx.Err() != nil:
		err = context.Cause(c.ctx)
	default:
		return nil
	}
	return fmt.Errorf("consumer of group %s: %w", c.group, err)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Next is described at [command.Consumer].
func (c *consumer) Next(ctx context.Context) (command.Delivery, error) {
	if err := c.over(); err != nil {
		return command.Delivery{}, err
	}
	select {
	case d := <-c.deliveries:
		return d, nil
	case <-ctx.Done():
		return command.Delivery{}, ctx.Err()
	case <-c.closing:
	case <-c.ctx.Done():
	case <-c.ended:
	}
	return command.Delivery{}, c.over()
}

// Ack is described at [command.Consumer].
func (c *consumer) Ack(d command.Delivery) error { return c.reply(d, answer{}) }

// Retry is described at [command.Consumer].
func (c *consumer) Retry(d command.Delivery, reason string) error {
	return c.reply(d, answer{nack: true, action: esdb.NackActionRetry, reason: reason})
}

// Park is described at [command.Consumer].
func (c *consumer) Park(d command.Delivery, reason string) error {
	return c.reply(d, answer{nack: true, action: esdb.NackActionPark, reason: reason})
}

func (c *consumer) reply(d command.Delivery, a answer) error {
	e, ok := d.Token.(*esdb.ResolvedEvent)
	if !ok {
		return fmt.Errorf("answer to group %s: the delivery is not of this log", c.group)
	}
	a.event = e
	return c.answer(a)
}

func (c *consumer) answer(a answer) error {
	if err := c.over(); err != nil {
		return err
	}
	select {
	case c.answers <- a:
		return nil
	case <-c.closing:
	case <-c.ctx.Done():
	case <-c.ended:
	}
	return c.over()
}

// Close is described at [command.Consumer]. What was answered before is sent
// first.
func (c *consumer) Close() error {
	c.once.Do(func() {
		close(c.closing)
		late := time.NewTimer(farewell)
		defer late.Stop()
		select {
		case <-c.said:
		case <-late.C:
		}
		c.close()
		late.Reset(hangsAfter)
		select {
		case <-c.ended:
		case <-late.C:
		}
	})
	return nil
}
