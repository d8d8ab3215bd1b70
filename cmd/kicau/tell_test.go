package main

import (
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
