package node

import (
	"context"
	"sync"
	"sync/atomic"

	"kicau/adapters/command"
)

// tip is the newest durable position, and the place to wait for a newer one.
type tip struct {
	position atomic.Uint64
	closed   chan struct{}

	mu    sync.Mutex
	moved chan struct{} // closed at the next move; nil when nobody waits
}

// move makes everything up to position visible and wakes who waits for it.
func (t *tip) move(position uint64) {
	t.position.Store(position)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.moved != nil {
		close(t.moved)
		t.moved = nil
	}
}

func (t *tip) waitBeyond(ctx context.Context, position uint64) error {
	for {
		t.mu.Lock()
		if t.position.Load() > position {
			t.mu.Unlock()
			return nil
		}
		if t.moved == nil {
			t.moved = make(chan struct{})
		}
		moved := t.moved
		t.mu.Unlock()
		select {
		case <-moved:
		case <-t.closed:
			return command.ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
