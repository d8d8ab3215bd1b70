package node

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/uuid"
)

// A history is linearizable when each request can be given a moment between
// being made and being answered, so that one after the other they are answered
// as they were. Porcupine looks for such moments. Streams are looked at one by
// one, as linearizability allows.

// asked is a request about one stream. Events are known by number.
type asked struct {
	stream string
	what   question
	expect int64
	events []uint16
}

type question byte

const (
	askAppend question = iota
	askLast            // the revision of the last event
	askAll             // all events
)

// told is an answer.
type told struct {
	unknown bool   // nobody answered, but it was done, now or later
	refused bool   // not at the expected revision
	last    int64  // revision of the last event appended, or of the stream's last
	all     string // a register
}

// register is a stream: its events' numbers in order, two bytes each. It is
// never changed.
type register string

func (r register) last() int64            { return int64(len(r)/2) - 1 }
func (r register) at(n int) uint16        { return uint16(r[2*n])<<8 | uint16(r[2*n+1]) }
func (r register) with(e uint16) register { return r + register([]byte{byte(e >> 8), byte(e)}) }

func (r register) find(e uint16) int64 {
	for n := r.last(); n >= max(0, r.last()+1-recentEvents); n-- {
		if r.at(int(n)) == e {
			return n
		}
	}
	return -1
}

// after says what a request is answered at r, and what r is then. Events of a
// request come in no other one, so that either all of them are there or none.
func (r register) after(q asked) (told, register) {
	last := r.last()
	refused := told{refused: true, last: last}
	switch {
	case q.what == askLast:
		return told{last: last}, r
	case q.what == askAll:
		return told{last: last, all: string(r)}, r
	case q.expect == expectExists && last < 0:
		return refused, r
	case q.expect == expectAny || q.expect == expectExists:
		if at := r.find(q.events[len(q.events)-1]); at >= 0 {
			return told{last: at}, r
		}
	case q.expect > last:
		return refused, r
	case q.expect < last:
		for i, e := range q.events {
			if n := q.expect + 1 + int64(i); n > last || r.at(int(n)) != e {
				return refused, r
			}
		}
		return told{last: q.expect + int64(len(q.events))}, r
	}
	for _, e := range q.events {
		r = r.with(e)
	}
	return told{last: r.last()}, r
}

var registers = porcupine.Model{
	Partition: func(all []porcupine.Operation) (parts [][]porcupine.Operation) {
		byStream := map[string][]porcupine.Operation{}
		for _, o := range all {
			stream := o.Input.(asked).stream
			byStream[stream] = append(byStream[stream], o)
		}
		for _, part := range byStream {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return register("") },
	Step: func(state, in, out any) (bool, any) {
		answer, next := state.(register).after(in.(asked))
		return out.(told).unknown && !answer.refused || out.(told) == answer, next
	},
}

// target is what is tried: an engine, or one behind a server.
type target interface {
	append(ctx context.Context, stream string, expect int64, events []proposed) (appended, error)
	last(ctx context.Context, stream string) (int64, error)
	all(ctx context.Context, stream string) ([]uuid.UUID, error)
}

// inProcess is an engine as a target.
type inProcess struct{ engine }

func (p inProcess) last(_ context.Context, stream string) (int64, error) {
	st, err := p.state(stream)
	return st.Last, err
}

func (p inProcess) all(ctx context.Context, stream string) (ids []uuid.UUID, err error) {
	for r, err := range p.readStream(ctx, stream, false, 0) {
		if err != nil {
			return nil, err
		}
		ids = append(ids, r.ID)
	}
	return ids, nil
}

// observed is a history as it is made.
type observed struct {
	target
	seed    uint64
	streams []string
	began   time.Time

	mu       sync.Mutex
	history  []porcupine.Operation
	numbers  map[uuid.UUID]uint16
	requests []asked                   // appends that were made, for those who make them again
	known    map[string]int64          // a last revision of each stream that somebody was told
	placed   map[uint64]promisedAppend // by position
}

type promisedAppend struct {
	asked
	at appended
}

func observe(target target, seed uint64, streams int) *observed {
	o := &observed{target: target, seed: seed, began: time.Now(), numbers: map[uuid.UUID]uint16{}, known: map[string]int64{}, placed: map[uint64]promisedAppend{}}
	for n := range streams {
		o.streams = append(o.streams, fmt.Sprint("stream-", n))
		o.known[o.streams[n]] = -1
	}
	return o
}

func (o *observed) id(number uint16) uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "%d %d", o.seed, number))
}

