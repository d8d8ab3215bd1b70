package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
)

// Errors of persistent subscriptions.
var (
	errNoGroup     = errors.New("the persistent subscription does not exist")
	errGroupExists = errors.New("the persistent subscription exists")
)

// invalidGroup: the settings cannot be.
type invalidGroup struct{ reason string }

func (e *invalidGroup) Error() string { return e.reason }

// groups are the persistent subscriptions of a node. Their settings stand in one
// stream, as in EventStoreDB.
type groups struct {
	engine engine
	logger *slog.Logger
	now    func() time.Time

	mu     sync.Mutex
	all    map[groupKey]*group
	closed bool
}

// openGroups starts the groups that the log knows.
func openGroups(e engine, logger *slog.Logger, now func() time.Time) (*groups, error) {
	gs := &groups{engine: e, logger: logger, now: now, all: map[groupKey]*group{}}
	if err := gs.start(); err != nil {
		return nil, errors.Join(err, gs.close())
	}
	return gs, nil
}

func (gs *groups) start() error {
	newest, ok, err := newestOf(context.Background(), gs.engine, groupConfigStream)
	if err != nil || !ok {
		return err
	}
	configs, err := parseGroupConfigs(newest.Data)
	if err != nil {
		return err
	}
	for _, c := range configs {
		g, err := gs.startGroup(c)
		if err != nil {
			return err
		}
		gs.all[c.key()] = g
	}
	return nil
}

func (gs *groups) startGroup(c groupConfig) (*group, error) {
	g := &group{
		engine: gs.engine, key: c.key(), config: c, logger: gs.logger, now: gs.now,
		store: make(chan struct{}, 1), strategy: newStrategy(c.Strategy),
	}
	g.room.L = &g.mu
	g.ctx, g.stop = context.WithCancelCause(context.Background())
	g.measured, g.checkpointAt = gs.now(), gs.now()
	var err error
	if g.passes, err = c.Filter.compile(); err == nil {
		err = g.load()
	}
	if err != nil {
		return nil, fmt.Errorf("start persistent subscription %s: %w", c.key(), err)
	}
	g.running.Go(g.read)
	g.running.Go(g.write)
	return g, nil
}

func (gs *groups) get(k groupKey) (*group, error) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if gs.closed {
		return nil, command.ErrClosed
	}
	g := gs.all[k]
	if g == nil {
		return nil, errNoGroup
	}
	return g, nil
}

// list returns the groups of a stream, or all for "", in order.
func (gs *groups) list(stream string) []*group {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	var found []*group
	for k, g := range gs.all {
		if stream == "" || k.stream == stream {
			found = append(found, g)
		}
	}
	slices.SortFunc(found, func(a, b *group) int {
		return cmp.Or(cmp.Compare(a.key.stream, b.key.stream), cmp.Compare(a.key.name, b.key.name))
	})
	return found
}

// create makes a group. Its config's Start is what the client said; Next is
// found out here.
func (gs *groups) create(ctx context.Context, c groupConfig) error {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if err := gs.check(&c); err != nil {
		return err
	}
	if gs.all[c.key()] != nil {
		return errGroupExists
	}
	if len(gs.all) >= maxGroups {
		return &invalidGroup{fmt.Sprintf("the node has %d persistent subscriptions, it may not have more", len(gs.all))}
	}
	// The deletion of one of that name may have been interrupted.
	if err := gs.forget(ctx, c.key()); err != nil {
		return err
	}
	if err := gs.save(ctx, c.key(), &c); err != nil {
		return err
	}
	g, err := gs.startGroup(c)
	if err == nil {
		gs.all[c.key()] = g
	}
	return err
}

// update gives a group other settings. Its consumers are let go and come again.
func (gs *groups) update(ctx context.Context, c groupConfig) error {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	old := gs.all[c.key()]
	if old == nil {
		return errNoGroup
	}
	c.Filter = old.config.Filter // the protocol has no way to change it
	if err := gs.check(&c); err != nil {
		return err
	}
	if err := gs.save(ctx, c.key(), &c); err != nil {
		return err
	}
	return gs.replace(old, c)
}

func (gs *groups) replace(old *group, c groupConfig) error {
	old.end(errGroupUpdated)
	g, err := gs.startGroup(c)
	if err != nil {
		delete(gs.all, c.key()) // until the next start
		return err
	}
	gs.all[c.key()] = g
	return nil
}

// delete forgets a group with all that it kept, its parked messages too.
func (gs *groups) delete(ctx context.Context, k groupKey) error {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	g := gs.all[k]
	if g == nil {
		return errNoGroup
	}
	// Its settings go first: if what follows is interrupted, streams are left
	// that nobody reads, and not a group without its place.
	if err := gs.save(ctx, k, nil); err != nil {
		return err
	}
	g.end(errGroupDeleted)
	delete(gs.all, k)
	return gs.forget(ctx, k)
}

