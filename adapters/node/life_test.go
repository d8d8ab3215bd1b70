package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
)

// A life is a short run of a node in which everything is written that a node
// writes: events, index blocks, a group's checkpoints and parked messages,
// deletions, tables, a scavenge; then it is closed and opened, and goes on.
// Tests end it wherever they like. What it was told until then must hold of what
// is left.
type life struct {
	tell func(note) // also called with each note; may be nil

	mu    sync.Mutex
	notes []note
}

// note is what a life asked, or was told.
type note struct {
	What     remark      `json:"what"`
	Stream   string      `json:"stream,omitempty"`
	IDs      []uuid.UUID `json:"ids,omitempty"`
	Revision int64       `json:"revision,omitempty"`
	Position uint64      `json:"position,omitempty"`
}

type remark string

const (
	proposes   remark = "proposes"   // to append events
	appendedAt remark = "appended"   // they are at a revision and position (of the last)
	hiding     remark = "hiding"     // the events of a stream before a revision are about to be hidden
	hiddenNow  remark = "hidden"     // and are
	scavenging remark = "scavenging" // is about to begin
	grouped    remark = "grouped"    // the group is there
	dealt      remark = "dealt"      // a consumer is about to say that it has dealt with an event
	parked     remark = "parked"     // the group said that it has parked an event
)

func (l *life) note(n note) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notes = append(l.notes, n)
	if l.tell != nil {
		l.tell(n)
	}
}

func (l *life) sofar() []note {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.notes[:len(l.notes):len(l.notes)]
}

// lifeOptions flush index blocks every few events.
func lifeOptions(fs vfs.FS, dir string) Options {
	return Options{Dir: dir, Logger: quiet, fs: fs, flushAfter: 12}
}

// lifeGroup is the group of every life.
var lifeGroup = func() groupConfig {
	c := someGroup("order-1", roundRobin)
	c.CheckpointMS = 1
	return c
}()

// lifeData is what an event says: its id, so that its bytes can be checked.
func lifeData(id uuid.UUID) string { return fmt.Sprintf(`{"id":"%s"}`, id) }

// run lives.
func (l *life) run(fs vfs.FS, dir string) error {
	for _, days := range []func(*living) error{(*living).first, (*living).second} {
		n, err := Open(lifeOptions(fs, dir))
		if err != nil {
			return err
		}
		if err := errors.Join(days(&living{l, n}), n.Close()); err != nil {
			return err
		}
	}
	return nil
}

type living struct {
	*life
	node *Node
}

// first makes a group that acks, retries and parks, hides events in each way,
// and scavenges.
func (l *living) first() error {
	if err := l.node.groups.create(context.Background(), lifeGroup); err != nil {
		return err
	}
	l.note(note{What: grouped})
	return l.all(
		func() error { return l.append("order-1", 2) },
		func() error { return l.append("order-1", 3) },
		func() error { return l.append("order-1", 1) },
		func() error { return l.consume(6, 2) },
		func() error { return l.append("order-2", 3) },
		func() error { return l.append("order-3", 3) },
		func() error { return l.append("order-4", 3) },
		func() error { return l.node.store.db.Flush() },
		func() error { return l.append("order-4", 2) },
		func() error { return l.hide("order-4", 4, l.truncate) },
		func() error { return l.hide("order-2", 3, l.delete) },
		func() error { return l.hide("order-3", 3, l.tombstone) },
		func() error { return l.append("order-2", 2) },
		l.scavenge,
		func() error { return l.append("order-1", 2) },
	)
}

// second deals with what was parked, and scavenges what that freed.
func (l *living) second() error {
	g, err := l.node.groups.get(lifeGroup.key())
	if err != nil {
		return err
	}
	return l.all(
		func() error { return l.consume(2, 0) },
		func() error { return g.replay(^uint64(0), nil) },
		func() error { return l.consume(2, 1) },
		func() error { return l.append("order-4", 3) },
		l.scavenge,
		func() error { return l.node.store.db.Flush() },
		func() error { return l.append("order-2", 1) },
	)
}

func (l *living) all(steps ...func() error) error {
	for i, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}

func (l *living) append(stream string, count int) error {
	n := note{What: proposes, Stream: stream}
	events := someEvents(count)
	for i := range events {
		events[i].Data = []byte(lifeData(events[i].ID))
		n.IDs = append(n.IDs, events[i].ID)
	}
	l.note(n)
	at, err := l.node.engine.append(context.Background(), stream, expectAny, events)
	if err == nil {
		n.What, n.Revision, n.Position = appendedAt, at.Revision, at.Position
		l.note(n)
	}
	return err
}

func (l *living) hide(stream string, before int64, how func(stream string) error) error {
	l.note(note{What: hiding, Stream: stream, Revision: before})
	err := how(stream)
	if err == nil {
		l.note(note{What: hiddenNow, Stream: stream, Revision: before})
	}
	return err
}

