package logtest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"kicau/adapters/command"
)

// What an answer does, and what none.
var answering = []groupContract{
	{"Answer/AckedDoesNotComeAgain", func(s *groupScope) {
		wrote := s.appendMany(s.stream("a"), 5)
		g := s.ofStream("a", command.GroupSettings{})
		first := s.consume(g, 20)
		got := first.take(5)
		first.ack(got[0], got[2], got[4])
		s.until(g, "two to be unsettled", func(i command.GroupInfo) bool { return i.Unsettled == 2 })
		first.close()
		second := s.consume(g, 20)
		left := second.take(2)
		s.wantDelivered(left, proposedIDs(wrote[1:2], wrote[3:4]), 1)
		second.nothing()
		second.ack(left...)
		s.untilSettled(g, newest(got))
	}},
	{"Answer/RetriedComesAgainAtOnce", func(s *groupScope) {
		wrote := s.appendMany(s.stream("a"), 1)
		g := s.ofStream("a", command.GroupSettings{})
		c := s.consume(g, 5)
		for n := range 20 {
			d := c.next()
			s.wantDelivered([]command.Delivery{d}, proposedIDs(wrote), n)
			c.retry(d)
		}
		d := c.next()
		c.ack(d)
		s.untilSettled(g, d.Event.Position)
	}},
	{"Answer/NoneComesAgainAfterItsTime", func(s *groupScope) {
		wrote := s.appendMany(s.stream("a"), 2)
		g := s.ofStream("a", command.GroupSettings{MessageTimeout: soon})
		c := s.consume(g, 1)
		first := c.next()
		again := c.next()
		s.wantDelivered([]command.Delivery{first}, proposedIDs(wrote[:1]), 0)
		s.wantDelivered([]command.Delivery{again}, proposedIDs(wrote[:1]), 1)
	}},
	{"Answer/NoneComesToAnotherWhenItsConsumerCloses", func(s *groupScope) {
		wrote := s.appendMany(s.stream("a"), 6)
		g := s.ofStream("a", command.GroupSettings{MessageTimeout: time.Hour})
		first := s.consume(g, 4)
		got := first.take(3) // and one more is on its way
		s.until(g, "four to be given", func(i command.GroupInfo) bool { return i.Unsettled == 6 && i.Consumers == 1 })
		first.ack(got[0])
		s.until(g, "the ack", func(i command.GroupInfo) bool { return i.Unsettled == 5 })
		first.close()
		s.until(g, "the consumer to be gone", func(i command.GroupInfo) bool { return i.Consumers == 0 })
		second := s.consume(g, 20)
		got = second.take(5)
		s.wantDeliveredSomehow(got, proposedIDs(wrote[1:]))
		for _, d := range got[:2] {
			if d.Retries != 1 {
				s.Errorf("event %d came with %d retries, want 1", d.Event.Revision, d.Retries)
			}
		}
		second.nothing()
	}},
	{"Answer/WhatWasSaidBeforeClosingStands", func(s *groupScope) {
		wrote := s.appendMany(s.stream("a"), 30)
		g := s.ofStream("a", command.GroupSettings{MessageTimeout: time.Hour})
		c := s.consume(g, 20)
		got := c.take(20)
		c.park(got[0], "before closing")
		c.ack(got[1:]...)
		s.until(g, "the answers", func(i command.GroupInfo) bool { return i.Parked == 1 })
		c.close()
		s.wantDeliveredSomehow(s.consume(g, 20).take(10), proposedIDs(wrote[20:]))
	}},
	{"Answer/ClosedConsumer", func(s *groupScope) {
		s.appendMany(s.stream("a"), 2)
		c := s.consume(s.ofStream("a", command.GroupSettings{}), 1)
		c.next()
		waiting := make(chan error, 1)
		go func() {
			_, err := c.consumer.Next(s.ctx)
			waiting <- err
		}()
		c.nothing() // so that the other waits too
		c.close()
		if err := <-waiting; err == nil || s.ctx.Err() != nil {
			s.Errorf("Next that waited when the consumer was closed: got %v, want an error at once", err)
		}
		if _, err := c.consumer.Next(s.ctx); err == nil || s.ctx.Err() != nil {
			s.Errorf("Next of a closed consumer: got %v, want an error at once", err)
		}
		c.close()
	}},
	{"Answer/NextEndsWithItsContext", func(s *groupScope) {
		c := s.consume(s.ofStream("a", command.GroupSettings{}), 1)
		ctx, cancel := context.WithCancel(s.ctx)
		time.AfterFunc(askEvery, cancel)
		if _, err := c.consumer.Next(ctx); !errors.Is(err, context.Canceled) {
			s.Errorf("got %v, want context.Canceled", err)
		}
		wrote := s.appendMany(s.stream("a"), 1)
		s.wantDelivered(c.take(1), proposedIDs(wrote), 0) // as good as before
	}},
	{"Answer/TheContextOfConsumeBoundsOnlyTheConnecting", func(s *groupScope) {
		g := s.ofStream("a", command.GroupSettings{})
		ctx, cancel := context.WithCancel(s.ctx)
		inner, err := s.Groups.Consume(ctx, g, 1)
		if err != nil {
			s.Fatal(err)
		}
		defer inner.Close()
		cancel()
		c := &groupConsumer{s, g, inner}
		wrote := s.appendMany(s.stream("a"), 2)
		for _, e := range wrote {
			d := c.next()
			s.wantDelivered([]command.Delivery{d}, []uuid.UUID{e.ID}, 0)
			c.ack(d)
		}
	}},
	{"Answer/NothingIsLost", func(s *groupScope) {
		rapid.Check(s.T, func(t *rapid.T) {
			ctx, cancel := context.WithTimeout(s.Context(), patience)
			defer cancel()
			s.ctx = ctx
			s.lossless(t)
		})
	}},
	{"Answer/PlaceSurvivesARestart", func(s *groupScope) {
		if s.Restart == nil {
			return
		}
		wrote := s.appendMany(s.stream("a"), 20)
		groups := []command.Group{s.ofStream("a", command.GroupSettings{}), s.ofOwn(command.GroupSettings{})}
		fromEnd := s.ofStream("late", command.GroupSettings{FromEnd: true})
		for _, g := range groups {
			c := s.consume(g, 15)
			got := c.take(15)
			c.park(got[0], "before the restart")
			c.ack(got[1:12]...)
			s.until(g, "the answers", func(i command.GroupInfo) bool { return i.Unsettled == 8 && i.Parked == 1 })
		}
		s.log, s.Groups = s.Restart()
		for _, g := range groups {
			c := s.consume(g, 20)
			got := c.take(8)
			s.wantIDs("after the restart", recordedOf(got), proposedIDs(wrote[12:]))
			c.ack(got...)
			s.untilSettled(g, newest(got))
			if p := s.parked(g, 1); p[0].Event.ID != wrote[0].ID {
				s.Errorf("event %s is parked, want %s", p[0].Event.ID, wrote[0].ID)
			}
		}
		late := events(1)
		s.mustAppend(s.stream("late"), command.NoStream, late)
		s.wantDelivered(s.consume(fromEnd, 1).take(1), proposedIDs(late), 0)
	}},
}

