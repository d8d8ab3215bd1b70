package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/order"
	"kicau/domain/payment"
)

// teller is one process's client of the bank.
type teller struct {
	w *world
	p *process
}

var _ command.Payments = teller{}

// platform is the platform's account at the bank.
const platform = "acct_platform"

func (t teller) Account(context.Context) (string, error) { return platform, nil }

func (t teller) PayURL(context.Context, string, string) (string, error) {
	return "", errors.New("sim: nobody is shown a page")
}

// resendUntil is how old an intention may be whose key is sent.
const resendUntil = 23 * time.Hour

// Perform an effect as the client of the processor must: what was sent before is
// looked up first, and a key is not sent for longer than the processor keeps it.
func (t teller) Perform(_ context.Context, e payment.Effect) payment.Outcome {
	w := t.w
	w.oracle.Asked(e)
	age := w.k.now.Sub(e.RequestedAt)
	if e.Tries > 0 || age >= resendUntil {
		w.sometimes("a call was looked up")
		if !t.get("look " + e.Key) {
			return payment.Unknown{Reason: "no answer"}
		}
		if o := t.look(e); o != nil {
			return o
		}
	}
	if age >= resendUntil {
		if e.Step != order.Capture && e.Step != order.Void {
			w.sometimes("a key had expired")
			return payment.Failed{Code: "key-expired", Reason: "the processor shows nothing of this call"}
		}
		e.Key = fmt.Sprintf("%s:again%d", e.Key, age/resendUntil)
	}
	return t.send(e)
}

// get reads something; false: no answer came.
func (t teller) get(what string) bool {
	t.w.travel(t.p)
	if meets := t.w.faults.next(atLook); meets != none {
		t.w.met(meets, what)
		t.w.k.pause(callTimeout)
		return false
	}
	t.w.travel(t.p)
	return true
}

// callTimeout is when the client gives a call up.
const callTimeout = 30 * time.Second

func (t teller) send(e payment.Effect) payment.Outcome {
	w := t.w
	w.travel(t.p)
	meets := w.faults.next(atCall)
	if meets != none && meets != diesBefore && meets != diesAfter {
		w.met(meets, e.Key)
	}
	switch meets {
	case callLost:
		w.k.pause(callTimeout)
		return payment.Unknown{Reason: "timeout"}
	case busy409, limited429:
		return payment.Unknown{Reason: string(meets)}
	case diesBefore:
		w.die(t.p, meets)
	}
	w.k.tell("%s asks %s %s %d", t.p.name, e.Step, e.Key, e.Amount)
	params := fmt.Sprint(e.Amount, e.Currency, e.PaymentMethod, e.Intent, e.KeepCard, e.Customer, e.Charge, e.Refund, e.Destination, e.Transfer, e.Dispute, e.Evidence)
	answer, err := w.bank.under(e.Key, params, meets, func() (any, *refused) { return w.bank.do(e) })
	switch meets {
	case callAnswerLost:
		w.k.pause(callTimeout)
		return payment.Unknown{Reason: "timeout"}
	case diesAfter:
		w.die(t.p, meets)
	}
	w.travel(t.p)
	return t.outcome(e, answer, err)
}

// do carries a call out.
func (b *bank) do(e payment.Effect) (any, *refused) {
	switch e.Step {
	case order.Authorise:
		if e.Intent != "" {
			i := b.intents[e.Intent]
			if i == nil {
				return nil, &refused{code: "resource_missing"}
			}
			i.key = e.Key
			return b.confirm(i, e.PaymentMethod)
		}
		return b.create(e)
	case order.Void:
		return b.cancel(e.Intent)
	case order.Capture:
		return b.capture(e.Intent, e.Amount)
	case order.Refunding:
		return b.refund(e.Intent, e.Amount, e.Refund)
	case order.Settle:
		return b.transfer(e)
	case order.Reverse:
		return b.reverse(e)
	case order.Contest:
		return b.submit(e.Dispute)
	case order.Accept:
		return b.accept(e.Dispute)
	}
	return nil, &refused{code: "parameter_unknown"}
}

// outcome of an answer. What an object says now counts for more than what was
// answered: an answer may be one of an hour ago.
func (t teller) outcome(e payment.Effect, answer any, err *refused) payment.Outcome {
	switch {
	case err != nil && err.open:
		return payment.Unknown{Reason: err.String()}
	case err != nil && e.Step == order.Authorise && (err.declined || err.intent != ""):
		if i := t.w.bank.intents[err.intent]; i != nil && !err.declined {
			return authorisation(i)
		}
		return payment.Declined{Intent: err.intent, Code: err.code, DeclineCode: err.decline}
	case err != nil && (e.Step == order.Void || e.Step == order.Capture):
		if o := t.look(e); o != nil {
			return o
		}
		if e.Step == order.Void {
			return payment.Unknown{Reason: err.String()}
		}
		return payment.Failed{Code: err.code, Reason: "refused"}
	case err != nil:
		return payment.Failed{Code: err.code, Reason: "refused"}
	}
	switch a := answer.(type) {
	case *intent:
		if e.Step == order.Authorise {
			return authorisation(a)
		}
		return t.w.bank.outcome(a)
	case *refund:
		return refundOutcome(a)
	case *transfer:
		return payment.Transferred{Transfer: a.id, Transaction: "txn_" + a.id}
	case reversal:
		return payment.Reversed{Reversal: a.id, Transaction: "txn_" + a.id}
	case *dispute:
		return payment.Disputed{Dispute: a.seen()}
	}
	return payment.Unknown{Reason: "an answer of another kind"}
}

