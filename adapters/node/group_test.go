package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"kicau/adapters/command"
)

// someGroup is the settings of a group of a stream, small enough that every
// bound is met.
func someGroup(stream, strategy string) groupConfig {
	return groupConfig{
		Stream: stream, Group: "g", Start: "0", MaxRetries: 2, HistoryBuffer: 5, LiveBuffer: 5, ReadBatch: 2,
		MinCheckpoint: 1, MaxCheckpoint: 3, CheckpointMS: 20, MessageTimeoutMS: 60_000, Strategy: strategy,
	}
}

// groupWorld is a log with a group, consumers that do as chance says, and what
// became of each event.
type groupWorld struct {
	fs     *vfs.MemFS
	store  *store
	groups *groups
	config groupConfig

	clock     *fakeClock
	consumers []*consumer
	holding   []delivery // given and not answered, of living consumers
	appended  []uuid.UUID
	settled   map[uuid.UUID]bool // acked, skipped or dropped
}

type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (w *groupWorld) open(t *rapid.T) {
	var err error
	if w.store, err = openStore(Options{Dir: "data", Logger: quiet, fs: w.fs}); err != nil {
		t.Fatal(err)
	}
	if w.groups, err = openGroups(w.store, quiet, w.clock.Now); err != nil {
		t.Fatal(err)
	}
	w.consumers, w.holding = nil, nil
}

func (w *groupWorld) group(t *rapid.T) *group {
	g, err := w.groups.get(w.config.key())
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (w *groupWorld) append(t *rapid.T) {
	events := someEvents(rapid.IntRange(1, 4).Draw(t, "events"))
	if _, err := w.store.append(t.Context(), "s", expectAny, events); err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		w.appended = append(w.appended, e.ID)
	}
}

func (w *groupWorld) join(t *rapid.T) {
	c := &consumer{buffer: rapid.IntRange(1, 4).Draw(t, "buffer")}
	if err := w.group(t).join(c); err != nil {
		t.Fatal(err)
	}
	w.consumers = append(w.consumers, c)
}

func (w *groupWorld) leave(t *rapid.T) {
	if len(w.consumers) == 0 {
		return
	}
	i := rapid.IntRange(0, len(w.consumers)-1).Draw(t, "consumer")
	w.group(t).leave(w.consumers[i])
	w.consumers = slices.Delete(w.consumers, i, i+1)
}

func (w *groupWorld) receive(t *rapid.T) {
	for _, c := range w.consumers {
		select {
		case d := <-c.deliveries:
			w.holding = append(w.holding, d)
		default:
		}
	}
}

func (w *groupWorld) answer(t *rapid.T) {
	if len(w.holding) == 0 {
		return
	}
	i := rapid.IntRange(0, len(w.holding)-1).Draw(t, "delivery")
	d := w.holding[i]
	w.holding = slices.Delete(w.holding, i, i+1)
	g := w.group(t)
	switch rapid.SampledFrom([]string{"ack", "ack", "retry", "park", "skip"}).Draw(t, "answer") {
	case "ack":
		w.dealtWith(g, d)
		g.ack([]uuid.UUID{d.record.ID})
	case "retry":
		g.nack(nackRetry, "again", []uuid.UUID{d.record.ID})
	case "park":
		g.nack(nackPark, "poison", []uuid.UUID{d.record.ID})
	case "skip":
		w.dealtWith(g, d)
		g.nack(nackSkip, "", []uuid.UUID{d.record.ID})
	}
}

// dealtWith notes an event as settled: whoever had it has dealt with it, even if
// the group gives it to another once more.
func (w *groupWorld) dealtWith(_ *group, d delivery) {
	id := d.record.ID
	if d.isLink {
		id = d.event.ID
	}
	w.settled[id] = true
}

func (w *groupWorld) timeout(t *rapid.T) {
	w.clock.move(time.Minute + time.Second)
	w.group(t).tick()
}

func (w *groupWorld) replay(t *rapid.T) {
	if err := w.group(t).replay(^uint64(0), nil); err != nil {
		t.Fatal(err)
	}
}

