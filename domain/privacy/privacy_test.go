package privacy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"kicau/domain/privacy"
	"kicau/domain/refusal"
)

func TestCardNumbersAreSeen(t *testing.T) {
	for _, text := range []string{
		"4242424242424242",
		"4242 4242 4242 4242",
		"4242-4242-4242-4242",
		"my card is 4000000000000002, thanks",
		"378282246310005",
		"6011111111111117",
		"5555555555554444.",
		"note:4242424242424242",
		"order-42424242-4242-4242-4242-4242424242424242",
		"42424242-4242-4242-4242-424242424242=4242424242424242",
		"004242424242424242",
	} {
		if !privacy.HasCardNumber(text) {
			t.Errorf("%q holds a card number", text)
		}
	}
}

func TestOtherTextPasses(t *testing.T) {
	for _, text := range []string{
		"",
		"4242424242424241", // fails the Luhn check
		"424242424242",
		"2010-12-01T08:26:00Z",
		"42424242-4242-4242-4242-424242424242",
		"0c2d8a54-0000-4000-8000-000000000002=2",
		"order-42424242-4242-4242-4242-424242424242",
		"call 020 7946 0018",
		"pm_card_visa",
		"order 536365, 541909 lines",
		"4242  4242  4242  4242", // two spaces: four numbers
	} {
		if privacy.HasCardNumber(text) {
			t.Errorf("%q was taken for a card number", text)
		}
	}
}

func TestACardNumberIsRefusedAndNotRepeated(t *testing.T) {
	err := privacy.RefuseCardNumber("reason", "my card is 4242 4242 4242 4242")
	r := refusal.From(err)
	if !errors.Is(err, privacy.ErrCardNumber) || r.Field != "reason" {
		t.Fatalf("got %v", err)
	}
	if text := fmt.Sprintf("%+v %v", *r, err); strings.Contains(text, "4242") {
		t.Errorf("the refusal repeats it: %s", text)
	}
	if err := privacy.RefuseCardNumber("reason", "broken"); err != nil {
		t.Errorf("got %v", err)
	}
}

func FuzzHasCardNumber(f *testing.F) {
	f.Add("4242 4242 4242 4242")
	f.Add("42424242-4242")
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) < 13 && privacy.HasCardNumber(s) {
			t.Errorf("%q is too short", s)
		}
	})
}