// clients make requests all at once, each so many.
func (o *observed) clients(count, each int) {
	var all sync.WaitGroup
	for c := range count {
		rng := rand.New(rand.NewPCG(o.seed, uint64(c)))
		all.Go(func() {
			for range each {
				o.request(c, rng, o.invent(rng))
			}
		})
	}
	all.Wait()
}

// invent thinks of a request: at a revision that is right, or was, or will be;
// one that was made before by anybody; a read.
func (o *observed) invent(rng *rand.Rand) asked {
	o.mu.Lock()
	defer o.mu.Unlock()
	stream := o.streams[rng.IntN(len(o.streams))]
	switch n := rng.IntN(10); {
	case n == 0:
		return asked{stream: stream, what: askLast}
	case n == 1:
		return asked{stream: stream, what: askAll}
	case n <= 3 && len(o.requests) > 0:
		recent := o.requests[max(0, len(o.requests)-20):]
		return recent[rng.IntN(len(recent))]
	}
	known := o.known[stream]
	q := asked{stream: stream, expect: [...]int64{known, known, known, known, max(-1, known-1), known + 1, expectNoStream, expectAny, expectAny, expectExists}[rng.IntN(10)]}
	for range 1 + rng.IntN(3) {
		number := uint16(len(o.numbers))
		o.numbers[o.id(number)] = number
		q.events = append(q.events, number)
	}
	o.requests = append(o.requests, q)
	return q
}

// request makes one. Of those who append, some lose patience.
func (o *observed) request(client int, rng *rand.Rand, q asked) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	if q.what == askAppend && rng.IntN(6) == 0 {
		patience := rng.IntN(20)
		go func() {
			for range patience {
				runtime.Gosched()
			}
			stop()
		}()
	}
	call := time.Since(o.began)
	answer, at, answered := o.ask(ctx, q)
	op := porcupine.Operation{ClientId: client, Input: q, Call: int64(call), Output: answer, Return: int64(time.Since(o.began))}
	if answer.unknown {
		op.Return = math.MaxInt64 // it may still be done
	}
	if !answered && !answer.unknown {
		return // a read that failed says nothing
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.history = append(o.history, op)
	if answered {
		o.known[q.stream] = answer.last
	}
	if at.Position > 0 {
		o.placed[at.Position] = promisedAppend{q, at}
	}
}

func (o *observed) ask(ctx context.Context, q asked) (answer told, at appended, answered bool) {
	var err error
	switch q.what {
	case askLast:
		answer.last, err = o.last(ctx, q.stream)
		return answer, at, err == nil
	case askAll:
		all, err := o.readAll(ctx, q.stream)
		return told{last: all.last(), all: string(all)}, at, err == nil
	}
	events := make([]proposed, len(q.events))
	for i, number := range q.events {
		events[i] = proposed{ID: o.id(number), Type: "T", ContentType: jsonContent, Data: fmt.Append(nil, number)}
	}
	at, err = o.append(ctx, q.stream, q.expect, events)
	var wrong *wrongRevision
	switch {
	case errors.As(err, &wrong):
		return told{refused: true, last: wrong.Actual}, at, true
	case err != nil:
		return told{unknown: true}, appended{}, false
	default:
		return told{last: at.Revision}, at, true
	}
}

// strange is an event that nobody proposed: no order explains it.
const strange = math.MaxUint16

func (o *observed) readAll(ctx context.Context, stream string) (r register, err error) {
	ids, err := o.all(ctx, stream)
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		number, known := o.numbers[id]
		if !known {
			number = strange
		}
		r = r.with(number)
	}
	return r, err
}

// slowSync is a file system in memory whose syncs take long enough for others
// to come in between.
func slowSync(fs vfs.FS) vfs.FS {
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
			time.Sleep(100 * time.Microsecond)
		}
		return nil
	}))
}

// TestLinearizable: whatever many clients ask of few streams at once, some of
// them without waiting for the answer and some twice, one order explains all
// that they were told.
func TestLinearizable(t *testing.T) {
	for round := range 12 * longer {
		fs := slowSync(vfs.NewMem())
		s := openMem(t, fs)
		o := observe(inProcess{s}, uint64(round), 2+round%2)
		o.clients(8+round%9, 40)
		o.mustBeLinear(t, s)
		closeStore(t, s)
	}
}
