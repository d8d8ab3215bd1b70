package payment_test

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/domain/payment"
)

var (
	evidenceDue = settleAt.AddDate(0, 0, 10)
	opened      = payment.SeenDispute{ID: "dp_1", Charge: "ch_1", Amount: 2760, Reason: "fraudulent", EvidenceDue: &evidenceDue,
		Movements: []payment.Movement{{Transaction: "txn_d", Amount: -2760, Fee: 1500}}}
	inquiry = payment.SeenDispute{ID: "dp_1", Charge: "ch_1", Amount: 2760, Reason: "product_not_received", Inquiry: true, EvidenceDue: &evidenceDue}
)

// with changes a dispute.
func with(d payment.SeenDispute, change func(*payment.SeenDispute)) payment.SeenDispute {
	d.Movements = append([]payment.Movement(nil), d.Movements...)
	change(&d)
	return d
}

func won(d *payment.SeenDispute) {
	d.Result, d.Submitted = order.Won, true
	d.Movements = append(d.Movements, payment.Movement{Transaction: "txn_w", Amount: 2760})
}
func lost(d *payment.SeenDispute)      { d.Result = order.Lost }
func submitted(d *payment.SeenDispute) { d.Submitted = true }

func (h *history) shown(d ...payment.SeenDispute) payment.Observe {
	return h.sees(payment.Seen{Intent: "pi_1", Outcome: captured, Disputes: d})
}

func (h *history) disputed(d ...payment.SeenDispute) *history {
	h.t.Helper()
	return h.took(payment.Decider.Decide(h.state(), h.shown(d...)))
}

func withdrawal(t order.Taken) order.DisputeWithdrawn {
	return order.DisputeWithdrawn{Dispute: "dp_1", Transaction: "txn_d", Shop: potter, Currency: "GBP", Jurisdiction: "GB",
		Amount: 2760, DisputeFee: 1500, Allocation: of(2000, 300, 460, 200), Taken: t}
}

var theDispute = order.DisputeOpened{Dispute: "dp_1", Charge: "ch_1", Currency: "GBP", Amount: 2760, Reason: "fraudulent", EvidenceDue: &evidenceDue}

// The bank takes the money at once. What the shop was to get of it is held; what
// it got already is taken back.
func TestDisputeOpened(t *testing.T) {
	h := charged(t)
	h.when(h.shown(opened)).Then(theDispute, withdrawal(order.Taken{FromPayable: 2100}))
	h.disputed(opened).until(settleAt)
	h.when(h.advance()).ThenNothing() // nothing to settle

	h = settled(t)
	h.when(h.shown(opened)).Then(theDispute, withdrawal(order.Taken{FromReceivable: 2100}),
		order.ReversalRequested{Key: key(order.Reverse, "4"), Transfer: "tr_1", Amount: 2100, At: settleAt})

	// While it is open the processor refuses refunds, and so do we.
	h = charged(t).disputed(opened)
	if _, err := order.Decider.Decide(h.state(), order.GiveBack{At: noon, Refund: refund}); err == nil {
		t.Error("a refund of a disputed payment was agreed")
	}
	// One that was agreed before waits.
	h = charged(t).agreed(refund, 1380).disputed(with(opened, func(d *payment.SeenDispute) { d.Amount, d.Movements[0].Amount = 1380, -1380 }))
	h.when(h.advance()).ThenNothing()
}

// A part of the sale is disputed, and then more than is left.
func TestSeveralDisputes(t *testing.T) {
	half := with(opened, func(d *payment.SeenDispute) { d.Amount, d.Movements[0].Amount = 1380, -1380 })
	other := with(opened, func(d *payment.SeenDispute) {
		d.ID, d.Amount, d.Movements = "dp_2", 2000, []payment.Movement{{Transaction: "txn_e", Amount: -2000, Fee: 1500}}
	})
	h := charged(t).disputed(half, other)
	first, second := h.state().Disputes[0].Held, h.state().Disputes[1].Held
	if first.Allocation != of(1000, 150, 230, 100) || first.Excess != 0 {
		t.Errorf("the first takes %+v", first)
	}
	if second.Allocation != of(1000, 150, 230, 100) || second.Excess != 620 {
		t.Errorf("the second takes %+v", second)
	}
	st := h.state()
	if left := st.Left(); left != (order.Allocation{}) {
		t.Errorf("%+v is left", left)
	}
}

