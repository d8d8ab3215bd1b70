package web

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"
	"unicode"

	"kicau/domain/money"
	"kicau/projections"
	orderview "kicau/projections/order"
	"kicau/projections/timeline"
)

// tones are the colours of avatars and of places without a photo, see style.css.
const tones = 6

// shownOffer is an offer in words.
type shownOffer struct {
	ID, Shop, Tweet, Title, Description, Photo string

	Initial  string // of the shop, for its avatar
	Tone     int
	Currency money.Currency
	Price    money.Minor
	Stock    string // what is left, or why it cannot be bought
	Scarce   bool
	Limit    int64
	Open     bool
	When     string // it was tweeted
	At       string // the same for machines
}

// scarce is when what is left is worth a hurry.
const scarce = 5

func showing(r timeline.Row, now time.Time) shownOffer {
	o := shownOffer{
		ID: r.Offer, Shop: r.ShopName, Tweet: r.Tweet, Title: r.Title, Description: r.Description, Photo: photoURL(r.Photo),
		Initial: initial(r.ShopName), Tone: tone(r.Shop), Currency: r.Currency, Price: r.Price, Limit: r.LimitPerBuyer,
		When: ago(r.TweetedAt, now), At: r.TweetedAt,
	}
	if o.Shop == "" {
		o.Shop = "A shop"
	}
	switch stateOf(r, now) {
	case withdrawn:
		o.Stock = "No longer offered"
	case notYet:
		o.Stock = "On sale from " + moment(r.OpensAt)
	case closed:
		o.Stock = "Closed"
	case soldOut:
		o.Stock = "Sold out"
	case onSale:
		o.Open = true
		if r.Left != nil {
			o.Stock, o.Scarce = fmt.Sprintf("%d left", *r.Left), *r.Left <= scarce
		}
	}
	return o
}

func initial(name string) string {
	for _, c := range name {
		if unicode.IsLetter(c) || unicode.IsDigit(c) {
			return string(unicode.ToUpper(c))
		}
	}
	return "•"
}

func tone(id string) int {
	h := fnv.New32a()
	h.Write([]byte(id))
	return int(h.Sum32() % tones)
}

// ago says when something was, shortly.
func ago(at string, now time.Time) string {
	t, err := time.Parse(projections.TimeLayout, at)
	if err != nil {
		return ""
	}
	switch d := now.Sub(t); {
	case d < time.Minute:
		return "now"
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	case t.Year() == now.UTC().Year():
		return t.Format("2 Jan")
	}
	return t.Format("2 Jan 2006")
}

// moment writes a row's time in full.
func moment(at string) string {
	t, err := time.Parse(projections.TimeLayout, at)
	if err != nil {
		return ""
	}
	return t.Format("2 Jan 2006, 15:04 UTC")
}

// shownOrder is an order in words.
type shownOrder struct {
	orderview.Row
	outcome
	Steps  []step
	Ends   string // the problem, in words
	Placed string
	Moved  string
	Again  string // where the same can be ordered again
	Pay    string // where the buyer goes on paying
}

// outcome is what a status means to the buyer.
type outcome struct {
	Tone     string // "good", "wait", "bad": see style.css
	Headline string
	Next     string // what happens next
}

