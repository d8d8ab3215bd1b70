package logtest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/event"
)

var reading = []contract{
	{"ReadStream/BothWays", func(s *scope) {
		stream := s.stream("a")
		const n = 100
		wrote := events(n)
		s.mustAppend(stream, command.NoStream, wrote[:60])
		s.mustAppend(stream, command.At(59), wrote[60:])
		s.mustAppend(s.stream("another"), command.NoStream, events(3))
		ids := proposedIDs(wrote)
		back := slices.Clone(ids)
		slices.Reverse(back)
		const end = math.MaxUint64
		for _, c := range []struct {
			dir  command.Direction
			from uint64
			max  int
			want []uuid.UUID
		}{
			{command.Forwards, 0, 0, ids},
			{command.Forwards, 0, n, ids},
			{command.Forwards, 0, n + 1, ids},
			{command.Forwards, 0, 1, ids[:1]},
			{command.Forwards, 42, 0, ids[42:]},
			{command.Forwards, 42, 20, ids[42:62]},
			{command.Forwards, n - 1, 0, ids[n-1:]},
			{command.Forwards, n, 0, nil},
			{command.Forwards, n + 1000, 5, nil},
			{command.Backwards, end, 0, back},
			{command.Backwards, end, 1, back[:1]},
			{command.Backwards, end, n + 1, back},
			{command.Backwards, n - 1, 3, back[:3]},
			{command.Backwards, 42, 0, back[n-43:]},
			{command.Backwards, 42, 2, back[n-43 : n-41]},
			{command.Backwards, 0, 0, back[n-1:]},
		} {
			got := s.collect(s.log.ReadStream(s.ctx, stream, c.dir, c.from, c.max))
			s.wantIDs(fmt.Sprintf("backwards=%v from %d, at most %d", c.dir, c.from, c.max), got, c.want)
		}
		got := s.wholeStream(stream)
		s.wantOrder(got)
		for i, r := range got {
			s.wantSame(r, wrote[i])
			if r.Revision != uint64(i) || r.Stream != stream {
				s.Errorf("event %d is revision %d of %s", i, r.Revision, r.Stream)
			}
		}
	}},
	{"ReadStream/MissingYieldsNothing", func(s *scope) {
		for _, dir := range []command.Direction{command.Forwards, command.Backwards} {
			for _, from := range []uint64{0, 7, math.MaxUint64} {
				s.wantIDs("a missing stream", s.collect(s.log.ReadStream(s.ctx, s.stream("missing"), dir, from, 0)), nil)
			}
		}
	}},
	{"Read/StopsWhenTheLoopDoes", func(s *scope) {
		stream := s.stream("a")
		start := s.mark()
		wrote := proposedIDs(s.appendMany(stream, 300))
		for range 50 {
			s.wantIDs("the first three of a stream", take(s, s.log.ReadStream(s.ctx, stream, command.Forwards, 0, 0), 3), wrote[:3])
			s.wantIDs("the first three of all", take(s, s.log.ReadAll(s.ctx, command.Forwards, command.ReadFrom{After: start}, s.own(), 0), 3), wrote[:3])
		}
	}},
	{"Read/EndsWithItsContext", func(s *scope) {
		stream := s.stream("a")
		s.appendMany(stream, 10)
		ctx, cancel := context.WithCancel(s.ctx)
		cancel()
		for name, read := range map[string]iter.Seq2[event.Recorded, error]{
			"ReadStream": s.log.ReadStream(ctx, stream, command.Forwards, 0, 0),
			"ReadAll":    s.log.ReadAll(ctx, command.Forwards, command.ReadFrom{}, s.own(), 0),
		} {
			var errs []error
			for _, err := range read {
				if err != nil {
					errs = append(errs, err)
				}
			}
			if len(errs) != 1 || !errors.Is(errs[0], context.Canceled) {
				s.Errorf("%s with a cancelled context: got errors %v, want one, context.Canceled", name, errs)
			}
		}
	}},
	{"ReadAll/BothWays", func(s *scope) {
		before := s.mark()
		var wrote []uuid.UUID
		for i := range 40 {
			e := events(1 + i%3)
			s.mustAppend(s.stream(fmt.Sprint("s", i%7)), command.Any, e)
			wrote = append(wrote, proposedIDs(e)...)
		}
		all := s.collect(s.log.ReadAll(s.ctx, command.Forwards, command.ReadFrom{After: before}, s.own(), 0))
		s.wantIDs("all after the mark", all, wrote)
		s.wantOrder(all)
		back := slices.Clone(wrote)
		slices.Reverse(back)
		mid, n := all[25].Position, len(wrote)
		for _, c := range []struct {
			name string
			dir  command.Direction
			from command.ReadFrom
			max  int
			want []uuid.UUID
		}{
			{"after the middle", command.Forwards, command.ReadFrom{After: mid}, 0, wrote[26:]},
			{"three after the middle", command.Forwards, command.ReadFrom{After: mid}, 3, wrote[26:29]},
			{"after the last", command.Forwards, command.ReadFrom{After: all[n-1].Position}, 0, nil},
			{"the last five", command.Backwards, command.ReadFrom{}, 5, back[:5]},
			{"ten before the middle", command.Backwards, command.ReadFrom{Before: mid}, 10, back[n-25 : n-15]},
			{"one before the last", command.Backwards, command.ReadFrom{Before: all[n-1].Position}, 1, back[1:2]},
		} {
			s.wantIDs(c.name, s.collect(s.log.ReadAll(s.ctx, c.dir, c.from, s.own(), c.max)), c.want)
		}
	}},
	{"ReadAll/FromTheStartOfTheLog", func(s *scope) {
		wrote := s.appendMany(s.stream("a"), 20)
		got := s.collect(s.log.ReadAll(s.ctx, command.Forwards, command.ReadFrom{}, s.own(), 0))
		s.wantIDs("from the zero position", got, proposedIDs(wrote))
		got = s.collect(s.log.ReadAll(s.ctx, command.Backwards, command.ReadFrom{}, s.own(), len(wrote)))
		slices.Reverse(got)
		s.wantIDs("from the end", got, proposedIDs(wrote))
	}},
	{"ReadAll/SeesWhatWasAppended", func(s *scope) {
		at := s.mark()
		for i := range 30 {
			e := events(1)
			next := s.mustAppend(s.stream(fmt.Sprint(i)), command.NoStream, e)
			s.wantIDs("just appended", s.collect(s.log.ReadAll(s.ctx, command.Forwards, command.ReadFrom{After: at}, s.own(), 0)), proposedIDs(e))
			s.wantIDs("just appended, backwards", s.collect(s.log.ReadAll(s.ctx, command.Backwards, command.ReadFrom{}, s.own(), 1)), proposedIDs(e))
			at = next.Position
		}
	}},
	{"ReadAll/Filters", func(s *scope) {
		mark := s.mark()
		type key struct{ stream, typ string }
		streams := []string{"order-1", "order-2", "offer-1", "ordering"}
		types := []string{"Placed", "Shipped", "Place"}
		where := map[uuid.UUID]key{}
		var wrote []uuid.UUID
		for i := range 60 {
			k := key{streams[i%4], types[i%3]}
			e := typed(k.typ, events(1))
			s.mustAppend(s.stream(k.stream), command.Any, e)
			where[e[0].ID] = k
			wrote = append(wrote, e[0].ID)
		}
		p := func(names ...string) []string {
			for i := range names {
				names[i] = s.stream(names[i])
			}
			return names
		}
		for _, f := range []command.Filter{
			{StreamPrefixes: p("order-")},
			{StreamPrefixes: p("order")},
			{StreamPrefixes: p("order-1", "offer-")},
			{StreamPrefixes: p("nothing")},
			{StreamPrefixes: p(""), Types: []string{"Placed"}},
			{StreamPrefixes: p(""), Types: []string{"Place", "Shipped"}},
			{StreamPrefixes: p("order-"), Types: []string{"Shipped"}},
			{StreamPrefixes: p("order-"), Types: []string{"Ship"}},
			{Types: []string{"Placed"}},
			{},
		} {
			var want []uuid.UUID
			for _, id := range wrote {
				k := where[id]
				if matches(f, s.stream(k.stream), k.typ) {
					want = append(want, id)
				}
			}
			got := s.collect(s.log.ReadAll(s.ctx, command.Forwards, command.ReadFrom{After: mark}, f, 0))
			s.wantIDs(fmt.Sprintf("%+v", f), s.ours(got), want)
			if len(f.StreamPrefixes) == 0 || len(want) == 0 {
				continue // backwards, others' events may be without end
			}
			got = s.collect(s.log.ReadAll(s.ctx, command.Backwards, command.ReadFrom{}, f, len(want)))
			slices.Reverse(got)
			s.wantIDs(fmt.Sprintf("%+v, backwards", f), got, want)
			if max := len(want) / 2; max > 0 {
				got = s.collect(s.log.ReadAll(s.ctx, command.Forwards, command.ReadFrom{After: mark}, f, max))
				s.wantIDs(fmt.Sprintf("%+v, at most %d", f, max), got, want[:max])
			}
		}
	}},
	{"ReadAll/ShowsNoSystemStream", func(s *scope) {
		s.appendMany(s.stream("a"), 5)
		for _, f := range []command.Filter{{}, {StreamPrefixes: []string{""}}, {StreamPrefixes: []string{"$"}}, {Types: []string{"$metadata", "$>", eventType}}} {
			for _, dir := range []command.Direction{command.Forwards, command.Backwards} {
				for r, err := range s.log.ReadAll(s.ctx, dir, command.ReadFrom{}, f, 1000) {
					if err != nil {
						s.Fatal(err)
					}
					if strings.HasPrefix(r.Stream, "$") {
						s.Fatalf("%+v shows an event of %s", f, r.Stream)
					}
				}
			}
		}
	}},
}

// appendMany appends n events in a few appends.
func (s *scope) appendMany(stream string, n int) []event.Proposed {
	s.Helper()
	all := events(n)
	for part := range slices.Chunk(all, 250) {
		s.mustAppend(stream, command.Any, part)
	}
	return all
}

// take reads the first n and then breaks off.
func take(s *scope, read iter.Seq2[event.Recorded, error], n int) []event.Recorded {
	s.Helper()
	var out []event.Recorded
	for r, err := range read {
		if err != nil {
			s.Fatal(err)
		}
		if out = append(out, r); len(out) == n {
			break
		}
	}
	return out
}

// ours leaves out events that others wrote.
func (s *scope) ours(got []event.Recorded) []event.Recorded {
	return slices.DeleteFunc(got, func(r event.Recorded) bool { return !strings.HasPrefix(r.Stream, s.prefix) })
}

// matches is what a filter means.
func matches(f command.Filter, stream, typ string) bool {
	return !strings.HasPrefix(stream, "$") &&
		(len(f.Types) == 0 || slices.Contains(f.Types, typ)) &&
		(len(f.StreamPrefixes) == 0 || slices.ContainsFunc(f.StreamPrefixes, func(p string) bool { return strings.HasPrefix(stream, p) }))
}
