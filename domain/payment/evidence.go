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

// MaxHistory bounds the history that a bank is told, and the list of products,
// in bytes. Stripe takes 20,000 characters of each and of the shop's own words
// ([order.MaxAnswer]), and 150,000 in all
// (https://docs.stripe.com/api/disputes/update).
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
			e.Carrier, e.Tracking, e.ShippedOn = cut(s.Carrier, order.MaxText), cut(s.Tracking, order.MaxText), h.At.UTC().Format(time.DateOnly)
		}
		if line := told(h.Event, currency); line != "" {
			line = fmt.Sprintf("%s UTC: %s\n", h.At.UTC().Format("2006-01-02 15:04"), line)
			if history.Len()+len(line) <= MaxHistory {
				history.WriteString(line)
			}
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
	return cut(strings.Join(all, ", "), MaxHistory)
}

// cut a text after so many bytes, between two characters. What came in before
// texts were bounded may be longer.
func cut(text string, most int) string {
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "")
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
		line := money.Format(e.Amount, c) + " was authorised on the card"
		if e.Brand != "" && e.Last4 != "" { // not known of what was taken by hand
			line += fmt.Sprintf(" (%s ending in %s)", e.Brand, e.Last4)
		}
		return line
	case order.Shipped:
		line := fmt.Sprintf("goods worth %s were shipped %s %s", money.Format(e.Total(), c), cut(e.Carrier, order.MaxText), cut(e.Tracking, order.MaxText))
		return strings.Join(strings.Fields(line), " ")
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
