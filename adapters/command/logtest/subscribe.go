package logtest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/event"
)

var subscribing = []contract{
	{"Subscribe/FromTheStartOfTheLog", func(s *scope) {
		wrote := s.appendMany(s.stream("a"), 10)
		f := s.follow(s.ctx, event.Position{}, s.own())
		f.untilLive()
		f.wantEvents(proposedIDs(wrote))
	}},
	{"Subscribe/FromAPosition", func(s *scope) {
		first, second := events(4), events(6)
		at := s.mustAppend(s.stream("a"), command.NoStream, first)
		s.mustAppend(s.stream("b"), command.NoStream, second)
		f := s.follow(s.ctx, at.Position, s.own())
		f.untilLive()
		f.wantEvents(proposedIDs(second))
		s.wantSame(f.events[0], second[0])
		s.wantOrder(f.events)
	}},
	{"Subscribe/SaysLiveThoughNothingHappens", func(s *scope) {
		f := s.follow(s.ctx, s.mark(), s.own())
		f.untilLive()
		f.wantEvents(nil)
	}},
	{"Subscribe/Live", func(s *scope) {
		f := s.follow(s.ctx, s.mark(), s.own())
		f.untilLive()
		var wrote []uuid.UUID
		for i := range 20 {
			e := events(1 + i%3)
			s.mustAppend(s.stream(fmt.Sprint(i)), command.NoStream, e)
			wrote = append(wrote, proposedIDs(e)...)
			f.until(len(wrote))
			f.wantEvents(wrote)
		}
	}},
	{"Subscribe/LargePagesWhenBehind", func(s *scope) {
		const n, hundreds = 2000, 100
		mark := s.mark()
		wrote := s.appendMany(s.stream("a"), n)
		f := s.follow(s.ctx, mark, s.own())
		f.until(n)
		f.wantEvents(proposedIDs(wrote))
		if f.largest < hundreds {
			s.Errorf("%d events behind, the largest page had %d events, want hundreds", n, f.largest)
		}
	}},
	{"Subscribe/LiveOnlyAfterHistory", func(s *scope) {
		mark := s.mark()
		wrote := s.appendMany(s.stream("a"), 700)
		f := s.follow(s.ctx, mark, s.own())
		f.untilLive()
		f.wantEvents(proposedIDs(wrote)) // all of them, by the first live page
	}},
	{"Subscribe/NoGapNoDuplicateWhileOthersAppend", func(s *scope) {
		const writers, rounds, followers = 4, 60, 4
		mark := s.mark()
		var total int
		for i := range rounds {
			total += writers * (1 + i%3)
		}
		started := make(chan struct{}, writers*rounds) // a signal an append
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for i := range rounds {
					if _, err := s.log.Append(s.ctx, s.stream(fmt.Sprint(w)), command.Any, events(1+i%3)); err != nil {
						s.Errorf("append: %v", err)
						return
					}
					started <- struct{}{}
				}
			})
		}
		seen := make([]*follower, followers)
		for i := range seen {
			for range writers * rounds / (2 * followers) { // each begins later than the one before
				<-started
			}
			seen[i] = s.follow(s.ctx, mark, s.own())
			all.Go(func() { seen[i].tryUntil(total) })
		}
		all.Wait()
		if s.Failed() {
			return
		}
		want := idsOf(s.collect(s.log.ReadAll(s.ctx, command.Forwards, command.ReadFrom{After: mark}, s.own(), 0)))
		if len(want) != total {
			s.Fatalf("the log has %d of the test's events, want %d", len(want), total)
		}
		for _, f := range seen {
			f.wantEvents(want)
		}
	}},
	{"Subscribe/LastMovesPastWhatIsFilteredOut", func(s *scope) {
		mark := s.mark()
		at := s.mustAppend(s.stream("a"), command.NoStream, typed("Noise", events(300)))
		f := s.follow(s.ctx, mark, s.own("Signal"))
		f.untilLive()
		f.wantEvents(nil)
		if f.last.Compare(at.Position) < 0 {
			s.Errorf("everything up to %s was considered, but the live page says %s", at.Position, f.last)
		}
	}},
	{"Subscribe/ResumesAfterAnyPage", func(s *scope) {
		mark := s.mark()
		var wrote []uuid.UUID
		for i := range 6 {
			signal := typed("Signal", events(250))
			s.mustAppend(s.stream(fmt.Sprint(i)), command.NoStream, signal)
			s.mustAppend(s.stream(fmt.Sprint("noise", i)), command.NoStream, typed("Noise", events(40)))
			wrote = append(wrote, proposedIDs(signal)...)
		}
		f := s.follow(s.ctx, mark, s.own("Signal"))
		type place struct {
			after event.Position
			seen  int
		}
		var places []place
		for !f.live {
			f.page()
			places = append(places, place{f.last, len(f.events)})
		}
		f.wantEvents(wrote)
		for _, p := range places {
			again := s.follow(s.ctx, p.after, s.own("Signal"))
			again.untilLive()
			again.wantEvents(wrote[p.seen:])
			again.stop()
		}
	}},
	{"Subscribe/Filters", func(s *scope) {
		mark := s.mark()
		f := []*follower{}
		filters := []command.Filter{
			{StreamPrefixes: []string{s.stream("order-")}},
			{StreamPrefixes: []string{s.stream("order-1"), s.stream("offer")}},
			s.own("Placed"),
			s.own("Placed", "Shipped"),
			{StreamPrefixes: []string{s.stream("order-")}, Types: []string{"Shipped"}},
			{Types: []string{"Placed"}},
			{},
		}
		for _, filter := range filters {
			f = append(f, s.follow(s.ctx, mark, filter))
		}
		want := make([][]uuid.UUID, len(filters))
		for i := range 40 {
			stream := s.stream([]string{"order-1", "order-2", "offer-1"}[i%3])
			typ := []string{"Placed", "Shipped", "Place", "Lost"}[i%4]
			if i == 20 { // half as history, half live
				for _, f := range f[:5] {
					f.untilLive()
				}
			}
			e := typed(typ, events(1))
			s.mustAppend(stream, command.Any, e)
			for k, filter := range filters {
				if matches(filter, stream, typ) {
					want[k] = append(want[k], e[0].ID)
				}
			}
		}
		for k, f := range f {
			for len(s.ours(slices.Clone(f.events))) < len(want[k]) {
				f.page()
			}
			s.wantIDs(fmt.Sprintf("%+v", filters[k]), s.ours(f.events), want[k])
		}
	}},
	{"Subscribe/ShowsNoSystemStream", func(s *scope) {
		wrote := s.appendMany(s.stream("a"), 5)
		f := s.follow(s.ctx, event.Position{}, command.Filter{})
		f.untilLive()
		for _, r := range f.events {
			if strings.HasPrefix(r.Stream, "$") {
				s.Fatalf("shows an event of %s", r.Stream)
			}
		}
		s.wantIDs("the test's events", s.ours(f.events), proposedIDs(wrote))
	}},
	{"Subscribe/EndsWithItsContext", func(s *scope) {
		mark := s.mark()
		s.appendMany(s.stream("a"), 2000)
		for _, live := range []bool{true, false} {
			ctx, cancel := context.WithCancel(s.ctx)
			f := s.follow(ctx, mark, s.own())
			if f.page(); live {
				f.untilLive()
			}
			cancel()
			var err error
			for ok := true; ok && err == nil; {
				_, err, ok = f.next()
			}
			if !errors.Is(err, context.Canceled) {
				s.Errorf("live=%v: the subscription ended with %v, want context.Canceled", live, err)
			}
			if _, _, more := f.next(); more {
				s.Errorf("live=%v: the subscription went on after its error", live)
			}
		}
	}},
	{"Subscribe/SlowConsumerHoldsNobodyUpAndLosesNothing", func(s *scope) {
		f := s.follow(s.ctx, s.mark(), s.own())
		f.untilLive()
		// More than any buffer on the way holds, while nobody takes a page.
		const n, size = 3000, 4 << 10
		wrote := events(n)
		filler := strings.Repeat("x", size)
		for i := range wrote {
			wrote[i].Data = fmt.Appendf(nil, `{"filler":%q}`, filler)
		}
		for part := range slices.Chunk(wrote, 100) {
			s.mustAppend(s.stream("a"), command.Any, part)
		}
		f.until(n)
		f.wantEvents(proposedIDs(wrote))
	}},
	{"Subscribe/StopsWhenTheLoopDoes", func(s *scope) {
		mark := s.mark()
		wrote := s.appendMany(s.stream("a"), 600)
		for range 20 {
			for page, err := range s.log.Subscribe(s.ctx, mark, s.own()) {
				if err != nil {
					s.Fatal(err)
				}
				if len(page.Events) > 0 {
					s.wantIDs("the first event", page.Events[:1], proposedIDs(wrote[:1]))
					break
				}
			}
		}
	}},
	{"Subscribe/ManyAtOnce", func(s *scope) {
		mark := s.mark()
		followers := make([]*follower, 20)
		for i := range followers {
			followers[i] = s.follow(s.ctx, mark, s.own())
			followers[i].untilLive()
		}
		wrote := s.appendMany(s.stream("a"), 30)
		for _, f := range followers {
			f.until(len(wrote))
			f.wantEvents(proposedIDs(wrote))
		}
	}},
}

