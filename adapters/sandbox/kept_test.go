package sandbox_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"

	"kicau/adapters/sandbox"
)

func (w *world) customer() string {
	w.Helper()
	c, err := w.Customers.New(&stripe.CustomerParams{Email: stripe.String("sari@example.com")})
	w.must(err)
	return c.ID
}

// keep sets a card up for a customer, and has its holder answer when asked.
func (w *world) keep(customer, card string, agree string) *stripe.SetupIntent {
	w.Helper()
	s, err := w.SetupIntents.New(&stripe.SetupIntentParams{Customer: stripe.String(customer), PaymentMethod: stripe.String(card), PaymentMethodTypes: stripe.StringSlice([]string{"card"}),
		Confirm: stripe.Bool(true), ReturnURL: stripe.String(w.box.URL() + "/back")})
	w.must(err)
	if s.Status == stripe.SetupIntentStatusRequiresAction {
		c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		resp, err := c.PostForm(s.NextAction.RedirectToURL.URL, url.Values{"outcome": {agree}})
		w.must(err)
		resp.Body.Close()
		back := resp.Header.Get("Location")
		if resp.StatusCode != http.StatusSeeOther || !strings.Contains(back, "setup_intent="+s.ID) || strings.Contains(back, "redirect_status=succeeded") != (agree == "complete") {
			w.Errorf("%s to %q", resp.Status, back)
		}
	}
	get := &stripe.SetupIntentParams{}
	get.AddExpand("payment_method")
	s, err = w.SetupIntents.Get(s.ID, get)
	w.must(err)
	return s
}

// charge a kept card without its holder.
func (w *world) offSession(customer, method string) error {
	p := order(3000)
	p.Customer, p.PaymentMethod, p.OffSession, p.Confirm = stripe.String(customer), stripe.String(method), stripe.Bool(true), stripe.Bool(true)
	_, err := w.PaymentIntents.New(p)
	return err
}

// What each test card does when it is set up, and when it is charged later.
func TestSetUpCards(t *testing.T) {
	w := start(t, sandbox.Options{})
	cus := w.customer()
	for card, later := range map[string]string{
		"pm_card_visa":                                                  "",
		"pm_card_authenticationRequiredOnSetup":                         "",
		"pm_card_authenticationRequiredSetupForOffSession":              "",
		"pm_card_authenticationRequired":                                "authentication_required",
		"pm_card_chargeCustomerFail":                                    "generic_decline",
		"pm_card_authenticationRequiredChargeDeclinedInsufficientFunds": "authentication_required",
	} {
		s := w.keep(cus, card, "complete")
		if s.Status != stripe.SetupIntentStatusSucceeded || s.PaymentMethod.Customer.ID != cus {
			t.Errorf("%s: %s", card, s.Status)
			continue
		}
		err := w.offSession(cus, s.PaymentMethod.ID)
		if later == "" {
			w.must(err)
		} else if e := w.refusal(err); string(e.DeclineCode) != later {
			t.Errorf("%s later: %q, want %q", card, e.DeclineCode, later)
		}
	}
	s := w.keep(cus, "pm_card_authenticationRequired", "fail")
	if s.Status != stripe.SetupIntentStatusRequiresPaymentMethod || s.LastSetupError.Code != "setup_intent_authentication_failure" {
		t.Errorf("the holder refused: %+v", s)
	}
	_, err := w.SetupIntents.New(&stripe.SetupIntentParams{Confirm: stripe.Bool(true), PaymentMethod: stripe.String("pm_card_visa_chargeDeclinedLostCard"), PaymentMethodTypes: stripe.StringSlice([]string{"card"})})
	if e := w.expect(err, 402, "card_declined", "declined"); e.SetupIntent == nil || e.SetupIntent.Status != stripe.SetupIntentStatusRequiresPaymentMethod {
		t.Errorf("%+v", e)
	}
	_, err = w.SetupIntents.Confirm(w.keep(cus, "pm_card_visa", "").ID, nil)
	w.expect(err, 400, "setup_intent_unexpected_state", "status of succeeded")
	if got := w.events(s.ID); !slices.Equal(got, []string{"setup_intent.created", "setup_intent.requires_action", "setup_intent.setup_failed"}) {
		t.Errorf("events: %v", got)
	}
}

// A card belongs to one customer; taken off it is never used again.
func TestAttachAndDetach(t *testing.T) {
	w := start(t, sandbox.Options{})
	mine, other := w.customer(), w.customer()
	attach := func(card, to string) (*stripe.PaymentMethod, error) {
		return w.PaymentMethods.Attach(card, &stripe.PaymentMethodAttachParams{Customer: stripe.String(to)})
	}
	m, err := attach("pm_card_visa", mine)
	w.must(err)
	if _, err = attach(m.ID, mine); err != nil {
		t.Error("said twice:", err)
	}
	_, err = attach(m.ID, other)
	w.expect(err, 400, "", "already been attached")
	_, err = attach("pm_card_visa_chargeDeclined", mine)
	w.expect(err, 402, "card_declined", "declined")
	if _, err = attach("pm_card_chargeCustomerFail", mine); err != nil {
		t.Error(err)
	}
	if n := w.read(w.PaymentMethods.List(&stripe.PaymentMethodListParams{Customer: stripe.String(mine)})); n != 2 {
		t.Errorf("%d cards", n)
	}
	if err := w.offSession(mine, m.ID); err != nil {
		t.Error(err)
	}
	w.expect(w.offSession(other, m.ID), 400, "", "attached to a Customer")
	_, err = w.PaymentMethods.Detach(m.ID, nil)
	w.must(err)
	w.expect(w.offSession(mine, m.ID), 400, "", "may not be used again")
	_, err = attach(m.ID, mine)
	w.expect(err, 400, "", "may not be used again")
	_, err = w.Customers.Del(mine, nil)
	w.must(err)
	w.expect(w.offSession(mine, "pm_card_visa"), 400, "resource_missing", "No such customer")
	if n := w.read(w.Customers.List(nil)); n != 1 {
		t.Errorf("%d customers", n)
	}
}

