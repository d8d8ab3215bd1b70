package domain_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"kicau/domain/decider"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/domain/payment"
)

// life is what can happen to one order: people, deadlines, two sagas and the
// processor do what they like, in any order, twice, late or not at all. The
// deciders alone say what becomes of it.
type life struct {
	t    *rapid.T
	at   time.Time
	s    order.State
	log  []event.Data
	keys []string // of all calls so far
	// each is told of every event, after it was folded.
	each func(e event.Data)
	// banks are the disputes as the processor shows them, by its id.
	banks map[string]payment.SeenDispute
}

// minor draws an amount.
func minor(t *rapid.T, what string) money.Minor {
	return money.Minor(rapid.OneOf(rapid.Int64Range(0, 5), rapid.Int64Range(0, 20000)).Draw(t, what))
}

var accounts = []string{"acct_ours", "acct_theirs"}

// live draws an order and what happens to it.
func live(t *rapid.T) *life {
	l := &life{t: t, at: noon, each: func(event.Data) {}}
	l.live()
	return l
}

func (l *life) live() {
	l.people(drawPlace(l.t))
	for range rapid.IntRange(0, 40).Draw(l.t, "steps") {
		l.at = l.at.Add(time.Duration(rapid.SampledFrom([]int64{0, 0, 0, 0, 5, 60, 7200, 86400}).Draw(l.t, "seconds pass")) * time.Second)
		if rapid.IntRange(0, 2).Draw(l.t, "as usual") > 0 {
			l.usual()
		} else {
			l.unusual()
		}
	}
}

func drawPlace(t *rapid.T) order.Place {
	minor := func(what string) money.Minor { return minor(t, what) }
	p := order.Place{
		At: noon, Order: first, Shop: potter, Buyer: ann, HoldUntil: noon.Add(15 * time.Minute), Jurisdiction: "GB",
		Processor: rapid.SampledFrom([]string{order.Stripe, order.Stripe, order.Stripe, "market"}).Draw(t, "processor"),
		Terms: order.Terms{
			Currency:           rapid.SampledFrom([]money.Currency{"GBP", "JPY", "KWD"}).Draw(t, "currency"),
			FeeBasisPoints:     money.BasisPoints(rapid.Int64Range(0, 10000).Draw(t, "fee")),
			FeeFixed:           minor("fixed fee"),
			TaxBasisPoints:     money.BasisPoints(rapid.Int64Range(0, 2500).Draw(t, "tax")),
			Shipping:           minor("shipping"),
			FeeMinimum:         minor("least fee"),
			FeeCap:             minor("most fee"),
			HoldHours:          rapid.Int64Range(0, 48).Draw(t, "hold"),
			ReserveBasisPoints: money.BasisPoints(rapid.SampledFrom([]int64{0, 0, 1000, 10000}).Draw(t, "reserve")),
			ReserveDays:        rapid.Int64Range(0, 3).Draw(t, "reserve days"),
			Principal:          rapid.IntRange(0, 3).Draw(t, "principal") == 0,
			Destination:        rapid.SampledFrom([]string{"acct_shop", "acct_shop", ""}).Draw(t, "destination"),
			Platform:           rapid.SampledFrom(append(accounts, "")).Draw(t, "platform"),
		},
	}
	for i := range rapid.IntRange(1, 4).Draw(t, "lines") {
		p.Lines = append(p.Lines, order.Ask{Offer: uuid.UUID{0: 0x11, 15: byte(i)}, Quantity: rapid.Int64Range(1, 4).Draw(t, "quantity"),
			Shop: potter, Title: "Mug", Price: minor("price")})
	}
	p.KeepCard = rapid.IntRange(0, 3).Draw(t, "keep card") == 0
	p.Lines[0].Price++               // an order costs at least one minor unit
	if p.Processor == order.Stripe { // and what a card can carry
		step := p.Terms.Currency.Step()
		p.Terms.Shipping *= step
		for i := range p.Lines {
			p.Lines[i].Price *= step
		}
	}
	return p
}

