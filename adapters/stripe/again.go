package stripe

import (
	"context"
	"fmt"
	"net/http"

	stripego "github.com/stripe/stripe-go/v76"

	"kicau/domain/payment"
)

// Paying again: another card on the same intent, and the same card for another
// intent.

// confirm tries the intent with another card.
func (c *Client) confirm(ctx context.Context, e payment.Effect) payment.Outcome {
	pi := &paymentIntent{}
	err := c.call(http.MethodPost, stripego.FormatURLPath("/v1/payment_intents/%s/confirm", e.Intent),
		&stripego.PaymentIntentConfirmParams{Params: keyed(ctx, e.Key), PaymentMethod: &e.PaymentMethod, Expand: whole}, pi)
	if err != nil {
		if f := failureOf(err); f.kind == final {
			return c.refusedConfirm(ctx, e, f)
		}
	}
	return c.answered(ctx, pi, err)
}

// refusedConfirm: the intent may be paid, gone or waiting for the buyer already:
// that is for itself to say. Else the card was not taken.
func (c *Client) refusedConfirm(ctx context.Context, e payment.Effect, refusal *failure) payment.Outcome {
	pi, f := c.intent(ctx, e.Intent)
	if f != nil {
		return f.notSeen()
	}
	if untried(pi) {
		return payment.Declined{Intent: e.Intent, Code: refusal.code}
	}
	return authorisation(pi)
}

func untried(pi *paymentIntent) bool {
	return pi.Status == stripego.PaymentIntentStatusRequiresPaymentMethod || pi.Status == stripego.PaymentIntentStatusRequiresConfirmation
}

// lookConfirm finds out what became of a confirmation. Stripe takes no metadata
// with it, so nothing on the intent says which call left it as it is. Nil says
// that it holds nothing by this call: then the same call may be made again, for
// as long as its key is known, and is answered the same if it was made before.
// After that an intent that holds nothing is a decline, which leaves nothing
// behind.
func (c *Client) lookConfirm(ctx context.Context, e payment.Effect) payment.Outcome {
	pi, f := c.intent(ctx, e.Intent)
	if f != nil {
		return f.notSeen()
	}
	young := c.now().Sub(e.RequestedAt) < KeyLife
	switch {
	case untried(pi) && declinedSince(pi, e):
		return outcomeOf(pi)
	case young && (untried(pi) || pi.Status == stripego.PaymentIntentStatusRequiresAction):
		return nil
	case untried(pi):
		if o, ok := outcomeOf(pi).(payment.Declined); ok {
			return o
		}
		return payment.Declined{Intent: pi.ID, Code: "key-expired"}
	}
	return authorisation(pi)
}

// declinedSince tells that this very card was declined after it was named: an
// answer that Stripe keeps as a 500 would never say so.
func declinedSince(pi *paymentIntent, e payment.Effect) bool {
	ch := pi.LatestCharge
	return ch != nil && pi.LastPaymentError != nil && ch.Status == stripego.ChargeStatusFailed &&
		ch.PaymentMethod == e.PaymentMethod && ch.Created >= e.RequestedAt.Unix()
}

// keepCard has the card kept under a customer of its own, or charges the one
// that was kept. The customer is nobody: it has no name and no address.
func (c *Client) keepCard(ctx context.Context, e payment.Effect, p *stripego.PaymentIntentParams) *failure {
	switch {
	case e.Customer != "":
		p.Customer, p.OffSession = &e.Customer, stripego.Bool(true)
	case e.KeepCard:
		cus := &customer{}
		err := c.call(http.MethodPost, "/v1/customers", &stripego.CustomerParams{
			Params:   keyed(ctx, e.Key+":customer"),
			Metadata: map[string]string{metaOrder: e.Order.String()},
		}, cus)
		if err != nil {
			return failureOf(err)
		}
		if cus.ID == "" {
			return &failure{reason: "Stripe's answer holds no customer"}
		}
		p.Customer = &cus.ID
		p.SetupFutureUsage = stripego.String(string(stripego.PaymentIntentSetupFutureUsageOffSession))
	}
	return nil
}

// reverse takes a part of a transfer back from the shop's account.
func (c *Client) reverse(ctx context.Context, e payment.Effect, amount int64) payment.Outcome {
	r := &moved{}
	err := c.call(http.MethodPost, stripego.FormatURLPath("/v1/transfers/%s/reversals", e.Transfer), &stripego.TransferReversalParams{
		Params: keyed(ctx, e.Key), ID: &e.Transfer, Amount: &amount,
		Metadata: map[string]string{metaOrder: e.Order.String(), metaKey: e.Key},
	}, r)
	if err != nil {
		return failureOf(err).outcome()
	}
	return reversing(r)
}

func reversing(r *moved) payment.Outcome {
	if r.ID == "" {
		return payment.Unknown{Reason: "Stripe's answer holds no reversal"}
	}
	return payment.Reversed{Reversal: r.ID, Transaction: string(r.BalanceTransaction)}
}

func (c *Client) lookReversal(ctx context.Context, e payment.Effect) payment.Outcome {
	r, f := seek(c, fmt.Sprintf("/v1/transfers/%s/reversals", e.Transfer),
		&stripego.TransferReversalListParams{ListParams: page(ctx), ID: &e.Transfer},
		func(r *moved) (string, bool) { return r.ID, r.Metadata[metaKey] == e.Key })
	switch {
	case f != nil:
		return f.notSeen()
	case r == nil:
		return nil
	}
	return reversing(r)
}
