package stripe

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	stripego "github.com/stripe/stripe-go/v76"

	"kicau/domain/money"
)

// What Stripe's own books say, for reconciliation. Amounts are minor units of
// ISO 4217 currencies, signed: what the balance gained.

// maxBooks bounds the rows of one walk through Stripe's books. Who has more asks
// for a shorter time.
const maxBooks = 100_000

// Movement of money on the platform's balance: a balance transaction.
type Movement struct {
	ID       string
	Type     string // Stripe's, "charge"
	Category string // its reporting_category, which is finer: "partial_capture_reversal"
	Currency money.Currency
	Amount   money.Minor // gross
	Fee      money.Minor // kept of it; below zero: given back
	Net      money.Minor // Amount less Fee
	Created  time.Time
	// AvailableOn is when it may be paid out, Available tells whether it may now.
	AvailableOn time.Time
	Available   bool
	Text        string // what Stripe calls it
	// Source is the object that moved the money, and Kind what it is ("charge",
	// "refund", "dispute", "transfer", "transfer_reversal", "payout", …); empty:
	// Stripe names none.
	Source, Kind string
	Charge       string // that the source is or belongs to, if any
	Transfer     string // that the source is or reverses, if any
}

// Payout of a balance to a bank.
type Payout struct {
	ID        string
	Currency  money.Currency
	Amount    money.Minor
	Status    string // pending, in_transit, paid, failed or canceled
	Automatic bool
	Created   time.Time
	ArrivesOn time.Time // expected
	// Transaction took it from the balance, Returned brought it back.
	Transaction, Returned string
	Code                  string // why it failed
}

// Funds of a balance in a currency.
type Funds struct {
	Currency  money.Currency
	Available money.Minor // may be paid out
	Pending   money.Minor // may be, later
}

// Movements of the platform's balance that were created from since on and before
// until, newest first. One that cannot be read comes with its ID and an error,
// and those after it follow; an error without one is the last. They are read a
// page at a time, [maxBooks] at most. What was created in the second of since is
// among them.
func (c *Client) Movements(ctx context.Context, since, until time.Time) iter.Seq2[Movement, error] {
	p := &stripego.BalanceTransactionListParams{ListParams: page(ctx), CreatedRange: between(since, until),
		Expand: []*string{stripego.String("data.source")}}
	rows := listed(c, "/v1/balance_transactions", p, maxBooks, func(b *stripego.BalanceTransaction) string { return b.ID })
	return told(rows, "balance transactions", movement)
}

// Payouts of the platform's balance that were created from since on, newest
// first, as [Client.Movements] tells its own.
func (c *Client) Payouts(ctx context.Context, since time.Time) iter.Seq2[Payout, error] {
	return c.payouts(page(ctx), since)
}

// ConnectedPayouts are those of a connected account's balance.
func (c *Client) ConnectedPayouts(ctx context.Context, account string, since time.Time) iter.Seq2[Payout, error] {
	if account == "" { // it would be the platform's own
		return func(yield func(Payout, error) bool) {
			yield(Payout{}, fmt.Errorf("payouts of a connected account: there is no account to ask for"))
		}
	}
	p := page(ctx)
	p.SetStripeAccount(account)
	return c.payouts(p, since)
}

func (c *Client) payouts(p stripego.ListParams, since time.Time) iter.Seq2[Payout, error] {
	rows := listed(c, "/v1/payouts", &stripego.PayoutListParams{ListParams: p, CreatedRange: between(since, time.Time{})}, maxBooks,
		func(po *stripego.Payout) string { return po.ID })
	return told(rows, "payouts", payoutOf)
}

// Balance of the platform, by currency as Stripe orders them.
func (c *Client) Balance(ctx context.Context) ([]Funds, error) {
	b, err := c.balance.Get(&stripego.BalanceParams{Params: params(ctx)})
	if err != nil {
		return nil, fmt.Errorf("read the balance at Stripe: %s", failureOf(err).reason)
	}
	var all []Funds
	of := func(a *stripego.Amount) (*Funds, money.Minor, error) {
		m, err := feeFromStripe(a.Amount, a.Currency)
		if err != nil {
			return nil, 0, fmt.Errorf("read the balance at Stripe: %w", err)
		}
		currency := currencyOf(a.Currency)
		for i := range all {
			if all[i].Currency == currency {
				return &all[i], m, nil
			}
		}
		all = append(all, Funds{Currency: currency})
		return &all[len(all)-1], m, nil
	}
	for _, a := range b.Available {
		f, m, err := of(a)
		if err != nil {
			return nil, err
		}
		f.Available += m
	}
	for _, a := range b.Pending {
		f, m, err := of(a)
		if err != nil {
			return nil, err
		}
		f.Pending += m
	}
	return all, nil
}