func (l *living) truncate(stream string) error {
	_, err := l.node.engine.append(context.Background(), metastreamOf(stream), expectAny,
		[]proposed{{ID: uuid.New(), Type: metadataEventType, ContentType: jsonContent, Data: []byte(`{"$tb":4}`)}})
	return err
}

func (l *living) delete(stream string) error {
	_, err := l.node.engine.delete(context.Background(), stream, expectAny, false)
	return err
}

func (l *living) tombstone(stream string) error {
	_, err := l.node.engine.delete(context.Background(), stream, expectAny, true)
	return err
}

func (l *living) scavenge() error {
	l.note(note{What: scavenging})
	_, err := l.node.Scavenge(context.Background(), ScavengeOptions{})
	return err
}

// lifePatience bounds what a life waits for.
const lifePatience = 30 * time.Second

// consume settles so many messages: those at odd places are said to be retried
// first, and the last ones are parked.
func (l *living) consume(settle, park int) error {
	g, err := l.node.groups.get(lifeGroup.key())
	if err != nil {
		return err
	}
	before := g.info().parked
	c := &consumer{buffer: 3}
	if err := g.join(c); err != nil {
		return err
	}
	defer g.leave(c)
	var gaveUp []uuid.UUID
	for n, seen := 0, map[uuid.UUID]bool{}; n < settle; {
		var d delivery
		select {
		case d = <-c.deliveries:
		case <-time.After(lifePatience):
			return fmt.Errorf("of %d messages %d came: %+v", settle, n, g.info())
		}
		id, original := d.record.ID, d.record.ID
		if d.isLink {
			original = d.event.ID
		}
		if n%2 == 1 && !seen[id] {
			seen[id] = true
			g.nack(nackRetry, "once more", []uuid.UUID{id})
			continue
		}
		if n++; n > settle-park {
			g.nack(nackPark, "poison", []uuid.UUID{id})
			gaveUp = append(gaveUp, original)
			continue
		}
		l.note(note{What: dealt, IDs: []uuid.UUID{original}})
		g.ack([]uuid.UUID{id})
	}
	if park == 0 {
		return nil
	}
	// Of the second life one of two parked messages was dealt with.
	want := max(park, before-settle+park)
	for deadline := time.Now().Add(lifePatience); g.info().parked != want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("%d messages are parked, want %d", g.info().parked, want)
		}
	}
	l.note(note{What: parked, IDs: gaveUp})
	return nil
}

// left is what is left of a life, and what is known of it: told until it ended,
// and what may have happened when it ended.
type left struct {
	*testing.T
	what string // ended it
	fs   vfs.FS
	dir  string
	told []note
	may  []note

	node *Node
}

func (l *left) checkpointPath() string { return l.fs.PathJoin(l.dir, "checkpoint") }

func (l *left) fatalf(format string, args ...any) {
	l.Helper()
	l.Fatalf("%s: %s", l.what, fmt.Sprintf(format, args...))
}

// check opens what is left and compares it with what was told. Then it goes on
// with it, and compares again.
func (l *left) check(goOn bool) {
	l.Helper()
	l.checkpointed()
	var err error
	if l.node, err = Open(lifeOptions(l.fs, l.dir)); err != nil {
		l.fatalf("it does not open: %v", err)
	}
	l.checkEvents()
	l.checkGroup()
	if goOn {
		on := &living{&life{}, l.node}
		if err := on.all(on.scavenge, func() error { return on.append("order-1", 1) }); err != nil {
			l.fatalf("it does not go on: %v", err)
		}
		l.may = append(slices.Clip(l.may), on.sofar()...)
		l.told = append(slices.Clip(l.told), on.sofar()...)
		l.checkEvents()
	}
	if err := l.node.Close(); err != nil {
		l.fatalf("%v", err)
	}
}

// checkpointed: what was acknowledged is promised.
func (l *left) checkpointed() {
	l.Helper()
	newest := uint64(0)
	for _, n := range l.told {
		newest = max(newest, n.Position)
	}
	if newest == 0 {
		return
	}
	if promised, err := readCheckpointFile(l.fs, l.checkpointPath()); err != nil || promised.size < newest {
		l.fatalf("the checkpoint promises %d events, %v; position %d was acknowledged", promised.size, err, newest)
	}
}