// usual is what happens next to most orders, so that lives are long.
func (l *life) usual() {
	p := l.s.Payment
	due, open := payment.Due(l.s)
	switch {
	case open:
		o := l.rightOutcome()
		if rapid.IntRange(0, 4).Draw(l.t, "refused") == 0 && due.Step != order.Authorise {
			o = payment.Failed{Code: "failed"}
		}
		l.saga(payment.Record{At: l.at, Account: due.Account, Key: due.Key, Outcome: o})
	case p.Remedy != "":
		l.people(order.Pay{At: l.at, PaymentMethod: fmt.Sprintf("pm_%d", p.Declines+1)})
	case p.Awaiting != "":
		l.saga(payment.Observe{At: l.at, Account: p.Account, Seen: payment.Seen{Intent: p.Intent, Outcome: l.authorised()}})
	case l.s.Standing == order.Open && p.Authorised > 0:
		l.people(order.Ship{At: l.at, Units: l.units("ship", func(s order.LineState) int64 { return s.Quantity })})
	case !payment.AtRest(l.s, l.at):
		l.advance()
	case p.IsCaptured && rapid.IntRange(0, 2).Draw(l.t, "disputed") == 0:
		l.disputeNews()
	case p.IsCaptured:
		l.giveBack()
	}
}

// advance by every saga, told what it needs.
func (l *life) advance() {
	for _, a := range accounts {
		c := payment.Advance{At: l.at, Account: a, Evidence: &order.Evidence{Product: "mugs"}}
		switch n := payment.NeedsOf(l.s, l.at, a); {
		case n.Net > 0 && rapid.IntRange(0, 3).Draw(l.t, "stale") > 0:
			c.Shop = &payment.ShopSays{Release: n.Number, Debt: min(n.Net, (minor(l.t, "debt")-50)*l.s.Placed.Step())}
		case n.Net > 0: // what was asked for an earlier release, or a look that came late
			c.Shop = &payment.ShopSays{Release: n.Number - 1, Debt: minor(l.t, "debt"), Owed: minor(l.t, "owed")}
		case rapid.IntRange(0, 3).Draw(l.t, "debts") == 0:
			c.Shop = &payment.ShopSays{Owed: minor(l.t, "owed") - 50}
		default:
			c.Shop = &payment.ShopSays{}
		}
		l.saga(c)
	}
}

// some of the order's money, as cards carry it.
func (l *life) some(most money.Minor, what string) money.Minor {
	step := l.s.Placed.Step()
	return money.Minor(rapid.Int64Range(1, int64(most/step)).Draw(l.t, what)) * step
}

