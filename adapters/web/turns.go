package web

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
)

// MaxTurnWait is how long a request waits for another one under the same
// idempotency key, before it is told that it is in flight.
const MaxTurnWait = 5 * time.Second

// replayed marks an answer to a request that was dealt with before.
const replayed = "Idempotent-Replayed"

// errInFlight is 409 with Retry-After, as draft-ietf-httpapi-idempotency-key-header
// has it; other content under the key is 422.
var errInFlight = &problem{Status: http.StatusConflict, Code: "in-flight", Field: idempotencyKey, Subject: "the same request",
	Reason: "was sent before and is still being dealt with", Remedy: "send it again in a moment: it is done once and answered every time"}

// turns lets one request at a time deal with a key. In another process nobody
// waits, there the log sees to it that the command happens once.
type turns struct {
	wait  time.Duration
	mu    sync.Mutex
	taken map[uuid.UUID]chan struct{} // closed when the key is free; at most MaxRequests
}

// take waits for the turn, within bounds, and ends it with done.
func (t *turns) take(ctx context.Context, key uuid.UUID) (done func(), err error) {
	tooLong := time.NewTimer(t.wait)
	defer tooLong.Stop()
	for {
		t.mu.Lock()
		before, busy := t.taken[key]
		if !busy {
			mine := make(chan struct{})
			t.taken[key] = mine
			t.mu.Unlock()
			return func() { t.free(key, mine) }, nil
		}
		t.mu.Unlock()
		select {
		case <-before:
		case <-tooLong.C:
			return nil, errInFlight
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (t *turns) free(key uuid.UUID, mine chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.taken, key)
	close(mine)
}
