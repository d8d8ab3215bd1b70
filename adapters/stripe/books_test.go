package stripe_test

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/domain/payment"
	"kicau/domain/payout"
	"kicau/domain/reconcile"
)

func collect[T any](rows iter.Seq2[T, error]) (all []T, errs []string) {
	for row, err := range rows {
		if err != nil {
			errs = append(errs, err.Error())
			continue
		}
		all = append(all, row)
	}
	return all, errs
}

// What an order moved is in the books, each movement once, named as our books name
// it; the sum is the balance.
func TestTheBooksOfAnOrder(t *testing.T) {
	w := newWorld(t)
	a := w.authorised()
	o := w.perform(w.intention(order.Capture, func(e *payment.Effect) { e.Intent, e.Amount = a.Intent, 1500 })).(payment.Captured)
	r := w.perform(w.intention(order.Refunding, func(e *payment.Effect) { e.Intent, e.Refund, e.Amount = a.Intent, uuid.New(), 500 })).(payment.Refunded)
	paid := w.perform(w.intention(order.Settle, func(e *payment.Effect) { e.Charge, e.Amount = a.Charge, 800 })).(payment.Transferred)
	back := w.perform(w.intention(order.Reverse, func(e *payment.Effect) { e.Transfer, e.Amount = paid.Transfer, 300 })).(payment.Reversed)

	all, errs := collect(w.client.Movements(context.Background()))
	if errs != nil {
		t.Fatal(errs)
	}
	got, fees := map[reconcile.Key]money.Minor{}, map[reconcile.Key]money.Minor{}
	var sum money.Minor
	for _, m := range all {
		if m.Currency != "GBP" || !m.At.Equal(noon) {
			t.Errorf("%+v", m)
		}
		if of := m.Kind == reconcile.Sale || m.Kind == reconcile.Refund; of != (m.Intent == a.Intent) {
			t.Errorf("a %s of the payment %q, which is %q", m.Kind, m.Intent, a.Intent)
		}
		sum += m.Net
		got[m.Key] += m.Net
		fees[m.Key] += m.Fee
	}
	want := map[reconcile.Key]money.Minor{
		{Kind: reconcile.Sale, Object: a.Charge}:          1500 - o.ProcessorFee, // two transactions
		{Kind: reconcile.Refund, Object: r.RefundID}:      -500,
		{Kind: reconcile.Transfer, Object: paid.Transfer}: -800,
		{Kind: reconcile.Reversal, Object: back.Reversal}: 300,
	}
	if d := cmp.Diff(want, got); d != "" || len(all) != 5 || fees[reconcile.Key{Kind: reconcile.Sale, Object: a.Charge}] != o.ProcessorFee {
		t.Errorf("%d movements: %s", len(all), d)
	}
	funds, err := w.client.Balances(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range funds {
		if f.Currency == "GBP" && f.Available+f.Pending != sum {
			t.Errorf("the balance is %+v, its movements are %d", f, sum)
		}
	}
}

func TestPayouts(t *testing.T) {
	w := newWorld(t)
	prepared(w, order.Reverse)
	w.wait(3 * 24 * time.Hour) // until the money has come in
	w.payOut(900)
	all, errs := collect(w.client.ConnectedPayouts(context.Background(), w.shop, w.time()))
	if len(all) != 1 || errs != nil || all[0].Sent.Amount != 900 || all[0].Sent.Account != w.shop || all[0].Status != payout.OnItsWay || !all[0].Sent.ArrivesOn.After(w.time()) {
		t.Errorf("of the shop: %+v, %v", all, errs)
	}
	if own, errs := collect(w.client.Payouts(context.Background())); own != nil || errs != nil {
		t.Errorf("of the platform: %+v, %v", own, errs)
	}
	if own, errs := collect(w.client.ConnectedPayouts(context.Background(), "", w.time())); own != nil || len(errs) != 1 {
		t.Errorf("of no account: %+v, %v", own, errs)
	}

	f := newFake(t, by(map[string]func(http.ResponseWriter, request){
		"GET /v1/account": always(200, object{"id": "acct_1", "object": "account"}),
		"GET /v1/payouts": always(200, list(object{"id": "po_1", "object": "payout", "amount": 1200, "currency": "jpy", "status": "failed", "automatic": true,
			"created": noon.Unix(), "arrival_date": noon.Unix(), "balance_transaction": "txn_1", "failure_balance_transaction": "txn_2", "failure_code": "account_closed"})),
	}))
	all, errs = collect(newClient(t, f.url).Payouts(context.Background()))
	want := payout.Observe{Status: payout.Returned, Code: "account_closed", Returned: "txn_2", Sent: payout.Sent{Payout: "po_1", Account: "acct_1",
		Currency: "JPY", Amount: 1200, SentAt: noon, ArrivesOn: noon, Transaction: "txn_1", Automatic: true}}
	if d := cmp.Diff([]payout.Observe{want}, all); d != "" || errs != nil || f.last().http.Header.Get("Stripe-Account") != "" {
		t.Errorf("%v %s", errs, d)
	}
}

// Books that cannot be read whole are none.
func TestBooksThatCannotBeRead(t *testing.T) {
	row := func(more object) object {
		return object{"id": "txn_1", "object": "balance_transaction", "amount": 100, "fee": 0, "net": 100, "currency": "gbp", "type": "charge",
			"reporting_category": "charge", "source": object{"id": "ch_1", "object": "charge"}, "created": noon.Unix()}.with(more)
	}
	for _, c := range []struct {
		name, reason string
		answer       func(http.ResponseWriter, request)
	}{
		{"a sum that is none", "balance transaction txn_1: 100 less a fee of 1 is not 100", always(200, list(row(object{"fee": 1}), row(nil)))},
		{"no answer", "list balance transactions at Stripe: no answer", drop},
		{"a page that is promised and not given", "promises a page", always(200, object{"object": "list", "has_more": true, "data": []object{}})},
	} {
		t.Run(c.name, func(t *testing.T) {
			all, errs := collect(newClient(t, newFake(t, c.answer).url).Movements(context.Background()))
			if all != nil || len(errs) != 1 || !strings.Contains(errs[0], c.reason) {
				t.Errorf("%+v, %q; want nothing, and %q", all, errs, c.reason)
			}
		})
	}
}

// A fee may be finer than its currency: 3.45 krónur, as Stripe counts them. It is
// rounded as the ledger rounds it, alone or kept of a movement.
func TestAFeeFinerThanItsCurrency(t *testing.T) {
	f := newFake(t, always(200, list(
		object{"id": "txn_2", "object": "balance_transaction", "amount": -345, "fee": 0, "net": -345, "currency": "isk", "reporting_category": "fee", "source": nil},
		object{"id": "txn_1", "object": "balance_transaction", "amount": 10_000, "fee": 345, "net": 9_655, "currency": "isk", "reporting_category": "charge",
			"source": object{"id": "ch_1", "object": "charge"}})))
	all, errs := collect(newClient(t, f.url).Movements(context.Background()))
	if errs != nil || len(all) != 2 || all[0].Net != -3 || all[0].Key != (reconcile.Key{Kind: reconcile.Fee, Object: "txn_2"}) ||
		all[1].Net != 97 || all[1].Fee != 3 || all[1].Object != "ch_1" {
		t.Errorf("%+v, %v", all, errs)
	}
}

// Who has seen enough asks for no more pages.
func TestBooksAreReadAsTheyAreWanted(t *testing.T) {
	n := 0
	f := newFake(t, func(w http.ResponseWriter, r request) {
		n++
		if want := fmt.Sprint("evt_", n-1); n > 1 && r.form.Get("starting_after") != want {
			t.Errorf("page %d starts after %q, want %q", n, r.form.Get("starting_after"), want)
		}
		reply(w, 200, object{"object": "list", "has_more": true, "data": []object{{"id": fmt.Sprint("evt_", n), "object": "event", "type": "charge.captured"}}})
	})
	seen := 0
	for range newClient(t, f.url).Notices(context.Background(), noon) {
		if seen++; seen == 3 {
			break
		}
	}
	if n != 3 || f.first().form.Get("created[gte]") != fmt.Sprint(noon.Unix()) {
		t.Errorf("%d pages were asked for, want 3", n)
	}
}

// A payment is named once, however much happened to it; by its charge where that is all
// there is and Stripe does not say now whose it is.
func TestNewsNamePaymentsOnce(t *testing.T) {
	n := 0
	of := func(data object) object {
		n++
		return object{"id": fmt.Sprint("evt_", n), "object": "event", "type": "something", "data": object{"object": data}}
	}
	f := newFake(t, by(map[string]func(http.ResponseWriter, request){
		"GET /v1/events": always(200, list(of(object{"id": "pi_2", "object": "payment_intent"}), of(object{"id": "dp_1", "object": "dispute", "charge": "ch_1"}),
			of(object{"id": "pi_1", "object": "payment_intent"}), of(object{"id": "dp_1", "object": "dispute", "charge": "ch_1"}),
			of(object{"id": "dp_2", "object": "dispute", "charge": "ch_away"}), of(object{"id": "dp_2", "object": "dispute", "charge": "ch_away"}),
			of(object{"id": "dp_3", "object": "dispute", "charge": "ch_none"}), of(object{"id": "po_1", "object": "payout"}))),
		"GET /v1/charges/ch_1": always(200, held), "GET /v1/charges/ch_away": drop, "GET /v1/charges/ch_none": always(404, failing(object{"type": "invalid_request_error", "code": "resource_missing", "message": "No such charge"})),
	}))
	all, errs := collect(newClient(t, f.url).News(context.Background(), noon))
	var got []string
	for _, n := range all {
		got = append(got, n.Intent)
	}
	if d := cmp.Diff([]string{"pi_2", "pi_1", "ch_away"}, got); d != "" || errs != nil || strings.Count(joined(f.lines()), "ch_1") != 1 {
		t.Errorf("%v after %s: %s", errs, joined(f.lines()), d)
	}
}

func TestBalanceByCurrency(t *testing.T) {
	f := newFake(t, always(200, object{"object": "balance", "available": []object{{"amount": -120, "currency": "gbp"}, {"amount": 745, "currency": "isk"}},
		"pending": []object{{"amount": 500, "currency": "gbp"}, {"amount": 30, "currency": "jpy"}}}))
	got, err := newClient(t, f.url).Balances(context.Background())
	want := []reconcile.Balance{{Currency: "GBP", Available: -120, Pending: 500}, {Currency: "ISK", Available: 7}, {Currency: "JPY", Pending: 30}}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v %s", err, d)
	}
	f.answer = drop
	if _, err := newClient(t, f.url).Balances(context.Background()); err == nil {
		t.Error("no answer has a balance")
	}
}

