package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/google/uuid"

	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/domain/payment"
)

// bank is the payment processor of a run: what it holds, and what its rules are.
// It behaves as the reference says of Stripe: keys live for a day and an answer
// is saved under them whatever it was, an intent is captured once, what it holds
// runs out, refunds and transfers have limits, disputes take money and a fee.
type bank struct {
	k       *kernel
	r       *rand.Rand // fates
	intents map[string]*intent
	ordered []*intent // oldest first
	keys    map[string]savedAnswer
	moved   []*transfer
	paidIn  map[string]money.Minor // by connected account and currency
	balance map[money.Currency]money.Minor
	objects int
	news    func(n notice) // tells the world that something happened to an intent
	// audit is asked after everything that changes an intent.
	audit func(*intent)
}

// notice is a signal that something happened to an intent.
type notice struct {
	n      int
	intent string
	what   string
	at     time.Time
}

type savedAnswer struct {
	params string
	at     time.Time
	answer any
	err    *refused
}

// refused is an answer of the processor that is no success.
type refused struct {
	open          bool // says nothing about what was done
	declined      bool
	code, decline string
	intent        string
}

func (r refused) String() string { return strings.TrimSpace(r.code + " " + r.decline) }

type status string

const (
	wantsCard    status = "requires_payment_method"
	wantsAction  status = "requires_action"
	wantsCapture status = "requires_capture"
	succeeded    status = "succeeded"
	canceled     status = "canceled"
)

type intent struct {
	id, key, charge, txn string
	order                uuid.UUID
	currency             money.Currency
	amount, captured     money.Minor
	fee                  money.Minor
	status               status
	card, customer       string
	keep, offSession     bool
	expires              time.Time
	code, decline        string
	captures             int
	changed              time.Time
	refunds              []*refund
	disputes             []*dispute
	warnings             []payment.SeenWarning
}

type refund struct {
	id, txn, back, code string
	ours                uuid.UUID
	amount              money.Minor
	status              payment.RefundStatus
}

type dispute struct {
	payment.SeenDispute
	decideAt time.Time
}

type transfer struct {
	id, key, account string
	order            uuid.UUID
	charge           string
	currency         money.Currency
	amount           money.Minor
	reversals        []reversal
}

type reversal struct {
	id, key string
	amount  money.Minor
}

func (t *transfer) reversed() (sum money.Minor) {
	for _, r := range t.reversals {
		sum += r.amount
	}
	return sum
}

func newBank(k *kernel) *bank {
	return &bank{k: k, r: k.chance("bank"), intents: map[string]*intent{}, keys: map[string]savedAnswer{},
		paidIn: map[string]money.Minor{}, balance: map[money.Currency]money.Minor{}}
}

func (b *bank) id(prefix string) string {
	b.objects++
	return fmt.Sprintf("%s_%06d", prefix, b.objects)
}

// keyLife is how long answers are kept under their keys.
const keyLife = 24 * time.Hour

// under makes a call under its key: once.
func (b *bank) under(key, params string, meets fault, do func() (any, *refused)) (any, *refused) {
	for k, s := range b.keys {
		if b.k.now.Sub(s.at) >= keyLife {
			delete(b.keys, k)
		}
	}
	if saved, again := b.keys[key]; again {
		if saved.params != params {
			return nil, &refused{open: true, code: "idempotency_error"}
		}
		return saved.answer, saved.err
	}
	var answer any
	var err *refused
	if meets != fails500Before {
		answer, err = do()
	}
	if meets == fails500Before || meets == fails500After {
		answer, err = nil, &refused{open: true, code: "api_error"}
	}
	b.keys[key] = savedAnswer{params, b.k.now, answer, err}
	return answer, err
}

func (b *bank) happened(i *intent, what string) {
	if b.audit != nil {
		b.audit(i)
	}
	if b.news != nil {
		b.objects++
		b.news(notice{n: b.objects, intent: i.id, what: what, at: b.k.now})
	}
}

// Cards by Stripe's names of its test cards, and what they do.
const (
	cardGood         = "pm_card_visa"
	cardMastercard   = "pm_card_mastercard"
	cardDeclined     = "pm_card_visa_chargeDeclined"
	cardNoFunds      = "pm_card_visa_chargeDeclinedInsufficientFunds"
	cardWrongCVC     = "pm_card_chargeDeclinedIncorrectCvc"
	cardBusy         = "pm_card_chargeDeclinedProcessingError"
	cardAsks         = "pm_card_authenticationRequired"
	cardAsksDeclined = "pm_card_threeDSecureRequiredChargeDeclined"
	cardDisputes     = "pm_card_createDispute"
	cardInquires     = "pm_card_createDisputeInquiry"
	cardManyDisputes = "pm_card_createMultipleDisputes"
	cardWarns        = "pm_card_createIssuerFraudRecord"
	cardSlowRefund   = "pm_card_pendingRefund"
	cardNoRefund     = "pm_card_refundFail"
)