// between is a range of Stripe's, in whole seconds; a zero time is no bound.
func between(since, until time.Time) *stripego.RangeQueryParams {
	r := &stripego.RangeQueryParams{GreaterThanOrEqual: max(since.Unix(), 0)}
	if !until.IsZero() {
		r.LesserThan = until.Unix()
	}
	return r
}

// told turns a list of Stripe's objects into ours.
func told[From, To any](rows iter.Seq2[*From, *failure], what string, tell func(*From) (To, error)) iter.Seq2[To, error] {
	return func(yield func(To, error) bool) {
		for row, f := range rows {
			if f != nil {
				var none To
				yield(none, fmt.Errorf("list %s at Stripe: %s", what, f.reason))
				return
			}
			if !yield(tell(row)) {
				return
			}
		}
	}
}

func currencyOf(c stripego.Currency) money.Currency {
	return money.Currency(strings.ToUpper(string(c)))
}

// movement is a balance transaction. Where Stripe counts a currency more finely
// than ISO 4217 does, as it may a fee, amounts are rounded to the nearest.
func movement(b *stripego.BalanceTransaction) (Movement, error) {
	m := Movement{ID: b.ID, Type: string(b.Type), Category: string(b.ReportingCategory), Currency: currencyOf(b.Currency),
		Created: at(b.Created), AvailableOn: at(b.AvailableOn), Available: b.Status == stripego.BalanceTransactionStatusAvailable,
		Text: short(b.Description)}
	var err error
	if m.Amount, err = feeFromStripe(b.Amount, b.Currency); err == nil {
		m.Fee, err = feeFromStripe(b.Fee, b.Currency)
	}
	if err == nil && b.Amount-b.Fee != b.Net {
		err = fmt.Errorf("%d less a fee of %d is not %d", b.Amount, b.Fee, b.Net)
	}
	if err != nil {
		return m, fmt.Errorf("balance transaction %s: %w", b.ID, err)
	}
	m.Net = m.Amount - m.Fee
	if s := b.Source; s != nil {
		m.Source, m.Kind = s.ID, string(s.Type)
		m.Charge, m.Transfer = chargeOf(s), transferOf(s)
	}
	return m, nil
}

func chargeOf(s *stripego.BalanceTransactionSource) string {
	var ch *stripego.Charge
	switch {
	case s.Charge != nil:
		ch = s.Charge
	case s.Refund != nil:
		ch = s.Refund.Charge
	case s.Dispute != nil:
		ch = s.Dispute.Charge
	}
	if ch == nil {
		return ""
	}
	return ch.ID
}

func transferOf(s *stripego.BalanceTransactionSource) string {
	switch {
	case s.Transfer != nil:
		return s.Transfer.ID
	case s.TransferReversal != nil && s.TransferReversal.Transfer != nil:
		return s.TransferReversal.Transfer.ID
	}
	return ""
}

func payoutOf(po *stripego.Payout) (Payout, error) {
	p := Payout{ID: po.ID, Currency: currencyOf(po.Currency), Status: short(string(po.Status)), Automatic: po.Automatic,
		Created: at(po.Created), ArrivesOn: at(po.ArrivalDate), Code: short(string(po.FailureCode))}
	if po.BalanceTransaction != nil {
		p.Transaction = po.BalanceTransaction.ID
	}
	if po.FailureBalanceTransaction != nil {
		p.Returned = po.FailureBalanceTransaction.ID
	}
	var err error
	if p.Amount, err = signed(po.Amount, po.Currency); err != nil {
		return p, fmt.Errorf("payout %s: %w", po.ID, err)
	}
	return p, nil
}

func at(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }
