package main

import (
	"context"
	"fmt"

	"kicau/adapters/command"
	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/projections/settlement"
)

// summary is what demo and import print: counts of the log as it is now.
type summary struct {
	Orders       orderCounts                    `json:"orders"`
	Events       map[string]int                 `json:"events"`
	TrialBalance map[money.Currency]money.Minor `json:"trialBalance"`
	Seconds      float64                        `json:"seconds"`
}

// orderCounts counts orders. SoldOut counts purchases that were refused because
// there was no stock left; they are not in the log.
type orderCounts struct {
	Placed    int   `json:"placed"`
	Captured  int   `json:"captured"`
	Declined  int   `json:"declined"`
	SoldOut   int64 `json:"soldOut"`
	Cancelled int   `json:"cancelled"`
	Refunded  int   `json:"refunded"` // wholly or in part
}

// summarise the log: of all streams, or of those that mine says yes to.
func (d *desk) summarise(ctx context.Context, mine func(stream string) bool) (summary, error) {
	s := summary{Events: map[string]int{}}
	refunded := map[string]bool{}
	for rec, err := range d.log.ReadAll(ctx, command.Forwards, command.ReadFrom{}, viewFilter, 0) {
		if err != nil {
			return s, err
		}
		if !mine(rec.Stream) {
			continue
		}
		s.Events[rec.Type]++
		if rec.Type == (order.Refunded{}).EventType() {
			refunded[rec.Stream] = true
		}
	}
	s.Orders = orderCounts{
		Placed:    s.Events[order.Placed{}.EventType()],
		Captured:  s.Events[order.Captured{}.EventType()],
		Declined:  s.Events[order.Declined{}.EventType()],
		Cancelled: s.Events[order.Cancelled{}.EventType()],
		Refunded:  len(refunded),
	}
	books, err := settlement.Read(ctx, d.store)
	s.TrialBalance = books.TrialBalance
	return s, err
}

func everything(string) bool { return true }

func (s summary) text() string {
	o := s.Orders
	text := fmt.Sprintf("orders: %d placed, %d captured, %d declined, %d sold out, %d cancelled, %d refunded",
		o.Placed, o.Captured, o.Declined, o.SoldOut, o.Cancelled, o.Refunded)
	for _, c := range sortedKeys(s.TrialBalance) {
		text += fmt.Sprintf("\ntrial balance %s", money.Format(s.TrialBalance[c], c))
	}
	return text
}