var declines = map[string][2]string{
	cardDeclined: {"card_declined", "generic_decline"},
	cardNoFunds:  {"card_declined", "insufficient_funds"},
	cardWrongCVC: {"incorrect_cvc", "incorrect_cvc"},
	cardBusy:     {"processing_error", "processing_error"},
}

// create an intent and confirm it with a card, if there is one.
func (b *bank) create(e payment.Effect) (any, *refused) {
	i := &intent{id: b.id("pi"), key: e.Key, order: e.Order, currency: e.Currency, amount: e.Amount, status: wantsCard,
		keep: e.KeepCard, customer: e.Customer, offSession: e.Customer != ""}
	b.intents[i.id] = i
	b.ordered = append(b.ordered, i)
	b.happened(i, "payment_intent.created")
	if e.PaymentMethod == "" {
		return i, nil
	}
	return b.confirm(i, e.PaymentMethod)
}

func (b *bank) confirm(i *intent, card string) (any, *refused) {
	if i.status != wantsCard && i.status != wantsAction {
		return nil, &refused{code: "payment_intent_unexpected_state", intent: i.id}
	}
	i.card, i.code, i.decline = card, "", ""
	if d, no := declines[card]; no {
		return nil, b.declined(i, d[0], d[1])
	}
	if card == cardAsks || card == cardAsksDeclined {
		if i.offSession {
			return nil, b.declined(i, "authentication_required", "authentication_required")
		}
		i.status = wantsAction
		b.happened(i, "payment_intent.requires_action")
		return i, nil
	}
	b.authorised(i)
	return i, nil
}

func (b *bank) declined(i *intent, code, decline string) *refused {
	i.status, i.code, i.decline = wantsCard, code, decline
	b.happened(i, "payment_intent.payment_failed")
	return &refused{declined: true, code: code, decline: decline, intent: i.id}
}

// windowOnSession and windowOffSession are how long a card's issuer holds an
// amount.
const (
	windowOnSession  = 7 * 24 * time.Hour
	windowOffSession = 4*24*time.Hour + 18*time.Hour
)

func (b *bank) authorised(i *intent) {
	i.status, i.charge = wantsCapture, b.id("ch")
	window := windowOnSession
	if i.offSession {
		window = windowOffSession
	}
	i.expires = b.k.now.Add(window)
	if i.keep && i.customer == "" {
		i.customer = b.id("cus")
	}
	b.happened(i, "payment_intent.amount_capturable_updated")
	b.k.at(i.expires, "authorisation runs out", func() {
		if i.status == wantsCapture {
			i.status = canceled
			b.k.tell("the processor lets go of %s", i.id)
			b.happened(i, "payment_intent.canceled")
		}
	})
}

// authenticate is what the buyer does on the page of the card's issuer.
func (b *bank) authenticate(id string, passes bool) {
	i := b.intents[id]
	if i == nil || i.status != wantsAction {
		return
	}
	switch {
	case !passes:
		b.declined(i, "payment_intent_authentication_failure", "")
	case i.card == cardAsksDeclined:
		b.declined(i, "card_declined", "generic_decline")
	default:
		b.authorised(i)
	}
}

func (b *bank) cancel(id string) (any, *refused) {
	i := b.intents[id]
	switch {
	case i == nil:
		return nil, &refused{code: "resource_missing"}
	case i.status == succeeded || i.status == canceled:
		return nil, &refused{code: "payment_intent_unexpected_state", intent: id}
	}
	i.status = canceled
	b.happened(i, "payment_intent.canceled")
	return i, nil
}

// feeBasisPoints and feeFixed are what the processor keeps of a capture,
// disputeFee what it takes for a dispute and once more for answering it.
const (
	feeBasisPoints = 290
	feeFixed       = 30
	disputeFee     = 1500
)

func (b *bank) capture(id string, amount money.Minor) (any, *refused) {
	i := b.intents[id]
	switch {
	case i == nil:
		return nil, &refused{code: "resource_missing"}
	case i.status != wantsCapture:
		return nil, &refused{code: "payment_intent_unexpected_state", intent: id}
	case amount <= 0 || amount > i.amount:
		return nil, &refused{code: "amount_too_large", intent: id}
	}
	share, _ := money.Share(amount, feeBasisPoints)
	i.status, i.captured, i.fee, i.txn = succeeded, amount, share+feeFixed, b.id("txn")
	i.captures++
	b.balance[i.currency] += amount - i.fee
	b.happened(i, "payment_intent.succeeded")
	b.afterCapture(i)
	return i, nil
}

func (i *intent) refunded() (sum money.Minor) {
	for _, r := range i.refunds {
		if r.status != payment.RefundFailed {
			sum += r.amount
		}
	}
	return sum
}

// outOfReach is what disputes hold or have taken.
func (i *intent) outOfReach() (sum money.Minor) {
	for _, d := range i.disputes {
		for _, m := range d.Movements {
			sum -= m.Amount
		}
	}
	return sum
}