func (d *dispute) seen() payment.SeenDispute {
	seen := d.SeenDispute
	seen.Movements = slices.Clone(d.Movements)
	if d.Submitted {
		seen.EvidenceDue = nil
	}
	return seen
}

func refundOutcome(r *refund) payment.Outcome {
	if r.status == payment.RefundFailed {
		return payment.Failed{Code: r.code, Reason: "the refund failed"}
	}
	return payment.Refunded{RefundID: r.id, Transaction: r.txn, Pending: r.status == payment.RefundPending}
}

func authorisation(i *intent) payment.Outcome {
	if i.status == canceled {
		return payment.Declined{Intent: i.id, Code: "canceled"}
	}
	return seenIntent(i)
}

func (b *bank) outcome(i *intent) payment.Outcome { return seenIntent(i) }

func seenIntent(i *intent) payment.Outcome {
	switch i.status {
	case wantsCard:
		if i.code != "" {
			return payment.Declined{Intent: i.id, Code: i.code, DeclineCode: i.decline}
		}
		return payment.ActionRequired{Intent: i.id, Action: "card"}
	case wantsAction:
		return payment.ActionRequired{Intent: i.id, Action: "authenticate"}
	case wantsCapture:
		expires := i.expires
		o := payment.Authorised{Intent: i.id, Charge: i.charge, Amount: i.amount, ExpiresAt: &expires, Brand: "visa", Last4: "4242"}
		if i.customer != "" {
			o.Customer, o.Method = i.customer, i.card
		}
		return o
	case succeeded:
		return payment.Captured{Intent: i.id, Charge: i.charge, Transaction: i.txn, Amount: i.captured, ProcessorFee: i.fee}
	}
	return payment.Voided{Intent: i.id}
}

// look says what became of a call; nil: it was not done.
func (t teller) look(e payment.Effect) payment.Outcome {
	b := t.w.bank
	switch e.Step {
	case order.Authorise:
		for _, i := range b.ordered {
			if i.key == e.Key {
				return authorisation(i)
			}
		}
	case order.Void, order.Capture:
		i := b.intents[e.Intent]
		if i == nil {
			return payment.Failed{Code: "resource_missing"}
		}
		if i.status == succeeded || i.status == canceled {
			return seenIntent(i)
		}
		if e.Step == order.Capture && i.status != wantsCapture {
			return payment.Failed{Code: "not-authorised", Reason: string(i.status)}
		}
	case order.Refunding:
		for _, r := range b.intents[e.Intent].refunds {
			if r.ours == e.Refund {
				return refundOutcome(r)
			}
		}
	case order.Settle:
		for _, tr := range b.moved {
			if tr.key == e.Key {
				return payment.Transferred{Transfer: tr.id, Transaction: "txn_" + tr.id}
			}
		}
	case order.Reverse:
		for _, tr := range b.moved {
			for _, r := range tr.reversals {
				if r.key == e.Key {
					return payment.Reversed{Reversal: r.id, Transaction: "txn_" + r.id}
				}
			}
		}
	case order.Contest, order.Accept:
		if _, d := b.disputed(e.Dispute); d != nil && (d.Submitted || d.Result != "") {
			return payment.Disputed{Dispute: d.seen()}
		}
	}
	return nil
}

// Read all that the bank shows of an intent.
func (t teller) Read(_ context.Context, id string) (uuid.UUID, payment.Seen) {
	if !t.get("read " + id) {
		return uuid.Nil, payment.Seen{Intent: id, Outcome: payment.Unknown{Reason: "no answer"}}
	}
	i := t.w.bank.intents[id]
	if i == nil {
		return uuid.Nil, payment.Seen{Intent: id, Outcome: payment.Failed{Code: "resource_missing"}}
	}
	seen := payment.Seen{Intent: id, Outcome: seenIntent(i), Warnings: slices.Clone(i.warnings)}
	for _, r := range i.refunds {
		seen.Refunds = append(seen.Refunds, payment.SeenRefund{ID: r.id, Refund: r.ours, Amount: r.amount, Status: r.status,
			Transaction: r.txn, Returned: r.back, Code: r.code})
	}
	for _, d := range i.disputes {
		seen.Disputes = append(seen.Disputes, d.seen())
	}
	return i.order, seen
}
