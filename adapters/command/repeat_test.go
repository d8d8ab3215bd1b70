package command_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"kicau/adapters/command"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/shop"
)

// given is a command under an id, to be given as often as one likes.
type given func(kicau *command.Commands) (command.Result, error)

// ordered has the shop open and an order paid outside placed, so that there is
// something to ship and to give back.
func (s *scene) ordered() {
	s.Helper()
	s.open(10)
	_, err := s.kicau.Place(s.Context(), by(1), asks(func(p *command.Place) { p.Processor = "market" }))
	s.ok(err)
}

func (s *scene) ofOrder(n int, cmd order.Command) given {
	return func(kicau *command.Commands) (command.Result, error) {
		return kicau.Order(s.Context(), by(n), bought, cmd)
	}
}

func (s *scene) ofOffer(n int, cmd offer.Command) given {
	return func(kicau *command.Commands) (command.Result, error) {
		return kicau.Offer(s.Context(), by(n), mugs, cmd)
	}
}

func (s *scene) ofShop(n int, cmd shop.Command) given {
	return func(kicau *command.Commands) (command.Result, error) {
		return kicau.Shop(s.Context(), by(n), potter, cmd)
	}
}

func (s *scene) tweeted(n int, terms offer.Tweeted) given {
	terms.Shop, terms.Currency, terms.Tweet = potter, "GBP", "Have a look"
	return func(kicau *command.Commands) (command.Result, error) {
		return kicau.Tweet(s.Context(), by(n), id(900), terms)
	}
}

func (s *scene) does(does given) command.Result {
	s.Helper()
	res, err := does(s.kicau)
	s.ok(err)
	return res
}

// told is what an answer says, but for whether it is a repetition.
func (s *scene) told(res command.Result) string {
	s.Helper()
	text := fmt.Sprintf("%s, next %d:", res.Position, res.Next)
	for _, e := range res.Events {
		b, err := json.Marshal(e)
		s.ok(err)
		text += fmt.Sprintf(" %s %s", e.EventType(), b)
	}
	return text
}

// answersAlike gives a command again, here and where nothing is cached, and
// checks that the answer is that of the first time and that nothing is written.
func (s *scene) answersAlike(first command.Result, again given) {
	s.Helper()
	s.writesNothing(func() {
		for where, kicau := range map[string]*command.Commands{"here": s.kicau, "elsewhere": s.process()} {
			res, err := again(kicau)
			s.ok(err)
			if !res.Repeated || s.told(res) != s.told(first) {
				s.Errorf("%s the answer is\n%s (repeated: %t), the first time it was\n%s", where, s.told(res), res.Repeated, s.told(first))
			}
		}
	})
}

// story is a command, what happens to its stream afterwards, and what another
// content under the same id would be.
type story struct {
	before      func(*scene)
	cmd, differ func(*scene) given
	since       func(*scene)
}

// Each command, given later, so that its time is another one.
func stories() map[string]story {
	at := time.Now
	ship := func(carrier string) func(*scene) given {
		return func(s *scene) given { return s.ofOrder(50, order.Ship{At: at(), Carrier: carrier}) }
	}
	refund := func(amount money.Minor) func(*scene) given {
		return func(s *scene) given { return s.ofOrder(50, order.GiveBack{At: at(), Refund: id(7), Amount: amount}) }
	}
	cancel := func(reason string) func(*scene) given {
		return func(s *scene) given { return s.ofOrder(50, order.Cancel{At: at(), Reason: reason}) }
	}
	reprice := func(price money.Minor) func(*scene) given {
		return func(s *scene) given { return s.ofOffer(50, offer.Reprice{At: at(), Price: price}) }
	}
	restock := func(add int64) func(*scene) given {
		return func(s *scene) given { return s.ofOffer(50, offer.Restock{At: at(), Restock: id(8), Add: add}) }
	}
	withdraw := func(reason string) func(*scene) given {
		return func(s *scene) given { return s.ofOffer(50, offer.Withdraw{At: at(), Reason: reason}) }
	}
	fees := func(bp money.BasisPoints) func(*scene) given {
		return func(s *scene) given {
			now := at() // from now on, whenever that is
			return s.ofShop(50, shop.ChangeFees{At: now, Fees: shop.Fees{ValidFrom: now, BasisPoints: bp}})
		}
	}
	adjust := func(amount money.Minor) func(*scene) given {
		return func(s *scene) given {
			return s.ofShop(50, shop.Adjust{At: at(), Shop: potter, Adjustment: id(9), Kind: "bank charge", Amount: amount, Reason: "r"})
		}
	}
	tweet := func(title string) func(*scene) given {
		return func(s *scene) given { return s.tweeted(50, offer.Tweeted{Title: title, Price: 700}) }
	}
	shipped := func(s *scene) { s.does(s.ofOrder(40, order.Ship{At: at()})) }
	repriced := func(s *scene) { s.does(s.ofOffer(60, offer.Reprice{At: at(), Price: 123})) }
	return map[string]story{
		"ship, refunded since": {cmd: ship("post"), differ: ship("rider"), since: func(s *scene) {
			s.does(s.ofOrder(60, order.GiveBack{At: at(), Refund: id(7)}))
		}},
		"refund, another since": {before: shipped, cmd: refund(100), differ: refund(200), since: func(s *scene) {
			s.does(s.ofOrder(60, order.GiveBack{At: at(), Refund: id(6), Amount: 50}))
		}},
		"cancel":                  {cmd: cancel("too late"), differ: cancel("too dear")},
		"reprice, repriced since": {cmd: reprice(900), differ: reprice(901), since: repriced},
		"restock, repriced since": {cmd: restock(5), differ: restock(6), since: repriced},
		"withdraw":                {cmd: withdraw("broken"), differ: withdraw("sold")},
		"tweet":                   {cmd: tweet("Saucer"), differ: tweet("Plate")},
		"change fees, changed since": {cmd: fees(800), differ: fees(700), since: func(s *scene) {
			s.does(s.ofShop(60, shop.ChangeFees{At: at(), Fees: shop.Fees{ValidFrom: at(), BasisPoints: 600}}))
		}},
		"adjust":                           {cmd: adjust(-500), differ: adjust(-501)},
		"refund, then cancel under its id": {before: shipped, cmd: refund(1), differ: cancel("no")},
	}
}

