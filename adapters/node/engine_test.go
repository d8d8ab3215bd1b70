package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"

	"kicau/adapters/command"
)

// openMem opens a log on a file system in memory.
func openMem(t testing.TB, fs vfs.FS) *store {
	t.Helper()
	s, err := openStore(Options{Dir: "data", Logger: quiet, fs: fs})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closeStore(t testing.TB, s *store) {
	t.Helper()
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
}

func someEvents(n int) []proposed {
	events := make([]proposed, n)
	for i := range events {
		events[i] = proposed{ID: uuid.New(), Type: "T", ContentType: jsonContent, Data: []byte(`{"n":1}`), Metadata: []byte("{}")}
	}
	return events
}

func mustAppend(t testing.TB, s *store, stream string, expect int64, events []proposed) appended {
	t.Helper()
	at, err := s.append(t.Context(), stream, expect, events)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestWriters: many writers race for few streams at exact revisions while a
// reader follows. Every revision is won once, nothing is missed, and what was
// answered can be read at once.
func TestWriters(t *testing.T) {
	const writers, streams, each = 64, 4, 20
	s := openMem(t, vfs.NewMem())
	defer closeStore(t, s)

	following, stop := context.WithCancel(t.Context())
	seen := make(chan error, 1)
	go func() { seen <- follow(following, s, writers*each) }()

	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			stream := fmt.Sprint("stream-", w%streams)
			for n := 0; n < each; {
				state, err := s.state(stream)
				if err != nil {
					t.Error(err)
					return
				}
				event := someEvents(1)
				at, err := s.append(t.Context(), stream, state.Last, event)
				var wrong *wrongRevision
				if errors.As(err, &wrong) {
					if wrong.Actual <= wrong.Expected {
						t.Errorf("%s: refused at %d, expected %d", stream, wrong.Actual, wrong.Expected)
					}
					continue
				}
				if err != nil || at.Revision != state.Last+1 {
					t.Errorf("%s: %+v, %v after revision %d", stream, at, err, state.Last)
					return
				}
				if s.head() < at.Position {
					t.Errorf("the head is %d when %d was answered", s.head(), at.Position)
				}
				for r, err := range s.readStream(t.Context(), stream, false, uint64(at.Revision)) {
					if err != nil || r.ID != event[0].ID || r.Position != at.Position {
						t.Errorf("%s: read %+v, %v after %+v was answered", stream, r, err, at)
						return
					}
					break
				}
				n++
			}
		})
	}
	all.Wait()
	if t.Failed() {
		stop()
	}
	if err := <-seen; err != nil {
		t.Fatal(err)
	}
	stop()
	for i := range streams {
		events, err := take(s.readStream(t.Context(), fmt.Sprint("stream-", i), false, 0))
		if err != nil {
			t.Fatal(err)
		}
		if len(events) != writers/streams*each {
			t.Fatalf("stream %d has %d events", i, len(events))
		}
		for n, r := range events {
			if r.Revision != uint64(n) {
				t.Fatalf("stream %d: revision %d is at place %d", i, r.Revision, n)
			}
		}
	}
}

// follow reads the log as a live subscription does until it has want events.
func follow(ctx context.Context, s *store, want uint64) error {
	last := uint64(0)
	revisions := map[string]uint64{}
	for last < want {
		if err := s.waitBeyond(ctx, last); err != nil {
			return err
		}
		for r, err := range s.readAll(ctx, false, last+1) {
			if err != nil {
				return err
			}
			if r.Position != last+1 || r.Revision != revisions[r.Stream] {
				return fmt.Errorf("after position %d came %+v", last, r)
			}
			last = r.Position
			revisions[r.Stream]++
		}
	}
	return nil
}

// TestAnsweredIsVisible: when the first of a batch has its answer, the whole
// batch can be read, and is promised.
func TestAnsweredIsVisible(t *testing.T) {
	fs := vfs.NewMem()
	s := openMem(t, fs) // its own committer has nothing to do
	file, err := createCheckpointFile(fs, "another", lapBytes, checkpoint{})
	if err != nil {
		t.Fatal(err)
	}
	c := newCommitter(s, logEnd{}, file)
	first, second := make(chan answer), make(chan answer)
	b := c.begin()
	c.decide(b, &submission{parts: []part{{"a", expectNoStream, someEvents(1)}}, answer: first})
	c.decide(b, &submission{parts: []part{{"b", expectNoStream, someEvents(1)}}, answer: second})
	go c.finish(c.seal(b))
	<-first
	if c.head() != 2 {
		t.Errorf("the head is %d", c.head())
	}
	promised, err := readCheckpointFile(fs, "another")
	if err != nil || promised.end.size != 2 {
		t.Errorf("%+v is promised, %v", promised, err)
	}
	<-second
	if err := file.close(); err != nil {
		t.Error(err)
	}
}

