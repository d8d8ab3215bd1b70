package node

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"kicau/adapters/command"
)

// TestModel does the same to the engine and to the model, and looks at
// everything after every step.
func TestModel(t *testing.T) {
	var steps, reads, shownAgain int
	checkLonger(t, func(t *rapid.T) {
		h := &lockstep{fs: vfs.NewCrashableMem(), clock: time.Unix(1e9, 0)}
		h.open(t)
		defer func() {
			steps, reads, shownAgain = steps+h.steps, reads+h.reads, shownAgain+h.shownAgain
			if err := h.store.close(); err != nil {
				t.Fatal(err)
			}
		}()
		t.Repeat(map[string]func(*rapid.T){
			"append":     h.append,
			"append all": h.appendAll,
			"retry":      h.retry,
			"describe":   h.describe,
			"delete":     h.delete,
			"scavenge":   h.scavenge,
			"wait":       h.wait,
			"reopen":     h.reopen,
			"crash":      h.crash,
			"":           h.compare,
		})
	})
	t.Logf("%d steps, %d reads after them; crashes brought back %d scavenged events", steps, reads, shownAgain)
}

type lockstep struct {
	fs    *vfs.MemFS
	store *store
	model model
	clock time.Time

	steps, reads, shownAgain int
}

var quiet = slog.New(slog.DiscardHandler)

func (h *lockstep) open(t *rapid.T) {
	s, err := openStore(Options{Dir: "data", Logger: quiet, fs: h.fs, now: func() time.Time { return h.clock }, flushAfter: 40})
	if err != nil {
		t.Fatal(err)
	}
	h.store = s
	h.model.reopen()
}

func (h *lockstep) reopen(t *rapid.T) {
	if err := h.store.close(); err != nil {
		t.Fatal(err)
	}
	h.open(t)
}

// crash leaves what was synced and some of the rest. That can be some of what a
// scavenge did.
func (h *lockstep) crash(t *rapid.T) {
	seed := rapid.Uint64().Draw(t, "what is left")
	after := h.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: int(seed % 3 * 50), RNG: rand.New(rand.NewPCG(seed, 0))})
	if err := h.store.close(); err != nil {
		t.Fatal(err)
	}
	h.fs = after
	h.open(t)
	for r, err := range h.store.readAll(t.Context(), false, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if known := &h.model.log[r.Position-1]; known.emptied {
			known.emptied = false
			h.shownAgain++
		}
	}
}

// wait lets time pass, so that events become too old.
func (h *lockstep) wait(t *rapid.T) {
	h.clock = h.clock.Add(time.Duration(rapid.SampledFrom([]int{1, 30, 61, 3600}).Draw(t, "seconds")) * time.Second)
}

var (
	modelStreams = []string{"a", "order-1", "order-2", "$$a", "$$order-1", "$mine-1"}
	modelIndexes = []string{"$ce-order", "$et-A", "$et-B", "$et-$metadata", "$et-$deleted", "$bc-c", "$category-order", "$streams", "$ce-nobody"}
	// modelNames has an index twice that somebody may describe.
	modelNames = slices.Concat(modelStreams, modelIndexes, []string{"$ce-order", "$$$ce-order", "order-3", "$$order-3", "never"})
)

func (h *lockstep) someExpect(t *rapid.T, stream string) int64 {
	last := h.model.last(stream)
	return rapid.SampledFrom([]int64{expectAny, expectNoStream, expectExists, last, last, max(expectNoStream, last-1), last + 1, 0}).Draw(t, "expect")
}

func (h *lockstep) append(t *rapid.T) {
	stream := rapid.SampledFrom(modelStreams).Draw(t, "stream")
	n := rapid.SampledFrom([]int{0, 1, 1, 2, 3, recentEvents/2 + 1}).Draw(t, "events")
	h.both(t, stream, h.someExpect(t, stream), h.events(t, n))
}

// appendAll appends to some streams as one, mostly at revisions that are right,
// some of it said before.
func (h *lockstep) appendAll(t *rapid.T) {
	streams := rapid.Permutation(modelStreams).Draw(t, "streams")
	var parts []part
	for _, stream := range streams[:rapid.IntRange(1, 4).Draw(t, "parts")] {
		p := part{stream: stream, expect: expectAny}
		switch kind := rapid.IntRange(0, 9).Draw(t, "part"); {
		case kind == 0:
			p.expect = h.someExpect(t, stream)
		case kind <= 5:
			p.expect = h.model.last(stream)
		}
		if p.events = h.repeated(t, stream, &p.expect); p.events == nil {
			p.events = h.events(t, rapid.IntRange(0, 2).Draw(t, "events"))
		}
		parts = append(parts, p)
	}
	h.step(t)
	sameError(t, h.model.appendAll(parts), h.store.appendAll(t.Context(), parts))
}

