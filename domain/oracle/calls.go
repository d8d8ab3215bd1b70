package oracle

import (
	"time"

	"kicau/domain/event"
	"kicau/domain/order"
	"kicau/domain/payment"
)

// callsBefore are laws about calls to the processor: an intention is in the log
// before the call, one is open at a time, and its key is its own for ever.
func (o *Oracle) callsBefore(w *watched, e event.Event) {
	p := w.state.Payment
	if key, isIntention := keyOf(e.Body); isIntention {
		if p.Pending != nil {
			o.breach("one open call an order", e.Stream, "%s while %s is open", e.Type, p.Pending.Key)
		}
		if _, used := o.keys[key]; used || key == "" {
			o.breach("a key is used for one call", e.Stream, "%s uses %q again", e.Type, key)
		}
		o.keys[key] = nil
	}
	if u, ok := e.Body.(order.OutcomeUnknown); ok {
		switch {
		case p.Pending == nil || p.Pending.Key != u.Key:
			o.breach("only the outcome of an open call is unknown", e.Stream, "key %s", u.Key)
		case u.Tries != p.Pending.Tries+1:
			o.breach("tries are counted", e.Stream, "try %d after %d", u.Tries, p.Pending.Tries)
		case !u.RetryAt.After(e.OccurredAt):
			o.breach("an unknown outcome is looked up later", e.Stream, "at %s", u.RetryAt)
		}
	}
}

func keyOf(e event.Data) (string, bool) {
	switch e := e.(type) {
	case order.AuthorisationRequested:
		return e.Key, true
	case order.VoidRequested:
		return e.Key, true
	case order.CaptureRequested:
		return e.Key, true
	case order.RefundRequested:
		return e.Key, true
	case order.SettlementRequested:
		return e.Key, true
	case order.ReversalRequested:
		return e.Key, true
	case order.ContestRequested:
		return e.Key, true
	case order.AcceptRequested:
		return e.Key, true
	}
	return "", false
}

// Asked tells the oracle that an effect is about to be performed, by whoever.
func (o *Oracle) Asked(e payment.Effect) {
	stream := order.Stream(e.Order)
	before, intended := o.keys[e.Key]
	if !intended {
		o.breach("intention before call", stream, "%s is performed under %q, which no intention names", e.Step, e.Key)
		return
	}
	e.Tries, e.RetryAt, e.RequestedAt = 0, time.Time{}, e.RequestedAt.UTC()
	if before != nil && *before != e {
		o.breach("a key is never used with other parameters", stream, "%s: %+v, before %+v", e.Key, e, *before)
	}
	o.keys[e.Key] = &e
}
