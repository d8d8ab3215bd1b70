package node

import (
	"container/heap"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
)

// Bounds of what a group writes.
const (
	maxParkedInOne  = 64              // messages parked in one append
	maxReasonBytes  = 4 << 10         // of a parked message; the rest is cut off
	writePause      = time.Second     // after an append that was refused
	lastWriteWait   = 2 * time.Second // for the last checkpoint of a group that ends
	maxEarlyParked  = 1 << 16         // parked messages looked at when a group starts
	maxDoneInMemory = 1 << 20         // parked messages that were dealt with before older ones
	maxDoneRuns     = 20_000          // runs of those that are written; the rest would come again after a restart
)

// groupLedger is what a group has in the log and what is still to be written.
type groupLedger struct {
	parking []parking // in the order in which they were given up

	checkpoint      uint64 // as written: first revision or position that is not settled; 0: none
	checkpointCount uint64 // counted at it
	checkpointAt    time.Time
	checkpointTold  bool // the checkpoint stream knows how little to keep

	parkedFirst uint64          // oldest number in the parked stream
	parkedNext  uint64          // the number the next one gets
	done        map[uint64]bool // numbers from parkedFirst on that were dealt with
	doneChanged bool
	doneWriting bool            // an append that says so is under way
	doneTold    bool            // the stream of those knows how little to keep
	replaying   map[uint64]bool // numbers given out again

	pending *groupWrite // an append whose outcome is not known; of the writing goroutine
}

type parking struct {
	m      *message
	reason string
	at     time.Time
}

// parked is the metadata of a link in the parked stream. The first three are
// EventStoreDB's; place is where the message was in the source of its group.
type parkedMetadata struct {
	Added               time.Time `json:"added"`
	Reason              string    `json:"reason"`
	SubscriptionEventNo uint64    `json:"subscriptionEventNumber,omitempty"`
	Place               *uint64   `json:"place,omitempty"`
}

// park gives a message up. It stays unsettled until that is in the log.
func (g *group) park(m *message, reason string) {
	g.letGo(m)
	m.parking = true
	g.out[m.record.ID] = m
	if len(reason) > maxReasonBytes {
		reason = strings.ToValidUTF8(reason[:maxReasonBytes], "") + "…"
	}
	g.parking = append(g.parking, parking{m, reason, g.now().UTC()})
	g.wakeStore()
}

// unparked notes that a message of the parked stream was dealt with.
func (g *group) unparked(number uint64) {
	delete(g.replaying, number)
	if number < g.parkedFirst || g.done[number] {
		return
	}
	g.done[number] = true
	g.doneChanged = true
	g.wakeStore()
}

func (g *group) wakeStore() {
	select {
	case g.store <- struct{}{}:
	default: // it will look anyway
	}
}

// settledUpTo is the first place of the source that is not settled.
func (g *group) settledUpTo() (next, counted uint64) {
	if len(g.unsettled) > 0 {
		return g.unsettled[0].place, g.unsettled[0].number - 1
	}
	return g.next, g.counted
}

// checkpointDue applies the settings: after so many messages, or at a tick after
// so much time if there were so many.
func (g *group) checkpointDue(tick bool) bool {
	_, counted := g.settledUpTo()
	moved := counted - min(counted, g.checkpointCount)
	if moved == 0 {
		return false
	}
	if most := uint64(g.config.MaxCheckpoint); most > 0 && moved >= most {
		return true
	}
	return tick && moved >= uint64(g.config.MinCheckpoint) && g.now().Sub(g.checkpointAt) >= g.config.checkpointAfter()
}

// write keeps in the log what must not be forgotten, until the group ends; then
// once more.
func (g *group) write() {
	ticks := time.NewTicker(g.tickEvery())
	defer ticks.Stop()
	for {
		select {
		case <-g.store:
			g.writeSome(g.ctx, false)
		case <-ticks.C:
			g.tick()
		case <-g.ctx.Done():
			ctx, stop := context.WithTimeout(context.WithoutCancel(g.ctx), lastWriteWait)
			defer stop()
			if cause := context.Cause(g.ctx); cause != errGroupDeleted {
				g.writeSome(ctx, true)
			}
			return
		}
	}
}