var outcomes = map[orderview.Status]outcome{
	orderview.Placed:         {"wait", "Order received", "We are asking for the payment. This page looks again by itself."},
	orderview.ActionRequired: {"wait", "One step left", "Pay on the payment processor's own page. Until then nothing is charged, and what you ordered is set aside for a short while only."},
	orderview.Unknown:        {"wait", "Checking the payment", "The answer of the payment processor was lost, so we are asking again. You are not charged twice, whatever comes of it."},
	orderview.Authorised:     {"good", "Order confirmed", "The amount is held on your card. It is charged when the shop ships."},
	orderview.TryAgain:       {"wait", "Payment declined", "Nothing was charged. What you ordered is set aside for a short while: pay it with another card, or try this one again."},
	orderview.Disputed:       {"wait", "In dispute", "Your bank has asked for what you paid back. It decides after it has heard the shop."},
	orderview.Lost:           {"good", "Paid back", "Your bank has given you back what you paid."},
	orderview.Declined:       {"bad", "Payment declined", "The card was not accepted. Nothing was charged, and the order is closed. You can order again with another card."},
	orderview.Shipped:        {"good", "On its way", "The shop has sent it. Your card is being charged for what was sent."},
	orderview.Captured:       {"good", "On its way", "The shop has sent it, and your card was charged for what was sent."},
	orderview.CaptureFailed:  {"good", "On its way", "The shop has sent it, but your card could not be charged. The shop will be in touch."},
	orderview.Settled:        {"good", "Complete", "The shop has sent it, your card was charged, and the shop has been paid."},
	orderview.PartRefunded:   {"good", "Partly refunded", "A part of what you paid is on its way back to your card. Banks take up to ten days to show it."},
	orderview.Refunded:       {"good", "Refunded", "What you paid is on its way back to your card. Banks take up to ten days to show it."},
	orderview.Cancelled:      {"bad", "Order cancelled", "Nothing is charged. If an amount was held on your card, it is let go."},
	orderview.Expired:        {"bad", "Order expired", "It was not paid or not shipped in time. Nothing is charged. If an amount was held on your card, it is let go."},
}

// declines in the words of a buyer, by the processor's code.
var declines = map[string]string{
	"insufficient_funds": "There is not enough money on the card.",
	"expired_card":       "The card has expired.",
	"incorrect_cvc":      "The security code was wrong.",
	"lost_card":          "Please use another card.",
	"stolen_card":        "Please use another card.",
}

// step of an order's way.
type step struct {
	Name  string
	State string // "done", "now", "ahead"
}

func showingOrder(r orderview.Row) shownOrder {
	o := shownOrder{Row: r, outcome: outcomes[r.Status], Placed: moment(r.PlacedAt), Moved: moment(r.UpdatedAt)}
	if o.Headline == "" { // a status that a newer version of the view knows
		o.outcome = outcome{"wait", "Order received", "It is being dealt with."}
	}
	switch r.Status {
	case orderview.ActionRequired:
		o.Pay = "/orders/" + r.Order + "/pay"
		if r.Action == "authenticate" {
			o.Next = "Your bank wants you to confirm the payment. " + o.Next
		}
	case orderview.TryAgain:
		o.Pay, o.Ends = "/orders/"+r.Order+"/pay", declines[r.Problem]
	case orderview.Declined:
		o.Ends = declines[r.Problem]
	}
	if (o.Tone == "bad" || r.Status == orderview.TryAgain) && len(r.Lines) == 1 {
		o.Again = "/offers/" + r.Lines[0].Offer
	}
	if o.Tone != "bad" && !strings.Contains(string(r.Status), "refunded") {
		o.Steps = stepsOf(r.Status)
	}
	return o
}

// stepsOf says how far an order is on the way that every order hopes to go.
func stepsOf(s orderview.Status) []step {
	steps := []step{{"Order", "done"}, {"Payment", "now"}, {"Shipment", "ahead"}}
	switch s {
	case orderview.Authorised:
		steps[1].State, steps[2].State = "done", "now"
	case orderview.Shipped, orderview.Captured, orderview.CaptureFailed, orderview.Settled, orderview.Disputed, orderview.Lost:
		steps[1].State, steps[2].State = "done", "done"
	}
	return steps
}

// Pauses between two looks of a page at an order that moves by itself.
const (
	refreshSoon = 2 * time.Second
	refreshLate = 15 * time.Second
	movingSoon  = time.Minute // after its last news, an order is looked at soon
)

// refreshAfter is when the page of an order is asked for again, in seconds: only
// while the order moves without anybody doing anything.
func refreshAfter(r orderview.Row, now time.Time) int {
	switch r.Status {
	case orderview.Placed, orderview.Unknown, orderview.Shipped:
	default:
		return 0
	}
	if t, err := time.Parse(projections.TimeLayout, r.UpdatedAt); err == nil && now.Sub(t) > movingSoon {
		return int(refreshLate / time.Second)
	}
	return int(refreshSoon / time.Second)
}
