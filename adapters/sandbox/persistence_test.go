package sandbox_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"

	"kicau/adapters/sandbox"
)

func TestRestartKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	w := start(t, sandbox.Options{Dir: dir})
	account := w.box.AccountID()
	seller := w.seller().ID
	held := w.authorised(2000, "pm_card_visa")
	pi, err := w.PaymentIntents.New(keyed(2500, "k"))
	w.must(err)
	partly, err := w.PaymentIntents.Capture(w.authorised(9000, "pm_card_bypassPending").ID, &stripe.PaymentIntentCaptureParams{AmountToCapture: stripe.Int64(5000)})
	w.must(err)
	_, err = w.Refunds.New(&stripe.RefundParams{PaymentIntent: stripe.String(partly.ID), Amount: stripe.Int64(100)})
	w.must(err)
	_, err = w.Transfers.New(&stripe.TransferParams{Amount: stripe.Int64(4000), Currency: stripe.String("usd"), Destination: stripe.String(seller)})
	w.must(err)
	m := w.typed("4000002760003184")

	seen := func(w *world) string {
		var b strings.Builder
		for _, path := range []string{
			"/v1/payment_intents", "/v1/charges", "/v1/refunds", "/v1/transfers", "/v1/balance_transactions",
			"/v1/accounts", "/v1/events", "/v1/balance", "/v1/payment_methods/" + m.ID,
		} {
			_, v := w.raw("GET", path, nil)
			shown, err := json.Marshal(v)
			w.must(err)
			b.Write(shown)
		}
		return b.String()
	}
	before := seen(w)
	w.must(w.box.Close())
	clock := w.clock

	w = start(t, sandbox.Options{Dir: dir, Now: clock.now})
	if after := seen(w); after != before {
		t.Errorf("after the restart:\n%s\nbefore:\n%s", after, before)
	}
	if w.box.AccountID() != account {
		t.Error("another account")
	}
	again, err := w.PaymentIntents.New(keyed(2500, "k"))
	w.must(err)
	if again.ID != pi.ID || !replayed(again.LastResponse) || string(again.LastResponse.RawJSON) != string(pi.LastResponse.RawJSON) {
		t.Error("the key was forgotten")
	}
	_, err = w.PaymentIntents.New(keyed(2600, "k"))
	w.expect(err, 400, "", "Keys for idempotent requests")
	w.books()

	// The hold goes on running.
	clock.add(7 * 24 * time.Hour)
	if got := w.status(held.ID); got != stripe.PaymentIntentStatusCanceled {
		t.Errorf("the old hold: %s", got)
	}
}

func TestOneProcessADirectory(t *testing.T) {
	dir := t.TempDir()
	w := start(t, sandbox.Options{Dir: dir})
	second := sandbox.New(sandbox.Options{Dir: dir, SecretKey: secretKey})
	if err := second.Start(); err == nil || !strings.Contains(err.Error(), "in use by another sandbox") {
		t.Fatal("a second sandbox started:", err)
	}
	w.must(second.Close())
	w.must(w.box.Close())
	launch(t, sandbox.Options{Dir: dir})
}

// A crash leaves the journal's last line cut short, anywhere: the sandbox starts
// with all that was before it, and goes on.
func TestTornJournal(t *testing.T) {
	dir := t.TempDir()
	w := start(t, sandbox.Options{Dir: dir})
	kept := w.authorised(2000, "pm_card_visa")
	w.must(w.box.Close())
	path := filepath.Join(dir, "sandbox.journal")
	whole, err := os.ReadFile(path)
	w.must(err)
	last := bytes.LastIndexByte(whole[:len(whole)-1], '\n') + 1

	for _, cut := range []int{last + 1, last + 5, last + 9, (last + len(whole)) / 2, len(whole) - 1} {
		w.must(os.WriteFile(path, whole[:cut], 0o600))
		w := start(t, sandbox.Options{Dir: dir})
		if _, err := w.PaymentIntents.Get(kept.ID, nil); err == nil {
			t.Fatalf("cut at %d of %d: the line was not lost", cut, len(whole))
		}
		pi := w.authorised(3000, "pm_card_visa")
		w.must(w.box.Close())
		w = start(t, sandbox.Options{Dir: dir})
		if got := w.status(pi.ID); got != stripe.PaymentIntentStatusRequiresCapture {
			t.Errorf("cut at %d: what came after it is %s", cut, got)
		}
		w.must(w.box.Close())
	}

	// Whole again, but with a byte of an earlier line changed: that is damage.
	damaged := bytes.Clone(whole)
	damaged[20] ^= 1
	w.must(os.WriteFile(path, damaged, 0o600))
	s := sandbox.New(sandbox.Options{Dir: dir, SecretKey: secretKey})
	if err := s.Start(); err == nil || !strings.Contains(err.Error(), "line 1 is damaged") {
		t.Error("a damaged journal was read:", err)
	}
	if left, _ := os.ReadFile(path); !bytes.Equal(left, damaged) {
		t.Error("a refused journal was changed")
	}
}