// What happened is told by the list of events as webhooks would have told it. In
// whatever order notices come, and however often, what they lead to is the same.
func TestNewsInAnyOrder(t *testing.T) {
	w := newWorld(t)
	a := w.authorisedOn("pm_card_createDispute")
	w.captured(a)
	w.wait(time.Minute)
	w.order = uuid.New()
	other := w.authorised()
	w.perform(w.intention(order.Void, func(e *payment.Effect) { e.Intent = other.Intent }))

	news, errs := collect(w.client.Notices(context.Background(), noon))
	if errs != nil || len(news) < 8 {
		t.Fatalf("%+v, %v", news, errs)
	}
	kinds := map[string]bool{}
	read := func(intent string) payment.Seen {
		_, seen := w.client.Read(context.Background(), intent)
		return seen
	}
	want := map[string]payment.Seen{a.Intent: read(a.Intent), other.Intent: read(other.Intent)}
	for i := range 3 * len(news) { // oldest first, newest first, every third; each more than once
		n := news[[]int{len(news) - 1 - i%len(news), i % len(news), 3 * i % len(news)}[i/len(news)]]
		kinds[n.Type] = true
		if n.Intent == "" {
			continue
		}
		if d := cmp.Diff(want[n.Intent], read(n.Intent)); d != "" {
			t.Errorf("after %s: %s", n.Type, d)
		}
	}
	for _, kind := range []string{"charge.dispute.created", "charge.dispute.funds_withdrawn", "payment_intent.succeeded", "payment_intent.canceled"} {
		if !kinds[kind] {
			t.Errorf("no news of %s", kind)
		}
	}
	if len(want[a.Intent].Disputes) != 1 || kind(want[other.Intent].Outcome) != "voided" {
		t.Errorf("%+v", want)
	}
	if late, _ := collect(w.client.Notices(context.Background(), noon.Add(time.Second))); len(late) == 0 || len(late) >= len(news) {
		t.Errorf("%d of %d news are later", len(late), len(news))
	}
}