// writeSome writes all that is to be written, in as many appends as it takes. An
// append whose outcome is not known is sent again as it was, before any other:
// a later one builds on it.
func (g *group) writeSome(ctx context.Context, last bool) {
	for {
		if g.pending == nil {
			if g.pending = g.gather(last); g.pending == nil {
				return
			}
		}
		t := g.pending
		for err := g.engine.appendAll(ctx, t.parts); err != nil; err = g.engine.appendAll(ctx, t.parts) {
			if ctx.Err() != nil || errors.Is(err, command.ErrClosed) {
				return // what is not in the log comes again after a restart
			}
			g.logger.Error("a persistent subscription cannot keep what it parked or how far it is; it tries again",
				"group", g.key, "parking", len(t.parking), "err", err, "in", writePause)
			sleep(ctx, writePause)
		}
		g.pending = nil
		g.written(t)
	}
}

// groupWrite is one append of a group: messages parked, others of the parked
// stream done with, and how far the group is with both in effect.
type groupWrite struct {
	parts       []part
	parking     []parking
	checkpoint  uint64
	counted     uint64
	done        bool // numbers of the parked stream were dealt with, up to
	parkedFirst uint64
	doneTold    bool
}

// gather makes the next append, nil when there is nothing to write.
func (g *group) gather(last bool) *groupWrite {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.parking), maxParkedInOne)
	t := &groupWrite{parking: slices.Clone(g.parking[:n]), parkedFirst: g.parkedFirst}
	g.parking = g.parking[n:]
	for _, p := range t.parking {
		if p.m.parkedAs < 0 {
			heap.Remove(&g.unsettled, p.m.index)
		} else {
			g.unparked(uint64(p.m.parkedAs)) // it gets a new number
		}
	}
	if len(t.parking) > 0 {
		t.parts = append(t.parts, g.parkedPart(t.parking))
	}
	if g.doneChanged {
		t.done, g.doneWriting, g.doneChanged = true, true, false
		g.forgetDone(t)
	}
	t.checkpoint, t.counted = g.settledUpTo()
	wanted := len(t.parking) > 0 || last || g.checkpointDue(true)
	if wanted && t.checkpoint > g.checkpoint {
		g.checkpointParts(t)
	} else {
		t.checkpoint = 0
	}
	if len(t.parts) == 0 {
		return nil
	}
	return t
}

// written takes over what is in the log now.
func (g *group) written(t *groupWrite) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range t.parking {
		delete(g.out, p.m.record.ID)
		g.parkedNext++
	}
	if t.checkpoint > 0 {
		g.checkpoint, g.checkpointCount, g.checkpointAt, g.checkpointTold = t.checkpoint, t.counted, g.now(), true
	}
	if t.done {
		for ; g.parkedFirst < t.parkedFirst; g.parkedFirst++ {
			delete(g.done, g.parkedFirst)
		}
		g.doneTold = g.doneTold || t.doneTold
		g.doneWriting = false
	}
	g.room.Broadcast() // drop waits for it
	g.dispatch()
}

func jsonEvent(typ string, id uuid.UUID, v any) proposed {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("%s cannot be written as JSON: %v", typ, err)) // our own types can
	}
	return proposed{ID: id, Type: typ, ContentType: jsonContent, Data: data}
}

// parkedPart writes links to the events that are parked.
func (g *group) parkedPart(ps []parking) part {
	p := part{stream: g.key.parkedStream(), expect: expectAny}
	for _, one := range ps {
		r := &one.m.record
		if one.m.event != nil {
			r = one.m.event
		}
		link := fmt.Appendf(nil, "%d%s%s", r.Revision, linkSeparator, r.Stream)
		if one.m.isLink && one.m.event == nil {
			link = one.m.record.Data
		}
		meta := parkedMetadata{Added: one.at, Reason: one.reason, SubscriptionEventNo: one.m.record.Revision}
		if one.m.parkedAs < 0 {
			meta.Place = &one.m.place
		}
		e := jsonEvent(linkType, uuid.New(), meta)
		e.Metadata, e.Data, e.ContentType = e.Data, link, octetContent
		p.events = append(p.events, e)
	}
	return p
}

func (g *group) checkpointParts(t *groupWrite) {
	name := g.key.checkpointStream()
	if !g.checkpointTold {
		t.parts = append(t.parts, g.keepOnly(name, 2))
	}
	t.parts = append(t.parts, part{stream: name, expect: expectAny,
		events: []proposed{jsonEvent(checkpointType, uuid.New(), g.config.formatPlace(t.checkpoint))}})
}

// keepOnly bounds a stream of the group's own to its newest events.
func (g *group) keepOnly(stream string, count int) part {
	return part{stream: metastreamOf(stream), expect: expectAny,
		events: []proposed{jsonEvent(metadataEventType, uuid.New(), map[string]any{"$maxCount": count})}}
}

// doneEvent lists the parked messages that were dealt with while older ones were
// not, in runs [first, last].
type doneEvent struct {
	Runs [][2]uint64 `json:"runs"`
}

