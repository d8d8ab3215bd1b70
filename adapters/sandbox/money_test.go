package sandbox_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"
	"pgregory.net/rapid"

	"kicau/adapters/sandbox"
)

func TestFees(t *testing.T) {
	w := start(t, sandbox.Options{})
	for amount, fee := range map[int64]int64{ // 2.9 % + 30, half a unit up
		50: 31, 51: 31, 52: 32, 100: 33, 500: 45, 1000: 59, 1050: 60, 1099: 62, 2000: 88, 12345: 388, 99_999_999: 2_900_030,
	} {
		pi := w.paid(amount, "pm_card_visa")
		it := w.BalanceTransactions.List(&stripe.BalanceTransactionListParams{Source: stripe.String(pi.LatestCharge.ID)})
		if !it.Next() || it.BalanceTransaction().Fee != fee || it.BalanceTransaction().Net != amount-fee {
			t.Errorf("fee of %d: %+v, want %d", amount, it.BalanceTransaction(), fee)
		}
	}
	w.books()
}

func TestFundsBecomeAvailable(t *testing.T) {
	w := start(t, sandbox.Options{})
	w.clock.set(time.Date(2026, 3, 10, 15, 0, 0, 0, time.UTC))
	w.paid(10000, "pm_card_visa")
	w.paid(5000, "pm_card_bypassPending")
	for _, step := range []struct {
		at                 time.Time
		available, pending int64
	}{
		{time.Date(2026, 3, 10, 15, 0, 0, 0, time.UTC), 5000 - 175, 10000 - 320},
		{time.Date(2026, 3, 11, 23, 59, 59, 0, time.UTC), 5000 - 175, 10000 - 320},
		{time.Date(2026, 3, 12, 0, 0, 0, 0, time.UTC), 15000 - 495, 0},
	} {
		w.clock.set(step.at)
		if available, pending := w.books(); available != step.available || pending != step.pending {
			t.Errorf("at %s: %d + %d, want %d + %d", step.at, available, pending, step.available, step.pending)
		}
	}
	it := w.BalanceTransactions.List(nil)
	for it.Next() {
		if it.BalanceTransaction().Status != "available" {
			t.Errorf("%+v", it.BalanceTransaction())
		}
	}
}

func TestRefunds(t *testing.T) {
	w := start(t, sandbox.Options{})
	pi := w.paid(10000, "pm_card_visa")
	r, err := w.Refunds.New(&stripe.RefundParams{
		PaymentIntent: stripe.String(pi.ID), Amount: stripe.Int64(3000), Reason: stripe.String("requested_by_customer"),
		Metadata: map[string]string{"return": "4"},
	})
	w.must(err)
	if r.Status != stripe.RefundStatusSucceeded || r.Amount != 3000 || r.Charge.ID != pi.LatestCharge.ID || r.PaymentIntent.ID != pi.ID || r.Reason != "requested_by_customer" || r.Metadata["return"] != "4" {
		t.Errorf("refund: %+v", r)
	}
	p := &stripe.RefundParams{}
	p.AddExpand("balance_transaction")
	p.AddExpand("charge")
	r, err = w.Refunds.Get(r.ID, p)
	w.must(err)
	if b := r.BalanceTransaction; b.Amount != -3000 || b.Fee != 0 || b.Net != -3000 || b.ReportingCategory != "refund" {
		t.Errorf("balance transaction: %+v", b)
	}
	if r.Charge.AmountRefunded != 3000 || r.Charge.Refunded {
		t.Errorf("charge: %+v", r.Charge)
	}
	_, err = w.Refunds.New(&stripe.RefundParams{Charge: stripe.String(r.Charge.ID), Amount: stripe.Int64(7001)})
	if e := w.expect(err, http.StatusBadRequest, "", "Refund amount ($70.01) is greater than unrefunded amount on charge ($70.00)"); e.Param != "amount" {
		t.Errorf("param %q", e.Param)
	}
	rest, err := w.Refunds.New(&stripe.RefundParams{Charge: stripe.String(r.Charge.ID)})
	w.must(err)
	if rest.Amount != 7000 {
		t.Errorf("the rest is %d", rest.Amount)
	}
	_, err = w.Refunds.New(&stripe.RefundParams{PaymentIntent: stripe.String(pi.ID)})
	w.expect(err, http.StatusBadRequest, "charge_already_refunded", "has already been refunded.")

	if got := w.status(pi.ID); got != stripe.PaymentIntentStatusSucceeded {
		t.Errorf("a refund made the intent %s", got)
	}
	if got, want := w.events(pi.ID)[5:], []string{"refund.created", "charge.refunded", "refund.created", "charge.refunded"}; !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
	if available, pending := w.books(); available+pending != -320 {
		t.Errorf("balance %d + %d, want minus the fee", available, pending)
	}
	var ids []string
	it := w.Refunds.List(&stripe.RefundListParams{PaymentIntent: stripe.String(pi.ID)})
	for it.Next() {
		ids = append(ids, it.Refund().ID)
	}
	if !slices.Equal(ids, []string{rest.ID, r.ID}) {
		t.Errorf("listed %v", ids)
	}
}