// lossless does this and that with a group for a while. In the end every event
// was acked or is parked.
func (s *groupScope) lossless(t *rapid.T) {
	id := uuid.NewString()
	stream := s.stream(id)
	g := command.Group{Stream: stream, Name: "group"}
	settings := command.GroupSettings{
		Ordered:    rapid.Bool().Draw(t, "ordered"),
		MaxRetries: rapid.SampledFrom([]int{0, 2}).Draw(t, "max retries"),
	}
	if rapid.Bool().Draw(t, "whole log") {
		g.Stream, g.Name, settings.Filter = "", id, command.Filter{StreamPrefixes: []string{stream}}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.Groups.EnsureGroup(s.ctx, g, settings))
	type held struct {
		by command.Consumer
		d  command.Delivery
	}
	var wrote, dealtWith []uuid.UUID
	var consumers []command.Consumer
	var holding []held
	var last command.Appended
	defer func() {
		for _, c := range consumers {
			c.Close()
		}
	}()
	write := func(t *rapid.T) {
		e := events(rapid.IntRange(1, 4).Draw(t, "events"))
		var err error
		last, err = s.log.Append(s.ctx, stream, command.Any, e)
		must(err)
		wrote = append(wrote, proposedIDs(e)...)
	}
	write(t)
	some := func(what string, n int) int {
		if n == 0 {
			t.Skip("no", what)
		}
		return rapid.IntRange(0, n-1).Draw(t, what)
	}
	give := func() held {
		i := some("delivery", len(holding))
		h := holding[i]
		holding = slices.Delete(holding, i, i+1)
		return h
	}
	t.Repeat(map[string]func(*rapid.T){
		"append": write,
		"consume": func(t *rapid.T) {
			if len(consumers) == 3 {
				t.Skip("enough consumers")
			}
			c, err := s.Groups.Consume(s.ctx, g, rapid.IntRange(1, 4).Draw(t, "buffer"))
			must(err)
			consumers = append(consumers, c)
		},
		"next": func(t *rapid.T) {
			c := consumers[some("consumer", len(consumers))]
			ctx, cancel := context.WithTimeout(s.ctx, time.Millisecond)
			defer cancel()
			if d, err := c.Next(ctx); err == nil {
				holding = append(holding, held{c, d})
			} else if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
		},
		"ack": func(t *rapid.T) {
			h := give()
			must(h.by.Ack(h.d))
			dealtWith = append(dealtWith, h.d.Event.ID)
		},
		"retry": func(t *rapid.T) {
			h := give()
			must(h.by.Retry(h.d, "again"))
		},
		"park": func(t *rapid.T) {
			h := give()
			must(h.by.Park(h.d, "poison"))
		},
		"close": func(t *rapid.T) {
			i := some("consumer", len(consumers))
			c := consumers[i]
			consumers = slices.Delete(consumers, i, i+1)
			must(c.Close())
			holding = slices.DeleteFunc(holding, func(h held) bool { return h.by == c })
		},
	})
	for _, c := range consumers {
		must(c.Close())
	}
	consumers = nil
	dealtWith = append(dealtWith, s.drain(t, g, last)...)
	for p, err := range s.Groups.Parked(s.ctx, g) {
		must(err)
		dealtWith = append(dealtWith, p.Event.ID)
	}
	for _, id := range wrote {
		if !slices.Contains(dealtWith, id) {
			t.Fatalf("event %s was neither acked nor parked", id)
		}
	}
	must(s.Groups.DeleteGroup(s.ctx, g))
}

// drain acks what a group still has.
func (s *groupScope) drain(t *rapid.T, g command.Group, last command.Appended) (acked []uuid.UUID) {
	c, err := s.Groups.Consume(s.ctx, g, 16)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for {
		ctx, cancel := context.WithTimeout(s.ctx, askEvery)
		d, err := c.Next(ctx)
		cancel()
		if err == nil {
			if err := c.Ack(d); err != nil {
				t.Fatal(err)
			}
			acked = append(acked, d.Event.ID)
			continue
		}
		if !errors.Is(err, context.DeadlineExceeded) || s.ctx.Err() != nil {
			t.Fatal(err)
		}
		i, err := s.Groups.GroupInfo(s.ctx, g)
		if err != nil {
			t.Fatal(err)
		}
		if i.Settled(last.Position) {
			return acked
		}
	}
}
