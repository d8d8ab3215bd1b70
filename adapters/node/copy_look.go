package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"kicau/adapters/command"
)

// ErrDiverged: the target of a copy has something else than the log.
var ErrDiverged = errors.New("the target is not a copy of this log")

// Diverged is the first place where the target of a copy differs.
type Diverged struct {
	Stream      string
	Revision    uint64
	Here, There string // what is at that place
}

func (d *Diverged) Error() string {
	return fmt.Sprintf("%v: stream %s, revision %d: here %s; there %s", ErrDiverged, d.Stream, d.Revision, d.Here, d.There)
}

// Unwrap makes it an ErrDiverged.
func (d *Diverged) Unwrap() error { return ErrDiverged }

func describeEvent(e *command.Stored) string {
	content := "octets"
	if e.JSON {
		content = "JSON"
	}
	return fmt.Sprintf("a %s with id %s, %d bytes of %s and %d of metadata", e.Type, e.ID, len(e.Data), content, len(e.Metadata))
}

// lookRun is how many events of the target are compared at a time.
const lookRun = 512

// look reads what the target has got since it was looked at last, and compares
// each event of a stream that this log has. A read that breaks off is begun again
// where it was, as long as that gets anywhere.
func (c *copier) look(ctx context.Context, phase CopyPhase) error {
	for {
		before := c.seen
		err := c.lookOn(ctx, phase)
		known := err == nil || ctx.Err() != nil || errors.Is(err, ErrDiverged) || errors.Is(err, ErrDamaged)
		if known || c.seen == before {
			return err
		}
	}
}

func (c *copier) lookOn(ctx context.Context, phase CopyPhase) error {
	var run []command.Stored
	compare := func() error {
		if len(run) == 0 {
			return nil
		}
		if err := c.read(func() error { return c.compareRun(run) }); err != nil {
			return err
		}
		c.seen, run = run[len(run)-1].Position, run[:0]
		c.told = c.found
		c.progress(phase)
		return nil
	}
	for e, err := range c.target.AllStored(ctx, c.seen) {
		if err != nil {
			return errors.Join(compare(), fmt.Errorf("read the target: %w", err))
		}
		if run = append(run, e); len(run) == lookRun {
			if err := compare(); err != nil {
				return err
			}
		}
	}
	return compare()
}

