package command

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/refusal"
	"kicau/domain/shop"
)

// ErrCommandReused: the id of the command names another one already.
var ErrCommandReused = &refusal.Refusal{Kind: refusal.Clash, Code: "command-id-reused", Subject: "the command",
	Reason: "was given before with other content", Remedy: "send what was sent the first time, or give it an id of its own"}

// remember that a command's events begin at a revision, if it asks to be
// remembered. Of a command with several events the first one counts.
func (f *folded[S]) remember(m event.Meta, revision uint64) {
	if m.Digest == "" {
		return
	}
	if f.commands == nil {
		f.commands = map[uuid.UUID]uint64{}
	}
	if _, known := f.commands[m.Command]; !known {
		f.commands[m.Command] = revision
	}
}

// recalls tells where a command's events begin, if it is remembered.
func (f *folded[S]) recalls(m event.Meta) (first uint64, repeated bool) {
	if m.Digest == "" {
		return 0, false
	}
	first, repeated = f.commands[m.Command]
	return first, repeated
}

// recorded is the answer to a command whose events begin at a revision: they
// were appended in one go and stand in a row.
func (h *Handler[S]) recorded(ctx context.Context, stream string, meta event.Meta, first uint64) (Result, error) {
	res := Result{Next: first, Repeated: true}
	for rec, err := range h.log.ReadStream(ctx, stream, Forwards, first, 0) {
		if err != nil {
			return Result{}, fmt.Errorf("read what command %s did to stream %s: %w", meta.Command, stream, err)
		}
		e, err := h.events.Decode(rec)
		if err != nil {
			return Result{}, err
		}
		if e.Command != meta.Command {
			break
		}
		if e.Digest != meta.Digest {
			return Result{}, ErrCommandReused.About("command %s", meta.Command)
		}
		res.Events = append(res.Events, e.Body)
		res.Position, res.Next = rec.Position, rec.Revision+1
	}
	return res, nil
}

// asked is the meta of the events of a command that somebody asked for: cmd is
// what was asked, before anything was looked up for it.
//
// Not remembered is what needs no answer twice: commands whose ids say what they
// are about (By.Recurring), and what Kicau tells itself about stock, debts and
// deadlines, which names its order and changes nothing when it is said again.
// So a hot offer remembers none of the thousands of holds on it.
func (b By) asked(cmd any) event.Meta {
	m := b.Meta()
	switch cmd.(type) {
	case offer.HoldStock, offer.ReleaseStock, offer.SellStock, order.Expire, shop.Carry:
	default:
		if !b.Recurring {
			m.Digest = digestOf(cmd)
		}
	}
	return m
}