func (w *groupWorld) drop(t *rapid.T) {
	g := w.group(t)
	for r, err := range g.readParked(t.Context(), 0, ^uint64(0)) {
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "this one") {
			p, err := g.parkedEvent(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if g.drop(t.Context(), []uint64{r.Revision}) == nil { // else it is being replayed
				for _, id := range w.appended {
					if id == p.Event.ID {
						w.settled[id] = true
					}
				}
			}
			return
		}
	}
}

func (w *groupWorld) restart(t *rapid.T) {
	if err := w.groups.close(); err != nil {
		t.Fatal(err)
	}
	if err := w.store.close(); err != nil {
		t.Fatal(err)
	}
	w.open(t)
}

func (w *groupWorld) crash(t *rapid.T) {
	after := w.fs.CrashClone(vfs.CrashCloneCfg{})
	if err := w.groups.close(); err != nil {
		t.Fatal(err)
	}
	if err := w.store.close(); err != nil {
		t.Fatal(err)
	}
	w.fs = after
	w.open(t)
}

// finish lets a consumer ack all there is, and then compares: each event was
// dealt with or is parked.
func (w *groupWorld) finish(t *rapid.T) {
	for _, c := range w.consumers {
		w.group(t).leave(c)
	}
	g := w.group(t)
	c := &consumer{buffer: 16}
	if err := g.join(c); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		select {
		case d := <-c.deliveries:
			w.dealtWith(g, d)
			g.ack([]uuid.UUID{d.record.ID})
			continue
		case <-time.After(time.Millisecond):
		}
		i := g.info()
		if i.waiting+i.retrying+i.out == 0 && i.next > w.lastPlace(t) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the group does not come to rest: %+v", i)
		}
	}
	g.leave(c)
	left := map[uuid.UUID]bool{}
	for _, id := range w.appended {
		left[id] = !w.settled[id]
	}
	numbers := map[uint64]bool{}
	for p, err := range g.parkedEvents(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if numbers[p.Number] {
			t.Fatalf("parked message %d stands there twice", p.Number)
		}
		numbers[p.Number] = true
		delete(left, p.Event.ID)
	}
	maps.DeleteFunc(left, func(_ uuid.UUID, lost bool) bool { return !lost })
	if len(left) > 0 {
		t.Fatalf("%d of %d events are neither dealt with nor parked", len(left), len(w.appended))
	}
}

func (w *groupWorld) lastPlace(t *rapid.T) uint64 {
	st, err := w.store.state("s")
	if err != nil {
		t.Fatal(err)
	}
	if w.config.all() {
		for r, err := range w.store.readStream(t.Context(), "s", true, ^uint64(0)) {
			if err != nil {
				t.Fatal(err)
			}
			return r.Position
		}
		return 0
	}
	return uint64(st.Last)
}

// TestGroupLosesNothing: whatever consumers do, whenever the process stops or
// the machine crashes, each event is dealt with or stands in the parked stream.
func TestGroupLosesNothing(t *testing.T) {
	for _, stream := range []string{"s", allStream} {
		for _, strategy := range []string{dispatchToSingle, roundRobin, pinned, pinnedByCorrelation} {
			t.Run(stream+" "+strategy, func(t *testing.T) {
				rapid.Check(t, func(t *rapid.T) {
					w := &groupWorld{fs: vfs.NewCrashableMem(), clock: &fakeClock{now: time.Now()}, config: someGroup(stream, strategy), settled: map[uuid.UUID]bool{}}
					w.open(t)
					w.append(t)
					if err := w.groups.create(t.Context(), w.config); err != nil {
						t.Fatal(err)
					}
					t.Repeat(map[string]func(*rapid.T){
						"append": w.append, "append more": w.append, "join": w.join, "leave": w.leave, "receive": w.receive, "receive more": w.receive,
						"answer": w.answer, "answer more": w.answer, "timeout": w.timeout, "replay": w.replay, "drop": w.drop, "restart": w.restart, "crash": w.crash,
					})
					w.finish(t)
					if err := w.groups.close(); err != nil {
						t.Fatal(err)
					}
					if err := w.store.close(); err != nil {
						t.Fatal(err)
					}
				})
			})
		}
	}
}

// openGroup opens a log in memory with one group of stream s.
func openGroup(t *testing.T, change func(*groupConfig)) (*store, *group) {
	t.Helper()
	s := openMem(t, vfs.NewMem())
	gs, err := openGroups(s, quiet, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := gs.close(); err != nil {
			t.Error(err)
		}
		closeStore(t, s)
	})
	c := someGroup("s", roundRobin)
	change(&c)
	if err := gs.create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	g, err := gs.get(c.key())
	if err != nil {
		t.Fatal(err)
	}
	return s, g
}

