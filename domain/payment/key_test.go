package payment_test

import (
	"testing"

	"kicau/domain/order"
	"kicau/domain/payment"
)

// What the processor says of a call of ours is news until its answer is in the log,
// and an echo from then on.
func TestCallAnswered(t *testing.T) {
	first, second := key(order.Authorise, "1"), key(order.Capture, "2")
	for _, c := range []struct {
		name string
		h    *history
		key  string
		want bool
	}{
		{"the call is open", requested(t), first, false},
		{"its outcome is not known", requested(t).answered(unknown), first, false},
		{"it was answered", paid(t), first, true},
		{"the next one is open", sent(t).next(), second, false},
		{"and the first was answered", sent(t).next(), first, true},
		{"both were", charged(t), second, true},
		{"it was never made", paid(t), second, false},
		{"it is another order's", charged(t), "v1:00000000-0000-0000-0000-000000000001:capture:2", false},
	} {
		if got := payment.Answered(c.h.state(), c.key); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestOrderOf(t *testing.T) {
	if of, ours := payment.OrderOf(key(order.Capture, "2")); !ours || of != id {
		t.Errorf("the key of a capture is of order %s, %v", of, ours)
	}
	for _, foreign := range []string{"", "stripe-node-retry-1", "v1", "v1:x:capture:2", "v1:" + id.String() + ":capture:", "v1:" + id.String() + ":capture:0",
		"v1:" + id.String() + ":capture:2:3", "v2:" + id.String() + ":capture:2"} {
		if of, ours := payment.OrderOf(foreign); ours {
			t.Errorf("%q is of order %s", foreign, of)
		}
	}
}
