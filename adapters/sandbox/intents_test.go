package sandbox_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"

	"kicau/adapters/sandbox"
)

// inState makes an intent of 2000 in each status that cards know.
func (w *world) inState(status stripe.PaymentIntentStatus) *stripe.PaymentIntent {
	w.Helper()
	p := order(2000)
	var pi *stripe.PaymentIntent
	var err error
	switch status {
	case stripe.PaymentIntentStatusRequiresPaymentMethod:
		pi, err = w.PaymentIntents.New(p)
	case stripe.PaymentIntentStatusRequiresConfirmation:
		p.PaymentMethod = stripe.String("pm_card_visa")
		pi, err = w.PaymentIntents.New(p)
	case stripe.PaymentIntentStatusRequiresAction:
		p.PaymentMethod, p.Confirm = stripe.String("pm_card_authenticationRequired"), stripe.Bool(true)
		pi, err = w.PaymentIntents.New(p)
	case stripe.PaymentIntentStatusRequiresCapture:
		pi = w.authorised(2000, "pm_card_visa")
	case stripe.PaymentIntentStatusSucceeded:
		pi = w.paid(2000, "pm_card_visa")
	case stripe.PaymentIntentStatusCanceled:
		pi, err = w.PaymentIntents.Cancel(w.authorised(2000, "pm_card_visa").ID, nil)
	}
	w.must(err)
	if pi.Status != status {
		w.Fatalf("status %s, want %s", pi.Status, status)
	}
	return pi
}

