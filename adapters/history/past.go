package history

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/refusal"
	"kicau/domain/shop"
)

// A history is imported again: because it was interrupted, or because a line of
// it was mended. What is in effect then adds nothing. But a line that was
// refused left nothing in the log, and what refused it may have passed since:
// the offer that was sold out got more stock further down. Decided again today,
// such a line would be accepted, and the log would say something else than if
// the import had never been interrupted.
//
// So imports add to a stream in the order of time and input only. A line that
// stands before the newest thing that an earlier import put into a stream is
// past there: it may repeat what is in effect and add nothing. Within the same
// time the input says what is before what, and so it is read a whole time ahead;
// what is of the same time and from another input was before. What others than
// imports write does not count: they write today.

// ErrLogHasLater refuses what would change the past.
var ErrLogHasLater = &refusal.Refusal{Kind: refusal.Rule, Code: "log-has-later", Field: "at", Subject: "the line",
	Reason: "is not in effect, and something later was imported before: it was refused then, or left out", Remedy: "give it a later time"}

// mark is what an import put into a stream: when it happened and which line
// asked for it. The zero mark is nothing.
type mark struct {
	at   time.Time
	line uuid.UUID // the command's id
}

func markOf(e event.Event) mark { return mark{e.OccurredAt, e.Correlation} }

// later tells whether m came of a line further down than a.
func (m mark) later(a asked) bool {
	if m == (mark{}) || !m.at.Equal(a.At) {
		return m.at.After(a.At)
	}
	a.now.mu.Lock()
	defer a.now.mu.Unlock()
	nth, known := a.now.lines[m.line]
	return known && nth > a.nth
}

// Bounds of what is read ahead of one time. Of a time with more than that, the
// first lines are decided without knowing the last.
const (
	MaxAhead      = 10_000   // items
	maxAheadBytes = 32 << 20 // of text
)

// instants hands over items when all of their time have been read.
func instants(items iter.Seq2[Item, error]) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		var ahead []Item
		var at time.Time
		size := 0
		flush := func() bool {
			for _, item := range ahead {
				if !yield(item, nil) {
					return false
				}
			}
			ahead, size = ahead[:0], 0
			return true
		}
		for item, err := range items {
			if err != nil {
				if flush() {
					yield(Item{}, err)
				}
				return
			}
			later := !item.at.IsZero() && !item.at.Equal(at)
			if (later || len(ahead) >= MaxAhead || size > maxAheadBytes) && !flush() {
				return
			}
			if later {
				at = item.at
			}
			ahead, size = append(ahead, item), size+item.size
		}
		flush()
	}
}

// past tells whether the line is past in one of the streams.
func (im *Importer) past(ctx context.Context, a asked, streams ...string) (bool, error) {
	for _, s := range streams {
		m, err := im.mark(ctx, s, command.Backwards)
		if err != nil || m.later(a) {
			return err == nil, err
		}
	}
	return false, nil
}

// exists returns no when the line stands before the one that began the stream.
func (im *Importer) exists(ctx context.Context, a asked, stream string, no error) error {
	first, err := im.mark(ctx, stream, command.Forwards)
	if err == nil && first.later(a) {
		return no
	}
	return err
}

// may gives the use cases for a line, or, when it is past, ones that repeat what
// is in effect and fail with errPast otherwise.
func (im *Importer) may(past bool) *command.Commands {
	if past {
		return im.repeats
	}
	return im.commands
}

// mark is the first or the newest mark in a stream when the import began.
func (im *Importer) mark(ctx context.Context, stream string, dir command.Direction) (mark, error) {
	head, err := im.headAtStart(ctx)
	if err != nil || head.IsStart() {
		return mark{}, err
	}
	key := stream
	if dir == command.Forwards {
		key = "the first of " + stream
	}
	im.mu.Lock()
	m, known := im.marks[key]
	im.mu.Unlock()
	if known {
		return m, nil
	}
	if m, err = im.findMark(ctx, stream, dir, head); err != nil {
		return m, err
	}
	im.mu.Lock()
	defer im.mu.Unlock()
	remember(im.marks, MaxMarks, key, m)
	return m, nil
}

func (im *Importer) findMark(ctx context.Context, stream string, dir command.Direction, head event.Position) (mark, error) {
	from := uint64(0)
	if dir == command.Backwards {
		from = ^uint64(0)
	}
	for rec, err := range im.log.ReadStream(ctx, stream, dir, from, 0) {
		if err != nil {
			return mark{}, fmt.Errorf("read stream %s: %w", stream, err)
		}
		e, err := domain.Events.Decode(rec)
		switch {
		case err != nil:
			return mark{}, err
		case rec.Position.Compare(head) <= 0 && e.Actor == actor:
			return markOf(e), nil
		case dir == command.Forwards: // somebody else began it
			return mark{}, nil
		}
	}
	return mark{}, nil
}

// ours are the streams that an import writes to.
var ours = command.Filter{StreamPrefixes: []string{shop.Category + "-", offer.Category + "-", order.Category + "-"}}

// headAtStart is the end of the log before this import wrote to it: whoever is
// first asks before writing.
func (im *Importer) headAtStart(ctx context.Context) (event.Position, error) {
	im.mu.Lock()
	defer im.mu.Unlock()
	if im.head == nil {
		head := event.Position{}
		for rec, err := range im.log.ReadAll(ctx, command.Backwards, command.ReadFrom{}, ours, 1) {
			if err != nil {
				return head, fmt.Errorf("read the end of the log: %w", err)
			}
			head = rec.Position
		}
		im.head = &head
	}
	return *im.head, nil
}

// wasPriced tells whether an offer got a price with a line that is past, or had
// it then already.
func (im *Importer) wasPriced(ctx context.Context, a asked, offerID uuid.UUID, price money.Minor) (bool, error) {
	var then *money.Minor
	for rec, err := range im.log.ReadStream(ctx, offer.Stream(offerID), command.Forwards, 0, 0) {
		if err != nil {
			return false, fmt.Errorf("read offer %s: %w", offerID, err)
		}
		e, err := domain.Events.Decode(rec)
		if err != nil {
			return false, err
		}
		if markOf(e).later(a) {
			break
		}
		switch b := e.Body.(type) {
		case offer.Tweeted:
			then = &b.Price
		case offer.Repriced:
			then = &b.Price
		}
	}
	return then != nil && *then == price, nil
}

// pastLog reads like the log and takes no events.
type pastLog struct{ command.Log }

// errPast says for certain that nothing was written, so nobody sends it again.
var errPast = fmt.Errorf("the line is past: %w", command.ErrReadOnly)

func (pastLog) Append(context.Context, string, command.Expect, []event.Proposed) (command.Appended, error) {
	return command.Appended{}, errPast
}
