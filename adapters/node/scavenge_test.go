package node

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/event"
)

func describe(t testing.TB, s *store, stream, metadata string) {
	t.Helper()
	mustAppend(t, s, metastreamOf(stream), expectAny, []proposed{{ID: uuid.New(), Type: metadataEventType, ContentType: jsonContent, Data: []byte(metadata)}})
}

// TestScavenge: what a stream's readers cannot see is freed and leaves $all;
// what they see stays; the log verifies as before, and index streams keep their
// numbers.
func TestScavenge(t *testing.T) {
	clock := &fakeClock{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	open := func(fs vfs.FS) *Node {
		n, err := Open(Options{Dir: "data", Logger: quiet, fs: fs, now: clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	fs := vfs.NewMem()
	n := open(fs)
	s := n.store
	for _, stream := range []string{"order-truncated", "order-counted", "order-aged", "order-deleted", "order-closed", "order-kept"} {
		mustAppend(t, s, stream, expectNoStream, someEvents(4))
	}
	clock.move(time.Hour)
	mustAppend(t, s, "order-aged", expectAny, someEvents(1))
	describe(t, s, "order-truncated", `{"$tb":3}`)
	describe(t, s, "order-counted", `{"$maxCount":7}`)
	describe(t, s, "order-counted", `{"$maxCount":2}`) // the one before is free now
	describe(t, s, "order-aged", `{"$maxAge":60}`)
	for stream, forGood := range map[string]bool{"order-deleted": false, "order-closed": true} {
		if _, err := s.delete(t.Context(), stream, expectAny, forGood); err != nil {
			t.Fatal(err)
		}
	}
	seen := func(n *Node) (text string) {
		for _, stream := range []string{"order-truncated", "order-counted", "order-aged", "order-deleted", "order-kept", "$$order-counted"} {
			got, err := take(n.engine.readStream(t.Context(), stream, false, 0))
			if err != nil {
				t.Fatal(err)
			}
			text += fmt.Sprintln(stream, len(got))
			for _, r := range got {
				text += fmt.Sprintln(r.Revision, r.ID, string(r.Data))
			}
		}
		return text
	}
	before := seen(n)
	dry, err := n.Scavenge(t.Context(), ScavengeOptions{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	all, err := take(s.readAll(t.Context(), false, 0))
	if err != nil {
		t.Fatal(err)
	}
	done, err := n.Scavenge(t.Context(), ScavengeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// 3 truncated, 2 beyond the count, 4 too old, 4 + 4 deleted, 1 old metadata.
	if want := uint64(3 + 2 + 4 + 4 + 4 + 1); done.Events != want || dry.Events != want || done.Streams != 6 || done.Bytes == 0 {
		t.Errorf("scavenged %+v, a dry run said %+v; want %d events of 6 streams", done, dry, want)
	}
	for range 2 {
		if after := seen(n); after != before {
			t.Errorf("streams read otherwise after the scavenge:\n%s\nbefore:\n%s", after, before)
		}
		left, err := take(n.store.readAll(t.Context(), false, 0))
		if err != nil || len(left) != len(all)-int(done.Events) {
			t.Errorf("$all has %d events, %v, after %d of %d were scavenged", len(left), err, done.Events, len(all))
		}
		backwards, err := take(n.store.readAll(t.Context(), true, ^uint64(0)))
		if err != nil || len(backwards) != len(left) {
			t.Errorf("$all has %d events backwards, %v, and %d forwards", len(backwards), err, len(left))
		}
		links, err := take(n.store.readStream(t.Context(), "$ce-order", false, 0))
		if err != nil || len(links) != 6*4+1+2 { // the deletions have links too
			t.Errorf("$ce-order has %d links, %v", len(links), err)
		}
		target, err := linkTarget(t.Context(), n.engine, "order-truncated", 0)
		if target != nil || err != nil {
			t.Errorf("a link to what was scavenged leads to %v, %v", target, err)
		}
		if err := n.Verify(t.Context()); err != nil {
			t.Error(err)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		n = open(fs)
	}
	again, err := n.Scavenge(t.Context(), ScavengeOptions{})
	if err != nil || again.Events != 0 {
		t.Errorf("a second scavenge did %+v, %v", again, err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestScavengeCountsOnce: a stream that was deleted twice, the second time for
// good, is one stream to free, also for a dry run.
func TestScavengeCountsOnce(t *testing.T) {
	s := openMem(t, vfs.NewMem())
	defer closeStore(t, s)
	mustAppend(t, s, "a", expectNoStream, someEvents(4))
	for _, forGood := range []bool{false, true} {
		if _, err := s.delete(t.Context(), "a", expectAny, forGood); err != nil {
			t.Fatal(err)
		}
	}
	n := &Node{engine: s, store: s}
	for _, dry := range []bool{true, false} {
		if got, err := n.Scavenge(t.Context(), ScavengeOptions{DryRun: dry}); err != nil || got.Events != 4+1 || got.Streams != 2 {
			t.Errorf("dry run %v: %+v, %v; want the stream's 4 events and its metadata", dry, got, err)
		}
	}
}

// TestScavengeLooksAtTheAge of every event, whatever its id is.
func TestScavengeLooksAtTheAge(t *testing.T) {
	s := openMem(t, vfs.NewMem())
	defer closeStore(t, s)
	describe(t, s, "a", `{"$maxAge":60}`)
	mustAppend(t, s, "a", expectNoStream, []proposed{{Type: "T", ContentType: jsonContent, Data: []byte("{}")}})
	if got, err := (&Node{engine: s, store: s}).Scavenge(t.Context(), ScavengeOptions{}); err != nil || got.Events != 0 {
		t.Errorf("of a stream whose only event is young, a scavenge took %+v, %v", got, err)
	}
}

// TestScavengeFreesSpace: on a real disk the directory becomes smaller.
func TestScavengeFreesSpace(t *testing.T) {
	dir := t.TempDir()
	n, err := Open(Options{Dir: dir, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	event := func() proposed {
		e := proposed{ID: uuid.New(), Type: "T", ContentType: octetContent}
		for len(e.Data) < 4000 { // does not compress
			id := uuid.New()
			e.Data = append(e.Data, id[:]...)
		}
		return e
	}
	for range 20 {
		events := make([]proposed, 200)
		for i := range events {
			events[i] = event()
		}
		mustAppend(t, n.store, "big", expectAny, events)
	}
	if err := n.store.db.Flush(); err != nil {
		t.Fatal(err)
	}
	before := tablesIn(t, dir)
	describe(t, n.store, "big", `{"$maxCount":10}`)
	if _, err := n.Scavenge(t.Context(), ScavengeOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil { // obsolete tables are deleted by then
		t.Fatal(err)
	}
	if after := tablesIn(t, dir); after > before/4 {
		t.Errorf("the tables had %d bytes and have %d", before, after)
	}
}

func tablesIn(t *testing.T, dir string) (size int64) {
	t.Helper()
	tables, err := filepath.Glob(filepath.Join(dir, "log", "*.sst"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range tables {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	return size
}

// scavengedEnd is a log whose newest events were scavenged: positions 2 to 4.
func scavengedEnd(t *testing.T, n *Node) {
	t.Helper()
	describe(t, n.store, "a", `{"$tb":100}`)
	mustAppend(t, n.store, "a", expectNoStream, someEvents(3))
	if done, err := n.Scavenge(t.Context(), ScavengeOptions{}); err != nil || done.Events != 3 {
		t.Fatal(done, err)
	}
}

// countedReads counts reads of the whole log.
type countedReads struct {
	engine
	reads atomic.Int64
}

func (c *countedReads) readAll(ctx context.Context, backwards bool, from uint64) iter.Seq2[record, error] {
	c.reads.Add(1)
	return c.engine.readAll(ctx, backwards, from)
}

// TestSubscribeToScavengedEnd: whoever subscribes to a log whose newest events
// were scavenged has caught up, and waits for more without looking again and
// again.
func TestSubscribeToScavengedEnd(t *testing.T) {
	for _, after := range []uint64{0, 1, 3} {
		n := openTest(t)
		scavengedEnd(t, n)
		counted := &countedReads{engine: n.engine}
		live := false
		for page, err := range (log{counted}).Subscribe(t.Context(), event.At(after), command.Filter{}) {
			if err != nil {
				t.Fatalf("after %d: %v", after, err)
			}
			if len(page.Events) > 0 {
				if !live || page.Events[0].Position != event.At(5) {
					t.Errorf("after %d came %+v, caught up before: %v", after, page, live)
				}
				break
			}
			if page.Live && !live {
				live = true
				if page.Last != event.At(4) {
					t.Errorf("after %d it has caught up at %v", after, page.Last)
				}
				time.AfterFunc(20*time.Millisecond, func() { mustAppend(t, n.store, "b", expectNoStream, someEvents(1)) })
			}
		}
		if reads := counted.reads.Load(); reads > 5 {
			t.Errorf("after %d: the log was read %d times", after, reads)
		}
	}
}

// The same through the protocol.
func TestServerSubscribesToScavengedEnd(t *testing.T) {
	s := &served{T: t, node: openTest(t)}
	scavengedEnd(t, s.node)
	counted := &countedReads{engine: s.node.engine}
	s.server = newServer(counted, s.node.groups, ServerOptions{})
	s.must(s.server.Start())
	t.Cleanup(func() { s.must(s.server.Close()) })
	s.raw = streams.NewStreamsClient(dial(t, s.server.Addr()))
	plain, picky := s.subscribe(readAll(subscription, fromStart)), s.subscribe(readAll(subscription, at(3), filtered(byStream(&expression{Prefix: []string{"b"}}))))
	plain.want("from the start", "event 1", "caught up")
	picky.want("with a filter", "checkpoint 4", "caught up")
	time.Sleep(20 * time.Millisecond)
	s.write("b", "B", 1)
	plain.want("live", "event 5")
	picky.want("live", "event 5")
	if reads := counted.reads.Load(); reads > 10 {
		t.Errorf("the log was read %d times", reads)
	}
}

// TestScavengeAndClose: a log may be closed while it is scavenged.
func TestScavengeAndClose(t *testing.T) {
	for range 100 {
		fs := vfs.NewMem()
		n, err := Open(Options{Dir: "data", Logger: quiet, fs: fs, flushAfter: 3})
		if err != nil {
			t.Fatal(err)
		}
		mustAppend(t, n.store, "a", expectNoStream, someEvents(10))
		if _, err := n.store.delete(t.Context(), "a", expectAny, false); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				for {
					_, err := n.Scavenge(t.Context(), ScavengeOptions{})
					if errors.Is(err, command.ErrClosed) {
						return
					}
					if err != nil && !errors.Is(err, ErrScavenging) {
						t.Error(err)
						return
					}
				}
			})
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		all.Wait()
	}
}

// TestReadWhileMetadataIsScavenged: a reader that looked how far the log goes,
// and then waited so long that the metadata it finds there was replaced and
// scavenged, looks again. Otherwise a deleted stream would be there for it, and a
// stream with an access list would have none.
func TestReadWhileMetadataIsScavenged(t *testing.T) {
	s := openMem(t, vfs.NewMem())
	defer closeStore(t, s)
	mustAppend(t, s, "a", expectNoStream, someEvents(3))
	for range 2 {
		if _, err := s.delete(t.Context(), "a", expectAny, false); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := (&Node{engine: s, store: s}).Scavenge(t.Context(), ScavengeOptions{}); err != nil {
		t.Fatal(err)
	}
	end := s.head()
	for what, read := range map[string]func(upTo uint64) error{
		"the stream": func(upTo uint64) error {
			return s.withIndex(func(x *index) error {
				v, err := s.view(x, "a", upTo)
				if err == nil && v.Exists {
					t.Error("the deleted stream is there")
				}
				return err
			})
		},
		"its metadata": func(upTo uint64) error {
			c := cursor{stream: "$$a", from: math.MaxUint64, backwards: true}
			c.run.next()
			err := s.streamRunTo(&c, upTo)
			if err == nil && len(c.run.records) != 1 {
				t.Errorf("its metadata are %+v", c.run.records)
			}
			return err
		},
	} {
		for _, moves := range []bool{true, false} {
			s.tip.position.Store(end - 1) // as it was when the reader began
			reads := 0
			err := s.upToDate(func(upTo uint64) error {
				if reads++; moves {
					defer s.tip.position.Store(end)
				}
				return read(upTo)
			})
			s.tip.position.Store(end)
			if moves && (reads != 2 || err != nil) || !moves && !errors.Is(err, ErrDamaged) {
				t.Errorf("%s, the log goes on: %v: read %d times, %v", what, moves, reads, err)
			}
		}
	}
}
