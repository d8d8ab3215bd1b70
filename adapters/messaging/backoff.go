package messaging

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is how long to pause between attempts: at least Min, at most a bound
// that doubles from Min to Max, by chance in between, so that many who lost the
// same server do not come back at the same moment.
type Backoff struct {
	Min, Max time.Duration
}

func (b Backoff) orDefault(d Backoff) Backoff {
	if b.Min <= 0 {
		b.Min = min(d.Min, max(b.Max, 1))
	}
	if b.Max < b.Min {
		b.Max = max(d.Max, b.Min)
	}
	return b
}

// after the n-th failure in a row, from 0.
func (b Backoff) after(n int) time.Duration {
	bound := b.Min
	for ; n > 0 && bound < b.Max; n-- {
		bound *= 2
	}
	bound = min(bound, b.Max)
	return b.Min + rand.N(bound-b.Min+1)
}

// pause says whether the time is over; false when the context ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