// TestRetryAtAny: an append at Any is recognised among the newest recentEvents
// events of its stream, before and after a restart, and not beyond.
func TestRetryAtAny(t *testing.T) {
	fs := vfs.NewMem()
	s := openMem(t, fs)
	first := someEvents(1)
	written := mustAppend(t, s, "a", expectAny, first)
	mustAppend(t, s, "a", 0, someEvents(recentEvents-1))
	for range 2 {
		if again := mustAppend(t, s, "a", expectAny, first); again != written {
			t.Fatalf("retried at %+v, written at %+v", again, written)
		}
		closeStore(t, s)
		s = openMem(t, fs)
	}
	defer closeStore(t, s)
	mustAppend(t, s, "a", expectAny, someEvents(1))
	if again := mustAppend(t, s, "a", expectAny, first); again.Revision != recentEvents+1 {
		t.Fatalf("retried at %+v, want a new event at revision %d", again, recentEvents+1)
	}
}

// TestRetryTogether: the same append twice in one batch is written once, and a
// conflict in the batch is seen.
func TestRetryTogether(t *testing.T) {
	s := openMem(t, vfs.NewMem())
	defer closeStore(t, s)
	events := someEvents(3)
	for round := range 20 {
		stream := fmt.Sprint(round)
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				if at, err := s.append(t.Context(), stream, expectNoStream, events); err != nil || at.Revision != 2 {
					t.Errorf("%+v, %v", at, err)
				}
			})
		}
		all.Wait()
		if got, err := take(s.readStream(t.Context(), stream, false, 0)); err != nil || len(got) != 3 {
			t.Fatalf("%d events, %v", len(got), err)
		}
	}
}

