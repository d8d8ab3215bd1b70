package main

import (
	"strings"
	"testing"

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
	out.Behind = true
	if got := out.text(); !strings.Contains(got, "more than the 100 that are kept") {
		t.Errorf("it says\n%s", got)
	}
}