// The answer: at once when the shop wants it, in time when it says nothing, and
// never when it concedes.
func TestAnswered(t *testing.T) {
	story := order.Evidence{Product: "2 × Mug"}
	h := charged(t).disputed(opened)
	h.when(h.advance()).ThenNothing()

	ready := charged(t).disputed(opened).by(order.Answer{At: noon, Text: "signed for at the door"})
	if n := payment.NeedsOf(ready.state(), noon, ours); !n.Evidence {
		t.Error("nobody gathers the evidence")
	}
	ready.when(payment.Advance{At: noon, Account: ours}).ThenNothing() // not gathered yet
	story.Text = "signed for at the door"
	ready.when(ready.advance()).Then(order.ContestRequested{Key: key(order.Contest, "3"), Dispute: "dp_1", Evidence: story, At: noon})
	ready.next()
	ready.when(ready.record(payment.Disputed{Dispute: with(opened, submitted)})).Then(order.Contested{Dispute: "dp_1"})
	ready.when(ready.record(failed)).Then(order.ContestFailed{Dispute: "dp_1", Code: "refused", Reason: "the processor refused"})
	ready.when(ready.record(payment.Disputed{Dispute: opened})).Then(order.OutcomeUnknown{Step: order.Contest, Key: key(order.Contest, "3"), Tries: 1,
		RetryAt: noon.Add(payment.RetryFirst), Reason: "payment.Disputed is no answer to this call"})

	inTime := evidenceDue.Add(-order.EvidenceMargin)
	h.until(inTime.Add(-1)).when(h.advance()).ThenNothing()
	story.Text = ""
	h.until(inTime).when(h.advance()).Then(order.ContestRequested{Key: key(order.Contest, "3"), Dispute: "dp_1", Evidence: story, At: inTime})
	h.until(evidenceDue).when(h.advance()).ThenNothing() // too late

	conceded := charged(t).disputed(opened).by(order.Concede{At: noon})
	conceded.when(conceded.advance()).Then(order.AcceptRequested{Key: key(order.Accept, "3"), Dispute: "dp_1", At: noon})
	conceded.next()
	conceded.when(conceded.record(payment.Disputed{Dispute: with(opened, lost)})).Then(lostAll)
}

var lostAll = order.DisputeClosed{Dispute: "dp_1", Result: order.Lost, Shop: potter, Currency: "GBP", Jurisdiction: "GB", Amount: 2760, Allocation: of(2000, 300, 460, 200)}

func TestDisputeLost(t *testing.T) {
	h := charged(t).disputed(opened)
	h.when(h.shown(with(opened, lost))).Then(lostAll)
	h.disputed(with(opened, lost)).until(settleAt)
	h.when(h.advance()).ThenNothing()
	// Created already lost: it could not be answered.
	all := with(opened, lost)
	all.EvidenceDue = nil
	blunt := theDispute
	blunt.EvidenceDue = nil
	charged(t).when(charged(t).shown(all)).Then(blunt, withdrawal(order.Taken{FromPayable: 2100}), lostAll)
}

// The bank decided while we were still trying to answer: the call is over, and
// nothing was answered. An order must not wait for it for ever.
func TestDecidedBeforeItWasAnswered(t *testing.T) {
	h := charged(t).disputed(opened).by(order.Answer{At: noon}).next().answered(unknown)
	tooLate := order.ContestFailed{Dispute: "dp_1", Code: "dispute-over", Reason: "the dispute was lost before it was answered"}
	h.when(h.record(payment.Disputed{Dispute: with(opened, lost)})).Then(lostAll, tooLate)

	// The news of it come first.
	h.disputed(with(opened, lost))
	h.when(h.record(payment.Disputed{Dispute: with(opened, lost)})).Then(tooLate)
	h.answered(payment.Disputed{Dispute: with(opened, lost)})
	if due, open := payment.Due(h.state()); open {
		t.Errorf("still to be done: %+v", due)
	}
	h.when(h.advance()).ThenNothing()
}

