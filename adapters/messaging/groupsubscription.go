package messaging

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"kicau/adapters/command"
)

// groupSubscription is one channel of messages. One goroutine takes deliveries
// and hands them over, in the order in which they came; one more for each
// message in flight waits for its ack or nack.
type groupSubscription struct {
	groups   command.Groups
	config   *GroupConfig
	topic    string
	group    command.Group
	settings command.GroupSettings
	logger   watermill.LoggerAdapter
	out      chan *message.Message

	work      context.Context // of the messages
	slots     chan struct{}   // holds one for each message in flight
	inFlight  sync.WaitGroup
	abandoned chan struct{} // closed when those in flight have had their time

	made     bool // the group is known to be there
	failures int  // in a row, without a delivery
	missing  int  // deliveries without an event
}

func (s *groupSubscription) make(ctx context.Context) error {
	err := s.groups.EnsureGroup(ctx, s.group, s.settings)
	s.made = err == nil
	return err
}

// run takes messages until its context ends. Then it waits for those in flight.
func (s *groupSubscription) run(ctx context.Context) {
	defer close(s.out)
	s.logger.Info("Subscribed to the group", nil)
	for {
		err := s.consume(ctx)
		if ctx.Err() != nil {
			s.drain()
			s.logger.Info("Subscription ended", nil)
			return
		}
		if errors.Is(err, command.ErrClosed) || s.made && errors.Is(err, command.ErrNoGroup) {
			s.drain()
			err = fmt.Errorf("subscription of %s to group %s: %w", s.topic, s.group, err)
			s.logger.Error("Subscription stopped", err, nil)
			s.config.Stopped(s.topic, err)
			return
		}
		d := s.config.Reconnect.after(s.failures)
		s.failures++
		s.logger.Error("Connection to the group lost, will be taken up again", err, watermill.LogFields{
			"attempt": s.failures, "pause": d.String(),
		})
		pause(ctx, d) // when the context ends meanwhile, consume says so
	}
}

// consume connects to the group and hands over what it delivers, until the
// connection is lost or the context ends: always with an error.
func (s *groupSubscription) consume(ctx context.Context) error {
	if !s.made {
		if err := s.make(ctx); err != nil {
			return err
		}
	}
	consumer, err := s.groups.Consume(ctx, s.group, s.config.InFlight)
	if err != nil {
		return err
	}
	defer func() {
		if ctx.Err() != nil {
			s.drain() // their answers go to this consumer
		}
		if err := consumer.Close(); err != nil {
			s.logger.Error("Could not close the consumer", err, nil)
		}
	}()
	connected := time.Now()
	for {
		d, err := consumer.Next(ctx)
		if err == nil || time.Since(connected) > s.config.Reconnect.Max {
			s.failures = 0
		}
		if err != nil {
			return err
		}
		s.handOver(ctx, consumer, d)
	}
}

// handOver gives a message to the consumer of the channel. The log holds no
// more than are in flight, so there is a slot, unless one is taken by a message
// that the log has given up.
func (s *groupSubscription) handOver(ctx context.Context, consumer command.Consumer, d command.Delivery) {
	if d.Event.Type == "" {
		s.missing++
		s.logger.Info("Acked a link whose event is not there any more", watermill.LogFields{"so_far": s.missing})
		s.said("ack", consumer.Ack(d))
		return
	}
	if max := s.config.MaxRetries; max > 0 && d.Retries > max {
		s.park(consumer, d, fmt.Sprintf("came %d times and was never answered: its consumers were lost, or late", d.Retries))
		return
	}
	work, verdict := withVerdict(s.work)
	work, done := context.WithTimeout(work, s.config.MessageTimeout)
	f := &flight{groupSubscription: s, consumer: consumer, delivery: d, message: eventMessage(work, d.Event), verdict: verdict, began: time.Now()}
	f.message.Metadata[EventRetries] = strconv.Itoa(d.Retries)
	if !f.start(ctx, work) {
		done() // it comes again
		return
	}
	s.inFlight.Go(func() {
		defer func() { <-s.slots }()
		f.land(ctx, done)
	})
}

