package stripe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	stripego "github.com/stripe/stripe-go/v76"

	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/domain/payment"
)

// contest submits the evidence. A bank hears it once; Stripe forwards what is
// submitted first.
func (c *Client) contest(ctx context.Context, e payment.Effect, _ int64) payment.Outcome {
	d := &dispute{}
	err := c.call(http.MethodPost, stripego.FormatURLPath("/v1/disputes/%s", e.Dispute),
		&stripego.DisputeParams{Params: keyed(ctx, e.Key), Submit: stripego.Bool(true), Evidence: evidenceOf(e.Evidence)}, d)
	return c.disputed(ctx, e, d, err)
}

// evidenceOf puts the evidence into Stripe's fields. The shop's own words, when
// there are any, go where a person reads them first; the history of the order is
// then the activity log.
func evidenceOf(e order.Evidence) *stripego.DisputeEvidenceParams {
	text := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	p := &stripego.DisputeEvidenceParams{
		ProductDescription:     text(e.Product),
		ShippingCarrier:        text(e.Carrier),
		ShippingTrackingNumber: text(e.Tracking),
		ShippingDate:           text(e.ShippedOn),
		UncategorizedText:      text(e.History),
	}
	if e.Text != "" {
		p.UncategorizedText, p.AccessActivityLog = text(e.Text), text(e.History)
	}
	return p
}

// accept gives the dispute up, for good.
func (c *Client) accept(ctx context.Context, e payment.Effect, _ int64) payment.Outcome {
	d := &dispute{}
	err := c.call(http.MethodPost, stripego.FormatURLPath("/v1/disputes/%s/close", e.Dispute), &stripego.DisputeParams{Params: keyed(ctx, e.Key)}, d)
	return c.disputed(ctx, e, d, err)
}

func (c *Client) disputed(ctx context.Context, e payment.Effect, d *dispute, err error) payment.Outcome {
	if err != nil {
		f := failureOf(err)
		if f.kind == open {
			return f.unknown()
		}
		// It may be answered or decided already: that is for the dispute to say.
		if o := c.lookDispute(ctx, e); o != nil {
			return o
		}
		return f.outcome()
	}
	if d.Repeated {
		// What is repeated is the answer of then; what counts is now.
		if o := c.lookDispute(ctx, e); o != nil {
			return o
		}
		return payment.Unknown{Reason: fmt.Sprintf("dispute %s is %s after it was answered", d.ID, short(string(d.Status)))}
	}
	return disputeOutcome(d, e)
}

func disputeOutcome(d *dispute, e payment.Effect) payment.Outcome {
	seen, err := seenDispute(d, stripego.Currency(strings.ToLower(string(e.Currency))))
	if err != nil {
		return payment.Unknown{Reason: err.Error()}
	}
	return payment.Disputed{Dispute: seen}
}

func (c *Client) lookContest(ctx context.Context, e payment.Effect) payment.Outcome {
	return c.lookDispute(ctx, e)
}

func (c *Client) lookAccept(ctx context.Context, e payment.Effect) payment.Outcome {
	return c.lookDispute(ctx, e)
}

// lookDispute says how a dispute stands once it was answered or decided; nil:
// neither was done.
func (c *Client) lookDispute(ctx context.Context, e payment.Effect) payment.Outcome {
	d := &dispute{}
	err := c.call(http.MethodGet, stripego.FormatURLPath("/v1/disputes/%s", e.Dispute), &stripego.DisputeParams{Params: params(ctx)}, d)
	if err != nil {
		return failureOf(err).notSeen()
	}
	o := disputeOutcome(d, e)
	if seen, ok := o.(payment.Disputed); ok && seen.Dispute.Result == "" && (e.Step == order.Accept || !seen.Dispute.Submitted) {
		return nil
	}
	return o
}