// Of currencies with three decimals cards carry two: whatever is charged,
// captured or given back in parts ends with 0.
func TestAmountsThatCardsCarry(t *testing.T) {
	w := start(t, sandbox.Options{})
	p := order(5120)
	p.Currency = stripe.String("kwd")
	pi, err := w.PaymentIntents.New(p)
	w.must(err)
	_, err = w.PaymentIntents.Update(pi.ID, &stripe.PaymentIntentParams{Amount: stripe.Int64(5125)})
	w.expect(err, 400, "parameter_invalid_integer", "must be multiples of 10, such as 5120.")
	_, err = w.PaymentIntents.Confirm(pi.ID, &stripe.PaymentIntentConfirmParams{PaymentMethod: stripe.String("pm_card_visa")})
	w.must(err)
	_, err = w.PaymentIntents.Capture(pi.ID, &stripe.PaymentIntentCaptureParams{AmountToCapture: stripe.Int64(4001)})
	if e := w.expect(err, 400, "parameter_invalid_integer", "such as 4000."); e.Param != "amount_to_capture" {
		t.Errorf("param %q", e.Param)
	}
	_, err = w.PaymentIntents.Capture(pi.ID, &stripe.PaymentIntentCaptureParams{AmountToCapture: stripe.Int64(4000)})
	w.must(err)
	_, err = w.Refunds.New(&stripe.RefundParams{PaymentIntent: stripe.String(pi.ID), Amount: stripe.Int64(1)})
	w.expect(err, 400, "parameter_invalid_integer", "such as 10.")
	for _, amount := range []*int64{stripe.Int64(10), nil} {
		_, err = w.Refunds.New(&stripe.RefundParams{PaymentIntent: stripe.String(pi.ID), Amount: amount})
		w.must(err)
	}
	w.books()
}

func TestWhatCannotBeRefunded(t *testing.T) {
	w := start(t, sandbox.Options{})
	held := w.authorised(1000, "pm_card_visa")
	p := order(1000)
	p.Confirm, p.PaymentMethod = stripe.Bool(true), stripe.String("pm_card_visa_chargeDeclined")
	_, err := w.PaymentIntents.New(p)
	declined := w.refusal(err)
	released, err := w.PaymentIntents.Cancel(w.authorised(1000, "pm_card_visa").ID, nil)
	w.must(err)
	for _, c := range []struct {
		name          string
		params        *stripe.RefundParams
		status        int
		code, message string
	}{
		{"nothing named", &stripe.RefundParams{}, 400, "parameter_missing", "payment_intent or charge"},
		{"both named", &stripe.RefundParams{PaymentIntent: stripe.String(held.ID), Charge: stripe.String(held.LatestCharge.ID)}, 400, "", "You may only specify one of these parameters"},
		{"unknown intent", &stripe.RefundParams{PaymentIntent: stripe.String("pi_x")}, 404, "resource_missing", "No such payment_intent: 'pi_x'"},
		{"unknown charge", &stripe.RefundParams{Charge: stripe.String("ch_x")}, 404, "resource_missing", "No such charge: 'ch_x'"},
		{"held", &stripe.RefundParams{PaymentIntent: stripe.String(held.ID)}, 400, "", "does not have a successful charge to refund"},
		{"held, by its charge", &stripe.RefundParams{Charge: stripe.String(held.LatestCharge.ID)}, 400, "charge_not_refundable", "cancel PaymentIntent"},
		{"declined", &stripe.RefundParams{Charge: stripe.String(declined.ChargeID)}, 400, "charge_not_refundable", "did not succeed"},
		{"released", &stripe.RefundParams{PaymentIntent: stripe.String(released.ID)}, 400, "charge_already_refunded", "has already been refunded"},
		{"zero", &stripe.RefundParams{PaymentIntent: stripe.String(held.ID), Amount: stripe.Int64(0)}, 400, "parameter_invalid_integer", "greater than or equal to 1"},
		{"reason", &stripe.RefundParams{PaymentIntent: stripe.String(held.ID), Reason: stripe.String("bored")}, 400, "", "Invalid reason: must be one of duplicate, fraudulent, or requested_by_customer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &world{T: t, API: w.API, box: w.box, clock: w.clock}
			_, err := w.Refunds.New(c.params)
			w.expect(err, c.status, c.code, c.message)
		})
	}
	w.books()
}

