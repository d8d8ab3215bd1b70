package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/privacy"
	"kicau/domain/refusal"
	"kicau/domain/shop"
	orderview "kicau/projections/order"
)

// form is the checkout, with what was typed and what is wrong with it.
type form struct {
	Offer         shownOffer
	Attempt       string // sent along, so that a form sent twice orders once
	Quantity      string
	Name          string
	Email         string
	Address       string
	Jurisdiction  string
	Jurisdictions []shop.Tax
	Shipping      money.Minor
	MaxText       int
	Problem       *problem
	Wrong         map[string]string // by field
	Before        string            // the order that this form was sent for already
}

// field of a form that is a line to type in.
type field struct {
	Name, Label, Type, Value, Fill, Wrong string
	Max                                   int
}

// Fields that are lines to type in.
func (f form) Fields() []field {
	return []field{
		{"quantity", "Quantity", "number", f.Quantity, "off", f.Wrong["quantity"], 0},
		{"name", "Name", "text", f.Name, "name", f.Wrong["name"], f.MaxText},
		{"email", "E-mail", "email", f.Email, "email", f.Wrong["email"], f.MaxText},
	}
}

// Marked tells whether the problem is shown at a field.
func (f form) Marked() bool {
	switch f.Problem.Field {
	case "quantity", "name", "email", "address":
		return true
	case "jurisdiction":
		return len(f.Jurisdictions) > 0
	}
	return false
}

// inForm are refusals in the words of the form, by code.
var inForm = map[string]string{
	command.ErrNoName.Code:     "Enter the name that it is sent to.",
	command.ErrNoAddress.Code:  "Enter the address that it is sent to.",
	command.ErrNoIdentity.Code: "Enter your e-mail address.",
	privacy.ErrCardNumber.Code: "This looked like a card number, and was not kept. You type your card on the payment processor's own page.",
}

func (s *Server) showCheckout(w http.ResponseWriter, r *http.Request) error {
	f, err := s.newForm(r)
	if err != nil {
		return err
	}
	s.showForm(w, http.StatusOK, f)
	return nil
}

// newForm for the offer that a path names.
func (s *Server) newForm(r *http.Request) (form, error) {
	row, err := s.offerIn(r)
	if err != nil {
		return form{}, err
	}
	f := form{Offer: showing(row, s.o.Now()), Quantity: "1", Attempt: s.o.NewID().String(), MaxText: command.MaxText}
	id, err := uuid.Parse(row.Shop)
	if err != nil {
		return f, fmt.Errorf("offer %s is of shop %q: %w", row.Offer, row.Shop, err)
	}
	err = s.o.Commands.Shops.Look(r.Context(), shop.Stream(id), func(st shop.State) error {
		f.Shipping, f.Jurisdictions = st.Terms.Shipping, st.Terms.Taxes
		return nil
	})
	return f, err
}

func (s *Server) showForm(w http.ResponseWriter, status int, f form) {
	// Browsers hold the redirect after a form to form-action, too: the buyer goes
	// on to the processor's page, wherever that is.
	to := "'self' https:"
	if s.o.Sandbox {
		to += " http://127.0.0.1:* http://localhost:*"
	}
	w.Header().Set("Content-Security-Policy", policy+to)
	s.page(w, status, "checkout.html", page{Title: "Buy " + f.Offer.Title, Body: f})
}

// checkout takes the form.
func (s *Server) checkout(w http.ResponseWriter, r *http.Request) error {
	typed, badField := readForm(w, r)
	if typed == nil {
		return badField
	}
	f, err := s.newForm(r)
	if err != nil {
		return err
	}
	fresh := f.Attempt
	f.Attempt = typed.Get("attempt")
	f.Quantity, f.Name, f.Email = typed.Get("quantity"), typed.Get("name"), typed.Get("email")
	f.Address, f.Jurisdiction = typed.Get("address"), typed.Get("jurisdiction")

	row, err := orderview.Row{}, badField
	if err == nil {
		row, err = s.buyTyped(r.Context(), f)
	}
	if err != nil {
		f.Problem = s.problemOf(r, err)
		f.Wrong = map[string]string{f.Problem.Field: cmp.Or(inForm[f.Problem.Code], f.Problem.Sentence())}
		switch {
		case errors.Is(err, order.ErrOtherContent):
			f.Before = "/orders/" + orderID(f.Attempt).String()
			f.Attempt = fresh
		case f.Problem.Status < http.StatusInternalServerError && f.Problem != errInFlight, errors.Is(err, command.ErrBusy):
			f.Attempt = fresh // nothing was ordered, and what was held for it is let go
		default:
			// Perhaps ordered: the same attempt, sent again, finds out.
			known := *f.Problem
			known.Remedy = "press the button again: whatever became of it, it is ordered once"
			f.Problem = &known
		}
		s.showForm(w, f.Problem.Status, f)
		return nil
	}
	to := "/orders/" + row.Order
	if row.Status == orderview.ActionRequired {
		if page, err := s.payURL(r.Context(), site(r), row); err == nil {
			to = page
		} else {
			s.o.Logger.Warn("web: the processor's page is not known yet", "order", row.Order, "error", err)
		}
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// Refusals of what was typed, in the words of the form.
var (
	errAttempt = &refusal.Refusal{Kind: refusal.Invalid, Code: "bad-attempt", Subject: "the form", Reason: "was not one of ours",
		Remedy: "press Buy again"}
	errQuantity = &refusal.Refusal{Kind: refusal.Invalid, Code: "not-a-quantity", Field: "quantity", Subject: "the quantity",
		Reason: fmt.Sprintf("must be a whole number from 1 to %d", int64(offer.MaxUnits))}
	errJurisdiction = &refusal.Refusal{Kind: refusal.Invalid, Code: "no-jurisdiction", Field: "jurisdiction", Subject: "the destination",
		Reason: "must be one of the list: the tax depends on it"}
)

// elsewhere is the choice of a place for which the shop names no tax.
const elsewhere = "elsewhere"

func (s *Server) buyTyped(ctx context.Context, f form) (orderview.Row, error) {
	if uuid.Validate(f.Attempt) != nil {
		return orderview.Row{}, errAttempt
	}
	quantity, err := strconv.ParseInt(strings.TrimSpace(f.Quantity), 10, 64)
	if err != nil || quantity < 1 || quantity > offer.MaxUnits {
		return orderview.Row{}, errQuantity
	}
	id, err := uuid.Parse(f.Offer.ID)
	if err != nil {
		return orderview.Row{}, err
	}
	p := command.Purchase{
		Order: orderID(f.Attempt), Lines: []command.Line{{Offer: id, Quantity: quantity}},
		Contact: privacy.Contact{Name: f.Name, Email: f.Email, Address: f.Address},
	}
	known := len(f.Jurisdictions) == 0 || f.Jurisdiction == elsewhere
	for _, tax := range f.Jurisdictions {
		if tax.Jurisdiction == f.Jurisdiction {
			p.Jurisdiction, known = tax.Jurisdiction, true
		}
	}
	if !known {
		return orderview.Row{}, errJurisdiction
	}
	row, _, err := s.buy(ctx, p)
	if errors.Is(err, command.ErrCommandReused) {
		err = order.ErrOtherContent // a buyer knows of orders, not of commands
	}
	return row, err
}