// A dispute is seen while the capture's own answer is not here yet: the news
// carry both.
func TestDisputeBeforeTheCaptureIsAnswered(t *testing.T) {
	h := sent(t).next()
	taken := charged(t).log[len(charged(t).log)-1]
	h.when(h.shown(opened)).Then(taken, theDispute, withdrawal(order.Taken{FromPayable: 2100}))
	own := h.record(captured)
	h.disputed(opened).when(own).ThenNothing()
}

// Won in part: the sale comes back first, and the rest is given up like that of a
// lost dispute, whichever of the decision and the money is seen first.
func TestDisputeWonInPart(t *testing.T) {
	decided := with(opened, won)
	decided.Movements = decided.Movements[:1]
	inPart := with(opened, won)
	inPart.Movements = slices.Clone(inPart.Movements)
	inPart.Movements[len(inPart.Movements)-1].Amount = 2000
	back := order.DisputeReinstated{Dispute: "dp_1", Transaction: "txn_w", Shop: potter, Currency: "GBP", Jurisdiction: "GB", Amount: 2000,
		Allocation: of(1449, 218, 333, 144), Restored: order.Restored{ToPayable: 1523}}
	end := order.DisputeClosed{Dispute: "dp_1", Result: order.Won, Shop: potter, Currency: "GBP", Jurisdiction: "GB"}
	rest := end
	rest.Amount, rest.Allocation = 760, of(551, 82, 127, 56)

	h := charged(t).disputed(opened)
	h.when(h.shown(inPart)).Then(back, order.Contested{Dispute: "dp_1"}, rest)
	h.when(h.shown(decided)).Then(order.Contested{Dispute: "dp_1"}, end)
	h.disputed(decided).when(h.shown(inPart)).Then(back, rest)
	h.disputed(inPart).when(h.shown(inPart)).ThenNothing()

	// Then the rest comes after all.
	all := inPart
	all.Movements = append(slices.Clone(all.Movements), payment.Movement{Transaction: "txn_x", Amount: 760})
	h.when(h.shown(all)).Then(order.DisputeReinstated{Dispute: "dp_1", Transaction: "txn_x", Shop: potter, Currency: "GBP", Jurisdiction: "GB", Amount: 760,
		Allocation: of(551, 82, 127, 56), Restored: order.Restored{ToPayable: 577}, WasLost: true})
	if d := h.disputed(all).state().Disputes[0]; d.Held != nil {
		t.Errorf("nothing is withdrawn any more: %+v", d)
	}
}