// What is said of a charge is said of its payment intent.
func TestAPaymentByItsCharge(t *testing.T) {
	w := newWorld(t)
	a := w.authorised()
	if order, seen := w.client.Read(context.Background(), a.Charge); seen.Intent != a.Intent || order == uuid.Nil || kind(seen.Outcome) != "authorised" {
		t.Errorf("%s: %+v", order, seen)
	}
	if _, seen := w.client.Read(context.Background(), "py_none"); kind(seen.Outcome) != "failed" {
		t.Errorf("a payment by another means: %+v", seen)
	}
	order, seen := w.client.Read(context.Background(), "ch_none")
	if _, failed := seen.Outcome.(payment.Failed); !failed || order != uuid.Nil {
		t.Errorf("a charge that does not exist: %s, %+v", order, seen)
	}
	f := newFake(t, always(200, held.with(object{"payment_intent": nil})))
	order, seen = newClient(t, f.url).Read(context.Background(), "ch_1")
	if _, failed := seen.Outcome.(payment.Failed); !failed || order != uuid.Nil {
		t.Errorf("a charge without an intent: %s, %+v", order, seen)
	}
}

func payoutOf(id string, more object) object {
	return object{"id": id, "object": "payout", "amount": 900, "currency": "usd", "status": "paid", "automatic": true,
		"created": noon.Unix(), "arrival_date": noon.Unix(), "balance_transaction": "txn_" + id, "original_payout": nil}.with(more)
}

