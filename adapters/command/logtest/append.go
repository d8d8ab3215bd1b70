package logtest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/event"
)

var appending = []contract{
	{"Append/AnswersWhereTheLastEventIs", func(s *scope) {
		stream := s.stream("a")
		first, second := events(3), events(2)
		at := s.mustAppend(stream, command.NoStream, first)
		if at.Revision != 2 {
			s.Errorf("three events to a new stream ended at revision %d, want 2", at.Revision)
		}
		later := s.mustAppend(stream, command.At(2), second)
		if later.Revision != 4 {
			s.Errorf("two more ended at revision %d, want 4", later.Revision)
		}
		if later.Position.Compare(at.Position) <= 0 {
			s.Errorf("the second append is at %s, the first at %s", later.Position, at.Position)
		}
		got := s.wholeStream(stream)
		s.wantIDs("the stream", got, proposedIDs(first, second))
		if got[2].Position != at.Position || got[4].Position != later.Position {
			s.Errorf("events are at %s and %s, the appends said %s and %s",
				got[2].Position, got[4].Position, at.Position, later.Position)
		}
	}},
	{"Append/Any", func(s *scope) {
		stream := s.stream("a")
		first, second := events(1), events(2)
		s.mustAppend(stream, command.Any, first)
		if at := s.mustAppend(stream, command.Any, second); at.Revision != 2 {
			s.Errorf("ended at revision %d, want 2", at.Revision)
		}
		s.wantIDs("the stream", s.wholeStream(stream), proposedIDs(first, second))
	}},
	{"Append/ConflictSaysWhereTheStreamIs", func(s *scope) {
		stream, missing := s.stream("a"), s.stream("missing")
		here := events(3)
		s.mustAppend(stream, command.NoStream, here)
		for _, c := range []struct {
			stream           string
			expected, actual command.Expect
		}{
			{stream, command.NoStream, 2},
			{stream, command.At(0), 2},
			{stream, command.At(1), 2},
			{stream, command.At(3), 2},
			{stream, command.At(1 << 40), 2},
			{missing, command.At(0), command.NoStream},
			{missing, command.At(7), command.NoStream},
		} {
			s.wantConflict(c.stream, c.expected, c.actual, events(2))
		}
		s.wantIDs("the stream after the conflicts", s.wholeStream(stream), proposedIDs(here))
		s.wantIDs("the missing stream after the conflicts", s.wholeStream(missing), nil)
	}},
	{"Append/Again", func(s *scope) {
		stream := s.stream("a")
		first, second := events(3), events(2)
		at := s.mustAppend(stream, command.NoStream, first)
		s.wantSameAnswer(at, s.mustAppend(stream, command.NoStream, first))
		later := s.mustAppend(stream, command.At(2), second)
		s.wantSameAnswer(later, s.mustAppend(stream, command.At(2), second))
		// However long ago: others have appended since.
		s.wantSameAnswer(at, s.mustAppend(stream, command.NoStream, first))
		third := events(1)
		s.mustAppend(stream, command.At(4), third)
		s.wantSameAnswer(later, s.mustAppend(stream, command.At(2), second))
		s.wantIDs("the stream", s.wholeStream(stream), proposedIDs(first, second, third))
	}},
	{"Append/AgainButDifferentIsAConflict", func(s *scope) {
		stream := s.stream("a")
		first := events(3)
		s.mustAppend(stream, command.NoStream, first)
		longer := append(events(0), first...)
		longer = append(longer, events(1)...)
		swapped := []event.Proposed{first[1], first[0], first[2]}
		lastNew := []event.Proposed{first[0], first[1], events(1)[0]}
		for _, again := range [][]event.Proposed{longer, swapped, lastNew, events(3)} {
			s.wantConflict(stream, command.NoStream, 2, again)
		}
		s.wantIDs("the stream", s.wholeStream(stream), proposedIDs(first))
	}},
	{"Append/AgainAtTheSameTime", func(s *scope) {
		stream := s.stream("a")
		same := events(2)
		answers, errs := make([]command.Appended, 8), make([]error, 8)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() { answers[i], errs[i] = s.log.Append(s.ctx, stream, command.NoStream, same) })
		}
		all.Wait()
		for i := range answers {
			if errs[i] != nil {
				s.Fatalf("one of the identical appends: %v", errs[i])
			}
			s.wantSameAnswer(answers[0], answers[i])
		}
		s.wantIDs("the stream", s.wholeStream(stream), proposedIDs(same))
	}},
	{"Append/OneOfManyWritersWins", func(s *scope) {
		stream := s.stream("a")
		const writers, rounds = 8, 6
		var won []uuid.UUID
		expect := command.NoStream
		for round := range rounds {
			tries, errs := make([][]event.Proposed, writers), make([]error, writers)
			var all sync.WaitGroup
			for w := range writers {
				tries[w] = events(2)
				all.Go(func() { _, errs[w] = s.log.Append(s.ctx, stream, expect, tries[w]) })
			}
			all.Wait()
			before := len(won)
			for w, err := range errs {
				var conflict *command.WrongRevision
				switch {
				case err == nil:
					won = append(won, proposedIDs(tries[w])...)
				case !errors.As(err, &conflict):
					s.Fatalf("a writer that lost: got %v, want *command.WrongRevision", err)
				case conflict.Actual != expect+2:
					s.Errorf("a writer that lost was told %s, want %s", conflict.Actual, expect+2)
				}
			}
			if n := (len(won) - before) / 2; n != 1 {
				s.Fatalf("round %d: %d writers won, want exactly one", round, n)
			}
			expect += 2
		}
		s.wantIDs("the stream", s.wholeStream(stream), won)
	}},
	{"Append/AllOrNone", func(s *scope) {
		stream := s.stream("a")
		const batch, batches = 50, 20
		done := make(chan error, 1)
		go func() {
			for range batches {
				if _, err := s.log.Append(s.ctx, stream, command.Any, events(batch)); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		for {
			select {
			case err := <-done:
				if err != nil {
					s.Fatal(err)
				}
				if n := len(s.wholeStream(stream)); n != batch*batches {
					s.Fatalf("the stream has %d events, want %d", n, batch*batches)
				}
				return
			default:
				if n := len(s.wholeStream(stream)); n%batch != 0 {
					s.Fatalf("a reader saw %d events of appends of %d", n, batch)
				}
			}
		}
	}},
	{"Append/TooLarge", func(s *scope) {
		stream := s.stream("a")
		sized := func(sizes ...int) []event.Proposed {
			e := events(len(sizes))
			for i, n := range sizes {
				e[i].Data = append(bytes.Repeat([]byte{' '}, n-2), '{', '}')
			}
			return e
		}
		for _, sizes := range [][]int{
			{command.MaxAppendBytes + 1},
			{command.MaxAppendBytes / 2, command.MaxAppendBytes/2 + 1},
			{3 * command.MaxAppendBytes},
		} {
			if _, err := s.log.Append(s.ctx, stream, command.NoStream, sized(sizes...)); !errors.Is(err, command.ErrTooLarge) {
				s.Errorf("append events of %v bytes: got %v, want command.ErrTooLarge", sizes, err)
			}
		}
		s.wantIDs("the stream", s.wholeStream(stream), nil)
		const room = 4 << 10 // for types, metadata and what else a log counts
		fits := sized((command.MaxAppendBytes-room)/2, (command.MaxAppendBytes-room)/2)
		s.mustAppend(stream, command.NoStream, fits)
		got := s.wholeStream(stream)
		s.wantIDs("the stream", got, proposedIDs(fits))
		for i := range fits {
			s.wantSame(got[i], fits[i])
		}
	}},
	{"Append/NothingIsAnError", func(s *scope) {
		stream := s.stream("a")
		for _, expect := range []command.Expect{command.NoStream, command.Any, command.At(0)} {
			if _, err := s.log.Append(s.ctx, stream, expect, nil); err == nil {
				s.Errorf("append of nothing at %s succeeded", expect)
			}
		}
		s.mustAppend(stream, command.NoStream, events(1))
	}},
	{"Append/KeepsEveryByte", func(s *scope) {
		stream := s.prefix + "Ünïcode/%2F \"quoted\"-\u200b-旅"
		wrote := events(7)
		wrote[0].ID = uuid.UUID{15: 1}
		wrote[1].ID = uuid.UUID{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
		wrote[2].ID = uuid.UUID{0: 0x80, 8: 0x80}
		wrote[3].ID = uuid.UUID{7: 0x7f, 8: 0x7f}
		wrote[3].Metadata = []byte(" {\"a\" :\t1,\n\"a\":2, \"\\u0000\":\"\u2028é\", \"big\":12345678901234567890.10 }\n")
		wrote[4].Metadata = nil
		wrote[5].Data = []byte("{\"b\":1,   \"a\":\"\\ud83d\\ude00 😀\"}\r\n")
		wrote[6].Type = "Typ mit Ümlaut·und/Zeichen"
		s.mustAppend(stream, command.NoStream, wrote)
		got := s.wholeStream(stream)
		s.wantIDs("the stream", got, proposedIDs(wrote))
		for i := range wrote {
			s.wantSame(got[i], wrote[i])
			if got[i].Stream != stream {
				s.Errorf("the stream is called %q, want %q", got[i].Stream, stream)
			}
		}
	}},
	{"Append/ToASystemStreamIsRefused", func(s *scope) {
		for _, stream := range []string{"$" + s.prefix, "$$" + s.stream("a")} {
			if _, err := s.log.Append(s.ctx, stream, command.Any, events(1)); err == nil {
				s.Errorf("append to %s succeeded", stream)
			}
		}
	}},
}

func (s *scope) wantConflict(stream string, expected, actual command.Expect, e []event.Proposed) {
	s.Helper()
	what := fmt.Sprintf("append of %d events at %s", len(e), expected)
	_, err := s.log.Append(s.ctx, stream, expected, e)
	var conflict *command.WrongRevision
	if !errors.As(err, &conflict) {
		s.Fatalf("%s: got %v, want *command.WrongRevision", what, err)
	}
	if want := (command.WrongRevision{Stream: stream, Expected: expected, Actual: actual}); *conflict != want {
		s.Errorf("%s: got %+v, want %+v", what, *conflict, want)
	}
}

func (s *scope) wantSameAnswer(first, again command.Appended) {
	s.Helper()
	if first != again {
		s.Errorf("sent again, the append was answered with %+v, at first with %+v", again, first)
	}
}