// Won: the shop gets what was held, by a release of its own when its hold is
// over, or less of a debt.
func TestDisputeWon(t *testing.T) {
	back := order.DisputeReinstated{Dispute: "dp_1", Transaction: "txn_w", Shop: potter, Currency: "GBP", Jurisdiction: "GB", Amount: 2760,
		Allocation: of(2000, 300, 460, 200), Restored: order.Restored{ToPayable: 2100}}
	end := order.DisputeClosed{Dispute: "dp_1", Result: order.Won, Shop: potter, Currency: "GBP", Jurisdiction: "GB"}
	h := charged(t).disputed(opened)
	h.when(h.shown(with(opened, won))).Then(back, order.Contested{Dispute: "dp_1"}, end)

	// Settled, taken back, won: it is paid again.
	h = settled(t).disputed(opened).answered(reversed).disputed(with(opened, won))
	h.when(h.advance()).Then(
		order.Released{Shop: potter, Currency: "GBP", Payable: 2100},
		order.SettlementRequested{Key: key(order.Settle, "5"), Destination: "acct_shop", Charge: "ch_1", Amount: 2100, Available: 2100, At: settleAt})

	// Settled, could not be taken back (so the debt was carried), won: the first
	// transfer still uses the charge up, so the balance pays the second.
	h = settled(t).disputed(opened).answered(payment.Failed{Code: "balance_insufficient"}).disputed(with(opened, won))
	h.when(h.advance()).Then(
		order.Released{Shop: potter, Currency: "GBP", Payable: 2100},
		order.SettlementRequested{Key: key(order.Settle, "5"), Destination: "acct_shop", Charge: "", Amount: 2100, Available: 2100, At: settleAt})
	if due, _ := payment.Due(h.next().state()); due.Step != order.Settle || due.Charge != "" {
		t.Errorf("due is %+v, want a transfer from the balance", due)
	}

	// Settled, and the money is being taken back: that comes to its end, and the
	// shop is paid again.
	h = settled(t).disputed(opened)
	h.when(h.shown(with(opened, won))).Then(back, order.Contested{Dispute: "dp_1"}, end)

	// Lost, and won after all.
	h = charged(t).disputed(opened).disputed(with(opened, lost))
	back.Restored, back.WasLost = order.Restored{ToPayable: 2100}, true
	h.when(h.shown(with(opened, won))).Then(back, order.Contested{Dispute: "dp_1"}, end)
}

// An inquiry moves no money; it comes to nothing, or becomes a chargeback.
func TestInquiry(t *testing.T) {
	asked := order.DisputeOpened{Dispute: "dp_1", Charge: "ch_1", Currency: "GBP", Amount: 2760, Reason: "product_not_received", Inquiry: true, EvidenceDue: &evidenceDue}
	h := charged(t)
	h.when(h.shown(inquiry)).Then(asked)
	h.disputed(inquiry)
	h.when(h.shown(with(inquiry, func(d *payment.SeenDispute) { d.Result = order.Withdrawn }))).Then(
		order.DisputeClosed{Dispute: "dp_1", Result: order.Withdrawn, Shop: potter, Currency: "GBP", Jurisdiction: "GB"})
	// The buyer may be refunded during an inquiry.
	h.agreed(refund, 1380)

	h = charged(t).disputed(inquiry)
	h.when(h.shown(opened)).Then(order.DisputeEscalated{Dispute: "dp_1", EvidenceDue: &evidenceDue}, withdrawal(order.Taken{FromPayable: 2100}))
}

// The fee for answering comes and goes on its own.
func TestFeeForAnswering(t *testing.T) {
	fee := func(d *payment.SeenDispute) {
		d.Movements = append(d.Movements, payment.Movement{Transaction: "txn_f", Fee: 1500})
	}
	h := charged(t).disputed(opened)
	h.when(h.shown(with(opened, fee))).Then(order.DisputeCharged{Dispute: "dp_1", Transaction: "txn_f", Shop: potter, Currency: "GBP", Fee: 1500})
}

// A warning of fraud moves no money, and is said once.
func TestFraudWarning(t *testing.T) {
	seen := payment.Seen{Intent: "pi_1", Outcome: captured, Warnings: []payment.SeenWarning{{ID: "issfr_1", Charge: "ch_1", Kind: "made_with_stolen_card", Actionable: true}}}
	h := charged(t)
	h.when(h.sees(seen)).Then(order.FraudWarned{Warning: "issfr_1", Charge: "ch_1", Kind: "made_with_stolen_card", Actionable: true})
}

// News in any order, any number of times, come to the same.
func TestNewsOfADisputeInAnyOrder(t *testing.T) {
	steps := []payment.SeenDispute{inquiry, opened, with(opened, submitted), with(opened, won)}
	h := settled(t)
	for _, d := range steps {
		events, err := payment.Decider.Decide(h.state(), h.shown(d))
		if err != nil {
			t.Fatal(err)
		}
		h.log = append(h.log, events...)
		for _, old := range steps { // late copies of what was said before
			if old.Inquiry || old.Result == "" && d.Result != "" {
				events, err := payment.Decider.Decide(h.state(), h.shown(old))
				if err != nil || len(events) > 0 {
					t.Errorf("an old copy of the dispute decides %v, %v", events, err)
				}
			}
		}
	}
	if d := h.state().Disputes[0]; d.Result != order.Won || d.Held != nil {
		t.Errorf("it ends as %+v", d)
	}
}

