package node

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"kicau/adapters/command"
)

// model is what the engine should do, said plainly: a list of events, and rules
// that go over it from the start each time.
type model struct{ log []record }

func (m *model) stream(name string) []record {
	var s []record
	for _, r := range m.log {
		if r.Stream == name && r.Type != "$streamDeleted" {
			s = append(s, r)
		}
	}
	return s
}

func (m *model) tombstoned(name string) bool {
	return slices.ContainsFunc(m.log, func(r record) bool {
		return r.Type == "$streamDeleted" && r.Stream == strings.TrimPrefix(name, "$$")
	})
}

type modelMetadata struct {
	TruncateBefore int64 `json:"$tb"`
	MaxCount       int64 `json:"$maxCount"`
}

func (m *model) metadata(name string) (md modelMetadata, described bool) {
	events := m.stream("$$" + name)
	if len(events) == 0 {
		return md, false
	}
	if err := json.Unmarshal(events[len(events)-1].Data, &md); err != nil {
		return modelMetadata{}, true
	}
	return md, true
}

func (m *model) softDeleted(name string) bool {
	md, _ := m.metadata(name)
	return md.TruncateBefore == tombstoneRevision
}

// refusals of the model
var (
	errWrong   = errors.New("wrong revision")
	errDeleted = errors.New("deleted")
)

// check says whether an append may go on, or was made before (then at is where).
func (m *model) check(name string, expect int64, ids []uuid.UUID) (at *appended, err error) {
	s := m.stream(name)
	last := int64(len(s)) - 1
	_, described := m.metadata(name)
	if m.tombstoned(name) || expect == expectExists && m.softDeleted(name) {
		return nil, errDeleted
	}
	if expect == expectExists && last == -1 && !described {
		return nil, errWrong
	}
	if expect == expectAny || expect == expectExists {
		recent := s[max(0, len(s)-recentEvents):]
		for i, id := range ids {
			n := len(recent) - 1
			for n >= 0 && recent[n].ID != id {
				n--
			}
			if n < 0 {
				if i == 0 {
					return nil, nil
				}
				return nil, errWrong
			}
			at = &appended{Revision: int64(recent[n].Revision), Position: recent[n].Position}
		}
		return at, nil
	}
	if expect == last {
		return nil, nil
	}
	if expect > last || len(ids) == 0 {
		return nil, errWrong
	}
	for i, id := range ids {
		n := expect + 1 + int64(i)
		if n > last || s[n].ID != id {
			if i == 0 && expect == expectNoStream && m.softDeleted(name) {
				return nil, nil
			}
			return nil, errWrong
		}
		at = &appended{Revision: n, Position: s[n].Position}
	}
	return at, nil
}

func (m *model) add(name string, revision uint64, p proposed) {
	content := octetContent
	if p.ContentType == jsonContent {
		content = jsonContent
	}
	m.log = append(m.log, record{
		Position: uint64(len(m.log) + 1), Stream: name, Revision: revision,
		ID: p.ID, Type: p.Type, ContentType: content, Data: p.Data, Metadata: p.Metadata,
	})
}

func (m *model) append(name string, expect int64, events []proposed) (appended, error) {
	ids := make([]uuid.UUID, len(events))
	for i, e := range events {
		ids[i] = e.ID
	}
	at, err := m.check(name, expect, ids)
	switch {
	case err != nil:
		return appended{}, err
	case at != nil:
		return *at, nil
	case len(events) == 0:
		return appended{Revision: int64(len(m.stream(name))) - 1}, nil
	}
	if m.softDeleted(name) {
		m.hide(name)
	}
	original, isMeta := strings.CutPrefix(name, "$$")
	wasDeleted := isMeta && m.softDeleted(original)
	for _, e := range events {
		m.add(name, uint64(len(m.stream(name))), e)
	}
	done := appended{Revision: int64(len(m.stream(name))) - 1, Position: uint64(len(m.log))}
	if wasDeleted && !m.softDeleted(original) {
		m.hide(original)
	}
	return done, nil
}

// hide sets $tb so that the events there are do not show; other keys stay.
func (m *model) hide(name string) {
	meta := m.stream("$$" + name)
	keys := map[string]any{}
	if err := json.Unmarshal(meta[len(meta)-1].Data, &keys); err != nil || keys == nil {
		keys = map[string]any{}
	}
	keys["$tb"] = len(m.stream(name))
	data, err := json.Marshal(keys)
	if err != nil {
		panic(err)
	}
	m.add("$$"+name, uint64(len(meta)), proposed{Type: "$metadata", ContentType: jsonContent, Data: data})
}