// checkEvents: the log verifies; what was acknowledged is there, unless a
// scavenge that began could take it; of an append all is there or nothing.
func (l *left) checkEvents() {
	l.Helper()
	if err := l.node.Verify(l.Context()); err != nil {
		l.fatalf("%v", err)
	}
	all, shown := map[uuid.UUID]record{}, map[uuid.UUID]bool{}
	for r, err := range l.node.store.scan(1, l.node.engine.head()) {
		if err != nil {
			l.fatalf("%v", err)
		}
		all[r.ID] = r
	}
	for _, stream := range []string{"order-1", "order-2", "order-3", "order-4"} {
		st, err := l.node.engine.state(stream)
		if err != nil {
			l.fatalf("%v", err)
		}
		if st.Tombstoned {
			continue
		}
		for r, err := range l.node.engine.readStream(l.Context(), stream, false, 0) {
			if err != nil {
				l.fatalf("%v", err)
			}
			shown[r.ID] = true
		}
	}
	began, hidden, gone := false, map[string]int64{}, map[string]int64{}
	for _, n := range l.may {
		switch n.What {
		case scavenging:
			began = true
		case hiding:
			hidden[n.Stream] = n.Revision
		case proposes:
			here := 0
			for _, id := range n.IDs {
				if _, ok := all[id]; ok {
					here++
				}
			}
			if here != 0 && here != len(n.IDs) {
				l.fatalf("of an append of %d events to %s %d are there", len(n.IDs), n.Stream, here)
			}
		}
	}
	for _, n := range l.told {
		if n.What == hiddenNow {
			gone[n.Stream] = n.Revision
		}
	}
	for _, n := range l.told {
		if n.What != appendedAt {
			continue
		}
		for i, id := range n.IDs {
			r, ok := all[id]
			revision, position := n.Revision-int64(len(n.IDs)-1-i), n.Position-uint64(len(n.IDs)-1-i)
			if !ok || r.Stream != n.Stream || int64(r.Revision) != revision || r.Position != position {
				l.fatalf("%s: acknowledged was %s at revision %d, position %d, there is %+v", n.Stream, id, revision, position, r)
			}
			mayHide := revision < hidden[n.Stream]
			if r.emptied && !(began && mayHide) || !r.emptied && string(r.Data) != lifeData(id) {
				l.fatalf("%s: revision %d is %+v, a scavenge had begun: %v, it could take the event: %v", n.Stream, revision, r, began, mayHide)
			}
			if !shown[id] && !mayHide {
				l.fatalf("%s: revision %d is there but not seen", n.Stream, revision)
			}
			if shown[id] && revision < gone[n.Stream] {
				l.fatalf("%s: revision %d was hidden and is seen", n.Stream, revision)
			}
		}
	}
}

// checkGroup: each event of the group's stream was dealt with, or is parked, or
// comes again; what was parked is.
func (l *left) checkGroup() {
	l.Helper()
	g, err := l.node.groups.get(lifeGroup.key())
	made := slices.ContainsFunc(l.told, func(n note) bool { return n.What == grouped })
	if errors.Is(err, errNoGroup) && !made {
		return
	}
	if err != nil {
		l.fatalf("%v", err)
	}
	settled := map[uuid.UUID]bool{}
	for p, err := range g.parkedEvents(l.Context()) {
		if err != nil {
			l.fatalf("%v", err)
		}
		settled[p.Event.ID] = true
	}
	for _, n := range l.may {
		if n.What == dealt {
			settled[n.IDs[0]] = true
		}
	}
	for _, n := range l.told {
		for _, id := range n.IDs {
			if n.What == parked && !settled[id] {
				l.fatalf("%s was parked and is not", id)
			}
		}
	}
	for _, id := range l.drain(g) {
		settled[id] = true
	}
	for r, err := range l.node.engine.readStream(l.Context(), lifeGroup.Stream, false, 0) {
		if err != nil {
			l.fatalf("%v", err)
		}
		if !settled[r.ID] {
			l.fatalf("revision %d was not dealt with, is not parked and does not come again: %+v", r.Revision, g.info())
		}
	}
}

// drain acks what the group still gives out.
func (l *left) drain(g *group) (ids []uuid.UUID) {
	l.Helper()
	st, err := l.node.engine.state(lifeGroup.Stream)
	if err != nil {
		l.fatalf("%v", err)
	}
	c := &consumer{buffer: 64}
	if err := g.join(c); err != nil {
		l.fatalf("%v", err)
	}
	defer g.leave(c)
	for deadline := time.Now().Add(lifePatience); ; {
		select {
		case d := <-c.deliveries:
			id := d.record.ID
			if d.isLink {
				id = d.event.ID
			}
			ids = append(ids, id)
			g.ack([]uuid.UUID{d.record.ID})
			continue
		default:
		}
		i := g.info()
		if cmp.Or(i.waiting, i.retrying, i.out) == 0 && int64(i.next) > st.Last {
			return ids
		}
		if time.Now().After(deadline) {
			l.fatalf("the group does not come to rest: %+v", i)
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// TestLife: one that nobody ends.
func TestLife(t *testing.T) {
	fs, l := vfs.NewMem(), &life{}
	if err := l.run(fs, "data"); err != nil {
		t.Fatal(err)
	}
	(&left{T: t, what: "nothing", fs: fs, dir: "data", told: l.sofar(), may: l.sofar()}).check(true)
}
