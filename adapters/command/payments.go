package command

import (
	"context"

	"github.com/google/uuid"

	"kicau/domain/payment"
	"kicau/domain/privacy"
)

// Payments is the payment processor as the saga sees it. Its calls never return
// an error: what happened is an outcome, and an error on the way there is the
// outcome payment.Unknown. Implementations retry nothing by themselves; the
// saga does. All methods may be called from many goroutines and end when the
// context does.
type Payments interface {
	// Account is the platform's account at the processor. It is written into
	// intentions, and only the process that has this account performs them.
	Account(ctx context.Context) (string, error)
	// Perform makes the call of an effect under its idempotency key: the same
	// effect is the same call, however often it is made, for as long as the
	// processor keeps keys. An effect with Tries > 0 was sent before and its
	// answer lost: its object is read back first.
	Perform(ctx context.Context, e payment.Effect) payment.Outcome
	// Read says all that the processor shows of a payment intent now, and for
	// which order it was made (uuid.Nil when it was made by somebody else: then there
	// is no outcome). What could not be read whole has the outcome payment.Unknown. A
	// charge may be named instead of its intent.
	Read(ctx context.Context, intent string) (order uuid.UUID, seen payment.Seen)
	// PayURL is the processor's own page where the buyer types the card or
	// authenticates, and comes back to returnURL.
	PayURL(ctx context.Context, intent, returnURL string) (string, error)
}

// Vault keeps the keys of personal data, outside the log.
type Vault interface {
	// Pseudonym turns what identifies a person (a handle, an e-mail address)
	// into bytes that say nothing without the vault, always the same.
	Pseudonym(identity string) ([]byte, error)
	// Seal and Open personal data of a subject at a place (privacy.Place).
	Seal(subject uuid.UUID, place string, plain []byte) (privacy.Sealed, error)
	Open(s privacy.Sealed, place string) ([]byte, error)
	// Destroy the keys of a subject for good.
	Destroy(subject uuid.UUID) error
}
