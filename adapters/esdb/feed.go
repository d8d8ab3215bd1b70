package esdb

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"kicau/adapters/command"
	"kicau/domain/event"
)

const (
	// openPatience bounds the time until a read or subscription has begun.
	openPatience = 10 * time.Second
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
	checkpoint event.Position // when not zero, there is no event
	caughtUp   bool           // likewise
}

// source is an open read or subscription of the client.
type source struct {
	next  func() (item, error)
	close func()
}

// feed receives from the server in the background what a consumer takes at its
// leisure: as much at once as there is.
type feed struct {
	ctx    context.Context
	cancel context.CancelFunc
	conn   *connection
	client *client
	opened chan struct{} // closed when the server has begun to answer
	ended  chan struct{} // closed when nothing more is received

	mu    sync.Mutex
	items []item
	bytes int
	err   error         // why it ended
	some  chan struct{} // there are items, or it ended
	room  chan struct{} // items were taken
}

// open begins a read or subscription and returns when it has begun.
func (l *Log) open(ctx context.Context, open func(context.Context, *esdb.Client) (source, error)) (*feed, error) {
	ctx, cancel, err := l.begin(ctx, 0)
	if err != nil {
		return nil, err
	}
	f := &feed{
		ctx: ctx, cancel: cancel, conn: l.connection(),
		opened: make(chan struct{}), ended: make(chan struct{}),
		some: make(chan struct{}, 1), room: make(chan struct{}, 1),
	}
	patience, stop := context.WithTimeout(ctx, openPatience)
	defer stop()
	if f.client, err = f.conn.acquire(patience); err != nil {
		cancel()
		return nil, err
	}
	f.conn.start(f.client, f.ended, func() error { return f.receive(open) }, f.end)
	select {
	case <-f.opened:
		return f, nil
	case <-f.ended:
		select {
		case <-f.opened: // and all received by now: it is in the feed
			return f, nil
		default:
		}
		err := f.reason()
		f.close()
		return nil, err
	case <-patience.Done():
		f.close()
		return nil, context.Cause(patience)
	}
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
	f.bytes += len(it.event.Data) + len(it.event.Metadata)
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
	f.mu.Lock()
	if f.err == nil {
		f.err = err
	}
	f.mu.Unlock()
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

// reason is why the feed ended. A context that is done is the better reason.
func (f *feed) reason() error {
	if f.ctx.Err() != nil {
		return context.Cause(f.ctx)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// close may be called at any time; what is being received ends soon after.
func (f *feed) close() {
	f.cancel()
	select {
	case <-f.ended:
	default:
		f.conn.watch(f.client, f.ended)
	}
}
