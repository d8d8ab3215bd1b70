package messaging

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"kicau/adapters/command"
	"kicau/domain/event"
)

// memGroup is one group of the events put into it, as far as a subscriber can
// tell. It lives in a synctest bubble, which no real log does.
type memGroup struct {
	command.Groups // everything else panics

	mu       sync.Mutex
	ensured  []command.GroupSettings
	buffers  []int
	connects []time.Time
	waiting  []command.Delivery
	parked   map[uint64]string // by position, with the reason
	acked    []uint64
	retried  []string // reasons
	some     chan struct{}
	open     map[*memConsumer]bool
	refuse   func(call int) error // of Consume and EnsureGroup
}

func newMemGroup(positions ...uint64) *memGroup {
	g := &memGroup{parked: map[uint64]string{}, some: make(chan struct{}), open: map[*memConsumer]bool{}}
	for _, n := range positions {
		g.waiting = append(g.waiting, command.Delivery{Event: recorded(n), Token: n})
	}
	return g
}

func (g *memGroup) EnsureGroup(_ context.Context, _ command.Group, s command.GroupSettings) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ensured = append(g.ensured, s)
	if g.refuse != nil {
		return g.refuse(len(g.ensured) - 1)
	}
	return nil
}

func (g *memGroup) Consume(_ context.Context, _ command.Group, buffer int) (command.Consumer, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.buffers, g.connects = append(g.buffers, buffer), append(g.connects, time.Now())
	if g.refuse != nil {
		if err := g.refuse(len(g.connects) - 1); err != nil {
			return nil, err
		}
	}
	c := &memConsumer{group: g, buffer: buffer, held: map[uint64]*time.Timer{}, over: make(chan struct{})}
	g.open[c] = true
	return c, nil
}

// lose ends all consumers with err.
func (g *memGroup) lose(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.open {
		c.end(err)
	}
}

func (g *memGroup) put(d command.Delivery) {
	g.waiting = append(g.waiting, d)
	slices.SortStableFunc(g.waiting, func(a, b command.Delivery) int { return a.Event.Position.Compare(b.Event.Position) })
	g.wake()
}

func (g *memGroup) wake() {
	close(g.some)
	g.some = make(chan struct{})
}

// made says how often the group was to be made.
func (g *memGroup) made() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.ensured)
}

// waitForParked waits until an event is parked, and says why it was.
func (g *memGroup) waitForParked(n uint64) (reason string) {
	for {
		g.mu.Lock()
		reason, some := g.parked[n], g.some
		g.mu.Unlock()
		if reason != "" {
			return reason
		}
		<-some
	}
}

// settled says what became of the events.
func (g *memGroup) settled() (acked []uint64, parked map[uint64]string, waiting int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.acked), maps.Clone(g.parked), len(g.waiting)
}

type memConsumer struct {
	group  *memGroup
	buffer int
	held   map[uint64]*time.Timer // under group.mu, with the message timeout
	gave   []command.Delivery
	over   chan struct{}
	err    error
}

func (c *memConsumer) Next(ctx context.Context) (command.Delivery, error) {
	for {
		c.group.mu.Lock()
		if c.err != nil {
			c.group.mu.Unlock()
			return command.Delivery{}, c.err
		}
		if len(c.group.waiting) > 0 && len(c.held) < c.buffer {
			d := c.group.waiting[0]
			c.group.waiting = slices.Delete(c.group.waiting, 0, 1)
			timeout := c.group.ensured[0].MessageTimeout
			c.held[d.Token.(uint64)] = time.AfterFunc(timeout, func() {
				c.group.mu.Lock()
				defer c.group.mu.Unlock()
				c.again(d)
			})
			c.gave = append(c.gave, d)
			c.group.mu.Unlock()
			return d, nil
		}
		some := c.group.some
		c.group.mu.Unlock()
		select {
		case <-some:
		case <-c.over:
		case <-ctx.Done():
			return command.Delivery{}, ctx.Err()
		}
	}
}

// again gives back what is held; group.mu is held.
func (c *memConsumer) again(d command.Delivery) {
	if c.letGo(d) {
		d.Retries++
		c.group.put(d)
	}
}

func (c *memConsumer) letGo(d command.Delivery) bool {
	t, held := c.held[d.Token.(uint64)]
	if held {
		t.Stop()
		delete(c.held, d.Token.(uint64))
		c.group.wake()
	}
	return held
}

func (c *memConsumer) answer(d command.Delivery, f func()) error {
	c.group.mu.Lock()
	defer c.group.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	f()
	return nil
}

func (c *memConsumer) Ack(d command.Delivery) error {
	return c.answer(d, func() {
		if c.letGo(d) {
			c.group.acked = append(c.group.acked, d.Token.(uint64))
		}
	})
}

func (c *memConsumer) Retry(d command.Delivery, reason string) error {
	return c.answer(d, func() {
		c.group.retried = append(c.group.retried, reason)
		c.again(d)
	})
}

func (c *memConsumer) Park(d command.Delivery, reason string) error {
	return c.answer(d, func() {
		if c.letGo(d) {
			c.group.parked[d.Token.(uint64)] = reason
			c.group.wake()
		}
	})
}

var errMemClosed = errors.New("consumer closed")

func (c *memConsumer) Close() error {
	c.group.mu.Lock()
	defer c.group.mu.Unlock()
	c.end(errMemClosed)
	return nil
}

// end gives everything back; group.mu is held.
func (c *memConsumer) end(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	close(c.over)
	delete(c.group.open, c)
	for _, d := range c.gave {
		c.again(d)
	}
}

var _ command.Consumer = (*memConsumer)(nil)

// missing is a link whose event is gone.
func missing(n uint64) command.Delivery { return command.Delivery{Event: event.Recorded{}, Token: n} }
