package history_test

import (
	"testing"
)

// Two lines of an order may be of one offer.
func TestAnOrderNamesAnOfferTwice(t *testing.T) {
	s := newScene(t)
	s.accepts(t, append(opening, place(1, "first", ask("poster", 1), ask("mug", 1), ask("poster", 2)), line(2, "ship-order", "order", "first"))...)
	if got, want := s.types(t, stream("offer", "poster")), "OfferTweeted OfferStockHeld OfferStockSold"; got != want {
		t.Errorf("the posters: %s, want %s", got, want)
	}
}
