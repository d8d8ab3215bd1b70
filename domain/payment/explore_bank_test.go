package payment_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"

	"kicau/domain/money"
	"kicau/domain/oracle"
	"kicau/domain/order"
	"kicau/domain/payment"
)

// The processor in small: what is true of one order's money there. It may do what
// Stripe may, at any time, whatever we think. What it shows of a movement of money
// may be later than the status that the movement belongs to.
type bank struct {
	step      money.Minor
	ids       int
	overlaps  bool // banks ask back what was refunded, too
	intents   []*bankIntent
	transfers []*bankTransfer
	keys      map[string]payment.Outcome // answers by idempotency key
}

type bankIntent struct {
	id, charge, status, key, customer string
	tried                             string // key of the newest confirmation
	code                              string // of the newest decline
	amount, taken, fee                money.Minor
	net                               money.Minor // what it brought to our balance, all in all
	ends                              time.Time
	refunds                           []*payment.SeenRefund
	disputes                          []*bankDispute
}

// Statuses of an intent.
const (
	needsCard, needsAction, holds, tookIt, gone = "requires_payment_method", "requires_action", "requires_capture", "succeeded", "canceled"
)

type bankDispute struct {
	payment.SeenDispute
	shown int // movements that are listed already
}

type bankTransfer struct {
	id, charge, key  string
	amount, reversed money.Minor
	reversals        map[string]string // by key
}

func (b *bank) id(kind string) string { b.ids++; return fmt.Sprintf("%s_%d", kind, b.ids) }

func (b *bank) intent(id string) *bankIntent {
	for _, i := range b.intents {
		if i.id == id {
			return i
		}
	}
	return nil
}

// out is what buyers and banks have of the charge, or are about to have.
func (i *bankIntent) out() (sum money.Minor) {
	for _, r := range i.refunds {
		if r.Status != payment.RefundFailed {
			sum += r.Amount
		}
	}
	for _, d := range i.disputes {
		sum += d.held()
	}
	return sum
}

func (i *bankIntent) inDispute() bool {
	return slices.ContainsFunc(i.disputes, func(d *bankDispute) bool { return !d.Inquiry && d.Result == "" })
}

func (d *bankDispute) held() (sum money.Minor) {
	for _, m := range d.Movements {
		sum -= m.Amount
	}
	return sum
}

func (i *bankIntent) outcome() payment.Outcome {
	switch i.status {
	case needsCard:
		if i.code != "" {
			return payment.Declined{Intent: i.id, Code: "card_declined", DeclineCode: i.code}
		}
		return payment.ActionRequired{Intent: i.id, Action: "card"}
	case needsAction:
		return payment.ActionRequired{Intent: i.id, Action: "authenticate"}
	case holds:
		ends := i.ends
		o := payment.Authorised{Intent: i.id, Charge: i.charge, Amount: i.amount, ExpiresAt: &ends, Customer: i.customer}
		if i.customer != "" {
			o.Method = "pm_kept"
		}
		return o
	case tookIt:
		return payment.Captured{Intent: i.id, Charge: i.charge, Transaction: "txn_" + i.id, Amount: i.taken, ProcessorFee: i.fee}
	}
	return payment.Voided{Intent: i.id}
}

// shows all that reading the intent shows now.
func (b *bank) shows(i *bankIntent) payment.Seen {
	seen := payment.Seen{Intent: i.id, Outcome: i.outcome()}
	if i.status != tookIt {
		return seen
	}
	for _, r := range i.refunds {
		seen.Refunds = append(seen.Refunds, *r)
	}
	for _, d := range i.disputes {
		seen.Disputes = append(seen.Disputes, d.seen())
	}
	return seen
}

func (d *bankDispute) seen() payment.SeenDispute {
	s := d.SeenDispute
	s.Movements = slices.Clone(d.Movements[:d.shown])
	return s
}

