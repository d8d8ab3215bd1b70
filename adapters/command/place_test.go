package command_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/privacy"
	"kicau/domain/shop"
)

var (
	bought = named("order")
	ann    = named("buyer")
)

func named(name string) uuid.UUID { return uuid.NewSHA1(uuid.Nil, []byte(name)) }

// asks for two mugs and a tea, with something changed.
func asks(change ...func(*command.Place)) command.Place {
	p := command.Place{Order: bought, Buyer: ann, Jurisdiction: "GB", Processor: order.Stripe, PaymentMethod: "pm_1", Reference: "A-17",
		Lines: []command.Line{{Offer: mugs, Quantity: 2}, {Offer: tea, Quantity: 1}}}
	for _, c := range change {
		c(&p)
	}
	return p
}

func TestPlace(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.open(10)
		res, err := s.kicau.Place(s.Context(), by(1), asks(func(p *command.Place) {
			p.Lines = append(p.Lines, command.Line{Offer: posters, Quantity: 1})
		}))
		s.ok(err)
		s.holds(bought, 2, 1)
		s.happened(order.Stream(bought), order.Placed{})
		placed := s.events(order.Stream(bought))[0]
		if placed.Position != res.Position {
			t.Errorf("placed at %s, the answer says %s", placed.Position, res.Position)
		}
		for _, o := range []uuid.UUID{mugs, tea} {
			if held := s.events(offer.Stream(o))[1]; held.Position.Compare(placed.Position) >= 0 {
				t.Errorf("%s was held after the order was placed", o)
			}
		}
		p := placed.Body.(order.Placed)
		want := order.Allocation{Goods: 4500, Shipping: 350, Tax: 970, Fee: 405}
		if p.Allocation != want || p.Destination != "acct_potter" || p.HoldHours != 72 {
			t.Errorf("placed %+v", p)
		}
		if until := placed.OccurredAt.Add(command.DefaultStockHold); len(p.Held) != 2 || p.Held[0] != mugs || p.Held[1] != tea || !p.StockHeldUntil.Equal(until) {
			t.Errorf("held %v until %s; posters need no stock", p.Held, p.StockHeldUntil)
		}
	})
}

// What can be refused without holding stock is refused before anything is
// written, in any stream.
func TestRefusedEarly(t *testing.T) {
	free := money.Minor(0)
	for name, c := range map[string]struct {
		change func(*command.Place)
		want   error
	}{
		"no such offer":    {func(p *command.Place) { p.Lines[1].Offer = id(9) }, offer.ErrNotTweeted},
		"no lines":         {func(p *command.Place) { p.Lines = nil }, order.ErrNoLines},
		"no units":         {func(p *command.Place) { p.Lines[1].Quantity = 0 }, order.ErrQuantity},
		"fewer than none":  {func(p *command.Place) { p.Lines[1].Quantity = -2 }, order.ErrQuantity},
		"sold out":         {func(p *command.Place) { p.Lines[1].Quantity = 11 }, offer.ErrSoldOut},
		"sold out in sum":  {func(p *command.Place) { p.Lines[1] = command.Line{Offer: mugs, Quantity: 9} }, offer.ErrSoldOut},
		"another shop's":   {func(p *command.Place) { p.Lines[1].Offer = id(8) }, order.ErrMixedShops},
		"nobody to pay":    {func(p *command.Place) { p.Processor = "" }, order.ErrNoProcessor},
		"nothing to pay":   {func(p *command.Place) { p.Lines[0].Agreed, p.Lines[1].Agreed, p.Shipping = &free, &free, &free }, order.ErrNothingToPay},
		"a card number":    {func(p *command.Place) { p.Reference = "4242 4242 4242 4242" }, privacy.ErrCardNumber},
		"too many to sum":  {func(p *command.Place) { p.Lines[0].Quantity, p.Lines[1].Quantity = 1<<62, 1<<62 }, offer.ErrSoldOut},
		"a shop not there": {func(p *command.Place) { p.Lines = []command.Line{{Offer: id(8), Quantity: 1}} }, shop.ErrNotOnboarded},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, s *scene) {
				s.open(10)
				elsewhere := offer.Tweet{ShopCurrency: "GBP", Terms: offer.Tweeted{Shop: id(7), Title: "Hat", Currency: "GBP", Price: 100}}
				_, err := s.kicau.Offer(s.Context(), by(8), id(8), elsewhere)
				s.ok(err)
				s.writesNothing(func() {
					_, err := s.kicau.Place(s.Context(), by(1), asks(c.change))
					s.wants(err, c.want)
				})
			})
		})
	}
}

