// Package buyer is a person who buys: consent, a linked handle, and erasure.
// What is personal about a buyer is sealed (package privacy); the stream holds
// facts about the person, not the person.
//
// Its laws: an erased buyer stays erased; erasing changes no other stream.
package buyer

import (
	"time"

	"github.com/google/uuid"

	"kicau/domain/decider"
	"kicau/domain/event"
	"kicau/domain/privacy"
	"kicau/domain/refusal"
)

// Category is the first part of a buyer's stream, "buyer-<uuid>".
const Category = "buyer"

// Stream of a buyer.
func Stream(id uuid.UUID) string { return Category + "-" + id.String() }

// Events.

// Registered: somebody bought for the first time and agreed that we keep what
// the order needs.
type Registered struct {
	Handle *privacy.Sealed `json:"handle,omitempty"`
}

// Erased: the buyer's key is destroyed; what was sealed under it is noise.
type Erased struct {
	LegalBasis string `json:"legalBasis"`
}

func (Registered) EventType() string { return "BuyerRegistered" }
func (Erased) EventType() string     { return "BuyerErased" }

// Events of a buyer's stream.
var Events = []event.Type{event.Of[Registered](), event.Of[Erased]()}

// State of a buyer.
type State struct {
	Registered bool
	Erased     bool
}

func evolve(s State, e event.Data) State {
	switch e.(type) {
	case Registered:
		s.Registered = true
	case Erased:
		s.Erased = true
	}
	return s
}

// Command to a buyer: Register or Erase.
type Command interface{ command() }

// Register a buyer.
type Register struct {
	At     time.Time
	Handle *privacy.Sealed
}

// Erase a buyer. The key must have been destroyed before.
type Erase struct {
	At         time.Time
	LegalBasis string
}

func (Register) command() {}
func (Erase) command()    {}

// Refusals.
var (
	ErrErased      = &refusal.Refusal{Kind: refusal.Rule, Code: "buyer-erased", Field: "buyer", Subject: "the buyer", Reason: "has been erased"}
	ErrUnknown     = &refusal.Refusal{Kind: refusal.Missing, Code: "buyer-not-found", Field: "buyer", Subject: "the buyer", Reason: "is not known"}
	ErrNoLegalBase = &refusal.Refusal{Kind: refusal.Invalid, Code: "no-legal-basis", Field: "legalBasis", Subject: "the erasure", Reason: "names no legal basis", Remedy: "say why, for example \"GDPR 17(1)(b)\""}
)

// Decider of buyers.
var Decider = decider.Decider[State, Command]{
	Initial: func() State { return State{} },
	Evolve:  evolve,
	Decide:  decide,
}

func decide(s State, c Command) ([]event.Data, error) {
	switch c := c.(type) {
	case Register:
		if s.Erased {
			return nil, ErrErased
		}
		if s.Registered {
			return nil, nil
		}
		return []event.Data{Registered{c.Handle}}, nil
	case Erase:
		if s.Erased {
			return nil, nil
		}
		if !s.Registered {
			return nil, ErrUnknown
		}
		if c.LegalBasis == "" {
			return nil, ErrNoLegalBase
		}
		if err := privacy.RefuseCardNumber("legalBasis", c.LegalBasis); err != nil {
			return nil, err
		}
		return []event.Data{Erased{c.LegalBasis}}, nil
	}
	panic("buyer: a command of another kind")
}

// ID is the buyer's id for a pseudonym that the vault made of a handle or an
// e-mail address; see adapters/vault.
func ID(pseudonym []byte) uuid.UUID { return event.NameID("buyer", string(pseudonym)) }