// disputeNews is a bank that asks for some of the money, and goes on with it.
func (l *life) disputeNews() {
	p := l.s.Payment
	if l.banks == nil {
		l.banks = map[string]payment.SeenDispute{}
	}
	id := rapid.SampledFrom([]string{"dp_1", "dp_2"}).Draw(l.t, "dispute")
	d, known := l.banks[id]
	takes := func() {
		d.Inquiry = false
		d.Movements = append(slices.Clone(d.Movements), payment.Movement{Transaction: fmt.Sprintf("txn_%s_%d", id, len(d.Movements)), Amount: -d.Amount, Fee: 15})
	}
	switch {
	case !known:
		due := l.at.AddDate(0, 0, 3)
		d = payment.SeenDispute{ID: id, Charge: "ch_1", Reason: "fraudulent", EvidenceDue: &due, Inquiry: true,
			Amount: l.some(l.s.Placed.Total(), "amount")}
		if rapid.Bool().Draw(l.t, "chargeback") {
			takes()
		}
	case d.Inquiry && d.Result == "":
		if rapid.Bool().Draw(l.t, "escalates") {
			takes()
		} else {
			d.Result = order.Withdrawn
		}
	case !d.Submitted && d.Result == "" && rapid.Bool().Draw(l.t, "answered"):
		d.Submitted = true
		d.Movements = append(slices.Clone(d.Movements), payment.Movement{Transaction: fmt.Sprintf("txn_%s_%d", id, len(d.Movements)), Fee: 15})
	case d.Result == "" && rapid.Bool().Draw(l.t, "lost"):
		d.Result = order.Lost
	case d.Result == "" || d.Result == order.Lost && rapid.IntRange(0, 3).Draw(l.t, "won after all") == 0:
		d.Result = order.Won
		back := d.Amount
		if rapid.IntRange(0, 3).Draw(l.t, "in part") == 0 {
			back = l.some(d.Amount, "comes back")
		}
		d.Movements = append(slices.Clone(d.Movements), payment.Movement{Transaction: fmt.Sprintf("txn_%s_%d", id, len(d.Movements)), Amount: back})
	}
	l.banks[id] = d
	seen := payment.Seen{Intent: p.Intent, Disputes: []payment.SeenDispute{d}}
	if rapid.IntRange(0, 3).Draw(l.t, "warned") == 0 {
		seen.Warnings = []payment.SeenWarning{{ID: "issfr_1", Charge: "ch_1", Kind: "misc"}}
	}
	l.saga(payment.Observe{At: l.at, Account: p.Account, Seen: seen})
	switch rapid.IntRange(0, 3).Draw(l.t, "shop") {
	case 0:
		l.people(order.Answer{At: l.at, Dispute: id, Text: "shipped"})
	case 1:
		l.people(order.Concede{At: l.at, Dispute: id})
	}
}

// refundNews is what the processor shows of a refund: later, or its own.
func (l *life) refundNews() {
	p := l.s.Payment
	r := payment.SeenRefund{ID: "re_new", Amount: l.some(l.s.Placed.Total(), "amount")}
	if len(l.s.Refunds) > 0 && rapid.IntRange(0, 3).Draw(l.t, "ours") > 0 {
		ours := rapid.SampledFrom(l.s.Refunds).Draw(l.t, "refund")
		r.ID, r.Refund, r.Amount = cmp.Or(ours.RefundID, "re_"+ours.ID.String()), ours.ID, ours.Amount()
	}
	r.Status = rapid.SampledFrom([]payment.RefundStatus{payment.RefundPending, payment.RefundSucceeded, payment.RefundFailed}).Draw(l.t, "status")
	l.saga(payment.Observe{At: l.at, Account: p.Account, Seen: payment.Seen{Intent: p.Intent, Refunds: []payment.SeenRefund{r}}})
}

// unusual is anything, by anybody.
func (l *life) unusual() {
	switch rapid.IntRange(0, 15).Draw(l.t, "what happens") {
	case 0, 1:
		l.advance()
	case 2, 3, 4:
		key := ""
		if due, open := payment.Due(l.s); open && rapid.IntRange(0, 3).Draw(l.t, "stale") > 0 {
			key = due.Key
		} else if len(l.keys) > 0 {
			key = rapid.SampledFrom(l.keys).Draw(l.t, "key")
		}
		l.saga(payment.Record{At: l.at, Account: rapid.SampledFrom(accounts).Draw(l.t, "account"), Key: key, Outcome: l.outcome()})
	case 5, 6:
		l.saga(payment.Observe{At: l.at, Account: rapid.SampledFrom(accounts).Draw(l.t, "account"),
			Seen: payment.Seen{Intent: rapid.SampledFrom([]string{"pi_1", "pi_1", "pi_1", "pi_2", ""}).Draw(l.t, "intent"), Outcome: l.outcome()}})
	case 7:
		l.people(order.Ship{At: l.at, Units: l.units("ship", func(s order.LineState) int64 { return s.Quantity })})
	case 8:
		l.people(order.Cancel{At: l.at})
	case 9, 10:
		l.giveBack()
	case 11:
		l.people(order.Expire{At: l.at})
	case 12:
		l.people(order.Pay{At: l.at, PaymentMethod: rapid.SampledFrom([]string{"pm_1", "pm_2", "pm_3"}).Draw(l.t, "card")})
	case 13:
		l.people(order.Confirm{At: l.at, By: rapid.SampledFrom([]string{order.ByBuyer, order.ByCarrier}).Draw(l.t, "who")})
	case 14:
		l.disputeNews()
	case 15:
		l.refundNews()
	}
}

