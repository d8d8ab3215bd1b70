package payment_test

import (
	"bufio"
	"bytes"
	"cmp"
	_ "embed"

	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"kicau/domain/decider"
	"kicau/domain/event"
	"kicau/domain/order"
	"kicau/domain/payment"
	"kicau/domain/refusal"
)

// saga is the saga as a table: every state an order can be in, every input, and
// what is decided. Who changes a cell has changed what happens to money.
//
//go:embed testdata/saga.txt
var saga []byte

// states in the order of the table, each by its history.
func states(t *testing.T) []struct {
	name string
	h    *history
} {
	type row = struct {
		name string
		h    *history
	}
	retry := noon.Add(payment.RetryFirst) // when an unknown outcome is looked at
	outside := func() *history {
		h := begin(t).by(place(func(p *order.Place) { p.Processor, p.PaymentMethod, p.Reference = "market", "", "A-17" }))
		return h.took(payment.Outside(h.state(), h.at), nil)
	}
	thenOutside := func(h *history) *history { return h.took(payment.Outside(h.state(), h.at), nil) }
	return []row{
		{"not placed", begin(t)},
		{"abandoned", begin(t).expired()},
		{"placed", begin(t).placed()},
		{"authorisation requested", requested(t)},
		{"authorisation unknown", requested(t).answered(unknown).until(retry)},
		{"card required", requested(t).answered(typeCard)},
		{"authentication required", requested(t).answered(confirm)},
		{"authorised", paid(t)},
		{"declined without an intent", requested(t).answered(failed)},
		{"declined, another card may be tried", requested(t).answered(declined)},
		{"another card given", requested(t).answered(declined).by(order.Pay{At: noon, PaymentMethod: "pm_2"})},
		{"another card tried", requested(t).answered(declined).by(order.Pay{At: noon, PaymentMethod: "pm_2"}).next()},
		{"given up by the processor", requested(t).answered(payment.Declined{Intent: "pi_1", Code: "canceled"})},
		{"declined, cancelled, voided", requested(t).answered(declined).cancelled().next().answered(voided)},
		{"about to expire", paid(t).until(toWarn).next()},
		{"renewal due", begin(t).by(place(keepsCard)).next().answered(kept).until(toWarn).next().until(toRenew)},
		{"renewal requested", begin(t).by(place(keepsCard)).next().answered(kept).until(toRenew).next()},
		{"renewed, former to be voided", begin(t).by(place(keepsCard)).next().answered(kept).until(toRenew).next().answered(renewed)},
		{"renewed", begin(t).by(place(keepsCard)).next().answered(kept).until(toRenew).next().answered(renewed).answered(voided)},
		{"cancelled, never asked", begin(t).placed().cancelled()},
		{"cancelled while requested", requested(t).cancelled()},
		{"cancelled while unknown", requested(t).answered(unknown).cancelled().until(retry)},
		{"cancelled while card required", requested(t).answered(typeCard).cancelled()},
		{"cancelled when authorised", paid(t).cancelled()},
		{"void requested", paid(t).cancelled().next()},
		{"void unknown", paid(t).cancelled().next().answered(unknown).until(retry)},
		{"voided", paid(t).cancelled().next().answered(voided)},
		{"expired, never asked", begin(t).placed().until(heldUntil).expired()},
		{"expired while card required", requested(t).answered(typeCard).until(heldUntil).expired()},
		{"expired unshipped", paid(t).until(authEnds).expired()},
		{"lapsed unshipped", paid(t).heard(voided)},
		{"captured elsewhere, open", paid(t).heard(captured)},
		{"captured elsewhere, shipped", paid(t).heard(captured).shipped()},
		{"captured elsewhere, cancelled", paid(t).heard(captured).cancelled()},
		{"captured elsewhere, refund requested", paid(t).cancelled().heard(captured)},
		{"shipped", sent(t)},
		{"capture requested", sent(t).next()},
		{"capture unknown", sent(t).next().answered(unknown).until(retry)},
		{"capture refused", sent(t).next().answered(failed)},
		{"lapsed when shipped", sent(t).next().answered(voided)},
		{"captured, held", charged(t)},
		{"captured, hold over", charged(t).until(settleAt)},
		{"captured, settled outside", begin(t).by(place(func(p *order.Place) { p.Terms.Destination = "" })).
			next().answered(authorised).shipped().next().answered(captured).until(settleAt)},
		{"refund agreed", charged(t).agreed(refund, 1380)},
		{"refund requested", charged(t).agreed(refund, 1380).next()},
		{"refund requested, another agreed", charged(t).agreed(refund, 1380).next().agreed(second, 690)},
		{"refund unknown", charged(t).agreed(refund, 1380).next().answered(unknown).until(retry)},
		{"refund pending", charged(t).agreed(refund, 1380).next().answered(payment.Refunded{RefundID: "re_1", Pending: true})},
		{"refund returned", charged(t).agreed(refund, 1380).next().answered(refunded).sees1(t, payment.SeenRefund{ID: "re_1", Status: payment.RefundFailed})},
		{"refund refused", charged(t).agreed(refund, 1380).next().answered(failed)},
		{"refunded in part, held", charged(t).agreed(refund, 1380).next().answered(refunded)},
		{"refunded in part, hold over", charged(t).agreed(refund, 1380).next().answered(refunded).until(settleAt)},
		{"refunded whole, hold over", charged(t).agreed(refund, 0).next().answered(refunded).until(settleAt)},
		{"settlement requested", charged(t).until(settleAt).next()},
		{"settlement requested, refund agreed", charged(t).until(settleAt).next().agreed(refund, 1380)},
		{"settlement unknown", charged(t).until(settleAt).next().answered(unknown).until(settleAt.Add(payment.RetryFirst))},
		{"settlement refused", charged(t).until(settleAt).next().answered(failed)},
		{"settlement refused, retry due", charged(t).until(settleAt).next().answered(failed).until(settleAt.Add(payment.RefusedFirst))},
		{"settled", settled(t)},
		{"settled, refund agreed", settled(t).agreed(refund, 1380)},
		{"settled, refund requested", settled(t).agreed(refund, 1380).next()},
		{"reversal requested", settled(t).agreed(refund, 1380).next().answered(refunded)},
		{"reversal unknown", settled(t).agreed(refund, 1380).next().answered(refunded).answered(unknown).until(settleAt.Add(payment.RetryFirst))},
		{"settled, refunded in part", settled(t).agreed(refund, 1380).next().answered(refunded).answered(reversed)},
		{"settled, refunded whole", settled(t).agreed(refund, 0).next().answered(refunded).answered(reversed)},
		{"debt carried", settled(t).agreed(refund, 1380).next().answered(refunded).answered(failed)},
		{"inquiry", charged(t).disputed(inquiry)},
		{"in dispute", charged(t).disputed(opened)},
		{"in dispute, answer due", charged(t).disputed(opened).until(evidenceDue.Add(-order.EvidenceMargin))},
		{"in dispute, answer requested", charged(t).disputed(opened).by(order.Answer{At: noon}).next()},
		{"in dispute, answered", charged(t).disputed(opened).by(order.Answer{At: noon}).next().answered(payment.Disputed{Dispute: with(opened, submitted)})},
		{"in dispute, conceded", charged(t).disputed(opened).by(order.Concede{At: noon})},
		{"in dispute, concession requested", charged(t).disputed(opened).by(order.Concede{At: noon}).next()},
		{"in dispute, settled before", settled(t).disputed(opened).answered(reversed)},
		{"dispute won", charged(t).disputed(opened).disputed(with(opened, won)).until(settleAt)},
		{"dispute lost", charged(t).disputed(opened).disputed(with(opened, lost)).until(settleAt)},
		{"paid outside", outside()},
		{"paid outside, cancelled", thenOutside(outside().cancelled())},
		{"paid outside, shipped", thenOutside(outside().shipped())},
		{"paid outside, refunded in part", thenOutside(thenOutside(outside().shipped()).agreed(refund, 1380))},
	}
}

