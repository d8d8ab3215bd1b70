package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/privacy"
)

// A long wait for an order is told while it lasts, and ends with what to do.
func TestALongWaitIsTold(t *testing.T) {
	data, shopID, offerID, orderID := t.TempDir(), uuid.NewString(), uuid.New(), uuid.New()
	wantCLI(t, exitDone, "ShopOnboarded", "shop", "onboard", "--id", shopID, "--name", "Mugs", "--currency", "GBP", "--data", data)
	wantCLI(t, exitDone, "OfferTweeted", "offer", "tweet", "--id", offerID.String(), "--shop", shopID, "--text", "a", "--title", "Mug", "--price", "8.50", "--data", data)
	var stderr bytes.Buffer
	d, err := (&Global{Data: data, stderr: &stderr}).open(t.Context(), need{}) // nothing drives payments
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.close() }()
	_, err = d.commands.Buy(t.Context(), d.vault, by("buyer"), command.Purchase{Order: orderID, Lines: []command.Line{{Offer: offerID, Quantity: 1}},
		PaymentMethod: "pm_card_visa", Contact: privacy.Contact{Name: "Ann", Address: "1 Hill Road", Handle: "@ann"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func(before time.Duration) { patience = before }(patience)
	patience = 20 * time.Millisecond
	ctx, stop := context.WithTimeout(t.Context(), time.Second)
	defer stop()
	err = d.restOf(ctx, orderID)
	if err == nil || !strings.Contains(err.Error(), "is not at rest after 1s; what was asked is recorded") {
		t.Errorf("the wait ended with %v", err)
	}
	if n := strings.Count(stderr.String(), "order "+orderID.String()+": waiting for the payment processor for 0s\n"); n < 2 {
		t.Errorf("it was told:\n%s", &stderr)
	}
}
