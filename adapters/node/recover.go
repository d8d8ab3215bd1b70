package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/uuid"
)

// ErrDamaged: the log has lost or changed what it promised to keep, and it is not
// in its checkpoint. One node can find that out but not repair it.
var ErrDamaged = errors.New("the log is damaged; restore a verified copy of its whole directory")

// logEnd is where a log ends.
type logEnd struct {
	checkpoint
	created int64 // time of the last event
}

// recover finds where the log ends, compares it with its checkpoint, gives it back
// what it lost and was kept beside it, and begins a new file of the checkpoint.
func (s *store) recover(checkpointPath string) (end logEnd, file *checkpointFile, err error) {
	known, err := s.readLogID()
	if err != nil {
		return end, nil, err
	}
	if known {
		if end, err = s.readEnd(); err != nil {
			return end, nil, err
		}
	}
	promised, err := readCheckpointFile(s.fs, checkpointPath)
	switch {
	case notExist(err) && end.size == 0 && !s.readOnly:
		// A new log, or one whose making was interrupted before it held anything.
		if !known {
			if err := s.writeLogID(); err != nil {
				return end, nil, err
			}
			end.checkpoint = checkpoint{log: s.id, root: firstRoot(s.id)}
		}
	case notExist(err):
		return end, nil, fmt.Errorf("%w: it has %d events but its checkpoint %s is missing, so nobody can say whether some were lost; if the file can be found, restore that",
			ErrDamaged, end.size, checkpointPath)
	case err != nil:
		return end, nil, fmt.Errorf("open the log's checkpoint: %w", err)
	default:
		if end, err = s.keep(end, known, promised); err != nil || s.readOnly {
			return end, nil, err
		}
	}
	// All of it is on disk: Pebble has flushed what it replayed.
	if file, err = createCheckpointFile(s.fs, checkpointPath, s.lapBytes, end.checkpoint); err != nil {
		return end, nil, fmt.Errorf("make %s: %w", checkpointPath, err)
	}
	return end, file, nil
}

// keep makes the log what was promised, or refuses it.
func (s *store) keep(end logEnd, known bool, p promised) (logEnd, error) {
	lost := p.end.size - min(end.size, p.end.size)
	switch {
	case !known:
		return end, fmt.Errorf("%w: %s is empty but its checkpoint promises log %s with %d events", ErrDamaged, s.Dir, p.end.log, p.end.size)
	case p.end.log != s.id:
		return end, fmt.Errorf("%w: %s holds log %s but its checkpoint is of log %s", ErrDamaged, s.Dir, s.id, p.end.log)
	case end.size < p.synced.size:
		return end, fmt.Errorf("%w: %s ends at position %d but %d events were acknowledged: the last %d are lost",
			ErrDamaged, s.Dir, end.size, p.end.size, lost)
	}
	if err := s.compare(p.synced); err != nil {
		return end, err
	}
	if lost > 0 {
		if s.readOnly {
			return end, fmt.Errorf("%s was not closed in order: its last %d events are only in its checkpoint, and the next start writes them to the log; start the event store on it once and stop it, then try again",
				s.Dir, lost)
		}
		var err error
		if end, err = s.redo(end, p.redo); err != nil {
			return end, fmt.Errorf("write again the last %d events of %s: %w", lost, s.Dir, err)
		}
		s.Logger.Info("the last events were only in the checkpoint: they are in the log again", "dir", s.Dir, "from", p.end.size-lost+1, "to", end.size)
	}
	if err := s.compare(p.end); err != nil {
		return end, err
	}
	if err := s.verifyFrom(context.Background(), p.synced, end.size); err != nil {
		return end, err
	}
	if end.size > p.end.size && !s.readOnly {
		// A crash came between Pebble and the checkpoint. Those events were
		// never acknowledged but they are durable and about to be visible.
		s.Logger.Info("the log has events that nobody was told of: they are kept", "dir", s.Dir, "from", p.end.size+1, "to", end.size)
	}
	return end, nil
}

// redo writes to Pebble what it lost.
func (s *store) redo(end logEnd, batches []redo) (logEnd, error) {
	for _, r := range batches {
		if r.end.size <= end.size {
			continue
		}
		batch := s.db.NewBatch()
		if err := batch.SetRepr(bytes.Clone(r.batch)); err != nil {
			return end, errors.Join(err, batch.Close())
		}
		if err := errors.Join(s.apply(batch, pebble.Sync), batch.Close()); err != nil {
			return end, err
		}
	}
	return s.readEnd()
}

// compare refuses a log whose first events are not those that were promised.
func (s *store) compare(promised checkpoint) error {
	stored, err := s.rootAt(promised.size)
	if err != nil {
		return err
	}
	if stored != promised.root {
		return fmt.Errorf("%w: the first %d events of %s are not those that were acknowledged (root %x, promised %x)",
			ErrDamaged, promised.size, s.Dir, stored, promised.root)
	}
	return nil
}

