package node

import (
	"context"
	"iter"
	"sync"
	"testing"

	"github.com/anishathalye/porcupine"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// liar is an engine that is wrong in one way.
type liar struct {
	engine
	lie string

	mu     sync.Mutex
	count  int
	states map[string]streamState // as they were some time ago
}

const liesEvery = 7 // appends

func (l *liar) append(ctx context.Context, stream string, expect int64, events []proposed) (appended, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	head := l.engine.head()
	now, err := l.engine.state(stream)
	if err != nil {
		return appended{}, err
	}
	if _, known := l.states[stream]; !known || l.count%liesEvery == 0 {
		l.states[stream] = now
	}
	lies := l.count%liesEvery == 0
	switch {
	case lies && l.lie == "lost append" && (expect == expectAny || expect == now.Last):
		return appended{Revision: now.Last + int64(len(events)), Position: head + uint64(len(events))}, nil
	case lies && l.lie == "torn append":
		at, err := l.engine.append(ctx, stream, expect, events[:1])
		at.Revision += int64(len(events) - 1)
		return at, err
	case l.lie == "stale check" && expect >= expectNoStream && expect == l.states[stream].Last:
		return l.engine.append(ctx, stream, expectAny, events)
	}
	at, err := l.engine.append(ctx, stream, expect, events)
	if l.lie == "retry refused" && err == nil && at.Position <= head {
		return appended{}, &wrongRevision{Stream: stream, Expected: expect, Actual: now.Last}
	}
	return at, err
}

func (l *liar) state(stream string) (streamState, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, err := l.engine.state(stream)
	if then, known := l.states[stream]; known && l.lie == "stale state" {
		return then, err
	}
	return now, err
}

func (l *liar) readStream(ctx context.Context, stream string, backwards bool, from uint64) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		n := 0
		for r, err := range l.engine.readStream(ctx, stream, backwards, from) {
			if n++; l.lie == "gap in a read" && n == 5 {
				continue
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// TestLinearizableCatchesLiars: of an engine that is wrong, the histories are
// not linearizable; of the same one without a lie they are.
func TestLinearizableCatchesLiars(t *testing.T) {
	check := func(t *testing.T, lie string, seed uint64) (porcupine.CheckResult, string) {
		s := openMem(t, vfs.NewMem())
		defer closeStore(t, s)
		o := observe(inProcess{&liar{engine: s, lie: lie, states: map[string]streamState{}}}, seed, 2)
		o.clients(8, 30)
		return o.check()
	}
	if result, why := check(t, "none", 1); result != porcupine.Ok {
		t.Errorf("the answers of an engine that does not lie are %s\n%s", result, why)
	}
	for _, lie := range []string{"lost append", "torn append", "stale check", "retry refused", "stale state", "gap in a read"} {
		caught := false
		for seed := uint64(1); !caught && seed <= 10; seed++ { // one in fifty has no occasion to lie
			result, _ := check(t, lie, seed)
			caught = result == porcupine.Illegal
		}
		if !caught {
			t.Errorf("%s: the answers are linearizable", lie)
		}
	}
}
