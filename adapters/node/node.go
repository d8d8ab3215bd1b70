package node

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/event"
)

// Node is an embedded event store.
type Node struct {
	engine engine
	store  *store
	groups *groups

	scavenging atomic.Bool
}

// Open opens the log in o.Dir, or makes a new one there. One process at a time
// may have it open. It refuses a log that lost or changed events which were
// acknowledged: see [ErrDamaged].
func Open(o Options) (*Node, error) {
	s, err := openStore(o)
	if err != nil {
		return nil, err
	}
	if o.readOnly {
		return &Node{engine: s, store: s, groups: &groups{}}, nil
	}
	gs, err := openGroups(s, s.Logger, s.now)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return &Node{engine: s, store: s, groups: gs}, nil
}

// OpenReadOnly opens the log in o.Dir and changes nothing there. Appends are
// refused with command.ErrReadOnly, and its persistent subscriptions stand
// still. No other process may have it open. After a crash the newest events may be
// in the checkpoint only, until the next [Open] writes them to the log; then this
// is refused, and says so.
func OpenReadOnly(o Options) (*Node, error) {
	o.readOnly = true
	return Open(o)
}

// ID is the log's own id, made with it. Who keeps positions of a log keeps its
// id beside them.
func (n *Node) ID() uuid.UUID { return n.store.id }

// Head is the position of the newest event, system events included; zero when
// there is none. A consumer that is beyond it came from another, longer log.
func (n *Node) Head() event.Position { return event.At(n.engine.head()) }

// Log is the log for use in this process.
func (n *Node) Log() command.Log { return log{n.engine} }

// Verify reads every event and compares the log with the roots that were
// stored when it was written. It returns an [ErrDamaged] that names the first
// place where they differ.
func (n *Node) Verify(ctx context.Context) error { return n.store.verify(ctx) }

// Close ends the persistent subscriptions, answers the appends that wait,
// refuses new ones and closes the log. It may be called more than once.
func (n *Node) Close() error { return errors.Join(n.groups.close(), n.store.close()) }
