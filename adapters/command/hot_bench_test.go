package command_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"time"

	"kicau/adapters/command"
	"kicau/adapters/node"
	"kicau/domain"
	"kicau/domain/event"
	"kicau/domain/offer"
)

// A hot offer: so many commands to one stream, 256 in flight, each one recorded.
// Holds are never remembered by the ids of their commands. What it costs to
// remember is the difference between the restocks.
func BenchmarkHotOffer(b *testing.B) {
	b.Run("holds", func(b *testing.B) {
		hot(b, func(kicau *command.Commands, n int) error {
			_, err := kicau.Offer(context.Background(), command.By{Command: wide(n), Actor: "buyer", At: time.Now()}, mugs, offer.HoldStock{At: time.Now(), Order: wide(n), Buyer: wide(n), Quantity: 1, ExpiresAt: time.Now().Add(time.Hour)})
			return err
		})
	})
	for name, recurring := range map[string]bool{"restocks, decided anew": true, "restocks, remembered": false} {
		b.Run(name, func(b *testing.B) {
			hot(b, func(kicau *command.Commands, n int) error {
				by := command.By{Command: wide(n), Actor: "shop", At: time.Now(), Recurring: recurring}
				_, err := kicau.Offer(context.Background(), by, mugs, offer.Restock{At: time.Now(), Restock: wide(n), Add: 1})
				return err
			})
		})
	}
}

func wide(n int) (id [16]byte) { return event.NameID("hot", fmt.Sprint(n)) }

func hot(b *testing.B, do func(kicau *command.Commands, n int) error) {
	n, err := node.Open(node.Options{Dir: b.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer n.Close()
	kicau := command.New(n.Log(), domain.Events)
	stock := int64(500_000_000)
	_, err = kicau.Offer(context.Background(), by(0), mugs, offer.Tweet{At: time.Now(), ShopCurrency: "GBP",
		Terms: offer.Tweeted{Shop: potter, Tweet: "t", Title: "Mug", Currency: "GBP", Price: 1000, Stock: &stock}})
	if err != nil {
		b.Fatal(err)
	}
	before := heap()
	b.ReportAllocs()
	b.ResetTimer()
	next := make(chan int)
	var wg sync.WaitGroup
	for range command.MaxTogether {
		wg.Go(func() {
			for n := range next {
				if err := do(kicau, n); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for n := range b.N {
		next <- n + 1
	}
	close(next)
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commands/s")
	b.ReportMetric(float64(heap()-before)/float64(b.N), "kept-B/command")
	runtime.KeepAlive(kicau)
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
