package payment

import (
	"fmt"
	"time"

	"kicau/domain/event"
	"kicau/domain/money"
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

// RefusedFirst and RefusedMost bound the wait before what was refused is tried
// again: doubled each time from the first to the most. A transfer is tried for
// ever, as the shop is owed its money until it has it; the return of money that was
// not earned [MaxReturns] times.
const (
	RefusedFirst = 6 * time.Hour
	RefusedMost  = 4 * 24 * time.Hour
)

// refusedAgain is the wait after a refusal that some went before.
func refusedAgain(before int) time.Duration {
	return min(RefusedFirst<<min(before, 10), RefusedMost)
}

// record says what the outcome of the open call means. An outcome for a call
// that is not open any more was recorded before, by whoever was faster.
func record(s *order.State, c Record) []event.Data {
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
func answer(s *order.State, c Record) []event.Data {
	switch s.Payment.Pending.Step {
	case order.Authorise:
		return authorisation(s, c.Outcome, c.At)
	case order.Void:
		return voiding(s, c)
	case order.Capture:
		return capture(s, c)
	case order.Refunding:
		return refunding(s, c)
	case order.Settle:
		return settlement(s, c)
	case order.Reverse:
		return reversal(s, c.Outcome)
	case order.Contest, order.Accept:
		return disputing(s, c)
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

func authorisation(s *order.State, o Outcome, at time.Time) []event.Data {
	renewal := s.Payment.Pending != nil && s.Payment.Pending.Customer != ""
	switch o := o.(type) {
	case Authorised:
		held := order.Authorised{Intent: o.Intent, Charge: o.Charge, Amount: o.Amount, Currency: s.Placed.Currency,
			ExpiresAt: o.ExpiresAt, Brand: o.Brand, Last4: o.Last4, Customer: o.Customer, PaymentMethod: o.Method}
		if held.ExpiresAt == nil {
			end := at.Add(order.LongestHold)
			held.ExpiresAt, held.EndAssumed = &end, true
		}
		return []event.Data{held}
	case ActionRequired:
		if renewal { // the buyer is not there to do anything
			return []event.Data{order.Declined{Intent: o.Intent, Code: "authentication_required"}}
		}
		return []event.Data{order.ActionRequired{Intent: o.Intent, Action: o.Action}}
	case Declined:
		return []event.Data{order.Declined{Intent: o.Intent, Code: o.Code, DeclineCode: o.DeclineCode, Next: remedy(s, o, renewal)}}
	case Failed:
		return []event.Data{order.Declined{Code: o.Code}}
	case Captured:
		if o.Intent == "" {
			return nil
		}
		held := order.Authorised{Intent: o.Intent, Charge: o.Charge, Amount: o.Amount, Currency: s.Placed.Currency}
		return append([]event.Data{held}, takenElsewhere(order.After(*s, held), o, at)...)
	case Voided:
		if renewal && o.Intent != s.Payment.Intent { // the one that was to be replaced stands
			return []event.Data{order.Declined{Intent: o.Intent, Code: "canceled"}}
		}
		return lapsed(s, o.Intent)
	}
	return nil
}

// MaxDeclines bounds the tries to pay an order.
const MaxDeclines = 5

// passing are declines that say nothing about the card: a slip of the buyer's or
// a fault that passes (https://docs.stripe.com/declines/codes).
var passing = map[string]bool{
	"incorrect_cvc": true, "invalid_cvc": true, "incorrect_zip": true, "invalid_expiry_month": true, "invalid_expiry_year": true,
	"processing_error": true, "try_again_later": true, "issuer_not_available": true, "reenter_transaction": true, "approve_with_id": true,
	"payment_intent_authentication_failure": true, "authentication_required": true,
}

// remedy is what the buyer may do next. An intent that the processor itself
// gave up cannot be tried again.
func remedy(s *order.State, o Declined, renewal bool) order.Remedy {
	switch {
	case renewal, s.Standing.Over(), o.Code == "canceled", s.Payment.Declines+1 >= MaxDeclines, o.Intent == "":
		return ""
	case passing[o.DeclineCode], o.DeclineCode == "" && passing[o.Code]:
		return order.SameAgain
	}
	return order.OtherCard
}

// voiding ends with what the intent says. A void that the processor refused says
// nothing about the hold: it may be there still.
func voiding(s *order.State, c Record) []event.Data {
	intent := s.Payment.Pending.Intent
	if intent == "" {
		intent = s.Payment.Intent // before intentions named it
	}
	switch o := c.Outcome.(type) {
	case Voided:
		return []event.Data{voided(s, intent, "requested")}
	case Captured:
		switch {
		case intent == s.Payment.Intent:
			return takenElsewhere(*s, o, c.At)
		case !s.Payment.IsCaptured:
			return takenByFormer(s, intent, o, c.At)
		default:
			// Both were captured by hand. This one holds nothing any more; what it
			// took is none of the order's, and a break of the next reconciliation.
			return []event.Data{voided(s, intent, "captured")}
		}
	}
	return nil
}

func voided(s *order.State, intent, cause string) order.Voided {
	v := order.Voided{Intent: intent, Released: s.Payment.Authorised, Currency: s.Placed.Currency, Cause: cause}
	for _, f := range s.Payment.Former {
		if f.Intent == intent {
			v.Released = f.Authorised
		}
	}
	return v
}

func capture(s *order.State, c Record) []event.Data {
	p := s.Payment
	switch o := c.Outcome.(type) {
	case Captured:
		if o.Amount != p.Pending.Amount {
			return takenElsewhere(*s, o, c.At)
		}
		return []event.Data{captured(s, o, shipped(s), c.At)}
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
func lapsed(s *order.State, intent string) []event.Data {
	p := s.Payment
	facts := []event.Data{voided(s, intent, "lapsed")}
	if intent != p.Intent && p.Intent != "" {
		return facts // it had been replaced
	}
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

// takenElsewhere is a capture that we did not ask for like that: by hand at the
// processor, or of another amount. What goods stand for is earned, the rest is
// the buyer's.
func takenElsewhere(s order.State, o Captured, at time.Time) []event.Data {
	var facts []event.Data
	if s.Payment.Authorised == 0 || s.Payment.Voided { // by the books nothing is held
		facts = append(facts, order.Authorised{Intent: s.Payment.Intent, Charge: o.Charge, Amount: o.Amount, Currency: s.Placed.Currency})
		s = order.After(s, facts...)
	}
	var a order.Allocation
	if s.Standing == order.Dispatch {
		if a = shipped(&s); a.Total() > o.Amount {
			a = a.Slice(o.Amount, s.Placed.Step())
			facts = append(facts, captured(&s, o, a, at), order.CaptureFailed{Intent: s.Payment.Intent, Code: "captured-less",
				Reason: fmt.Sprintf("%s was captured, less than the %s of the shipment",
					money.Format(o.Amount, s.Placed.Currency), money.Format(shipped(&s).Total(), s.Placed.Currency))})
			return facts
		}
	}
	return append(facts, captured(&s, o, a, at))
}

// takenByFormer is a capture, by hand, of an intent that another one had replaced.
// It holds nothing any more and has the money: so it takes its place back, and the
// one that replaced it is given up.
func takenByFormer(s *order.State, intent string, o Captured, at time.Time) []event.Data {
	facts := []event.Data{voided(s, intent, "captured"),
		order.Authorised{Intent: intent, Charge: o.Charge, Amount: o.Amount, Currency: s.Placed.Currency}}
	return append(facts, takenElsewhere(order.After(*s, facts...), o, at)...)
}

// captured says that o was taken, and a of it earned.
func captured(s *order.State, o Captured, a order.Allocation, at time.Time) order.Captured {
	charge := s.Payment.Charge
	if o.Charge != "" {
		charge = o.Charge
	}
	return order.Captured{
		Intent: s.Payment.Intent, Charge: charge, Transaction: o.Transaction,
		Shop: s.Placed.Shop, Processor: s.Placed.Processor, Currency: s.Placed.Currency, Jurisdiction: s.Placed.Jurisdiction,
		Principal: s.Placed.Principal,
		Amount:    o.Amount, Authorised: s.Payment.Authorised, Allocation: a, Unearned: o.Amount - a.Total(), ProcessorFee: o.ProcessorFee,
		SettleAfter: settleAfter(s, at),
	}
}

func refunding(s *order.State, c Record) []event.Data {
	r := *s.Refund(s.Payment.Pending.Refund)
	switch o := c.Outcome.(type) {
	case Refunded:
		if o.Pending {
			return []event.Data{refundPending(s, r, o.RefundID)}
		}
		return paidBack(*s, r, SeenRefund{ID: o.RefundID, Transaction: o.Transaction, Returned: o.Returned, Code: o.Code}, c.At)
	case Failed:
		return []event.Data{order.RefundFailed{Refund: r.ID, Code: o.Code, Reason: o.Reason,
			Unearned: r.Unearned, RetryAt: returnAgain(s, r, c.At)}}
	}
	return nil
}

func settlement(s *order.State, c Record) []event.Data {
	r := s.Payment.Pending
	switch o := c.Outcome.(type) {
	case Transferred:
		return []event.Data{order.Settled{Transfer: o.Transfer, Transaction: o.Transaction, Shop: s.Placed.Shop, Currency: s.Placed.Currency,
			Amount: r.Amount, Payable: r.Payable, Available: r.Available, Netted: r.Netted}}
	case Failed:
		return []event.Data{order.SettlementFailed{Code: o.Code, Reason: o.Reason, RetryAt: c.At.Add(refusedAgain(s.Payment.Refusals))}}
	}
	return nil
}

// reversal that is refused leaves the shop owing: its account has not as much.
func reversal(s *order.State, o Outcome) []event.Data {
	r := s.Payment.Pending
	switch o := o.(type) {
	case Reversed:
		return []event.Data{order.Reversed{Transfer: r.Transfer, Reversal: o.Reversal, Transaction: o.Transaction,
			Shop: s.Placed.Shop, Currency: s.Placed.Currency, Amount: r.Amount}}
	case Failed:
		return []event.Data{carried(s, o.Code, o.Reason)}
	}
	return nil
}

func disputing(s *order.State, c Record) []event.Data {
	id := s.Payment.Pending.Dispute
	switch o := c.Outcome.(type) {
	case Disputed:
		if o.Dispute.ID != id {
			return nil
		}
		var facts []event.Data
		if earnable(s) {
			facts = append(facts, earned(s, c.At)) // before the bank takes of it what was shipped
		}
		facts = append(facts, disputeNews(order.After(*s, facts...), o.Dispute)...)
		after := order.After(*s, facts...)
		if d := after.Dispute(id); s.Payment.Pending.Step == order.Contest && !d.Answered {
			switch {
			case o.Dispute.Submitted:
				facts = append(facts, order.Contested{Dispute: id})
			case o.Dispute.Result != "":
				facts = append(facts, order.ContestFailed{Dispute: id, Code: "dispute-over",
					Reason: fmt.Sprintf("the dispute was %s before it was answered", o.Dispute.Result)})
			}
		}
		// An acceptance is answered by the end of the dispute, nothing less.
		if order.After(*s, facts...).Payment.Pending != nil {
			return nil
		}
		return facts
	case Failed:
		return []event.Data{order.ContestFailed{Dispute: id, Code: o.Code, Reason: o.Reason}}
	}
	return nil
}
