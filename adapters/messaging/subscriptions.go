package messaging

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// subscriptions are those of a subscriber that are running.
type subscriptions struct {
	closing context.Context // ends with end
	close   context.CancelFunc

	mu      sync.Mutex // between begin's Add and end's Wait
	running sync.WaitGroup
}

func newSubscriptions() *subscriptions {
	s := &subscriptions{}
	s.closing, s.close = context.WithCancel(context.Background())
	return s
}

// begin runs a subscription in the background. Its context ends with ctx or
// when the subscriber is closed.
func (s *subscriptions) begin(ctx context.Context, run func(context.Context)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Err() != nil {
		return ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	unlink := context.AfterFunc(s.closing, cancel)
	s.running.Go(func() {
		defer unlink()
		defer cancel()
		run(ctx)
	})
	return nil
}

// end ends all subscriptions and waits for them.
func (s *subscriptions) end(patience time.Duration) error {
	s.mu.Lock()
	s.close()
	s.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		s.running.Wait()
		close(ended)
	}()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-ended:
		return nil
	case <-late.C:
		return fmt.Errorf("close subscriber: the log has not let go of a subscription for %s; it is left behind", patience)
	}
}
