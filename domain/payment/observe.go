package payment

import (
	"slices"
	"time"

	"kicau/domain/event"
	"kicau/domain/order"
)

// observe says what news mean that nobody asked for. News that are in the log,
// or that our own open call will bring, decide nothing.
func observe(s order.State, c Observe) (facts []event.Data) {
	seen := c.Seen
	if seen.Intent == "" || !knows(&s, seen.Intent) {
		return nil
	}
	add := func(news []event.Data) {
		facts = append(facts, news...)
		s = order.After(s, news...)
	}
	add(intentNews(&s, c))
	if seen.Intent != s.Payment.Intent {
		return facts // it was replaced: whatever became of its money is none of the order's
	}
	if earnable(&s) && len(seen.Refunds)+len(seen.Disputes) > 0 {
		add([]event.Data{earned(&s, c.At)}) // before anybody takes of it what was shipped
	}
	for range 1 + len(seen.Refunds) + len(seen.Disputes) { // what one gives back, another may need
		known := len(facts)
		for _, r := range seen.Refunds {
			add(refundNews(&s, r, c.At))
		}
		for _, d := range seen.Disputes {
			add(disputeNews(s, d))
		}
		if len(facts) == known {
			break
		}
	}
	for _, w := range seen.Warnings {
		add(warningNews(&s, w))
	}
	return facts
}

// Waits tells whether news have something that cannot be in the log yet, as it
// needs what an open call or an agreed refund will bring: a refund given at the
// processor beyond what is left, a dispute before its capture, what happened since
// an open call, or what became of another intent than the one that it is about.
// Reading the payment again later will show it.
func Waits(s order.State, seen Seen) bool {
	if s.Standing == order.None || s.Standing == order.Forgotten {
		return false
	}
	if s.Payment.Pending != nil && sinceCall(&s, *s.Payment.Pending, seen) {
		return true
	}
	if seen.Intent != s.Payment.Intent {
		return false
	}
	for _, r := range seen.Refunds {
		// What came back, and was never in the books, moves nothing: it waits as long as
		// it may still find its place there.
		moved := r.Status != RefundFailed || r.Returned != "" && (!s.Payment.IsCaptured || underway(&s))
		if moved && refundOf(&s, r) == nil && s.Refund(event.NameID("refund", r.ID)) == nil {
			return true
		}
	}
	for _, d := range seen.Disputes {
		if s.Dispute(d.ID) == nil {
			return true
		}
	}
	return false
}

// sinceCall tells whether news say more than the answer to an open call may say,
// and are not recorded before it. The answer may be older: a call that is made again
// under its key is answered as it was the first time.
func sinceCall(s *order.State, r order.Request, seen Seen) bool {
	switch r.Step {
	case order.Refunding:
		return slices.ContainsFunc(seen.Refunds, func(x SeenRefund) bool {
			of := refundOf(s, x)
			return of != nil && of.ID == r.Refund && x.Status != RefundPending
		})
	case order.Authorise, order.Void, order.Capture:
		_, acts := seen.Outcome.(ActionRequired)
		_, voided := seen.Outcome.(Voided)
		_, taken := seen.Outcome.(Captured)
		switch {
		case acts, voided && r.Step == order.Void && r.Intent == seen.Intent:
			return false // the answer says as much
		case !knows(s, seen.Intent):
			return r.Step == order.Authorise && (voided || taken) // of what the call made
		}
		idle := *s
		idle.Payment.Pending = nil
		return len(intentNews(s, Observe{Seen: seen})) == 0 && len(intentNews(&idle, Observe{Seen: seen})) > 0
	}
	return false
}

// knows tells whether the intent is, or was, the order's.
func knows(s *order.State, intent string) bool {
	if s.Payment.Intent == intent {
		return true
	}
	for _, f := range s.Payment.Former {
		if f.Intent == intent {
			return true
		}
	}
	return false
}

