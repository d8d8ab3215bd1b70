package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/adapters/messaging"
	"kicau/adapters/node"
	"kicau/adapters/react"
	"kicau/adapters/sandbox"
	"kicau/adapters/stripe"
	"kicau/domain"
	"kicau/domain/event"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/payment"
	"kicau/domain/shop"
)

// inFlight orders are bought at a time.
const inFlight = 64

// BenchmarkSaga buys as a shop's customers do: an order is placed, the saga
// hears of it through its persistent subscription and has it authorised, the shop
// ships, the saga captures. Everything is synced to disk; the processor answers
// at once, in process.
func BenchmarkSaga(b *testing.B) { benchSaga(b, atOnce{}) }

// BenchmarkSagaHTTP is the same with the production client and the sandbox, over
// HTTP, which keeps its journal on disk, too.
func BenchmarkSagaHTTP(b *testing.B) {
	s := sandbox.New(sandbox.Options{SecretKey: sandboxKey, Dir: filepath.Join(b.TempDir(), "sandbox"), Logger: slog.New(slog.DiscardHandler)})
	if err := s.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	client, err := stripe.New(stripe.Options{SecretKey: sandboxKey, BaseURL: s.URL()})
	if err != nil {
		b.Fatal(err)
	}
	benchSaga(b, client)
}