// input is one column of a table.
type input struct {
	name   string
	decide func(h *history, s order.State) ([]event.Data, error)
}

func saying(name string, c func(h *history) payment.Command) input {
	return input{name, func(h *history, s order.State) ([]event.Data, error) { return payment.Decider.Decide(s, c(h)) }}
}

func people(name string, c func(h *history) order.Command) input {
	return input{name, func(h *history, s order.State) ([]event.Data, error) { return order.Decider.Decide(s, c(h)) }}
}

// tables are the inputs: what is asked, what the open call (or, when none is,
// the last one) is answered, and what is heard of the intent unasked.
func tables() []struct {
	name   string
	inputs []input
} {
	outcomes := []struct {
		name string
		o    payment.Outcome
	}{
		{"Authorised", authorised}, {"ActionRequired", confirm}, {"Declined", declined}, {"Captured", captured}, {"Voided", voided},
		{"Refunded", refunded}, {"Refund pending", payment.Refunded{RefundID: "re_1", Pending: true}}, {"Transferred", transferred}, {"Reversed", reversed},
		{"Disputed", payment.Disputed{Dispute: with(opened, submitted)}}, {"Failed", failed}, {"Unknown", unknown},
	}
	ask := []input{
		saying("Advance, ours", func(h *history) payment.Command { return h.advance() }),
		saying("Advance, theirs", func(h *history) payment.Command { return payment.Advance{At: h.at, Account: theirs} }),
		people("Ship", func(h *history) order.Command { return order.Ship{At: h.at} }),
		people("Pay", func(h *history) order.Command { return order.Pay{At: h.at, PaymentMethod: "pm_3"} }),
		people("Answer", func(h *history) order.Command { return order.Answer{At: h.at} }),
		people("Cancel", func(h *history) order.Command { return order.Cancel{At: h.at} }),
		people("GiveBack", func(h *history) order.Command { return order.GiveBack{At: h.at, Refund: second, Amount: 690} }),
		people("Expire, early", func(*history) order.Command { return order.Expire{At: noon} }),
		people("Expire, late", func(*history) order.Command { return order.Expire{At: authEnds} }),
	}
	disputes := []input{
		saying("opened", func(h *history) payment.Command { return h.shown(opened) }),
		saying("inquiry", func(h *history) payment.Command { return h.shown(inquiry) }),
		saying("won", func(h *history) payment.Command { return h.shown(with(opened, won)) }),
		saying("lost", func(h *history) payment.Command { return h.shown(with(opened, lost)) }),
	}
	refunds := []input{
		saying("pending", func(h *history) payment.Command { return h.refund(payment.RefundPending) }),
		saying("succeeded", func(h *history) payment.Command { return h.refund(payment.RefundSucceeded) }),
		saying("failed", func(h *history) payment.Command { return h.refund(payment.RefundFailed) }),
		saying("not ours", func(h *history) payment.Command {
			return h.sees(payment.Seen{Intent: h.intent(), Refunds: []payment.SeenRefund{{ID: "re_9", Amount: 690, Status: payment.RefundSucceeded}}})
		}),
	}
	var record, observe []input
	for _, o := range outcomes {
		record = append(record, saying(o.name, func(h *history) payment.Command {
			return payment.Record{At: h.at, Account: ours, Key: h.lastKey(), Outcome: o.o}
		}))
		observe = append(observe, saying(o.name, func(h *history) payment.Command { return h.observe(o.o) }))
	}
	return []struct {
		name   string
		inputs []input
	}{{"ask", ask}, {"record", record}, {"observe", observe}, {"refund seen", refunds}, {"dispute seen", disputes}}
}