// forgetDone moves the beginning of the parked stream over what was dealt with,
// and writes down what was dealt with beyond it. Until that is in the log it
// stays known as done.
func (g *group) forgetDone(t *groupWrite) {
	for g.done[t.parkedFirst] {
		t.parkedFirst++
	}
	beyond := len(g.done) - int(t.parkedFirst-g.parkedFirst)
	if t.parkedFirst > g.parkedFirst {
		t.parts = append(t.parts, part{stream: metastreamOf(g.key.parkedStream()), expect: expectAny,
			events: []proposed{jsonEvent(metadataEventType, uuid.New(), map[string]any{"$tb": t.parkedFirst, "$acl": adminsOnly})}})
	}
	if beyond == 0 && !g.doneTold {
		return
	}
	if !g.doneTold {
		t.parts = append(t.parts, g.keepOnly(g.key.doneStream(), 1))
	}
	t.parts = append(t.parts, part{stream: g.key.doneStream(), expect: expectAny,
		events: []proposed{jsonEvent(doneType, uuid.New(), doneEvent{runsOf(g.done)})}})
	t.doneTold = true
}

// adminsOnly is the ACL of a parked stream, as EventStoreDB writes it.
var adminsOnly = map[string]string{"$r": "$admins", "$w": "$admins", "$d": "$admins", "$mr": "$admins", "$mw": "$admins"}

// load reads what the group kept.
func (g *group) load() error {
	g.done, g.replaying, g.early = map[uint64]bool{}, map[uint64]bool{}, map[uint64]bool{}
	g.out, g.next = map[uuid.UUID]*message{}, g.config.Next
	last, ok, err := newestOf(g.ctx, g.engine, g.key.checkpointStream())
	if err != nil {
		return err
	}
	if ok {
		var text string
		if err := json.Unmarshal(last.Data, &text); err != nil {
			return fmt.Errorf("%w: checkpoint of group %s: %w", ErrDamaged, g.key, err)
		}
		if g.checkpoint, err = g.config.parsePlace(text); err != nil {
			return err
		}
		g.next, g.checkpointTold = g.checkpoint, true
	}
	st, err := g.engine.state(g.key.parkedStream())
	if err != nil {
		return err
	}
	g.parkedNext = uint64(st.Last + 1)
	g.parkedFirst = min(st.TruncateBefore, g.parkedNext)
	if !st.Exists {
		g.parkedFirst = g.parkedNext
		return nil
	}
	if last, g.doneTold, err = newestOf(g.ctx, g.engine, g.key.doneStream()); err != nil {
		return err
	}
	if g.doneTold {
		var d doneEvent
		if err := json.Unmarshal(last.Data, &d); err != nil {
			return fmt.Errorf("%w: stream %s: %w", ErrDamaged, last.Stream, err)
		}
		d.fill(g.done, g.parkedFirst)
	}
	return g.loadEarly()
}

// loadEarly finds what was parked from beyond the checkpoint: it must not be
// given out a second time.
func (g *group) loadEarly() error {
	looked := 0
	for r, err := range g.engine.readStream(g.ctx, g.key.parkedStream(), true, math.MaxUint64) {
		if err != nil {
			return err
		}
		var meta parkedMetadata
		if json.Unmarshal(r.Metadata, &meta) == nil && meta.Place != nil && *meta.Place >= g.next {
			g.early[*meta.Place] = true
		}
		if looked++; looked == maxEarlyParked {
			g.logger.Warn("a group has many parked messages; of those parked before its checkpoint some may be delivered again", "group", g.key)
			break
		}
	}
	return nil
}

// newestOf reads the newest event of a stream.
func newestOf(ctx context.Context, e engine, stream string) (record, bool, error) {
	st, err := e.state(stream)
	if err != nil || !st.Exists {
		return record{}, false, err
	}
	for r, err := range e.readStream(ctx, stream, true, math.MaxUint64) {
		return r, err == nil, err
	}
	return record{}, false, nil
}

func runsOf(set map[uint64]bool) [][2]uint64 {
	runs := [][2]uint64{}
	for _, n := range sortedNumbers(set) {
		if k := len(runs) - 1; k >= 0 && runs[k][1]+1 == n {
			runs[k][1] = n
		} else {
			runs = append(runs, [2]uint64{n, n})
		}
	}
	return runs[:min(len(runs), maxDoneRuns)]
}

func (d doneEvent) fill(set map[uint64]bool, from uint64) {
	for _, run := range d.Runs {
		for n := max(run[0], from); n <= run[1] && len(set) < maxDoneInMemory; n++ {
			set[n] = true
		}
	}
}
