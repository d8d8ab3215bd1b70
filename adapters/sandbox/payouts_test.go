package sandbox_test

import (
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"

	"kicau/adapters/sandbox"
)

// as makes a request one of a connected account's.
func as(account string, p *stripe.Params) { p.SetStripeAccount(account) }

// bank opens a US test account for an account.
func (w *world) bank(account, number string) string {
	w.Helper()
	b, err := w.BankAccounts.New(&stripe.BankAccountParams{Account: stripe.String(account), AccountNumber: stripe.String(number), RoutingNumber: stripe.String("110000000"), Country: stripe.String("US"), Currency: stripe.String("usd")})
	w.must(err)
	return b.ID
}

// payOut sends money of an account to a bank of it, "" is its first.
func (w *world) payOut(account, bank string, amount int64) (*stripe.Payout, error) {
	p := &stripe.PayoutParams{Amount: stripe.Int64(amount), Currency: stripe.String("usd")}
	if bank != "" {
		p.Destination = stripe.String(bank)
	}
	as(account, &p.Params)
	return w.Payouts.New(p)
}

func (w *world) payout(account, id string) *stripe.Payout {
	w.Helper()
	p := &stripe.PayoutParams{}
	as(account, &p.Params)
	po, err := w.Payouts.Get(id, p)
	w.must(err)
	return po
}

// funds of a connected account, which are the sum of its own transactions.
func (w *world) funds(account string) (available, pending int64) {
	w.Helper()
	w.must(w.box.Verify())
	p := &stripe.BalanceParams{}
	as(account, &p.Params)
	b, err := w.Balance.Get(p)
	w.must(err)
	l := &stripe.BalanceTransactionListParams{}
	l.SetStripeAccount(account)
	sum := int64(0)
	for it := w.BalanceTransactions.List(l); it.Next(); {
		sum += it.BalanceTransaction().Net
	}
	if got := b.Available[0].Amount + b.Pending[0].Amount; got != sum {
		w.Errorf("balance %d, transactions %d", got, sum)
	}
	return b.Available[0].Amount, b.Pending[0].Amount
}

// What a seller gets is pending for as long as the charge's funds are, and its
// own: nobody else sees it.
func TestBalanceOfASeller(t *testing.T) {
	w := virtual(t, sandbox.Options{})
	seller := w.seller().ID
	pi := w.paid(10_000, "pm_card_visa")
	tr, err := w.Transfers.New(&stripe.TransferParams{Amount: stripe.Int64(8000), Currency: stripe.String("usd"), Destination: stripe.String(seller), SourceTransaction: stripe.String(pi.LatestCharge.ID)})
	w.must(err)
	if available, pending := w.funds(seller); available != 0 || pending != 8000 {
		t.Errorf("at first: %d + %d", available, pending)
	}
	_, err = w.payOut(seller, "", 1)
	w.expect(err, 400, "balance_insufficient", "insufficient funds")
	_, err = w.TransferReversals.New(&stripe.TransferReversalParams{ID: stripe.String(tr.ID), Amount: stripe.Int64(3000)})
	w.must(err)
	w.advance(3 * 24 * time.Hour)
	if available, pending := w.funds(seller); available != 5000 || pending != 0 || w.box.Available(seller, "usd") != 5000 {
		t.Errorf("then: %d + %d", available, pending)
	}
	_, err = w.payOut(seller, "", 4000)
	w.must(err)
	_, err = w.TransferReversals.New(&stripe.TransferReversalParams{ID: stripe.String(tr.ID), Amount: stripe.Int64(2000)})
	w.expect(err, 400, "balance_insufficient", "does not have the funds")
	if available, pending := w.books(); available+pending != 10_000-320-5000 {
		t.Errorf("the platform: %d + %d", available, pending)
	}
	get := &stripe.BalanceTransactionParams{}
	as(seller, &get.Params)
	_, err = w.BalanceTransactions.Get(tr.BalanceTransaction.ID, get)
	w.expect(err, 404, "resource_missing", "No such balance transaction")
}

