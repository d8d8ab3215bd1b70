package stripe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	stripego "github.com/stripe/stripe-go/v76"

	"kicau/domain/money"
	"kicau/domain/payment"
)

// Metadata that our objects at Stripe carry. Stripe copies that of a payment
// intent to its charges.
const (
	metaOrder  = "kicau_order"
	metaKey    = "kicau_key" // the idempotency key: says which effect made the object
	metaRefund = "kicau_refund"
)

// whole is what is needed of a payment intent, four levels deep, which is as
// deep as Stripe expands.
var whole = []*string{
	stripego.String("latest_charge.balance_transaction"),
	stripego.String("latest_charge.refunds.data.balance_transaction"),
}

func (c *Client) intent(ctx context.Context, id string) (*paymentIntent, *failure) {
	if id == "" {
		return nil, refused("no-intent", "there is no payment intent to ask for")
	}
	pi := &paymentIntent{}
	err := c.call(http.MethodGet, stripego.FormatURLPath("/v1/payment_intents/%s", id), &stripego.PaymentIntentParams{Params: params(ctx), Expand: whole}, pi)
	if err != nil {
		return nil, failureOf(err)
	}
	if pi.ID != id {
		return nil, &failure{reason: "Stripe's answer holds another payment intent than the one asked for"}
	}
	return pi, c.allRefunds(ctx, pi)
}

// allRefunds of the intent's charge: only the ten newest come with it, and what was
// released of an authorisation is the oldest.
func (c *Client) allRefunds(ctx context.Context, pi *paymentIntent) *failure {
	ch := pi.LatestCharge
	if ch == nil || ch.Refunds == nil || !ch.Refunds.HasMore || pi.Metadata[metaOrder] == "" {
		return nil // nothing is missing, or it is none of ours
	}
	p := &stripego.RefundListParams{ListParams: page(ctx), PaymentIntent: &pi.ID, Expand: []*string{stripego.String("data.balance_transaction")}}
	refunds, f := all[refund](c, "/v1/refunds", p)
	if f != nil {
		f.reason = fmt.Sprintf("refunds of payment intent %s: %s", pi.ID, f.reason)
		return f
	}
	slices.Reverse(refunds) // newest first, as they come with a charge
	ch.Refunds.HasMore, ch.Refunds.Data = false, refunds
	return nil
}

// outcomeOf says where a payment intent stands. See
// https://docs.stripe.com/payments/paymentintents/lifecycle.
func outcomeOf(pi *paymentIntent) payment.Outcome {
	switch pi.Status {
	case stripego.PaymentIntentStatusRequiresPaymentMethod:
		if e := pi.LastPaymentError; e != nil {
			code := string(e.Code)
			if code == "" {
				code = string(e.Type)
			}
			return payment.Declined{Intent: pi.ID, Code: code, DeclineCode: string(e.DeclineCode)}
		}
		return payment.ActionRequired{Intent: pi.ID, Action: typeCard}
	case stripego.PaymentIntentStatusRequiresConfirmation:
		// Named but never tried: we confirm when we create, so that was somebody
		// else. The page can go on from here.
		return payment.ActionRequired{Intent: pi.ID, Action: typeCard}
	case stripego.PaymentIntentStatusRequiresAction:
		return payment.ActionRequired{Intent: pi.ID, Action: authenticate}
	case stripego.PaymentIntentStatusRequiresCapture:
		return authorised(pi)
	case stripego.PaymentIntentStatusSucceeded:
		return captured(pi)
	case stripego.PaymentIntentStatusCanceled:
		return payment.Voided{Intent: pi.ID}
	}
	return payment.Unknown{Reason: fmt.Sprintf("payment intent %s is %s", pi.ID, short(string(pi.Status)))}
}

// What a buyer can be asked to do, payment.ActionRequired.
const (
	typeCard     = "card"
	authenticate = "authenticate"
)

func authorised(pi *paymentIntent) payment.Outcome {
	amount, err := fromStripe(pi.AmountCapturable, pi.Currency)
	if err != nil {
		return payment.Unknown{Reason: fmt.Sprintf("payment intent %s: %s", pi.ID, err)}
	}
	a := payment.Authorised{Intent: pi.ID, Amount: amount}
	if pi.Customer != "" && pi.PaymentMethod != "" {
		a.Customer, a.Method = string(pi.Customer), string(pi.PaymentMethod)
	}
	if ch := pi.LatestCharge; ch != nil {
		a.Charge = ch.ID
		if d := ch.PaymentMethodDetails; d != nil && d.Card != nil {
			a.Brand, a.Last4 = string(d.Card.Brand), d.Card.Last4
			if d.Card.CaptureBefore != 0 {
				t := time.Unix(d.Card.CaptureBefore, 0).UTC()
				a.ExpiresAt = &t
			}
		}
	}
	return a
}