// What a bank is told holds the order's story, in order, with its times.
func TestEvidence(t *testing.T) {
	h := settled(t).by(order.Confirm{At: noon, By: order.ByBuyer})
	var story []payment.Happened
	for i, e := range h.log {
		if s, ok := e.(order.Shipped); ok {
			s.Carrier, s.Tracking = "Royal Mail", "RM1"
			e = s
		}
		story = append(story, payment.Happened{At: noon.Add(time.Duration(i) * time.Hour), Event: e})
	}
	want := order.Evidence{Product: "2 × Mug", Carrier: "Royal Mail", Tracking: "RM1", ShippedOn: "2026-11-23",
		History: `2026-11-23 12:00 UTC: the order was placed for 27.60 GBP
2026-11-23 14:00 UTC: 27.60 GBP was authorised on the card (visa ending in 4242)
2026-11-23 15:00 UTC: goods worth 27.60 GBP were shipped Royal Mail RM1
2026-11-23 17:00 UTC: 27.60 GBP was charged
2026-11-23 21:00 UTC: the buyer confirmed that the goods arrived
`}
	if got := payment.Evidence(story); got != want {
		t.Errorf("got %+v", got)
	}
}

// A bank took the whole amount while a refund of half of it was under way. What
// the refund would have taken stood for nothing of the sale; when it does not go,
// the dispute has it, and the shop's part with it.
func TestRefundRefusedInDispute(t *testing.T) {
	half := of(1000, 150, 230, 100)
	reallocated := func(from order.Taken, lost bool) order.DisputeReallocated {
		return order.DisputeReallocated{Dispute: "dp_1", Shop: potter, Currency: "GBP", Jurisdiction: "GB", Allocation: half, Taken: from, WasLost: lost}
	}
	refused := order.RefundFailed{Refund: refund, Code: "refused", Reason: "the processor refused"}

	h := charged(t).agreed(refund, 1380).next().disputed(opened)
	if held := h.state().Disputes[0].Held; held.Allocation != half || held.Excess != 1380 {
		t.Fatalf("the bank has %+v", held)
	}
	h.when(h.record(failed)).Then(refused, reallocated(order.Taken{FromPayable: 1050}, false))
	h.answered(failed)
	h.when(h.shown(with(opened, lost))).Then(lostAll)
	h.when(h.shown(with(opened, won))).Then(
		order.DisputeReinstated{Dispute: "dp_1", Transaction: "txn_w", Shop: potter, Currency: "GBP", Jurisdiction: "GB", Amount: 2760,
			Allocation: of(2000, 300, 460, 200), Restored: order.Restored{ToPayable: 2100}},
		order.Contested{Dispute: "dp_1"},
		order.DisputeClosed{Dispute: "dp_1", Result: order.Won, Shop: potter, Currency: "GBP", Jurisdiction: "GB"})

	// It was lost before the refusal came.
	h = charged(t).agreed(refund, 1380).next().disputed(with(opened, lost))
	h.when(h.record(failed)).Then(refused, reallocated(order.Taken{FromPayable: 1050}, true))
	h.answered(failed).until(settleAt)
	h.when(h.advance()).ThenNothing() // nothing is left to settle

	// It did go: the money is lost twice, and the shop's part once.
	h = charged(t).agreed(refund, 1380).next().disputed(with(opened, lost)).answered(refunded)
	if held := h.state().Disputes[0].Held; held.Allocation != half || held.Excess != 1380 {
		t.Errorf("the bank has %+v", held)
	}
}