// refund is news of the refund that was asked for.
func (h *history) refund(s payment.RefundStatus) payment.Observe {
	return h.sees(payment.Seen{Intent: h.intent(), Refunds: []payment.SeenRefund{{ID: "re_1", Refund: refund, Amount: 1380, Status: s}}})
}

// intent of the order, "pi_1" while it has none.
func (h *history) intent() string { return cmp.Or(h.state().Payment.Intent, "pi_1") }

// sees1 goes on with news of a refund.
func (h *history) sees1(t *testing.T, r payment.SeenRefund) *history {
	t.Helper()
	return h.took(payment.Decider.Decide(h.state(), h.sees(payment.Seen{Intent: "pi_1", Outcome: captured, Refunds: []payment.SeenRefund{r}})))
}

// lastKey is the idempotency key of the last call.
func (h *history) lastKey() (key string) {
	for _, e := range h.log {
		switch e := e.(type) {
		case order.AuthorisationRequested:
			key = e.Key
		case order.VoidRequested:
			key = e.Key
		case order.CaptureRequested:
			key = e.Key
		case order.RefundRequested:
			key = e.Key
		case order.SettlementRequested:
			key = e.Key
		case order.ReversalRequested:
			key = e.Key
		case order.ContestRequested:
			key = e.Key
		case order.AcceptRequested:
			key = e.Key
		}
	}
	return key
}

