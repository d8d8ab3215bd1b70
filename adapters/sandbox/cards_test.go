package sandbox_test

import (
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"

	"kicau/adapters/sandbox"
)

// https://stripe.com/docs/testing, as far as it concerns an authorisation.
var cardOutcomes = []struct {
	number, token      string
	code, decline      string // "" is accepted
	challenge          bool   // first asks for 3D Secure
	blocked            bool
	risk               string
	offSession         string // decline off session; "" like on session without the challenge
	brandless, message string
}{
	{number: "4242424242424242", token: "pm_card_visa"},
	{number: "4000056655665556", token: "pm_card_visa_debit"},
	{number: "5555555555554444", token: "pm_card_mastercard"},
	{number: "378282246310005", token: "pm_card_amex"},
	{number: "6011111111111117", token: "pm_card_discover"},
	{number: "4000000000000002", token: "pm_card_visa_chargeDeclined", code: "card_declined", decline: "generic_decline", brandless: "pm_card_chargeDeclined", message: "Your card was declined."},
	{number: "4000000000009995", token: "pm_card_visa_chargeDeclinedInsufficientFunds", code: "card_declined", decline: "insufficient_funds", brandless: "pm_card_chargeDeclinedInsufficientFunds", message: "Your card has insufficient funds."},
	{number: "4000000000009987", token: "pm_card_visa_chargeDeclinedLostCard", code: "card_declined", decline: "lost_card", message: "Your card was declined."},
	{number: "4000000000009979", token: "pm_card_visa_chargeDeclinedStolenCard", code: "card_declined", decline: "stolen_card", message: "Your card was declined."},
	{number: "4000000000000069", token: "pm_card_chargeDeclinedExpiredCard", code: "expired_card", decline: "expired_card", message: "Your card has expired."},
	{number: "4000000000000127", token: "pm_card_chargeDeclinedIncorrectCvc", code: "incorrect_cvc", decline: "incorrect_cvc", message: "Your card's security code is incorrect."},
	{number: "4000000000000119", token: "pm_card_chargeDeclinedProcessingError", code: "processing_error", decline: "processing_error", message: "An error occurred while processing your card. Try again in a little bit."},
	{number: "4000000000006975", token: "pm_card_visa_chargeDeclinedVelocityLimitExceeded", code: "card_declined", decline: "card_velocity_exceeded"},
	{number: "4000000000000341", token: "pm_card_chargeCustomerFail", code: "card_declined", decline: "generic_decline"},
	{number: "4100000000000019", token: "pm_card_radarBlock", code: "card_declined", decline: "fraudulent", blocked: true, risk: "highest"},
	{number: "4000000000004954", token: "pm_card_riskLevelHighest", risk: "highest"},
	{number: "4000000000009235", token: "pm_card_riskLevelElevated", risk: "elevated"},
	{number: "4000002760003184", token: "pm_card_authenticationRequired", challenge: true, offSession: "authentication_required"},
	{number: "4000002500003155", token: "pm_card_authenticationRequiredOnSetup", challenge: true, offSession: "authentication_required"},
	{number: "4000003800000446", token: "pm_card_authenticationRequiredSetupForOffSession", challenge: true},
	{number: "4000008260003178", token: "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds", challenge: true, code: "card_declined", decline: "insufficient_funds", offSession: "authentication_required"},
	{number: "4000000000003220", token: "pm_card_threeDSecure2Required", challenge: true, offSession: "authentication_required"},
	{number: "4000008400001629", token: "pm_card_threeDSecureRequiredChargeDeclined", challenge: true, code: "card_declined", decline: "generic_decline", offSession: "authentication_required"},
	{number: "4000000000000259", token: "pm_card_createDispute"},
	{number: "4000000000002685", token: "pm_card_createDisputeProductNotReceived"},
	{number: "4000000000001976", token: "pm_card_createDisputeInquiry"},
	{number: "4000000000005423", token: "pm_card_createIssuerFraudRecord"},
	{number: "4000000404000079", token: "pm_card_createMultipleDisputes"},
	{number: "4000000000007726", token: "pm_card_pendingRefund"},
	{number: "4000000000005126", token: "pm_card_refundFail"},
	{number: "4000000000000077", token: "pm_card_bypassPending"},
}

