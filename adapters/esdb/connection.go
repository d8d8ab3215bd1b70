package esdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"kicau/adapters/command"
)

const (
	// One client looks for a server discoveryAttempts times, then closes for
	// good and is replaced by the next.
	discoveryAttempts = 20
	discoveryInterval = 100 * time.Millisecond
	// redialPause is between two clients when the first could not connect.
	redialPause = 500 * time.Millisecond
	// hangsAfter is how long after its deadline a call may take to come back
	// before its client is taken for dead.
	hangsAfter = time.Second
	// reapAfter is how long after a client was replaced its calls may go on:
	// longer than it spends on discovery, which they may be waiting for.
	reapAfter = time.Minute
)

// oldestServer is the first that sends CaughtUp.
var oldestServer = esdb.ServerVersion{Major: 23, Minor: 10}

// connection is a client that is replaced when it fails. Callers wait for one
// that is connected.
type connection struct {
	conf   esdb.Configuration
	logger *slog.Logger

	mu     sync.Mutex
	now    *client // nil: the next call makes one
	closed bool
	idle   sync.Cond // some client lost its last call
	all    map[*client]struct{}
}

// client is one life of the official client. It is used by calls only after
// somebody alone has seen it connect: were discovery left to the calls, those
// behind the first would wait without a deadline, and for ever if it failed.
type client struct {
	*esdb.Client
	connected chan struct{} // closed when it is, or when it could not
	err       error         // why it could not; read after connected

	// Under connection.mu:
	calls    int
	replaced bool
	gone     bool
}

// acquire waits for a connected client and counts a call on it. What it returns
// must be released.
func (c *connection) acquire(ctx context.Context) (*client, error) {
	var last error
	for {
		cl, err := c.current()
		if err != nil {
			return nil, err
		}
		select {
		case <-cl.connected:
			if cl.err == nil {
				return cl, nil
			}
			last = cl.err
			c.release(cl)
		case <-ctx.Done():
			c.release(cl)
			return nil, notConnected(ctx, last)
		}
		select {
		case <-time.After(redialPause):
		case <-ctx.Done():
			return nil, notConnected(ctx, last)
		}
	}
}

func notConnected(ctx context.Context, last error) error {
	if last == nil {
		return fmt.Errorf("not connected to EventStoreDB: %w", context.Cause(ctx))
	}
	return fmt.Errorf("not connected to EventStoreDB: %w; last attempt: %w", context.Cause(ctx), last)
}

// current is the client of now, a new one if there is none, with a call more.
func (c *connection) current() (*client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, command.ErrClosed
	}
	if c.now == nil {
		conf := c.conf
		inner, err := esdb.NewClient(&conf)
		if err != nil {
			return nil, fmt.Errorf("make an EventStoreDB client: %w", err)
		}
		c.now = &client{Client: inner, connected: make(chan struct{}), calls: 1}
		c.add(c.now)
		go c.connect(c.now)
	}
	c.now.calls++
	return c.now, nil
}

func (c *connection) add(cl *client) {
	if c.all == nil {
		c.all = map[*client]struct{}{}
		c.idle.L = &c.mu
	}
	c.all[cl] = struct{}{}
}

// connect makes a new client look for its server. It is a call like others.
func (c *connection) connect(cl *client) {
	defer c.release(cl)
	defer close(cl.connected)
	cl.err = protect(func() error {
		v, err := cl.GetServerVersion()
		if err == nil && (v.Major < oldestServer.Major || v.Major == oldestServer.Major && v.Minor < oldestServer.Minor) {
			err = fmt.Errorf("EventStoreDB %d.%d.%d does not say when a subscription has caught up; use %d.%d or newer",
				v.Major, v.Minor, v.Patch, oldestServer.Major, oldestServer.Minor)
		}
		return err
	})
	if cl.err != nil {
		c.replace(cl, cl.err)
	}
}