// A dispute shows the withdrawal and the reinstatement; the fees for answering it
// are transactions of their own, found by their source.
func TestTransactionsOfADispute(t *testing.T) {
	w := start(t, sandbox.Options{})
	pi := w.paid(2500, "pm_card_createDispute")
	it := w.Disputes.List(&stripe.DisputeListParams{PaymentIntent: stripe.String(pi.ID)})
	if !it.Next() {
		t.Fatal("no dispute")
	}
	id := it.Dispute().ID
	shows := func(want ...stripe.BalanceTransactionReportingCategory) {
		t.Helper()
		d, err := w.Disputes.Get(id, nil)
		w.must(err)
		var got []stripe.BalanceTransactionReportingCategory
		for _, b := range d.BalanceTransactions {
			got = append(got, b.ReportingCategory)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: it shows %v, want %v", d.Status, got, want)
		}
	}
	shows("dispute")
	_, err := w.Disputes.Update(id, &stripe.DisputeParams{Submit: stripe.Bool(true), Evidence: &stripe.DisputeEvidenceParams{UncategorizedText: stripe.String("winning_evidence")}})
	w.must(err)
	shows("dispute")
	w.clock.add(time.Minute)
	shows("dispute", "dispute_reversal")
	if n := w.read(w.BalanceTransactions.List(&stripe.BalanceTransactionListParams{Source: stripe.String(id)})); n != 4 {
		t.Errorf("%d transactions have it as their source, want 4", n)
	}
	w.books()
}

