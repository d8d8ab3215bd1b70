package node

import (
	"fmt"

	"kicau/adapters/command"
)

// verdict lets a request be performed. When repeated, it was performed before
// and at is where; otherwise at is where the stream stands.
type verdict struct {
	repeated bool
	at       appended
}

// check applies the rules of expected revision and idempotency, which are
// EventStoreDB's (IndexWriter.CheckCommit). They are documented as: with an
// exact revision a retry is always recognised (unless the stream was soft-deleted
// since), with Any as far back as recentEvents.
func (c *committer) check(h *head, r *part) (verdict, error) {
	wrong := &wrongRevision{Stream: r.stream, Expected: r.expect, Actual: h.last}
	stands := verdict{at: appended{Revision: h.last}}
	deleted, err := c.tombstoned(r.stream, h)
	switch {
	case err != nil:
		return verdict{}, err
	case deleted:
		return verdict{}, deletedForGood(r.stream)
	case r.expect == expectExists && h.softDeleted():
		return verdict{}, deletedForGood(r.stream)
	case r.expect == expectExists && h.last < 0 && !h.described:
		return verdict{}, wrong
	case r.expect == expectAny || r.expect == expectExists:
		return c.checkRecent(h, r, stands, wrong)
	case r.expect < h.last:
		return c.checkStored(h, r, stands, wrong)
	case r.expect > h.last:
		return verdict{}, wrong
	default:
		return stands, nil
	}
}

// tombstoned tells whether a stream was deleted for good; its metastream goes
// with it.
func (c *committer) tombstoned(stream string, h *head) (bool, error) {
	if original, ok := originalOf(stream); ok && !h.tombstoned {
		o, err := c.headOf(original)
		return err == nil && o.tombstoned, err
	}
	return h.tombstoned, nil
}

// checkRecent: no revision was named. The first id tells whether this is a
// retry; then the others must be known too.
func (c *committer) checkRecent(h *head, r *part, stands verdict, wrong error) (verdict, error) {
	if len(r.events) == 0 || h.last < 0 {
		return stands, nil
	}
	if err := c.recall(r.stream, h); err != nil {
		return verdict{}, err
	}
	var last entry
	for i := range r.events {
		e, known := h.find(r.events[i].ID)
		switch {
		case !known && i == 0:
			return stands, nil
		case !known:
			return verdict{}, wrong
		}
		last = e
	}
	return repeated(last), nil
}

// checkStored: the stream is beyond the revision named. It is a retry when the
// events that follow there are the same.
func (c *committer) checkStored(h *head, r *part, stands verdict, wrong error) (verdict, error) {
	var last entry
	for i := range r.events {
		revision := r.expect + 1 + int64(i)
		same := false
		if revision <= h.last {
			e, err := c.entryAt(r.stream, h, revision)
			if err != nil {
				return verdict{}, err
			}
			last, same = e, e.id == r.events[i].ID
		}
		switch {
		case same:
		case i == 0 && r.expect == expectNoStream && h.softDeleted():
			return stands, nil // to who deleted it, the stream does not exist
		default:
			return verdict{}, wrong
		}
	}
	if len(r.events) == 0 {
		return verdict{}, wrong
	}
	return repeated(last), nil
}

func repeated(last entry) verdict {
	return verdict{repeated: true, at: appended{Revision: int64(last.revision), Position: last.position}}
}

func deletedForGood(stream string) error {
	return fmt.Errorf("stream %s: %w", stream, command.ErrStreamDeleted)
}
