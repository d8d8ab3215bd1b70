package sandbox_test

import (
	"io"
	"log/slog"
	"testing"

	"github.com/stripe/stripe-go/v76"

	"kicau/adapters/sandbox"
)

// BenchmarkAuthoriseCapture is a purchase as Kicau makes it: authorise, then
// capture, two calls of stripe-go over HTTP. On disk every answer waits for its
// fsync.
func BenchmarkAuthoriseCapture(b *testing.B) {
	for name, dir := range map[string]string{"memory": "", "disk": b.TempDir()} {
		b.Run(name, func(b *testing.B) {
			s := launch(b, sandbox.Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
			api := newClient(s.URL(), secretKey)
			b.SetParallelism(32)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					p := order(2000)
					p.Confirm, p.PaymentMethod = stripe.Bool(true), stripe.String("pm_card_visa")
					pi, err := api.PaymentIntents.New(p)
					if err == nil {
						_, err = api.PaymentIntents.Capture(pi.ID, nil)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "intents/s")
		})
	}
}
