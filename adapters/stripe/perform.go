package stripe

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	stripego "github.com/stripe/stripe-go/v76"

	"kicau/domain/order"
	"kicau/domain/payment"
)

// KeyLife is how long after an intention its idempotency key is sent. Stripe may
// forget a key after 24 hours, and takes the same call for a new one then
// (https://docs.stripe.com/api/idempotent_requests); the hour between is for
// clocks that differ and calls under way.
const KeyLife = 23 * time.Hour

// A step is how an effect of a kind is looked up and sent.
type step struct {
	// look says what became of the call. Nil says that it was not done, and is
	// said only when that is proven.
	look func(*Client, context.Context, payment.Effect) payment.Outcome
	// send makes the call, with the effect's amount as Stripe counts it.
	send func(*Client, context.Context, payment.Effect, int64) payment.Outcome
	// once marks a call that the object itself lets happen only once: an intent
	// is captured once and cancelled once, under whatever key.
	once bool
	// needs are the ids without which there is no such call.
	needs func(payment.Effect) []string
	// amount tells whether the call is about one.
	amount bool
}

var steps = map[order.Step]step{
	order.Authorise: {look: (*Client).lookAuthorise, send: (*Client).authorise, amount: true,
		needs: func(e payment.Effect) []string { return nil }},
	order.Void: {look: (*Client).lookVoid, send: (*Client).void, once: true,
		needs: func(e payment.Effect) []string { return []string{e.Intent} }},
	order.Capture: {look: (*Client).lookCapture, send: (*Client).capture, once: true, amount: true,
		needs: func(e payment.Effect) []string { return []string{e.Intent} }},
	order.Refunding: {look: (*Client).lookRefund, send: (*Client).refund, amount: true,
		needs: func(e payment.Effect) []string { return []string{e.Intent, idOf(e.Refund)} }},
	order.Settle: {look: (*Client).lookTransfer, send: (*Client).transfer, amount: true,
		needs: func(e payment.Effect) []string { return []string{e.Destination} }},
	order.Reverse: {look: (*Client).lookReversal, send: (*Client).reverse, amount: true,
		needs: func(e payment.Effect) []string { return []string{e.Transfer} }},
	order.Contest: {look: (*Client).lookContest, send: (*Client).contest, once: true,
		needs: func(e payment.Effect) []string { return []string{e.Dispute} }},
	order.Accept: {look: (*Client).lookAccept, send: (*Client).accept, once: true,
		needs: func(e payment.Effect) []string { return []string{e.Dispute} }},
}

func idOf(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}

// Perform makes the call of an effect, or finds out what became of it.
func (c *Client) Perform(ctx context.Context, e payment.Effect) payment.Outcome {
	o := c.perform(ctx, e)
	level, reason := slog.LevelDebug, ""
	switch o := o.(type) {
	case payment.Unknown:
		level, reason = slog.LevelWarn, o.Reason
	case payment.Failed:
		level, reason = slog.LevelWarn, o.Reason
	}
	c.logger.LogAttrs(ctx, level, "payment call", slog.String("step", string(e.Step)), slog.String("order", e.Order.String()),
		slog.String("key", e.Key), slog.Int("tries", e.Tries),
		slog.String("outcome", strings.TrimPrefix(fmt.Sprintf("%T", o), "payment.")), slog.String("reason", reason))
	return o
}

func (c *Client) perform(ctx context.Context, e payment.Effect) payment.Outcome {
	s, ok := steps[e.Step]
	if !ok || !complete(e, s) {
		return payment.Failed{Code: "incomplete", Reason: fmt.Sprintf("the intention %q says not enough to make a call of it", short(e.Key))}
	}
	var amount int64
	if s.amount {
		var f *failure
		if amount, f = toStripe(e.Amount, e.Currency); f != nil {
			return f.outcome()
		}
	}
	age := c.now().Sub(e.RequestedAt)
	if e.Tries > 0 || age >= KeyLife {
		if o := s.look(c, ctx, e); o != nil {
			return o
		}
	}
	if age >= KeyLife {
		if !s.once {
			// Proven not done, and not to be sent any more.
			return payment.Failed{Code: "key-expired", Reason: fmt.Sprintf(
				"Stripe shows nothing of this call %s after it was decided, when its idempotency key is not safe to send any more", KeyLife)}
		}
		// The object guards itself; only the key must be one that Stripe cannot
		// have half forgotten.
		e.Key = fmt.Sprintf("%s:again%d", e.Key, age/KeyLife)
	}
	// From here on the call may be done, whatever becomes of us: its intention is
	// in the log, and the next look finds out.
	return s.send(c, ctx, e, amount)
}