// Test banks accept payouts, refuse them on arrival, or send them back later.
func TestPayoutsThatFail(t *testing.T) {
	w := virtual(t, sandbox.Options{})
	seller := w.seller().ID
	w.paid(50_000, "pm_card_bypassPending")
	_, err := w.Transfers.New(&stripe.TransferParams{Amount: stripe.Int64(9000), Currency: stripe.String("usd"), Destination: stripe.String(seller)})
	w.must(err)
	good, nobody, closed := w.bank(seller, "000123456789"), w.bank(seller, "000111111116"), w.bank(seller, "000111111113")
	ids := map[string]string{}
	for _, b := range []string{good, nobody, closed} {
		po, err := w.payOut(seller, b, 1000)
		w.must(err)
		ids[b] = po.ID
	}
	for _, step := range []struct {
		after                time.Duration
		good, nobody, closed stripe.PayoutStatus
		left                 int64
	}{
		{0, "pending", "pending", "pending", 6000},
		{48 * time.Hour, "paid", "failed", "paid", 7000},
		{72 * time.Hour, "paid", "failed", "failed", 8000},
	} {
		if step.after > 0 {
			w.advance(step.after)
		}
		for b, want := range map[string]stripe.PayoutStatus{good: step.good, nobody: step.nobody, closed: step.closed} {
			if po := w.payout(seller, ids[b]); po.Status != want {
				t.Errorf("after %s: %s is %s, want %s", step.after, b, po.Status, want)
			}
		}
		if available, _ := w.funds(seller); available != step.left {
			t.Errorf("after %s: %d, want %d", step.after, available, step.left)
		}
	}
	failed := w.payout(seller, ids[nobody])
	if failed.FailureCode != "no_account" || failed.FailureBalanceTransaction == nil {
		t.Errorf("%+v", failed)
	}
	_, err = w.payOut(seller, nobody, 1000)
	w.expect(err, 400, "payouts_not_allowed", "add another external account")
	if got := w.eventsOf(seller, ids[closed]); !slices.Equal(got, []string{"payout.created", "payout.updated", "payout.paid", "payout.failed"}) {
		t.Errorf("events: %v", got)
	}
}

// A payout is cancelled while it is under way, and asked back when it is paid; of
// the platform's own nothing is asked back.
func TestPayoutsTakenBack(t *testing.T) {
	w := virtual(t, sandbox.Options{})
	w.paid(50_000, "pm_card_bypassPending")
	platform, seller := w.box.AccountID(), w.seller().ID
	_, err := w.Transfers.New(&stripe.TransferParams{Amount: stripe.Int64(9000), Currency: stripe.String("usd"), Destination: stripe.String(seller)})
	w.must(err)
	cancel := func(account, id string) error {
		p := &stripe.PayoutParams{}
		as(account, &p.Params)
		_, err := w.Payouts.Cancel(id, p)
		return err
	}
	reverse := func(account, id string) (*stripe.Payout, error) {
		p := &stripe.PayoutReverseParams{}
		as(account, &p.Params)
		return w.Payouts.Reverse(id, p)
	}
	own, err := w.payOut(platform, "", 1000)
	w.must(err)
	for _, account := range []string{platform, seller} {
		first, err := w.payOut(account, "", 1000)
		w.must(err)
		w.must(cancel(account, first.ID))
		w.expect(cancel(account, first.ID), 400, "", "only be canceled if they are pending")
	}
	second, err := w.payOut(seller, "", 2000)
	w.must(err)
	_, err = reverse(seller, second.ID)
	w.expect(err, 400, "", "was paid")
	w.advance(48 * time.Hour)
	back, err := reverse(seller, second.ID)
	w.must(err)
	if back.Amount != -2000 || back.OriginalPayout.ID != second.ID || w.payout(seller, second.ID).ReversedBy.ID != back.ID {
		t.Errorf("%+v", back)
	}
	_, err = reverse(seller, second.ID)
	w.expect(err, 400, "", "not reversed")
	if available, _ := w.funds(seller); available != 9000 {
		t.Errorf("the seller has %d", available)
	}
	_, err = reverse(platform, own.ID)
	w.expect(err, 400, "", "Only payouts of connected accounts can be reversed")
	if available, _ := w.books(); available != 50_000-1480-9000-1000 {
		t.Errorf("available %d", available)
	}
}

// Some currencies are paid out without decimals: by hand nothing else is taken, and
// by itself the rest stays until there is more.
func TestPayoutsWithoutDecimals(t *testing.T) {
	w := virtual(t, sandbox.Options{Terms: &sandbox.Terms{FeeBasisPoints: 290, FeeFixed: 30, DailyPayouts: true}})
	sell := func(currency string, amount int64) {
		t.Helper()
		p := order(amount)
		p.Currency, p.CaptureMethod, p.Confirm, p.PaymentMethod = stripe.String(currency), nil, stripe.Bool(true), stripe.String("pm_card_visa")
		_, err := w.PaymentIntents.New(p)
		w.must(err)
	}
	sell("huf", 1_000_010) // less 290.30 and 0.30: 9,709.80
	sell("twd", 60)        // of 0.28
	for _, amount := range []int64{12_345, 12_300} {
		_, err := w.Payouts.New(&stripe.PayoutParams{Amount: stripe.Int64(amount), Currency: stripe.String("huf")})
		if amount%100 == 0 {
			w.must(err)
		} else {
			w.expect(err, 400, "parameter_invalid_integer", "Amounts in huf must be multiples of 100, such as 12300.")
		}
	}
	paid := func(want ...int64) {
		t.Helper()
		w.advance(24 * time.Hour)
		var got []int64
		for it := w.Payouts.List(nil); it.Next(); {
			got = append(got, it.Payout().Amount)
		}
		if !slices.Equal(got, want) {
			t.Errorf("payouts %v, want %v", got, want)
		}
		w.books()
	}
	paid(958_600, 12_300)
	if got := w.box.Available(w.box.AccountID(), "huf"); got != 80 {
		t.Errorf("%d are left", got)
	}
	paid(958_600, 12_300)
	sell("huf", 20_070) // less 6.12: with what was left 19,538
	paid(19_500, 958_600, 12_300)
}