// repeated takes one time in four events that the stream has.
func (h *lockstep) repeated(t *rapid.T, stream string, expect *int64) []proposed {
	written := h.model.stream(stream)
	if len(written) == 0 || rapid.IntRange(0, 3).Draw(t, "repeat") > 0 {
		return nil
	}
	from := rapid.IntRange(0, len(written)-1).Draw(t, "from")
	if *expect != expectAny {
		*expect = int64(from) - 1
	}
	return again(written[from:min(len(written), from+2)])
}

// again are the events of an append that is made again. Of those that the engine
// made by itself nobody knows the ids beforehand; to say them again is as good.
func again(written []record) (events []proposed) {
	for _, r := range written {
		events = append(events, proposed{ID: r.ID, Type: r.Type, ContentType: r.ContentType, Data: r.Data, Metadata: r.Metadata})
	}
	return events
}

// retry proposes events again that are in the stream, some of them, or with
// others after them.
func (h *lockstep) retry(t *rapid.T) {
	stream := rapid.SampledFrom(modelStreams).Draw(t, "stream")
	written := h.model.stream(stream)
	if len(written) == 0 {
		return
	}
	from := rapid.IntRange(0, len(written)-1).Draw(t, "from")
	to := rapid.IntRange(from+1, min(len(written), from+3)).Draw(t, "to")
	events := again(written[from:to])
	if rapid.Bool().Draw(t, "more") {
		events = append(events, h.events(t, 1)...)
	}
	expect := rapid.SampledFrom([]int64{int64(from) - 1, int64(from) - 1, expectAny, expectExists, h.someExpect(t, stream)}).Draw(t, "expect")
	h.both(t, stream, expect, events)
}

// describe writes stream metadata, sensible or not.
func (h *lockstep) describe(t *rapid.T) {
	stream := rapid.SampledFrom([]string{"$$a", "$$order-1", "$$order-2", "$$order-3", "$$$ce-order"}).Draw(t, "stream")
	e := h.events(t, 1)
	e[0].Type = metadataEventType
	e[0].Data = []byte(rapid.SampledFrom([]string{
		`{}`, `{"$tb":2}`, `{"$maxCount":2,"$acl":{"$r":"x"}}`, `{"$tb":1,"$maxCount":3}`, `{"$maxAge":60}`, `{"$maxAge":60,"$maxCount":5}`,
		`{"$tb":9223372036854775807,"$acl":{}}`, `nonsense`, `null`, `{"$tb":"x","$maxAge":-1,"$maxCount":2}`,
	}).Draw(t, "metadata"))
	h.both(t, stream, expectAny, e)
}

// events makes n events out of one draw; two draws may well give the same ids.
func (h *lockstep) events(t *rapid.T, n int) []proposed {
	seed := rapid.IntRange(0, 1000).Draw(t, "seed")
	events := make([]proposed, n)
	for i := range events {
		k := seed + i
		events[i] = proposed{
			ID:          uuid.NewSHA1(uuid.NameSpaceOID, []byte{byte(k), byte(k >> 8)}),
			Type:        []string{"A", "B", "", linkType}[k%4],
			ContentType: []string{jsonContent, octetContent, "text/plain"}[k/4%3],
			Data:        bytes.Repeat([]byte{byte(k)}, k%40),
			Metadata:    bytes.Repeat([]byte{byte(k)}, k%5),
		}
		if k%3 == 0 {
			events[i].Metadata = []byte(`{"$correlationId":"c","by":1}`)
		}
		if events[i].Type == linkType && k%2 == 0 {
			events[i].Data = []byte("0@order-2")
		}
	}
	return events
}

// step is a request at about the time that it is.
func (h *lockstep) step(t *rapid.T) {
	h.steps++
	h.clock = h.clock.Add(time.Duration(rapid.IntRange(-5, 5).Draw(t, "clock")) * time.Second)
	h.model.tick(h.clock)
}

func (h *lockstep) both(t *rapid.T, stream string, expect int64, events []proposed) {
	h.step(t)
	want, wantErr := h.model.append(stream, expect, events)
	got, err := h.store.append(t.Context(), stream, expect, events)
	sameError(t, wantErr, err)
	if got != want {
		t.Fatalf("append to %s: got %+v, want %+v", stream, got, want)
	}
}

