package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// model is what the engine should do, said plainly: a list of events, and rules
// that go over it from the start each time. Events that a scavenge took stay in
// the list, emptied. What is in index streams is in model_index_test.go.
type model struct {
	log     []record
	indexes [][]string // in which each stands
	now     time.Time  // of the last event, or of a request since the start that came later
}

// tick is a request at a time that may be before that of the one before.
func (m *model) tick(clock time.Time) {
	if clock.After(m.now) {
		m.now = clock.UTC()
	}
}

// reopen forgets the time of requests that wrote nothing.
func (m *model) reopen() {
	m.now = time.Time{}
	if len(m.log) > 0 {
		m.now = m.log[len(m.log)-1].Created
	}
}

func (m *model) stream(name string) []record {
	var s []record
	for _, r := range m.log {
		if r.Stream == name && r.Type != tombstoneType {
			s = append(s, r)
		}
	}
	return s
}

func (m *model) last(name string) int64 { return int64(len(m.stream(name))) - 1 }

func (m *model) tombstoned(name string) bool {
	return slices.ContainsFunc(m.log, func(r record) bool {
		return r.Type == tombstoneType && r.Stream == strings.TrimPrefix(name, "$$")
	})
}

type modelMetadata struct{ truncateBefore, maxCount, maxAge int64 }

func (m *model) metadata(name string) (md modelMetadata, described bool) {
	events := m.stream("$$" + name)
	if len(events) == 0 {
		return md, false
	}
	return readModelMetadata(events[len(events)-1].Data), true
}

// readModelMetadata understands each key for itself: nonsense in one does not
// touch the others.
func readModelMetadata(data []byte) (md modelMetadata) {
	keys := map[string]any{}
	in := json.NewDecoder(bytes.NewReader(data))
	in.UseNumber()
	if in.Decode(&keys) != nil {
		return md
	}
	if _, err := in.Token(); err != io.EOF {
		return md
	}
	for name, to := range map[string]*int64{"$tb": &md.truncateBefore, "$maxCount": &md.maxCount, "$maxAge": &md.maxAge} {
		if text, ok := keys[name].(json.Number); ok {
			if n, err := text.Int64(); err == nil && n > 0 {
				*to = n
			}
		}
	}
	return md
}

func (m *model) softDeleted(name string) bool {
	md, _ := m.metadata(name)
	return md.truncateBefore == tombstoneRevision
}

// refusals of the model
var errDeleted = errors.New("deleted")

func (m *model) wrong(name string, expect int64) error {
	return &wrongRevision{Stream: name, Expected: expect, Actual: m.last(name)}
}

