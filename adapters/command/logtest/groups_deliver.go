package logtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/event"
)

// Which events come, to whom and in which order.
var delivering = []groupContract{
	{"Deliver/AStreamFromItsStart", func(s *groupScope) {
		before, after := events(3), events(4)
		s.mustAppend(s.stream("a"), command.NoStream, before)
		s.mustAppend(s.stream("other"), command.NoStream, events(2))
		g := s.ofStream("a", command.GroupSettings{})
		c := s.consume(g, 20)
		got := c.take(3)
		at := s.mustAppend(s.stream("a"), command.At(2), after)
		got = append(got, c.take(4)...)
		s.wantDelivered(got, proposedIDs(before, after), 0)
		s.wantSame(got[0].Event, before[0])
		last := got[6].Event
		if last.Stream != s.stream("a") || last.Revision != 6 || last.RecordedAt.IsZero() {
			s.Errorf("got %+v, want revision 6 of %s", last, s.stream("a"))
		}
		c.ack(got...)
		s.untilSettled(g, at.Position)
	}},
	{"Deliver/AStreamFromItsEnd", func(s *groupScope) {
		s.mustAppend(s.stream("a"), command.NoStream, events(3))
		g := s.ofStream("a", command.GroupSettings{FromEnd: true})
		after := events(2)
		s.mustAppend(s.stream("a"), command.At(2), after)
		s.wantDelivered(s.consume(g, 20).take(2), proposedIDs(after), 0)
	}},
	{"Deliver/AStreamThatIsNotThereYet", func(s *groupScope) {
		for _, fromEnd := range []bool{false, true} {
			stream := fmt.Sprint("a", fromEnd)
			c := s.consume(s.ofStream(stream, command.GroupSettings{FromEnd: fromEnd}), 20)
			c.nothing()
			wrote := events(2)
			s.mustAppend(s.stream(stream), command.NoStream, wrote)
			s.wantDelivered(c.take(2), proposedIDs(wrote), 0)
		}
	}},
	{"Deliver/TheLogFromItsStart", func(s *groupScope) {
		before, after := events(3), events(4)
		s.mustAppend(s.stream("a"), command.NoStream, before)
		g := s.ofOwn(command.GroupSettings{})
		c := s.consume(g, 20)
		got := c.take(3)
		at := s.mustAppend(s.stream("b"), command.NoStream, after)
		got = append(got, c.take(4)...)
		s.wantDelivered(got, proposedIDs(before, after), 0)
		s.wantOrder(recordedOf(got))
		c.ack(got...)
		s.untilSettled(g, at.Position)
	}},
	{"Deliver/TheLogFromItsEnd", func(s *groupScope) {
		s.mustAppend(s.stream("a"), command.NoStream, events(3))
		g := s.ofOwn(command.GroupSettings{FromEnd: true})
		after := events(2)
		s.mustAppend(s.stream("a"), command.At(2), after)
		s.wantDelivered(s.consume(g, 20).take(2), proposedIDs(after), 0)
	}},
	{"Deliver/FilteredByStreams", func(s *groupScope) {
		g := s.ofOwn(command.GroupSettings{})
		two := s.ensure(command.Group{Name: s.prefix + "two"}, command.GroupSettings{
			Filter: command.Filter{StreamPrefixes: []string{s.stream("order-"), s.stream("offer")}},
		})
		var all, some []uuid.UUID
		for i, stream := range []string{"order-1", "ordering", "offer", "offering", "shop-1", "order-2"} {
			e := events(1)
			s.mustAppend(s.stream(stream), command.NoStream, e)
			all = append(all, e[0].ID)
			if i != 1 && i != 4 {
				some = append(some, e[0].ID)
			}
		}
		s.wantDelivered(s.consume(g, 20).take(6), all, 0)
		s.wantDelivered(s.consume(two, 20).take(4), some, 0)
	}},
	{"Deliver/FilteredByTypes", func(s *groupScope) {
		placed, shipped := "Placed"+s.prefix, "Sh.pped"+s.prefix
		g := s.ofOwn(command.GroupSettings{Filter: command.Filter{Types: []string{placed, shipped}}})
		var want []uuid.UUID
		for i, typ := range []string{placed, placed + "Again", "Re" + placed, shipped, strings.Replace(shipped, ".", "i", 1), placed} {
			e := typed(typ, events(1))
			s.mustAppend(s.stream("a"), command.Any, e)
			if i == 0 || i == 3 || i == 5 {
				want = append(want, e[0].ID)
			}
		}
		s.wantDelivered(s.consume(g, 20).take(3), want, 0)
	}},
	{"Deliver/WhatIsFilteredOutIsSettled", func(s *groupScope) {
		g := s.ofOwn(command.GroupSettings{Filter: command.Filter{Types: []string{"Signal" + s.prefix}}})
		at := s.mustAppend(s.stream("a"), command.NoStream, events(5))
		s.untilSettled(g, at.Position)
	}},
	{"Deliver/NoEventOfASystemStream", func(s *groupScope) {
		// Making a group, parking an event and keeping a place write some.
		everything := s.ensure(command.Group{Name: s.prefix + "everything"}, command.GroupSettings{FromEnd: true})
		links := s.ensure(command.Group{Name: s.prefix + "links"}, command.GroupSettings{
			FromEnd: true, Filter: command.Filter{Types: []string{"$>", "$metadata", eventType}},
		})
		g := s.ofStream("a", command.GroupSettings{})
		s.mustAppend(s.stream("a"), command.NoStream, events(1))
		c := s.consume(g, 1)
		c.park(c.next(), "to have a system stream")
		s.parked(g, 1)
		marker := events(1)
		s.mustAppend(s.stream("b"), command.NoStream, marker)
		for _, g := range []command.Group{everything, links} {
			c := s.consume(g, 1)
			for d := c.next(); d.Event.ID != marker[0].ID; d = c.next() {
				if d.Event.Stream == "" || strings.HasPrefix(d.Event.Stream, "$") {
					s.Fatalf("group %s was given an event of stream %q", g, d.Event.Stream)
				}
				c.ack(d)
			}
		}
	}},
	{"Deliver/AtMostTheBuffer", func(s *groupScope) {
		wrote := events(6)
		s.mustAppend(s.stream("a"), command.NoStream, wrote)
		c := s.consume(s.ofStream("a", command.GroupSettings{}), 3)
		got := c.take(3)
		c.nothing()
		c.ack(got[1])
		got = append(got, c.next())
		c.nothing()
		c.retry(got[0])
		c.park(got[2], "to have room")
		again := c.next()
		if again.Event.ID == wrote[0].ID {
			again = c.next()
		}
		got = append(got, again)
		s.wantIDs("deliveries", recordedOf(got), proposedIDs(wrote[:5]))
	}},
	{"Deliver/InOrder", func(s *groupScope) {
		const n = 60
		g := s.ofStream("a", command.GroupSettings{Ordered: true})
		c := s.consume(g, 1)
		wrote := s.appendMany(s.stream("a"), n)
		for i, e := range wrote {
			d := c.next()
			for range i % 3 { // those that come again come before the rest
				c.retry(d)
				d = c.next()
			}
			if d.Event.ID != e.ID || d.Retries != i%3 {
				s.Fatalf("delivery %d is revision %d (retries %d)", i, d.Event.Revision, d.Retries)
			}
			c.ack(d)
		}
	}},
	{"Deliver/ToOneWhileItKeepsUp", func(s *groupScope) {
		const n = 20
		g := s.ofStream("a", command.GroupSettings{Ordered: true})
		consumers := []*groupConsumer{s.consume(g, n), s.consume(g, n)}
		s.appendMany(s.stream("a"), n)
		got := s.share(consumers, n)
		if len(got[0]) != 0 && len(got[1]) != 0 {
			s.Errorf("one consumer got %d, the other %d of %d events, both with room for all", len(got[0]), len(got[1]), n)
		}
	}},
	{"Deliver/Shared", func(s *groupScope) {
		const n, each = 40, 10
		g := s.ofStream("a", command.GroupSettings{})
		consumers := []*groupConsumer{s.consume(g, each), s.consume(g, each), s.consume(g, each), s.consume(g, each)}
		wrote := s.appendMany(s.stream("a"), n)
		var all []command.Delivery
		for i, got := range s.share(consumers, n) {
			if len(got) != each {
				s.Errorf("consumer %d got %d of %d events, want %d: each has room for so many", i, len(got), n, each)
			}
			all = append(all, got...)
		}
		s.wantDeliveredSomehow(all, proposedIDs(wrote))
	}},
	{"Deliver/GroupsDoNotShare", func(s *groupScope) {
		wrote := s.appendMany(s.stream("a"), 5)
		for _, name := range []string{"one", "two"} {
			g := s.ensure(command.Group{Stream: s.stream("a"), Name: name}, command.GroupSettings{})
			s.wantDelivered(s.consume(g, 20).take(5), proposedIDs(wrote), 0)
		}
	}},
	{"Deliver/ToManyGoroutines", func(s *groupScope) {
		const n, goroutines = 300, 8
		g := s.ofStream("a", command.GroupSettings{})
		wrote := s.appendMany(s.stream("a"), n)
		c := s.consume(g, 20)
		ctx, enough := context.WithCancel(s.ctx)
		defer enough()
		var mu sync.Mutex
		var got []command.Delivery
		var all sync.WaitGroup
		for range goroutines {
			all.Go(func() {
				for {
					d, err := c.consumer.Next(ctx)
					if errors.Is(err, context.Canceled) {
						return
					}
					if err == nil {
						err = c.consumer.Ack(d)
					}
					if err != nil {
						s.Error(err)
						return
					}
					mu.Lock()
					if got = append(got, d); len(got) == n {
						enough()
					}
					mu.Unlock()
				}
			})
		}
		all.Wait()
		s.wantDeliveredSomehow(got, proposedIDs(wrote))
		s.untilSettled(g, got[n-1].Event.Position)
	}},
}

// share takes n deliveries from consumers, whoever gets them.
func (s *groupScope) share(consumers []*groupConsumer, n int) [][]command.Delivery {
	s.Helper()
	ctx, enough := context.WithCancel(s.ctx)
	defer enough()
	got := make([][]command.Delivery, len(consumers))
	var mu sync.Mutex
	total := 0
	var all sync.WaitGroup
	for i, c := range consumers {
		all.Go(func() {
			for {
				d, err := c.consumer.Next(ctx)
				if err != nil {
					return
				}
				got[i] = append(got[i], d)
				mu.Lock()
				if total++; total == n {
					enough()
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if s.ctx.Err() != nil {
		s.Fatalf("%d deliveries came, want %d", total, n)
	}
	return got
}

// newest is the position of what was delivered last.
func newest(ds []command.Delivery) (at event.Position) {
	for _, d := range ds {
		if d.Event.Position.Compare(at) > 0 {
			at = d.Event.Position
		}
	}
	return at
}
