package node

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// A group is a persistent subscription at work. It reads ahead from its source
// (group_read.go), gives each message to a consumer (here and in
// group_strategy.go), and keeps in the log how far it is and what it parked
// (group_store.go). Its law: a message leaves it only when a consumer acked or
// skipped it, or in the same append in which it is parked; so whatever stops in
// between, it comes again.
type group struct {
	engine engine
	key    groupKey
	config groupConfig
	passes func(stream, typ string) (bool, error) // of a group of $all
	logger *slog.Logger
	now    func() time.Time

	ctx     context.Context // ends with the group
	stop    context.CancelCauseFunc
	running sync.WaitGroup
	store   chan struct{} // something is to be written

	mu        sync.Mutex
	room      sync.Cond // messages left, or the group ended
	consumers []*consumer
	strategy  strategy
	retry     []*message             // to be given out again, before
	waiting   []*message             // those that were not given out yet
	out       map[uuid.UUID]*message // with a consumer or being parked
	unsettled messages               // of the source, the first read on top
	early     map[uint64]bool        // places in the source that were parked before the group was restarted
	next      uint64                 // first revision or position not considered
	known     uint64                 // the one after the newest event that was taken
	counted   uint64                 // considered, but for the log's own bookkeeping
	live      bool                   // the reader is at the end
	groupLedger
	groupStats
}

// message is an event on its way through a group.
type message struct {
	record  record  // as read: consumers answer with its id
	event   *record // what it stands for when it is a resolved link; nil: not there any more
	isLink  bool
	place   uint64 // revision or position in the source
	number  uint64 // of those counted; orders unsettled
	retries int32
	unfit   string // why no consumer gets it: it is parked instead
	// parkedAs is its number in the parked stream when it is replayed from
	// there, else -1: then it is of the source.
	parkedAs int64

	holder  *consumer // has it and has not answered
	sent    time.Time
	expires time.Time // zero: never
	parking bool      // until that is in the log
	index   int       // in unsettled
}

// consumer is one connection to a group.
type consumer struct {
	group  *group
	user   string
	from   string // its address
	name   string // its connection's
	buffer int

	deliveries chan delivery
	gone       chan struct{} // closed when the group lets it go
	err        error         // why; read after gone

	// Under group.mu:
	held            int // messages it has not answered
	total           int64
	lastTotal, rate int64
	times           latencies
}

// delivery is a message given to a consumer, as it was then.
type delivery struct {
	record  record
	event   *record
	isLink  bool
	retries int32
}

// Reasons for which a group lets its consumers go.
var (
	errGroupUpdated     = errors.New("the persistent subscription was updated")
	errGroupDeleted     = errors.New("the persistent subscription was deleted")
	errTooManyConsumers = errors.New("the persistent subscription has as many consumers as it may have")
)

// maxParking bounds the messages that wait to be parked, when the log takes no
// events; nothing is given out while there are so many.
const maxParking = 1024

// join connects a consumer.
func (g *group) join(c *consumer) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := context.Cause(g.ctx); err != nil {
		return err
	}
	if len(g.consumers) >= g.config.consumers() {
		return errTooManyConsumers
	}
	c.group = g
	c.buffer = min(max(c.buffer, 1), maxConsumerBuffer)
	c.deliveries, c.gone = make(chan delivery, c.buffer), make(chan struct{})
	g.consumers = append(g.consumers, c)
	g.strategy.changed(g.consumers)
	g.dispatch()
	return nil
}

// leave takes back what the consumer has not answered; who reads its deliveries
// has stopped. It may be called twice.
func (g *group) leave(c *consumer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, other := range g.consumers {
		if other != c {
			continue
		}
		g.consumers = append(g.consumers[:i:i], g.consumers[i+1:]...)
		g.strategy.changed(g.consumers)
		unseen := map[uuid.UUID]bool{}
		for len(c.deliveries) > 0 { // nobody takes them any more
			unseen[(<-c.deliveries).record.ID] = true
		}
		for _, m := range g.heldBy(c) {
			if unseen[m.record.ID] {
				m.retries-- // it was given, but not delivered
			}
			g.again(m)
		}
		g.dispatch()
		return
	}
}

// heldBy lists what a consumer has not answered, in the order of the source.
func (g *group) heldBy(c *consumer) (held []*message) {
	for _, m := range g.out {
		if m.holder == c {
			held = append(held, m)
		}
	}
	sortMessages(held)
	return held
}

// ack settles messages. Ids that are not out are of deliveries that were taken
// back meanwhile: those come again.
func (g *group) ack(ids []uuid.UUID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, id := range ids {
		if m := g.out[id]; m != nil && !m.parking {
			g.settle(m)
		}
	}
	g.afterAnswers()
}

// What a consumer that cannot deal with a message wants done.
type nackAction int

const (
	nackRetry nackAction = iota
	nackPark
	nackSkip
)