// follower is a subscription whose every page is checked.
type follower struct {
	*scope
	next    func() (command.Page, error, bool)
	stop    func()
	events  []event.Recorded
	last    event.Position
	live    bool
	largest int
}

func (s *scope) follow(ctx context.Context, after event.Position, filter command.Filter) *follower {
	next, stop := iter.Pull2(s.log.Subscribe(ctx, after, filter))
	s.Cleanup(stop)
	return &follower{scope: s, next: next, stop: stop, last: after}
}

// try takes one page and says what is wrong with it.
func (f *follower) try() error {
	p, err, ok := f.next()
	switch {
	case err != nil:
		return fmt.Errorf("the subscription ended after %d events: %w", len(f.events), err)
	case !ok:
		return fmt.Errorf("the subscription ended after %d events, without an error", len(f.events))
	case len(p.Events) > command.MaxPageEvents:
		return fmt.Errorf("a page has %d events, more than %d", len(p.Events), command.MaxPageEvents)
	case f.live && !p.Live:
		return errors.New("a page is not live though one before it was")
	case p.Last.Compare(f.last) < 0:
		return fmt.Errorf("a page goes back from %s to %s", f.last, p.Last)
	}
	before := f.last
	for _, r := range p.Events {
		if r.Position.Compare(before) <= 0 {
			return fmt.Errorf("an event at %s comes after %s", r.Position, before)
		}
		before = r.Position
	}
	if p.Last.Compare(before) < 0 {
		return fmt.Errorf("a page whose last event is at %s says it ends at %s", before, p.Last)
	}
	f.events = append(f.events, p.Events...)
	f.last, f.live, f.largest = p.Last, p.Live, max(f.largest, len(p.Events))
	return nil
}

func (f *follower) page() {
	f.Helper()
	if err := f.try(); err != nil {
		f.Fatal(err)
	}
}

func (f *follower) untilLive() {
	f.Helper()
	for !f.live {
		f.page()
	}
}

// until takes pages until n events have come.
func (f *follower) until(n int) {
	f.Helper()
	for len(f.events) < n {
		f.page()
	}
}

// tryUntil is until for goroutines that are not the test's own.
func (f *follower) tryUntil(n int) {
	for len(f.events) < n {
		if err := f.try(); err != nil {
			f.Error(err)
			return
		}
	}
}

func (f *follower) wantEvents(want []uuid.UUID) {
	f.Helper()
	f.wantIDs("the subscription", f.events, want)
}
