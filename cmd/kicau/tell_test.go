package main

import (
	"slices"
	"testing"

	"kicau/domain/money"
	"kicau/domain/order"
)

// Minor units of a currency that nobody knows any more are not told as units.
func TestAnAmountWithoutACurrency(t *testing.T) {
	for want, c := range map[string]money.Currency{"12.50 GBP": "GBP", "1250 JPY": "JPY", "1250 minor units": ""} {
		if got := tell(order.CaptureRequested{Amount: 1250}, func() money.Currency { return c }); got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	}
}

func TestNearestNames(t *testing.T) {
	names := []string{"OrderPlaced", "OrderShipped", "PaymentCaptured", "PaymentRefunded", "ShopAdjusted"}
	for given, want := range map[string]string{"orderplaced": "OrderPlaced", "PaymentCapture": "PaymentCaptured", "Shipped": "OrderShipped", "": "OrderPlaced"} {
		if got := nearest(given, names); got[0] != want || len(got) != 3 {
			t.Errorf("nearest to %q are %v, want %s first", given, got, want)
		}
	}
	if !slices.IsSorted(names) {
		t.Error("the names were put in another order")
	}
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "abc", 3}, {"kitten", "sitting", 3}, {"Same", "same", 0}, {"ab", "ba", 2}} {
		if got := changes(c.a, c.b); got != c.want {
			t.Errorf("%q and %q: %d changes, want %d", c.a, c.b, got, c.want)
		}
	}
}
