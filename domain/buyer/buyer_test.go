package buyer_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/domain/buyer"
	"kicau/domain/decider/decidertest"
	"kicau/domain/privacy"
)

var (
	noon   = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	handle = &privacy.Sealed{Subject: uuid.UUID{1}, Key: "k1", Algorithm: privacy.Algorithm, Nonce: []byte{1}, Ciphertext: []byte{2}}
	erase  = buyer.Erase{At: noon, LegalBasis: "GDPR 17(1)(b)"}
)

func TestAStranger(t *testing.T) {
	decidertest.For(t, buyer.Decider).
		When(buyer.Register{At: noon, Handle: handle}).
		Then(buyer.Registered{Handle: handle})
	decidertest.For(t, buyer.Decider).
		When(buyer.Register{At: noon}).
		Then(buyer.Registered{})
	decidertest.For(t, buyer.Decider).When(erase).ThenRefused(buyer.ErrUnknown)
}

func TestABuyer(t *testing.T) {
	known := buyer.Registered{Handle: handle}
	decidertest.For(t, buyer.Decider).Given(known).When(buyer.Register{At: noon}).ThenNothing()
	decidertest.For(t, buyer.Decider).Given(known).When(erase).Then(buyer.Erased{LegalBasis: "GDPR 17(1)(b)"})
	decidertest.For(t, buyer.Decider).Given(known).When(buyer.Erase{At: noon}).ThenRefused(buyer.ErrNoLegalBase)
	decidertest.For(t, buyer.Decider).Given(known).
		When(buyer.Erase{At: noon, LegalBasis: "asked, card 4242 4242 4242 4242"}).
		ThenRefused(privacy.ErrCardNumber)
}

func TestAnErasedBuyerStaysErased(t *testing.T) {
	known, gone := buyer.Registered{Handle: handle}, buyer.Erased{LegalBasis: "GDPR 17(1)(b)"}
	decidertest.For(t, buyer.Decider).Given(known, gone).When(buyer.Register{At: noon, Handle: handle}).ThenRefused(buyer.ErrErased)
	decidertest.For(t, buyer.Decider).Given(known, gone).When(erase).ThenNothing()
	decidertest.For(t, buyer.Decider).Given(known, gone).When(buyer.Erase{At: noon}).ThenNothing()
}

func TestTheSamePseudonymIsTheSameBuyer(t *testing.T) {
	if a, b := buyer.ID([]byte("p1")), buyer.ID([]byte("p1")); a != b {
		t.Errorf("%s, then %s", a, b)
	}
	if buyer.ID([]byte("p1")) == buyer.ID([]byte("p2")) {
		t.Error("two pseudonyms are one buyer")
	}
}
