package payment

import (
	"fmt"
	"strings"
	"time"

	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/order"
)

// Happened is an event of an order and when it happened.
type Happened struct {
	At    time.Time
	Event event.Data
}

// MaxHistory bounds the history that a bank is told, in bytes; the evidence of a
// dispute may have 150,000 characters in all
// (https://docs.stripe.com/disputes/best-practices).
const MaxHistory = 20_000

// Evidence is what the order's own history says for the shop: what was bought,
// that the payment was authorised and authenticated, how and when it was
// shipped, that it arrived, and what was refunded. It holds no personal data:
// there is none in the log in the clear.
func Evidence(story []Happened) order.Evidence {
	var e order.Evidence
	var history strings.Builder
	currency := money.Currency("")
	for _, h := range story {
		if p, ok := h.Event.(order.Placed); ok {
			currency = p.Currency
			e.Product = products(p)
		}
		if s, ok := h.Event.(order.Shipped); ok {
			e.Carrier, e.Tracking, e.ShippedOn = s.Carrier, s.Tracking, h.At.UTC().Format(time.DateOnly)
		}
		if line := told(h.Event, currency); line != "" && history.Len() < MaxHistory {
			fmt.Fprintf(&history, "%s UTC: %s\n", h.At.UTC().Format("2006-01-02 15:04"), line)
		}
	}
	e.History = history.String()
	return e
}

func products(p order.Placed) string {
	var all []string
	for _, l := range p.Lines {
		all = append(all, fmt.Sprintf("%d × %s", l.Quantity, l.Title))
	}
	text := strings.Join(all, ", ")
	if len(text) > MaxHistory {
		text = strings.ToValidUTF8(text[:MaxHistory], "")
	}
	return text
}

// told is an event in words for a bank; empty: it says nothing to one.
func told(e event.Data, c money.Currency) string {
	switch e := e.(type) {
	case order.Placed:
		return "the order was placed for " + money.Format(e.Total(), c)
	case order.ActionRequired:
		if e.Action == "authenticate" {
			return "the card's issuer asked the buyer to authenticate the payment (3-D Secure)"
		}
	case order.Authorised:
		return fmt.Sprintf("%s was authorised on the card (%s ending in %s)", money.Format(e.Amount, c), e.Brand, e.Last4)
	case order.Shipped:
		return strings.TrimSpace(fmt.Sprintf("goods worth %s were shipped %s %s", money.Format(e.Total(), c), e.Carrier, e.Tracking))
	case order.Captured:
		return money.Format(e.Amount, c) + " was charged"
	case order.Delivered:
		return "the " + e.By + " confirmed that the goods arrived"
	case order.Refunded:
		return money.Format(e.Amount, c) + " was refunded"
	case order.Cancelled:
		return "the order was cancelled"
	}
	return ""
}