// words say in a cell what was decided.
var words = map[string]string{
	"PaymentAuthorisationRequested": "authorise?", "PaymentActionRequired": "action", "PaymentAuthorised": "authorised", "PaymentDeclined": "declined",
	"PaymentVoidRequested": "void?", "PaymentVoided": "voided",
	"PaymentCaptureRequested": "capture?", "PaymentCaptured": "captured", "PaymentCaptureFailed": "uncaptured",
	"PaymentRefundRequested": "refund?", "PaymentRefunded": "refunded", "PaymentRefundFailed": "unrefunded",
	"SettlementRequested": "settle?", "SettlementPaid": "settled", "SettlementFailed": "unsettled",
	"PaymentOutcomeUnknown": "unknown", "OrderPaymentMethodGiven": "given", "PaymentAuthorisationExpiring": "warned", "PaymentEarned": "earned",
	"PaymentRefundPending": "pending", "PaymentRefundReturned": "returned",
	"SettlementReleased": "released", "SettlementReserveReleased": "unreserved", "SettlementReversalRequested": "reverse?", "SettlementReversed": "reversed",
	"SettlementDebtCarried": "carried", "DisputeOpened": "disputed", "DisputeEscalated": "escalated", "DisputeFundsWithdrawn": "withdrawn",
	"DisputeAnswered": "answered", "DisputeContestRequested": "contest?", "DisputeContested": "contested", "DisputeContestFailed": "uncontested",
	"DisputeAcceptRequested": "accept?", "DisputeReallocated": "reallocated", "DisputeFundsReinstated": "reinstated",
	"OrderShipped": "shipped", "OrderCancelled": "cancelled", "OrderRefundAgreed": "agreed",
}

func cell(events []event.Data, err error) string {
	if err != nil {
		return "no: " + refusal.From(err).Code
	}
	if len(events) == 0 {
		return "·"
	}
	var said []string
	for _, e := range events {
		switch e := e.(type) {
		case order.Expired:
			said = append(said, e.Cause)
		case order.DisputeClosed:
			said = append(said, string(e.Result))
		case order.Voided:
			said = append(said, map[string]string{"requested": "voided", "lapsed": "lapsed", "captured": "taken instead"}[e.Cause])
		default:
			said = append(said, words[e.EventType()])
		}
	}
	return strings.Join(said, ", ")
}

// written reads the table: table, state, input, cell.
func written(t *testing.T) map[string]map[string][]string {
	all := map[string]map[string][]string{}
	var rows map[string][]string
	lines := bufio.NewScanner(bytes.NewReader(saga))
	for lines.Scan() {
		line := lines.Text()
		if name, ok := strings.CutPrefix(line, "## "); ok {
			rows = map[string][]string{}
			all[name] = rows
			continue
		}
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|-") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if _, twice := rows[cells[0]]; twice {
			t.Errorf("state %q is in the table twice", cells[0])
		}
		rows[cells[0]] = cells[1:]
	}
	return all
}

