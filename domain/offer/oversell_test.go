package offer_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"kicau/domain/decider"
	"kicau/domain/event"
	"kicau/domain/offer"
)

// book is what a bookkeeper writes down who sees the events alone.
type book struct {
	pooled bool
	limit  int64
	put    int64 // into the pool
	orders map[uuid.UUID]*entry
}

type entry struct {
	buyer      uuid.UUID
	held, back int64
	sold       bool
}

func (b *book) write(t *rapid.T, e event.Data) {
	switch e := e.(type) {
	case offer.Tweeted:
		b.pooled, b.limit = e.Stock != nil, e.LimitPerBuyer
		if b.pooled {
			b.put = *e.Stock
		}
	case offer.Restocked:
		b.put += e.Added
	case offer.StockHeld:
		if b.orders[e.Order] != nil {
			t.Fatalf("order %s holds twice", e.Order)
		}
		if e.Quantity < 1 {
			t.Fatalf("held %d", e.Quantity)
		}
		b.orders[e.Order] = &entry{buyer: e.Buyer, held: e.Quantity}
	case offer.StockSold:
		o := b.orders[e.Order]
		if o == nil || o.sold || o.back == o.held {
			t.Fatalf("the hold of order %s ended twice, or never began", e.Order)
		}
		if o.sold = true; e.Quantity != o.held-o.back {
			t.Fatalf("order %s holds %d and was sold %d", e.Order, o.held-o.back, e.Quantity)
		}
	case offer.StockReleased:
		o := b.orders[e.Order]
		if o == nil {
			t.Fatalf("released what order %s never held", e.Order)
		}
		if o.back += e.Quantity; e.Quantity < 1 || o.back > o.held {
			t.Fatalf("order %s held %d and gave %d back", e.Order, o.held, o.back)
		}
		if e.WasSold != o.sold {
			t.Fatalf("order %s gave back sold units: said %v, is %v", e.Order, e.WasSold, o.sold)
		}
	}
}

// check compares what the bookkeeper knows with the law and with the state.
func (b *book) check(t *rapid.T, s offer.State) {
	var out int64 // held or sold, and not given back
	buyers := map[uuid.UUID]int64{}
	for id, o := range b.orders {
		out += o.held - o.back
		buyers[o.buyer] += o.held - o.back
		h := s.Holds[id]
		if h.Quantity != o.held-o.back {
			t.Fatalf("order %s has %d units, the state says %d", id, o.held-o.back, h.Quantity)
		}
		if over := h.Ended == offer.Released; over != (o.back == o.held) {
			t.Fatalf("order %s gave %d of %d back, the state says %q", id, o.back, o.held, h.Ended)
		}
	}
	if b.pooled && out > b.put {
		t.Fatalf("OVERSOLD: %d units are held or sold of %d", out, b.put)
	}
	if b.pooled && s.Available != b.put-out {
		t.Fatalf("%d of %d are out, the state says %d are there", out, b.put, s.Available)
	}
	for id, n := range buyers {
		if b.limit > 0 && n > b.limit {
			t.Fatalf("buyer %s has %d, the limit is %d", id, n, b.limit)
		}
		if s.Buyers[id] != n {
			t.Fatalf("buyer %s has %d, the state says %d", id, n, s.Buyers[id])
		}
	}
}

// drawCommand draws among few orders and buyers, so that they meet.
func drawCommand(t *rapid.T, at time.Time) offer.Command {
	order := uuid.UUID{0: 1, 15: byte(rapid.IntRange(1, 8).Draw(t, "order"))}
	n := rapid.Int64Range(-1, 6).Draw(t, "units")
	if rapid.IntRange(0, 30).Draw(t, "huge") == 0 {
		n = rapid.Int64().Draw(t, "units out of range")
	}
	switch rapid.IntRange(0, 19).Draw(t, "command") {
	case 0, 1, 2, 3, 4, 5, 6, 7:
		buyer := uuid.UUID{0: 2, 15: byte(rapid.IntRange(1, 3).Draw(t, "buyer"))}
		return offer.HoldStock{At: at, Order: order, Buyer: buyer, Quantity: n, ExpiresAt: at.Add(time.Minute)}
	case 8, 9, 10, 11:
		return offer.SellStock{At: at, Order: order}
	case 12, 13, 14, 15, 16:
		return offer.ReleaseStock{At: at, Order: order, Keep: n, Reason: "test"}
	case 17:
		return offer.Restock{At: at, Restock: uuid.UUID{0: 3, 15: byte(rapid.IntRange(1, 5).Draw(t, "restock"))}, Add: n}
	case 18:
		return offer.Reprice{At: at, Price: 1}
	default:
		return offer.Withdraw{At: at}
	}
}

func TestNoOversell(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		terms := mug(func(o *offer.Tweeted) {
			o.Stock = rapid.Ptr(rapid.Int64Range(0, 12), true).Draw(t, "stock")
			o.LimitPerBuyer = rapid.Int64Range(0, 5).Draw(t, "limit")
			o.OpensAt, o.ClosesAt = &opens, &closes
		})
		log := []event.Data{terms}
		s := decider.Fold(offer.Decider, log...)
		b := &book{orders: map[uuid.UUID]*entry{}}
		b.write(t, terms)
		at := opens.Add(-time.Minute)
		for range rapid.IntRange(1, 60).Draw(t, "commands") {
			at = at.Add(time.Duration(rapid.IntRange(0, 120).Draw(t, "seconds")) * time.Second)
			c := drawCommand(t, at)
			events, err := offer.Decider.Decide(s, c)
			if diff := cmp.Diff(decider.Fold(offer.Decider, log...), s); diff != "" {
				t.Fatalf("deciding %#v changed the state:\n%s", c, diff)
			}
			if err != nil && len(events) > 0 {
				t.Fatalf("%#v was refused, yet decided %v", c, events)
			}
			if h, ok := c.(offer.HoldStock); ok && len(events) > 0 && (at.Before(opens) || !at.Before(closes)) {
				t.Fatalf("%#v was accepted outside of the sale window", h)
			}
			for _, e := range events {
				log = append(log, e)
				s = offer.Decider.Evolve(s, e)
				b.write(t, e)
				b.check(t, s)
			}
			if again, err := offer.Decider.Decide(s, c); len(events) > 0 && (err != nil || len(again) > 0) {
				t.Fatalf("%#v said twice happened twice: %v, %v", c, again, err)
			}
		}
	})
}
