package oracle

import (
	"kicau/domain/money"
	"kicau/domain/order"

	"github.com/google/uuid"
)

// Theirs is what the processor's own book says of an order.
type Theirs struct {
	Captured, Refunded, Pending, Disputed, Transferred, Held money.Minor
	Captures                                                 int
}

// Ours is what our log says of it.
func (o *Oracle) Ours(id uuid.UUID) (t Theirs) {
	w := o.orders[id]
	if w == nil || w.state.Placed.Outside() {
		return t // the processor knows nothing of it
	}
	s, p := w.state, w.state.Payment
	if p.IsCaptured {
		t.Captures = 1
		t.Captured = p.Taken
	} else if !p.Voided {
		t.Held = p.Authorised
	}
	for _, f := range p.Former {
		t.Held += f.Authorised
	}
	for _, r := range s.Refunds {
		switch r.Status {
		case order.Given:
			t.Refunded += r.Amount()
		case order.Pending:
			t.Pending += r.Amount()
		}
	}
	for _, d := range s.Disputes {
		if d.Held != nil {
			t.Disputed += d.Held.Amount
		}
	}
	t.Transferred = p.Settled
	return t
}

// Agree compares our log with the processor's book about an order.
func (o *Oracle) Agree(id uuid.UUID, theirs Theirs) {
	if ours := o.Ours(id); ours != theirs {
		o.breach("our books and the processor's agree", order.Stream(id), "ours %+v, theirs %+v", ours, theirs)
	}
}

// Ahead checks, at any time, what the processor's book may never say: more than
// our log allows, the one open call included.
func (o *Oracle) Ahead(id uuid.UUID, theirs Theirs, byHand bool) {
	stream := order.Stream(id)
	total := o.Order(id).Placed.Total()
	switch {
	case theirs.Captures > 1:
		o.breach("one capture an authorisation", stream, "the processor captured %d times", theirs.Captures)
	case theirs.Captured > total:
		o.breach("captured ≤ order total", stream, "the processor captured %d of %d", theirs.Captured, total)
	case theirs.Refunded+theirs.Pending+theirs.Disputed > theirs.Captured:
		o.breach("refunds and lost disputes ≤ captured", stream, "the processor gave back %+v", theirs)
	}
	w := o.orders[id]
	if w == nil || byHand {
		return
	}
	p := w.state.Payment
	allowed, agreed := p.Settled, money.Minor(0)
	if r := p.Pending; r != nil && r.Step == order.Settle {
		allowed += r.Amount
	}
	if theirs.Transferred > allowed {
		o.breach("a transfer is made once", stream, "the processor transferred %d, we asked for %d", theirs.Transferred, allowed)
	}
	for _, r := range w.state.Refunds {
		agreed += r.Amount()
	}
	if theirs.Refunded+theirs.Pending > agreed {
		o.breach("a refund is given once", stream, "the processor gave %d back, %d was agreed", theirs.Refunded+theirs.Pending, agreed)
	}
}
