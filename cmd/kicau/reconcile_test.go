package main

import (
	"strings"
	"testing"

	"kicau/domain/money"
	"kicau/domain/reconcile"
)

// What could not be read is told with its reason, and not as two sums.
func TestWhatCouldNotBeReadIsTold(t *testing.T) {
	out := reconciled{Run: 3, Noticed: 4, Unread: 1, Matched: 9, Breaks: withAges([]reconcile.BreakFound{{Class: reconcile.Unread,
		Key: reconcile.Key{Kind: reconcile.Payment, Object: "pi_1"}, Since: now(), Text: "Stripe lists more than 100 objects"}})}
	want := `run 3: 4 payments read again, 9 movements agree, 1 breaks
1 payments or payouts could not be read; those that are breaks are read again by the next run
00000000-0000-0000-0000-000000000000  unread  payment pi_1  0 h old  Stripe lists more than 100 objects`
	if got := out.text(); got != want {
		t.Errorf("it says\n%s\nwant\n%s", got, want)
	}
	out.Books = map[money.Currency]twoSums{"GBP": {Ledger: 500, Processor: -100, UnderWay: 600}, "ISK": {Ledger: 194, Processor: 193, Rounding: -1}}
	out.Unexplained, out.Elsewhere = map[money.Currency]money.Minor{}, map[string]int{"acct_2": 3}
	for _, line := range []string{"GBP  ledger 5.00 GBP  processor -1.00 GBP  under way 6.00 GBP  unexplained 0.00 GBP",
		"ISK  ledger 194 ISK  processor 193 ISK  rounding -1 ISK  unexplained 0 ISK", "3 orders are of acct_2, another account"} {
		if got := out.text(); !strings.Contains(got, line) {
			t.Errorf("it says\n%s\nwithout %s", got, line)
		}
	}
	out.Behind = true
	if got := out.text(); !strings.Contains(got, "more than the 100 that are kept") {
		t.Errorf("it says\n%s", got)
	}
}