// seenDispute is a dispute as the domain speaks of it. See
// https://docs.stripe.com/disputes/how-disputes-work.
func seenDispute(d *dispute, of stripego.Currency) (payment.SeenDispute, error) {
	seen := payment.SeenDispute{ID: d.ID, Reason: string(d.Reason), Inquiry: strings.HasPrefix(string(d.Status), "warning_")}
	if d.ID == "" {
		return seen, errors.New("Stripe's answer holds no dispute")
	}
	var err error
	if seen.Amount, err = amountIn(of, d.Amount, d.Currency); err != nil {
		return seen, fmt.Errorf("dispute %s: %w", d.ID, err)
	}
	seen.Charge = string(d.Charge)
	if e := d.EvidenceDetails; e != nil {
		// An inquiry that was answered and became a chargeback wants an answer again.
		seen.Submitted = e.SubmissionCount > 0 && d.Status != stripego.DisputeStatusNeedsResponse && d.Status != stripego.DisputeStatusWarningNeedsResponse
		if e.DueBy > 0 {
			due := time.Unix(e.DueBy, 0).UTC()
			seen.EvidenceDue = &due
		}
	}
	switch d.Status {
	case stripego.DisputeStatusUnderReview, stripego.DisputeStatusWarningUnderReview:
		seen.Submitted = true
	case stripego.DisputeStatusWon:
		seen.Result = order.Won
	case stripego.DisputeStatusLost:
		seen.Result = order.Lost
	case stripego.DisputeStatusWarningClosed:
		seen.Result = order.Withdrawn
	}
	if slices.Contains(d.BalanceTransactions, nil) {
		return seen, fmt.Errorf("dispute %s: a balance transaction of it is missing", d.ID)
	}
	slices.SortStableFunc(d.BalanceTransactions, func(a, b *transaction) int { return cmp.Compare(a.Created, b.Created) })
	for _, b := range d.BalanceTransactions {
		m, err := movementOf(b, d)
		if err != nil {
			return seen, fmt.Errorf("dispute %s: %w", d.ID, err)
		}
		seen.Movements = append(seen.Movements, m)
	}
	return seen, nil
}

// addFees adds the fee for answering a dispute, and its return, to the
// transactions of the dispute. Stripe documents those to be the withdrawal and
// the reinstatement, and the fee is a transaction of its own; it is found by its
// source. Where Stripe does not list it so, it is left to reconciliation (see
// [Client.Movements]), which sees every transaction.
func (c *Client) addFees(ctx context.Context, d *dispute) error {
	if e := d.EvidenceDetails; e == nil || e.SubmissionCount == 0 || strings.HasPrefix(string(d.Status), "warning_") {
		return nil // nothing was answered that costs a fee
	}
	more, f := all[transaction](c, "/v1/balance_transactions",
		&stripego.BalanceTransactionListParams{ListParams: page(ctx), Source: &d.ID})
	if f != nil {
		return fmt.Errorf("balance transactions of dispute %s: %s", d.ID, f.reason)
	}
	for _, b := range more {
		known := slices.ContainsFunc(d.BalanceTransactions, func(k *transaction) bool { return k != nil && k.ID == b.ID })
		if !known {
			d.BalanceTransactions = append(d.BalanceTransactions, b)
		}
	}
	return nil
}

// movementOf is a balance transaction of a dispute, in the payment's currency.
func movementOf(b *transaction, d *dispute) (m payment.Movement, err error) {
	in := func(amount int64) (money.Minor, error) {
		converted, err := d.inItsCurrency(amount, b)
		if err != nil {
			return 0, err
		}
		return roundedFromStripe(converted, d.Currency)
	}
	m.Transaction = b.ID
	if m.Amount, err = in(b.Amount); err != nil {
		return m, err
	}
	m.Fee, err = in(b.Fee)
	if b.ReportingCategory == stripego.BalanceTransactionReportingCategoryFee {
		m.Amount, m.Fee = 0, -m.Amount // a fee that is a movement of its own
	}
	return m, err
}

// inItsCurrency is an amount of a balance transaction in the dispute's currency. When
// the platform is settled in another one it is, of what is disputed, what it is of the
// first withdrawal: Stripe's own rate, as a capture's fee is (see [captureFee]).
func (d *dispute) inItsCurrency(amount int64, b *transaction) (int64, error) {
	if b.Currency == d.Currency {
		return amount, nil
	}
	for _, w := range d.BalanceTransactions {
		if w.Currency == b.Currency && w.Amount < 0 && w.ReportingCategory != stripego.BalanceTransactionReportingCategoryFee {
			if x := scale(amount, d.Amount, -w.Amount); x.IsInt64() {
				return x.Int64(), nil
			}
		}
	}
	return 0, fmt.Errorf("balance transaction %s is in %s, the payment in %s, and nothing was withdrawn that would tell the rate",
		b.ID, short(string(b.Currency)), short(string(d.Currency)))
}