// perform is what becomes of a call; refuse: for no reason that is known here.
func (b *bank) perform(e payment.Effect, now time.Time, r *rand.Rand, refuse bool) payment.Outcome {
	old := now.Sub(e.RequestedAt) >= 23*time.Hour
	if e.Tries > 0 || old {
		if o := b.look(e, old); o != nil {
			return o
		}
	}
	once := e.Step != order.Authorise && e.Step != order.Refunding && e.Step != order.Settle && e.Step != order.Reverse
	if old && !once {
		return payment.Failed{Code: "key-expired"}
	}
	if before, ok := b.keys[e.Key]; ok && !old {
		if e.Step == order.Authorise || e.Step == order.Contest || e.Step == order.Accept {
			if now := b.look(e, true); now != nil { // what is repeated is the answer of then; what counts is now
				return now
			}
		}
		return before
	}
	if r.IntN(40) == 0 { // an answer that is kept as a 500, done or not
		if r.IntN(2) == 0 {
			b.do(e, now, r, refuse)
		}
		b.keys[e.Key] = payment.Unknown{Reason: "500"}
		return b.keys[e.Key]
	}
	o := b.do(e, now, r, refuse)
	b.keys[e.Key] = o
	return o
}

func (b *bank) look(e payment.Effect, old bool) payment.Outcome {
	i := b.intent(e.Intent)
	switch e.Step {
	case order.Authorise:
		if i != nil && i.tried != e.Key && i.status == needsCard {
			if old {
				return payment.Declined{Intent: i.id, Code: "key-expired"}
			}
			return nil
		}
		for _, x := range b.intents {
			if x.key == e.Key {
				i = x
			}
		}
		if i == nil {
			return nil
		}
		return b.authorisation(i)
	case order.Void, order.Capture:
		switch {
		case i.status == tookIt || i.status == gone:
			return i.outcome()
		case e.Step == order.Capture && i.status != holds:
			return payment.Failed{Code: "not-authorised"}
		}
	case order.Refunding:
		for _, r := range i.refunds {
			if r.Refund == e.Refund {
				return refundAnswer(r)
			}
		}
	case order.Settle:
		for _, t := range b.transfers {
			if t.key == e.Key {
				return payment.Transferred{Transfer: t.id}
			}
		}
	case order.Reverse:
		if id := b.transfer(e.Transfer).reversals[e.Key]; id != "" {
			return payment.Reversed{Reversal: id}
		}
	case order.Contest, order.Accept:
		if d := b.dispute(e.Dispute); d.Result != "" || e.Step == order.Contest && d.Submitted {
			return payment.Disputed{Dispute: d.seen()}
		}
	}
	return nil
}

func (b *bank) authorisation(i *bankIntent) payment.Outcome {
	if i.status == gone {
		return payment.Declined{Intent: i.id, Code: "canceled"}
	}
	return i.outcome()
}

func refundAnswer(r *payment.SeenRefund) payment.Outcome {
	if r.Status == payment.RefundFailed && (r.Transaction == "" || r.Returned == "") {
		return payment.Failed{Code: r.Code}
	}
	return payment.Refunded{RefundID: r.ID, Transaction: r.Transaction, Returned: r.Returned, Code: r.Code, Pending: r.Status == payment.RefundPending}
}

func (b *bank) transfer(id string) *bankTransfer {
	return b.transfers[slices.IndexFunc(b.transfers, func(t *bankTransfer) bool { return t.id == id })]
}

func (b *bank) dispute(id string) *bankDispute {
	for _, i := range b.intents {
		for _, d := range i.disputes {
			if d.ID == id {
				return d
			}
		}
	}
	return nil
}