func TestEveryTestCard(t *testing.T) {
	w := start(t, sandbox.Options{})
	for _, c := range cardOutcomes {
		names := []string{c.token, w.typed(c.number).ID}
		if c.brandless != "" {
			names = append(names, c.brandless)
		}
		for _, name := range names {
			t.Run(c.token, func(t *testing.T) {
				w := &world{T: t, API: w.API, box: w.box, clock: w.clock}
				pi, err := w.PaymentIntents.New(order(2000))
				w.must(err)
				pi, err = w.PaymentIntents.Confirm(pi.ID, &stripe.PaymentIntentConfirmParams{PaymentMethod: stripe.String(name), ReturnURL: stripe.String("http://localhost/back")})
				id := ""
				if c.challenge {
					w.must(err)
					w.checkChallenge(pi)
					id = pi.ID
					status, _ := w.answer(pi, "complete")
					if want := map[bool]string{true: "succeeded", false: "failed"}[c.code == ""]; status != want {
						t.Errorf("redirect_status %s, want %s", status, want)
					}
				} else if c.code != "" {
					e := w.expect(err, http.StatusPaymentRequired, c.code, c.message)
					if string(e.DeclineCode) != c.decline || e.Type != stripe.ErrorTypeCard || e.ChargeID == "" || e.PaymentIntent == nil || e.PaymentMethod == nil {
						t.Errorf("error: %+v", e)
					}
					id = e.PaymentIntent.ID
				} else {
					w.must(err)
					id = pi.ID
				}
				p := &stripe.PaymentIntentParams{}
				p.AddExpand("latest_charge")
				pi, err = w.PaymentIntents.Get(id, p)
				w.must(err)
				if c.code == "" {
					w.checkAuthorised(pi, c.risk, c.challenge)
				} else {
					w.checkDeclined(pi, c.code, c.decline, c.blocked)
				}
				w.books()
			})
		}
		t.Run(c.token+"/off session", func(t *testing.T) {
			w := &world{T: t, API: w.API, box: w.box, clock: w.clock}
			p := order(2000)
			p.Confirm, p.OffSession, p.PaymentMethod = stripe.Bool(true), stripe.Bool(true), stripe.String(c.token)
			pi, err := w.PaymentIntents.New(p)
			switch {
			case c.offSession != "":
				e := w.expect(err, http.StatusPaymentRequired, c.offSession, "This transaction requires authentication.")
				if e.PaymentIntent.Status != stripe.PaymentIntentStatusRequiresPaymentMethod {
					t.Error("status", e.PaymentIntent.Status)
				}
			case c.code != "":
				w.expect(err, http.StatusPaymentRequired, c.code, "")
			default:
				w.must(err)
				if pi.Status != stripe.PaymentIntentStatusRequiresCapture {
					t.Error("status", pi.Status)
				}
			}
		})
	}
}

// typed is a payment method of a number that somebody typed.
func (w *world) typed(number string) *stripe.PaymentMethod {
	w.Helper()
	cvc := "123"
	if number[:2] == "37" {
		cvc = "1234"
	}
	m, err := w.PaymentMethods.New(&stripe.PaymentMethodParams{Type: stripe.String("card"), Card: &stripe.PaymentMethodCardParams{
		Number: stripe.String(number), ExpMonth: stripe.Int64(12), ExpYear: stripe.Int64(int64(time.Now().Year() + 3)), CVC: stripe.String(cvc),
	}})
	w.must(err)
	if m.Card.Last4 != number[len(number)-4:] || m.Card.ExpMonth != 12 || m.Card.Fingerprint == "" {
		w.Errorf("card: %+v", m.Card)
	}
	return m
}

func (w *world) checkAuthorised(pi *stripe.PaymentIntent, risk string, challenged bool) {
	w.Helper()
	c := pi.LatestCharge
	if pi.Status != stripe.PaymentIntentStatusRequiresCapture || pi.AmountCapturable != 2000 || pi.AmountReceived != 0 || pi.LastPaymentError != nil {
		w.Errorf("intent: %+v", pi)
	}
	if c.Status != stripe.ChargeStatusSucceeded || !c.Paid || c.Captured || c.BalanceTransaction != nil {
		w.Errorf("charge: %+v", c)
	}
	if got, want := c.PaymentMethodDetails.Card.CaptureBefore, w.clock.now().Add(7*24*time.Hour).Unix(); got != want {
		w.Errorf("capture_before %d, want %d", got, want)
	}
	if risk == "" {
		risk = "normal"
	}
	if c.Outcome.RiskLevel != risk || c.Outcome.Type != "authorized" {
		w.Errorf("outcome: %+v", c.Outcome)
	}
	if got := c.PaymentMethodDetails.Card.ThreeDSecure != nil; got != challenged {
		w.Errorf("three_d_secure given: %t", got)
	}
	want := []string{"payment_intent.created", "charge.succeeded", "payment_intent.amount_capturable_updated"}
	if challenged {
		want = slices.Insert(want, 1, "payment_intent.requires_action")
	}
	if got := w.events(pi.ID); !slices.Equal(got, want) {
		w.Errorf("events %v, want %v", got, want)
	}
}

