package order_test

import (
	"slices"
	"testing"
	"time"

	"kicau/domain/money"
	"kicau/domain/order"
)

func TestReserve(t *testing.T) {
	day := func(n int) time.Time { return noon.AddDate(0, 0, n) }
	r := order.Reserve(nil).With(300, day(30)).With(100, day(10)).With(0, day(1)).With(200, day(30))
	if want := (order.Reserve{{100, day(10)}, {300, day(30)}, {200, day(30)}}); !slices.Equal(r, want) || r.Total() != 600 {
		t.Fatalf("%v, %d in all", r, r.Total())
	}
	for at, want := range map[time.Time]money.Minor{day(10).Add(-1): 0, day(10): 100, day(29): 100, day(30): 600} {
		if got := r.Due(at); got != want {
			t.Errorf("%d are due at %s, want %d", got, at, want)
		}
	}
	for amount, want := range map[money.Minor]order.Reserve{
		0: r, 40: {{60, day(10)}, {300, day(30)}, {200, day(30)}}, 100: {{300, day(30)}, {200, day(30)}}, 450: {{150, day(30)}}, 600: {}} {
		if got := r.Without(amount); !slices.Equal(got, want) {
			t.Errorf("without %d: %v, want %v", amount, got, want)
		}
	}
	if r.Total() != 600 {
		t.Errorf("the reserve itself has changed: %v", r)
	}
}
