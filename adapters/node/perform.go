package node

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/uuid"

	"kicau/adapters/command"
)

// perform decides a request and puts in the batch what it writes. Nothing is put
// there before all of it has been decided.
func (c *committer) perform(r *submission) (appended, error) {
	var few [1]verdict
	verdicts := few[:0]
	written := r.kind == writeEvents
	for i := range r.parts {
		p := &r.parts[i]
		h, err := c.headOf(p.stream)
		if err != nil {
			return appended{}, damage(err)
		}
		v, err := c.check(h, p)
		if err != nil {
			return appended{}, damage(err)
		}
		if h.softDeleted() { // what appending will look up; it must not fail then
			if _, err := c.headOf(metastreamOf(p.stream)); err != nil {
				return appended{}, damage(err)
			}
		}
		verdicts = append(verdicts, v)
		written = written && (v.repeated || len(p.events) == 0)
	}
	first := &r.parts[0]
	if written || r.kind != writeEvents && verdicts[0].repeated {
		return verdicts[0].at, nil
	}
	if c.damaged.Load() {
		return appended{}, fmt.Errorf("%w: %w", command.ErrReadOnly, ErrDamaged)
	}
	if c.full {
		return appended{}, fmt.Errorf("%w: its disk has less than %d bytes free; make room, it goes on by itself", command.ErrReadOnly, c.Reserve)
	}
	switch r.kind {
	case softDelete:
		return c.softDelete(first)
	case hardDelete:
		return c.hardDelete(first)
	default:
		return c.appendParts(r.parts, verdicts)
	}
}

func (c *committer) appendParts(parts []part, verdicts []verdict) (at appended, err error) {
	for i := range parts {
		if verdicts[i].repeated || len(parts[i].events) == 0 {
			continue
		}
		// All look-ups were made by perform, so this does not fail. If it does, what
		// is in the batch already must not be written without the rest.
		if at, err = c.appendEvents(&parts[i]); err != nil && i > 0 {
			fatal(c.Logger, "an append to several streams cannot be finished; the process ends", "dir", c.Dir, "err", err)
		}
		if err != nil {
			return appended{}, err
		}
	}
	return at, nil
}

func (c *committer) appendEvents(p *part) (appended, error) {
	h, err := c.headOf(p.stream)
	if err != nil {
		return appended{}, err
	}
	if h.softDeleted() {
		if err := c.undelete(p.stream, h); err != nil {
			return appended{}, err
		}
	}
	for i := range p.events {
		c.write(p.stream, h, uint64(h.last+1), &p.events[i])
	}
	at := appended{Revision: h.last, Position: c.end.size}
	if original, ok := originalOf(p.stream); ok {
		err = c.describe(original, p.events[len(p.events)-1].Data)
	}
	return at, err
}

// describe takes over what was just written about a stream. A deleted one is
// there again with that, as in EventStoreDB (SoftUndeleteMetastream), but what
// was deleted stays hidden.
func (c *committer) describe(stream string, metadata []byte) error {
	h, err := c.headOf(stream)
	if err != nil {
		return err
	}
	deleted := h.softDeleted()
	h.describe(metadata)
	if !deleted || h.softDeleted() {
		return nil
	}
	hidden, err := withTruncateBefore(metadata, uint64(h.last+1))
	if err != nil { // not JSON, so it says nothing
		hidden, err = withTruncateBefore([]byte("{}"), uint64(h.last+1))
	}
	if err == nil {
		_, err = c.setMetadata(stream, h, hidden)
	}
	return err
}

// hardDelete closes a stream for good.
func (c *committer) hardDelete(p *part) (appended, error) {
	h, err := c.headOf(p.stream)
	if err != nil {
		return appended{}, err
	}
	c.write(p.stream, h, tombstoneRevision, &proposed{ID: uuid.New(), Type: tombstoneType, ContentType: jsonContent})
	return appended{Revision: tombstoneRevision, Position: c.end.size}, nil
}

// softDelete hides all events there are; the stream can be continued.
func (c *committer) softDelete(p *part) (appended, error) {
	h, err := c.headOf(p.stream)
	if err != nil {
		return appended{}, err
	}
	if h.last < 0 && !h.described {
		return appended{}, &wrongRevision{Stream: p.stream, Expected: p.expect, Actual: h.last}
	}
	return c.setMetadata(p.stream, h, []byte(softDeletedMetadata))
}

// undelete keeps hidden what was deleted and shows what comes.
func (c *committer) undelete(stream string, h *head) error {
	m, err := withTruncateBefore(h.metadata, uint64(h.last+1))
	if err == nil {
		_, err = c.setMetadata(stream, h, m)
	}
	return err
}

// setMetadata appends to a stream's metastream.
func (c *committer) setMetadata(stream string, h *head, metadata []byte) (appended, error) {
	name := metastreamOf(stream)
	if err := checkStreamName(name); err != nil {
		return appended{}, err
	}
	meta, err := c.headOf(name)
	if err != nil {
		return appended{}, err
	}
	c.write(name, meta, uint64(meta.last+1), &proposed{ID: uuid.New(), Type: metadataEventType, ContentType: jsonContent, Data: metadata})
	h.describe(metadata)
	return appended{Revision: meta.last, Position: c.end.size}, nil
}

// write puts an event in the batch, at the end of the log and of its stream.
func (c *committer) write(stream string, h *head, revision uint64, p *proposed) {
	c.lists = c.lists || holdsAccess(stream)
	c.end.size++
	op := c.batch.SetDeferred(eventKeyLen, recordLen(stream, p))
	appendEventKey(op.Key[:0], c.end.size)
	putRecord(op.Value, stream, revision, c.end.created, p)
	c.end.root = c.end.root.next(op.Value)
	c.finishOp(op)

	e := entry{revision: revision, position: c.end.size, id: p.ID}
	c.filed = append(c.filed, filed{e, stream, p.Type, p.Data, p.Metadata})
	if revision == tombstoneRevision {
		h.tombstoned = true
	} else {
		h.add(e)
		c.heads.entries++
	}
	c.touched = append(c.touched, h)
}

// endBatch puts in the batch what comes after its events: Pebble's memtable is
// faster when neighbours are written together.
func (c *committer) endBatch(events []filed) {
	for i := range events {
		f := &events[i]
		op := c.batch.SetDeferred(indexKeyRest+len(f.stream), indexValLen)
		appendIndexKey(op.Key[:0], f.stream, f.revision)
		putIndexValue(op.Value, f.entry)
		c.finishOp(op)
	}
	c.put(appendRootKey(nil, c.end.size), c.end.root[:])
}

func (c *committer) put(key, value []byte) {
	op := c.batch.SetDeferred(len(key), len(value))
	copy(op.Key, key)
	copy(op.Value, value)
	c.finishOp(op)
}

// finishOp ends a deferred write. It can fail only in an indexed batch.
func (c *committer) finishOp(op *pebble.DeferredBatchOp) {
	if err := op.Finish(); err != nil {
		fatal(c.Logger, "the log cannot be written; the process ends", "dir", c.Dir, "err", err)
	}
}