func (m *model) delete(name string, expect int64, tombstone bool) (uint64, error) {
	if _, err := m.check(name, expect, nil); err != nil {
		return 0, err
	}
	_, described := m.metadata(name)
	switch {
	case tombstone:
		m.add(name, tombstoneRevision, proposed{Type: "$streamDeleted", ContentType: jsonContent})
	case len(m.stream(name)) == 0 && !described:
		return 0, errWrong
	default:
		m.add("$$"+name, uint64(len(m.stream("$$"+name))),
			proposed{Type: "$metadata", ContentType: jsonContent, Data: []byte(`{"$tb":9223372036854775807}`)})
	}
	return uint64(len(m.log)), nil
}

func (m *model) state(name string) streamState {
	if m.tombstoned(name) {
		return streamState{Tombstoned: true, Last: tombstoneRevision}
	}
	s := streamState{Last: int64(len(m.stream(name))) - 1}
	s.Exists = s.Last >= 0 && !m.softDeleted(name)
	if strings.HasPrefix(name, "$$") {
		s.TruncateBefore = uint64(max(0, s.Last))
		return s
	}
	md, _ := m.metadata(name)
	s.TruncateBefore = uint64(max(0, md.TruncateBefore))
	if md.MaxCount > 0 && !m.softDeleted(name) {
		s.TruncateBefore = uint64(max(int64(s.TruncateBefore), s.Last+1-md.MaxCount))
	}
	return s
}

func (m *model) readStream(name string, backwards bool, from uint64) []record {
	state := m.state(name)
	var seen []record
	for _, r := range m.log {
		if r.Stream != name {
			continue
		}
		if r.Revision >= state.TruncateBefore && (backwards && r.Revision <= from || !backwards && r.Revision >= from) {
			seen = append(seen, r)
		}
	}
	if backwards {
		slices.Reverse(seen)
	}
	return seen
}

// TestModel does the same to the engine and to the model, and looks at
// everything after every step.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &lockstep{fs: vfs.NewCrashableMem(), clock: time.Unix(1e9, 0)}
		h.open(t)
		defer func() {
			if err := h.store.close(); err != nil {
				t.Fatal(err)
			}
		}()
		t.Repeat(map[string]func(*rapid.T){
			"append":   h.append,
			"retry":    h.retry,
			"describe": h.describe,
			"delete":   h.delete,
			"reopen":   h.reopen,
			"crash":    h.crash,
			"":         h.compare,
		})
	})
}

type lockstep struct {
	fs    *vfs.MemFS
	store *store
	model model
	clock time.Time
}

var quiet = slog.New(slog.DiscardHandler)

func (h *lockstep) open(t *rapid.T) {
	s, err := openStore(Options{Dir: "data", Logger: quiet, fs: h.fs, now: func() time.Time { return h.clock }})
	if err != nil {
		t.Fatal(err)
	}
	h.store = s
}

func (h *lockstep) reopen(t *rapid.T) {
	if err := h.store.close(); err != nil {
		t.Fatal(err)
	}
	h.open(t)
}

func (h *lockstep) crash(t *rapid.T) {
	after := h.fs.CrashClone(vfs.CrashCloneCfg{})
	if err := h.store.close(); err != nil {
		t.Fatal(err)
	}
	h.fs = after
	h.open(t)
}

var modelStreams = []string{"a", "b", "c", "$$a", "$$b"}

func (h *lockstep) someExpect(t *rapid.T, stream string) int64 {
	last := int64(len(h.model.stream(stream))) - 1
	return rapid.SampledFrom([]int64{expectAny, expectNoStream, expectExists, last, last, max(expectNoStream, last-1), last + 1, 0}).Draw(t, "expect")
}

func (h *lockstep) append(t *rapid.T) {
	stream := rapid.SampledFrom(modelStreams).Draw(t, "stream")
	n := rapid.SampledFrom([]int{0, 1, 1, 2, 3, recentEvents/2 + 1}).Draw(t, "events")
	h.both(t, stream, h.someExpect(t, stream), h.events(t, n))
}

// retry proposes events again that are in the stream, some of them, or with
// others after them.
func (h *lockstep) retry(t *rapid.T) {
	stream := rapid.SampledFrom(modelStreams).Draw(t, "stream")
	written := h.model.stream(stream)
	if len(written) == 0 {
		t.Skip("nothing to retry")
	}
	from := rapid.IntRange(0, len(written)-1).Draw(t, "from")
	to := rapid.IntRange(from+1, min(len(written), from+3)).Draw(t, "to")
	var events []proposed
	for _, r := range written[from:to] {
		if r.ID == uuid.Nil {
			t.Skip("the engine chose the id")
		}
		events = append(events, proposed{ID: r.ID, Type: r.Type, ContentType: r.ContentType, Data: r.Data, Metadata: r.Metadata})
	}
	if rapid.Bool().Draw(t, "more") {
		events = append(events, h.events(t, 1)...)
	}
	expect := rapid.SampledFrom([]int64{int64(from) - 1, int64(from) - 1, expectAny, expectExists, h.someExpect(t, stream)}).Draw(t, "expect")
	h.both(t, stream, expect, events)
}