// drain lets messages in flight finish, for a while.
func (s *groupSubscription) drain() {
	landed := make(chan struct{})
	go func() {
		s.inFlight.Wait()
		close(landed)
	}()
	late := time.NewTimer(s.config.Drain)
	defer late.Stop()
	select {
	case <-landed:
	case <-late.C:
		s.logger.Error("Messages in flight were not acked in time and come again", fmt.Errorf("not finished within %s", s.config.Drain), nil)
		close(s.abandoned)
		<-landed
	}
}

// said logs an answer that could not be given: the event comes again.
func (s *groupSubscription) said(what string, err error) {
	if err != nil {
		s.logger.Info("The group was not told, the event comes again", watermill.LogFields{"answer": what, "error": err.Error()})
	}
}

func (s *groupSubscription) park(consumer command.Consumer, d command.Delivery, reason string) {
	s.logger.Error("Event is parked", errors.New(reason), fields(d))
	s.said("park", consumer.Park(d, reason))
}

// flight is a message between its hand-over and its answer.
type flight struct {
	*groupSubscription
	consumer command.Consumer
	delivery command.Delivery
	message  *message.Message
	verdict  *verdict
	began    time.Time
}

// start returns false when nobody took the message in time or ctx ended.
func (f *flight) start(ctx, work context.Context) bool {
	select {
	case f.slots <- struct{}{}:
	case <-work.Done():
		return false
	case <-ctx.Done():
		return false
	}
	select {
	case f.out <- f.message:
		return true
	case <-work.Done():
	case <-ctx.Done():
	}
	<-f.slots
	return false
}

// land waits for the ack or nack and passes it on to the group. The message's
// context ends then.
func (f *flight) land(ctx context.Context, done context.CancelFunc) {
	defer done()
	late := time.NewTimer(f.config.MessageTimeout)
	defer late.Stop()
	for {
		select {
		case <-f.message.Acked():
			f.said("ack", f.consumer.Ack(f.delivery))
			return
		case <-f.message.Nacked():
			done()
			f.nacked(ctx)
			return
		case <-late.C:
			f.logger.Error("Message was neither acked nor nacked in time, the log delivers it again",
				fmt.Errorf("not finished within the message timeout of %s", f.config.MessageTimeout), fields(f.delivery))
		case <-f.abandoned:
			return
		}
	}
}

func fields(d command.Delivery) watermill.LogFields {
	e := d.Event
	return watermill.LogFields{"event_id": e.ID.String(), "event_stream": e.Stream, "event_revision": e.Revision, "retries": d.Retries}
}

// nacked parks the event or, after a pause, gives it back.
func (f *flight) nacked(ctx context.Context) {
	err, max := f.verdict.err(), f.config.MaxRetries
	left := f.config.MessageTimeout - time.Since(f.began)
	switch {
	case left <= 0:
		// It comes again already.
	case err != nil && (IsPermanent(err) || f.config.Permanent(err)):
		f.park(f.consumer, f.delivery, reasonText(err))
	case ctx.Err() != nil:
		// Closing gives it back. It may have failed because of that.
	case max > 0 && f.delivery.Retries >= max:
		f.park(f.consumer, f.delivery, fmt.Sprintf("failed %d times, the last time: %s", f.delivery.Retries+1, reasonText(err)))
	default:
		d := min(f.config.Retry.after(f.delivery.Retries), f.config.MessageTimeout/heldAtMost, left/2)
		f.logger.Debug("Message was nacked, will be delivered again", fields(f.delivery).Add(watermill.LogFields{
			"reason": reasonText(err), "pause": d.String(),
		}))
		if pause(ctx, d) { // otherwise closing gives it back
			f.said("retry", f.consumer.Retry(f.delivery, reasonText(err)))
		}
	}
}
