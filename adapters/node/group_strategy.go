package node

import (
	"bytes"
	"hash/maphash"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// strategy chooses the consumer of a message. It is used under the group's lock.
type strategy interface {
	// changed tells who is connected now, in the order in which they came.
	changed(consumers []*consumer)
	// pick returns who gets m; nil when it must wait though others may not; full
	// when nobody has room for anything.
	pick(m *message) (c *consumer, full bool)
	// released tells that m's holder does not hold it any more.
	released(m *message)
}

func newStrategy(name string) strategy {
	switch name {
	case roundRobin:
		return &turns{}
	case pinned:
		return &pins{seed: maphash.MakeSeed(), source: sourceOf}
	case pinnedByCorrelation:
		return &pins{seed: maphash.MakeSeed(), source: correlationOf}
	default:
		return &first{}
	}
}

// first gives everything to the consumer that came first, and to the next ones
// what it has no room for: DispatchToSingle.
type first struct{ consumers []*consumer }

func (f *first) changed(cs []*consumer) { f.consumers = cs }
func (f *first) released(*message)      {}
func (f *first) pick(*message) (*consumer, bool) {
	for _, c := range f.consumers {
		if c.hasSlot() {
			return c, false
		}
	}
	return nil, true
}

// turns gives to one after the other: RoundRobin.
type turns struct {
	consumers []*consumer
	next      int
}

func (t *turns) changed(cs []*consumer) { t.consumers = cs }
func (t *turns) released(*message)      {}
func (t *turns) pick(*message) (*consumer, bool) {
	for range t.consumers {
		c := t.consumers[t.next%len(t.consumers)]
		t.next = (t.next + 1) % len(t.consumers)
		if c.hasSlot() {
			return c, false
		}
	}
	return nil, true
}

// pinBuckets is how finely sources are spread over consumers, as in EventStoreDB.
const pinBuckets = 1024

// pins gives the messages of a source to the same consumer, as long as it is
// connected: Pinned and PinnedByCorrelation. A source falls in a bucket. Who of
// the connected has a bucket follows from who they are (rendezvous hashing), so
// that a consumer more or less moves few of them; but a bucket stays where
// messages of it are unanswered.
type pins struct {
	seed      maphash.Seed
	source    func(*message) string
	consumers []*consumer
	holders   [pinBuckets]struct {
		consumer *consumer
		messages int
	}
}

func (p *pins) changed(cs []*consumer) { p.consumers = cs }

func (p *pins) bucket(m *message) int {
	return int(maphash.String(p.seed, p.source(m)) % pinBuckets)
}

func (p *pins) pick(m *message) (*consumer, bool) {
	if !slices.ContainsFunc(p.consumers, (*consumer).hasSlot) {
		return nil, true
	}
	b := p.bucket(m)
	h := &p.holders[b]
	if h.messages == 0 {
		h.consumer = p.owner(b)
	}
	if !h.consumer.hasSlot() {
		return nil, false
	}
	h.messages++
	return h.consumer, false
}

func (p *pins) released(m *message) { p.holders[p.bucket(m)].messages-- }

func (p *pins) owner(bucket int) (owner *consumer) {
	var best uint64
	for _, c := range p.consumers {
		if score := maphash.Comparable(p.seed, pin{bucket, c}); owner == nil || score > best {
			owner, best = c, score
		}
	}
	return owner
}

type pin struct {
	bucket   int
	consumer *consumer
}

// sourceOf is the stream of the event that a message is about.
func sourceOf(m *message) string {
	if m.event != nil {
		return m.event.Stream
	}
	if m.record.Type == linkType {
		if _, stream, ok := parseLink(m.record.Data); ok {
			return stream
		}
	}
	return m.record.Stream
}

// correlationOf is the $correlationId of a message's event, or its stream when
// it has none.
func correlationOf(m *message) string {
	metadata := m.record.Metadata
	if m.event != nil {
		metadata = m.event.Metadata
	}
	if id := correlationID(metadata); id != "" {
		return id
	}
	return sourceOf(m)
}

// correlationKey is where EventStoreDB looks for the id that events of one
// cause share.
const correlationKey = "$correlationId"

// anyObject takes what clients write of metadata as EventStoreDB does: of a name that
// stands twice the last counts.
var anyObject = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// correlationID reads it from an event's metadata, "" when there is none.
func correlationID(metadata []byte) string {
	if !bytes.Contains(metadata, []byte(correlationKey)) { // most have none, and JSON is slow
		return ""
	}
	var m struct {
		ID any `json:"$correlationId"`
	}
	if json.Unmarshal(metadata, &m, anyObject) != nil {
		return ""
	}
	id, _ := m.ID.(string)
	return id
}
