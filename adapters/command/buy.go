package command

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/google/uuid"

	"kicau/domain/buyer"
	"kicau/domain/order"
	"kicau/domain/privacy"
	"kicau/domain/refusal"
)

// Refusals of a purchase, before anything is decided.
var (
	ErrNoName     = &refusal.Refusal{Kind: refusal.Invalid, Code: "no-name", Field: "name", Subject: "the purchase", Reason: "says not whom to send to"}
	ErrNoAddress  = &refusal.Refusal{Kind: refusal.Invalid, Code: "no-address", Field: "address", Subject: "the purchase", Reason: "says not where to send to"}
	ErrNoIdentity = &refusal.Refusal{Kind: refusal.Invalid, Code: "no-identity", Field: "email", Subject: "the purchase", Reason: "gives neither an e-mail address nor a handle"}
	ErrTooLong    = &refusal.Refusal{Kind: refusal.Invalid, Code: "text-too-long", Subject: "the text", Reason: "is longer than 1000 bytes"}
)

// MaxText bounds a text that a buyer types, in bytes.
const MaxText = 1000

// Purchase is what a reader of a tweet fills in.
type Purchase struct {
	Order         uuid.UUID
	Contact       privacy.Contact
	Lines         []Line
	Jurisdiction  string
	PaymentMethod string // the processor's token; empty: typed on its page
	KeepCard      bool   // the card may be charged again without the buyer, see order.Placed
}

// Buy from a tweet: register the buyer, seal what is personal, place the order.
func (c *Commands) Buy(ctx context.Context, v Vault, by By, p Purchase) (Result, error) {
	contact, err := checked(p.Contact)
	if err != nil {
		return Result{}, err
	}
	for _, text := range [][2]string{{"paymentMethod", p.PaymentMethod}, {"jurisdiction", p.Jurisdiction}} {
		if err := privacy.RefuseCardNumber(text[0], text[1]); err != nil {
			return Result{}, err
		}
	}
	identity := strings.ToLower(contact.Email)
	if identity == "" {
		identity = strings.ToLower(contact.Handle)
	}
	pseudonym, err := v.Pseudonym(identity)
	if err != nil {
		return Result{}, err
	}
	id := buyer.ID(pseudonym)
	plain, err := json.Marshal(contact)
	if err != nil {
		return Result{}, err
	}
	sealed, err := v.Seal(id, privacy.Place(order.Stream(p.Order), "contact"), plain)
	if err != nil {
		return Result{}, err
	}
	res, err := c.Place(ctx, by, Place{
		Order: p.Order, Buyer: id, Lines: p.Lines, Jurisdiction: p.Jurisdiction, Processor: order.Stripe,
		PaymentMethod: p.PaymentMethod, KeepCard: p.KeepCard, Contact: &sealed,
	})
	if err != nil {
		return res, err
	}
	// A buyer exists once an order does: nothing is registered for a refusal.
	_, err = c.Register(ctx, by.step("register"), id, nil)
	return res, err
}

func checked(c privacy.Contact) (privacy.Contact, error) {
	for _, f := range []struct {
		name string
		text *string
	}{{"name", &c.Name}, {"email", &c.Email}, {"address", &c.Address}, {"handle", &c.Handle}} {
		*f.text = strings.TrimSpace(*f.text)
		if len(*f.text) > MaxText {
			return c, ErrTooLong.In(f.name)
		}
		if err := privacy.RefuseCardNumber(f.name, *f.text); err != nil {
			return c, err
		}
	}
	switch {
	case c.Name == "":
		return c, ErrNoName
	case c.Address == "":
		return c, ErrNoAddress
	case c.Email == "" && c.Handle == "":
		return c, ErrNoIdentity
	}
	return c, nil
}