func complete(e payment.Effect, s step) bool {
	for _, id := range append(s.needs(e), e.Key, idOf(e.Order)) {
		if id == "" {
			return false
		}
	}
	return len(e.Key) <= maxKey
}

// maxKey is Stripe's bound on idempotency keys, 255, less what ":again" adds.
const maxKey = 240

// The parameters below, expansions too, belong to a key at Stripe: a key that is
// sent with others is refused (idempotency_error). Changing them leaves calls
// that are open at the time of an upgrade to be found by looking.

// authorise holds the amount: in one call with a payment method that the buyer
// gave before, else the buyer is asked for one. Only cards are offered: every
// other method may redirect the buyer in the middle of a call.
func (c *Client) authorise(ctx context.Context, e payment.Effect, amount int64) payment.Outcome {
	if e.Intent != "" {
		return c.confirm(ctx, e)
	}
	p := &stripego.PaymentIntentParams{
		Params:             keyed(ctx, e.Key),
		Amount:             &amount,
		Currency:           stripego.String(strings.ToLower(string(e.Currency))),
		CaptureMethod:      stripego.String(string(stripego.PaymentIntentCaptureMethodManual)),
		PaymentMethodTypes: []*string{stripego.String("card")},
		TransferGroup:      stripego.String(e.Order.String()),
		Metadata:           map[string]string{metaOrder: e.Order.String(), metaKey: e.Key},
		Expand:             whole,
	}
	if e.PaymentMethod != "" {
		p.PaymentMethod, p.Confirm = &e.PaymentMethod, stripego.Bool(true)
	}
	if f := c.keepCard(ctx, e, p); f != nil {
		return f.outcome()
	}
	pi := &paymentIntent{}
	err := c.call(http.MethodPost, "/v1/payment_intents", p, pi)
	return c.answered(ctx, pi, err)
}

// answered is what Stripe's answer to a try to pay means.
func (c *Client) answered(ctx context.Context, pi *paymentIntent, err error) payment.Outcome {
	if err != nil {
		f := failureOf(err)
		if f.kind == declined || f.kind == final && f.intent != "" {
			return payment.Declined{Intent: f.intent, Code: f.code, DeclineCode: f.decline}
		}
		return f.outcome()
	}
	if pi.Repeated {
		// What is repeated is the answer of then; what counts is now.
		var f *failure
		if pi, f = c.intent(ctx, pi.ID); f != nil {
			return f.unknown()
		}
	}
	return authorisation(pi)
}

// authorisation is what an intent means for the call that made it.
func authorisation(pi *paymentIntent) payment.Outcome {
	o := outcomeOf(pi)
	if _, gone := o.(payment.Voided); gone {
		// Stripe cancels an intent that was tried too often; the platform can.
		return payment.Declined{Intent: pi.ID, Code: "canceled", DeclineCode: short(string(pi.CancellationReason))}
	}
	return o
}

// void gives the hold up.
func (c *Client) void(ctx context.Context, e payment.Effect, _ int64) payment.Outcome {
	pi := &paymentIntent{}
	err := c.call(http.MethodPost, stripego.FormatURLPath("/v1/payment_intents/%s/cancel", e.Intent),
		&stripego.PaymentIntentCancelParams{Params: keyed(ctx, e.Key), Expand: whole}, pi)
	if err != nil {
		f := failureOf(err)
		if f.kind == open {
			return f.unknown()
		}
		// It may be over already: that is for the intent to say.
		if o := c.lookVoid(ctx, e); o != nil {
			return o
		}
		return f.unknown() // money is held still, so this is no end
	}
	if o := voiding(pi); o != nil {
		return o
	}
	return payment.Unknown{Reason: fmt.Sprintf("payment intent %s is %s after it was cancelled", pi.ID, short(string(pi.Status)))}
}

// voiding is what an intent means for a call to cancel it; nil: it was not done.
func voiding(pi *paymentIntent) payment.Outcome {
	switch pi.Status {
	case stripego.PaymentIntentStatusCanceled:
		return payment.Voided{Intent: pi.ID}
	case stripego.PaymentIntentStatusSucceeded:
		return captured(pi) // it can only be refunded
	case stripego.PaymentIntentStatusRequiresPaymentMethod, stripego.PaymentIntentStatusRequiresConfirmation,
		stripego.PaymentIntentStatusRequiresAction, stripego.PaymentIntentStatusRequiresCapture:
		return nil
	}
	return payment.Unknown{Reason: fmt.Sprintf("payment intent %s is %s", pi.ID, short(string(pi.Status)))}
}