func (c *copier) compareRun(run []command.Stored) (err error) {
	x, err := c.openIndex()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.close()) }()
	events, err := c.db.NewIter(&pebble.IterOptions{LowerBound: []byte{eventKind}, UpperBound: []byte{eventKind + 1}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, events.Close()) }()
	for i := range run {
		if c.copies(run[i].Stream) {
			if err := c.compareEvent(x, events, &run[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// compareEvent compares an event of the target with the one at the same place
// of this log.
func (c *copier) compareEvent(x *index, events *pebble.Iterator, e *command.Stored) error {
	here, ok, err := x.at(e.Stream, e.Revision)
	if err != nil {
		return err
	}
	if !ok || here.position > c.end {
		return c.compareUnknown(x, e)
	}
	if c.there.has(here.position) {
		return nil
	}
	if e.Revision == tombstoneRevision { // there it is the server's own
		c.there.add(here.position)
		return nil
	}
	key := appendEventKey(nil, here.position)
	if !events.SeekGE(key) || !bytes.Equal(events.Key(), key) {
		return errors.Join(events.Error(), fmt.Errorf("%w: the event at position %d is missing", ErrDamaged, here.position))
	}
	stored, err := events.ValueAndErr()
	if err != nil {
		return err
	}
	r, err := readRecord(here.position, bytes.Clone(stored), nil)
	if err != nil {
		return err
	}
	if r.emptied {
		return c.compareScavenged(&r, leafOf(stored), e)
	}
	if own := storedOf(&r); !sameStored(&own, e) {
		return &Diverged{Stream: e.Stream, Revision: e.Revision, Here: describeEvent(&own), There: differing(&own, e)}
	}
	c.there.add(here.position)
	c.found++
	if here.position < c.last {
		c.report.Moved++
	}
	c.last = max(c.last, here.position)
	return nil
}

// compareScavenged compares an event with what is left of the one here: the hash
// of what it said. Or it is a filler.
func (c *copier) compareScavenged(r *record, leaf root, e *command.Stored) error {
	own := storedOf(r)
	filler := e.Type == FillerType && e.ID == fillerID(c.id, e.Stream, e.Revision)
	if !filler && leafOf(storedAs(r, e)) != leaf {
		return &Diverged{Stream: e.Stream, Revision: e.Revision, Here: "an event that was scavenged, once " + describeEvent(&own), There: differing(&own, e)}
	}
	if filler {
		c.report.Fillers++
	}
	c.there.add(r.Position)
	return nil
}

// storedAs is e as it would be stored in the place of r.
func storedAs(r *record, e *command.Stored) []byte {
	p := proposed{ID: e.ID, Type: e.Type, ContentType: octetContent, Data: e.Data, Metadata: e.Metadata}
	if e.JSON {
		p.ContentType = jsonContent
	}
	b := make([]byte, recordLen(r.Stream, &p))
	putRecord(b, r.Stream, r.Revision, ticksOf(r.Created), &p)
	return b
}

// compareUnknown: the target has an event where this log has none.
func (c *copier) compareUnknown(x *index, e *command.Stored) error {
	some, err := x.between(nil, e.Stream, 0, tombstoneRevision+1, false, 1)
	switch {
	case err != nil:
		return err
	case len(some) == 0 || some[0].position > c.end:
		c.report.Others++
		return nil
	default:
		return &Diverged{Stream: e.Stream, Revision: e.Revision, Here: "no event", There: describeEvent(e)}
	}
}

func sameStored(a, b *command.Stored) bool {
	return a.ID == b.ID && a.Type == b.Type && a.JSON == b.JSON && bytes.Equal(a.Data, b.Data) && bytes.Equal(a.Metadata, b.Metadata)
}

// differing describes an event that is not the same, and says so if that does
// not show.
func differing(here, there *command.Stored) string {
	text := describeEvent(there)
	if text == describeEvent(here) {
		text += ", but other bytes"
	}
	return text
}

// diverged finds out why the target refused a piece.
func (c *copier) diverged(ctx context.Context, p *piece, wrong *command.WrongRevision) error {
	d := &Diverged{Stream: p.stream, Revision: p.first(), Here: describeEvent(&p.events[0])}
	if wrong.Actual < wrong.Expected {
		d.There = "the stream is at " + wrong.Actual.String() + ": events before that one are missing"
		return d
	}
	i := 0
	for e, err := range c.target.StreamStored(ctx, p.stream, command.Forwards, p.first(), len(p.events)) {
		if err != nil {
			return errors.Join(wrong, err)
		}
		if e.Revision != p.events[i].Revision {
			break
		}
		if own := &p.events[i]; !sameStored(own, &e) {
			d.Revision, d.Here, d.There = e.Revision, describeEvent(own), differing(own, &e)
			return d
		}
		i++
	}
	d.Revision += uint64(i)
	d.There = fmt.Sprintf("the stream is at %s, but that event cannot be read: it was truncated or scavenged there", wrong.Actual)
	return d
}

// verifyTarget looks at what the target got, and says what it lacks.
func (c *copier) verifyTarget(ctx context.Context) error {
	if err := c.look(ctx, CopyVerifying); err != nil {
		return err
	}
	missing, first := uint64(0), record{}
	for r, err := range c.readAll(ctx, false, 1) {
		if err != nil {
			return err
		}
		if r.Position > c.end {
			break
		}
		if !c.copies(r.Stream) || c.there.has(r.Position) {
			continue
		}
		e := storedOf(&r)
		v, err := c.viewOf(r.Stream)
		if err != nil {
			return err
		}
		if v.hides(&e, c.now()) { // it was appended before, and scavenged
			c.hide([]command.Stored{e})
		} else if missing++; missing == 1 {
			first = r
		}
	}
	if missing > 0 {
		own := storedOf(&first)
		return fmt.Errorf("%d events are missing, first: %w", missing,
			&Diverged{Stream: first.Stream, Revision: first.Revision, Here: describeEvent(&own), There: "nothing; it was taken away while it was copied, or the user may not read it"})
	}
	if err := c.describe(ctx, onlyCompare); err != nil {
		return err
	}
	c.report.Verified = true
	return nil
}