// describe writes stream metadata, sensible or not.
func (h *lockstep) describe(t *rapid.T) {
	stream := rapid.SampledFrom([]string{"$$a", "$$b", "$$c"}).Draw(t, "stream")
	e := h.events(t, 1)
	e[0].Type = "$metadata"
	e[0].Data = []byte(rapid.SampledFrom([]string{
		`{}`, `{"$tb":2}`, `{"$maxCount":2,"$acl":{"$r":"x"}}`, `{"$tb":1,"$maxCount":3}`,
		`{"$tb":9223372036854775807,"$acl":{}}`, `nonsense`, `null`,
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
			Type:        []string{"A", "B", ""}[k%3],
			ContentType: []string{jsonContent, octetContent, "text/plain"}[k/3%3],
			Data:        bytes.Repeat([]byte{byte(k)}, k%40),
			Metadata:    bytes.Repeat([]byte{byte(k)}, k%5),
		}
	}
	return events
}

func (h *lockstep) both(t *rapid.T, stream string, expect int64, events []proposed) {
	h.clock = h.clock.Add(time.Duration(rapid.IntRange(-5, 5).Draw(t, "clock")) * time.Second)
	actual := int64(len(h.model.stream(stream))) - 1
	want, wantErr := h.model.append(stream, expect, events)
	got, err := h.store.append(t.Context(), stream, expect, events)
	sameError(t, stream, expect, actual, wantErr, err)
	if got != want {
		t.Fatalf("append to %s: got %+v, want %+v", stream, got, want)
	}
}

func (h *lockstep) delete(t *rapid.T) {
	stream := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "stream")
	expect := h.someExpect(t, stream)
	tombstone := rapid.IntRange(0, 9).Draw(t, "tombstone") == 0
	actual := int64(len(h.model.stream(stream))) - 1
	want, wantErr := h.model.delete(stream, expect, tombstone)
	got, err := h.store.delete(t.Context(), stream, expect, tombstone)
	sameError(t, stream, expect, actual, wantErr, err)
	if got != want {
		t.Fatalf("delete %s: at %d, want %d", stream, got, want)
	}
}

func sameError(t *rapid.T, stream string, expect, actual int64, want, got error) {
	var wrong *wrongRevision
	switch {
	case want == nil && got == nil:
	case want == errDeleted && errors.Is(got, command.ErrStreamDeleted):
	case want == errWrong && errors.As(got, &wrong):
		if *wrong != (wrongRevision{Stream: stream, Expected: expect, Actual: actual}) {
			t.Fatalf("refused with %+v, but it expected %d and is at %d", wrong, expect, actual)
		}
	default:
		t.Fatalf("%s at %d, expected %d: got %v, want %v", stream, actual, expect, got, want)
	}
}

func (h *lockstep) compare(t *rapid.T) {
	if h.store.head() != uint64(len(h.model.log)) {
		t.Fatalf("head is %d after %d events", h.store.head(), len(h.model.log))
	}
	from := uint64(rapid.IntRange(0, len(h.model.log)+2).Draw(t, "from"))
	forwards, err := take(h.store.readAll(t.Context(), false, from))
	if err != nil {
		t.Fatal(err)
	}
	same(t, fmt.Sprint("all from ", from), forwards, h.model.log[min(max(from, 1)-1, uint64(len(h.model.log))):])
	backwards, err := take(h.store.readAll(t.Context(), true, from))
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Clone(h.model.log[:min(max(from, 1)-1, uint64(len(h.model.log)))])
	slices.Reverse(want)
	same(t, fmt.Sprint("all before ", from), backwards, want)
	if !slices.IsSortedFunc(forwards, func(a, b record) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Position, b.Position))
	}) {
		t.Fatal("recorded time went back")
	}
	for _, stream := range append(modelStreams, "d", "never") {
		state, err := h.store.state(stream)
		if err != nil {
			t.Fatal(err)
		}
		if want := h.model.state(stream); state != want {
			t.Fatalf("state of %s is %+v, want %+v", stream, state, want)
		}
		for _, backwards := range []bool{false, true} {
			from := rapid.SampledFrom([]uint64{0, 1, 3, recentEvents, tombstoneRevision, ^uint64(0)}).Draw(t, "from")
			got, err := take(h.store.readStream(t.Context(), stream, backwards, from))
			if err != nil {
				t.Fatal(err)
			}
			same(t, fmt.Sprint(stream, backwards, from), got, h.model.readStream(stream, backwards, from))
		}
	}
	if err := h.store.verify(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// same compares all but what the model cannot know: times, and the ids that the
// engine itself chose (the model leaves them zero).
func same(t *rapid.T, what string, got, want []record) {
	if len(got) != len(want) {
		t.Fatalf("%s: %d events, want %d", what, len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if w.ID == uuid.Nil {
			w.ID = g.ID
		}
		data, metadata := bytes.Equal(g.Data, w.Data), bytes.Equal(g.Metadata, w.Metadata)
		w.Created, w.Data, w.Metadata = g.Created, g.Data, g.Metadata
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