// capture takes what was shipped; Stripe releases the rest.
func (c *Client) capture(ctx context.Context, e payment.Effect, amount int64) payment.Outcome {
	pi := &paymentIntent{}
	err := c.call(http.MethodPost, stripego.FormatURLPath("/v1/payment_intents/%s/capture", e.Intent),
		&stripego.PaymentIntentCaptureParams{Params: keyed(ctx, e.Key), AmountToCapture: &amount, Expand: whole}, pi)
	if err != nil {
		f := failureOf(err)
		if f.kind == open {
			return f.unknown()
		}
		// It may be captured or gone already: that is for the intent to say.
		if o := c.lookCapture(ctx, e); o != nil {
			return o
		}
		return f.outcome()
	}
	if o := capturing(pi); o != nil {
		return o
	}
	return payment.Unknown{Reason: fmt.Sprintf("payment intent %s is %s after it was captured", pi.ID, short(string(pi.Status)))}
}

// capturing is what an intent means for a call to capture it; nil: it was not
// done.
func capturing(pi *paymentIntent) payment.Outcome {
	switch pi.Status {
	case stripego.PaymentIntentStatusRequiresCapture:
		return nil
	case stripego.PaymentIntentStatusCanceled:
		return payment.Voided{Intent: pi.ID}
	case stripego.PaymentIntentStatusSucceeded:
		return captured(pi)
	case stripego.PaymentIntentStatusRequiresPaymentMethod, stripego.PaymentIntentStatusRequiresConfirmation,
		stripego.PaymentIntentStatusRequiresAction:
		return payment.Failed{Code: "not-authorised", Reason: fmt.Sprintf("payment intent %s holds nothing, it is %s", pi.ID, pi.Status)}
	}
	return payment.Unknown{Reason: fmt.Sprintf("payment intent %s is %s", pi.ID, short(string(pi.Status)))}
}

// refund gives money back to the card it came from.
func (c *Client) refund(ctx context.Context, e payment.Effect, amount int64) payment.Outcome {
	r := &refund{}
	err := c.call(http.MethodPost, "/v1/refunds", &stripego.RefundParams{
		Params:        keyed(ctx, e.Key),
		PaymentIntent: &e.Intent,
		Amount:        &amount,
		Metadata:      map[string]string{metaOrder: e.Order.String(), metaRefund: e.Refund.String(), metaKey: e.Key},
	}, r)
	if err != nil {
		return failureOf(err).outcome()
	}
	return refunding(r)
}

// refunding is what a refund says. One that waits for funds is accepted: Stripe
// pays it when there are some.
func refunding(r *refund) payment.Outcome {
	switch r.Status {
	case stripego.RefundStatusSucceeded, stripego.RefundStatusPending, stripego.RefundStatusRequiresAction:
		o := payment.Refunded{RefundID: r.ID, Pending: r.Status != stripego.RefundStatusSucceeded}
		if r.BalanceTransaction != nil {
			o.Transaction = r.BalanceTransaction.ID
		}
		return o
	case stripego.RefundStatusFailed, stripego.RefundStatusCanceled:
		code := short(cmp.Or(string(r.FailureReason), string(r.Status)))
		if r.BalanceTransaction != nil && r.FailureBalanceTransaction != "" {
			// It was paid, and the money is back: both are in Stripe's books.
			return payment.Refunded{RefundID: r.ID, Transaction: r.BalanceTransaction.ID, Returned: string(r.FailureBalanceTransaction), Code: code}
		}
		return payment.Failed{Code: code, Reason: fmt.Sprintf("refund %s is %s", r.ID, r.Status)}
	}
	return payment.Unknown{Reason: fmt.Sprintf("refund %s is %s", r.ID, short(string(r.Status)))}
}

// transfer pays the shop's share out of the charge that it comes from, when the
// funds of that charge are there: no other order's money is used. Without a
// charge it is paid out of what is available.
func (c *Client) transfer(ctx context.Context, e payment.Effect, amount int64) payment.Outcome {
	p := &stripego.TransferParams{
		Params:        keyed(ctx, e.Key),
		Amount:        &amount,
		Currency:      stripego.String(strings.ToLower(string(e.Currency))),
		Destination:   &e.Destination,
		TransferGroup: stripego.String(e.Order.String()),
		Metadata:      map[string]string{metaOrder: e.Order.String(), metaKey: e.Key},
	}
	if e.Charge != "" {
		p.SourceTransaction = &e.Charge
	}
	t := &moved{}
	if err := c.call(http.MethodPost, "/v1/transfers", p, t); err != nil {
		return failureOf(err).outcome()
	}
	return transferring(t)
}

func transferring(t *moved) payment.Outcome {
	if t.ID == "" {
		return payment.Unknown{Reason: "Stripe's answer holds no transfer"}
	}
	return payment.Transferred{Transfer: t.ID, Transaction: string(t.BalanceTransaction)}
}