// Payouts of less than nothing are what the bank was asked for. Those in a currency
// that is not known here are left to the comparison, which has their movement.
func TestOddPayouts(t *testing.T) {
	f := newFake(t, by(map[string]func(http.ResponseWriter, request){
		"GET /v1/account": always(200, object{"id": "acct_1", "object": "account"}),
		"GET /v1/payouts": always(200, list(payoutOf("po_4", object{"amount": 19_310, "currency": "isk"}), payoutOf("po_3", object{"currency": "bgn"}),
			payoutOf("po_2", object{"amount": -1200}), payoutOf("po_1", nil))),
	}))
	all, errs := collect(newClient(t, f.url).Payouts(context.Background()))
	var amounts []money.Minor
	for _, o := range all {
		amounts = append(amounts, o.Sent.Amount)
	}
	if errs != nil || !slices.Equal(amounts, []money.Minor{193, -1200, 900}) {
		t.Errorf("%v, %v", amounts, errs)
	}
}

// A payout that was asked back, in vain, has arrived.
func TestAPayoutThatTheBankKept(t *testing.T) {
	for _, status := range []string{"failed", "canceled"} {
		f := newFake(t, by(map[string]func(http.ResponseWriter, request){
			"GET /v1/account": always(200, object{"id": "acct_1", "object": "account"}),
			"GET /v1/payouts": always(200, list(payoutOf("po_2", object{"amount": -900, "status": status, "failure_balance_transaction": "txn_3", "original_payout": "po_1"}),
				payoutOf("po_1", object{"reversed_by": "po_2"}))),
		}))
		all, errs := collect(newClient(t, f.url).Payouts(context.Background()))
		if errs != nil || len(all) != 1 || all[0].Status != payout.Arrived {
			t.Errorf("%s: %+v %q", status, all, errs)
		}
	}
}