func TestTransfers(t *testing.T) {
	w := start(t, sandbox.Options{})
	seller := w.seller()
	if seller.Capabilities.Transfers != "active" || !seller.PayoutsEnabled || !seller.DetailsSubmitted {
		t.Errorf("account: %+v", seller)
	}
	pi := w.paid(10000, "pm_card_visa")
	transfer := func(amount int64, destination, source string) (*stripe.Transfer, error) {
		p := &stripe.TransferParams{Amount: stripe.Int64(amount), Currency: stripe.String("usd"), Destination: stripe.String(destination)}
		if source != "" {
			p.SourceTransaction = stripe.String(source)
		}
		p.Metadata = map[string]string{"order": "7"}
		return w.Transfers.New(p)
	}
	_, err := transfer(100, seller.ID, "")
	w.expect(err, 400, "balance_insufficient", "You have insufficient available funds")

	// Bound to the charge it is made at once, with the charge's pending funds.
	tr, err := transfer(6000, seller.ID, pi.LatestCharge.ID)
	w.must(err)
	if tr.Amount != 6000 || tr.Destination.ID != seller.ID || tr.SourceTransaction.ID != pi.LatestCharge.ID || tr.TransferGroup != "group_"+pi.LatestCharge.ID || tr.Metadata["order"] != "7" || tr.DestinationPayment == nil {
		t.Errorf("transfer: %+v", tr)
	}
	if available, pending := w.books(); available != 0 || pending != 10000-320-6000 {
		t.Errorf("balance %d + %d", available, pending)
	}
	_, err = transfer(4001, seller.ID, pi.LatestCharge.ID)
	w.expect(err, 400, "balance_insufficient", "must not exceed the source amount of $100.00")
	_, err = transfer(3000, seller.ID, pi.LatestCharge.ID)
	w.must(err)

	// Out of the available balance.
	w.paid(5000, "pm_card_bypassPending")
	_, err = transfer(4826, seller.ID, "")
	w.expect(err, 400, "balance_insufficient", "")
	_, err = transfer(4825, seller.ID, "")
	w.must(err)
	if available, _ := w.books(); available != 0 {
		t.Errorf("available %d", available)
	}
	if got := w.events(tr.ID); !slices.Equal(got, []string{"transfer.created"}) {
		t.Errorf("events %v", got)
	}

	held := w.authorised(1000, "pm_card_visa")
	poor, err := w.Accounts.New(&stripe.AccountParams{Type: stripe.String("custom")})
	w.must(err)
	_, err = transfer(100, "acct_unknown", "")
	if e := w.expect(err, 400, "resource_missing", "No such destination: 'acct_unknown'"); e.Param != "destination" {
		t.Errorf("param %q", e.Param)
	}
	_, err = transfer(100, w.box.AccountID(), "")
	w.expect(err, 400, "", "your own account")
	_, err = transfer(100, poor.ID, "")
	w.expect(err, 400, "insufficient_capabilities_for_transfer", "capabilities enabled: transfers")
	_, err = transfer(100, seller.ID, "ch_unknown")
	w.expect(err, 400, "resource_missing", "No such charge")
	_, err = transfer(100, seller.ID, held.LatestCharge.ID)
	w.expect(err, 400, "", "has not been captured")
	_, err = transfer(0, seller.ID, "")
	w.expect(err, 400, "parameter_invalid_integer", "")

	p := &stripe.TransferParams{}
	p.AddExpand("destination")
	p.AddExpand("source_transaction")
	p.AddExpand("balance_transaction")
	tr, err = w.Transfers.Get(tr.ID, p)
	w.must(err)
	if tr.Destination.Country != "US" || tr.SourceTransaction.Amount != 10000 || tr.BalanceTransaction.Net != -6000 || tr.BalanceTransaction.Type != "transfer" {
		t.Errorf("transfer: %+v", tr)
	}
	n := 0
	for it := w.Transfers.List(&stripe.TransferListParams{TransferGroup: stripe.String("group_" + pi.LatestCharge.ID)}); it.Next(); {
		n++
	}
	if n != 2 {
		t.Errorf("%d transfers in the group, want 2", n)
	}
}

// With a charge come its ten newest refunds, with a transfer its ten newest
// reversals, and whether there are more: those are in the list.
func TestListsWithinObjects(t *testing.T) {
	w := start(t, sandbox.Options{})
	seller := w.seller().ID
	pi := w.paid(2500, "pm_card_bypassPending")
	tr, err := w.Transfers.New(&stripe.TransferParams{Amount: stripe.Int64(1100), Currency: stripe.String("usd"), Destination: stripe.String(seller)})
	w.must(err)
	for i := range int64(11) {
		_, err := w.Refunds.New(&stripe.RefundParams{PaymentIntent: stripe.String(pi.ID), Amount: stripe.Int64(100 + i)})
		w.must(err)
		_, err = w.TransferReversals.New(&stripe.TransferReversalParams{ID: stripe.String(tr.ID), Amount: stripe.Int64(50 + i)})
		w.must(err)
		more := i == 10
		get := &stripe.PaymentIntentParams{}
		get.AddExpand("latest_charge.refunds")
		got, err := w.PaymentIntents.Get(pi.ID, get)
		w.must(err)
		if l := got.LatestCharge.Refunds; int64(len(l.Data)) != min(i+1, 10) || l.HasMore != more || l.Data[0].Amount != 100+i {
			t.Errorf("after %d: %d refunds, has_more %t", i+1, len(l.Data), l.HasMore)
		}
		tr, err = w.Transfers.Get(tr.ID, nil)
		w.must(err)
		if l := tr.Reversals; int64(len(l.Data)) != min(i+1, 10) || l.HasMore != more || l.Data[0].Amount != 50+i {
			t.Errorf("after %d: %d reversals, has_more %t", i+1, len(l.Data), l.HasMore)
		}
	}
	if n := w.read(w.Refunds.List(&stripe.RefundListParams{PaymentIntent: stripe.String(pi.ID)})); n != 11 {
		t.Errorf("%d refunds are listed", n)
	}
}

