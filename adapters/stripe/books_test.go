package stripe_test

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"kicau/adapters/stripe"
	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/domain/payment"
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

// What an order moved is in the books, each movement once, with what moved it;
// their sum is the balance.
func TestTheBooksOfAnOrder(t *testing.T) {
	w := newWorld(t)
	before := w.time()
	a := w.authorised()
	o := w.perform(w.intention(order.Capture, func(e *payment.Effect) { e.Intent, e.Amount = a.Intent, 1500 })).(payment.Captured)
	r := w.perform(w.intention(order.Refunding, func(e *payment.Effect) { e.Intent, e.Refund, e.Amount = a.Intent, uuid.New(), 500 })).(payment.Refunded)
	paid := w.perform(w.intention(order.Settle, func(e *payment.Effect) { e.Charge, e.Amount = a.Charge, 800 })).(payment.Transferred)
	back := w.perform(w.intention(order.Reverse, func(e *payment.Effect) { e.Transfer, e.Amount = paid.Transfer, 300 })).(payment.Reversed)

	all, errs := collect(w.client.Movements(context.Background(), before, w.time().Add(time.Second)))
	if errs != nil {
		t.Fatal(errs)
	}
	type told struct {
		Category, Source, Charge, Transfer string
		Amount, Fee                        money.Minor
	}
	got := map[string]told{}
	var sum money.Minor
	for _, m := range all {
		if m.Net != m.Amount-m.Fee || m.Currency != "GBP" || m.Created.Before(before) {
			t.Errorf("%+v", m)
		}
		sum += m.Net
		got[m.Kind+" "+m.Category] = told{m.Category, m.Source, m.Charge, m.Transfer, m.Amount, m.Fee}
	}
	want := map[string]told{
		"charge charge": {"charge", a.Charge, a.Charge, "", 2500, fee(2500)},
		"refund partial_capture_reversal": {"partial_capture_reversal", got["refund partial_capture_reversal"].Source, a.Charge, "", -1000,
			o.ProcessorFee - fee(2500)},
		"refund refund":                       {"refund", r.RefundID, a.Charge, "", -500, 0},
		"transfer transfer":                   {"transfer", paid.Transfer, "", paid.Transfer, -800, 0},
		"transfer_reversal transfer_reversal": {"transfer_reversal", back.Reversal, "", paid.Transfer, 300, 0},
	}
	if d := cmp.Diff(want, got); d != "" || len(all) != len(want) {
		t.Errorf("%d movements: %s", len(all), d)
	}
	funds, err := w.client.Balance(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range funds {
		if f.Currency == "GBP" && f.Available+f.Pending != sum {
			t.Errorf("the balance is %+v, its movements are %d", f, sum)
		}
	}

	if none, errs := collect(w.client.Movements(context.Background(), before.Add(-time.Hour), before)); none != nil || errs != nil {
		t.Errorf("before it began: %+v, %v", none, errs)
	}
}

func TestPayouts(t *testing.T) {
	w := newWorld(t)
	prepared(w, order.Reverse)
	w.payOut(900)
	all, errs := collect(w.client.ConnectedPayouts(context.Background(), w.shop, w.time()))
	if len(all) != 1 || errs != nil || all[0].Amount != 900 || all[0].Currency != "GBP" || all[0].Status != "pending" || !all[0].ArrivesOn.After(w.time()) {
		t.Errorf("of the shop: %+v, %v", all, errs)
	}
	if own, errs := collect(w.client.Payouts(context.Background(), w.time())); own != nil || errs != nil {
		t.Errorf("of the platform: %+v, %v", own, errs)
	}
	if own, errs := collect(w.client.ConnectedPayouts(context.Background(), "", w.time())); own != nil || len(errs) != 1 {
		t.Errorf("of no account: %+v, %v", own, errs)
	}

	f := newFake(t, always(200, list(object{"id": "po_1", "object": "payout", "amount": 1200, "currency": "jpy", "status": "failed", "automatic": true,
		"arrival_date": noon.Unix(), "created": noon.Unix() - 60, "balance_transaction": "txn_1", "failure_balance_transaction": "txn_2", "failure_code": "account_closed"})))
	all, errs = collect(newClient(t, f.url).Payouts(context.Background(), noon.Add(-time.Hour)))
	want := stripe.Payout{ID: "po_1", Currency: "JPY", Amount: 1200, Status: "failed", Automatic: true, Created: noon.Add(-time.Minute), ArrivesOn: noon,
		Transaction: "txn_1", Returned: "txn_2", Code: "account_closed"}
	if d := cmp.Diff([]stripe.Payout{want}, all); d != "" || errs != nil {
		t.Errorf("%v %s", errs, d)
	}
	if got := f.last().form; got.Get("created[gte]") != fmt.Sprint(noon.Add(-time.Hour).Unix()) || f.last().http.Header.Get("Stripe-Account") != "" {
		t.Errorf("asked with %v", got)
	}
}

// A row that cannot be read is named, and hides none after it; a list that breaks
// off says so.
func TestBooksThatCannotBeRead(t *testing.T) {
	row := func(id string, more object) object {
		return object{"id": id, "object": "balance_transaction", "amount": 100, "fee": 0, "net": 100, "currency": "gbp", "type": "charge",
			"source": nil, "status": "available", "created": noon.Unix()}.with(more)
	}
	n := 0
	f := newFake(t, func(w http.ResponseWriter, r request) {
		if n++; n > 1 {
			if got := r.form.Get("starting_after"); got != "txn_4" {
				t.Errorf("the second page starts after %q", got)
			}
			drop(w, r)
			return
		}
		reply(w, 200, object{"object": "list", "has_more": true, "data": []object{
			row("txn_1", object{"currency": "zzz"}), row("txn_2", object{"fee": 1}), row("txn_3", object{"source": "ch_1"}),
			// 3.45 krónur, as Stripe counts a fee
			row("txn_4", object{"currency": "isk", "amount": -345, "net": -345, "type": "stripe_fee", "source": nil}),
		}})
	})
	all, errs := collect(newClient(t, f.url).Movements(context.Background(), noon, noon.Add(time.Hour)))
	if len(all) != 2 || all[0].Source != "ch_1" || !all[0].Available || all[1].Amount != -3 || all[1].Currency != "ISK" {
		t.Errorf("%+v", all)
	}
	for i, want := range []string{"txn_1: \"zzz\" is not a currency", "txn_2: 100 less a fee of 1 is not 100", "list balance transactions at Stripe: no answer"} {
		if len(errs) != 3 || !strings.Contains(errs[i], want) {
			t.Errorf("%q, want %q", errs, want)
		}
	}
	if got := f.first().form; got.Get("expand[0]") != "data.source" || got.Get("created[lt]") != fmt.Sprint(noon.Add(time.Hour).Unix()) {
		t.Errorf("asked with %v", got)
	}
}

// Who has seen enough asks for no more pages.
func TestBooksAreReadAsTheyAreWanted(t *testing.T) {
	n := 0
	f := newFake(t, func(w http.ResponseWriter, _ request) {
		n++
		reply(w, 200, object{"object": "list", "has_more": true, "data": []object{{"id": fmt.Sprint("evt_", n), "object": "event", "type": "charge.captured"}}})
	})
	seen := 0
	for range newClient(t, f.url).News(context.Background(), noon) {
		if seen++; seen == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("%d pages were asked for, want 3", n)
	}
	if _, errs := collect(newClient(t, f.url).News(context.Background(), noon)); len(errs) != 1 || !strings.Contains(errs[0], "more than 100000") || n != 3+1000 {
		t.Errorf("an endless list: %q after %d pages", errs, n)
	}
}

func TestBalanceByCurrency(t *testing.T) {
	f := newFake(t, always(200, object{"object": "balance", "available": []object{{"amount": -120, "currency": "gbp"}, {"amount": 700, "currency": "isk"}},
		"pending": []object{{"amount": 500, "currency": "gbp"}, {"amount": 30, "currency": "jpy"}}}))
	got, err := newClient(t, f.url).Balance(context.Background())
	want := []stripe.Funds{{Currency: "GBP", Available: -120, Pending: 500}, {Currency: "ISK", Available: 7}, {Currency: "JPY", Pending: 30}}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v %s", err, d)
	}
	f.answer = always(200, object{"object": "balance", "available": []object{{"amount": 1, "currency": "zzz"}}})
	if _, err := newClient(t, f.url).Balance(context.Background()); err == nil {
		t.Error("a currency unheard of has a balance")
	}
	f.answer = drop
	if _, err := newClient(t, f.url).Balance(context.Background()); err == nil {
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

	news, errs := collect(w.client.News(context.Background(), noon))
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
	if late, _ := collect(w.client.News(context.Background(), noon.Add(time.Second))); len(late) == 0 || len(late) >= len(news) {
		t.Errorf("%d of %d news are later", len(late), len(news))
	}
}

func TestIntentOfACharge(t *testing.T) {
	w := newWorld(t)
	a := w.authorised()
	if got, err := w.client.IntentOf(context.Background(), a.Charge); got != a.Intent || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := w.client.IntentOf(context.Background(), "ch_none"); got != "" || err == nil {
		t.Errorf("a charge that does not exist: %q, %v", got, err)
	}
	if got, err := w.client.IntentOf(context.Background(), ""); got != "" || err == nil {
		t.Errorf("no charge: %q, %v", got, err)
	}
	f := newFake(t, always(200, held.with(object{"payment_intent": nil})))
	if got, err := newClient(t, f.url).IntentOf(context.Background(), "ch_1"); got != "" || err != nil {
		t.Errorf("a charge without an intent: %q, %v", got, err)
	}
}
