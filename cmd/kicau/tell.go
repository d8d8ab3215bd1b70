package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"kicau/adapters/command"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/shop"
)

// tell says in a line what an event says. It asks for the currency of the stream
// when an amount is in it, which most events leave to the first.
func tell(e event.Data, currency func() money.Currency) string {
	amount := func(m money.Minor) string { return amountText(m, currency()) }
	switch e := e.(type) {
	case shop.Onboarded:
		return fmt.Sprintf("%s sells in %s, fee %s", e.Name, e.Currency, feeText(e.Fees, e.Currency))
	case shop.FeesChanged:
		return fmt.Sprintf("fee %s from %s", feeText(e.Fees, currency()), e.Fees.ValidFrom.Format("2006-01-02 15:04"))
	case shop.Adjusted:
		return fmt.Sprintf("%s %s: %s", e.Kind, money.Format(e.Amount, e.Currency), e.Reason)
	case shop.PaidOutside:
		return fmt.Sprintf("%s, %s", money.Format(e.Amount, e.Currency), e.Reference)
	case offer.Tweeted:
		stock := "without limit"
		if e.Stock != nil {
			stock = fmt.Sprintf("%d in stock", *e.Stock)
		}
		return fmt.Sprintf("%s: “%s” %s at %s, %s", e.ShopName, e.Tweet, e.Title, money.Format(e.Price, e.Currency), stock)
	case offer.Repriced:
		return "now " + amount(e.Price)
	case offer.Restocked:
		return fmt.Sprintf("%d more", e.Added)
	case offer.StockHeld:
		return fmt.Sprintf("%d held for order %s", e.Quantity, short(e.Order.String()))
	case offer.StockReleased:
		return fmt.Sprintf("%d back in stock (%s)", e.Quantity, e.Reason)
	case offer.StockSold:
		return fmt.Sprintf("%d sold to order %s", e.Quantity, short(e.Order.String()))
	case order.Placed:
		parts := make([]string, 0, len(e.Lines))
		for _, l := range e.Lines {
			parts = append(parts, fmt.Sprintf("%d × %s", l.Quantity, l.Title))
		}
		if len(parts) > 3 {
			parts = append(parts[:3], fmt.Sprintf("and %d more lines", len(e.Lines)-3))
		}
		return fmt.Sprintf("%s = %s", strings.Join(parts, ", "), money.Format(e.Total(), e.Currency))
	case order.Shipped:
		return cmp.Or(strings.TrimSpace(e.Carrier+" "+e.Tracking), "on its way") + restText(e.Rest)
	case order.Cancelled:
		return e.Reason
	case order.Expired:
		return e.Cause
	case order.RefundAgreed:
		return fmt.Sprintf("%s %s", amount(e.Amount()), e.Reason)
	case order.AuthorisationRequested:
		return amount(e.Amount)
	case order.ActionRequired:
		return "the buyer has to " + map[string]string{"card": "type a card", "authenticate": "authenticate"}[e.Action]
	case order.Authorised:
		return strings.TrimSpace(fmt.Sprintf("%s %s %s", amount(e.Amount), e.Brand, e.Last4))
	case order.Declined:
		text := cmp.Or(e.DeclineCode, e.Code)
		if e.Next != "" {
			text += "; try " + string(e.Next)
		}
		return text
	case order.MethodGiven:
		return e.PaymentMethod
	case order.Voided:
		return amount(e.Released) + " given up, " + e.Cause
	case order.CaptureRequested:
		return amount(e.Amount)
	case order.Captured:
		return fmt.Sprintf("%s; shop %s, our fee %s, processor %s", amount(e.Amount), amount(e.ShopShare()), amount(e.Fee), amount(e.ProcessorFee))
	case order.RefundRequested:
		return amount(e.Amount)
	case order.Refunded:
		return amount(e.Amount)
	case order.SettlementRequested:
		return amount(e.Amount)
	case order.Settled:
		return fmt.Sprintf("%s to the shop, transfer %s", amount(e.Amount), e.Transfer)
	case order.OutcomeUnknown:
		return fmt.Sprintf("%s: %s; looked up again at %s", e.Step, e.Reason, e.RetryAt.Format("15:04:05"))
	case order.CaptureFailed:
		return e.Code
	case order.RefundFailed:
		return e.Code
	case order.SettlementFailed:
		return e.Code
	}
	return tellMoney(e, amount)
}