// check says whether an append may go on, or was made before (then at is where).
func (m *model) check(name string, expect int64, events []proposed) (at *appended, err error) {
	s := m.stream(name)
	last := m.last(name)
	_, described := m.metadata(name)
	if m.tombstoned(name) || expect == expectExists && m.softDeleted(name) {
		return nil, errDeleted
	}
	if expect == expectExists && last == -1 && !described {
		return nil, m.wrong(name, expect)
	}
	if expect == expectAny || expect == expectExists {
		recent := s[max(0, len(s)-recentEvents):]
		for i, e := range events {
			n := len(recent) - 1
			for n >= 0 && recent[n].ID != e.ID {
				n--
			}
			if n < 0 {
				if i == 0 {
					return nil, nil
				}
				return nil, m.wrong(name, expect)
			}
			at = &appended{Revision: int64(recent[n].Revision), Position: recent[n].Position}
		}
		return at, nil
	}
	if expect == last {
		return nil, nil
	}
	if expect > last || len(events) == 0 {
		return nil, m.wrong(name, expect)
	}
	for i, e := range events {
		n := expect + 1 + int64(i)
		if n > last || s[n].ID != e.ID {
			if i == 0 && expect == expectNoStream && m.softDeleted(name) {
				return nil, nil
			}
			return nil, m.wrong(name, expect)
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
	r := record{
		Position: uint64(len(m.log) + 1), Stream: name, Revision: revision,
		ID: p.ID, Type: p.Type, ContentType: content, Created: m.now, Data: p.Data, Metadata: p.Metadata,
	}
	m.log, m.indexes = append(m.log, r), append(m.indexes, indexesOf(r))
}

func (m *model) append(name string, expect int64, events []proposed) (appended, error) {
	at, err := m.check(name, expect, events)
	switch {
	case err != nil:
		return appended{}, err
	case at != nil:
		return *at, nil
	case len(events) == 0:
		return appended{Revision: m.last(name)}, nil
	}
	return m.write(name, events), nil
}

// appendAll looks at all parts before it writes any.
func (m *model) appendAll(parts []part) error {
	var due []part
	for _, p := range parts {
		at, err := m.check(p.stream, p.expect, p.events)
		if err != nil {
			return err
		}
		if at == nil {
			due = append(due, p)
		}
	}
	for _, p := range due {
		m.write(p.stream, p.events)
	}
	return nil
}

// write returns where the last of the events is.
func (m *model) write(name string, events []proposed) (at appended) {
	if len(events) > 0 && m.softDeleted(name) {
		m.hide(name)
	}
	original, isMeta := strings.CutPrefix(name, "$$")
	wasDeleted := isMeta && m.softDeleted(original)
	for _, e := range events {
		m.add(name, uint64(len(m.stream(name))), e)
	}
	at = appended{Revision: m.last(name), Position: uint64(len(m.log))}
	if wasDeleted && !m.softDeleted(original) {
		m.hide(original)
	}
	return at
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
	m.add("$$"+name, uint64(len(meta)), proposed{Type: metadataEventType, ContentType: jsonContent, Data: data})
}

func (m *model) delete(name string, expect int64, tombstone bool) (uint64, error) {
	if _, err := m.check(name, expect, nil); err != nil {
		return 0, err
	}
	_, described := m.metadata(name)
	switch {
	case tombstone:
		m.add(name, tombstoneRevision, proposed{Type: tombstoneType, ContentType: jsonContent})
	case len(m.stream(name)) == 0 && !described:
		return 0, m.wrong(name, expect)
	default:
		m.add("$$"+name, uint64(len(m.stream("$$"+name))),
			proposed{Type: metadataEventType, ContentType: jsonContent, Data: fmt.Appendf(nil, `{"$tb":%d}`, uint64(tombstoneRevision))})
	}
	return uint64(len(m.log)), nil
}

// entries are what a stream has, seen or not.
func (m *model) entries(name string) []record {
	if isModelIndex(name) {
		return m.links(name)
	}
	var s []record
	for _, r := range m.log {
		if r.Stream == name {
			s = append(s, r)
		}
	}
	return s
}

func (m *model) state(name string) streamState {
	if m.tombstoned(name) {
		return streamState{Tombstoned: true, Last: tombstoneRevision}
	}
	s := streamState{Last: int64(len(m.entries(name))) - 1}
	s.Exists = s.Last >= 0 && !m.softDeleted(name)
	if strings.HasPrefix(name, "$$") {
		s.TruncateBefore = uint64(max(0, s.Last))
		return s
	}
	md, _ := m.metadata(name)
	s.TruncateBefore = uint64(md.truncateBefore)
	if md.maxCount > 0 && !m.softDeleted(name) {
		s.TruncateBefore = uint64(max(md.truncateBefore, s.Last+1-md.maxCount))
	}
	return s
}

// seen are the events of a stream that its readers are shown.
func (m *model) seen(name string, clock time.Time) []record {
	state := m.state(name)
	md, _ := m.metadata(name)
	return slices.DeleteFunc(m.entries(name), func(r record) bool {
		return r.emptied || r.Revision < state.TruncateBefore ||
			!state.Tombstoned && md.maxAge > 0 && r.Created.Before(clock.Add(-time.Duration(md.maxAge)*time.Second))
	})
}

func (m *model) readStream(name string, backwards bool, from uint64, clock time.Time) []record {
	seen := slices.DeleteFunc(m.seen(name, clock), func(r record) bool {
		return backwards && r.Revision > from || !backwards && r.Revision < from
	})
	if backwards {
		slices.Reverse(seen)
	}
	return seen
}

// unseen are the positions of the events that no reader of a stream is shown,
// and so a scavenge takes: of a stream that was deleted for good all but its
// end.
func (m *model) unseen(clock time.Time) (positions []uint64) {
	seen := map[uint64]bool{}
	streams := map[string]bool{}
	for _, r := range m.log {
		streams[r.Stream] = true
	}
	for stream := range streams {
		for _, r := range m.seen(stream, clock) {
			seen[r.Position] = !m.tombstoned(stream) || r.Type == tombstoneType
		}
	}
	for _, r := range m.log {
		if !seen[r.Position] && !r.emptied {
			positions = append(positions, r.Position)
		}
	}
	return positions
}

// learn takes over the ids that the engine chose.
func (m *model) learn(from []record) {
	for _, r := range from {
		if known := &m.log[r.Position-1]; known.ID == uuid.Nil {
			known.ID = r.ID
		}
	}
}
