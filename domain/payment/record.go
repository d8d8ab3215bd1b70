package payment

import (
	"fmt"
	"time"

	"kicau/domain/event"
	"kicau/domain/order"
)

// RetryFirst and RetryMost bound the wait between two looks at an outcome that
// is not known: doubled each time from the first to the most, for ever. There is
// no last one: an unknown outcome never becomes a failure by itself.
const (
	RetryFirst = 5 * time.Second
	RetryMost  = time.Hour
)

func retryAfter(tries int) time.Duration {
	if tries > 10 {
		return RetryMost
	}
	return min(RetryFirst<<(tries-1), RetryMost)
}

// SettleRetry is how long a refused transfer waits before it is tried again.
const SettleRetry = 6 * time.Hour

// record says what the outcome of the open call means. An outcome for a call
// that is not open any more was recorded before, by whoever was faster.
func record(s order.State, c Record) []event.Data {
	r := s.Payment.Pending
	if r == nil || r.Key != c.Key {
		return nil
	}
	if facts := answer(s, c); len(facts) > 0 {
		return facts
	}
	return unknown(r, c)
}

// answer is what the outcome says about the open call; nothing when it is no
// answer to a call of that kind.
func answer(s order.State, c Record) []event.Data {
	switch s.Payment.Pending.Step {
	case order.Authorise:
		return authorisation(s, c.Outcome)
	case order.Void:
		return voiding(s, c.Outcome)
	case order.Capture:
		return capture(s, c)
	case order.Refunding:
		return refund(s, c.Outcome)
	case order.Settle:
		return settlement(s, c)
	}
	return nil
}

// unknown keeps the call open and says when it is looked at again: its outcome
// was lost, or what came is no answer to it. A look before that time adds
// nothing, so it counts once whoever reports it.
func unknown(r *order.Request, c Record) []event.Data {
	if c.At.Before(r.RetryAt) {
		return nil
	}
	reason := fmt.Sprintf("%T is no answer to this call", c.Outcome)
	switch o := c.Outcome.(type) {
	case Unknown:
		reason = o.Reason
	case Failed:
		reason = o.Code + ": " + o.Reason
	}
	tries := r.Tries + 1
	return []event.Data{order.OutcomeUnknown{Step: r.Step, Key: r.Key, Tries: tries,
		RetryAt: c.At.Add(retryAfter(tries)), Reason: reason}}
}

func authorisation(s order.State, o Outcome) []event.Data {
	switch o := o.(type) {
	case Authorised:
		return []event.Data{order.Authorised{Intent: o.Intent, Charge: o.Charge, Amount: o.Amount, Currency: s.Placed.Currency,
			ExpiresAt: o.ExpiresAt, Brand: o.Brand, Last4: o.Last4}}
	case ActionRequired:
		return []event.Data{order.ActionRequired{Intent: o.Intent, Action: o.Action}}
	case Declined:
		return []event.Data{order.Declined{Intent: o.Intent, Code: o.Code, DeclineCode: o.DeclineCode}}
	case Failed:
		return []event.Data{order.Declined{Code: o.Code}}
	case Voided:
		return lapsed(s, o.Intent)
	}
	return nil
}

// voiding ends with Voided alone. A void that the processor refused says nothing
// about the hold: it may be there still, or the money may have been taken.
func voiding(s order.State, o Outcome) []event.Data {
	if _, ok := o.(Voided); !ok {
		return nil
	}
	p := s.Payment
	return []event.Data{order.Voided{Intent: p.Intent, Released: p.Authorised, Currency: s.Placed.Currency, Cause: "requested"}}
}

func capture(s order.State, c Record) []event.Data {
	p := s.Payment
	switch o := c.Outcome.(type) {
	case Captured:
		return []event.Data{captured(s, o, p.Charge, c.At)}
	case Voided:
		return lapsed(s, p.Intent)
	case Failed:
		return []event.Data{order.CaptureFailed{Intent: p.Intent, Code: o.Code, Reason: o.Reason}}
	}
	return nil
}

// lapsed is what follows when the processor holds nothing any more and we did
// not ask for that: an open order ends, and of a shipped one, whose money is
// lost, somebody has to hear.
func lapsed(s order.State, intent string) []event.Data {
	p := s.Payment
	facts := []event.Data{order.Voided{Intent: intent, Released: p.Authorised, Currency: s.Placed.Currency, Cause: "lapsed"}}
	switch {
	case s.Standing == order.Open && p.Authorised == 0:
		facts = append(facts, order.Expired{Cause: order.Unpaid})
	case s.Standing == order.Open:
		facts = append(facts, order.Expired{Cause: order.Unshipped})
	case s.Standing == order.Dispatch && !p.Failed:
		facts = append(facts, order.CaptureFailed{Intent: intent, Code: "authorisation-lapsed", Reason: "the processor had let the authorisation go"})
	}
	return facts
}

func captured(s order.State, o Captured, charge string, at time.Time) order.Captured {
	if o.Charge != "" {
		charge = o.Charge
	}
	a := shipped(s)
	return order.Captured{
		Intent: s.Payment.Intent, Charge: charge, Transaction: o.Transaction,
		Shop: s.Placed.Shop, Processor: s.Placed.Processor, Currency: s.Placed.Currency, Jurisdiction: s.Placed.Jurisdiction,
		Amount: a.Total(), Authorised: s.Payment.Authorised, Allocation: a, ProcessorFee: o.ProcessorFee,
		SettleAfter: at.Add(time.Duration(s.Placed.HoldHours) * time.Hour),
	}
}

func refund(s order.State, o Outcome) []event.Data {
	id := s.Payment.Pending.Refund
	switch o := o.(type) {
	case Refunded:
		return []event.Data{refunded(s, id, o)}
	case Failed:
		return []event.Data{order.RefundFailed{Refund: id, Code: o.Code, Reason: o.Reason}}
	}
	return nil
}

func settlement(s order.State, c Record) []event.Data {
	r := s.Payment.Pending
	switch o := c.Outcome.(type) {
	case Transferred:
		return []event.Data{order.Settled{Transfer: o.Transfer, Shop: s.Placed.Shop, Currency: s.Placed.Currency,
			Amount: r.Amount, Payable: r.Payable, Netted: r.Netted}}
	case Failed:
		return []event.Data{order.SettlementFailed{Code: o.Code, Reason: o.Reason, RetryAt: c.At.Add(SettleRetry)}}
	}
	return nil
}

// observe says what unasked news of the intent mean. News that we have, or that
// our own open call will bring, decide nothing.
func observe(s order.State, c Observe) []event.Data {
	p := s.Payment
	if c.Intent == "" || p.Intent != c.Intent || p.Pending != nil {
		return nil
	}
	switch o := c.Outcome.(type) {
	case Authorised:
		if p.Authorised > 0 || p.Voided || p.IsCaptured {
			return nil
		}
		return authorisation(s, o)
	case Declined:
		if p.Awaiting == "" {
			return nil
		}
		return authorisation(s, o)
	case ActionRequired:
		if p.Awaiting == "" || p.Awaiting == o.Action {
			return nil
		}
		return authorisation(s, o)
	case Voided:
		if p.Voided || p.IsCaptured {
			return nil
		}
		return lapsed(s, p.Intent)
	}
	return nil
}