func take1(t *testing.T, c *consumer) delivery {
	t.Helper()
	select {
	case d := <-c.deliveries:
		return d
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was delivered")
		panic("unreachable")
	}
}

func mustJoin(t *testing.T, g *group, buffer int) *consumer {
	t.Helper()
	c := &consumer{buffer: buffer}
	if err := g.join(c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestPinnedKeepsASourceTogether: of a stream, all messages go to one consumer
// as long as it is connected, and no stream waits for another.
func TestPinnedKeepsASourceTogether(t *testing.T) {
	s, g := openGroup(t, func(c *groupConfig) {
		c.Stream, c.Strategy, c.HistoryBuffer = allStream, pinned, 500
		c.Filter = &groupFilter{Prefixes: []string{"order-"}}
	})
	consumers := []*consumer{mustJoin(t, g, 100), mustJoin(t, g, 100), mustJoin(t, g, 100)}
	for i := range 90 {
		mustAppend(t, s, fmt.Sprint("order-", i%30), expectAny, someEvents(1))
	}
	holder, had := map[string]int{}, map[int]int{}
	for range 90 {
		var d delivery
		var by int
		select {
		case d = <-consumers[0].deliveries:
		case d = <-consumers[1].deliveries:
			by = 1
		case d = <-consumers[2].deliveries:
			by = 2
		case <-time.After(20 * time.Second):
			t.Fatalf("90 events were appended, came: %v", had)
		}
		if first, known := holder[d.record.Stream]; known && first != by {
			t.Errorf("stream %s went to consumers %d and %d", d.record.Stream, first, by)
		}
		holder[d.record.Stream] = by
		had[by]++
	}
	if len(had) < 2 {
		t.Errorf("one consumer got everything: %v", had)
	}
}

// TestGroupStartsAtTheEndOnce: a group made at the end begins there, also when
// the node is restarted before it ever wrote a checkpoint.
func TestGroupStartsAtTheEndOnce(t *testing.T) {
	fs := vfs.NewMem()
	s := openMem(t, fs)
	mustAppend(t, s, "s", expectAny, someEvents(3))
	gs, err := openGroups(s, quiet, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	c := someGroup("s", roundRobin)
	c.Start = startEnd
	if err := gs.create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := gs.close(); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, "s", expectAny, someEvents(1)) // while nobody looked
	if gs, err = openGroups(s, quiet, time.Now); err != nil {
		t.Fatal(err)
	}
	g, err := gs.get(c.key())
	if err != nil {
		t.Fatal(err)
	}
	if d := take1(t, mustJoin(t, g, 1)); d.record.Revision != 3 {
		t.Errorf("the first delivery is revision %d, want 3", d.record.Revision)
	}
	if err := gs.close(); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
}

// TestParkedAndCheckpointTogether: the append that parks a message also says
// that it is dealt with, so that a restart between the two cannot be.
func TestParkedAndCheckpointTogether(t *testing.T) {
	s, g := openGroup(t, func(c *groupConfig) { c.MinCheckpoint, c.MaxCheckpoint = 1000, 1000 })
	mustAppend(t, s, "s", expectNoStream, someEvents(1))
	d := take1(t, mustJoin(t, g, 1))
	before := s.head()
	g.nack(nackPark, "poison", []uuid.UUID{d.record.ID})
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	if err := s.waitBeyond(ctx, before); err != nil {
		t.Fatal(err)
	}
	// The first batch after the nack has both, or a reader at this head would
	// see one without the other.
	parked, _, err := newestOf(t.Context(), s, g.key.parkedStream())
	if err != nil {
		t.Fatal(err)
	}
	checkpoint, _, err := newestOf(t.Context(), s, g.key.checkpointStream())
	if err != nil {
		t.Fatal(err)
	}
	if string(parked.Data) != "0@s" || string(checkpoint.Data) != `"0"` || checkpoint.Created != parked.Created {
		t.Errorf("parked is %s at %v, the checkpoint %s at %v: want 0@s and \"0\" in one batch", parked.Data, parked.Created, checkpoint.Data, checkpoint.Created)
	}
}

// stuckEngine is a log whose first append to several streams is not made and
// comes back when its context ends; those after it are as it says.
type stuckEngine struct {
	engine
	recovers bool
	calls    atomic.Int32
}

func (e *stuckEngine) appendAll(ctx context.Context, parts []part) error {
	if e.calls.Add(1) > 1 && e.recovers {
		return e.engine.appendAll(ctx, parts)
	}
	<-ctx.Done()
	return ctx.Err()
}

// TestParkingThatIsInterrupted: the append that parks a message was still under
// way when the group ended. The last checkpoint must not go beyond it unless it
// was written after all.
func TestParkingThatIsInterrupted(t *testing.T) {
	for _, recovers := range []bool{false, true} {
		fs := vfs.NewMem()
		s := openMem(t, fs)
		mustAppend(t, s, "s", expectNoStream, someEvents(1))
		e := &stuckEngine{engine: s, recovers: recovers}
		gs, err := openGroups(e, quiet, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		c := someGroup("s", roundRobin)
		if err := gs.create(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		g, err := gs.get(c.key())
		if err != nil {
			t.Fatal(err)
		}
		d := take1(t, mustJoin(t, g, 1))
		g.nack(nackPark, "poison", []uuid.UUID{d.record.ID})
		for e.calls.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		if err := gs.close(); err != nil {
			t.Fatal(err)
		}
		if gs, err = openGroups(s, quiet, time.Now); err != nil {
			t.Fatal(err)
		}
		if g, err = gs.get(c.key()); err != nil {
			t.Fatal(err)
		}
		if parked := g.info().parked; recovers && parked != 1 {
			t.Errorf("%d messages are parked, want the one whose append was repeated", parked)
		}
		if !recovers {
			if again := take1(t, mustJoin(t, g, 1)); again.record.ID != d.record.ID {
				t.Errorf("%s was delivered, want the message that was not parked", again.record.ID)
			}
		}
		if err := gs.close(); err != nil {
			t.Fatal(err)
		}
		closeStore(t, s)
	}
}

// failingDeletes is a log that takes no deletions.
type failingDeletes struct{ engine }

func (failingDeletes) delete(context.Context, string, int64, bool) (uint64, error) {
	return 0, command.ErrReadOnly
}

// TestGroupMadeAgain: a group whose deletion was interrupted is gone, and one of
// its name that is made afterwards begins where it was told to, with nothing
// parked.
func TestGroupMadeAgain(t *testing.T) {
	s := openMem(t, vfs.NewMem())
	defer closeStore(t, s)
	mustAppend(t, s, "s", expectNoStream, someEvents(2))
	gs, err := openGroups(failingDeletes{s}, quiet, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	c := someGroup("s", roundRobin)
	if err := gs.create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	g, err := gs.get(c.key())
	if err != nil {
		t.Fatal(err)
	}
	consumer := mustJoin(t, g, 1)
	g.ack([]uuid.UUID{take1(t, consumer).record.ID})
	g.nack(nackPark, "poison", []uuid.UUID{take1(t, consumer).record.ID})
	for g.info().parked != 1 {
		time.Sleep(time.Millisecond)
	}
	if err := gs.delete(t.Context(), c.key()); !errors.Is(err, command.ErrReadOnly) {
		t.Fatalf("deleted, with %v", err)
	}
	if err := gs.create(t.Context(), c); !errors.Is(err, command.ErrReadOnly) {
		t.Errorf("made again while the old one's place cannot be forgotten: %v", err)
	}
	if err := gs.close(); err != nil {
		t.Fatal(err)
	}
	if gs, err = openGroups(s, quiet, time.Now); err != nil {
		t.Fatal(err)
	}
	if _, err := gs.get(c.key()); !errors.Is(err, errNoGroup) {
		t.Errorf("after a restart: %v", err)
	}
	if err := gs.create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if g, err = gs.get(c.key()); err != nil {
		t.Fatal(err)
	}
	if parked := g.info().parked; parked != 0 {
		t.Errorf("%d messages are parked", parked)
	}
	if d := take1(t, mustJoin(t, g, 1)); d.record.Revision != 0 {
		t.Errorf("it begins at revision %d", d.record.Revision)
	}
	if err := gs.close(); err != nil {
		t.Fatal(err)
	}
}