func (g *group) nack(action nackAction, reason string, ids []uuid.UUID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, id := range ids {
		m := g.out[id]
		switch {
		case m == nil || m.parking:
		case action == nackRetry:
			g.again(m)
		case action == nackPark:
			g.park(m, "Client explicitly NAK'ed message.\n"+reason)
		default:
			g.settle(m)
		}
	}
	g.afterAnswers()
}

func (g *group) afterAnswers() {
	if g.checkpointDue(false) {
		g.wakeStore()
	}
	g.dispatch()
}

// settle lets a message go for good.
func (g *group) settle(m *message) {
	g.letGo(m)
	delete(g.out, m.record.ID)
	if m.parkedAs >= 0 {
		g.unparked(uint64(m.parkedAs))
	} else {
		heap.Remove(&g.unsettled, m.index)
	}
}

// letGo takes a message from who holds it.
func (g *group) letGo(m *message) {
	if m.holder != nil {
		m.holder.held--
		m.holder.times.add(g.now().Sub(m.sent))
		g.strategy.released(m)
		m.holder = nil
	}
}

// again gives a message out once more, or parks it when that was often enough.
func (g *group) again(m *message) {
	if m.retries >= g.config.MaxRetries {
		g.park(m, fmt.Sprintf("Reached retry count of %d", g.config.MaxRetries))
		return
	}
	g.letGo(m)
	delete(g.out, m.record.ID)
	m.retries++
	g.retry = append(g.retry, m)
}

// dispatch gives out what consumers have room for.
func (g *group) dispatch() {
	if len(g.consumers) == 0 || len(g.parking) >= maxParking {
		return
	}
	full := false
	if g.retry, full = g.handOut(g.retry); !full {
		g.waiting, _ = g.handOut(g.waiting)
	}
	if g.hasRoom() {
		g.room.Broadcast()
	}
}

func (g *group) hasRoom() bool { return len(g.waiting)+len(g.retry) < g.config.buffer() }

// handOut returns what is left of list, and whether nobody has room.
func (g *group) handOut(list []*message) (left []*message, full bool) {
	left = list[:0]
	for i, m := range list {
		if g.out[m.record.ID] != nil { // the source holds this id twice: one after the other
			left = append(left, m)
			continue
		}
		if m.unfit != "" {
			g.park(m, m.unfit)
			continue
		}
		c, full := g.strategy.pick(m)
		if full {
			return append(left, list[i:]...), true
		}
		if c == nil {
			left = append(left, m)
			continue
		}
		g.give(m, c)
	}
	clear(list[len(left):])
	return left, false
}

func (g *group) give(m *message, c *consumer) {
	m.holder, m.sent = c, g.now()
	if timeout := g.config.messageTimeout(); timeout > 0 {
		m.expires = m.sent.Add(timeout)
	}
	g.out[m.record.ID] = m
	c.held++
	c.total++
	g.total++
	c.deliveries <- delivery{record: m.record, event: m.event, isLink: m.isLink, retries: m.retries} // has room: hasSlot
}

// hasSlot tells whether a consumer can be given a message. A delivery that
// timed out may still be in its channel.
func (c *consumer) hasSlot() bool { return c.held < c.buffer && len(c.deliveries) < c.buffer }

// tick is called again and again: messages time out, checkpoints fall due.
func (g *group) tick() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	var expired []*message
	for _, m := range g.out {
		if !m.parking && !m.expires.IsZero() && now.After(m.expires) {
			expired = append(expired, m)
		}
	}
	sortMessages(expired)
	for _, m := range expired {
		g.again(m)
	}
	g.measure(now)
	if g.checkpointDue(true) {
		g.wakeStore()
	}
	g.dispatch()
}

// tickEvery is short enough for the group's timeouts.
func (g *group) tickEvery() time.Duration {
	every := maxTick
	for _, d := range []time.Duration{g.config.messageTimeout() / 4, g.config.checkpointAfter() / 2} {
		if d > 0 {
			every = min(every, d)
		}
	}
	return max(every, minTick)
}

const (
	minTick = 5 * time.Millisecond
	maxTick = time.Second
)

// end lets everybody go and keeps in the log how far the group came.
func (g *group) end(why error) {
	g.mu.Lock()
	g.stop(why)
	for _, c := range g.consumers {
		c.err = why
		close(c.gone)
	}
	g.consumers = nil
	g.strategy.changed(nil)
	g.room.Broadcast()
	g.mu.Unlock()
	g.running.Wait()
}

// sortMessages puts messages in the order in which they were parked or read.
func sortMessages(ms []*message) {
	slices.SortFunc(ms, func(a, b *message) int {
		return cmp.Or(cmp.Compare(a.parkedAs, b.parkedAs), cmp.Compare(a.place, b.place))
	})
}

// messages is a heap, the first read on top.
type messages []*message

func (h messages) Len() int           { return len(h) }
func (h messages) Less(i, j int) bool { return h[i].place < h[j].place }
func (h messages) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *messages) Push(x any) {
	m := x.(*message)
	m.index = len(*h)
	*h = append(*h, m)
}
func (h *messages) Pop() any {
	old := *h
	m := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return m
}
