package node

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
)

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
	if promised, err := readCheckpointFile(l.fs, l.checkpointPath()); err != nil || promised.end.size < newest {
		l.fatalf("the checkpoint promises %d events, %v; position %d was acknowledged", promised.end.size, err, newest)
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