func (l *life) giveBack() {
	g := order.GiveBack{At: l.at, Refund: uuid.UUID{0: 0x21, 15: byte(rapid.IntRange(1, 6).Draw(l.t, "refund"))},
		KeepShipping: rapid.IntRange(0, 3).Draw(l.t, "keep shipping") == 0}
	switch rapid.IntRange(0, 4).Draw(l.t, "way") {
	case 0, 1:
		g.Units = l.units("give back", func(s order.LineState) int64 { return s.Shipped - s.Returned })
	case 2, 3:
		g.Amount = money.Minor(rapid.Int64Range(1, int64(l.s.Placed.Total())).Draw(l.t, "amount"))
	}
	l.people(g)
}

// outcome is any answer.
func (l *life) outcome() payment.Outcome {
	return rapid.SampledFrom([]payment.Outcome{l.authorised(), payment.ActionRequired{Intent: "pi_1", Action: "card"},
		payment.ActionRequired{Intent: "pi_1", Action: "authenticate"}, payment.Declined{Intent: "pi_1", Code: "card_declined"}, payment.Reversed{Reversal: "trr_1"},
		payment.Captured{Intent: "pi_1", Charge: "ch_1", Amount: l.s.Placed.Total()}, payment.Voided{Intent: "pi_1"}, payment.Transferred{Transfer: "tr_x"},
		payment.Failed{Code: "failed"}, payment.Unknown{Reason: "timeout"}}).Draw(l.t, "outcome")
}

func (l *life) authorised() payment.Outcome {
	ends := l.at.AddDate(0, 0, 7)
	a := payment.Authorised{Intent: "pi_1", Charge: "ch_1", Amount: l.s.Placed.Total(), ExpiresAt: &ends}
	if due, open := payment.Due(l.s); l.s.Placed.KeepCard && open {
		a.Customer, a.Method = "cus_1", "pm_kept"
		if due.Customer != "" { // another authorisation is another intent
			a.Intent = "pi_" + due.Key
		}
	}
	return a
}

// rightOutcome is what the processor answers to the open call when all is well.
func (l *life) rightOutcome() payment.Outcome {
	due, open := payment.Due(l.s)
	if !open {
		return nil
	}
	switch due.Step {
	case order.Authorise:
		return l.authorised()
	case order.Void:
		return payment.Voided{Intent: due.Intent}
	case order.Capture:
		return payment.Captured{Charge: "ch_1", Transaction: "txn_1", Amount: due.Amount,
			ProcessorFee: money.Minor(rapid.Int64Range(0, 50).Draw(l.t, "processor fee"))}
	case order.Refunding:
		return payment.Refunded{RefundID: "re_" + due.Refund.String(), Transaction: "txn_2", Pending: rapid.IntRange(0, 3).Draw(l.t, "pending") == 0}
	case order.Reverse:
		return payment.Reversed{Reversal: "trr_" + due.Key}
	case order.Contest:
		d := l.banks[due.Dispute]
		d.Submitted = true
		l.banks[due.Dispute] = d
		return payment.Disputed{Dispute: d}
	case order.Accept:
		d := l.banks[due.Dispute]
		if d.Result == "" {
			d.Result = order.Lost
		}
		l.banks[due.Dispute] = d
		return payment.Disputed{Dispute: d}
	default:
		return payment.Transferred{Transfer: "tr_" + due.Key}
	}
}

func (l *life) units(what string, most func(order.LineState) int64) (some []order.Units) {
	for _, line := range l.s.Lines {
		if n := rapid.Int64Range(0, most(line)).Draw(l.t, what); n > 0 {
			some = append(some, order.Units{Line: line.No, Quantity: n})
		}
	}
	return some
}