// Between the look and the hold somebody else takes the last ones.
func TestRefusedLate(t *testing.T) {
	soldOut := func(s *scene, o uuid.UUID) fault {
		return after(func() {
			_, err := s.elsewhere().Offer(s.Context(), by(50), o, offer.HoldStock{At: time.Now(), Order: id(50), Quantity: 10})
			s.ok(err)
		})
	}
	t.Run("at the first hold: nothing is written, and the order may come again", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.open(10)
			s.wire.meet(soldOut(s, mugs))
			_, err := s.kicau.Place(s.Context(), by(1), asks())
			s.wants(err, offer.ErrSoldOut)
			s.holds(bought, 0, 0)
			s.happened(order.Stream(bought))

			_, err = s.kicau.Offer(s.Context(), by(51), mugs, offer.Restock{Restock: id(51), Add: 5})
			s.ok(err)
			_, err = s.kicau.Place(s.Context(), by(1), asks())
			s.ok(err)
			s.holds(bought, 2, 1)
		})
	})
	t.Run("at the second hold: the first is given back", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.open(10)
			s.wire.meet(soldOut(s, tea)) // as the mugs are being held
			_, err := s.kicau.Place(s.Context(), by(1), asks())
			s.wants(err, offer.ErrSoldOut)
			s.holds(bought, 0, 0)
			if left := s.look().Available; left != 10 {
				t.Errorf("%d mugs left, want all 10", left)
			}
			s.happened(order.Stream(bought), order.Expired{}) // closed before: nobody can build on the holds any more
			s.writesNothing(func() {
				_, err = s.kicau.Place(s.Context(), by(1), asks())
				s.wants(err, order.ErrTooLate)
			})
		})
	})
}

// The process dies after the stock was held and before the order was placed.
func TestDeathBetweenHoldAndOrder(t *testing.T) {
	dies := func(s *scene) {
		s.Helper()
		ctx, die := context.WithCancel(s.Context())
		s.wire.meet(fine, after(die)) // mugs, tea
		_, err := s.kicau.Place(ctx, by(1), asks())
		s.wants(err, context.Canceled)
		s.holds(bought, 2, 1)
		s.happened(order.Stream(bought))
		s.kicau = s.process()
	}
	t.Run("the buyer tries again: the stock is held once", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.open(10)
			dies(s)
			_, err := s.kicau.Place(s.Context(), by(1), asks())
			s.ok(err)
			s.holds(bought, 2, 1)
			s.happened(order.Stream(bought), order.Placed{})
			s.happened(offer.Stream(mugs), offer.Tweeted{}, offer.StockHeld{})
		})
	})
	t.Run("nobody comes back: the deadline closes the order and gives the stock back", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.open(10)
			dies(s)
			expire := order.Expire{At: time.Now()}
			s.writesNothing(func() { // while the order may still come its stock is not touched
				s.ok(s.kicau.Abandon(s.Context(), by(2), bought, []uuid.UUID{mugs, tea}))
			})
			for range 2 { // a deadline may fire twice
				_, err := s.kicau.Order(s.Context(), by(2), bought, expire)
				s.ok(err)
				s.ok(s.kicau.Abandon(s.Context(), by(2), bought, []uuid.UUID{mugs, tea}))
			}
			s.holds(bought, 0, 0)
			s.happened(order.Stream(bought), order.Expired{})
			s.happened(offer.Stream(mugs), offer.Tweeted{}, offer.StockHeld{}, offer.StockReleased{})
			s.happened(offer.Stream(tea), offer.Tweeted{}, offer.StockHeld{}, offer.StockReleased{})
			s.writesNothing(func() {
				_, err := s.kicau.Place(s.Context(), by(1), asks())
				s.wants(err, order.ErrTooLate)
			})
		})
	})
	t.Run("the answer is lost: what may stand keeps its stock", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.open(10)
			s.wire.meet(fine, fine)
			s.wire.rest = lostAfter
			_, err := s.kicau.Place(s.Context(), by(1), asks())
			s.wants(err, command.ErrUnknownOutcome)
			s.holds(bought, 2, 1)
			s.wire.rest = nil
			s.writesNothing(func() {
				_, err := s.kicau.Place(s.Context(), by(1), asks())
				s.ok(err)
			})
		})
	})
	t.Run("the log takes nothing for now: the order may come again", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.open(10)
			s.wire.meet(fine, fine, failing(command.ErrReadOnly))
			_, err := s.kicau.Place(s.Context(), by(1), asks())
			s.wants(err, command.ErrReadOnly)
			_, err = s.kicau.Place(s.Context(), by(1), asks())
			s.ok(err)
			s.holds(bought, 2, 1)
		})
	})
}

