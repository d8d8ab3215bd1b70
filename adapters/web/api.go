package web

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/privacy"
	"kicau/domain/refusal"
	orderview "kicau/projections/order"
	"kicau/projections/timeline"
)

// Bounds of the API.
const (
	// MaxLimit bounds a page of the timeline.
	MaxLimit = 100
	// DefaultLimit is a page without a limit of its own.
	DefaultLimit = 20
)

// The types below are what the API promises. A view may change; these may only
// grow. Amounts are integers in the minor unit of the currency beside them,
// times are UTC.

type offerJSON struct {
	ID            string         `json:"id"`
	Shop          string         `json:"shop"`
	ShopName      string         `json:"shopName"`
	Tweet         string         `json:"tweet"`
	SKU           string         `json:"sku,omitempty"`
	Title         string         `json:"title"`
	Description   string         `json:"description,omitempty"`
	Photo         string         `json:"photo,omitempty"`
	Currency      money.Currency `json:"currency"`
	Price         money.Minor    `json:"price"` // of a unit, before tax
	State         saleState      `json:"state"`
	Left          *int64         `json:"left,omitempty"` // absent: without limit
	LimitPerBuyer int64          `json:"limitPerBuyer,omitempty"`
	TweetedAt     string         `json:"tweetedAt"`
	OpensAt       string         `json:"opensAt,omitempty"`
	ClosesAt      string         `json:"closesAt,omitempty"`
	Related       []offerJSON    `json:"related,omitempty"` // of an offer by itself
}

func (s *Server) offerJSON(r timeline.Row) offerJSON {
	return offerJSON{
		ID: r.Offer, Shop: r.Shop, ShopName: r.ShopName, Tweet: r.Tweet, SKU: r.SKU, Title: r.Title, Description: r.Description,
		Photo: photoURL(r.Photo), Currency: r.Currency, Price: r.Price, State: stateOf(r, s.o.Now()), Left: r.Left,
		LimitPerBuyer: r.LimitPerBuyer, TweetedAt: r.TweetedAt, OpensAt: r.OpensAt, ClosesAt: r.ClosesAt,
	}
}

type timelineJSON struct {
	Offers []offerJSON `json:"offers"`         // newest first
	Next   string      `json:"next,omitempty"` // for ?after=
}

// orderJSON is an order as its buyer sees it: nothing personal, and nothing of
// what passes between shop, platform and processor.
type orderJSON struct {
	ID         string           `json:"id"`
	Status     orderview.Status `json:"status"`
	PayURL     string           `json:"payUrl,omitempty"` // where the buyer has to go, in a browser
	Shop       string           `json:"shop,omitempty"`
	Currency   money.Currency   `json:"currency,omitempty"`
	Total      money.Minor      `json:"total"`
	Goods      money.Minor      `json:"goods"`
	Shipping   money.Minor      `json:"shipping"`
	Tax        money.Minor      `json:"tax"`
	Authorised money.Minor      `json:"authorised"`
	Captured   money.Minor      `json:"captured"`
	Refunded   money.Minor      `json:"refunded"`
	Lines      []orderview.Line `json:"lines"`
	Card       string           `json:"card,omitempty"`   // brand and last four digits
	Action     string           `json:"action,omitempty"` // what the buyer has to do: "card" or "authenticate"
	Problem    string           `json:"problem,omitempty"`
	Carrier    string           `json:"carrier,omitempty"`
	Tracking   string           `json:"tracking,omitempty"`
	PlacedAt   string           `json:"placedAt,omitempty"`
	UpdatedAt  string           `json:"updatedAt,omitempty"`
}

func orderOf(r orderview.Row) orderJSON {
	lines := r.Lines
	if lines == nil {
		lines = []orderview.Line{}
	}
	return orderJSON{
		ID: r.Order, Status: r.Status, Shop: r.Shop, Currency: r.Currency, Total: r.Total, Goods: r.Goods, Shipping: r.Shipping, Tax: r.Tax,
		Authorised: r.Authorised, Captured: r.Captured, Refunded: r.Refunded, Lines: lines, Card: r.Card, Action: r.Action,
		Problem: r.Problem, Carrier: r.Carrier, Tracking: r.Tracking, PlacedAt: r.PlacedAt, UpdatedAt: r.UpdatedAt,
	}
}

// orderBody is a purchase.
type orderBody struct {
	Lines []struct {
		Offer    string `json:"offer"`
		Quantity int64  `json:"quantity"`
	} `json:"lines"`
	Name          string `json:"name"`
	Email         string `json:"email"`
	Address       string `json:"address"`
	Handle        string `json:"handle"`
	Jurisdiction  string `json:"jurisdiction"`
	PaymentMethod string `json:"paymentMethod"` // the processor's token; empty: typed on its page
}

