package stripe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	stripego "github.com/stripe/stripe-go/v76"

	"kicau/adapters/command"
	"kicau/domain/money"
	"kicau/domain/payout"
	"kicau/domain/reconcile"
)

var _ command.Books = (*Client)(nil)

// maxBooks bounds a list that is read whole, in objects. It is read a page at a
// time, and no further than its reader goes.
const maxBooks = 1_000_000

// told turns a list of Stripe's objects into ours. An error is the last that it
// yields: books with a gap are none.
func told[From, To any](rows iter.Seq2[*From, *failure], what string, tell func(*From) (To, error)) iter.Seq2[To, error] {
	return func(yield func(To, error) bool) {
		for row, f := range rows {
			var t To
			var err error
			if f != nil {
				err = fmt.Errorf("list %s at Stripe: %s", what, f.reason)
			} else {
				t, err = tell(row)
			}
			if !yield(t, err) || err != nil {
				return
			}
		}
	}
}

// Movements of the platform's balance: its balance transactions, newest first. A
// capture of a part is two of them; they have the same key.
func (c *Client) Movements(ctx context.Context) iter.Seq2[reconcile.Movement, error] {
	p := &stripego.BalanceTransactionListParams{ListParams: page(ctx), Expand: []*string{stripego.String("data.source")}}
	rows := listed(c, "/v1/balance_transactions", p, maxBooks, func(b *booked) string { return b.ID })
	return told(rows, "balance transactions", movement)
}

// kinds of movements by reporting category, which is what Stripe has for
// accounting (https://docs.stripe.com/reports/reporting-categories).
var kinds = map[stripego.BalanceTransactionReportingCategory]reconcile.Kind{
	"charge": reconcile.Sale, "partial_capture_reversal": reconcile.Sale, "refund": reconcile.Refund, "refund_failure": reconcile.RefundReturned,
	"dispute": reconcile.Dispute, "dispute_reversal": reconcile.Dispute, "transfer": reconcile.Transfer, "transfer_reversal": reconcile.Reversal,
	"payout": reconcile.Payout, "payout_reversal": reconcile.PayoutReturned, "fee": reconcile.Fee,
}

func currencyOf(c stripego.Currency) (money.Currency, error) {
	if _, err := unitOf(c); err != nil {
		return "", err
	}
	return money.Currency(strings.ToUpper(string(c))), nil
}

func movement(b *booked) (m reconcile.Movement, err error) {
	m.Kind, m.Text, m.At = kinds[b.ReportingCategory], string(b.ReportingCategory), time.Unix(b.Created, 0).UTC()
	if m.Currency, err = currencyOf(b.Currency); err != nil {
		// Nothing of ours is in it. What it is in minor units nobody here knows.
		m.Key, m.Currency = reconcile.Key{Kind: reconcile.Other, Object: b.ID}, money.Currency(strings.ToUpper(short(string(b.Currency))))
		m.Net, m.Text = money.Minor(b.Net), short(m.Text)+", in units of Stripe's: the currency is not known here"
		return m, nil
	}
	// Rounded as the books took it, see roundedFromStripe: a fee that is a movement of
	// its own may be as fine as one that is kept of a movement.
	if m.Net, err = roundedFromStripe(b.Amount, b.Currency); err == nil {
		m.Fee, err = roundedFromStripe(b.Fee, b.Currency)
		m.Net -= m.Fee
	}
	if err == nil && b.Amount-b.Fee != b.Net {
		err = fmt.Errorf("%d less a fee of %d is not %d", b.Amount, b.Fee, b.Net)
	}
	if err != nil {
		return m, fmt.Errorf("balance transaction %s: %w", b.ID, err)
	}
	m.NetRest, m.FeeRest = restOf(b.Net, m.Net, b.Currency), restOf(b.Fee, m.Fee, b.Currency)
	source := ""
	if b.Source != nil {
		source = b.Source.ID
	}
	m.Intent = intentBehind(b.Source)
	switch m.Kind {
	case "":
		m.Kind, m.Object = reconcile.Other, b.ID
	case reconcile.Sale:
		m.Object, m.Order = saleOf(b.Source)
	case reconcile.Dispute:
		m.Object = b.ID
	case reconcile.Fee:
		m.Object = b.ID
		if b.Source != nil && b.Source.Object == stripego.BalanceTransactionSourceTypeDispute {
			m.Kind = reconcile.Dispute // the fee for answering one
		}
	case reconcile.Transfer:
		m.Object = source
		if b.Source != nil && b.Source.Object == stripego.BalanceTransactionSourceTypeTransfer {
			m.Order = b.Source.Metadata[metaOrder]
		}
	case reconcile.PayoutReturned:
		m.Object = source
		if b.Source != nil && b.Source.Object == stripego.BalanceTransactionSourceTypePayout && b.Source.OriginalPayout != "" {
			m.Object = string(b.Source.OriginalPayout) // its reversal brought it back
		}
	default:
		m.Object = source
	}
	if m.Object == "" {
		m.Kind, m.Object = reconcile.Other, b.ID
	}
	return m, nil
}