func TestAccounts(t *testing.T) {
	w := start(t, sandbox.Options{})
	own, err := w.Accounts.Get()
	w.must(err)
	if own.ID != w.box.AccountID() || own.Type != "standard" || !own.ChargesEnabled {
		t.Errorf("own account: %+v", own)
	}
	p := &stripe.AccountParams{Type: stripe.String("standard"), Country: stripe.String("id"), DefaultCurrency: stripe.String("idr")}
	p.Metadata = map[string]string{"shop": "3"}
	a, err := w.Accounts.New(p)
	w.must(err)
	a, err = w.Accounts.GetByID(a.ID, nil)
	w.must(err)
	if a.Country != "ID" || a.DefaultCurrency != "idr" || a.Metadata["shop"] != "3" || a.Capabilities.Transfers != "active" {
		t.Errorf("account: %+v", a)
	}
	_, err = w.Accounts.GetByID("acct_unknown", nil)
	w.expect(err, http.StatusForbidden, "account_invalid", "does not have access to account 'acct_unknown'")
	_, err = w.Accounts.New(&stripe.AccountParams{})
	w.expect(err, 400, "parameter_missing", "Missing required param: type.")
	it := w.Accounts.List(nil)
	if !it.Next() || it.Account().ID != a.ID || it.Next() {
		t.Error("the list is not of the connected accounts")
	}
}

// Whatever is done in whatever order: the balance that the API shows is the sum
// of the balance transactions, after every step.
func TestTheBooksBalanceAfterEveryStep(t *testing.T) {
	w := start(t, sandbox.Options{})
	seller := w.seller().ID
	rapid.Check(t, func(rt *rapid.T) {
		var held, paid []string // intents, charges
		pick := func(from []string) string { return rapid.SampledFrom(from).Draw(rt, "which") }
		amount := func() int64 { return rapid.Int64Range(50, 20000).Draw(rt, "amount") }
		tolerate := func(err error) { // refusals are part of it
			if err != nil {
				w.refusal(err)
			}
		}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			switch what := rapid.IntRange(0, 5).Draw(rt, "what"); {
			case what == 0 || len(held)+len(paid) == 0:
				held = append(held, w.authorised(amount(), pick([]string{"pm_card_visa", "pm_card_bypassPending"})).ID)
			case what == 1 && len(held) > 0:
				pi, err := w.PaymentIntents.Capture(pick(held), &stripe.PaymentIntentCaptureParams{AmountToCapture: stripe.Int64(amount())})
				tolerate(err)
				if err == nil {
					paid = append(paid, pi.LatestCharge.ID)
				}
			case what == 2 && len(held) > 0:
				_, err := w.PaymentIntents.Cancel(pick(held), nil)
				tolerate(err)
			case what == 3 && len(paid) > 0:
				_, err := w.Refunds.New(&stripe.RefundParams{Charge: stripe.String(pick(paid)), Amount: stripe.Int64(amount())})
				tolerate(err)
			case what == 4 && len(paid) > 0:
				_, err := w.Transfers.New(&stripe.TransferParams{Amount: stripe.Int64(amount()), Currency: stripe.String("usd"), Destination: stripe.String(seller), SourceTransaction: stripe.String(pick(paid))})
				tolerate(err)
			case what == 5:
				w.clock.add(time.Duration(rapid.IntRange(0, 100).Draw(rt, "hours")) * time.Hour)
			}
			if err := w.box.Verify(); err != nil {
				rt.Fatal(err)
			}
		}
		w.books()
	})
}