// Every status × everything that can be asked: the status after it, or the
// refusal, after which nothing has changed.
func TestTransitions(t *testing.T) {
	const (
		method  = stripe.PaymentIntentStatusRequiresPaymentMethod
		confirm = stripe.PaymentIntentStatusRequiresConfirmation
		action  = stripe.PaymentIntentStatusRequiresAction
		capture = stripe.PaymentIntentStatusRequiresCapture
		done    = stripe.PaymentIntentStatusSucceeded
		ended   = stripe.PaymentIntentStatusCanceled
	)
	asks := map[string]func(w *world, id string) (*stripe.PaymentIntent, error){
		"confirm": func(w *world, id string) (*stripe.PaymentIntent, error) {
			return w.PaymentIntents.Confirm(id, nil)
		},
		"confirm with a card": func(w *world, id string) (*stripe.PaymentIntent, error) {
			return w.PaymentIntents.Confirm(id, &stripe.PaymentIntentConfirmParams{PaymentMethod: stripe.String("pm_card_mastercard")})
		},
		"capture": func(w *world, id string) (*stripe.PaymentIntent, error) { return w.PaymentIntents.Capture(id, nil) },
		"cancel":  func(w *world, id string) (*stripe.PaymentIntent, error) { return w.PaymentIntents.Cancel(id, nil) },
		"new amount": func(w *world, id string) (*stripe.PaymentIntent, error) {
			return w.PaymentIntents.Update(id, &stripe.PaymentIntentParams{Amount: stripe.Int64(2100)})
		},
		"new card": func(w *world, id string) (*stripe.PaymentIntent, error) {
			return w.PaymentIntents.Update(id, &stripe.PaymentIntentParams{PaymentMethod: stripe.String("pm_card_visa")})
		},
		"new description": func(w *world, id string) (*stripe.PaymentIntent, error) {
			return w.PaymentIntents.Update(id, &stripe.PaymentIntentParams{Description: stripe.String("x")})
		},
	}
	const (
		noCapture = "This PaymentIntent could not be captured because it has a status of %s. Only a PaymentIntent with one of the following statuses may be captured: requires_capture."
		noConfirm = "You cannot confirm this PaymentIntent because it has a status of %s. Only a PaymentIntent with one of the following statuses may be confirmed: requires_confirmation, requires_action."
		noCancel  = "You cannot cancel this PaymentIntent because it has a status of %s. Only a PaymentIntent with one of the following statuses may be canceled: requires_payment_method, requires_capture, requires_confirmation, requires_action, processing."
		noAmount  = "This PaymentIntent's amount could not be updated because it has a status of %s."
		noMethod  = "This PaymentIntent's payment_method could not be updated because it has a status of %s."
	)
	for _, c := range []struct {
		from stripe.PaymentIntentStatus
		ask  string
		to   stripe.PaymentIntentStatus
		no   string // the message of the refusal
	}{
		{method, "confirm", "", "You cannot confirm this PaymentIntent because it's missing a payment method."},
		{method, "confirm with a card", capture, ""},
		{method, "capture", "", noCapture},
		{method, "cancel", ended, ""},
		{method, "new amount", method, ""},
		{method, "new card", confirm, ""},
		{method, "new description", method, ""},

		{confirm, "confirm", capture, ""},
		{confirm, "confirm with a card", capture, ""},
		{confirm, "capture", "", noCapture},
		{confirm, "cancel", ended, ""},
		{confirm, "new amount", confirm, ""},
		{confirm, "new card", confirm, ""},
		{confirm, "new description", confirm, ""},

		{action, "confirm", action, ""},
		{action, "confirm with a card", capture, ""},
		{action, "capture", "", noCapture},
		{action, "cancel", ended, ""},
		{action, "new amount", action, ""},
		{action, "new card", confirm, ""},
		{action, "new description", action, ""},

		{capture, "confirm", "", noConfirm},
		{capture, "confirm with a card", "", noConfirm},
		{capture, "capture", done, ""},
		{capture, "cancel", ended, ""},
		{capture, "new amount", "", noAmount},
		{capture, "new card", "", noMethod},
		{capture, "new description", capture, ""},

		{done, "confirm", "", "You cannot confirm this PaymentIntent because it has already succeeded after being previously confirmed."},
		{done, "confirm with a card", "", "You cannot confirm this PaymentIntent because it has already succeeded after being previously confirmed."},
		{done, "capture", "", "This PaymentIntent could not be captured because it has already been captured."},
		{done, "cancel", "", noCancel},
		{done, "new amount", "", noAmount},
		{done, "new card", "", noMethod},
		{done, "new description", done, ""},

		{ended, "confirm", "", noConfirm},
		{ended, "confirm with a card", "", noConfirm},
		{ended, "capture", "", noCapture},
		{ended, "cancel", "", noCancel},
		{ended, "new amount", "", noAmount},
		{ended, "new card", "", noMethod},
		{ended, "new description", ended, ""},
	} {
		t.Run(fmt.Sprintf("%s/%s", c.from, c.ask), func(t *testing.T) {
			w := start(t, sandbox.Options{})
			pi := w.inState(c.from)
			got, err := asks[c.ask](w, pi.ID)
			if c.no == "" {
				w.must(err)
				if got.Status != c.to {
					t.Errorf("status %s, want %s", got.Status, c.to)
				}
				return
			}
			message := c.no
			if slices.Contains([]string{noCapture, noConfirm, noCancel, noAmount, noMethod}, message) {
				message = fmt.Sprintf(message, c.from)
			}
			e := w.expect(err, http.StatusBadRequest, "payment_intent_unexpected_state", message)
			if e.PaymentIntent == nil || e.PaymentIntent.Status != c.from || e.Type != stripe.ErrorTypeInvalidRequest {
				t.Errorf("error: %+v", e)
			}
			if now := w.status(pi.ID); now != c.from {
				t.Errorf("the refused request made it %s", now)
			}
		})
	}
}