func (i *intent) disputed() bool {
	for _, d := range i.disputes {
		if !d.Inquiry && d.Result == "" {
			return true
		}
	}
	return false
}

func (b *bank) refund(id string, amount money.Minor, ours uuid.UUID) (any, *refused) {
	i := b.intents[id]
	switch {
	case i == nil:
		return nil, &refused{code: "resource_missing"}
	case i.status != succeeded:
		return nil, &refused{code: "payment_intent_unexpected_state", intent: id}
	case i.disputed():
		return nil, &refused{code: "charge_disputed", intent: id}
	case amount <= 0 || amount > i.captured-i.refunded()-i.outOfReach():
		return nil, &refused{code: "charge_already_refunded", intent: id}
	}
	r := &refund{id: b.id("re"), ours: ours, amount: amount, status: payment.RefundSucceeded}
	i.refunds = append(i.refunds, r)
	if i.card == cardSlowRefund {
		r.status = payment.RefundPending
		b.k.after(between(b.r, time.Hour, 5*24*time.Hour), "pending refund is paid", func() {
			b.refundPaid(i, r)
			b.happened(i, "refund.updated")
		})
	} else {
		b.refundPaid(i, r)
	}
	b.happened(i, "charge.refunded")
	if i.card == cardNoRefund {
		b.k.after(between(b.r, time.Hour, 5*24*time.Hour), "refund fails", func() { b.refundFails(i, r) })
	}
	return r, nil
}

func (b *bank) refundPaid(i *intent, r *refund) {
	r.status, r.txn = payment.RefundSucceeded, b.id("txn")
	b.balance[i.currency] -= r.amount
}

func (b *bank) refundFails(i *intent, r *refund) {
	r.status, r.code, r.back = payment.RefundFailed, "expired_or_canceled_card", b.id("txn")
	b.balance[i.currency] += r.amount
	b.k.tell("the processor could not pay refund %s of %s", r.id, i.id)
	b.happened(i, "refund.failed")
}

func (b *bank) transfer(e payment.Effect) (any, *refused) {
	var source *intent
	var sent money.Minor
	for _, i := range b.ordered {
		if i.charge == e.Charge {
			source = i
		}
	}
	for _, t := range b.moved {
		if t.charge == e.Charge {
			sent += t.amount - t.reversed()
		}
	}
	if source == nil || source.status != succeeded {
		return nil, &refused{code: "resource_missing"}
	}
	if sent+e.Amount > source.captured {
		return nil, &refused{code: "balance_insufficient"}
	}
	t := &transfer{id: b.id("tr"), key: e.Key, account: e.Destination, order: e.Order, charge: e.Charge, currency: e.Currency, amount: e.Amount}
	b.moved = append(b.moved, t)
	b.balance[e.Currency] -= e.Amount
	b.paidIn[e.Destination+string(e.Currency)] += e.Amount
	b.happened(source, "transfer.created")
	return t, nil
}

func (b *bank) reverse(e payment.Effect) (any, *refused) {
	for _, t := range b.moved {
		if t.id != e.Transfer {
			continue
		}
		at := t.account + string(t.currency)
		switch {
		case e.Amount <= 0 || e.Amount > t.amount-t.reversed():
			return nil, &refused{code: "transfer_already_reversed"}
		case e.Amount > b.paidIn[at]:
			return nil, &refused{code: "balance_insufficient"}
		}
		r := reversal{b.id("trr"), e.Key, e.Amount}
		t.reversals = append(t.reversals, r)
		b.paidIn[at] -= e.Amount
		b.balance[t.currency] += e.Amount
		return r, nil
	}
	return nil, &refused{code: "resource_missing"}
}

// payOut sends all that a connected account has to its bank.
func (b *bank) payOut(account string, c money.Currency) { b.paidIn[account+string(c)] = 0 }

// result of a dispute that is decided.
func (b *bank) decide(i *intent, d *dispute, result order.DisputeResult) {
	if d.Result != "" {
		return
	}
	d.Result = result
	if result == order.Won && !d.Inquiry {
		back := payment.Movement{Transaction: b.id("txn"), Amount: d.Amount}
		d.Movements = append(d.Movements, back)
		b.balance[i.currency] += d.Amount
		if d.Submitted {
			b.charge(i, d, -disputeFee)
		}
	}
	b.k.tell("dispute %s of %s is %s", d.ID, i.id, result)
	b.happened(i, "charge.dispute.closed")
}

func (b *bank) charge(i *intent, d *dispute, fee money.Minor) {
	d.Movements = append(d.Movements, payment.Movement{Transaction: b.id("txn"), Fee: fee})
	b.balance[i.currency] -= fee
}

// typed is what the buyer does on the processor's page: a card.
func (b *bank) typed(id, card string) {
	if i := b.intents[id]; i != nil && i.status == wantsCard {
		b.confirm(i, card)
	}
}
