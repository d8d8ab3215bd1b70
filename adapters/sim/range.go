package sim

import (
	"context"
	"sync"
)

// Range runs seeds from one to another, inclusive, so many at once, and hands
// their results over in the order of the seeds. It ends early with the context's
// error, or when each returns false. Every run is one flow of control of its own.
func Range(ctx context.Context, o Options, from, to uint64, atOnce int, each func(Result) bool) error {
	ctx, stop := context.WithCancel(ctx)
	slots := make(chan chan Result, max(1, atOnce)) // bounds the runs under way, in order
	var all sync.WaitGroup
	defer func() { stop(); all.Wait() }()
	all.Go(func() {
		defer close(slots)
		for n := from; n <= to && n >= from; n++ {
			done := make(chan Result, 1)
			select {
			case slots <- done:
			case <-ctx.Done():
				return
			}
			o := o
			o.Seed = n
			all.Go(func() { done <- Run(o) })
		}
	})
	for done := range slots {
		if res := <-done; !each(res) {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return ctx.Err()
}