func TestAutomaticCapture(t *testing.T) {
	w := start(t, sandbox.Options{})
	p := order(2000)
	p.CaptureMethod, p.Confirm, p.PaymentMethod = nil, stripe.Bool(true), stripe.String("pm_card_visa")
	p.Metadata = map[string]string{"order": "7"}
	p.TransferGroup, p.Description = stripe.String("order-7"), stripe.String("Batik")
	p.AddExpand("latest_charge.balance_transaction")
	pi, err := w.PaymentIntents.New(p)
	w.must(err)
	c := pi.LatestCharge
	if pi.Status != stripe.PaymentIntentStatusSucceeded || pi.AmountReceived != 2000 || pi.CaptureMethod != "automatic" {
		t.Errorf("intent: %+v", pi)
	}
	if !c.Captured || c.AmountCaptured != 2000 || c.Metadata["order"] != "7" || c.TransferGroup != "order-7" || c.Description != "Batik" {
		t.Errorf("charge: %+v", c)
	}
	if b := c.BalanceTransaction; b == nil || b.Amount != 2000 || b.Fee != 88 || b.Net != 1912 || b.Type != "charge" || b.Source.ID != c.ID || len(b.FeeDetails) != 1 || b.FeeDetails[0].Amount != 88 {
		t.Errorf("balance transaction: %+v", b)
	}
	if got, want := w.events(pi.ID), []string{"payment_intent.created", "charge.succeeded", "payment_intent.succeeded"}; !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
	w.books()
}

func TestManualConfirmationNeedsTheServerAgain(t *testing.T) {
	w := start(t, sandbox.Options{})
	p := order(2000)
	p.ConfirmationMethod, p.Confirm, p.PaymentMethod = stripe.String("manual"), stripe.Bool(true), stripe.String("pm_card_threeDSecure2Required")
	p.ReturnURL = stripe.String("http://localhost/back")
	pi, err := w.PaymentIntents.New(p)
	w.must(err)
	w.checkChallenge(pi)
	if status, _ := w.answer(pi, "complete"); status != "succeeded" {
		t.Error("redirect_status", status)
	}
	if got := w.status(pi.ID); got != stripe.PaymentIntentStatusRequiresConfirmation {
		t.Fatalf("status %s", got)
	}
	pi, err = w.PaymentIntents.Confirm(pi.ID, nil)
	w.must(err)
	if pi.Status != stripe.PaymentIntentStatusRequiresCapture {
		t.Errorf("status %s", pi.Status)
	}
}

func TestAutomaticPaymentMethodsWantAReturnURL(t *testing.T) {
	w := start(t, sandbox.Options{})
	p := order(2000)
	p.PaymentMethodTypes, p.PaymentMethod = nil, stripe.String("pm_card_visa")
	p.Confirm = stripe.Bool(true)
	_, err := w.PaymentIntents.New(p)
	w.expect(err, http.StatusBadRequest, "", "you must provide a `return_url`")

	p.ReturnURL = stripe.String("https://shop.example/back")
	pi, err := w.PaymentIntents.New(p)
	w.must(err)
	if pi.AutomaticPaymentMethods == nil || !pi.AutomaticPaymentMethods.Enabled || pi.Status != stripe.PaymentIntentStatusRequiresCapture {
		t.Errorf("intent: %+v", pi)
	}
	p.ReturnURL = nil
	p.AutomaticPaymentMethods = &stripe.PaymentIntentAutomaticPaymentMethodsParams{Enabled: stripe.Bool(true), AllowRedirects: stripe.String("never")}
	_, err = w.PaymentIntents.New(p)
	w.must(err)
}

func TestCapture(t *testing.T) {
	w := start(t, sandbox.Options{})
	pi := w.authorised(2000, "pm_card_visa")
	pi, err := w.PaymentIntents.Capture(pi.ID, &stripe.PaymentIntentCaptureParams{Metadata: map[string]string{"shipment": "9"}})
	w.must(err)
	if pi.AmountReceived != 2000 || pi.AmountCapturable != 0 || pi.Metadata["shipment"] != "9" {
		t.Errorf("intent: %+v", pi)
	}
	want := []string{"payment_intent.created", "charge.succeeded", "payment_intent.amount_capturable_updated", "charge.captured", "payment_intent.succeeded"}
	if got := w.events(pi.ID); !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
	c, err := w.Charges.Get(pi.LatestCharge.ID, nil)
	w.must(err)
	if !c.Captured || c.AmountCaptured != 2000 || c.PaymentMethodDetails.Card.CaptureBefore != 0 {
		t.Errorf("charge: %+v", c)
	}
	_, err = w.PaymentIntents.Capture(w.authorised(2000, "pm_card_visa").ID, &stripe.PaymentIntentCaptureParams{AmountToCapture: stripe.Int64(2001)})
	w.expect(err, http.StatusBadRequest, "amount_too_large", "greater than the amount capturable ($20.00)")
}