// saleOf is the charge that a sale, or the reversal of a part of one, is of.
func saleOf(s *source) (charge, order string) {
	switch {
	case s == nil:
	case s.Object == stripego.BalanceTransactionSourceTypeCharge:
		return s.ID, s.Metadata[metaOrder]
	case s.Object == stripego.BalanceTransactionSourceTypeRefund && s.Charge != nil:
		return s.Charge.ID, s.Charge.Metadata[metaOrder]
	}
	return "", ""
}

// intentBehind is the payment intent that a movement belongs to, "" where its
// source does not name one.
func intentBehind(s *source) string {
	if s == nil {
		return ""
	}
	switch s.Object {
	case stripego.BalanceTransactionSourceTypeCharge, stripego.BalanceTransactionSourceTypeRefund, stripego.BalanceTransactionSourceTypeDispute:
		return string(s.PaymentIntent)
	}
	return ""
}

// Balances of the platform, in the currencies that are known here. What is available is
// rounded, and so is all of it (see roundedFromStripe).
func (c *Client) Balances(ctx context.Context) ([]reconcile.Balance, error) {
	b := &balance{}
	if err := c.call(http.MethodGet, "/v1/balance", &stripego.BalanceParams{Params: params(ctx)}, b); err != nil {
		return nil, fmt.Errorf("read the balance at Stripe: %s", failureOf(err).reason)
	}
	available, both := map[stripego.Currency]int64{}, map[stripego.Currency]int64{}
	for _, a := range b.Available {
		available[a.Currency] += a.Amount
		both[a.Currency] += a.Amount
	}
	for _, a := range b.Pending {
		both[a.Currency] += a.Amount
	}
	var all []reconcile.Balance
	for _, c := range slices.Sorted(maps.Keys(both)) {
		currency, err := currencyOf(c)
		if err != nil {
			continue // its movements are breaks
		}
		free, err := roundedFromStripe(available[c], c)
		whole, err2 := roundedFromStripe(both[c], c)
		if err := cmp.Or(err, err2); err != nil {
			return nil, fmt.Errorf("the balance at Stripe: %w", err)
		}
		all = append(all, reconcile.Balance{Currency: currency, Available: free, Pending: whole - free})
	}
	return all, nil
}

// Payouts of the platform, newest first.
func (c *Client) Payouts(ctx context.Context) iter.Seq2[payout.Observe, error] {
	return func(yield func(payout.Observe, error) bool) {
		account, err := c.Account(ctx)
		if err != nil {
			yield(payout.Observe{}, err)
			return
		}
		c.payouts(&stripego.PayoutListParams{ListParams: page(ctx)}, account)(yield)
	}
}

// ConnectedPayouts are those of a connected account that were made from since on,
// newest first. Which shop's account it is, Stripe does not know.
func (c *Client) ConnectedPayouts(ctx context.Context, account string, since time.Time) iter.Seq2[payout.Observe, error] {
	if account == "" { // they would be the platform's own
		return func(yield func(payout.Observe, error) bool) {
			yield(payout.Observe{}, errors.New("list payouts at Stripe: there is no connected account to ask for"))
		}
	}
	p := &stripego.PayoutListParams{ListParams: page(ctx), CreatedRange: from(since)}
	p.SetStripeAccount(account)
	return c.payouts(p, account)
}

