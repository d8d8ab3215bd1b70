package stripe

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"time"

	stripego "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/form"

	"kicau/adapters/command"
	"kicau/domain/money"
	"kicau/domain/payout"
	"kicau/domain/reconcile"
)

var _ command.Books = (*Client)(nil)

// MaxPages bounds a list that is read whole: a million objects.
const MaxPages = 10_000

// pages yields a list to its end, newest first.
func pages[T any](c *Client, path string, p stripego.ListParamsContainer, idOf func(*T) string) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for range MaxPages {
			var list struct {
				stripego.APIResource
				stripego.ListMeta
				Data []*T `json:"data"`
			}
			query := &form.Values{}
			form.AppendTo(query, p)
			if err := c.backend.CallRaw(http.MethodGet, path, c.key, query, p.GetListParams().GetParams(), &list); err != nil {
				yield(nil, fmt.Errorf("read %s: %s", path, failureOf(err).reason))
				return
			}
			last := ""
			for _, x := range list.Data {
				if x == nil {
					continue
				}
				last = idOf(x)
				if !yield(x, nil) {
					return
				}
			}
			if !list.HasMore || last == "" {
				return
			}
			p.GetListParams().StartingAfter = &last
		}
		yield(nil, fmt.Errorf("read %s: more than %d pages", path, MaxPages))
	}
}