// do what is asked, for the first time.
func (b *bank) do(e payment.Effect, now time.Time, r *rand.Rand, refuse bool) payment.Outcome {
	i, no := b.intent(e.Intent), payment.Failed{Code: "refused"}
	if refuse && e.Step != order.Void {
		return no
	}
	switch e.Step {
	case order.Authorise:
		return b.authorise(i, e, now, r)
	case order.Void:
		if i.status != tookIt {
			i.status = gone
		}
		return i.outcome()
	case order.Capture:
		if i.status != holds {
			return b.look(e, true)
		}
		i.capture(e.Amount)
		return i.outcome()
	case order.Refunding:
		if i.inDispute() || i.status != tookIt || e.Amount > i.taken-i.out() {
			return no
		}
		return refundAnswer(b.refund(i, e.Amount, e.Refund, r))
	case order.Settle:
		left := e.Amount
		for _, i := range b.intents {
			if e.Charge != "" && i.charge == e.Charge {
				left = i.taken
			}
		}
		for _, t := range b.transfers {
			if e.Charge != "" && t.charge == e.Charge {
				left -= t.amount - t.reversed
			}
		}
		if e.Amount > left {
			return payment.Failed{Code: "source_insufficient"}
		}
		t := &bankTransfer{id: b.id("tr"), charge: e.Charge, key: e.Key, amount: e.Amount, reversals: map[string]string{}}
		b.transfers = append(b.transfers, t)
		return payment.Transferred{Transfer: t.id}
	case order.Reverse:
		t := b.transfer(e.Transfer)
		if e.Amount > t.amount-t.reversed {
			return payment.Failed{Code: "amount_too_large"}
		}
		t.reversed += e.Amount
		t.reversals[e.Key] = b.id("trr")
		return payment.Reversed{Reversal: t.reversals[e.Key]}
	case order.Contest:
		d := b.dispute(e.Dispute)
		if d.Result != "" || d.Submitted {
			return payment.Disputed{Dispute: d.seen()}
		}
		if d.EvidenceDue == nil || !now.Before(*d.EvidenceDue) {
			return no
		}
		d.Submitted = true
		if !d.Inquiry {
			b.move(d, 0, 150)
		}
		return payment.Disputed{Dispute: d.seen()}
	}
	d := b.dispute(e.Dispute)
	if d.Result == "" && !d.Submitted {
		d.Result = order.Lost
		if d.Inquiry {
			d.Result = order.Withdrawn
		}
	} else if d.Result == "" {
		return no
	}
	return payment.Disputed{Dispute: d.seen()}
}

func (b *bank) authorise(i *bankIntent, e payment.Effect, now time.Time, r *rand.Rand) payment.Outcome {
	if i == nil {
		i = &bankIntent{id: b.id("pi"), status: needsCard, key: e.Key, amount: e.Amount, customer: e.Customer}
		b.intents = append(b.intents, i)
		if e.KeepCard {
			i.customer = "cus_1"
		}
	}
	i.tried = e.Key
	if i.status != needsCard && i.status != needsAction || e.PaymentMethod == "" {
		return b.authorisation(i)
	}
	switch n := r.IntN(10); {
	case n < 7:
		b.hold(i, now)
	case n < 8:
		i.status = needsAction
	default:
		i.status, i.code = needsCard, []string{"insufficient_funds", "incorrect_cvc"}[n-8]
	}
	return b.authorisation(i)
}

func (b *bank) hold(i *bankIntent, now time.Time) {
	i.status, i.charge, i.ends = holds, b.id("ch"), now.AddDate(0, 0, 7)
}

func (i *bankIntent) capture(amount money.Minor) {
	i.status, i.taken, i.fee = tookIt, amount, amount/33+20
	i.net += i.taken - i.fee
}

// refund an amount, which may wait, or fail at once.
func (b *bank) refund(i *bankIntent, amount money.Minor, ours uuid.UUID, r *rand.Rand) *payment.SeenRefund {
	x := &payment.SeenRefund{ID: b.id("re"), Refund: ours, Amount: amount, Status: payment.RefundPending}
	i.refunds = append(i.refunds, x)
	if n := r.IntN(12); n < 8 {
		b.settleRefund(i, x, true)
	} else if n == 8 {
		b.settleRefund(i, x, false)
	}
	return x
}