func TestPlacedAgain(t *testing.T) {
	another := money.Minor(900)
	for when, changes := range map[string]func(s *scene) error{
		"at once": func(*scene) error { return nil },
		"after it sold out": func(s *scene) error {
			_, err := s.kicau.Offer(s.Context(), by(60), mugs, offer.HoldStock{At: time.Now(), Order: id(60), Quantity: 8})
			return err
		},
		"after it was withdrawn": func(s *scene) error {
			_, err := s.kicau.Offer(s.Context(), by(60), tea, offer.Withdraw{})
			return err
		},
		"after it cost more": func(s *scene) error {
			_, err := s.kicau.Offer(s.Context(), by(60), tea, offer.Reprice{Price: 5000})
			return err
		},
		"after it was cancelled and its stock released": func(s *scene) error {
			_, err := s.kicau.Order(s.Context(), by(60), bought, order.Cancel{})
			s.ok(err)
			return s.kicau.SettleStock(s.Context(), by(61), bought)
		},
	} {
		t.Run(when, func(t *testing.T) {
			play(t, func(t *testing.T, s *scene) {
				s.open(10)
				placed, err := s.kicau.Place(s.Context(), by(1), asks())
				s.ok(err)
				s.ok(changes(s))
				s.writesNothing(func() {
					res, err := s.kicau.Place(s.Context(), by(1), asks())
					s.ok(err)
					if !res.Repeated || s.told(res) != s.told(placed) {
						t.Errorf("answered %+v, the first time %+v", res, placed)
					}
					res, err = s.kicau.Place(s.Context(), by(2), asks()) // another command, the same order
					s.ok(err)
					if len(res.Events) != 0 {
						t.Errorf("placed twice: %v", res.Events)
					}
				})
				for name, change := range map[string]func(*command.Place){
					"buyer":          func(p *command.Place) { p.Buyer = id(9) },
					"fewer lines":    func(p *command.Place) { p.Lines = p.Lines[:1] },
					"other quantity": func(p *command.Place) { p.Lines[0].Quantity = 1 },
					"other offer":    func(p *command.Place) { p.Lines[1].Offer = posters },
					"other price":    func(p *command.Place) { p.Lines[1].Agreed = &another },
					"other postage":  func(p *command.Place) { p.Shipping = &another },
					"reference":      func(p *command.Place) { p.Reference = "A-18" },
					"jurisdiction":   func(p *command.Place) { p.Jurisdiction = "US" },
					"payment method": func(p *command.Place) { p.PaymentMethod = "pm_2" },
					"processor":      func(p *command.Place) { p.Processor = "paypal" },
				} {
					s.writesNothing(func() {
						for n, no := range map[int]error{1: command.ErrCommandReused, 2: order.ErrOtherContent} {
							if _, err := s.kicau.Place(s.Context(), by(n), asks(change)); err == nil {
								t.Errorf("%s: taken for the same order", name)
							} else {
								s.wants(err, no)
							}
						}
					})
				}
			})
		})
	}
}

