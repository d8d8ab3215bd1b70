package command_test

import (
	"context"
	"testing"

	"kicau/adapters/command"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/payment"
	"kicau/domain/refusal"
)

// order asks for something about the order that is bought.
func (s *scene) order(n int, cmd order.Command) {
	s.Helper()
	_, err := s.kicau.Order(s.Context(), by(n), bought, cmd)
	s.ok(err)
}

// paidOutside places an order that somebody else takes the money for.
func (s *scene) paidOutside() {
	s.Helper()
	s.open(10)
	_, err := s.kicau.Place(s.Context(), by(1), asks(func(p *command.Place) { p.Processor = "paypal" }))
	s.ok(err)
}

// Of an order that is paid outside we hear when the money has moved: all of it
// is in the log with the command's own events, and the stock follows.
func TestPaidOutside(t *testing.T) {
	t.Run("placed: authorised and sold", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.paidOutside()
			s.happened(order.Stream(bought), order.Placed{}, order.Authorised{})
			s.happened(offer.Stream(mugs), offer.Tweeted{}, offer.StockHeld{}, offer.StockSold{})
			s.happened(offer.Stream(tea), offer.Tweeted{}, offer.StockHeld{}, offer.StockSold{})
		})
	})
	t.Run("shipped in part: captured, and the rest is in stock again", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.paidOutside()
			s.order(2, order.Ship{Units: []order.Units{{Line: 1, Quantity: 1}}})
			s.happened(order.Stream(bought), order.Placed{}, order.Authorised{}, order.Shipped{}, order.Captured{})
			s.holds(bought, 1, 0)
			if s.look().Available != 9 || s.lookAt(tea).Available != 10 {
				t.Errorf("%d mugs and %d tea left, want 9 and 10", s.look().Available, s.lookAt(tea).Available)
			}
		})
	})
	t.Run("cancelled: given up, and all of it is in stock again", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.paidOutside()
			s.order(2, order.Cancel{})
			s.happened(order.Stream(bought), order.Placed{}, order.Authorised{}, order.Cancelled{}, order.Voided{})
			s.holds(bought, 0, 0)
		})
	})
	t.Run("given back: refunded, and what was sent stays sent", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.paidOutside()
			s.order(2, order.Ship{})
			s.order(3, order.GiveBack{Refund: id(1), Amount: 100})
			s.happened(order.Stream(bought), order.Placed{}, order.Authorised{}, order.Shipped{}, order.Captured{}, order.RefundAgreed{}, order.Refunded{})
			s.holds(bought, 2, 1)
		})
	})
	t.Run("death before the stock follows: it follows later", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.open(10)
			ctx, die := context.WithCancel(s.Context())
			s.wire.meet(fine, fine, after(die)) // mugs, tea, order
			_, err := s.kicau.Place(ctx, by(1), asks(func(p *command.Place) { p.Processor = "paypal" }))
			s.wants(err, context.Canceled)
			s.happened(order.Stream(bought), order.Placed{}, order.Authorised{})
			s.happened(offer.Stream(mugs), offer.Tweeted{}, offer.StockHeld{})
			s.ok(s.process().SettleStock(s.Context(), by(2), bought))
			s.happened(offer.Stream(mugs), offer.Tweeted{}, offer.StockHeld{}, offer.StockSold{})
		})
	})
	t.Run("by us: the money waits for the saga", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.open(10)
			_, err := s.kicau.Place(s.Context(), by(1), asks())
			s.ok(err)
			s.happened(order.Stream(bought), order.Placed{})
			s.happened(offer.Stream(mugs), offer.Tweeted{}, offer.StockHeld{})
		})
	})
}

func TestSettleStock(t *testing.T) {
	authorise := func(s *scene) {
		st, err := s.kicau.Money(s.Context(), by(20), bought, payment.Advance{Account: "acct"})
		if err != nil || !st.IsOpen {
			s.Fatalf("nothing to perform: %v", err)
		}
		_, err = s.kicau.Money(s.Context(), by(21), bought, payment.Record{Account: "acct", Key: st.Open.Key,
			Outcome: payment.Authorised{Intent: "pi_1", Charge: "ch_1", Amount: st.Open.Amount}})
		s.ok(err)
	}
	ship := func(s *scene) {
		s.order(30, order.Ship{Units: []order.Units{{Line: 1, Quantity: 1}, {Line: 2, Quantity: 1}}})
	}
	shipTea := func(s *scene) { s.order(30, order.Ship{Units: []order.Units{{Line: 2, Quantity: 1}}}) }
	cancel := func(s *scene) { s.order(31, order.Cancel{}) }
	for name, c := range map[string]struct {
		happened   []func(*scene)
		mugs, left int64 // of the order, and in the pool
		ended      offer.Ending
	}{
		"while it waits for its money":          {nil, 2, 8, offer.Open},
		"once it is paid":                       {[]func(*scene){authorise}, 2, 8, offer.Sold},
		"once a part of it was sent":            {[]func(*scene){authorise, ship}, 1, 9, offer.Sold},
		"once none of it was sent":              {[]func(*scene){authorise, shipTea}, 0, 10, offer.Released},
		"once it was called off":                {[]func(*scene){cancel}, 0, 10, offer.Released},
		"once it was called off after the sale": {[]func(*scene){authorise, cancel}, 0, 10, offer.Released},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, s *scene) {
				s.open(10)
				_, err := s.kicau.Place(s.Context(), by(1), asks())
				s.ok(err)
				for n, happens := range c.happened {
					happens(s)
					s.ok(s.kicau.SettleStock(s.Context(), by(40+n), bought))
				}
				s.writesNothing(func() {
					s.ok(s.kicau.SettleStock(s.Context(), by(50), bought))
					s.ok(s.process().SettleStock(s.Context(), by(51), bought))
				})
				st := s.look()
				if h := st.Holds[bought]; h.Quantity != c.mugs || h.Ended != c.ended || st.Available != c.left {
					t.Errorf("the order has %d mugs (%q) and %d are left, want %d (%q) and %d", h.Quantity, h.Ended, st.Available, c.mugs, c.ended, c.left)
				}
			})
		})
	}
	t.Run("of an order that never was", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.writesNothing(func() { s.ok(s.kicau.SettleStock(s.Context(), by(1), bought)) })
		})
	})
}

// What is refused names what was asked for.
func TestNoSuchOrderOrOffer(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		_, err := s.kicau.Order(s.Context(), by(1), bought, order.Cancel{})
		s.wants(err, order.ErrNotPlaced)
		if no := refusal.From(err); no.Subject != "order "+bought.String() {
			t.Errorf("the refusal is about %q", no.Subject)
		}
		_, err = s.kicau.Offer(s.Context(), by(1), mugs, offer.Withdraw{})
		s.wants(err, offer.ErrNotTweeted)
		if no := refusal.From(err); no.Subject != "offer "+mugs.String() {
			t.Errorf("the refusal is about %q", no.Subject)
		}
	})
}
