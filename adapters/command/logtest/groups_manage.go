package logtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kicau/adapters/command"
)

// What is parked, and what can be done about it.
var parking = []groupContract{
	{"Park/WithItsReason", func(s *groupScope) {
		before := time.Now().Add(-time.Minute) // clocks of others
		wrote := s.appendMany(s.stream("a"), 4)
		for _, g := range []command.Group{s.ofStream("a", command.GroupSettings{}), s.ofOwn(command.GroupSettings{})} {
			c := s.consume(g, 1)
			reasons := []string{"", "the business forbids it", `tricky "\ue000" reason` + "\nof two lines"}
			for _, reason := range reasons {
				d := c.next()
				c.park(d, reason)
			}
			d := c.next()
			c.ack(d)
			s.untilSettled(g, d.Event.Position)
			for i, p := range s.parked(g, 3) {
				s.wantSame(p.Event, wrote[i])
				if p.Event.Stream != s.stream("a") || p.Event.Revision != uint64(i) {
					s.Errorf("parked event is %s revision %d", p.Event.Stream, p.Event.Revision)
				}
				if !strings.Contains(p.Reason, reasons[i]) {
					s.Errorf("the reason is %q, want %q", p.Reason, reasons[i])
				}
				if p.At.Before(before) || p.At.After(time.Now().Add(time.Minute)) || p.At.Location() != time.UTC {
					s.Errorf("parked at %v, want now, in UTC", p.At)
				}
			}
			c.nothing()
		}
	}},
	{"Park/AfterTheRetries", func(s *groupScope) {
		wrote := s.appendMany(s.stream("a"), 2)
		g := s.ofStream("a", command.GroupSettings{MaxRetries: 2, Ordered: true})
		c := s.consume(g, 1)
		for n := range 3 {
			d := c.next()
			s.wantDelivered([]command.Delivery{d}, proposedIDs(wrote[:1]), n)
			c.retry(d)
		}
		s.wantDelivered(c.take(1), proposedIDs(wrote[1:]), 0)
		if p := s.parked(g, 1); p[0].Event.ID != wrote[0].ID || p[0].Reason == "" {
			s.Errorf("parked %+v, want event %s with a reason", p[0], wrote[0].ID)
		}
	}},
	{"Park/AfterTheRetriesWithoutAnAnswer", func(s *groupScope) {
		wrote := s.appendMany(s.stream("a"), 2)
		g := s.ofStream("a", command.GroupSettings{MaxRetries: 1, MessageTimeout: soon, Ordered: true})
		c := s.consume(g, 1)
		s.wantDelivered(c.take(1), proposedIDs(wrote[:1]), 0)
		s.wantDelivered(c.take(1), proposedIDs(wrote[:1]), 1)
		s.wantDelivered(c.take(1), proposedIDs(wrote[1:]), 0)
		s.parked(g, 1)
	}},
	{"Park/NothingYet", func(s *groupScope) {
		g := s.ofStream("a", command.GroupSettings{})
		s.parked(g, 0)
		if err := s.Groups.ReplayParked(s.ctx, g); err != nil {
			s.Errorf("replay nothing: %v", err)
		}
	}},
	{"Park/ReplayAll", func(s *groupScope) {
		wrote := s.appendMany(s.stream("a"), 5)
		for _, g := range []command.Group{s.ofStream("a", command.GroupSettings{}), s.ofOwn(command.GroupSettings{})} {
			c := s.consume(g, 20)
			got := c.take(5)
			for _, d := range got {
				c.park(d, "for now")
			}
			s.parked(g, 5)
			if err := s.Groups.ReplayParked(s.ctx, g); err != nil {
				s.Fatal(err)
			}
			again := c.take(5)
			s.wantDeliveredSomehow(again, proposedIDs(wrote))
			c.ack(again[1:]...)
			c.park(again[0], "for good")
			s.until(g, "one to be parked", func(i command.GroupInfo) bool { return i.Parked == 1 && i.Unsettled == 0 })
			if p := s.parked(g, 1); p[0].Event.ID != again[0].Event.ID || !strings.Contains(p[0].Reason, "for good") {
				s.Errorf("parked %+v, want event %s for good", p[0], again[0].Event.ID)
			}
			s.untilSettled(g, newest(got))
		}
	}},
	{"Park/ReplayedGoesBeforeTheRest", func(s *groupScope) {
		wrote := s.appendMany(s.stream("a"), 3)
		g := s.ofStream("a", command.GroupSettings{Ordered: true})
		c := s.consume(g, 1)
		c.park(c.next(), "for now")
		second := c.next()
		s.parked(g, 1)
		if err := s.Groups.ReplayParked(s.ctx, g); err != nil {
			s.Fatal(err)
		}
		s.until(g, "the replay", func(i command.GroupInfo) bool { return i.Unsettled == 3 })
		c.ack(second)
		s.wantIDs("then", recordedOf(c.take(1)), proposedIDs(wrote[:1]))
	}},
	{"Park/ByNumber", func(s *groupScope) {
		wrote := s.appendMany(s.stream("a"), 6)
		g := s.ofStream("a", command.GroupSettings{})
		c := s.consume(g, 20)
		for _, d := range c.take(6) {
			c.park(d, "for now")
		}
		p := s.parked(g, 6)
		replay, drop := s.Groups.ReplayParked(s.ctx, g, p[1].Number, p[4].Number), s.Groups.DropParked(s.ctx, g, p[0].Number, p[3].Number)
		if !s.ByNumber {
			if !errors.Is(replay, command.ErrNotSupported) || !errors.Is(drop, command.ErrNotSupported) {
				s.Errorf("replay: %v, drop: %v; want command.ErrNotSupported", replay, drop)
			}
			return
		}
		if replay != nil || drop != nil {
			s.Fatalf("replay: %v, drop: %v", replay, drop)
		}
		again := c.take(2)
		s.wantDeliveredSomehow(again, proposedIDs(wrote[1:2], wrote[4:5]))
		c.ack(again...)
		left := s.parked(g, 2)
		if left[0].Number != p[2].Number || left[1].Number != p[5].Number || left[0].Event.ID != wrote[2].ID || left[1].Event.ID != wrote[5].ID {
			s.Errorf("left are %+v and %+v", left[0], left[1])
		}
		if err := s.Groups.DropParked(s.ctx, g); err != nil {
			s.Errorf("drop nothing: %v", err)
		}
		for _, n := range []uint64{p[0].Number, p[4].Number, p[5].Number + 1} {
			if s.Groups.ReplayParked(s.ctx, g, n) == nil || s.Groups.DropParked(s.ctx, g, n) == nil {
				s.Errorf("event %d is not parked, yet it can be replayed or dropped", n)
			}
		}
		c.nothing()
	}},
}