// A currency that is not known here has movements, of which a person has to say what
// they are, and no sums.
func TestACurrencyThatIsNotKnown(t *testing.T) {
	sale := object{"id": "txn_1", "object": "balance_transaction", "amount": 1000, "fee": 30, "net": 970, "currency": "bgn", "reporting_category": "charge",
		"source": object{"id": "ch_1", "object": "charge"}, "created": noon.Unix()}
	c := newClient(t, newFake(t, by(map[string]func(http.ResponseWriter, request){
		"GET /v1/balance_transactions": always(200, list(sale)),
		"GET /v1/balance":              always(200, object{"object": "balance", "available": []object{{"amount": 970, "currency": "bgn"}, {"amount": 5, "currency": "gbp"}}, "pending": []object{}}),
	})).url)
	moved, errs := collect(c.Movements(context.Background()))
	funds, err := c.Balances(context.Background())
	if errs != nil || err != nil || len(moved) != 1 || len(funds) != 1 || funds[0].Currency != "GBP" {
		t.Fatal(moved, funds, errs, err)
	}
	if m := moved[0]; m.Kind != reconcile.Other || m.Object != "txn_1" || m.Currency != "BGN" || m.Net != 970 || !strings.Contains(m.Text, "not known here") {
		t.Errorf("%+v", m)
	}
}

// Stripe counts krónur in hundredths, in which fees are taken. What is rounded is no
// difference: not in the sum of two sales, nor in a sale that is two movements.
func TestFeesFinerThanTheCurrency(t *testing.T) {
	tx := func(id string, amount, fee int64, category string, source object) object {
		return object{"id": id, "object": "balance_transaction", "amount": amount, "fee": fee, "net": amount - fee, "currency": "isk", "reporting_category": category, "source": source, "created": noon.Unix()}
	}
	agree := func(what string, balance int64, all []object, ours ...reconcile.Movement) {
		t.Helper()
		c := newClient(t, newFake(t, by(map[string]func(http.ResponseWriter, request){
			"GET /v1/balance_transactions": always(200, list(all...)),
			"GET /v1/balance":              always(200, object{"object": "balance", "available": []object{{"amount": balance - 5_060, "currency": "isk"}}, "pending": []object{{"amount": 5_060, "currency": "isk"}}}),
		})).url)
		theirs, errs := collect(c.Movements(context.Background()))
		funds, err := c.Balances(context.Background())
		if errs != nil || err != nil {
			t.Fatal(errs, err)
		}
		facts, _ := reconcile.Decider.Decide(reconcile.State{}, reconcile.Run{At: noon, Theirs: theirs, Ours: ours, Balance: funds})
		for _, f := range facts {
			if b, ok := f.(reconcile.BreakFound); ok {
				t.Errorf("%s: %s: ours %d, theirs %d", what, b.Class, b.Ours, b.Theirs)
			}
		}
	}
	sold := func(charge string, net, fee money.Minor) reconcile.Movement {
		return reconcile.Movement{Key: reconcile.Key{Kind: reconcile.Sale, Object: charge}, Currency: "ISK", Net: net, Fee: fee, At: noon}
	}
	one, two := object{"id": "ch_1", "object": "charge"}, object{"id": "ch_2", "object": "charge"}
	agree("two sales", 19_310, []object{tx("txn_2", 10_000, 345, "charge", two), tx("txn_1", 10_000, 345, "charge", one)}, sold("ch_1", 97, 3), sold("ch_2", 97, 3))
	agree("a part", 7_715, []object{tx("txn_2", -2_000, -60, "partial_capture_reversal", object{"id": "re_1", "object": "refund", "charge": "ch_1"}), tx("txn_1", 10_000, 345, "charge", one)}, sold("ch_1", 77, 3))
}
