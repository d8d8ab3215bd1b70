package stripe

import (
	"context"
	"time"

	stripego "github.com/stripe/stripe-go/v76"

	"kicau/domain/payment"
)

// Looking finds out what became of a call whose answer was lost. It uses lists
// and single objects only: those show what was written before, at once. Stripe's
// search lags behind by a minute, or by an hour in an outage
// (https://docs.stripe.com/search#data-freshness), and proves nothing.

// Bounds of a look.
const (
	// maxLooked bounds the objects of a list that are looked at: ten pages. Those
	// of one order are far fewer; the platform's newest payment intents may be
	// more, see newIntent.
	maxLooked = 1000
	// clockSkew is how far our clock may be ahead of Stripe's.
	clockSkew = 5 * time.Minute
)

// notSeen is what a look that failed says of the call: nothing, but when what
// the call is about does not exist, so that it cannot have been done.
func (f *failure) notSeen() payment.Outcome {
	if f.nothingLikeThat {
		return f.outcome()
	}
	return f.unknown()
}

// lookAuthorise finds the payment intent that the effect made. Nil says that no
// card was charged for it: an intent without a charge that was not found holds
// nothing and never will, since nobody knows its client secret.
func (c *Client) lookAuthorise(ctx context.Context, e payment.Effect) payment.Outcome {
	if e.Intent != "" {
		return c.lookConfirm(ctx, e)
	}
	id, f := c.chargedIntent(ctx, e)
	if f == nil && id == "" {
		id, f = c.newIntent(ctx, e)
	}
	if f != nil {
		return f.unknown()
	}
	if id == "" {
		return nil
	}
	pi, f := c.intent(ctx, id)
	if f != nil {
		return f.unknown()
	}
	return authorisation(pi)
}

// chargedIntent finds the intent by its charge, succeeded or declined: charges
// are listed by transfer group, which is the order. It is exact, however busy
// the platform is.
func (c *Client) chargedIntent(ctx context.Context, e payment.Effect) (string, *failure) {
	ch, f := seek(c, "/v1/charges",
		&stripego.ChargeListParams{ListParams: page(ctx), TransferGroup: stripego.String(e.Order.String())},
		func(ch *charged) (string, bool) { return ch.ID, ch.Metadata[metaKey] == e.Key })
	if f != nil || ch == nil {
		return "", f
	}
	return string(ch.PaymentIntent), nil
}

// newIntent looks for an intent without a charge among the newest, which are all
// there is to list them by. It finds the intent of a buyer who waits for the
// page to type the card; what is not found is no proof, nor does it have to be.
func (c *Client) newIntent(ctx context.Context, e payment.Effect) (string, *failure) {
	type made struct { // all that is asked of up to a thousand of them
		ID       string            `json:"id"`
		Metadata map[string]string `json:"metadata"`
	}
	pi, f := seek(c, "/v1/payment_intents",
		&stripego.PaymentIntentListParams{ListParams: page(ctx),
			CreatedRange: &stripego.RangeQueryParams{GreaterThanOrEqual: e.RequestedAt.Add(-clockSkew).Unix()}},
		func(pi *made) (string, bool) { return pi.ID, pi.Metadata[metaKey] == e.Key })
	if f != nil && f.endless || f == nil && pi == nil {
		return "", nil
	}
	if f != nil {
		return "", f
	}
	return pi.ID, nil
}

func (c *Client) lookVoid(ctx context.Context, e payment.Effect) payment.Outcome {
	pi, f := c.intent(ctx, e.Intent)
	if f != nil {
		return f.notSeen()
	}
	return voiding(pi)
}

func (c *Client) lookCapture(ctx context.Context, e payment.Effect) payment.Outcome {
	pi, f := c.intent(ctx, e.Intent)
	if f != nil {
		return f.notSeen()
	}
	return capturing(pi)
}

func (c *Client) lookRefund(ctx context.Context, e payment.Effect) payment.Outcome {
	r, f := seek(c, "/v1/refunds", &stripego.RefundListParams{ListParams: page(ctx), PaymentIntent: &e.Intent},
		func(r *refund) (string, bool) { return r.ID, r.Metadata[metaRefund] == e.Refund.String() })
	switch {
	case f != nil:
		return f.notSeen()
	case r == nil:
		return nil
	}
	return refunding(r)
}

func (c *Client) lookTransfer(ctx context.Context, e payment.Effect) payment.Outcome {
	t, f := seek(c, "/v1/transfers",
		&stripego.TransferListParams{ListParams: page(ctx), TransferGroup: stripego.String(e.Order.String())},
		func(t *moved) (string, bool) { return t.ID, t.Metadata[metaKey] == e.Key })
	switch {
	case f != nil:
		return f.unknown()
	case t == nil:
		return nil
	}
	return transferring(t)
}

// seek finds the object of a list that is ours, among the newest [maxLooked]; nil
// when there is none.
func seek[T any](c *Client, path string, p stripego.ListParamsContainer, ours func(*T) (id string, yes bool)) (*T, *failure) {
	return seekUpTo(c, path, p, maxLooked, ours)
}

func seekUpTo[T any](c *Client, path string, p stripego.ListParamsContainer, most int, ours func(*T) (id string, yes bool)) (*T, *failure) {
	id := func(x *T) string { id, _ := ours(x); return id }
	for x, f := range listed(c, path, p, most, id) {
		if f != nil {
			return nil, f
		}
		if _, yes := ours(x); yes {
			return x, nil
		}
	}
	return nil, nil
}
