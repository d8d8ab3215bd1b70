package node

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"kicau/adapters/command"
	"kicau/adapters/esdb"
	"kicau/domain/event"
)

// direct is a target in this process: the engine of another log.
type direct struct{ *store }

func (d direct) AppendStored(ctx context.Context, stream string, expect command.Expect, events []command.Stored) (command.Appended, error) {
	write := make([]proposed, len(events))
	for i, e := range events {
		write[i] = proposed{ID: e.ID, Type: e.Type, ContentType: octetContent, Data: e.Data, Metadata: e.Metadata}
		if e.JSON {
			write[i].ContentType = jsonContent
		}
	}
	at, err := d.append(ctx, stream, int64(expect), write)
	var wrong *wrongRevision
	if errors.As(err, &wrong) {
		err = &command.WrongRevision{Stream: stream, Expected: expect, Actual: command.Expect(wrong.Actual)}
	}
	return command.Appended{Revision: uint64(at.Revision), Position: event.At(at.Position)}, err
}

func (d direct) AllStored(ctx context.Context, after event.Position) iter.Seq2[command.Stored, error] {
	return func(yield func(command.Stored, error) bool) {
		for r, err := range d.readAll(ctx, false, after.Commit+1) {
			if err == nil && isSystem(r.Stream) {
				continue
			}
			if !yield(storedOf(&r), err) {
				return
			}
		}
	}
}

func (d direct) StreamStored(ctx context.Context, stream string, dir command.Direction, from uint64, max int) iter.Seq2[command.Stored, error] {
	return func(yield func(command.Stored, error) bool) {
		n := 0
		for r, err := range d.readStream(ctx, stream, bool(dir), from) {
			if n++; !yield(storedOf(&r), err) || n == max {
				return
			}
		}
	}
}

func (d direct) Tombstone(ctx context.Context, stream string) error {
	_, err := d.delete(ctx, stream, expectAny, true)
	return err
}

// openDirect is an empty target.
func openDirect(t testing.TB) direct {
	t.Helper()
	return direct{openMem(t, vfs.NewMem())}
}

// nodeOf is a node without persistent subscriptions.
func nodeOf(s *store) *Node { return &Node{engine: s, store: s} }

// keptOf is what a copy keeps of a log, however it is told: the events of users'
// streams by place, and the newest metadata of each stream.
func keptOf(t testing.TB, s *store) map[string]string {
	t.Helper()
	kept, deleted := map[string]string{}, map[string]bool{}
	for r, err := range s.readAll(t.Context(), false, 1) {
		if err != nil {
			t.Fatal(err)
		}
		original, meta := originalOf(r.Stream)
		content := fmt.Sprintf("%s %s %s %q %q", r.ID, r.Type, r.ContentType, r.Data, r.Metadata)
		switch {
		case meta && !isSystem(original):
			kept[r.Stream] = fmt.Sprintf("%q", r.Data)
		case isSystem(r.Stream):
		case r.Revision == tombstoneRevision:
			kept[r.Stream+" is deleted"], deleted[r.Stream] = "", true
		default:
			kept[fmt.Sprint(r.Stream, " ", r.Revision)] = content
		}
	}
	for stream := range deleted {
		delete(kept, metastreamOf(stream)) // gone with it
	}
	return kept
}

func wantKept(t testing.TB, from, to *store) {
	t.Helper()
	for _, d := range differences(t, from, to) {
		t.Error(d)
	}
}

// differences of a copy, but for events that were scavenged: here, they may be
// there; there, they must be hidden here.
func differences(t testing.TB, from, to *store) (all []string) {
	t.Helper()
	want, got := keptOf(t, from), keptOf(t, to)
	for r := range scavengedIn(t, to) {
		if shows(t, from, r) {
			all = append(all, fmt.Sprintf("%s %d was scavenged", r.Stream, r.Revision))
		}
		delete(want, fmt.Sprint(r.Stream, " ", r.Revision))
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if got[key] != want[key] {
			all = append(all, fmt.Sprintf("%s: got %.200q, want %.200q", key, got[key], want[key]))
		}
		delete(got, key)
	}
	for r := range scavengedIn(t, from) {
		delete(got, fmt.Sprint(r.Stream, " ", r.Revision)) // a filler, or copied before
	}
	for key := range got {
		all = append(all, key+": there is something that was not here")
	}
	return all
}