func captured(pi *paymentIntent) payment.Outcome {
	amount, err := fromStripe(pi.AmountReceived, pi.Currency)
	if err == nil {
		var fee money.Minor
		if fee, err = captureFee(pi); err == nil {
			return payment.Captured{
				Intent: pi.ID, Charge: pi.LatestCharge.ID, Transaction: pi.LatestCharge.BalanceTransaction.ID,
				Amount: amount, ProcessorFee: fee,
			}
		}
	}
	return payment.Unknown{Reason: fmt.Sprintf("payment intent %s is captured, but its fee is not known yet: %s", pi.ID, err)}
}

// captureFee is what Stripe kept of a captured payment, in its currency.
//
// A capture of less than was authorised is two balance transactions: the whole
// authorised amount with its fee, and the reversal of the rest, which gives its
// part of the fee back. (From API version 2025-03-31 on it is one.) Together
// they must be what was captured, or one of them is missing still.
func captureFee(pi *paymentIntent) (money.Minor, error) {
	ch := pi.LatestCharge
	if ch == nil || ch.BalanceTransaction == nil || ch.BalanceTransaction.Currency == "" {
		return 0, errors.New("the charge has no balance transaction")
	}
	b := ch.BalanceTransaction
	gross, fee := b.Amount, b.Fee
	if ch.Refunds != nil {
		for _, r := range ch.Refunds.Data {
			if r == nil {
				continue
			}
			if rb := r.BalanceTransaction; rb != nil && rb.ReportingCategory == stripego.BalanceTransactionReportingCategoryPartialCaptureReversal {
				gross, fee = gross+rb.Amount, fee+rb.Fee
			}
		}
	}
	if b.Currency == pi.Currency {
		if gross != pi.AmountReceived {
			return 0, fmt.Errorf("its balance transactions are %d %s, not %d", gross, b.Currency, pi.AmountReceived)
		}
		return roundedFromStripe(fee, pi.Currency)
	}
	// The platform is settled in another currency, and so is the fee. What it is
	// of the settled amount, it is of the captured one: Stripe's own rate.
	if gross <= 0 {
		return 0, fmt.Errorf("its balance transactions are %d %s", gross, b.Currency)
	}
	converted := scale(fee, pi.AmountReceived, gross)
	if !converted.IsInt64() {
		return 0, fmt.Errorf("a fee of %d %s for %d %s is none", fee, b.Currency, gross, b.Currency)
	}
	return roundedFromStripe(converted.Int64(), pi.Currency)
}

// PayURL is where the buyer types the card, or authenticates. An intent that was
// confirmed with a return address of its own has Stripe's page for the latter,
// and comes back to that address; all others go to [Options.PayURL].
func (c *Client) PayURL(ctx context.Context, id, returnURL string) (string, error) {
	pi, f := c.intent(ctx, id)
	if f != nil {
		return "", fmt.Errorf("payment page of %s: %s", short(id), f.reason)
	}
	switch pi.Status {
	case stripego.PaymentIntentStatusRequiresAction:
		if n := pi.NextAction; n != nil && n.RedirectToURL != nil && n.RedirectToURL.URL != "" {
			return n.RedirectToURL.URL, nil
		}
	case stripego.PaymentIntentStatusRequiresPaymentMethod, stripego.PaymentIntentStatusRequiresConfirmation:
	default:
		return "", fmt.Errorf("payment page of %s: there is nothing for the buyer to do, it is %s", pi.ID, short(string(pi.Status)))
	}
	if c.payURL == nil {
		return "", fmt.Errorf("payment page of %s: no page is configured where a card can be typed (Options.PayURL)", pi.ID)
	}
	if pi.ClientSecret == "" {
		return "", fmt.Errorf("payment page of %s: Stripe gave no client secret; a restricted key needs write access to PaymentIntents", pi.ID)
	}
	return c.payURL(pi.ID, pi.ClientSecret, returnURL), nil
}
