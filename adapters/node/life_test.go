package node

import (
	"context"
	"errors"
	"fmt"
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

// lifeOptions flush index blocks every few events, and fill a lap with a few
// appends; some are too large for a redo.
func lifeOptions(fs vfs.FS, dir string) Options {
	return Options{Dir: dir, Logger: quiet, fs: fs, flushAfter: 12, lapBytes: 4 * recordBlock}
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

// TestLife: one that nobody ends.
func TestLife(t *testing.T) {
	fs, l := vfs.NewMem(), &life{}
	if err := l.run(fs, "data"); err != nil {
		t.Fatal(err)
	}
	(&left{T: t, what: "nothing", fs: fs, dir: "data", told: l.sofar(), may: l.sofar()}).check(true)
}
