package node

import (
	"fmt"

	"github.com/google/uuid"
)

// Bounds of what the committer remembers of streams.
const (
	// recentEvents is how far back an append at Any is recognised as a retry:
	// all its ids must be among that many newest events of its stream.
	// EventStoreDB remembers ids in memory, of all streams together, and
	// forgets them at a restart; this is read back from the log.
	recentEvents = 512
	// headsPerGeneration bounds the cache of heads, and entriesPerGeneration (of 32
	// bytes) what they remember: at most twice as many, and the batch being made.
	headsPerGeneration   = 4096
	entriesPerGeneration = 1 << 18
)

// head is where a stream stands, the batch that is being made included.
// Only the committer has heads.
type head struct {
	last       int64 // revision of the last event, -1 when there is none
	tombstoned bool

	described      bool   // its metastream has events
	truncateBefore uint64 // $tb of the newest of them; tombstoneRevision: soft-deleted
	metadata       []byte // the newest of them, kept while the stream is soft-deleted (28 bytes, unless a client wrote it)

	// recent are the newest events in order, up to last: at least those of the
	// batch being made, as Pebble does not have them yet.
	recent []entry
	whole  bool // recent has everything that recentEvents asks for
}

func (h *head) softDeleted() bool { return h.truncateBefore == tombstoneRevision }

// describe takes over what a new event of the metastream says.
func (h *head) describe(metadata []byte) {
	m := parseMetadata(metadata)
	h.described, h.truncateBefore, h.metadata = true, m.truncateBefore, nil
	if h.softDeleted() {
		h.metadata = append([]byte{}, metadata...)
	}
}

// add takes over an event that was put in the batch.
func (h *head) add(e entry) {
	if h.last < 0 {
		h.whole = true
	}
	h.last = int64(e.revision)
	h.recent = append(h.recent, e)
}

// trim lets go of events that are out of reach. The batch must be in Pebble.
func (h *head) trim() {
	if len(h.recent) > 2*recentEvents {
		h.recent = append(h.recent[:0], h.recent[len(h.recent)-recentEvents:]...)
	}
}

// at returns the entry of a revision if it is remembered.
func (h *head) at(revision int64) (entry, bool) {
	i := len(h.recent) - 1 - int(h.last-revision)
	if i < 0 || i >= len(h.recent) {
		return entry{}, false
	}
	return h.recent[i], true
}

// find looks for an id among the newest recentEvents events; h must be whole.
func (h *head) find(id uuid.UUID) (entry, bool) {
	for i := len(h.recent) - 1; i >= max(0, len(h.recent)-recentEvents); i-- {
		if h.recent[i].id == id {
			return h.recent[i], true
		}
	}
	return entry{}, false
}

// heads is a cache in two generations: when the young one is full it becomes
// the old one, and what was not asked for since is forgotten.
type heads struct {
	young, old map[string]*head
	entries    int // that those of the young generation remember, and have let go of
}

func (c *heads) get(stream string) (*head, bool) {
	if h, ok := c.young[stream]; ok {
		return h, true
	}
	h, ok := c.old[stream]
	if ok {
		c.put(stream, h)
	}
	return h, ok
}

func (c *heads) put(stream string, h *head) {
	c.young[stream] = h
	c.entries += len(h.recent)
}

// age must not be called while a batch is being made: its heads are nowhere
// else.
func (c *heads) age() {
	if c.young == nil || len(c.young) >= headsPerGeneration || c.entries >= entriesPerGeneration {
		c.old, c.young, c.entries = c.young, make(map[string]*head), 0
	}
}

// headOf returns where a stream stands.
func (c *committer) headOf(stream string) (*head, error) {
	if h, ok := c.heads.get(stream); ok {
		return h, nil
	}
	h, err := c.loadHead(stream)
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", stream, err)
	}
	c.heads.put(stream, h)
	return h, nil
}

func (c *committer) loadHead(stream string) (*head, error) {
	x, err := c.lookup()
	if err != nil {
		return nil, err
	}
	h := &head{last: -1}
	if _, h.tombstoned, err = x.at(stream, tombstoneRevision); err != nil {
		return nil, err
	}
	last, ok, err := x.last(stream, ^uint64(0))
	if err != nil {
		return nil, err
	}
	if ok {
		h.last, h.recent = int64(last.revision), []entry{last}
	}
	h.whole = h.last <= 0
	if _, meta := originalOf(stream); meta || h.tombstoned {
		return h, nil // whose metadata may have been scavenged
	}
	metadata, ok, err := c.newestMetadata(x, stream, ^uint64(0))
	if ok {
		h.describe(metadata)
	}
	return h, err
}

// recall makes h whole.
func (c *committer) recall(stream string, h *head) error {
	if h.whole {
		return nil
	}
	first := max(0, h.last+1-recentEvents)
	known := h.last + 1 - int64(len(h.recent))
	if first < known {
		x, err := c.lookup()
		if err != nil {
			return err
		}
		older, err := x.between(nil, stream, uint64(first), uint64(known), false, recentEvents)
		if err != nil {
			return err
		}
		if len(older) != int(known-first) {
			return fmt.Errorf("%w: stream %s has lost events between revisions %d and %d", ErrDamaged, stream, first, known)
		}
		h.recent = append(older, h.recent...)
		c.heads.entries += len(older)
	}
	h.whole = true
	return nil
}

// entryAt returns the entry of a revision that the stream has.
func (c *committer) entryAt(stream string, h *head, revision int64) (entry, error) {
	if e, ok := h.at(revision); ok {
		return e, nil
	}
	x, err := c.lookup()
	if err != nil {
		return entry{}, err
	}
	e, ok, err := x.at(stream, uint64(revision))
	if err == nil && !ok {
		err = fmt.Errorf("%w: stream %s has lost revision %d", ErrDamaged, stream, revision)
	}
	return e, err
}

// lookup returns an index of all batches before the one being made.
func (c *committer) lookup() (_ *index, err error) {
	if c.index == nil {
		c.index, err = c.openIndex()
	}
	return c.index, err
}

func (c *committer) closeIndex() {
	if c.index == nil {
		return
	}
	// What could not be read was already answered to who asked for it.
	if err := c.index.close(); err != nil {
		c.Logger.Error("looking up streams", "dir", c.Dir, "err", err)
	}
	c.index = nil
}