func (c *Client) payouts(p *stripego.PayoutListParams, account string) iter.Seq2[payout.Observe, error] {
	rows := listed(c, "/v1/payouts", p, maxBooks, func(po *paidOut) string { return po.ID })
	// A payout that was asked back has another, of less than nothing, before it in
	// the list. That is no payout of its own: it says what brought the first back,
	// which may be older than the list goes. Where the bank refused, nothing came back.
	sent := func(yield func(*paidOut, *failure) bool) {
		back, kept := map[string]*paidBack{}, map[string]bool{}
		for po, f := range rows {
			if f == nil {
				if _, err := currencyOf(po.Currency); err != nil {
					continue // the movement is a break
				}
			}
			if f == nil && po.OriginalPayout != "" {
				if po.Status == stripego.PayoutStatusFailed || po.Status == stripego.PayoutStatusCanceled {
					kept[string(po.OriginalPayout)] = true
				} else {
					back[string(po.OriginalPayout)] = &paidBack{po.ID, po.BalanceTransaction}
				}
				continue
			}
			if f == nil && kept[po.ID] {
				po.ReversedBy = nil
			}
			if f == nil && back[po.ID] != nil {
				po.ReversedBy = back[po.ID]
				delete(back, po.ID)
			}
			if !yield(po, f) || f != nil {
				return
			}
		}
		for _, id := range slices.Sorted(maps.Keys(back)) {
			one := &stripego.PayoutParams{Params: params(p.Context)}
			one.StripeAccount = p.StripeAccount
			po := &paidOut{}
			if err := c.call(http.MethodGet, stripego.FormatURLPath("/v1/payouts/%s", id), one, po); err != nil {
				yield(nil, failureOf(err))
				return
			}
			po.ReversedBy = back[id]
			if !yield(po, nil) {
				return
			}
		}
	}
	return told(sent, "payouts", func(po *paidOut) (payout.Observe, error) { return payoutOf(po, account) })
}

// from is a range of Stripe's, in whole seconds.
func from(since time.Time) *stripego.RangeQueryParams {
	return &stripego.RangeQueryParams{GreaterThanOrEqual: max(since.Unix(), 0)}
}

func payoutOf(p *paidOut, account string) (o payout.Observe, err error) {
	o.Sent = payout.Sent{Payout: p.ID, Account: account, SentAt: time.Unix(p.Created, 0).UTC(), ArrivesOn: time.Unix(p.ArrivalDate, 0).UTC(), Automatic: p.Automatic,
		Transaction: string(p.BalanceTransaction)}
	if o.Sent.Currency, err = currencyOf(p.Currency); err != nil {
		return o, fmt.Errorf("payout %s: %w", p.ID, err)
	}
	// Below zero, the bank was asked for it: the balance had less than nothing.
	if o.Sent.Amount, err = roundedFromStripe(p.Amount, p.Currency); err != nil {
		return o, fmt.Errorf("payout %s: %w", p.ID, err)
	}
	switch p.Status {
	case stripego.PayoutStatusPaid:
		o.Status = payout.Arrived
	case stripego.PayoutStatusFailed, stripego.PayoutStatusCanceled:
		o.Status, o.Code = payout.Returned, short(cmp.Or(string(p.FailureCode), string(p.Status)))
		o.Returned = string(p.FailureBalanceTransaction)
	default:
		o.Status = payout.OnItsWay
	}
	if p.ReversedBy != nil { // asked back: the balance has the money at once
		o.Status, o.Code = payout.Returned, "reversed"
		if t := p.ReversedBy.BalanceTransaction; t != "" {
			o.Returned = string(t)
		}
	}
	return o, nil
}

// News of payments since a time, of each the newest, newest first; Stripe remembers
// thirty days. Where a charge alone was named, and whose it is cannot be read, the news
// are of the charge: [Client.Read] takes it, too.
func (c *Client) News(ctx context.Context, since time.Time) iter.Seq2[command.News, error] {
	return func(yield func(command.News, error) bool) {
		seen := map[string]bool{}
		for n, err := range c.Notices(ctx, since.Add(-clockSkew)) {
			if err != nil {
				yield(command.News{}, err)
				return
			}
			payment := n.Intent
			if payment == "" && n.Charge != "" && !seen[n.Charge] {
				seen[n.Charge] = true
				payment = c.intentOrItself(ctx, n.Charge)
			}
			if payment == "" || seen[payment] && payment != n.Charge {
				continue
			}
			seen[payment] = true
			if !yield(command.News{Intent: payment, At: n.Created}, nil) {
				return
			}
		}
	}
}

// intentOrItself is what is to be read again about a charge; "": nothing, as it is
// nobody's.
func (c *Client) intentOrItself(ctx context.Context, charge string) string {
	intent, f := c.intentOf(ctx, charge)
	switch {
	case f == nil:
		return intent
	case f.nothingLikeThat:
		return ""
	}
	return charge
}

// Notices of what happened from since on, newest first, as webhooks are sent them,
// or should have been.
func (c *Client) Notices(ctx context.Context, since time.Time) iter.Seq2[Notice, error] {
	rows := listed(c, "/v1/events", &stripego.EventListParams{ListParams: page(ctx), CreatedRange: from(since)}, maxBooks,
		func(e *event) string { return e.ID })
	return told(rows, "events", func(e *event) (Notice, error) { return noticeOf(e), nil })
}