func benchSaga(b *testing.B, p command.Payments) {
	collectLess() // as the program does
	m := newMarket(b, p)
	b.ResetTimer()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(inFlight, b.N) {
		wg.Go(func() {
			for next.Add(1) <= int64(b.N) {
				if err := m.buy(b.Context()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
	// Of the time from placed to captured, over all orders.
	whole := float64(m.whole.Load())
	processor, log := float64(m.timed.spent.Load())/whole, float64(m.log.spent.Load())/whole
	b.ReportMetric(100*processor, "%processor")
	b.ReportMetric(100*log, "%log")
	b.ReportMetric(100*(1-processor-log), "%rest")
	b.ReportMetric(float64(m.log.appends.Load())/float64(b.N), "appends/order")
}

// market is a shop, a log, and a saga that looks after its orders.
type market struct {
	commands *command.Commands
	timed    *timed
	log      *counted
	whole    atomic.Int64 // nanoseconds of all orders
	mu       sync.Mutex
	waiting  map[string]chan string // by stream: what has become of the order
}

func newMarket(b *testing.B, p command.Payments) *market {
	quiet := slog.New(slog.DiscardHandler)
	n, err := node.Open(node.Options{Dir: filepath.Join(b.TempDir(), "events"), Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	log := &counted{Log: n.Log()}
	m := &market{commands: command.New(log, domain.Events), timed: &timed{Payments: p}, log: log, waiting: map[string]chan string{}}
	saga := react.New(react.Options{Commands: m.commands, Payments: m.timed, Now: now, NewID: uuid.New, Logger: quiet})
	account, err := p.Account(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	logger := watermill.NewSlogLogger(quiet)
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 10 * time.Second}, logger)
	if err != nil {
		b.Fatal(err)
	}
	sub, err := messaging.NewGroupSubscriber(n.Groups(), messaging.GroupConfig{Name: react.Group(account), InFlight: react.AtOnce, MessageTimeout: react.StepTimeout, Permanent: react.ForGood, Logger: logger})
	if err != nil {
		b.Fatal(err)
	}
	router.AddConsumerHandler("saga", sagaTopic, sub, saga.Handler(messaging.EventOf))
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { router.Run(ctx) })
	running.Go(func() { m.listen(ctx, log) })
	<-router.Running()
	b.Cleanup(func() {
		router.Close()
		stop()
		running.Wait()
		n.Close()
	})
	m.open(b)
	return m
}

var (
	benchShop  = uuid.MustParse("5a3c0001-0000-4000-8000-000000000001")
	benchOffer = uuid.MustParse("0ffe0001-0000-4000-8000-000000000001")
)

func (m *market) open(b *testing.B) {
	terms := shop.Onboarded{Name: "Shop", Currency: "GBP", HoldHours: 72, Fees: shop.Fees{BasisPoints: 500}}
	_, err := m.commands.Shop(b.Context(), by("shop"), benchShop, shop.Onboard{At: now(), Terms: terms})
	if err == nil {
		_, err = m.commands.Tweet(b.Context(), by("shop"), benchOffer, offer.Tweeted{Shop: benchShop, Title: "Mug", Tweet: "A mug", Currency: "GBP", Price: 1000})
	}
	if err != nil {
		b.Fatal(err)
	}
}

// buy one order, from placed to captured.
func (m *market) buy(ctx context.Context) error {
	start := time.Now()
	defer func() { m.whole.Add(int64(time.Since(start))) }()
	id := uuid.New()
	heard := make(chan string, 8)
	m.mu.Lock()
	m.waiting[order.Stream(id)] = heard
	m.mu.Unlock()
	_, err := m.commands.Place(ctx, by("buyer"), command.Place{Order: id, Buyer: uuid.New(), Processor: order.Stripe, PaymentMethod: "pm_card_visa",
		Lines: []command.Line{{Offer: benchOffer, Quantity: 1}}})
	if err != nil {
		return err
	}
	if err := await1(heard, order.Authorised{}.EventType()); err != nil {
		return err
	}
	if _, err := m.commands.Order(ctx, by("shop"), id, order.Ship{At: now()}); err != nil {
		return err
	}
	err = await1(heard, order.Captured{}.EventType())
	m.mu.Lock()
	delete(m.waiting, order.Stream(id))
	m.mu.Unlock()
	return err
}

// await1 waits for one thing to become of an order.
func await1(heard chan string, typ string) error {
	select {
	case got := <-heard:
		if got != typ {
			return fmt.Errorf("%s happened, want %s", got, typ)
		}
		return nil
	case <-time.After(30 * time.Second):
		return errors.New(typ + " did not happen within 30 s")
	}
}

func (m *market) listen(ctx context.Context, log command.Log) {
	types := command.Filter{Types: []string{order.Authorised{}.EventType(), order.Captured{}.EventType(), order.Declined{}.EventType(), order.CaptureFailed{}.EventType()}}
	for page, err := range log.Subscribe(ctx, event.Position{}, types) {
		if err != nil {
			return
		}
		m.mu.Lock()
		for _, rec := range page.Events {
			if c := m.waiting[rec.Stream]; c != nil && strings.HasPrefix(rec.Stream, "order-") {
				c <- rec.Type
			}
		}
		m.mu.Unlock()
	}
}

// counted counts appends and the time that they are waited for.
type counted struct {
	command.Log
	appends, spent atomic.Int64
}

func (c *counted) Append(ctx context.Context, stream string, expect command.Expect, events []event.Proposed) (command.Appended, error) {
	c.appends.Add(1)
	start := time.Now()
	defer func() { c.spent.Add(int64(time.Since(start))) }()
	return c.Log.Append(ctx, stream, expect, events)
}

// timed measures how long the processor takes, over all calls.
type timed struct {
	command.Payments
	spent atomic.Int64
}

func (t *timed) Perform(ctx context.Context, e payment.Effect) payment.Outcome {
	start := time.Now()
	defer func() { t.spent.Add(int64(time.Since(start))) }()
	return t.Payments.Perform(ctx, e)
}

// atOnce is a processor that says yes in process.
type atOnce struct{ command.Payments }

func (atOnce) Account(context.Context) (string, error) { return "acct_bench", nil }

func (atOnce) Perform(_ context.Context, e payment.Effect) payment.Outcome {
	switch e.Step {
	case order.Authorise:
		ends := e.RequestedAt.AddDate(0, 0, 7)
		return payment.Authorised{Intent: "pi_" + e.Order.String(), Charge: "ch_" + e.Order.String(), Amount: e.Amount, ExpiresAt: &ends}
	case order.Capture:
		return payment.Captured{Charge: "ch_" + e.Order.String(), Transaction: "txn_" + e.Order.String(), Amount: e.Amount, ProcessorFee: 30}
	}
	return payment.Unknown{Reason: "the benchmark asks for nothing else"}
}
