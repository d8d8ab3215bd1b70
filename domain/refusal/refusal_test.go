package refusal_test

import (
	"errors"
	"fmt"
	"testing"

	"kicau/domain/refusal"
)

var errSoldOut = &refusal.Refusal{Kind: refusal.Rule, Code: "sold-out", Field: "quantity", Subject: "the offer", Reason: "is sold out", Remedy: "wait for the next one"}

func TestARefusalIsASentence(t *testing.T) {
	for _, c := range []struct {
		refusal *refusal.Refusal
		want    string
	}{
		{&refusal.Refusal{Subject: "the shop", Reason: "has no name"}, "the shop: has no name"},
		{&refusal.Refusal{Field: "name", Subject: "the shop", Reason: "has no name"}, "name: the shop: has no name"},
		{errSoldOut, "quantity: the offer: is sold out (wait for the next one)"},
		{errSoldOut.About("offer %q", "Mug"), `quantity: offer "Mug": is sold out (wait for the next one)`},
		{errSoldOut.In("lines[0].quantity"), "lines[0].quantity: the offer: is sold out (wait for the next one)"},
		{errSoldOut.Because("has %d left", 2), "quantity: the offer: has 2 left (wait for the next one)"},
	} {
		if got := c.refusal.Error(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestDetailsAreGivenToACopy(t *testing.T) {
	before := *errSoldOut
	_ = errSoldOut.About("offer %q", "Mug").In("lines[0]").Because("is gone")
	if *errSoldOut != before {
		t.Errorf("the refusal itself became %+v", *errSoldOut)
	}
}

func TestRefusalsAreTheSameByCode(t *testing.T) {
	detailed := fmt.Errorf("line 1: %w", errSoldOut.About("offer %q", "Mug"))
	if !errors.Is(detailed, errSoldOut) {
		t.Error("details make it another refusal")
	}
	if errors.Is(detailed, &refusal.Refusal{Code: "offer-closed"}) {
		t.Error("another code is the same refusal")
	}
	if errors.Is(detailed, errors.New("sold-out")) {
		t.Error("an error that is no refusal is the same")
	}
}

func TestFromFindsTheRefusal(t *testing.T) {
	if got := refusal.From(fmt.Errorf("place: %w", errSoldOut)); got != errSoldOut {
		t.Errorf("found %v", got)
	}
	if got := refusal.From(errors.New("the disk is full")); got != nil {
		t.Errorf("found %v in an error that is no refusal", got)
	}
}