func TestRefused(t *testing.T) {
	s := openMem(t, vfs.NewMem())
	defer closeStore(t, s)
	big := func(size int) []proposed {
		e := someEvents(2)
		e[0].Data = make([]byte, size-len(e[0].Metadata)-2*len(e[0].Type)-len(e[1].Data)-len(e[1].Metadata)-2*len(e[1].Type))
		return e
	}
	mustAppend(t, s, "fits", expectAny, big(command.MaxAppendBytes))
	for name, c := range map[string]struct {
		stream string
		expect int64
		events []proposed
		want   string
	}{
		"one byte too many":   {"a", expectAny, big(command.MaxAppendBytes + 1), command.ErrTooLarge.Error()},
		"too many events":     {"a", expectAny, make([]proposed, maxAppendEvents+1), command.ErrTooLarge.Error()},
		"no name":             {"", expectAny, someEvents(1), "needs a name"},
		"metastream of none":  {"$$", expectAny, someEvents(1), "needs a name"},
		"metameta":            {"$$$$a", expectAny, someEvents(1), "no metadata of its own"},
		"long name":           {strings.Repeat("a", maxStreamName+1), expectAny, someEvents(1), "1025 bytes"},
		"no such expectation": {"a", -3, someEvents(1), "no revision"},
	} {
		if _, err := s.append(t.Context(), c.stream, c.expect, c.events); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.delete(t.Context(), "$$a", expectAny, false); err == nil {
		t.Error("a metastream was deleted")
	}
	if s.head() != 2 {
		t.Errorf("%d events were written", s.head()-2)
	}
}

func TestMaxAge(t *testing.T) {
	now := time.Unix(1e9, 0)
	s, err := openStore(Options{Dir: "data", Logger: quiet, fs: vfs.NewMem(), now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	meta := someEvents(1)
	meta[0].Data = []byte(`{"$maxAge":60}`)
	mustAppend(t, s, "$$a", expectNoStream, meta)
	mustAppend(t, s, "a", expectNoStream, someEvents(2))
	now = now.Add(time.Minute)
	mustAppend(t, s, "a", 1, someEvents(2))
	now = now.Add(time.Second)
	for _, backwards := range []bool{false, true} {
		from := uint64(0)
		if backwards {
			from = ^uint64(0)
		}
		got, err := take(s.readStream(t.Context(), "a", backwards, from))
		if err != nil || len(got) != 2 || got[0].Revision+got[1].Revision != 5 {
			t.Errorf("backwards %v: %+v, %v", backwards, got, err)
		}
	}
}

// TestClose: what waits is answered, what comes is refused, twice is fine.
func TestClose(t *testing.T) {
	fs := vfs.NewMem()
	s := openMem(t, fs)
	const writers = 32
	var started, all sync.WaitGroup
	var mu sync.Mutex
	acked := map[string]appended{}
	started.Add(writers)
	for w := range writers {
		all.Go(func() {
			for n := 0; ; n++ {
				stream := fmt.Sprintf("%d-%d", w, n)
				at, err := s.append(t.Context(), stream, expectNoStream, someEvents(1))
				if n == 0 {
					started.Done()
				}
				if errors.Is(err, command.ErrClosed) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acked[stream] = at
				mu.Unlock()
			}
		})
	}
	waiting := make(chan error, 1)
	go func() { waiting <- s.waitBeyond(t.Context(), 1<<60) }()
	started.Wait()
	closeStore(t, s)
	all.Wait()
	closeStore(t, s)
	if err := <-waiting; !errors.Is(err, command.ErrClosed) {
		t.Errorf("who waited got %v", err)
	}
	if _, err := take(s.readAll(t.Context(), false, 0)); !errors.Is(err, command.ErrClosed) {
		t.Errorf("a read of a closed log: %v", err)
	}
	if _, err := s.state("a"); !errors.Is(err, command.ErrClosed) {
		t.Errorf("the state of a closed log: %v", err)
	}

	s = openMem(t, fs)
	defer closeStore(t, s)
	for stream, at := range acked {
		got, err := take(s.readStream(t.Context(), stream, false, 0))
		if err != nil || len(got) != 1 || got[0].Position != at.Position {
			t.Fatalf("%s: %+v, %v; it was acknowledged at %+v", stream, got, err, at)
		}
	}
}

// TestCancelled: whoever stops waiting for an answer gets the context's error.
func TestCancelled(t *testing.T) {
	s := openMem(t, vfs.NewMem())
	defer closeStore(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.waitBeyond(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("waitBeyond: %v", err)
	}
	if _, err := take(s.readAll(ctx, false, 0)); !errors.Is(err, context.Canceled) {
		t.Errorf("readAll: %v", err)
	}
	if _, err := take(s.readStream(ctx, "a", false, 0)); !errors.Is(err, context.Canceled) {
		t.Errorf("readStream: %v", err)
	}
	// The outcome of an append is unknown then; said again, it is known.
	event := someEvents(1)
	if _, err := s.append(ctx, "a", expectNoStream, event); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("append: %v", err)
	}
	if at := mustAppend(t, s, "a", expectNoStream, event); at.Revision != 0 || s.head() != 1 {
		t.Errorf("appended at %+v, the head is %d", at, s.head())
	}
}

// TestHeads: a head that is not asked for is forgotten, one that is stays.
func TestHeads(t *testing.T) {
	var c heads
	c.age()
	kept := &head{}
	c.put("kept", kept)
	c.put("forgotten", &head{})
	for generation := range 3 {
		for i := range headsPerGeneration {
			c.put(fmt.Sprint(generation, i), &head{})
		}
		c.age()
		if h, ok := c.get("kept"); !ok || h != kept {
			t.Fatalf("generation %d: the head in use is gone", generation)
		}
		if n := len(c.young) + len(c.old); n > 2*headsPerGeneration+3 {
			t.Fatalf("generation %d: %d heads", generation, n)
		}
	}
	if _, ok := c.get("forgotten"); ok {
		t.Fatal("nothing is forgotten")
	}

	// What they remember is bounded as well as their number.
	c.put("long", &head{recent: make([]entry, entriesPerGeneration)})
	c.age()
	c.age()
	if len(c.young) > 0 || c.entries > 0 {
		t.Fatalf("%d heads with %d entries are young still", len(c.young), c.entries)
	}
}