// settleRefund pays a refund that waits or takes one back that was paid; ok: or not.
func (b *bank) settleRefund(i *bankIntent, x *payment.SeenRefund, ok bool) {
	switch {
	case x.Status == payment.RefundPending && ok:
		x.Status, x.Transaction = payment.RefundSucceeded, b.id("txn")
		i.net -= x.Amount
	case x.Status == payment.RefundPending:
		x.Status, x.Code = payment.RefundFailed, "declined"
	case x.Status == payment.RefundSucceeded && !ok:
		x.Status, x.Code, x.Returned = payment.RefundFailed, "lost_or_stolen_card", b.id("txn")
		i.net += x.Amount
	}
}

func (b *bank) open(i *bankIntent, amount money.Minor, inquiry bool, due *time.Time) {
	d := &bankDispute{SeenDispute: payment.SeenDispute{ID: b.id("dp"), Charge: i.charge, Amount: amount, Reason: "fraudulent", Inquiry: inquiry, EvidenceDue: due}}
	i.disputes = append(i.disputes, d)
	if !inquiry {
		b.move(d, -amount, 150)
		if due == nil {
			d.Result = order.Lost // it cannot be answered
		}
	}
}

// move money because of a dispute: to us, or from us.
func (b *bank) move(d *bankDispute, amount, fee money.Minor) {
	d.Movements = append(d.Movements, payment.Movement{Transaction: b.id("txn"), Amount: amount, Fee: fee})
	for _, i := range b.intents {
		if slices.Contains(i.disputes, d) {
			i.net += amount - fee
		}
	}
}

// decide a dispute, or decide it otherwise than before.
func (b *bank) decide(i *bankIntent, d *bankDispute, r *rand.Rand) {
	switch {
	case d.Inquiry && r.IntN(2) == 0: // it comes to nothing
		d.Result = order.Withdrawn
	case d.Inquiry: // it becomes a chargeback, even when it was over
		if amount := min(d.Amount, b.disputable(i)); amount > 0 {
			d.Inquiry, d.Result, d.Submitted, d.Amount = false, "", false, amount
			b.move(d, -amount, 150)
		}
	case d.held() > 0 && (r.IntN(2) == 0 || d.Result == order.Won): // won, in part or whole, or more of it
		amount := d.held()
		if r.IntN(3) == 0 {
			amount = max(b.step, b.part(amount, r))
		}
		d.Result = order.Won
		b.move(d, amount, 0)
		if d.Submitted && r.IntN(2) == 0 {
			b.move(d, 0, -150)
		}
	case d.Result == "":
		d.Result = order.Lost
	}
}

func (b *bank) disputable(i *bankIntent) money.Minor {
	if b.overlaps {
		return i.taken
	}
	return i.taken - i.out()
}

// part of an amount, in whole steps.
func (b *bank) part(of money.Minor, r *rand.Rand) money.Minor {
	return money.Minor(r.Int64N(int64(of/b.step)+1)) * b.step
}

// has is what the processor's own book says of an order, but for what is none of it.
func (b *bank) has(ours string) (t oracle.Theirs, balance money.Minor) {
	for _, i := range b.intents {
		if i.status == holds {
			t.Held += i.amount
		}
		if i.status != tookIt || i.id != ours {
			continue
		}
		t.Captures++
		t.Captured += i.taken
		balance += i.net
		for _, r := range i.refunds {
			switch r.Status {
			case payment.RefundSucceeded:
				t.Refunded += r.Amount
			case payment.RefundPending:
				t.Pending += r.Amount
			}
		}
		for _, d := range i.disputes {
			t.Disputed += d.held()
		}
	}
	for _, x := range b.transfers {
		t.Transferred += x.amount - x.reversed
	}
	return t, balance - t.Transferred
}