// tellMoney is what came with the later life of a payment.
func tellMoney(e event.Data, amount func(money.Minor) string) string {
	switch e := e.(type) {
	case order.Expiring:
		return "the authorisation ends at " + e.ExpiresAt.Format("2006-01-02 15:04")
	case order.Earned:
		return amount(e.Total())
	case order.RefundPending:
		return amount(e.Amount)
	case order.RefundReturned:
		return fmt.Sprintf("%s came back: %s", amount(e.Amount), e.Code)
	case order.Released:
		return fmt.Sprintf("%s of %s to be transferred, %s in reserve, %s owed", amount(e.Available()), amount(e.Payable), amount(e.Reserved), amount(e.Netted))
	case order.ReserveReleased:
		return amount(e.Amount)
	case order.ReversalRequested:
		return amount(e.Amount)
	case order.Reversed:
		return fmt.Sprintf("%s taken back, %s", amount(e.Amount), e.Reversal)
	case order.DebtCarried:
		return fmt.Sprintf("%s carried to the shop: %s", amount(e.Amount), e.Code)
	case order.FraudWarned:
		return e.Kind
	case order.DisputeOpened:
		return fmt.Sprintf("%s %s %s", e.Dispute, amount(e.Amount), e.Reason)
	case order.DisputeWithdrawn:
		return fmt.Sprintf("%s taken by the bank, fee %s", amount(e.Amount), amount(e.DisputeFee))
	case order.DisputeReallocated:
		if of := e.Total() + e.Unearned; of < 0 {
			return fmt.Sprintf("%s of it stand beyond the sale", amount(-of))
		}
		return fmt.Sprintf("%s of it stand for the sale after all", amount(e.Total()+e.Unearned))
	case order.DisputeCharged:
		return amount(e.Fee)
	case order.DisputeReinstated:
		return amount(e.Amount)
	case order.DisputeClosed:
		return string(e.Result)
	case order.ContestFailed:
		return e.Code
	}
	return ""
}

func feeText(f shop.Fees, c money.Currency) string {
	return fmt.Sprintf("%d.%02d%% + %s", f.BasisPoints/100, f.BasisPoints%100, amountText(f.Fixed, c))
}

func restText(rest []order.Units) string {
	n := int64(0)
	for _, u := range rest {
		n += u.Quantity
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("; %d units never will be", n)
}

func short(id string) string { return id[:min(8, len(id))] }

// amountText never passes minor units off as units: their currency may be gone
// with the stream.
func amountText(m money.Minor, c money.Currency) string {
	if c == "" {
		return fmt.Sprintf("%d minor units", m)
	}
	return money.Format(m, c)
}

// currencies remembers which currency a stream is in.
type currencies struct {
	log   command.Log
	known map[string]money.Currency // empty: nobody says
}

func currenciesOf(log command.Log) currencies {
	return currencies{log, map[string]money.Currency{}}
}

// of an event: its own if it has one, or that of the first event of its stream
// that has.
func (m currencies) of(ctx context.Context, rec event.Recorded) func() money.Currency {
	if c := currencyIn(rec); c != "" && rec.Revision == 0 {
		m.known[rec.Stream] = c
	}
	return func() money.Currency {
		if c := currencyIn(rec); c != "" {
			return c
		}
		if c, known := m.known[rec.Stream]; known {
			return c
		}
		m.known[rec.Stream] = m.lookUp(ctx, rec.Stream)
		return m.known[rec.Stream]
	}
}

func (m currencies) lookUp(ctx context.Context, stream string) money.Currency {
	for rec, err := range m.log.ReadStream(ctx, stream, command.Forwards, 0, 0) {
		if err != nil {
			break // deleted; or the log fails, which whoever reads the events hears
		}
		if c := currencyIn(rec); c != "" {
			return c
		}
	}
	return ""
}

func currencyIn(rec event.Recorded) money.Currency {
	var in struct {
		Currency money.Currency `json:"currency"`
	}
	_ = json.Unmarshal(rec.Data, &in) // not readable: it has none
	return in.Currency
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
