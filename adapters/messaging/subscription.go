package messaging

import (
	"context"
	"errors"
	"fmt"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"kicau/adapters/command"
	"kicau/domain/event"
)

// subscription is one channel of messages. One goroutine does everything in
// turn: it takes a page from the log, hands it over, waits for the ack, takes
// the next. While the consumer is at work nothing is read ahead.
type subscription struct {
	log       command.Log
	config    SubscriberConfig
	topic     string
	selection Selection
	logger    watermill.LoggerAdapter
	out       chan *message.Message

	// after is what the consumer has acked: the place to take up the
	// subscription again. It never goes back.
	after event.Position
	// failures is how often in a row the subscription was lost without a page.
	failures int
}

func (s *subscription) run(ctx context.Context) {
	defer close(s.out)
	s.logger.Info("Subscribed to the log", watermill.LogFields{"after": s.after.String()})
	for {
		err := s.follow(ctx)
		if ctx.Err() != nil {
			s.logger.Info("Subscription ended", watermill.LogFields{"acked": s.after.String()})
			return
		}
		if errors.Is(err, ErrLogWentBack) || errors.Is(err, command.ErrClosed) {
			err = fmt.Errorf("subscription of %s after %s: %w", s.topic, s.after, err)
			s.logger.Error("Subscription stopped", err, nil)
			s.config.Stopped(s.topic, err)
			return
		}
		d := s.config.Reconnect.after(s.failures)
		s.failures++
		s.logger.Error("Subscription lost, will be taken up again", err, watermill.LogFields{
			"acked": s.after.String(), "attempt": s.failures, "pause": d.String(),
		})
		pause(ctx, d) // when the context ends meanwhile, follow says so
	}
}

// follow takes pages from the log until it is lost, always with an error.
func (s *subscription) follow(ctx context.Context) error {
	for page, err := range s.log.Subscribe(ctx, s.after, s.selection.Filter) {
		if err != nil {
			return err
		}
		s.failures = 0
		if err := s.goesOn(page); err != nil {
			return err
		}
		if err := s.handOver(ctx, page); err != nil {
			return err
		}
	}
	return errors.New("the log ended the subscription without a reason")
}

// goesOn checks that a page continues what was acked.
func (s *subscription) goesOn(p command.Page) error {
	last := s.after
	for _, e := range p.Events {
		if e.Position.Compare(last) <= 0 {
			return fmt.Errorf("event %s of stream %s is at %s, after %s: %w", e.ID, e.Stream, e.Position, last, ErrLogWentBack)
		}
		last = e.Position
	}
	if p.Last.Compare(last) < 0 {
		return fmt.Errorf("a page ends at %s, after %s: %w", p.Last, last, ErrLogWentBack)
	}
	return nil
}

// handOver returns nil when all of the page was acked. Only the end of its
// context stops it in the middle: a lost connection shows at the next page.
func (s *subscription) handOver(ctx context.Context, p command.Page) error {
	p.Events = s.selection.of(p.Events)
	if s.config.Pages {
		err := s.deliver(ctx, func(ctx context.Context) *message.Message { return pageMessage(ctx, p) })
		if err != nil {
			return err
		}
	} else {
		for _, e := range p.Events {
			err := s.deliver(ctx, func(ctx context.Context) *message.Message { return eventMessage(ctx, e) })
			if err != nil {
				return err
			}
		}
	}
	s.after = p.Last
	return nil
}

// of leaves the events of the selected stream; the slice may be the log's, so
// it is not changed.
func (s Selection) of(events []event.Recorded) []event.Recorded {
	if s.Stream == "" {
		return events
	}
	var own []event.Recorded
	for _, e := range events {
		if e.Stream == s.Stream {
			own = append(own, e)
		}
	}
	return own
}

// deliver hands a message over until it is acked, each time a new message: a
// Watermill message can be acked or nacked once. It ends with nil or the
// context's error.
func (s *subscription) deliver(ctx context.Context, newMessage func(context.Context) *message.Message) error {
	for nacks := 0; ; nacks++ {
		acked, err := s.attempt(ctx, newMessage)
		if acked || err != nil {
			return err
		}
		d := s.config.Redeliver.after(nacks)
		s.logger.Debug("Message was nacked, will be delivered again", watermill.LogFields{
			"acked": s.after.String(), "nacks": nacks + 1, "pause": d.String(),
		})
		if !pause(ctx, d) {
			return ctx.Err()
		}
	}
}

// attempt hands a message over once. The message's context ends with it.
func (s *subscription) attempt(ctx context.Context, newMessage func(context.Context) *message.Message) (acked bool, err error) {
	msgCtx, done := context.WithCancel(ctx)
	defer done()
	m := newMessage(msgCtx)
	select {
	case s.out <- m:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	select {
	case <-m.Acked():
		return true, nil
	case <-m.Nacked():
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}