func TestSaga(t *testing.T) {
	table := written(t)
	for _, tab := range tables() {
		rows := table[tab.name]
		var heads []string
		for _, in := range tab.inputs {
			heads = append(heads, in.name)
		}
		if !slices.Equal(rows["state"], heads) {
			t.Errorf("table %q has the columns %q, want %q", tab.name, rows["state"], heads)
		}
		delete(rows, "state")
		for _, st := range states(t) {
			var got []string
			for _, in := range tab.inputs {
				t.Run(tab.name+"/"+st.name+"/"+in.name, func(t *testing.T) { got = append(got, tell(t, st.h, in)) })
			}
			if want := rows[st.name]; !slices.Equal(want, got) {
				t.Errorf("table %q says otherwise:\n written | %s | %s |\n decided | %s | %s |",
					tab.name, st.name, strings.Join(want, " | "), st.name, strings.Join(got, " | "))
			}
			delete(rows, st.name)
		}
		for name := range rows {
			t.Errorf("table %q has a state %q that nobody makes", tab.name, name)
		}
	}
}

// tell decides one cell, and twice: the second time nothing happens. Deciding
// changes nothing.
func tell(t *testing.T, h *history, in input) string {
	s := h.state()
	events, err := in.decide(h, s)
	if diff := gocmp.Diff(h.state(), s); diff != "" {
		t.Errorf("deciding changed the state (-before +after):\n%s", diff)
	}
	if err != nil {
		if len(events) > 0 || refusal.From(err) == nil {
			t.Errorf("decided %v and %v", events, err)
		}
		return cell(nil, err)
	}
	after := *h
	after.log = append(slices.Clone(h.log), events...)
	if len(events) > 0 {
		// The same input again, word for word: its key is the one of before.
		if again, err := in.decide(h, after.state()); err != nil || len(again) > 0 {
			t.Errorf("said twice, it happened twice: %s, then %s", cell(events, nil), cell(again, err))
		}
		// Folding event by event is folding all: After leaves what it is given.
		if diff := gocmp.Diff(after.state(), order.After(s, events...)); diff != "" {
			t.Errorf("After is another state (-fold +after):\n%s", diff)
		}
	}
	return cell(events, nil)
}

// The histories of the states themselves are lawful: an intention comes before
// its outcome, one call is open at a time, and no key is used twice.
func TestOneCallAtATime(t *testing.T) {
	for _, st := range states(t) {
		keys, open := map[string]bool{}, ""
		s := order.Decider.Initial()
		for i, e := range st.h.log {
			s = order.Decider.Evolve(s, e)
			due, isOpen := payment.Due(s)
			if isOpen && due.Key != open {
				if open != "" {
					t.Errorf("%s: event %d asks for %s while %s is open", st.name, i, due.Key, open)
				}
				if keys[due.Key] {
					t.Errorf("%s: event %d uses the key %s again", st.name, i, due.Key)
				}
				keys[due.Key] = true
			}
			open = due.Key
		}
	}
}

// A state is at rest when nothing is to be done until somebody asks.
func TestAtRest(t *testing.T) {
	for _, st := range states(t) {
		s := st.h.state()
		if s.Placed.Order != id {
			continue
		}
		events, err := payment.Decider.Decide(s, payment.Advance{At: st.h.at, Account: s.Payment.Account, Shop: &payment.ShopSays{}, Evidence: &order.Evidence{}})
		_, open := payment.Due(s)
		if want := err == nil && len(events) == 0 && !open; payment.AtRest(s, st.h.at) != want {
			t.Errorf("%s: at rest %v, want %v", st.name, !want, want)
		}
	}
	if !payment.AtRest(decider.Fold(order.Decider), noon.Add(time.Hour)) {
		t.Error("an order that never came is not at rest")
	}
}
