package node

import (
	"context"
	"encoding/hex"

	"github.com/google/uuid"
)

// Verified is a log that was read from end to end and found as it was written.
type Verified struct {
	Log    uuid.UUID `json:"log"`
	Events uint64    `json:"events"`
	Root   string    `json:"root"` // over all of them, in hex
}

// Progress is told how much is done of all there is to do, in bytes or in events,
// perhaps often. What begins anew is something else: a copy is received, then its
// events are verified. It must be quick.
type Progress func(unit Unit, done, total uint64)

// Unit is what [Progress] counts.
type Unit string

// Units.
const (
	Bytes  Unit = "bytes"
	Events Unit = "events"
)

// tell may be called on a Progress that nobody gave.
func (p Progress) tell(unit Unit, done, total uint64) {
	if p != nil {
		p(unit, done, total)
	}
}

// VerifyAll reads every event and compares the log with the roots that were
// stored when it was written, and its indexes with the events. It returns an
// [ErrDamaged] that names the first place where they differ. What is appended
// meanwhile is not looked at.
func (n *Node) VerifyAll(ctx context.Context, progress Progress) (Verified, error) {
	return n.store.verifyAll(ctx, progress)
}

func (s *store) verifyAll(ctx context.Context, progress Progress) (Verified, error) {
	c, to := checkpoint{log: s.id, root: firstRoot(s.id)}, s.head()
	progress.tell(Events, 0, to)
	for c.size < to {
		if ctx.Err() != nil {
			return Verified{}, context.Cause(ctx)
		}
		if err := s.read(func() error { return s.verifySome(&c, to) }); err != nil {
			return Verified{}, err
		}
		progress.tell(Events, c.size, to)
	}
	if err := s.verifyIndexes(ctx, to); err != nil {
		return Verified{}, err
	}
	return Verified{Log: s.id, Events: c.size, Root: hex.EncodeToString(c.root[:])}, nil
}