func TestSearch(t *testing.T) {
	w := start(t, sandbox.Options{})
	for i, shop := range []string{"kopi", "teh", "kopi"} {
		p := order(int64(1000 * (i + 1)))
		p.Metadata = map[string]string{"shop": shop}
		_, err := w.PaymentIntents.New(p)
		w.must(err)
	}
	w.paid(5000, "pm_card_visa")
	for query, want := range map[string]int{
		`metadata["shop"]:"kopi"`: 2, `metadata['shop']:'kopi' AND amount>1500`: 1, `status:"succeeded"`: 1, `-status:"succeeded"`: 3,
		`amount:1000 OR amount=2000`: 2, `metadata["shop"]:null`: 1, `currency:"usd" AND created>1`: 4, `amount>=5000`: 1, `amount<=1000`: 1, `amount<1000`: 0,
	} {
		it := w.PaymentIntents.Search(&stripe.PaymentIntentSearchParams{SearchParams: stripe.SearchParams{Query: query, Limit: stripe.Int64(1)}})
		if got := w.read(it); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
	for query, message := range map[string]string{
		"nonsense": "is no clause", `color:"red"`: "unsupported search field", `amount~12`: "does not support", `status:"a" AND`: "ends with AND",
		`status:"a" OR amount>1 AND amount<2`: "not by both", `status:"a" XOR amount>1`: "not by both", `metadata:"x"`: "unsupported", "": "Missing required param",
	} {
		if resp, v := w.raw("GET", "/v1/payment_intents/search", url.Values{"query": {query}}); resp.StatusCode != 400 || !strings.Contains(messageOf(v), message) && query != "" {
			t.Errorf("%s: %v", query, v)
		}
	}
}

// Everything that came later is kept as well.
func TestRestartKeepsTheRest(t *testing.T) {
	dir := t.TempDir()
	w := start(t, sandbox.Options{Dir: dir})
	cus, seller := w.customer(), w.seller().ID
	setup := w.keep(cus, "pm_card_visa", "")
	w.keep(cus, "pm_card_authenticationRequired", "complete")
	w.bank(seller, "000111111116")
	w.paid(20_000, "pm_card_bypassPending")
	tr, err := w.Transfers.New(&stripe.TransferParams{Amount: stripe.Int64(4000), Currency: stripe.String("usd"), Destination: stripe.String(seller)})
	w.must(err)
	_, err = w.TransferReversals.New(&stripe.TransferReversalParams{ID: stripe.String(tr.ID), Amount: stripe.Int64(100)})
	w.must(err)
	po, err := w.payOut(seller, "", 1000)
	w.must(err)
	disputed := w.paid(3000, "pm_card_createDispute")
	w.paid(3000, "pm_card_createIssuerFraudRecord")
	_, err = w.Refunds.New(&stripe.RefundParams{PaymentIntent: stripe.String(w.paid(1000, "pm_card_pendingRefund").ID)})
	w.must(err)
	_, err = w.Customers.Del(w.customer(), nil)
	w.must(err)

	seen := func(w *world) string {
		var b strings.Builder
		for _, path := range []string{
			"/v1/customers", "/v1/setup_intents/" + setup.ID, "/v1/customers/" + cus + "/payment_methods", "/v1/accounts/" + seller, "/v1/disputes", "/v1/refunds",
			"/v1/radar/early_fraud_warnings", "/v1/transfers", "/v1/balance", "/v1/balance_transactions", "/v1/webhook_endpoints",
		} {
			for _, account := range []string{"", seller} {
				if account != "" && !strings.HasPrefix(path, "/v1/balance") {
					continue
				}
				_, v := w.raw("GET", path, nil, "Stripe-Account", account)
				b.Write([]byte(asJSON(w, v)))
			}
		}
		return b.String()
	}
	before := seen(w)
	w.must(w.box.Close())
	clock := w.clock
	w = start(t, sandbox.Options{Dir: dir, Now: clock.now})
	if after := seen(w); after != before {
		t.Errorf("after the restart:\n%s\nbefore:\n%s", after, before)
	}
	// What was due goes on.
	clock.add(20 * 24 * time.Hour)
	if got := w.payout(seller, po.ID); got.Status != stripe.PayoutStatusFailed {
		t.Errorf("the payout: %s", got.Status)
	}
	d := w.Disputes.List(&stripe.DisputeListParams{PaymentIntent: stripe.String(disputed.ID)})
	if !d.Next() || d.Dispute().Status != stripe.DisputeStatusLost {
		t.Error("the dispute is still open")
	}
	w.books()
	w.funds(seller)
}
