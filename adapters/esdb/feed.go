package esdb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"kicau/adapters/command"
	"kicau/domain/event"
)

const (
	// readPatience bounds the silence of a server in the middle of a read.
	readPatience = 30 * time.Second
	// A feed holds so much before it lets the server wait: two pages of a
	// subscription.
	feedItems = 1024
	feedBytes = 4 << 20
)

// item is one message of a read or subscription.
type item struct {
	event      command.Stored
	checkpoint event.Position      // when not zero, there is no event
	caughtUp   bool                // likewise
	parked     command.ParkedEvent // of a stream of parked events, likewise
}

func (it *item) size() int {
	return len(it.event.Data) + len(it.event.Metadata) + len(it.parked.Event.Data) + len(it.parked.Event.Metadata)
}

// source is an open read or subscription of the client.
type source struct {
	next  func() (item, error)
	close func()
}

// feed receives from the server in the background what a consumer takes at its
// leisure: as much at once as there is.
type feed struct {
	session
	patience time.Duration // with a silent server in the middle of a read
	items    []item        // under mu
	bytes    int
	some     chan struct{} // there are items, or it ended
	room     chan struct{} // items were taken
}

// open begins a read or subscription and returns when it has begun.
func (l *Log) open(ctx context.Context, open func(context.Context, *esdb.Client) (source, error)) (*feed, error) {
	f := &feed{patience: l.patience, some: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	err := f.start(ctx, ctx, l, func() error { return f.receive(open) }, f.end)
	return f, err
}

func (f *feed) receive(open func(context.Context, *esdb.Client) (source, error)) error {
	s, err := open(f.ctx, f.client.Client)
	if err != nil {
		f.end(err)
		return err
	}
	defer s.close()
	close(f.opened)
	for {
		it, err := s.next()
		if err != nil {
			f.end(err)
			return err
		}
		if !f.put(it) {
			return nil
		}
	}
}

// put waits for room; it returns false when the feed was closed.
func (f *feed) put(it item) bool {
	f.mu.Lock()
	f.items = append(f.items, it)
	f.bytes += it.size()
	full := len(f.items) >= feedItems || f.bytes >= feedBytes
	f.mu.Unlock()
	signal(f.some)
	for full {
		select {
		case <-f.room:
		case <-f.ctx.Done():
			return false
		}
		f.mu.Lock()
		full = len(f.items) >= feedItems || f.bytes >= feedBytes
		f.mu.Unlock()
	}
	return true
}

func (f *feed) end(err error) {
	f.fail(err)
	signal(f.some)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// errSilent is a server that stopped answering.
var errSilent = errors.New("the server is silent")

// take returns all items that have come, waiting for the first; after the last
// one why there are no more. It takes back the slice it gave before.
// patience 0 waits for ever.
func (f *feed) take(before []item, patience time.Duration) ([]item, error) {
	var late <-chan time.Time
	if patience > 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		late = timer.C
	}
	for {
		if f.ctx.Err() != nil {
			return nil, context.Cause(f.ctx)
		}
		f.mu.Lock()
		items, err := f.items, f.err
		if len(items) > 0 {
			clear(before)
			f.items, f.bytes = before[:0], 0
			f.mu.Unlock()
			signal(f.room)
			return items, nil
		}
		f.mu.Unlock()
		if err != nil {
			return nil, err
		}
		select {
		case <-f.some:
		case <-f.ctx.Done():
		case <-late:
			return nil, fmt.Errorf("%w for %v", errSilent, patience)
		}
	}
}
