package sim

import (
	"context"
	"errors"
	"iter"
	"strings"
	"time"

	"kicau/adapters/command"
	"kicau/domain/event"
)

// memory is a log in memory with the exact semantics of [command.Log]. What was
// appended stays, whoever dies. It is the truth of the run: the oracle looks at
// every event as it is appended.
type memory struct {
	k        *kernel
	all      []event.Event    // each decoded once, from what was written
	streams  map[string][]int // indexes into all
	appended func([]event.Event)
}

func newMemory(k *kernel, appended func([]event.Event)) *memory {
	return &memory{k: k, streams: map[string][]int{}, appended: appended}
}

func (m *memory) append(stream string, expect command.Expect, events []event.Proposed) (command.Appended, error) {
	if len(events) == 0 {
		return command.Appended{}, errors.New("sim: an append of nothing")
	}
	have := m.streams[stream]
	last := command.Expect(len(have) - 1)
	if expect != command.Any && expect != last {
		if at, again := m.again(have, expect, events); again {
			return at, nil
		}
		return command.Appended{}, &command.WrongRevision{Stream: stream, Expected: expect, Actual: last}
	}
	size := 0
	for _, p := range events {
		size += len(p.Data) + len(p.Metadata) + 2*len(p.Type)
	}
	if size > command.MaxAppendBytes {
		return command.Appended{}, command.ErrTooLarge
	}
	from := len(m.all)
	for _, p := range events {
		n := len(m.all)
		rec := event.Recorded{ID: p.ID, Type: p.Type, Stream: stream, Revision: uint64(len(m.streams[stream])),
			Position: event.At(uint64(n) + 1), RecordedAt: m.k.now, Data: p.Data, Metadata: p.Metadata}
		e, err := decode(rec)
		if err != nil {
			panic("sim: an event was appended that cannot be read: " + err.Error())
		}
		m.all = append(m.all, e)
		m.streams[stream] = append(m.streams[stream], n)
		m.k.note(stream, p.Type, string(p.ID[:]))
	}
	at := m.all[len(m.all)-1]
	m.appended(m.all[from:len(m.all):len(m.all)])
	return command.Appended{Revision: at.Revision, Position: at.Position}, nil
}

// again tells whether the same events stand where they were expected to.
func (m *memory) again(have []int, expect command.Expect, events []event.Proposed) (command.Appended, bool) {
	from := int(expect) + 1
	if expect == command.Any || from+len(events) > len(have) {
		return command.Appended{}, false
	}
	for i, p := range events {
		if m.all[have[from+i]].ID != p.ID {
			return command.Appended{}, false
		}
	}
	at := m.all[have[from+len(events)-1]]
	return command.Appended{Revision: at.Revision, Position: at.Position}, true
}

// read is how the processes of a run read events: as they were decoded when they
// were appended. Decoding them anew in every process was a sixth of a run.
type read struct {
	*event.Registry
	log *memory
}

func (r read) Decode(rec event.Recorded) (event.Event, error) {
	e := r.log.all[rec.Position.Commit-1]
	if e.ID != rec.ID {
		panic("sim: an event is not what was appended there")
	}
	return e, nil
}

// errCut is an answer that was lost, or a request.
var errCut = errors.New("the connection to the log was cut")

// wire is the log as one process reaches it.
type wire struct {
	w *world
	p *process
}

var _ command.Log = wire{}

// Append under the faults of the run. Each has its twin: not done, and done.
func (l wire) Append(_ context.Context, stream string, expect command.Expect, events []event.Proposed) (command.Appended, error) {
	w := l.w
	w.travel(l.p)
	meets := w.faults.next(atAppend, w.k.now)
	switch meets {
	case appendLost:
		w.met(meets, stream)
		return command.Appended{}, errCut
	case appendSlow:
		w.met(meets, stream)
		w.k.pause(between(w.k.delays, time.Second, command.AppendTimeout))
	case appendTimesOut:
		w.met(meets, stream)
		w.k.pause(command.AppendTimeout)
		return command.Appended{}, context.DeadlineExceeded
	case logReadOnly:
		w.met(meets, stream)
		return command.Appended{}, command.ErrReadOnly
	case diesBefore:
		w.die(l.p, meets)
	case freezes:
		w.met(meets, l.p.name)
		w.k.pause(between(w.k.delays, time.Minute, 50*time.Minute))
	}
	at, err := w.log.append(stream, expect, events)
	if err != nil {
		w.sometimes("an append met a conflict")
	}
	switch meets {
	case answerLost:
		w.met(meets, stream)
		return command.Appended{}, errCut
	case answerTimesOut:
		w.met(meets, stream)
		w.k.pause(command.AppendTimeout)
		return command.Appended{}, context.DeadlineExceeded
	case diesAfter:
		w.die(l.p, meets)
	}
	w.travel(l.p)
	return at, err
}

func (l wire) ReadStream(_ context.Context, stream string, dir command.Direction, from uint64, max int) iter.Seq2[event.Recorded, error] {
	if dir != command.Forwards {
		panic("sim: a stream is read backwards, which the simulated log cannot")
	}
	return func(yield func(event.Recorded, error) bool) {
		l.w.travel(l.p)
		switch meets := l.w.faults.next(atRead, l.w.k.now); meets {
		case readFails:
			l.w.met(meets, stream)
			yield(event.Recorded{}, errCut)
			return
		case readSlow:
			l.w.met(meets, stream)
			l.w.k.pause(between(l.w.k.delays, time.Second, time.Minute))
		}
		have := l.w.log.streams[stream] // as it is when the request arrives
		for i := int(from); i < len(have) && (max == 0 || i < int(from)+max); i++ {
			if !yield(l.w.log.all[have[i]].Recorded, nil) {
				return
			}
		}
	}
}

func (l wire) ReadAll(context.Context, command.Direction, command.ReadFrom, command.Filter, int) iter.Seq2[event.Recorded, error] {
	panic("sim: the whole log is read, which no use case under simulation does")
}

func (l wire) Subscribe(context.Context, event.Position, command.Filter) iter.Seq2[command.Page, error] {
	panic("sim: subscriptions are the kernel's, see group.go")
}

// idOf is the id in the name of a stream of the category.
func cutID(stream, category string) (string, bool) { return strings.CutPrefix(stream, category+"-") }