func (l *life) people(c order.Command) {
	decide := func(s order.State) ([]event.Data, error) {
		events, err := order.Decider.Decide(s, c)
		if err != nil || len(events) == 0 {
			return events, err
		}
		// As the use cases do: what is paid outside follows at once.
		return append(events, payment.Outside(order.After(s, events...), l.at)...), nil
	}
	l.decide(c, decide)
}

func (l *life) saga(c payment.Command) {
	l.decide(c, func(s order.State) ([]event.Data, error) { return payment.Decider.Decide(s, c) })
}

// decide is one command: it changes nothing by itself, and said twice it
// happens once.
func (l *life) decide(c any, decide func(order.State) ([]event.Data, error)) (happened bool) {
	events, err := decide(l.s)
	if diff := gocmp.Diff(decider.Fold(order.Decider, l.log...), l.s); diff != "" {
		l.t.Fatalf("deciding %#v changed the state:\n%s", c, diff)
	}
	if err != nil && len(events) > 0 {
		l.t.Fatalf("%#v was refused, yet decided %v", c, events)
	}
	for _, e := range events {
		l.log = append(l.log, e)
		l.s = order.Decider.Evolve(l.s, e)
		if due, open := payment.Due(l.s); open && !slices.Contains(l.keys, due.Key) {
			l.keys = append(l.keys, due.Key)
		}
		l.each(e)
	}
	if again, err := decide(l.s); len(events) > 0 && (err != nil || len(again) > 0) {
		l.t.Fatalf("%#v said twice happened twice: %v, %v", c, again, err)
	}
	return len(events) > 0
}

// decided: the banks decide, and what is pending at the processor is paid.
func (l *life) decided() {
	seen := payment.Seen{Intent: l.s.Payment.Intent}
	for _, id := range slices.Sorted(maps.Keys(l.banks)) {
		d := l.banks[id]
		if d.Result == "" {
			d.Result = order.Lost
			if d.Inquiry {
				d.Result = order.Withdrawn
			}
			l.banks[id] = d
		}
		seen.Disputes = append(seen.Disputes, d)
	}
	for _, r := range l.s.Refunds {
		if r.Status == order.Pending {
			seen.Refunds = append(seen.Refunds, payment.SeenRefund{ID: r.RefundID, Refund: r.ID, Amount: r.Amount(), Status: payment.RefundSucceeded})
		}
	}
	l.saga(payment.Observe{At: l.at, Account: l.s.Payment.Account, Seen: seen})
}

// maxEnding bounds the calls and deadlines between any state and rest: a call
// and six refunds, a settlement, and what their answers ask for.
const maxEnding = 120

// quietRounds of eight days each in which nothing happens are rest: longer than
// the longest deadline.
const quietRounds = 6

// end lets the faults stop: calls are answered, deadlines pass, the sagas go on
// until nothing is to be done. It says whether that came about.
func (l *life) end() bool {
	quiet := 0
	for range maxEnding {
		if due, open := payment.Due(l.s); open {
			if l.at.Before(due.RetryAt) {
				l.at = due.RetryAt
			}
			l.saga(payment.Record{At: l.at, Account: due.Account, Key: due.Key, Outcome: l.rightOutcome()})
			continue
		}
		l.at = l.at.AddDate(0, 0, 8) // past every hold, and every authorisation ends
		events := len(l.log)
		l.advance()
		l.decided()
		l.people(order.Expire{At: l.at})
		if p := l.s.Payment; p.Failed && !p.Voided {
			l.saga(payment.Observe{At: l.at, Account: p.Account, Seen: payment.Seen{Intent: p.Intent, Outcome: payment.Voided{Intent: p.Intent}}})
		}
		quiet++
		if len(l.log) > events {
			quiet = 0
		}
		if quiet == quietRounds {
			return true
		}
	}
	return false
}

// story is what happened, by name, for whoever has to find out why.
func (l *life) story() (names []string) {
	for _, e := range l.log {
		names = append(names, fmt.Sprintf("%s%+v\n", e.EventType(), e))
	}
	return names
}