// Two banks took the whole amount, and the first gives it back: the second has it.
func TestFirstOfTwoDisputesWon(t *testing.T) {
	other := with(opened, func(d *payment.SeenDispute) {
		d.ID, d.Movements = "dp_2", []payment.Movement{{Transaction: "txn_e", Amount: -2760, Fee: 1500}}
	})
	h := charged(t).disputed(opened, other).disputed(with(opened, won), other)
	first, second := h.state().Disputes[0], h.state().Disputes[1]
	if first.Held != nil || second.Held.Allocation != of(2000, 300, 460, 200) || second.Held.Excess != 0 {
		t.Errorf("the first bank has %+v, the second %+v", first.Held, second.Held)
	}
	if p := h.state().Payment; p.Payable != 0 || p.Receivable != 0 {
		t.Errorf("the shop is owed %d and owes %d", p.Payable, p.Receivable)
	}
}

// However long the story, Stripe takes what a bank is told of it.
func TestEvidenceIsBounded(t *testing.T) {
	long := strings.Repeat("ü", 30_000)
	placed := order.Placed{Currency: "GBP"}
	for range order.MaxLines {
		placed.Lines = append(placed.Lines, order.Line{Title: long[:2*500], Quantity: 1})
	}
	story := []payment.Happened{{At: noon, Event: placed}, {At: noon, Event: order.Authorised{Amount: 100}},
		{At: noon, Event: order.Shipped{Carrier: long, Tracking: long}}}
	for range 1000 {
		story = append(story, payment.Happened{At: noon, Event: order.Refunded{Amount: 100}})
	}
	e := payment.Evidence(story)
	for name, text := range map[string]string{"product": e.Product, "history": e.History} {
		if n := len(text); n > payment.MaxHistory || n < payment.MaxHistory/2 || !utf8.ValidString(text) {
			t.Errorf("the %s has %d bytes", name, n)
		}
	}
	if len(e.Carrier) != order.MaxText || len(e.Tracking) != order.MaxText {
		t.Errorf("carrier %d bytes, tracking %d", len(e.Carrier), len(e.Tracking))
	}
	if want := "2026-11-23 12:00 UTC: 1.00 GBP was authorised on the card\n"; !strings.Contains(e.History, want) {
		t.Errorf("the card is not known, and the history says\n%.200s", e.History)
	}
}

// What left the shop is earned before a bank takes of it: when the dispute is won, all
// that comes back is the shop's again, and nothing is sent back to the buyer.
func TestADisputeOfWhatIsShippedAndNotEarnedYet(t *testing.T) {
	sent := func() *history { return paid(t).heard(captured).shipped() } // captured by hand before
	of := func(amount money.Minor, change func(*payment.SeenDispute)) payment.SeenDispute {
		return with(opened, func(d *payment.SeenDispute) {
			d.Amount, d.Movements[0].Amount = amount, -amount
			change(d)
		})
	}
	first, second := func(*payment.SeenDispute) {}, func(d *payment.SeenDispute) {
		d.ID, d.Movements = "dp_2", []payment.Movement{{Transaction: "txn_e", Amount: -d.Amount, Fee: 1500}}
	}
	isWon := func(d payment.SeenDispute, transaction string) payment.SeenDispute {
		return with(d, func(d *payment.SeenDispute) {
			won(d)
			d.Movements[1] = payment.Movement{Transaction: transaction, Amount: d.Amount}
		})
	}
	for name, h := range map[string]*history{
		"of a part": sent().disputed(of(1000, first)).disputed(isWon(of(1000, first), "txn_x")),
		"two of a half": sent().disputed(of(1380, first), of(1380, second)).disputed(isWon(of(1380, first), "txn_x"), of(1380, second)).
			disputed(isWon(of(1380, first), "txn_x"), isWon(of(1380, second), "txn_y")),
	} {
		if s := h.state(); len(s.Refunds) != 0 || s.Payment.Payable != 2100 || !s.Payment.Earned {
			t.Errorf("%s: refunds %+v, the shop is owed %d", name, s.Refunds, s.Payment.Payable)
		}
	}
}