func TestACommandGivenAgainIsAnsweredAsTheFirstTime(t *testing.T) {
	for name, c := range stories() {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, s *scene) {
				s.ordered()
				if c.before != nil {
					c.before(s)
				}
				time.Sleep(time.Minute)
				first := s.does(c.cmd(s))
				if len(first.Events) == 0 || first.Repeated {
					t.Fatalf("the first answer is %+v", first)
				}
				time.Sleep(time.Minute)
				if c.since != nil {
					c.since(s)
				}
				s.answersAlike(first, c.cmd(s))
				s.writesNothing(func() {
					for _, kicau := range []*command.Commands{s.kicau, s.process()} {
						_, err := c.differ(s)(kicau)
						s.wants(err, command.ErrCommandReused)
					}
				})
			})
		})
	}
}

// Under an id of their own they are decided, not answered from memory.
func TestWithoutAnIdOfItsOwnACommandIsDecidedAnew(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.open(10)
		reprice := func(n int, price money.Minor, recurring bool) command.Result {
			b := by(n)
			b.Recurring = recurring
			res, err := s.kicau.Offer(s.Context(), b, mugs, offer.Reprice{At: time.Now(), Price: price})
			s.ok(err)
			return res
		}
		for _, price := range []money.Minor{900, 800, 900} { // an importer's id: about the offer
			if res := reprice(50, price, true); len(res.Events) != 1 || res.Repeated {
				t.Fatalf("repriced to %d: %+v", price, res)
			}
		}
		if e := s.events(offer.Stream(mugs)); e[len(e)-1].Digest != "" {
			t.Error("it is remembered all the same")
		}
		// In effect already: nothing was recorded under the id, so it may still name something.
		if res := reprice(51, 900, false); len(res.Events) != 0 {
			t.Fatalf("it cost that already: %+v", res)
		}
		if res := reprice(51, 700, false); len(res.Events) != 1 || res.Repeated {
			t.Fatalf("answered %+v", res)
		}
	})
}

// A refusal records nothing: the same command may succeed later.
func TestARefusedCommandIsDecidedAnew(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.ordered()
		refund := s.ofOrder(50, order.GiveBack{At: time.Now(), Refund: id(7), Amount: 100})
		if _, err := refund(s.kicau); err == nil {
			t.Fatal("nothing was captured, and yet it is given back")
		}
		s.does(s.ofOrder(51, order.Ship{At: time.Now()}))
		first := s.does(refund)
		s.answersAlike(first, refund)
	})
}