// Every day what is available goes to the bank; each such payout says of which
// transactions it is the sum, after a restart too.
func TestDailyPayouts(t *testing.T) {
	dir := t.TempDir()
	w := virtual(t, sandbox.Options{Dir: dir, Terms: &sandbox.Terms{FeeBasisPoints: 290, FeeFixed: 30, AvailableDays: 2, DailyPayouts: true}})
	w.paid(10_000, "pm_card_visa")
	w.advance(24 * time.Hour)
	pi := w.paid(20_000, "pm_card_visa")
	_, err := w.Refunds.New(&stripe.RefundParams{PaymentIntent: stripe.String(pi.ID), Amount: stripe.Int64(500)})
	w.must(err)
	w.advance(4 * 24 * time.Hour)
	check := func(w *world) {
		t.Helper()
		var amounts []int64
		it := w.Payouts.List(nil)
		for it.Next() {
			po := it.Payout()
			amounts = append(amounts, po.Amount)
			sum := int64(0)
			txns := w.BalanceTransactions.List(&stripe.BalanceTransactionListParams{Payout: stripe.String(po.ID)})
			for txns.Next() {
				sum += txns.BalanceTransaction().Net
			}
			w.must(txns.Err())
			if got := w.events(po.ID); !slices.Equal(got[:2], []string{"payout.created", "payout.reconciliation_completed"}) {
				t.Errorf("events: %v", got)
			}
			_, err := w.Payouts.Cancel(po.ID, nil)
			w.expect(err, 400, "", "Automatic payouts cannot be canceled")
			if !po.Automatic || sum != 0 || po.ReconciliationStatus != "completed" {
				t.Errorf("%+v: its transactions, itself among them, sum to %d", po, sum)
			}
		}
		if !slices.Equal(amounts, []int64{20_000 - 610 - 500, 10_000 - 320}) {
			t.Errorf("payouts %v", amounts)
		}
		if available, pending := w.books(); available != 0 || pending != 0 {
			t.Errorf("left: %d + %d", available, pending)
		}
	}
	check(w)
	manual := &stripe.BalanceTransactionListParams{Payout: stripe.String("po_none")}
	if it := w.BalanceTransactions.List(manual); it.Next() {
		t.Error("of a payout that is not there")
	}
	w.must(w.box.Close())
	w = virtual(t, sandbox.Options{Dir: dir, Terms: &sandbox.Terms{FeeBasisPoints: 290, FeeFixed: 30, AvailableDays: 2, DailyPayouts: true}})
	check(w)
}

// Only a test number opens a bank account; blanks are none, and stop nothing.
func TestNumbersThatAreNoBankAccount(t *testing.T) {
	w := start(t, sandbox.Options{})
	seller := w.seller().ID
	for _, number := range []string{" ", "   ", "1", "000123456780"} {
		resp, v := w.raw("POST", "/v1/accounts/"+seller+"/external_accounts", url.Values{
			"external_account[object]": {"bank_account"}, "external_account[country]": {"US"}, "external_account[account_number]": {number}})
		if e, _ := v["error"].(map[string]any); resp.StatusCode != 400 || e["code"] != "account_number_invalid" {
			t.Errorf("%q: %s %v", number, resp.Status, v)
		}
	}
	w.bank(seller, "000 123 456 789")
	w.books()
}

// Payouts have somewhere to go: a default bank stays until another is the default,
// but for the only one in a currency that is not the account's own.
func TestDefaultBanksStay(t *testing.T) {
	w := start(t, sandbox.Options{})
	seller := w.seller().ID
	open := func(currency string, standard bool) string {
		t.Helper()
		resp, v := w.raw("POST", "/v1/accounts/"+seller+"/external_accounts", url.Values{"external_account[object]": {"bank_account"}, "external_account[country]": {"US"},
			"external_account[currency]": {currency}, "external_account[account_number]": {"000123456789"}, "default_for_currency": {strconv.FormatBool(standard)}})
		if resp.StatusCode != 200 {
			t.Fatal(v)
		}
		return v["id"].(string)
	}
	remove := func(id string) error {
		_, err := w.BankAccounts.Del(id, &stripe.BankAccountParams{Account: stripe.String(seller)})
		return err
	}
	own := open("usd", false)
	w.expect(remove(own), 400, "", "first make another the default for usd")
	next := open("usd", true)
	w.must(remove(own))
	w.expect(remove(next), 400, "", "default_for_currency=true")

	only := open("eur", false)
	w.must(remove(only))
	first, second := open("eur", false), open("eur", false)
	w.expect(remove(first), 400, "", "first make another the default for eur")
	w.must(remove(second))
	w.must(remove(first))
}