// Making groups, deleting them, asking about them.
var managing = []groupContract{
	{"Manage/ThereAlreadyStaysAsItIs", func(s *groupScope) {
		wrote := s.appendMany(s.stream("a"), 3)
		s.mustAppend(s.stream("b"), command.NoStream, events(2))
		for i, settings := range []command.GroupSettings{
			{Filter: command.Filter{StreamPrefixes: []string{s.stream("a")}}},
			{FromEnd: true},
			{Filter: command.Filter{StreamPrefixes: []string{s.stream("b")}}, MaxRetries: 1},
		} {
			g := s.ensure(command.Group{Name: s.prefix + "group"}, settings)
			c := s.consume(g, 20)
			got := c.take(3)
			s.wantDelivered(got, proposedIDs(wrote), i)
			c.close()
			s.until(g, "the consumer to be gone", func(i command.GroupInfo) bool { return i.Consumers == 0 })
		}
	}},
	{"Manage/Settings", func(s *groupScope) {
		both := command.Filter{StreamPrefixes: []string{"a"}, Types: []string{"b"}}
		if err := s.Groups.EnsureGroup(s.ctx, command.Group{Name: s.prefix + "both"}, command.GroupSettings{Filter: both}); err == nil {
			s.Error("a group filters by streams and types")
		}
		if err := s.Groups.EnsureGroup(s.ctx, command.Group{Stream: s.stream("a"), Name: "filtered"}, command.GroupSettings{Filter: s.own()}); err == nil {
			s.Error("a group of a stream has a filter")
		}
	}},
	{"Manage/Info", func(s *groupScope) {
		s.appendMany(s.stream("a"), 3)
		for _, g := range []command.Group{s.ofStream("a", command.GroupSettings{}), s.ofOwn(command.GroupSettings{})} {
			at := s.mustAppend(s.stream("a"), command.Any, events(1))
			c := s.consume(g, 2)
			got := c.take(2)
			total := s.info(g).Unsettled // the second group finds one event more
			s.until(g, "a consumer and unsettled events", func(i command.GroupInfo) bool {
				total = i.Unsettled
				return i.Consumers == 1 && i.Unsettled >= 4 && i.Seen.Compare(at.Position) >= 0
			})
			if i := s.info(g); i.Settled(at.Position) || i.Parked != 0 {
				s.Errorf("with deliveries unanswered: %+v", i)
			}
			for n := total; n > 0; n-- {
				c.ack(got[0])
				s.until(g, fmt.Sprint(n-1, " unsettled events"), func(i command.GroupInfo) bool { return i.Unsettled == n-1 })
				if got = got[1:]; n > 2 {
					got = append(got, c.next())
				}
			}
			s.untilSettled(g, at.Position)
			other := s.consume(g, 2)
			s.until(g, "two consumers", func(i command.GroupInfo) bool { return i.Consumers == 2 })
			other.close()
			c.close()
			s.until(g, "no consumer", func(i command.GroupInfo) bool { return i.Consumers == 0 })
			more := s.mustAppend(s.stream("a"), command.Any, events(1))
			if s.info(g).Settled(more.Position) {
				s.Error("an event that nobody was given is settled")
			}
		}
	}},
	{"Manage/Deleted", func(s *groupScope) {
		for _, g := range []command.Group{s.ofStream("a", command.GroupSettings{}), s.ofOwn(command.GroupSettings{})} {
			wrote := s.appendMany(s.stream("a"), 3)
			first, second := s.consume(g, 1), s.consume(g, 1)
			d := first.next()
			first.park(d, "to be forgotten")
			s.parked(g, 1)
			ended := make(chan error, 2)
			for _, c := range []*groupConsumer{first, second} {
				go func() {
					for {
						if _, err := c.consumer.Next(s.ctx); err != nil {
							ended <- err
							return
						}
					}
				}()
			}
			if err := s.Groups.DeleteGroup(s.ctx, g); err != nil {
				s.Fatal(err)
			}
			for range 2 {
				if err := <-ended; !errors.Is(err, command.ErrNoGroup) {
					s.Errorf("a consumer ended with %v, want command.ErrNoGroup", err)
				}
			}
			s.wantNoGroup(g)
			// Made again, it begins anew.
			if g.Stream == "" {
				s.ofOwn(command.GroupSettings{})
			} else {
				s.ofStream("a", command.GroupSettings{})
			}
			s.parked(g, 0)
			got := s.consume(g, 20).take(3)
			if !slices.Contains(idsOf(recordedOf(got)), wrote[0].ID) && g.Stream != "" {
				s.Errorf("made again, the group was given %v first", idsOf(recordedOf(got)))
			}
			s.wantDelivered(got, idsOf(s.wholeStream(s.stream("a")))[:3], 0)
		}
	}},
	{"Manage/NotThere", func(s *groupScope) {
		s.mustAppend(s.stream("a"), command.NoStream, events(1))
		s.wantNoGroup(command.Group{Stream: s.stream("a"), Name: "missing"})
		s.wantNoGroup(command.Group{Name: s.prefix + "missing"})
	}},
}

// wantNoGroup tries everything that needs a group.
func (s *groupScope) wantNoGroup(g command.Group) {
	s.Helper()
	_, consume := s.Groups.Consume(s.ctx, g, 1)
	_, info := s.Groups.GroupInfo(s.ctx, g)
	var parked error
	for _, err := range s.Groups.Parked(s.ctx, g) {
		parked = err
	}
	for what, err := range map[string]error{
		"consume": consume, "ask about": info, "list the parked events of": parked,
		"replay the parked events of": s.Groups.ReplayParked(s.ctx, g), "delete": s.Groups.DeleteGroup(s.ctx, g),
	} {
		if !errors.Is(err, command.ErrNoGroup) {
			s.Errorf("%s a group that is not there: got %v, want command.ErrNoGroup", what, err)
		}
	}
}