func intentNews(s *order.State, c Observe) []event.Data {
	p := s.Payment
	if p.Pending != nil && (p.Pending.Step == order.Authorise || p.Pending.Step == order.Void || p.Pending.Step == order.Capture) {
		// What happened since the capture is in these news alone, and nothing can be
		// made of it before the capture: then the call has its answer here.
		if o, taken := c.Seen.Outcome.(Captured); taken && p.Pending.Step == order.Capture && c.Seen.Intent == p.Intent {
			return capture(s, Record{At: c.At, Account: c.Account, Key: p.Pending.Key, Outcome: o})
		}
		return nil
	}
	if c.Seen.Intent != p.Intent {
		if _, gone := c.Seen.Outcome.(Voided); gone {
			return lapsed(s, c.Seen.Intent)
		}
		return nil
	}
	switch o := c.Seen.Outcome.(type) {
	case Authorised:
		if p.Authorised == 0 && !p.Voided && !p.IsCaptured {
			return authorisation(s, o, c.At)
		}
	case Declined:
		if p.Awaiting != "" {
			return authorisation(s, o, c.At)
		}
	case ActionRequired:
		if p.Awaiting != "" && p.Awaiting != o.Action {
			return authorisation(s, o, c.At)
		}
	case Captured:
		if !p.IsCaptured {
			return takenElsewhere(*s, o, c.At)
		}
	case Voided:
		if !p.Voided && !p.IsCaptured {
			return lapsed(s, p.Intent)
		}
	}
	return nil
}

// refundNews says what became of a refund: one of ours, or one that somebody
// gave at the processor.
func refundNews(s *order.State, seen SeenRefund, at time.Time) []event.Data {
	p := s.Payment
	r := refundOf(s, seen)
	if r == nil {
		return adopted(s, seen, at)
	}
	if p.Pending != nil && p.Pending.Step == order.Refunding && p.Pending.Refund == r.ID {
		return nil
	}
	switch {
	case seen.Status == RefundFailed && seen.Returned != "" && r.Status == order.Pending:
		return paidBack(*s, *r, seen, at)
	case seen.Status == RefundFailed && (r.Status == order.Pending || r.Status == order.Given):
		return []event.Data{refundReturned(s, *r, seen, at)}
	case seen.Status == RefundSucceeded && (r.Status == order.Pending || r.Status == order.Agreed):
		return []event.Data{refunded(s, *r, seen.ID, seen.Transaction)}
	case seen.Status == RefundPending && r.Status == order.Agreed:
		return []event.Data{refundPending(s, *r, seen.ID)}
	}
	return nil
}

// refundOf finds our refund for one at the processor. One that we had given up
// on, and that was made after all, is another refund.
func refundOf(s *order.State, seen SeenRefund) *order.Refund {
	for i := range s.Refunds {
		if r := &s.Refunds[i]; r.RefundID == seen.ID {
			return r
		}
	}
	if r := s.Refund(seen.Refund); r != nil && (r.Status == order.Agreed || r.Status == order.Asked) {
		return r
	}
	return nil
}

// adopted is a refund that was given without us. One above what is left cannot
// be told apart from those that are agreed and not given yet: it waits for them.
func adopted(s *order.State, seen SeenRefund, at time.Time) []event.Data {
	if seen.Status == RefundFailed && seen.Returned == "" || !s.Payment.IsCaptured {
		return nil // nothing was moved
	}
	e := order.RefundAgreed{Refund: event.NameID("refund", seen.ID), Reason: AtProcessor}
	if s.Refund(e.Refund) != nil {
		return nil
	}
	var facts []event.Data
	left := s.Left()
	if missing := seen.Amount - s.Payment.Unearned - left.Total(); missing > 0 {
		if facts = yielded(*s, missing); facts == nil {
			return nil
		}
		after := order.After(*s, facts...)
		s, left = &after, after.Left()
	}
	e.Unearned = min(s.Payment.Unearned, seen.Amount)
	e.Allocation = left.Slice(seen.Amount-e.Unearned, s.Placed.Step())
	facts = append(facts, e)
	after := order.After(*s, e)
	if seen.Status == RefundFailed {
		return append(facts, paidBack(after, *after.Refund(e.Refund), seen, at)...)
	}
	return append(facts, refundNews(&after, SeenRefund{ID: seen.ID, Refund: e.Refund, Amount: seen.Amount,
		Status: seen.Status, Transaction: seen.Transaction}, at)...)
}

// AtProcessor is the reason of a refund that was given without us.
const AtProcessor = "given at the processor"

func warningNews(s *order.State, w SeenWarning) []event.Data {
	for _, known := range s.Warnings {
		if known == w.ID {
			return nil
		}
	}
	return []event.Data{order.FraudWarned{Warning: w.ID, Charge: w.Charge, Kind: w.Kind, Actionable: w.Actionable}}
}
