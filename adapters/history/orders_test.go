package history_test

import (
	"testing"
)

// An amount of zero is no word for everything.
func TestRefundOfZero(t *testing.T) {
	s := newScene(t)
	s.accepts(t, append(opening, place(1, "first", ask("mug", 1)), line(2, "ship-order", "order", "first"))...)
	for _, zero := range []any{0, "0.00", -1} {
		s.refuses(t, "refund-of-nothing", "amount", line(3, "refund-order", "order", "first", "refund", "r", "amount", zero))
	}
	s.accepts(t, line(3, "refund-order", "order", "first", "refund", "r"))
}