// Two tries with one id are on their way at the same time.
func TestPlacedTwiceAtTheSameTime(t *testing.T) {
	t.Run("alike: one order, one hold", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.open(10)
			var answers []func() error
			for n := range 5 {
				kicau := []*command.Commands{s.kicau, s.process()}[n%2]
				answers = append(answers, s.ask(func() error { _, err := kicau.Place(s.Context(), by(1), asks()); return err }))
			}
			for _, answer := range answers {
				s.ok(answer())
			}
			s.holds(bought, 2, 1)
			s.happened(order.Stream(bought), order.Placed{})
			s.happened(offer.Stream(mugs), offer.Tweeted{}, offer.StockHeld{})
		})
	})
	t.Run("with other content: the one refused leaves the other its stock", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.open(10)
			onlyMugs := asks(func(p *command.Place) { p.Lines = p.Lines[:1] })
			s.wire.meet(fine, after(func() { // mugs, tea
				_, err := s.elsewhere().Place(s.Context(), by(1), onlyMugs)
				s.ok(err)
			}))
			_, err := s.kicau.Place(s.Context(), by(2), asks())
			s.wants(err, order.ErrOtherContent)
			s.holds(bought, 2, 0)
			s.happened(order.Stream(bought), order.Placed{})
		})
	})
	t.Run("with other quantities: neither leaves stock behind", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.open(10)
			moreTea := asks(func(p *command.Place) { p.Lines[1].Quantity = 3 })
			s.wire.meet(fine, after(func() { // mugs, tea
				_, err := s.elsewhere().Place(s.Context(), by(1), moreTea)
				s.ok(err)
			}))
			_, err := s.kicau.Place(s.Context(), by(2), asks())
			if err == nil {
				t.Fatal("two different orders have one id")
			}
			s.holds(bought, 2, 3)
		})
	})
}

func TestTweet(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.open(10)
		terms := offer.Tweeted{Shop: potter, Tweet: "Bowls!", Title: "Bowl", Currency: "GBP", Price: 1500}
		for range 2 {
			_, err := s.kicau.Tweet(s.Context(), by(70), id(70), terms)
			s.ok(err)
		}
		s.happened(offer.Stream(id(70)), offer.Tweeted{})
		if name := s.lookAt(id(70)).Terms.ShopName; name != "Potter" {
			t.Errorf("the offer is by %q", name)
		}
		s.writesNothing(func() {
			terms.Shop = id(9)
			_, err := s.kicau.Tweet(s.Context(), by(71), id(71), terms)
			s.wants(err, shop.ErrNotOnboarded)
			terms.Shop, terms.Currency = potter, "EUR"
			_, err = s.kicau.Tweet(s.Context(), by(71), id(71), terms)
			s.wants(err, offer.ErrOtherCurrency)
		})
	})
}

// What is caused carries who asked, and what it follows from.
func TestWhatFollowsNamesItsCause(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.open(10)
		_, err := s.kicau.Place(s.Context(), by(1), asks())
		s.ok(err)
		asked := by(1).Command
		placed := s.events(order.Stream(bought))[0]
		held := s.events(offer.Stream(mugs))[1]
		if placed.Command != asked || placed.Causation != asked || placed.Correlation != asked || placed.Actor != "buyer" {
			t.Errorf("placed: %+v", placed.Meta)
		}
		if held.Command == asked || held.Causation != asked || held.Correlation != asked {
			t.Errorf("held: %+v", held.Meta)
		}
	})
}
