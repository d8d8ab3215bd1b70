// Package logtest is the contract of [command.Log] as tests: one suite that
// every implementation passes, so that whoever is written against the port can
// be moved from one to the other.
//
//	func TestLog(t *testing.T) {
//		logtest.Run(t, func(t *testing.T) command.Log { return open(t) })
//	}
//
// The log may be a new one for each call or one that is shared with others
// while the suite runs: each test has stream names of its own and does not mind
// events that it did not write.
package logtest

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/event"
)

// patience is how long a test waits for something that must happen before it
// says that it did not.
const patience = 30 * time.Second

// Run tests what the comments of [command.Log] promise. open gives the log to a
// test; what must be closed afterwards is open's to clean up.
func Run(t *testing.T, open func(t *testing.T) command.Log) {
	for _, group := range [][]contract{appending, reading, subscribing} {
		for _, c := range group {
			t.Run(c.name, func(t *testing.T) { c.test(newScope(t, open(t))) })
		}
	}
}

type contract struct {
	name string
	test func(*scope)
}

// scope is one test's part of a log.
type scope struct {
	*testing.T
	log    command.Log
	ctx    context.Context
	prefix string
}

func newScope(t *testing.T, l command.Log) *scope {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return &scope{t, l, ctx, "logtest" + uuid.NewString() + "-"}
}

// stream is the full name of one of the test's streams.
func (s *scope) stream(name string) string { return s.prefix + name }

// own lets the test's own events through.
func (s *scope) own(types ...string) command.Filter {
	return command.Filter{StreamPrefixes: []string{s.prefix}, Types: types}
}

const eventType = "ContractTested"

// events are n new ones.
func events(n int) []event.Proposed {
	out := make([]event.Proposed, n)
	for i := range out {
		id := uuid.New()
		out[i] = event.Proposed{
			ID:       id,
			Type:     eventType,
			Data:     fmt.Appendf(nil, `{"n":%d,"id":%q}`, i, id),
			Metadata: fmt.Appendf(nil, `{"$correlationId":%q}`, id),
		}
	}
	return out
}

func typed(typ string, e []event.Proposed) []event.Proposed {
	for i := range e {
		e[i].Type = typ
	}
	return e
}

// mustAppend appends and fails the test when it cannot.
func (s *scope) mustAppend(stream string, expect command.Expect, e []event.Proposed) command.Appended {
	s.Helper()
	at, err := s.log.Append(s.ctx, stream, expect, e)
	if err != nil {
		s.Fatalf("append %d events to %s at %s: %v", len(e), stream, expect, err)
	}
	return at
}

// mark is a place in the log before everything the test appends from now on,
// so that a shared log need not be read from its start.
func (s *scope) mark() event.Position {
	s.Helper()
	return s.mustAppend(s.stream("mark"+uuid.NewString()), command.NoStream, events(1)).Position
}

// collect reads to the end.
func (s *scope) collect(read iter.Seq2[event.Recorded, error]) []event.Recorded {
	s.Helper()
	var out []event.Recorded
	for r, err := range read {
		if err != nil {
			s.Fatalf("read, after %d events: %v", len(out), err)
		}
		out = append(out, r)
	}
	return out
}

// wholeStream reads a stream forwards.
func (s *scope) wholeStream(stream string) []event.Recorded {
	s.Helper()
	return s.collect(s.log.ReadStream(s.ctx, stream, command.Forwards, 0, 0))
}

// wantIDs compares what was read with what was appended, by id and in order.
func (s *scope) wantIDs(what string, got []event.Recorded, want []uuid.UUID) {
	s.Helper()
	if ids := idsOf(got); !slices.Equal(ids, want) {
		s.Fatalf("%s: got %d events, want %d: they are not the same in the same order\n got %v\nwant %v",
			what, len(ids), len(want), excerpt(ids), excerpt(want))
	}
}

func idsOf(got []event.Recorded) []uuid.UUID {
	out := make([]uuid.UUID, len(got))
	for i, r := range got {
		out[i] = r.ID
	}
	return out
}

func proposedIDs(groups ...[]event.Proposed) []uuid.UUID {
	var out []uuid.UUID
	for _, g := range groups {
		for _, e := range g {
			out = append(out, e.ID)
		}
	}
	return out
}

// excerpt keeps a failure readable.
func excerpt(ids []uuid.UUID) []uuid.UUID {
	const few = 8
	return ids[:min(few, len(ids))]
}

// wantSame compares an event read with the one appended, byte for byte.
func (s *scope) wantSame(got event.Recorded, want event.Proposed) {
	s.Helper()
	if got.ID != want.ID || got.Type != want.Type {
		s.Errorf("got %s of type %q, want %s of type %q", got.ID, got.Type, want.ID, want.Type)
	}
	if !bytes.Equal(got.Data, want.Data) {
		s.Errorf("data of %s: got %q, want %q", want.ID, got.Data, want.Data)
	}
	if !bytes.Equal(got.Metadata, want.Metadata) {
		s.Errorf("metadata of %s: got %q, want %q", want.ID, got.Metadata, want.Metadata)
	}
}

// wantOrder checks what holds for events in log order: positions increase,
// recorded time never decreases and is UTC.
func (s *scope) wantOrder(got []event.Recorded) {
	s.Helper()
	for i, r := range got {
		if r.Position.IsStart() {
			s.Errorf("%s revision %d has no position", r.Stream, r.Revision)
		}
		if r.RecordedAt.IsZero() || r.RecordedAt.Location() != time.UTC {
			s.Errorf("%s revision %d was recorded at %v, want a time in UTC", r.Stream, r.Revision, r.RecordedAt)
		}
		if i == 0 {
			continue
		}
		if before := got[i-1]; r.Position.Compare(before.Position) <= 0 {
			s.Errorf("position %s follows %s", r.Position, before.Position)
		} else if r.RecordedAt.Before(before.RecordedAt) {
			s.Errorf("recorded time goes back at %s, from %v to %v", r.Position, before.RecordedAt, r.RecordedAt)
		}
	}
}