func (w *world) checkDeclined(pi *stripe.PaymentIntent, code, decline string, blocked bool) {
	w.Helper()
	c, le := pi.LatestCharge, pi.LastPaymentError
	if pi.Status != stripe.PaymentIntentStatusRequiresPaymentMethod || pi.PaymentMethod != nil || pi.AmountCapturable != 0 {
		w.Errorf("intent: %+v", pi)
	}
	if string(le.Code) != code || string(le.DeclineCode) != decline || le.ChargeID != c.ID || le.Type != stripe.ErrorTypeCard || le.PaymentMethod == nil {
		w.Errorf("last_payment_error: %+v", le)
	}
	if c.Status != stripe.ChargeStatusFailed || c.Paid || c.FailureCode != code || c.FailureMessage != le.Msg || c.PaymentIntent.ID != pi.ID {
		w.Errorf("charge: %+v", c)
	}
	if got := c.Outcome.Type == "blocked"; got != blocked {
		w.Errorf("outcome: %+v", c.Outcome)
	}
	events := w.events(pi.ID)
	if got, want := events[len(events)-2:], []string{"charge.failed", "payment_intent.payment_failed"}; !slices.Equal(got, want) {
		w.Errorf("events end in %v, want %v", got, want)
	}
}

func (w *world) checkChallenge(pi *stripe.PaymentIntent) {
	w.Helper()
	if pi.Status != stripe.PaymentIntentStatusRequiresAction || pi.NextAction == nil || pi.NextAction.Type != "redirect_to_url" || pi.NextAction.RedirectToURL.ReturnURL != "http://localhost/back" {
		w.Fatalf("intent: %+v", pi)
	}
}

func TestCardsThatAreTypedWrongly(t *testing.T) {
	w := start(t, sandbox.Options{})
	year := int64(w.clock.now().UTC().Year())
	for _, c := range []struct {
		name, number, cvc string
		month, year       int64
		code, param       string
	}{
		{"check digit", "4242424242424241", "123", 12, year + 1, "incorrect_number", "number"},
		{"letters", "4242x", "123", 12, year + 1, "incorrect_number", "number"},
		{"not a test card", "4539578763621486", "123", 12, year + 1, "card_declined", ""},
		{"month 13", "4242424242424242", "123", 13, year + 1, "invalid_expiry_month", "exp_month"},
		{"last year", "4242424242424242", "123", 12, year - 1, "invalid_expiry_year", "exp_year"},
		{"two digits, long ago", "4242424242424242", "123", 12, 10, "invalid_expiry_year", "exp_year"},
		{"short cvc", "4242424242424242", "12", 12, year + 1, "invalid_cvc", "cvc"},
		{"amex has four digits", "378282246310005", "123", 12, year + 1, "invalid_cvc", "cvc"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &world{T: t, API: w.API, box: w.box, clock: w.clock}
			_, err := w.PaymentMethods.New(&stripe.PaymentMethodParams{Type: stripe.String("card"), Card: &stripe.PaymentMethodCardParams{
				Number: stripe.String(c.number), ExpMonth: stripe.Int64(c.month), ExpYear: stripe.Int64(c.year), CVC: stripe.String(c.cvc),
			}})
			if e := w.expect(err, http.StatusPaymentRequired, c.code, "Your card"); e.Param != c.param || e.Type != stripe.ErrorTypeCard {
				t.Errorf("error: %+v", e)
			}
		})
	}
	t.Run("month that is over", func(t *testing.T) {
		w := start(t, sandbox.Options{Now: func() time.Time { return time.Date(2026, 6, 15, 0, 0, 0, 0, time.UTC) }})
		for month, code := range map[int64]string{5: "invalid_expiry_month", 6: ""} {
			_, resp := w.raw("POST", "/v1/payment_methods", map[string][]string{"type": {"card"}, "card[number]": {"4242 4242 4242 4242"}, "card[exp_month]": {strconv.FormatInt(month, 10)}, "card[exp_year]": {"26"}})
			got, _ := resp["error"].(map[string]any)
			if code == "" && got != nil || code != "" && got["code"] != code {
				t.Errorf("month %d: %v", month, resp)
			}
		}
	})
}

func TestAPaymentMethodPaysOnce(t *testing.T) {
	w := start(t, sandbox.Options{})
	m := w.typed("4242424242424242")
	w.authorised(1000, m.ID)
	p := order(1000)
	p.PaymentMethod = stripe.String(m.ID)
	_, err := w.PaymentIntents.New(p)
	w.expect(err, http.StatusBadRequest, "", "It may not be used again")

	p.PaymentMethod = stripe.String("pm_unknown")
	_, err = w.PaymentIntents.New(p)
	w.expect(err, http.StatusBadRequest, "resource_missing", "No such PaymentMethod: 'pm_unknown'")
}
