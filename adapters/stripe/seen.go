package stripe

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"
	stripego "github.com/stripe/stripe-go/v76"

	"kicau/domain/money"
	"kicau/domain/payment"
)

// Read says all that Stripe shows of a payment intent, or of the one that a charge
// belongs to. One that does not exist is a payment.Failed of nobody's order; one that
// is nobody's has no outcome.
func (c *Client) Read(ctx context.Context, id string) (uuid.UUID, payment.Seen) {
	seen := payment.Seen{Intent: id}
	pi, f := c.intentOrCharges(ctx, id)
	if f != nil {
		seen.Outcome = f.unknown()
		if f.nothingLikeThat || id == "" {
			seen.Outcome = f.outcome()
		}
		return uuid.Nil, seen
	}
	seen.Intent = pi.ID
	order, err := uuid.Parse(pi.Metadata[metaOrder])
	if err != nil || order == uuid.Nil {
		return uuid.Nil, seen // somebody else's, which may be anything
	}
	seen.Outcome = outcomeOf(pi)
	if pi.Status == stripego.PaymentIntentStatusSucceeded {
		if err := c.seeMore(ctx, pi, &seen); err != nil {
			seen.Outcome = payment.Unknown{Reason: err.Error()}
		}
	}
	return order, seen
}

// intentOrCharges is an intent by its own id or by that of its charge, which begins
// otherwise where no card was charged.
func (c *Client) intentOrCharges(ctx context.Context, id string) (*paymentIntent, *failure) {
	if !strings.HasPrefix(id, "ch_") && !strings.HasPrefix(id, "py_") {
		return c.intent(ctx, id)
	}
	intent, f := c.intentOf(ctx, id)
	if f != nil {
		return nil, f
	}
	if intent == "" {
		return nil, &failure{code: "no-intent", reason: fmt.Sprintf("charge %s belongs to no payment intent", short(id)), kind: final, nothingLikeThat: true}
	}
	return c.intent(ctx, intent)
}

// intentOf a charge, "" when it was made without one.
func (c *Client) intentOf(ctx context.Context, charge string) (string, *failure) {
	ch := &charged{}
	if err := c.call(http.MethodGet, stripego.FormatURLPath("/v1/charges/%s", charge), &stripego.ChargeParams{Params: params(ctx)}, ch); err != nil {
		return "", failureOf(err)
	}
	return string(ch.PaymentIntent), nil
}

// seeMore reads what came after the capture.
func (c *Client) seeMore(ctx context.Context, pi *paymentIntent, seen *payment.Seen) error {
	var err error
	for _, r := range refundsOf(pi) {
		if s, counts, err := seenRefund(r, pi.Currency); err != nil {
			return err
		} else if counts {
			seen.Refunds = append(seen.Refunds, s)
		}
	}
	if seen.Disputes, err = c.disputesOf(ctx, pi); err != nil {
		return err
	}
	warnings, f := all[warning](c, "/v1/radar/early_fraud_warnings",
		&stripego.RadarEarlyFraudWarningListParams{ListParams: page(ctx), PaymentIntent: &pi.ID})
	if f != nil {
		return fmt.Errorf("fraud warnings of payment intent %s: %s", pi.ID, f.reason)
	}
	for _, w := range warnings {
		seen.Warnings = append(seen.Warnings,
			payment.SeenWarning{ID: w.ID, Charge: string(w.Charge), Kind: string(w.FraudType), Actionable: w.Actionable})
	}
	return nil
}

func (c *Client) disputesOf(ctx context.Context, pi *paymentIntent) (seen []payment.SeenDispute, err error) {
	disputes, f := all[dispute](c, "/v1/disputes", &stripego.DisputeListParams{ListParams: page(ctx), PaymentIntent: &pi.ID})
	if f != nil {
		return nil, fmt.Errorf("disputes of payment intent %s: %s", pi.ID, f.reason)
	}
	for _, d := range disputes {
		if err := c.addFees(ctx, d); err != nil {
			return nil, err
		}
		s, err := seenDispute(d, pi.Currency)
		if err != nil {
			return nil, err
		}
		seen = append(seen, s)
	}
	return seen, nil
}

// refundsOf the intent's charge, see [Client.allRefunds].
func refundsOf(pi *paymentIntent) []*refund {
	if ch := pi.LatestCharge; ch != nil && ch.Refunds != nil {
		return oldestFirst(ch.Refunds.Data)
	}
	return nil
}

// oldestFirst turns a list of Stripe's round.
func oldestFirst[T any](list []*T) []*T {
	list = slices.DeleteFunc(slices.Clone(list), func(x *T) bool { return x == nil })
	slices.Reverse(list)
	return list
}

// seenRefund is a refund as the domain speaks of it. What was released of an
// authorisation is shown as a refund, too, and is none.
func seenRefund(r *refund, of stripego.Currency) (s payment.SeenRefund, counts bool, err error) {
	if b := r.BalanceTransaction; b != nil && b.ReportingCategory == stripego.BalanceTransactionReportingCategoryPartialCaptureReversal {
		return s, false, nil
	}
	s = payment.SeenRefund{ID: r.ID, Returned: string(r.FailureBalanceTransaction), Code: short(string(r.FailureReason))}
	if s.Amount, err = amountIn(of, r.Amount, r.Currency); err != nil {
		return s, false, fmt.Errorf("refund %s: %w", r.ID, err)
	}
	s.Refund, _ = uuid.Parse(r.Metadata[metaRefund]) // none: it was not made by us
	if r.BalanceTransaction != nil {
		s.Transaction = r.BalanceTransaction.ID
	}
	switch r.Status {
	case stripego.RefundStatusSucceeded:
		s.Status = payment.RefundSucceeded
	case stripego.RefundStatusPending, stripego.RefundStatusRequiresAction:
		s.Status = payment.RefundPending
	case stripego.RefundStatusFailed, stripego.RefundStatusCanceled:
		s.Status = payment.RefundFailed
		s.Code = cmp.Or(s.Code, string(r.Status))
	default:
		return s, false, fmt.Errorf("refund %s is %s", r.ID, short(string(r.Status)))
	}
	return s, true, nil
}

// all reads a list, oldest first. One that takes more than a page belongs to no
// payment that a person could follow: it is an error.
func all[T any](c *Client, path string, p stripego.ListParamsContainer) ([]*T, *failure) {
	var found []*T
	for x, f := range listed(c, path, p, pageSize, func(*T) string { return "-" }) {
		if f != nil {
			return nil, f
		}
		found = append(found, x)
	}
	slices.Reverse(found)
	return found, nil
}

// amountIn is an amount of Stripe's that has to be in the payment's currency.
func amountIn(of stripego.Currency, amount int64, currency stripego.Currency) (money.Minor, error) {
	if currency != of {
		return 0, fmt.Errorf("it is in %s, the payment in %s", short(string(currency)), of)
	}
	return fromStripe(amount, currency)
}