var errOfferID = &refusal.Refusal{Kind: refusal.Invalid, Code: "bad-offer-id", Subject: "the offer", Reason: "is not named by a UUID",
	Remedy: "take the id from the timeline"}

// errUnits keeps sums of quantities from wrapping round.
var errUnits = &refusal.Refusal{Kind: refusal.Invalid, Code: "quantity-too-large", Subject: "the quantity",
	Reason: fmt.Sprintf("must be at most %d", int64(offer.MaxUnits))}

func (b orderBody) purchase(id uuid.UUID) (command.Purchase, error) {
	if len(b.Lines) > order.MaxLines {
		return command.Purchase{}, order.ErrTooManyLines
	}
	p := command.Purchase{
		Order: id, Jurisdiction: b.Jurisdiction, PaymentMethod: b.PaymentMethod,
		Contact: privacy.Contact{Name: b.Name, Email: b.Email, Address: b.Address, Handle: b.Handle},
	}
	for i, l := range b.Lines {
		id, err := uuid.Parse(l.Offer)
		if err != nil {
			return p, errOfferID.In(fmt.Sprintf("lines[%d].offer", i))
		}
		if l.Quantity > offer.MaxUnits {
			return p, errUnits.In(fmt.Sprintf("lines[%d].quantity", i))
		}
		p.Lines = append(p.Lines, command.Line{Offer: id, Quantity: l.Quantity})
	}
	return p, nil
}

func (s *Server) apiTimeline(w http.ResponseWriter, r *http.Request) error {
	limit := DefaultLimit
	if given := r.URL.Query().Get("limit"); given != "" {
		n, err := strconv.Atoi(given)
		if err != nil || n < 1 || n > MaxLimit {
			return errParameter.in("limit").because(fmt.Sprintf("must be a whole number from 1 to %d", MaxLimit))
		}
		limit = n
	}
	rows, next, err := s.newest(r.Context(), r.URL.Query().Get("after"), limit)
	if err != nil {
		return err
	}
	page := timelineJSON{Offers: make([]offerJSON, len(rows)), Next: next}
	for i, row := range rows {
		page.Offers[i] = s.offerJSON(row)
	}
	writeJSON(w, http.StatusOK, page)
	return nil
}

func (s *Server) apiOffer(w http.ResponseWriter, r *http.Request) error {
	row, err := s.offerIn(r)
	if err != nil {
		return err
	}
	related, err := s.related(r.Context(), row)
	if err != nil {
		return err
	}
	o := s.offerJSON(row)
	for _, other := range related {
		o.Related = append(o.Related, s.offerJSON(other))
	}
	writeJSON(w, http.StatusOK, o)
	return nil
}

func (s *Server) apiBuy(w http.ResponseWriter, r *http.Request) error {
	key, err := keyOf(r)
	if err != nil {
		return err
	}
	var body orderBody
	if err := readJSON(w, r, &body); err != nil {
		return err
	}
	id := s.o.NewID()
	if key != "" {
		id = orderID(key)
	}
	p, err := body.purchase(id)
	if err != nil {
		return err
	}
	row, repeated, err := s.buy(r.Context(), p)
	if err != nil {
		return err
	}
	if repeated {
		w.Header().Set(replayed, "true")
	}
	o := orderOf(row)
	if row.Payable() {
		if o.PayURL, err = s.payURL(r.Context(), site(r), row); err != nil {
			s.o.Logger.Warn("web: the processor's page is not known yet", "order", row.Order, "error", err)
			o.PayURL = payLink(r, row) // it asks again
		}
	}
	w.Header().Set("Location", "/v1/orders/"+row.Order)
	writeJSON(w, http.StatusCreated, o)
	return nil
}

func (s *Server) apiOrder(w http.ResponseWriter, r *http.Request) error {
	row, _, err := s.orderIn(r)
	if err != nil {
		return err
	}
	o := orderOf(row)
	if row.Payable() {
		o.PayURL = payLink(r, row)
	}
	writeJSON(w, http.StatusOK, o)
	return nil
}

// payLink is our own page that sends the buyer on to the processor's.
func payLink(r *http.Request, row orderview.Row) string {
	return site(r) + "/orders/" + row.Order + "/pay"
}

// site is where the caller reaches us. atOurName has made sure that it is us.
func site(r *http.Request) string { return "http://" + r.Host }

func (s *Server) live(w http.ResponseWriter, r *http.Request) error {
	writeJSON(w, http.StatusOK, map[string]string{"status": "live"})
	return nil
}
