package main

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"kicau/domain/order"
	orders "kicau/projections/order"
)

// What the buyer was promised and does not have stands below the order.
func TestRefundsThatAreNotGivenAreSeen(t *testing.T) {
	id := uuid.MustParse("0ef00001-0000-4000-8000-000000000001")
	for name, c := range map[string]struct {
		refund orders.Refund
		want   string
	}{
		"agreed":    {orders.Refund{Status: order.Agreed}, "is agreed and not given yet"},
		"accepted":  {orders.Refund{Status: order.Pending}, "is accepted by the processor and not paid yet"},
		"failed":    {orders.Refund{Status: order.Refused, Code: "charge_disputed"}, "failed: charge_disputed"},
		"came back": {orders.Refund{Status: order.Refused, Code: "expired_or_canceled_card", Returned: true}, "came back: expired_or_canceled_card"},
		"given":     {orders.Refund{Status: order.Given}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.refund.Refund, c.refund.Amount = id, 1250
			_, got, _ := strings.Cut(orderText(orders.Row{Currency: "GBP", Refunds: []orders.Refund{c.refund}}), "\n")
			want := ""
			if c.want != "" {
				want = "  refund 0ef00001-0000-4000-8000-000000000001 of 12.50 GBP " + c.want
			}
			if got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

func TestATransferThatFailedIsSeen(t *testing.T) {
	got := orderText(orders.Row{Currency: "GBP", Unpaid: &orders.Transfer{Code: "resource_missing", Reason: "No such destination", RetryAt: "2026-11-23T12:00:00.000000000Z"}})
	if want := "transfer to the shop failed: resource_missing (No such destination); tried again at 2026-11-23T12:00"; !strings.HasSuffix(got, want) {
		t.Errorf("%q does not end with %q", got, want)
	}
}