func (s *store) readLogID() (known bool, err error) {
	value, closer, err := s.db.Get(logKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the log's id: %w", err)
	}
	defer closer.Close()
	if len(value) != 1+len(s.id) || value[0] != formatOfStore {
		return false, fmt.Errorf("%s was written in a format that this program does not know (%x): open it with the program that wrote it, or a newer one", s.Dir, value)
	}
	copy(s.id[:], value[1:])
	return true, nil
}

func (s *store) writeLogID() error {
	s.id = uuid.New()
	if err := s.db.Set(logKey, append([]byte{formatOfStore}, s.id[:]...), pebble.Sync); err != nil {
		return fmt.Errorf("write the log's id: %w", err)
	}
	return nil
}

// readEnd reads the last event and the last root.
func (s *store) readEnd() (logEnd, error) {
	end := logEnd{checkpoint: checkpoint{log: s.id, root: firstRoot(s.id)}}
	key, value, err := s.lastOf(eventKind)
	if err != nil || key == nil {
		return end, err
	}
	if end.size, err = positionOf(key); err != nil {
		return end, err
	}
	last, err := readRecord(end.size, value, nil)
	if err != nil {
		return end, err
	}
	end.created = ticksOf(last.Created)
	end.root, err = s.rootAt(end.size)
	return end, err
}

// lastOf returns the last key of a kind, nil when there is none.
func (s *store) lastOf(kind byte) (key, value []byte, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}})
	if err != nil {
		return nil, nil, err
	}
	if it.Last() {
		key = bytes.Clone(it.Key())
		if value, err = it.ValueAndErr(); err == nil {
			value = bytes.Clone(value)
		}
	}
	return key, value, errors.Join(err, it.Close())
}

// rootAt reads the root over the first size events, where a batch ended.
func (s *store) rootAt(size uint64) (root, error) {
	if size == 0 {
		return firstRoot(s.id), nil
	}
	value, closer, err := s.db.Get(appendRootKey(nil, size))
	if err != nil {
		return root{}, fmt.Errorf("%w: no root is stored at position %d (%v)", ErrDamaged, size, err)
	}
	defer closer.Close()
	if len(value) != rootLen {
		return root{}, fmt.Errorf("%w: the root stored at position %d is malformed", ErrDamaged, size)
	}
	return root(value), nil
}

// verify reads the whole log, computes its roots again and compares its indexes
// with the events. It returns ErrDamaged with the first place where they differ.
func (s *store) verify(ctx context.Context) error {
	_, err := s.verifyAll(ctx, nil)
	return err
}

// verifyFrom computes the roots again that follow on c, up to and including
// position to, and compares each that is stored.
func (s *store) verifyFrom(ctx context.Context, c checkpoint, to uint64) error {
	for c.size < to {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.read(func() error { return s.verifySome(&c, to) }); err != nil {
			return err
		}
	}
	return nil
}

// verifyRun is how many events are verified before Pebble's tables are let go.
const verifyRun = 4096

func (s *store) verifySome(c *checkpoint, to uint64) (err error) {
	events, err := s.db.NewIter(&pebble.IterOptions{LowerBound: appendEventKey(nil, c.size+1), UpperBound: appendEventKey(nil, to+1)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, events.Close()) }()
	roots, err := s.db.NewIter(&pebble.IterOptions{LowerBound: appendRootKey(nil, c.size+1), UpperBound: appendRootKey(nil, to+1)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, roots.Close()) }()
	roots.First()
	events.First()
	for n := 0; c.size < to && n < verifyRun; n++ {
		if !events.Valid() {
			return errors.Join(events.Error(), fmt.Errorf("%w: the event at position %d is missing", ErrDamaged, c.size+1))
		}
		position, err := positionOf(events.Key())
		if err != nil {
			return err
		}
		if position != c.size+1 {
			return fmt.Errorf("%w: the event at position %d is missing", ErrDamaged, c.size+1)
		}
		stored, err := events.ValueAndErr()
		if err != nil {
			return fmt.Errorf("%w: read the event at position %d: %w", ErrDamaged, position, err)
		}
		c.size, c.root = position, c.root.next(stored)
		if roots.Valid() && bytes.Equal(roots.Key(), appendRootKey(nil, position)) {
			if !bytes.Equal(roots.Value(), c.root[:]) {
				return fmt.Errorf("%w: an event in the batch that ends at position %d is not what was written", ErrDamaged, position)
			}
			roots.Next()
		} else if c.size == to {
			return fmt.Errorf("%w: the root at position %d is missing", ErrDamaged, position)
		}
		events.Next()
	}
	return nil
}
