package sim

import (
	"time"

	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/domain/payment"
)

// afterCapture is what some cards bring with them.
func (b *bank) afterCapture(i *intent) {
	soon := func(what string, do func()) { b.k.after(between(b.r, time.Minute, 20*24*time.Hour), what, do) }
	switch i.card {
	case cardDisputes:
		soon("dispute", func() { b.dispute(i, i.captured, "fraudulent", false) })
	case cardInquires:
		soon("inquiry", func() { b.dispute(i, i.captured, "general", true) })
	case cardManyDisputes:
		soon("first dispute", func() { b.dispute(i, (i.captured+1)/2, "product_not_received", false) })
		soon("second dispute", func() { b.dispute(i, i.captured/2, "product_unacceptable", false) })
	case cardWarns:
		soon("fraud warning", func() {
			i.warnings = append(i.warnings, payment.SeenWarning{ID: b.id("issfr"), Charge: i.charge, Kind: "made_with_stolen_card", Actionable: i.refunded() == 0})
			b.happened(i, "radar.early_fraud_warning.created")
			if oneIn(b.r, 2) {
				soon("dispute after the warning", func() { b.dispute(i, i.captured, "fraudulent", false) })
			}
		})
	}
}

// answerTime is how long a shop has to answer a dispute.
const answerTime = 9 * 24 * time.Hour

// dispute what is left of a payment.
func (b *bank) dispute(i *intent, amount money.Minor, reason string, inquiry bool) {
	amount = min(amount, i.captured-i.refunded()-i.outOfReach())
	if amount <= 0 {
		return // a payment that was refunded whole cannot be disputed
	}
	due := b.k.now.Add(answerTime)
	d := &dispute{SeenDispute: payment.SeenDispute{ID: b.id("dp"), Charge: i.charge, Amount: amount, Reason: reason, Inquiry: inquiry, EvidenceDue: &due}}
	i.disputes = append(i.disputes, d)
	if !inquiry {
		b.withdraw(i, d)
	}
	b.k.tell("the buyer's bank disputes %d of %s (%s)", amount, i.id, reason)
	b.happened(i, "charge.dispute.created")
	b.k.at(due, "time to answer a dispute is over", func() { b.notAnswered(i, d, due) })
}

func (b *bank) withdraw(i *intent, d *dispute) {
	d.Movements = append(d.Movements, payment.Movement{Transaction: b.id("txn"), Amount: -d.Amount, Fee: disputeFee})
	b.balance[i.currency] -= d.Amount + disputeFee
}

func (b *bank) notAnswered(i *intent, d *dispute, due time.Time) {
	if d.Submitted || d.Result != "" || !d.EvidenceDue.Equal(due) {
		return
	}
	if d.Inquiry && oneIn(b.r, 2) {
		b.escalate(i, d)
		return
	}
	b.decide(i, d, map[bool]order.DisputeResult{true: order.Withdrawn, false: order.Lost}[d.Inquiry])
}

// escalate an inquiry: now the money goes.
func (b *bank) escalate(i *intent, d *dispute) {
	d.Amount = min(d.Amount, i.captured-i.refunded()-i.outOfReach())
	if d.Amount <= 0 {
		b.decide(i, d, order.Withdrawn)
		return
	}
	due := b.k.now.Add(answerTime)
	d.Inquiry, d.Submitted, d.EvidenceDue = false, false, &due
	b.withdraw(i, d)
	b.happened(i, "charge.dispute.updated")
	b.k.at(due, "time to answer a dispute is over", func() { b.notAnswered(i, d, due) })
}

// submit evidence; the bank decides some weeks later.
func (b *bank) submit(id string) (any, *refused) {
	i, d := b.disputed(id)
	switch {
	case d == nil:
		return nil, &refused{code: "resource_missing"}
	case d.Result != "" || d.Submitted || b.k.now.After(*d.EvidenceDue):
		return nil, &refused{code: "dispute_not_open"}
	}
	d.Submitted = true
	if !d.Inquiry {
		b.charge(i, d, disputeFee)
	}
	b.happened(i, "charge.dispute.updated")
	b.k.after(between(b.r, 24*time.Hour, 30*24*time.Hour), "a bank decides", func() {
		switch {
		case d.Inquiry && oneIn(b.r, 3):
			b.escalate(i, d)
		case d.Inquiry:
			b.decide(i, d, order.Withdrawn)
		default:
			b.decide(i, d, pick(b.r, order.Won, order.Lost))
		}
	})
	return d, nil
}

// accept a dispute: it is lost.
func (b *bank) accept(id string) (any, *refused) {
	i, d := b.disputed(id)
	switch {
	case d == nil:
		return nil, &refused{code: "resource_missing"}
	case d.Result != "":
		return nil, &refused{code: "dispute_not_open"}
	}
	b.decide(i, d, map[bool]order.DisputeResult{true: order.Withdrawn, false: order.Lost}[d.Inquiry])
	return d, nil
}

func (b *bank) disputed(id string) (*intent, *dispute) {
	for _, i := range b.ordered {
		for _, d := range i.disputes {
			if d.ID == id {
				return i, d
			}
		}
	}
	return nil, nil
}