// A partial capture books the whole authorised amount and gives the rest back,
// with its part of the fee.
func TestPartialCapture(t *testing.T) {
	w := start(t, sandbox.Options{})
	pi := w.authorised(10000, "pm_card_visa")
	pi, err := w.PaymentIntents.Capture(pi.ID, &stripe.PaymentIntentCaptureParams{AmountToCapture: stripe.Int64(7000)})
	w.must(err)
	if pi.Status != stripe.PaymentIntentStatusSucceeded || pi.AmountReceived != 7000 || pi.Amount != 10000 || pi.AmountCapturable != 0 {
		t.Errorf("intent: %+v", pi)
	}
	p := &stripe.ChargeParams{}
	p.AddExpand("refunds.data.balance_transaction")
	p.AddExpand("balance_transaction")
	c, err := w.Charges.Get(pi.LatestCharge.ID, p)
	w.must(err)
	if c.Amount != 10000 || c.AmountCaptured != 7000 || c.AmountRefunded != 3000 || c.Refunded || len(c.Refunds.Data) != 1 {
		t.Fatalf("charge: %+v", c)
	}
	type line struct {
		kind, category   string
		amount, fee, net int64
	}
	var got []line
	for _, b := range []*stripe.BalanceTransaction{c.BalanceTransaction, c.Refunds.Data[0].BalanceTransaction} {
		got = append(got, line{string(b.Type), string(b.ReportingCategory), b.Amount, b.Fee, b.Net})
	}
	want := []line{
		{"charge", "charge", 10000, 320, 9680},
		{"refund", "partial_capture_reversal", -3000, -87, -2913},
	}
	if !slices.Equal(got, want) {
		t.Errorf("booked %v, want %v", got, want)
	}
	if _, pending := w.books(); pending != 7000-233 {
		t.Errorf("pending %d, want what a charge of 7000 brings", pending)
	}
	// What can be refunded is what was captured.
	_, err = w.Refunds.New(&stripe.RefundParams{PaymentIntent: stripe.String(pi.ID), Amount: stripe.Int64(7001)})
	w.expect(err, http.StatusBadRequest, "", "Refund amount ($70.01) is greater than unrefunded amount on charge ($70.00)")
}

func TestCancelReleasesTheHold(t *testing.T) {
	w := start(t, sandbox.Options{})
	pi := w.authorised(2000, "pm_card_visa")
	pi, err := w.PaymentIntents.Cancel(pi.ID, &stripe.PaymentIntentCancelParams{CancellationReason: stripe.String("requested_by_customer")})
	w.must(err)
	if pi.CancellationReason != "requested_by_customer" || pi.CanceledAt != w.clock.now().Unix() || pi.AmountCapturable != 0 {
		t.Errorf("intent: %+v", pi)
	}
	p := &stripe.ChargeParams{}
	p.AddExpand("refunds")
	c, err := w.Charges.Get(pi.LatestCharge.ID, p)
	w.must(err)
	if c.Captured || !c.Refunded || c.AmountRefunded != 2000 || c.Refunds.Data[0].BalanceTransaction != nil || c.BalanceTransaction != nil {
		t.Errorf("charge: %+v", c)
	}
	if got := w.events(pi.ID); !slices.Equal(got[3:], []string{"charge.refunded", "payment_intent.canceled"}) {
		t.Errorf("events %v", got)
	}
	if available, pending := w.books(); available != 0 || pending != 0 {
		t.Errorf("balance %d + %d of nothing captured", available, pending)
	}
	_, err = w.PaymentIntents.Cancel(pi.ID, &stripe.PaymentIntentCancelParams{CancellationReason: stripe.String("bored")})
	w.expect(err, http.StatusBadRequest, "", "Invalid cancellation_reason: must be one of duplicate, fraudulent, requested_by_customer, or abandoned")
}