// scavengedIn yields what is left of users' events that were scavenged.
func scavengedIn(t testing.TB, s *store) iter.Seq[record] {
	return func(yield func(record) bool) {
		for r, err := range s.scan(1, s.head()) {
			if err != nil {
				t.Fatal(err)
			}
			if r.emptied && !isSystem(r.Stream) && !yield(r) {
				return
			}
		}
	}
}

// shows tells whether a reader of the stream is shown an event.
func shows(t testing.TB, s *store, r record) bool {
	state, err := s.state(r.Stream)
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range s.readStream(t.Context(), r.Stream, false, r.Revision) {
		if err != nil {
			t.Fatal(err)
		}
		return e.Revision == r.Revision && !state.Tombstoned
	}
	return false
}

// full fills a log with one of everything.
func full(t testing.TB, s *store) {
	t.Helper()
	setMeta := func(stream, metadata string) {
		mustAppend(t, s, metastreamOf(stream), expectAny, []proposed{{ID: uuid.New(), Type: metadataEventType, ContentType: jsonContent, Data: []byte(metadata)}})
	}
	remove := func(stream string, tombstone bool) {
		if _, err := s.delete(t.Context(), stream, expectAny, tombstone); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 40 {
		mustAppend(t, s, fmt.Sprint("order-", i%7), expectAny, someEvents(1+i%3))
	}
	mustAppend(t, s, "bytes", expectNoStream, []proposed{
		{ID: uuid.New(), Type: "Binary", ContentType: octetContent, Data: []byte{0, 255, 1}, Metadata: []byte{254}},
		{ID: uuid.New(), Type: "NotReallyJSON", ContentType: jsonContent, Data: []byte("{"), Metadata: []byte("no")},
		{ID: uuid.New(), Type: "Empty", ContentType: jsonContent},
		{ID: uuid.New(), Type: "$>", ContentType: octetContent, Data: []byte("1@order-1")},
		{ID: uuid.New(), Type: "Snörkel 🎏", ContentType: octetContent, Data: []byte("🎏")},
	})
	setMeta("order-1", `{"$maxCount":2}`)
	setMeta("order-1", `{"$maxCount":3,"$acl":{"$r":["$all"]},"mine":1}`)
	setMeta("order-2", `{"$tb":2}`)
	setMeta("order-3", `not JSON`)
	setMeta("only described", `{"$cacheControl":9}`)
	remove("order-4", false)
	remove("order-5", false)
	mustAppend(t, s, "order-5", expectAny, someEvents(2))
	remove("order-6", true)
	setMeta("closed", `{"$maxAge":1}`)
	remove("closed", true)
	mustAppend(t, s, "$settings", expectAny, someEvents(1))
	setMeta("$settings", `{"$maxCount":1}`)
	mustAppend(t, s, "left out", expectAny, someEvents(2))
	setMeta("left out", `{"$maxCount":1}`)
}

// unleft removes what full makes to be left out.
func unleft(kept map[string]string) {
	delete(kept, "left out 0")
	delete(kept, "left out 1")
	delete(kept, "$$left out")
}

// TestCopyToServer copies one of everything to another node, over the protocol
// through the official client, and then what came later.
func TestCopyToServer(t *testing.T) {
	for _, parallel := range []int{1, 8} {
		t.Run(fmt.Sprint(parallel), func(t *testing.T) {
			from := openMem(t, vfs.NewMem())
			defer closeStore(t, from)
			full(t, from)
			for range 2 { // together more than an append takes
				mustAppend(t, from, "bytes", expectAny, []proposed{{ID: uuid.New(), Type: "Large", ContentType: octetContent, Data: make([]byte, 900_000)}})
			}
			to, server, _ := administered(t)
			target, err := esdb.Open(esdb.Options{URL: "esdb://" + server.Addr() + "?tls=false", Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			defer target.Close()
			write(t, to, "somebody else's", 3)

			o := CopyOptions{Parallel: parallel, Leave: []string{"left out"}}
			dry := o
			dry.DryRun = true
			looked, err := nodeOf(from).CopyTo(t.Context(), target, dry)
			if err != nil || looked.Present != 0 || looked.Copied != 0 || looked.Others != 3 || to.Head().Commit != 3 {
				t.Errorf("looked: %+v, %v", looked, err)
			}
			first, err := nodeOf(from).CopyTo(t.Context(), target, o)
			if err != nil {
				t.Fatal(err)
			}
			want := Copied{Log: from.id, Events: looked.Events, Copied: looked.Events, Metadata: 6, Deleted: 2, System: looked.System, Others: 3, Moved: first.Moved, Verified: true}
			if first != want || first.Events < 80 || first.System < 10 {
				t.Errorf("copied: %+v\nwant:   %+v", first, want)
			}
			if parallel == 1 && first.Moved != 0 {
				t.Errorf("%d events are at another place", first.Moved)
			}
			compare := func() {
				t.Helper()
				want, got := keptOf(t, from), keptOf(t, to.store)
				unleft(want)
				for key := range got {
					if strings.HasPrefix(key, "somebody") {
						delete(got, key)
					}
				}
				for key := range want {
					if want[key] != got[key] {
						t.Errorf("%s: %.200s, want %.200s", key, got[key], want[key])
					}
				}
				if len(got) != len(want) {
					t.Errorf("%d things, want %d", len(got), len(want))
				}
			}
			compare()

			again, err := nodeOf(from).CopyTo(t.Context(), target, o)
			if err != nil || again.Present != again.Events || again.Copied != 0 || again.Metadata != 0 || again.Deleted != 0 || !again.Verified {
				t.Errorf("copied again: %+v, %v", again, err)
			}
			// It goes on, and so does the copy.
			mustAppend(t, from, "order-0", expectAny, someEvents(2))
			mustAppend(t, from, "order-4", expectAny, someEvents(2)) // undeletes it
			if _, err := from.delete(t.Context(), "order-3", expectAny, true); err != nil {
				t.Fatal(err)
			}
			later, err := nodeOf(from).CopyTo(t.Context(), target, o)
			if err != nil || later.Copied != 4 || later.Metadata == 0 || later.Deleted != 1 || !later.Verified {
				t.Errorf("copied on: %+v, %v", later, err)
			}
			compare()

			// A scavenge there takes away what streams hide here, too.
			freed, err := to.Scavenge(t.Context(), ScavengeOptions{})
			if err != nil || freed.Events < 20 {
				t.Fatalf("%+v, %v", freed, err)
			}
			mustAppend(t, from, "order-4", expectAny, someEvents(1))
			last, err := nodeOf(from).CopyTo(t.Context(), target, o)
			if err != nil || last.Copied != 1 || last.Hidden < 20 || last.Present+last.Hidden+last.Copied != last.Events || !last.Verified {
				t.Errorf("copied after a scavenge: %+v, %v", last, err)
			}
		})
	}
}

// TestCopyTargetRestarts: the target goes away in the middle and comes back.
func TestCopyTargetRestarts(t *testing.T) {
	from := openMem(t, vfs.NewMem())
	defer closeStore(t, from)
	full(t, from)
	to := openNode(t, Options{Dir: t.TempDir()})
	start := func(listen string) *Server {
		s := NewServer(to, ServerOptions{Listen: listen, Logger: quiet})
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		return s
	}
	server := start("127.0.0.1:0")
	target, err := esdb.Open(esdb.Options{URL: "esdb://" + server.Addr() + "?tls=false", Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	restarts := 0
	r, err := nodeOf(from).CopyTo(t.Context(), target, CopyOptions{Progress: func(phase CopyPhase, done, _ uint64) {
		if phase == CopyCopying && done >= uint64(20*(restarts+1)) && restarts < 3 {
			restarts++
			if err := server.Close(); err != nil {
				t.Error(err)
			}
			server = start(server.Addr())
		}
	}})
	if err != nil || !r.Verified || restarts != 3 {
		t.Errorf("after %d restarts: %+v, %v", restarts, r, err)
	}
	wantKept(t, from, to.store)
	if err := server.Close(); err != nil {
		t.Error(err)
	}
}

// TestCopyDiverged: a target that has something else is refused with the first
// difference, and nothing is written to it.
func TestCopyDiverged(t *testing.T) {
	from := openMem(t, vfs.NewMem())
	defer closeStore(t, from)
	events := someEvents(4)
	events[1].Data = []byte("1")
	mustAppend(t, from, "a", expectNoStream, events)
	changed := func(i int, change func(*proposed)) []proposed {
		other := slices.Clone(events)
		change(&other[i])
		return other
	}
	for name, c := range map[string]struct {
		there []proposed
		want  string
	}{
		"another id":           {changed(0, func(p *proposed) { p.ID = uuid.New() }), "stream a, revision 0: here a T with id " + events[0].ID.String()},
		"another type":         {changed(3, func(p *proposed) { p.Type = "U" }), "revision 3: here a T with id .*; there a U with"},
		"another content type": {changed(2, func(p *proposed) { p.ContentType = octetContent }), "there .* 7 bytes of octets"},
		"other data":           {changed(1, func(p *proposed) { p.Data = []byte("2") }), "revision 1: .*, but other bytes"},
		"other metadata":       {changed(1, func(p *proposed) { p.Metadata = nil }), "and 0 of metadata"},
		"one more":             {append(slices.Clone(events), someEvents(1)...), "revision 4: here no event; there a T"},
	} {
		t.Run(name, func(t *testing.T) {
			to := openDirect(t)
			defer closeStore(t, to.store)
			mustAppend(t, to.store, "a", expectNoStream, c.there)
			head := to.head()
			_, err := nodeOf(from).CopyTo(t.Context(), to, CopyOptions{})
			if !errors.Is(err, ErrDiverged) || !matches(c.want, err.Error()) {
				t.Errorf("%v; want %q", err, c.want)
			}
			if to.head() != head {
				t.Error("something was written")
			}
		})
	}
	t.Run("deleted there", func(t *testing.T) {
		to := openDirect(t)
		defer closeStore(t, to.store)
		mustAppend(t, to.store, "a", expectNoStream, events[:1])
		if err := to.Tombstone(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		_, err := nodeOf(from).CopyTo(t.Context(), to, CopyOptions{})
		if !errors.Is(err, ErrDiverged) || !matches("here no event; there a .streamDeleted", err.Error()) {
			t.Error(err)
		}
	})
	t.Run("written while it is copied", func(t *testing.T) {
		to := openDirect(t)
		defer closeStore(t, to.store)
		meddled := &meddler{direct: to, before: func(n int) error {
			if n == 1 {
				mustAppend(t, to.store, "a", expectNoStream, someEvents(1))
			}
			return nil
		}}
		_, err := nodeOf(from).CopyTo(t.Context(), meddled, CopyOptions{})
		if !errors.Is(err, ErrDiverged) || !matches("stream a, revision 0: here a T", err.Error()) {
			t.Error(err)
		}
	})
	t.Run("truncated there", func(t *testing.T) {
		to := openDirect(t)
		defer closeStore(t, to.store)
		// As if the first two had been scavenged: they are not in $all any more.
		mustAppend(t, to.store, "a", expectNoStream, events[:2])
		mustAppend(t, to.store, "$$a", expectNoStream, []proposed{{ID: uuid.New(), Type: metadataEventType, ContentType: jsonContent, Data: []byte(`{"$tb":2}`)}})
		_, err := nodeOf(from).CopyTo(t.Context(), &meddler{direct: to, hide: 2}, CopyOptions{})
		if !errors.Is(err, ErrDiverged) || !matches("revision 0: .* it was truncated or scavenged there", err.Error()) {
			t.Error(err)
		}
	})
}

func matches(pattern, s string) bool {
	return regexp.MustCompile(pattern).MatchString(s)
}

// meddler is a target that fails.
type meddler struct {
	direct
	mu     sync.Mutex
	before func(n int) error // before append n, from 1
	after  func(n int) error // and after it was done
	n      int
	hide   uint64 // the first events, in reading all
}

func (m *meddler) AppendStored(ctx context.Context, stream string, expect command.Expect, events []command.Stored) (command.Appended, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n++
	n := m.n
	if m.before != nil {
		if err := m.before(n); err != nil {
			return command.Appended{}, err
		}
	}
	at, err := m.direct.AppendStored(ctx, stream, expect, events)
	if err == nil && m.after != nil {
		err = m.after(n)
	}
	return at, err
}

func (m *meddler) AllStored(ctx context.Context, after event.Position) iter.Seq2[command.Stored, error] {
	return m.direct.AllStored(ctx, event.At(max(after.Commit, m.hide)))
}

// TestCopyInterrupted: a copy that was interrupted at any append, before or after
// it was done, is completed by the next one; an answer that was lost is found
// out by saying the same again.
func TestCopyInterrupted(t *testing.T) {
	from := openMem(t, vfs.NewMem())
	defer closeStore(t, from)
	full(t, from)
	o := CopyOptions{Parallel: 1}
	broken := errors.New("broken")
	appends := 0
	for at := 1; appends == 0 || at <= appends; at += 1 + at/2 {
		for _, done := range []bool{false, true} {
			for _, unknown := range []bool{false, true} {
				if unknown && at%6 != 1 { // it pauses before it tries again
					continue
				}
				to := openDirect(t)
				failed := false
				fail := func(n int) error {
					failed = failed || n == at
					switch {
					case n != at:
						return nil
					case unknown:
						return fmt.Errorf("%w: %w", command.ErrUnknownOutcome, broken)
					default:
						return broken
					}
				}
				m := &meddler{direct: to, before: fail}
				if done {
					m.before, m.after = nil, fail
				}
				r, err := nodeOf(from).CopyTo(t.Context(), m, o)
				if !failed { // that one was refused: it only asked where a stream is
					closeStore(t, to.store)
					continue
				}
				if unknown != (err == nil) || err != nil && !errors.Is(err, broken) {
					t.Fatalf("append %d, done: %t: %v", at, done, err)
				}
				appends = max(appends, m.n-1)
				if err != nil {
					r, err = nodeOf(from).CopyTo(t.Context(), to, o)
				}
				if err != nil || !r.Verified || r.Moved != 0 {
					t.Fatalf("append %d, done: %t: then %+v, %v", at, done, r, err)
				}
				wantKept(t, from, to.store)
				closeStore(t, to.store)
			}
		}
	}
	if appends < 20 {
		t.Errorf("only %d appends", appends)
	}
}

// TestCopyScavenged: what was copied before it was scavenged is known again by
// its hash; a log that was scavenged before needs fillers, if others follow on
// what is gone.
func TestCopyScavenged(t *testing.T) {
	from, before := openMem(t, vfs.NewMem()), openDirect(t)
	defer closeStore(t, from)
	defer closeStore(t, before.store)
	full(t, from)
	if _, err := nodeOf(from).CopyTo(t.Context(), before, CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	if r, err := nodeOf(from).Scavenge(t.Context(), ScavengeOptions{}); err != nil || r.Events < 20 {
		t.Fatalf("%+v, %v", r, err)
	}
	r, err := nodeOf(from).CopyTo(t.Context(), before, CopyOptions{})
	if err != nil || r.Copied != 0 || r.Scavenged == 0 || r.Fillers != 0 || !r.Verified {
		t.Errorf("copied before: %+v, %v", r, err)
	}
	wantKept(t, from, before.store)

	after := openDirect(t)
	defer closeStore(t, after.store)
	_, err = nodeOf(from).CopyTo(t.Context(), after, CopyOptions{})
	if !errors.Is(err, ErrGaps) || !matches(`4 streams lack \d+ events\n  order-1 lacks \d+\n  order-2 lacks 2\n  order-5 lacks \d+\n  left out lacks 1$`, err.Error()) || after.head() != 0 {
		t.Errorf("%v; %d events were written", err, after.head())
	}
	first, err := nodeOf(from).CopyTo(t.Context(), after, CopyOptions{Fill: true})
	if err != nil || first.Fillers == 0 || first.Copied != first.Events || first.Moved != 0 || !first.Verified {
		t.Errorf("filled: %+v, %v", first, err)
	}
	wantKept(t, from, after.store)
	again, err := nodeOf(from).CopyTo(t.Context(), after, CopyOptions{})
	if err != nil || again.Copied != 0 || again.Fillers != first.Fillers || !again.Verified {
		t.Errorf("filled again: %+v, %v", again, err)
	}

	other := openDirect(t)
	defer closeStore(t, other.store)
	events, err := take(before.readAll(t.Context(), false, 1))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range events {
		if r.Stream == "order-2" && r.Revision == 0 {
			mustAppend(t, other.store, "order-2", expectNoStream, []proposed{{ID: r.ID, Type: r.Type, ContentType: r.ContentType, Data: []byte("2"), Metadata: r.Metadata}})
		}
	}
	_, err = nodeOf(from).CopyTo(t.Context(), other, CopyOptions{Fill: true})
	if !errors.Is(err, ErrDiverged) || !matches("order-2, revision 0: here an event that was scavenged", err.Error()) {
		t.Error(err)
	}
}

// TestCopyModel: whatever happens to a log, and however often copies of it are
// broken off, in the end the target is as the log is.
func TestCopyModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		from, to := openMem(t, vfs.NewMem()), openDirect(t)
		defer closeStore(t, from)
		defer func() { closeStore(t, to.store) }()
		scavenged := false
		// lost: what a stream hid was scavenged there, and then shown again here.
		lost := func(err error) bool {
			if !scavenged || !errors.Is(err, ErrDiverged) || !matches("scavenged there|taken away", err.Error()) {
				return false
			}
			closeStore(t, to.store)
			to, scavenged = openDirect(t), false
			return true
		}
		streams := rapid.SampledFrom([]string{"a", "b", "c"})
		copyLog := func(target CopyTarget) error {
			_, err := nodeOf(from).CopyTo(t.Context(), target, CopyOptions{Fill: true, Parallel: rapid.SampledFrom([]int{1, 3}).Draw(rt, "parallel")})
			return err
		}
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				_, err := from.append(t.Context(), streams.Draw(rt, "stream"), expectAny, someEvents(rapid.IntRange(1, 4).Draw(rt, "events")))
				if err != nil && !errors.Is(err, command.ErrStreamDeleted) {
					rt.Fatal(err)
				}
			},
			"describe": func(rt *rapid.T) {
				m := rapid.SampledFrom([]string{`{"$tb":1}`, `{"$maxCount":1}`, `{"x":1}`, `{"$tb":9223372036854775807}`, `{"$tb":9223372036854775807,"x":2}`, `1`}).Draw(rt, "metadata")
				_, err := from.append(t.Context(), "$$"+streams.Draw(rt, "stream"), expectAny, []proposed{{ID: uuid.New(), Type: metadataEventType, ContentType: jsonContent, Data: []byte(m)}})
				if err != nil && !errors.Is(err, command.ErrStreamDeleted) {
					rt.Fatal(err)
				}
			},
			"delete": func(rt *rapid.T) {
				_, err := from.delete(t.Context(), streams.Draw(rt, "stream"), expectAny, false)
				if err != nil && !errors.Is(err, command.ErrStreamDeleted) && !errors.As(err, new(*wrongRevision)) {
					rt.Fatal(err)
				}
			},
			"delete for good": func(rt *rapid.T) {
				if rapid.IntRange(0, 3).Draw(rt, "really") > 0 {
					rt.Skip()
				}
				_, err := from.delete(t.Context(), streams.Draw(rt, "stream"), expectAny, true)
				if err != nil && !errors.Is(err, command.ErrStreamDeleted) {
					rt.Fatal(err)
				}
			},
			"scavenge": func(rt *rapid.T) {
				if _, err := nodeOf(from).Scavenge(t.Context(), ScavengeOptions{}); err != nil {
					rt.Fatal(err)
				}
			},
			"scavenge there": func(rt *rapid.T) {
				scavenged = true
				if _, err := nodeOf(to.store).Scavenge(t.Context(), ScavengeOptions{}); err != nil {
					rt.Fatal(err)
				}
			},
			"broken copy": func(rt *rapid.T) {
				at := rapid.IntRange(1, 6).Draw(rt, "at")
				fail := func(n int) error {
					if n == at {
						return errors.New("broken")
					}
					return nil
				}
				m := &meddler{direct: to, before: fail}
				if rapid.Bool().Draw(rt, "done") {
					m.before, m.after = nil, fail
				}
				_, err := nodeOf(from).CopyTo(t.Context(), m, CopyOptions{Fill: true})
				if err != nil && !lost(err) && err.Error() != "broken" && !strings.HasSuffix(err.Error(), ": broken") {
					rt.Fatal(err)
				}
			},
			"copy": func(rt *rapid.T) {
				if err := copyLog(to); err != nil && !lost(err) {
					rt.Fatal(err)
				} else if d := differences(t, from, to.store); err == nil && len(d) > 0 {
					rt.Fatal(d)
				}
			},
		})
		if err := copyLog(to); err != nil && (!lost(err) || copyLog(to) != nil) {
			rt.Fatal(err)
		}
		if d := differences(t, from, to.store); len(d) > 0 {
			rt.Fatal(d)
		}
	})
}

// TestCopyEnds when it is told to.
func TestCopyEnds(t *testing.T) {
	from, to := openMem(t, vfs.NewMem()), openDirect(t)
	defer closeStore(t, from)
	defer closeStore(t, to.store)
	full(t, from)
	for _, parallel := range []int{1, 4} {
		ctx, stop := context.WithCancel(t.Context())
		done := uint64(0)
		_, err := nodeOf(from).CopyTo(ctx, to, CopyOptions{Parallel: parallel, Progress: func(phase CopyPhase, n, _ uint64) {
			if phase == CopyCopying {
				done = n
				stop()
			}
		}})
		if !errors.Is(err, context.Canceled) || done == 0 {
			t.Errorf("after %d events: %v", done, err)
		}
	}
	if _, err := nodeOf(from).CopyTo(t.Context(), to, CopyOptions{Parallel: MaxCopyParallel + 1}); err == nil {
		t.Error("too many at once were allowed")
	}
}
