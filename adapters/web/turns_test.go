package web

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &turns{wait: MaxTurnWait, taken: map[uuid.UUID]chan struct{}{}}
		key := uuid.UUID{1}
		done, err := s.take(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := s.take(t.Context(), key); err != errInFlight || time.Since(began) != MaxTurnWait {
			t.Errorf("got %v after %s", err, time.Since(began))
		}
		gone, leave := context.WithCancel(t.Context())
		leave()
		if _, err := s.take(gone, key); !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up got %v", err)
		}
		time.AfterFunc(time.Second, done)
		next, err := s.take(t.Context(), key)
		if err != nil {
			t.Fatalf("nobody has it any more: %v", err)
		}
		next()
		if len(s.taken) != 0 {
			t.Errorf("%d keys are kept", len(s.taken))
		}
	})
}