// Movements of the platform's balance: its balance transactions, newest first. A
// capture of a part is two of them; they have the same key.
func (c *Client) Movements(ctx context.Context) iter.Seq2[reconcile.Movement, error] {
	p := &stripego.BalanceTransactionListParams{ListParams: page(ctx), Expand: []*string{stripego.String("data.source")}}
	return func(yield func(reconcile.Movement, error) bool) {
		for b, err := range pages(c, "/v1/balance_transactions", p, func(b *stripego.BalanceTransaction) string { return b.ID }) {
			var m reconcile.Movement
			if err == nil {
				m, err = movement(b)
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
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

func movement(b *stripego.BalanceTransaction) (m reconcile.Movement, err error) {
	m.Kind, m.Text, m.At = kinds[b.ReportingCategory], string(b.ReportingCategory), time.Unix(b.Created, 0).UTC()
	if m.Currency, err = currencyOf(b.Currency); err != nil {
		return m, fmt.Errorf("balance transaction %s: %w", b.ID, err)
	}
	// The fee is rounded as it was when the books took it, see feeFromStripe.
	if m.Net, err = signed(b.Amount, b.Currency); err == nil {
		m.Fee, err = feeFromStripe(b.Fee, b.Currency)
		m.Net -= m.Fee
	}
	if err != nil {
		return m, fmt.Errorf("balance transaction %s: %w", b.ID, err)
	}
	source := ""
	if b.Source != nil {
		source = b.Source.ID
	}
	switch m.Kind {
	case "":
		m.Kind, m.Object = reconcile.Other, b.ID
	case reconcile.Sale:
		m.Object, m.Order = saleOf(b.Source)
	case reconcile.Dispute:
		m.Object = b.ID
	case reconcile.Fee:
		m.Object = b.ID
		if b.Source != nil && b.Source.Dispute != nil {
			m.Kind = reconcile.Dispute // the fee for answering one
		}
	case reconcile.Transfer:
		m.Object = source
		if b.Source != nil && b.Source.Transfer != nil {
			m.Order = b.Source.Transfer.Metadata[metaOrder]
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
func saleOf(s *stripego.BalanceTransactionSource) (charge, order string) {
	switch {
	case s == nil:
	case s.Charge != nil:
		return s.Charge.ID, s.Charge.Metadata[metaOrder]
	case s.Refund != nil && s.Refund.Charge != nil:
		return s.Refund.Charge.ID, s.Refund.Charge.Metadata[metaOrder]
	}
	return "", ""
}

// Balances of the platform.
func (c *Client) Balances(ctx context.Context) ([]reconcile.Balance, error) {
	b := &stripego.Balance{}
	if err := c.backend.Call(http.MethodGet, "/v1/balance", c.key, &stripego.BalanceParams{Params: params(ctx)}, b); err != nil {
		return nil, fmt.Errorf("read the balance at Stripe: %s", failureOf(err).reason)
	}
	var all []reconcile.Balance
	of := map[money.Currency]int{}
	add := func(amounts []*stripego.Amount, to func(*reconcile.Balance) *money.Minor) error {
		for _, a := range amounts {
			currency, err := currencyOf(a.Currency)
			if err != nil {
				return fmt.Errorf("the balance at Stripe: %w", err)
			}
			minor, err := signed(a.Amount, a.Currency)
			if err != nil {
				return fmt.Errorf("the balance at Stripe: %w", err)
			}
			i, known := of[currency]
			if !known {
				i = len(all)
				of[currency], all = i, append(all, reconcile.Balance{Currency: currency})
			}
			*to(&all[i]) += minor
		}
		return nil
	}
	if err := add(b.Available, func(b *reconcile.Balance) *money.Minor { return &b.Available }); err != nil {
		return nil, err
	}
	return all, add(b.Pending, func(b *reconcile.Balance) *money.Minor { return &b.Pending })
}

// Payouts of the platform, newest first.
func (c *Client) Payouts(ctx context.Context) iter.Seq2[payout.Observe, error] {
	return func(yield func(payout.Observe, error) bool) {
		account, err := c.Account(ctx)
		if err != nil {
			yield(payout.Observe{}, err)
			return
		}
		for p, err := range pages(c, "/v1/payouts", &stripego.PayoutListParams{ListParams: page(ctx)}, func(p *stripego.Payout) string { return p.ID }) {
			var o payout.Observe
			if err == nil {
				o, err = payoutOf(p, account)
			}
			if !yield(o, err) || err != nil {
				return
			}
		}
	}
}

func payoutOf(p *stripego.Payout, account string) (o payout.Observe, err error) {
	o.Sent = payout.Sent{Payout: p.ID, Account: account, ArrivesOn: time.Unix(p.ArrivalDate, 0).UTC(), Automatic: p.Automatic}
	if o.Sent.Currency, err = currencyOf(p.Currency); err != nil {
		return o, fmt.Errorf("payout %s: %w", p.ID, err)
	}
	if o.Sent.Amount, err = fromStripe(p.Amount, p.Currency); err != nil {
		return o, fmt.Errorf("payout %s: %w", p.ID, err)
	}
	if p.BalanceTransaction != nil {
		o.Sent.Transaction = p.BalanceTransaction.ID
	}
	switch p.Status {
	case stripego.PayoutStatusPaid:
		o.Status = payout.Arrived
	case stripego.PayoutStatusFailed, stripego.PayoutStatusCanceled:
		o.Status, o.Code = payout.Returned, short(string(p.FailureCode))
		if p.FailureBalanceTransaction != nil {
			o.Returned = p.FailureBalanceTransaction.ID
		}
	default:
		o.Status = payout.OnItsWay
	}
	return o, nil
}

// News are the payment intents that something happened to since a time, each
// once, newest first; Stripe remembers thirty days.
func (c *Client) News(ctx context.Context, since time.Time) iter.Seq2[string, error] {
	p := &stripego.EventListParams{ListParams: page(ctx), CreatedRange: &stripego.RangeQueryParams{GreaterThanOrEqual: since.Add(-clockSkew).Unix()}}
	return func(yield func(string, error) bool) {
		seen := map[string]bool{}
		for e, err := range pages(c, "/v1/events", p, func(e *stripego.Event) string { return e.ID }) {
			if err != nil {
				yield("", err)
				return
			}
			if e.Data == nil {
				continue
			}
			intent := intentOf(e.Data.Raw)
			if intent == "" || seen[intent] {
				continue
			}
			seen[intent] = true
			if !yield(intent, nil) {
				return
			}
		}
	}
}