func (h *lockstep) delete(t *rapid.T) {
	stream := rapid.SampledFrom([]string{"a", "order-1", "order-2", "order-3"}).Draw(t, "stream")
	expect := h.someExpect(t, stream)
	tombstone := rapid.IntRange(0, 9).Draw(t, "tombstone") == 0
	h.step(t)
	want, wantErr := h.model.delete(stream, expect, tombstone)
	got, err := h.store.delete(t.Context(), stream, expect, tombstone)
	sameError(t, wantErr, err)
	if got != want {
		t.Fatalf("delete %s: at %d, want %d", stream, got, want)
	}
}

// scavenge takes exactly what nobody can see. What that is, is said beforehand.
func (h *lockstep) scavenge(t *rapid.T) {
	h.steps++
	positions, streams := h.model.unseen(h.clock), map[string]bool{}
	for _, p := range positions {
		streams[h.model.log[p-1].Stream] = true
	}
	want := ScavengeReport{Events: uint64(len(positions)), Streams: uint64(len(streams))}
	n := &Node{engine: h.store, store: h.store}
	for _, dry := range []bool{true, false} {
		got, err := n.Scavenge(t.Context(), ScavengeOptions{DryRun: dry})
		if err != nil {
			t.Fatal(err)
		}
		want.Bytes, want.DryRun = got.Bytes, dry
		if got != want || got.Bytes < got.Events {
			t.Fatalf("scavenged %+v, want %+v", got, want)
		}
	}
	for _, p := range positions {
		h.model.log[p-1].emptied = true
	}
}

func sameError(t *rapid.T, want, got error) {
	var wrong, wantWrong *wrongRevision
	switch {
	case want == nil && got == nil:
	case want == errDeleted && errors.Is(got, command.ErrStreamDeleted):
	case errors.As(want, &wantWrong) && errors.As(got, &wrong) && *wantWrong == *wrong:
	default:
		t.Fatalf("got %#v, want %#v", got, want)
	}
}

func (h *lockstep) compare(t *rapid.T) {
	if h.store.head() != uint64(len(h.model.log)) {
		t.Fatalf("head is %d after %d events", h.store.head(), len(h.model.log))
	}
	from := uint64(rapid.IntRange(0, len(h.model.log)+2).Draw(t, "from"))
	h.compareAll(t, false, from)
	h.compareAll(t, true, from)
	for _, stream := range modelNames {
		state, err := h.store.state(stream)
		if err != nil {
			t.Fatal(err)
		}
		if want := h.model.state(stream); state != want {
			t.Fatalf("state of %s is %+v, want %+v", stream, state, want)
		}
		backwards := rapid.Bool().Draw(t, "backwards")
		from := rapid.SampledFrom([]uint64{0, 1, 3, recentEvents, tombstoneRevision, ^uint64(0)}).Draw(t, "from")
		got, err := take(h.store.readStream(t.Context(), stream, backwards, from))
		if err != nil {
			t.Fatal(err)
		}
		same(t, fmt.Sprint(stream, " backwards ", backwards, " from ", from), got, h.model.readStream(stream, backwards, from, h.clock))
		h.reads += 2
	}
	if err := h.store.verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.reads++
}

func (h *lockstep) compareAll(t *rapid.T, backwards bool, from uint64) {
	got, err := take(h.store.readAll(t.Context(), backwards, from))
	if err != nil {
		t.Fatal(err)
	}
	h.reads++
	h.model.learn(got)
	want := slices.DeleteFunc(slices.Clone(h.model.log), func(r record) bool {
		return r.emptied || backwards && r.Position >= from || !backwards && r.Position < from
	})
	if backwards {
		slices.Reverse(want)
	}
	same(t, fmt.Sprint("all, backwards ", backwards, " from ", from), got, want)
}

// same compares all but the ids that the engine chose and nobody has seen yet.
func same(t *rapid.T, what string, got, want []record) {
	if len(got) != len(want) {
		t.Fatalf("%s: %d events, want %d:\n%+v\nwant\n%+v", what, len(got), len(want), got, want)
	}
	for i, w := range want {
		g := got[i]
		data, metadata := bytes.Equal(g.Data, w.Data), bytes.Equal(g.Metadata, w.Metadata)
		w.Data, w.Metadata = g.Data, g.Metadata
		if !data || !metadata || !reflect.DeepEqual(g, w) {
			t.Fatalf("%s: event %d is %+v, want %+v (data as wanted: %v, metadata: %v)", what, i, g, w, data, metadata)
		}
	}
}

// take reads to the end.
func take(events func(func(record, error) bool)) ([]record, error) {
	var all []record
	for r, err := range events {
		if err != nil {
			return all, err
		}
		all = append(all, r)
	}
	return all, nil
}
