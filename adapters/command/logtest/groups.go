package logtest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/event"
)

// Grouped is a log with its persistent subscriptions.
type Grouped struct {
	Log    command.Log
	Groups command.Groups
	// ByNumber says that parked events can be replayed and dropped one by one.
	// Otherwise doing so must be command.ErrNotSupported.
	ByNumber bool
	// Restart stops the log in good order, starts it again and gives what to use
	// from then on. Nil when that cannot be done.
	Restart func() (command.Log, command.Groups)
}

// RunGroups tests what the comments of [command.Groups] promise, as [Run] does
// for logs.
func RunGroups(t *testing.T, open func(t *testing.T) Grouped) {
	for _, part := range [][]groupContract{delivering, answering, parking, managing} {
		for _, c := range part {
			t.Run(c.name, func(t *testing.T) {
				g := open(t)
				c.test(&groupScope{scope: newScope(t, g.Log), Grouped: g})
			})
		}
	}
}

type groupContract struct {
	name string
	test func(*groupScope)
}

// groupScope is one test's part of a log and its groups.
type groupScope struct {
	*scope
	Grouped
}

const (
	// askEvery is the pause between two questions about a group.
	askEvery = 5 * time.Millisecond
	// quiet is how long nothing may come where nothing must come. A test that
	// waits for it can miss a fault, not report one that is not there.
	quiet = 150 * time.Millisecond
	// soon is a message timeout that a test waits for.
	soon = 200 * time.Millisecond
)

// ofStream is a group of one of the test's streams, made with these settings.
func (s *groupScope) ofStream(stream string, settings command.GroupSettings) command.Group {
	s.Helper()
	return s.ensure(command.Group{Stream: s.stream(stream), Name: "group"}, settings)
}

// ofOwn is a group of the whole log that lets the test's events through.
func (s *groupScope) ofOwn(settings command.GroupSettings) command.Group {
	s.Helper()
	if len(settings.Filter.Types) == 0 {
		settings.Filter.StreamPrefixes = []string{s.prefix}
	}
	return s.ensure(command.Group{Name: s.prefix + "group"}, settings)
}

func (s *groupScope) ensure(g command.Group, settings command.GroupSettings) command.Group {
	s.Helper()
	if err := s.Groups.EnsureGroup(s.ctx, g, settings); err != nil {
		s.Fatalf("make group %s: %v", g, err)
	}
	return g
}

func (s *groupScope) info(g command.Group) command.GroupInfo {
	s.Helper()
	i, err := s.Groups.GroupInfo(s.ctx, g)
	if err != nil {
		s.Fatalf("ask about group %s: %v", g, err)
	}
	if i.Group != g {
		s.Fatalf("asked about group %s, got %s", g, i.Group)
	}
	return i
}

// until waits for a group to be as it must become.
func (s *groupScope) until(g command.Group, what string, ok func(command.GroupInfo) bool) {
	s.Helper()
	for {
		i := s.info(g)
		if ok(i) {
			return
		}
		select {
		case <-time.After(askEvery):
		case <-s.ctx.Done():
			s.Fatalf("group %s: waited for %s, got %+v", g, what, i)
		}
	}
}

func (s *groupScope) untilSettled(g command.Group, at event.Position) {
	s.Helper()
	s.until(g, "everything up to "+at.String()+" to be settled", func(i command.GroupInfo) bool { return i.Settled(at) })
}

// parked waits until a group has parked n events, and lists them.
func (s *groupScope) parked(g command.Group, n int) []command.ParkedEvent {
	s.Helper()
	s.until(g, "parked events", func(i command.GroupInfo) bool { return i.Parked == n })
	var out []command.ParkedEvent
	for p, err := range s.Groups.Parked(s.ctx, g) {
		if err != nil {
			s.Fatalf("parked events of group %s: %v", g, err)
		}
		out = append(out, p)
	}
	if len(out) != n {
		s.Fatalf("group %s says it has %d parked events and lists %d", g, n, len(out))
	}
	return out
}

// groupConsumer is a consumer that fails the test when it cannot.
type groupConsumer struct {
	*groupScope
	group    command.Group
	consumer command.Consumer
}

func (s *groupScope) consume(g command.Group, buffer int) *groupConsumer {
	s.Helper()
	c, err := s.Groups.Consume(s.ctx, g, buffer)
	if err != nil {
		s.Fatalf("consume group %s: %v", g, err)
	}
	s.Cleanup(func() {
		if err := c.Close(); err != nil {
			s.Error(err)
		}
	})
	return &groupConsumer{s, g, c}
}

func (c *groupConsumer) next() command.Delivery {
	c.Helper()
	d, err := c.consumer.Next(c.ctx)
	if err != nil {
		c.Fatalf("next delivery of group %s: %v", c.group, err)
	}
	return d
}

func (c *groupConsumer) take(n int) []command.Delivery {
	c.Helper()
	out := make([]command.Delivery, n)
	for i := range out {
		out[i] = c.next()
	}
	return out
}

// nothing says that no delivery comes, for a while.
func (c *groupConsumer) nothing() {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, quiet)
	defer cancel()
	if d, err := c.consumer.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		c.Fatalf("got event %s (retries %d), %v; want nothing", d.Event.ID, d.Retries, err)
	}
}

func (c *groupConsumer) ack(ds ...command.Delivery) {
	c.Helper()
	for _, d := range ds {
		if err := c.consumer.Ack(d); err != nil {
			c.Fatalf("ack: %v", err)
		}
	}
}

func (c *groupConsumer) retry(d command.Delivery) {
	c.Helper()
	if err := c.consumer.Retry(d, "the test says so"); err != nil {
		c.Fatalf("retry: %v", err)
	}
}

func (c *groupConsumer) park(d command.Delivery, reason string) {
	c.Helper()
	if err := c.consumer.Park(d, reason); err != nil {
		c.Fatalf("park: %v", err)
	}
}

func (c *groupConsumer) close() {
	c.Helper()
	if err := c.consumer.Close(); err != nil {
		c.Fatalf("close: %v", err)
	}
}

// wantDelivered compares in order, and says how often each came before.
func (s *groupScope) wantDelivered(got []command.Delivery, want []uuid.UUID, retries int) {
	s.Helper()
	s.wantIDs("deliveries", recordedOf(got), want)
	for _, d := range got {
		if d.Retries != retries {
			s.Errorf("event %s came with %d retries, want %d", d.Event.ID, d.Retries, retries)
		}
	}
}

// wantDeliveredSomehow compares in any order.
func (s *groupScope) wantDeliveredSomehow(got []command.Delivery, want []uuid.UUID) {
	s.Helper()
	ids := idsOf(recordedOf(got))
	slices.SortFunc(ids, byText)
	want = slices.Clone(want)
	slices.SortFunc(want, byText)
	if !slices.Equal(ids, want) {
		s.Fatalf("deliveries: got %v, want %v", excerpt(ids), excerpt(want))
	}
}

func byText(a, b uuid.UUID) int { return strings.Compare(a.String(), b.String()) }

func recordedOf(ds []command.Delivery) []event.Recorded {
	out := make([]event.Recorded, len(ds))
	for i, d := range ds {
		out[i] = d.Event
	}
	return out
}