// replace lets calls that have begun end on cl, and gives new ones another.
func (c *connection) replace(cl *client, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cl.replaced {
		return
	}
	cl.replaced = true
	if c.now == cl {
		c.now = nil
		if !c.closed {
			c.logger.Warn("EventStoreDB client replaced", "address", c.conf.Address, "error", why)
		}
	}
	if !c.closeIfIdle(cl) {
		time.AfterFunc(reapAfter, func() { c.reap(cl) })
	}
}

func (c *connection) release(cl *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cl.calls--
	c.closeIfIdle(cl)
}

// closeIfIdle closes a replaced client that nobody uses: closing one under a
// call makes it panic. c.mu is held.
func (c *connection) closeIfIdle(cl *client) bool {
	if cl.replaced && cl.calls == 0 && !cl.gone {
		c.closeClient(cl)
	}
	return cl.gone
}

// reap closes a client whose calls will not come back by themselves. Those that
// hang are freed by it, with a panic that [protect] catches.
func (c *connection) reap(cl *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !cl.gone {
		c.closeClient(cl)
	}
}

func (c *connection) closeClient(cl *client) {
	cl.gone = true
	delete(c.all, cl)
	if err := protect(cl.Close); err != nil {
		c.logger.Warn("close EventStoreDB client", "error", err)
	}
	c.idle.Broadcast()
}

// close takes no new calls, waits for those under way, which were cancelled, and
// then cuts them off.
func (c *connection) close(grace time.Duration) {
	c.mu.Lock()
	c.closed = true
	now := c.now
	c.mu.Unlock()
	if now != nil {
		c.replace(now, command.ErrClosed)
	}
	late := false
	timer := time.AfterFunc(grace, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		late = true
		c.idle.Broadcast()
	})
	defer timer.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.all) > 0 && !late {
		c.idle.Wait()
	}
	for cl := range c.all {
		c.logger.Warn("EventStoreDB client closed under calls that hang", "calls", cl.calls)
		c.closeClient(cl)
	}
}

// call runs f on a client in a goroutine of its own, and waits for it only as
// long as ctx lets it.
func call[T any](ctx context.Context, c *connection, f func(context.Context, *esdb.Client) (T, error)) (T, error) {
	var zero T
	cl, err := c.acquire(ctx)
	if err != nil {
		return zero, err
	}
	var (
		result   T
		failed   error
		returned = make(chan struct{})
	)
	c.start(cl, returned, func() error {
		result, failed = f(ctx, cl.Client)
		return failed
	}, func(err error) { failed = err })
	select {
	case <-returned:
		return result, failed
	case <-ctx.Done():
		c.watch(cl, returned)
		return zero, context.Cause(ctx)
	}
}

// start runs f on cl, which it releases, and judges the client by how it ends.
// returned is closed after f, or after panicked has been told of its panic.
func (c *connection) start(cl *client, returned chan<- struct{}, f func() error, panicked func(error)) {
	go func() {
		defer c.release(cl)
		err := protect(f)
		var p *panicError
		if errors.As(err, &p) {
			c.logger.Error("EventStoreDB client panicked", "panic", p.value, "stack", string(p.stack))
			panicked(p)
		}
		if p != nil || lost(err) {
			c.replace(cl, err)
		}
		close(returned)
	}()
}

// watch replaces a client if a call that was given up does not come back.
func (c *connection) watch(cl *client, returned <-chan struct{}) {
	time.AfterFunc(hangsAfter, func() {
		select {
		case <-returned:
		default:
			c.replace(cl, errors.New("a call hangs"))
		}
	})
}

// lost tells whether an error says that the client has no connection any more.
// A client that was told of another leader (ErrorCodeNotLeader) goes there by
// itself.
func lost(err error) bool {
	var e *esdb.Error
	if errors.As(err, &e) && (e.Code() == esdb.ErrorCodeConnectionClosed || e.Code() == esdb.ErrorUnavailable) {
		return true
	}
	return status.Code(err) == codes.Unavailable
}

// panicError is a panic that was caught.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string {
	return fmt.Sprintf("the EventStoreDB client panicked: %v", p.value)
}

// protect turns a panic of f into an error.
func protect(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{v, debug.Stack()}
		}
	}()
	return f()
}
