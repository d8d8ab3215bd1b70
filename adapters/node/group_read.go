package node

import (
	"container/heap"
	"context"
	"errors"
	"strings"
	"time"

	"kicau/adapters/command"
)

// readPause is how long a group waits after a read that failed.
const readPause = time.Second

// read follows the source for as long as the group lives, ahead of its consumers
// by at most the group's buffer. As with a plain subscription there is no other
// way for live events: a group that is slow just reads later.
func (g *group) read() {
	for g.ctx.Err() == nil {
		err := g.follow()
		if errors.Is(err, command.ErrClosed) {
			return
		}
		if err == nil || g.ctx.Err() != nil {
			continue
		}
		g.logger.Error("a persistent subscription cannot read its events; it tries again", "group", g.key, "err", err, "in", readPause)
		sleep(g.ctx, readPause)
	}
}

// follow reads to the end and waits for more.
func (g *group) follow() error {
	seen := g.engine.head()
	var err error
	if g.config.all() {
		err = g.followAll()
	} else {
		err = g.followStream()
	}
	if err != nil {
		return err
	}
	g.setLive(true)
	err = g.engine.waitBeyond(g.ctx, seen)
	g.setLive(false)
	return err
}

func (g *group) followAll() error {
	for r, err := range g.engine.readAll(g.ctx, false, g.next) {
		if err != nil {
			return err
		}
		if strings.HasPrefix(strings.TrimPrefix(r.Stream, "$$"), groupStreams) || r.Stream == groupConfigStream {
			// Groups keep what they know in the log they read. It must not count,
			// or a checkpoint would be reason enough for the next one.
			g.pass(r.Position+1, 0)
			continue
		}
		passes, err := g.passes(r.Stream, r.Type)
		unfit := ""
		if err != nil { // one event that the filter cannot judge must not hold up the rest
			passes, unfit = true, err.Error()
		}
		if !passes {
			g.pass(r.Position+1, 1)
			continue
		}
		if err := g.take(r, r.Position, unfit); err != nil {
			return err
		}
	}
	return nil
}

func (g *group) followStream() error {
	st, err := g.engine.state(g.key.stream)
	if err != nil || st.Tombstoned || !st.Exists || st.Last < 0 || uint64(st.Last) < g.next {
		return err
	}
	for r, err := range g.engine.readStream(g.ctx, g.key.stream, false, g.next) {
		if err != nil {
			return err
		}
		if r.Revision == tombstoneRevision {
			return nil
		}
		if err := g.take(r, r.Revision, ""); err != nil {
			return err
		}
	}
	return nil
}

// pass goes over an event that is not for the consumers.
func (g *group) pass(next, count uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.next = next
	if g.counted += count; count > 0 && g.checkpointDue(false) {
		g.wakeStore()
	}
}

// take puts an event in the buffer, waiting until there is room.
func (g *group) take(r record, place uint64, unfit string) error {
	m := &message{record: r, place: place, parkedAs: -1, unfit: unfit}
	if err := g.resolve(m); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.waitForRoom() {
		return g.ctx.Err()
	}
	g.next = place + 1
	g.counted++
	if g.early[place] { // it stands in the parked stream
		delete(g.early, place)
		return nil
	}
	m.number = g.counted
	heap.Push(&g.unsettled, m)
	g.waiting = append(g.waiting, m)
	g.known = place + 1
	g.dispatch()
	return nil
}

// waitForRoom is false when the group has ended.
func (g *group) waitForRoom() bool {
	for !g.hasRoom() && g.ctx.Err() == nil {
		g.room.Wait()
	}
	return g.ctx.Err() == nil
}

// resolve finds what a link stands for, if the group wants that.
func (g *group) resolve(m *message) error {
	if !g.config.ResolveLinks || m.record.Type != linkType {
		return nil
	}
	revision, stream, ok := parseLink(m.record.Data)
	if !ok {
		return nil
	}
	m.isLink = true
	var err error
	m.event, err = linkTarget(g.ctx, g.engine, stream, revision)
	return err
}

func (g *group) setLive(live bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.live = live
}

// sleep waits unless the context ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