func TestAuthorisationExpires(t *testing.T) {
	w := start(t, sandbox.Options{})
	early := w.authorised(2000, "pm_card_visa")
	kept := w.authorised(3000, "pm_card_visa")
	_, err := w.PaymentIntents.Capture(kept.ID, nil)
	w.must(err)
	w.clock.add(time.Hour)
	late := w.authorised(2000, "pm_card_visa")

	w.clock.add(7*24*time.Hour - time.Hour - time.Second)
	if got := w.status(early.ID); got != stripe.PaymentIntentStatusRequiresCapture {
		t.Fatalf("a second before its time: %s", got)
	}
	w.clock.add(time.Second)
	_, err = w.PaymentIntents.Capture(early.ID, nil)
	w.expect(err, http.StatusBadRequest, "payment_intent_unexpected_state", "it has a status of canceled")
	pi, err := w.PaymentIntents.Get(early.ID, nil)
	w.must(err)
	if pi.Status != stripe.PaymentIntentStatusCanceled || pi.CancellationReason != "automatic" || pi.AmountCapturable != 0 {
		t.Errorf("intent: %+v", pi)
	}
	if got := w.events(early.ID); !slices.Equal(got[3:], []string{"charge.expired", "payment_intent.canceled"}) {
		t.Errorf("events %v", got)
	}
	refunds := w.Refunds.List(&stripe.RefundListParams{PaymentIntent: stripe.String(early.ID)})
	if !refunds.Next() || refunds.Refund().Reason != stripe.RefundReasonExpiredUncapturedCharge {
		t.Error("no refund for the expired charge", refunds.Err())
	}
	if got := w.status(late.ID); got != stripe.PaymentIntentStatusRequiresCapture {
		t.Errorf("the later one: %s", got)
	}
	if got := w.status(kept.ID); got != stripe.PaymentIntentStatusSucceeded {
		t.Errorf("the captured one: %s", got)
	}
}

func TestUpdate(t *testing.T) {
	w := start(t, sandbox.Options{})
	p := order(2000)
	p.Metadata = map[string]string{"a": "1", "b": "2"}
	pi, err := w.PaymentIntents.New(p)
	w.must(err)
	up := &stripe.PaymentIntentParams{Amount: stripe.Int64(2500), Description: stripe.String("more"), TransferGroup: stripe.String("g")}
	up.Metadata = map[string]string{"a": "", "c": "3"}
	pi, err = w.PaymentIntents.Update(pi.ID, up)
	w.must(err)
	if pi.Amount != 2500 || pi.Description != "more" || pi.TransferGroup != "g" || fmt.Sprint(pi.Metadata) != "map[b:2 c:3]" {
		t.Errorf("intent: %+v", pi)
	}
	_, err = w.PaymentIntents.Update(pi.ID, &stripe.PaymentIntentParams{Amount: stripe.Int64(1)})
	w.expect(err, http.StatusBadRequest, "amount_too_small", "Amount must be at least $0.50 usd")
	_, v := w.raw("POST", "/v1/payment_intents/"+pi.ID, url.Values{"metadata": {""}})
	if len(v["metadata"].(map[string]any)) != 0 {
		t.Errorf("metadata: %v", v["metadata"])
	}
}

// Limits count characters, of whatever script, and not the bytes they take.
func TestLimitsCountCharacters(t *testing.T) {
	w := start(t, sandbox.Options{})
	p := order(1000)
	p.Description = stripe.String(strings.Repeat("あ", 1000))
	p.AddMetadata(strings.Repeat("é", 40), strings.Repeat("あ", 500))
	pi, err := w.PaymentIntents.New(p)
	w.must(err)
	if pi.Description != *p.Description || pi.Metadata[strings.Repeat("é", 40)] != strings.Repeat("あ", 500) {
		t.Errorf("%+v", pi)
	}
	_, err = w.PaymentIntents.Update(pi.ID, &stripe.PaymentIntentParams{Metadata: map[string]string{"note": strings.Repeat("あ", 501)}})
	w.expect(err, http.StatusBadRequest, "", "up to 500 characters")
}