func TestNoCardDataIsKept(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	w := start(t, sandbox.Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	const number, cvc = "5555555555554444", "847"
	_, err := w.PaymentMethods.New(&stripe.PaymentMethodParams{Type: stripe.String("card"), Card: &stripe.PaymentMethodCardParams{
		Number: stripe.String(number), ExpMonth: stripe.Int64(12), ExpYear: stripe.Int64(34), CVC: stripe.String(cvc),
	}})
	w.must(err)
	_, at := w.toPay()
	w.post(at, map[string][]string{"number": {number}, "expiry": {"12/34"}, "cvc": {cvc}})
	w.must(w.box.Close())
	journal, err := os.ReadFile(filepath.Join(dir, "sandbox.journal"))
	w.must(err)
	for _, where := range [][]byte{journal, log.Bytes()} {
		if bytes.Contains(where, []byte(number)) || bytes.Contains(where, []byte(`"`+cvc+`"`)) {
			t.Error("card data was kept")
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "sandbox.journal")); err != nil || info.Mode().Perm() != 0o600 {
		t.Error("who can read the journal?", info.Mode(), err)
	}
}

// Many shoppers at once; then everything is there after a restart.
func TestManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	w := start(t, sandbox.Options{Dir: dir})
	const shoppers, each = 16, 8
	var wait sync.WaitGroup
	ids := make([][]string, shoppers)
	for i := range shoppers {
		wait.Go(func() {
			for range each {
				p := order(2000)
				p.Confirm, p.PaymentMethod = stripe.Bool(true), stripe.String("pm_card_visa")
				pi, err := w.PaymentIntents.New(p)
				if err == nil {
					pi, err = w.PaymentIntents.Capture(pi.ID, &stripe.PaymentIntentCaptureParams{AmountToCapture: stripe.Int64(1500)})
				}
				if err == nil {
					_, err = w.Refunds.New(&stripe.RefundParams{PaymentIntent: stripe.String(pi.ID), Amount: stripe.Int64(500)})
				}
				if err != nil {
					t.Error(err)
					return
				}
				ids[i] = append(ids[i], pi.ID)
			}
		})
	}
	wait.Wait()
	want := int64(shoppers * each * (1000 - 74)) // the fee of 1500
	if available, pending := w.books(); available+pending != want {
		t.Errorf("balance %d, want %d", available+pending, want)
	}
	w.must(w.box.Close())
	w = start(t, sandbox.Options{Dir: dir, Now: w.clock.now})
	for _, mine := range ids {
		for _, id := range mine {
			if got := w.status(id); got != stripe.PaymentIntentStatusSucceeded {
				t.Errorf("%s is %s", id, got)
			}
		}
	}
	if available, pending := w.books(); available+pending != want {
		t.Errorf("after the restart: balance %d, want %d", available+pending, want)
	}
}

func TestStartRefuses(t *testing.T) {
	for message, o := range map[string]sandbox.Options{
		"sk_test_": {SecretKey: "sk_live_x"},
		"loopback": {SecretKey: secretKey, Listen: "0.0.0.0:0"},
		"port":     {SecretKey: secretKey, Listen: "127.0.0.1"},
	} {
		s := sandbox.New(o)
		if err := s.Start(); err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestSeedRepeatsIDs(t *testing.T) {
	run := func() (string, string, string) {
		dir := t.TempDir()
		w := start(t, sandbox.Options{Seed: 7, Dir: dir})
		first := w.authorised(2000, "pm_card_visa")
		account := w.box.AccountID()
		w.must(w.box.Close())
		w = start(t, sandbox.Options{Seed: 7, Dir: dir})
		return account, first.ID, w.authorised(2000, "pm_card_visa").ID
	}
	a1, b1, c1 := run()
	a2, b2, c2 := run()
	if a1 != a2 || b1 != b2 || c1 != c2 {
		t.Error("the same seed gave other ids", a1, a2, b1, b2, c1, c2)
	}
	if b1 == c1 {
		t.Error("a restart repeated an id")
	}
}