// forget hides what a group kept, if there is anything.
func (gs *groups) forget(ctx context.Context, k groupKey) error {
	var errs []error
	for _, stream := range []string{k.checkpointStream(), k.parkedStream(), k.doneStream()} {
		// An append of nothing is answered after what the group had under way.
		_, err := gs.engine.append(ctx, stream, expectAny, nil)
		var st streamState
		if err == nil {
			st, err = gs.engine.state(stream)
		}
		if err == nil && st.Exists {
			_, err = gs.engine.delete(ctx, stream, expectAny, false)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// restart lets every group begin anew from what it kept.
func (gs *groups) restart() error {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	var errs []error
	for _, g := range gs.all {
		errs = append(errs, gs.replace(g, g.config))
	}
	return errors.Join(errs...)
}

// close ends all groups; they keep how far they are.
func (gs *groups) close() error {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	gs.closed = true
	var ending sync.WaitGroup
	for _, g := range gs.all {
		ending.Go(func() { g.end(errStopping) })
	}
	ending.Wait()
	return nil
}

// check completes a config, or says why it cannot be.
func (gs *groups) check(c *groupConfig) error {
	if gs.closed {
		return command.ErrClosed
	}
	if err := c.check(); err != nil {
		return &invalidGroup{err.Error()}
	}
	for _, stream := range []string{c.key().checkpointStream(), c.key().doneStream()} {
		if err := checkStreamName(metastreamOf(stream)); err != nil {
			return &invalidGroup{"the names of stream and group are too long: " + err.Error()}
		}
	}
	return gs.findStart(c)
}

// startEnd is how "the end" is written as a place to start from.
const startEnd = "-1"

// findStart finds the first revision or position that a new group considers.
func (gs *groups) findStart(c *groupConfig) error {
	switch {
	case c.Start == startEnd && c.all():
		c.Next = gs.engine.head() + 1
	case c.Start == startEnd:
		st, err := gs.engine.state(c.Stream)
		if err != nil {
			return err
		}
		c.Next = uint64(st.Last + 1)
	case c.all() && c.Next > gs.engine.head():
		return &invalidGroup{"Invalid Start From position: commit position must be less than or equal to the last commit position in the transaction file."}
	}
	return nil
}

// save writes the settings of all groups with c in the place of those of k, or
// without those when c is nil.
func (gs *groups) save(ctx context.Context, k groupKey, c *groupConfig) error {
	configs := groupConfigs{Version: groupConfigVersion, Updated: gs.now().UTC()}
	for _, g := range gs.all {
		if g.key != k {
			configs.Entries = append(configs.Entries, g.config)
		}
	}
	if c != nil {
		configs.Entries = append(configs.Entries, *c)
	}
	slices.SortFunc(configs.Entries, func(a, b groupConfig) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Group, b.Group))
	})
	_, err := gs.engine.append(ctx, groupConfigStream, expectAny, []proposed{jsonEvent(groupConfigType, uuid.New(), configs)})
	if errors.Is(err, command.ErrTooLarge) {
		return &invalidGroup{"the settings of all persistent subscriptions together are too large for the log"}
	}
	return err
}

// groupInfo is how a group is, in the protocol's terms.
type groupInfo struct {
	config     groupConfig
	status     string
	consumers  []consumerInfo
	rate       int64
	total      int64
	sinceLast  int64
	checkpoint string
	known      string
	waiting    int
	retrying   int
	inFlight   int
	out        int
	parked     int
	settled    uint64 // the first place that is not settled
	next       uint64 // the first place that was not considered
}

type consumerInfo struct {
	from, user, name string
	rate, total      int64
	sinceLast        int64
	slots, held      int
	measurements     []measurement
}

func (g *group) info() groupInfo {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := groupInfo{
		config: g.config, status: "Behind", rate: g.rate, total: g.total, sinceLast: g.total - g.lastTotal,
		checkpoint: g.config.formatPlace(g.checkpoint), known: g.config.formatPlace(max(g.known, g.checkpoint)),
		waiting: len(g.waiting), retrying: len(g.retry), out: len(g.out), parked: g.parkedCount(), next: g.next,
	}
	i.settled, _ = g.settledUpTo()
	if g.live {
		i.status = "Live"
	}
	if len(g.replaying) > 0 {
		i.status += ", ReplayingParkedMessages"
	}
	for _, c := range g.consumers {
		ci := consumerInfo{from: c.from, user: c.user, name: c.name, rate: c.rate, total: c.total, sinceLast: c.total - c.lastTotal,
			slots: c.buffer - c.held, held: c.held}
		if g.config.ExtraStatistics {
			ci.measurements = c.times.measurements()
		}
		i.inFlight += c.held
		i.consumers = append(i.consumers, ci)
	}
	return i
}