// Fifty at once, in one process and in two: one write, and fifty equal answers.
func TestTheSameCommandFiftyTimesAtOnce(t *testing.T) {
	for _, processes := range []int{1, 2} {
		t.Run(fmt.Sprintf("in %d processes", processes), func(t *testing.T) {
			play(t, func(t *testing.T, s *scene) {
				s.ordered()
				kicau := []*command.Commands{s.kicau, s.process()}
				before := len(s.events(offer.Stream(mugs)))
				answers := make([]command.Result, 50)
				var wg sync.WaitGroup
				for i := range answers {
					wg.Go(func() {
						var err error
						if answers[i], err = s.ofOffer(50, offer.Restock{At: time.Now(), Restock: id(8), Add: 5})(kicau[i%processes]); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				if written := len(s.events(offer.Stream(mugs))) - before; written != 1 {
					t.Fatalf("%d events were written", written)
				}
				fresh := 0
				for _, a := range answers {
					if !a.Repeated {
						fresh++
					}
					if s.told(a) != s.told(answers[0]) {
						t.Fatalf("one answer is %s, another %s", s.told(answers[0]), s.told(a))
					}
				}
				if fresh < 1 || fresh > processes { // an append sent by both at once is both's
					t.Errorf("%d were told that they were the first", fresh)
				}
			})
		})
	}
}

// The same while the first is being recorded, and then with other content: who
// comes second waits in line and shares the fate of the first.
func TestTheSecondWaitsForTheFirst(t *testing.T) {
	for name, c := range map[string]struct {
		fault fault
		fails error
	}{
		"recorded":          {fine, nil},
		"lost but recorded": {lostAfter, nil},
		"refused":           {failing(command.ErrReadOnly), command.ErrReadOnly},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, s *scene) {
				s.ordered()
				_, goOn := s.queue(1, c.fault)
				var results [3]command.Result
				ask := func(i int, does given) func() error {
					return s.ask(func() (err error) { results[i], err = does(s.kicau); return err })
				}
				first := ask(0, s.ofOffer(50, offer.Reprice{At: time.Now(), Price: 900}))
				again := ask(1, s.ofOffer(50, offer.Reprice{At: time.Now(), Price: 900}))
				other := ask(2, s.ofOffer(50, offer.Reprice{At: time.Now(), Price: 901}))
				goOn()
				if c.fails != nil {
					s.wants(first(), c.fails)
					s.wants(again(), c.fails)
					s.wants(other(), c.fails)
					return
				}
				s.ok(first())
				s.ok(again())
				s.wants(other(), command.ErrCommandReused)
				if !results[1].Repeated || s.told(results[1]) != s.told(results[0]) {
					t.Errorf("answered %+v, then %+v", results[0], results[1])
				}
			})
		})
	}
}

// The process dies, or its log does, between the append and the answer: nobody
// knows what became of the command, and who gives it again finds out.
func TestTheOutcomeIsFoundByGivingTheCommandAgain(t *testing.T) {
	for name, c := range map[string]struct {
		fault    fault
		recorded bool
	}{
		"failed":          {lostBefore, false},
		"failed but done": {lostAfter, true},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, s *scene) {
				s.ordered()
				ship := s.ofOrder(50, order.Ship{At: time.Now(), Carrier: "post"})
				s.wire.rest = c.fault
				_, err := ship(s.kicau)
				s.wants(err, command.ErrUnknownOutcome)
				s.wire.rest = nil
				again, err := ship(s.process())
				s.ok(err)
				if again.Repeated != c.recorded || len(again.Events) == 0 {
					t.Errorf("answered %+v", again)
				}
				s.answersAlike(again, ship)
			})
		})
	}
}

// A purchase goes to several streams. Given again it is answered whole, and the
// stock is held once.
func TestAPurchaseGivenAgain(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.open(10)
		buy := func(kicau *command.Commands) (command.Result, error) {
			return kicau.Place(s.Context(), by(1), asks())
		}
		s.wire.meet(fine, fine, lostAfter) // mugs, tea, and the order
		first := s.does(buy)
		time.Sleep(time.Hour)
		s.answersAlike(first, buy)
		s.does(s.ofOrder(60, order.Cancel{At: time.Now()}))
		s.ok(s.kicau.SettleStock(s.Context(), by(61), bought))
		s.answersAlike(first, buy)
		s.holds(bought, 0, 0)
	})
}

// What cannot be read is not answered with less.
func TestTheRecordedAnswerCannotBeRead(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.ordered()
		ship := s.ofOrder(50, order.Ship{At: time.Now()})
		s.does(ship)
		next := uint64(len(s.events(order.Stream(bought))))
		s.wire.reads = func(_ context.Context, _ string, from uint64) error {
			if from < next {
				return errCut
			}
			return nil
		}
		_, err := ship(s.kicau)
		s.wants(err, errCut)
	})
}

// Nothing of a hot offer's holds is remembered: they name their orders.
func TestHoldsAreNotRemembered(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.tweet(10)
		s.ok(hold(s.Context(), s.kicau, 1))
		var held event.Event
		for _, held = range s.events(offer.Stream(mugs)) {
		}
		if _, is := held.Body.(offer.StockHeld); !is || held.Digest != "" {
			t.Errorf("%s has the digest %q", held.Type, held.Digest)
		}
	})
}
