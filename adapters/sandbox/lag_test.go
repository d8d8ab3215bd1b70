package sandbox

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What a test card does after a capture, and a refund that waits, take as long as
// Options.Lag says, and NextDue tells when.
func TestLag(t *testing.T) {
	now := time.Date(2030, 1, 7, 9, 0, 0, 0, time.UTC)
	s := New(Options{SecretKey: "sk_test_lag", Seed: 1, Now: func() time.Time { return now }, Lag: func() time.Duration { return 48 * time.Hour },
		WebhookEvents: []string{"charge.dispute.*"}})
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	if _, due := s.NextDue(); due {
		t.Error("something is due before anything was done")
	}
	tx := s.begin(request{})
	m := tx.methodOf(cardsByToken["pm_card_createDispute"])
	tx.put(entry{Method: &m})
	c := charge{ID: "ch_1", Amount: 1000, Currency: "gbp", Intent: "pi_1", Method: m.ID, Status: chargeSucceeded, TransferGroup: "order"}
	pi := intent{ID: "pi_1", Amount: 1000, Currency: "gbp", Charge: c.ID, Method: m.ID, Status: requiresCapture, Capturable: 1000}
	tx.put(entry{Charge: &c})
	tx.put(entry{Intent: &pi})
	tx.capture(pi, c, 1000)
	if at, due := s.NextDue(); !due || !at.Equal(now.Add(48*time.Hour)) {
		t.Errorf("the dispute is due at %s (%t), want in two days", at, due)
	}
	if f := s.FactsOf("order"); f.Disputed != 0 {
		t.Errorf("disputed at once: %+v", f)
	}
	now = now.Add(48 * time.Hour)
	s.Tick()
	if f := s.FactsOf("order"); f.Disputed != 1000 {
		t.Errorf("not disputed after two days: %+v", f)
	}
	told := s.Take()
	if len(told) != 2 {
		t.Fatalf("%d webhooks, want the two of the dispute", len(told))
	}
	for _, d := range told {
		if d.Type != "charge.dispute.created" && d.Type != "charge.dispute.funds_withdrawn" {
			t.Errorf("told of %s, which nobody asked for", d.Type)
		}
	}
}

// On the real clock what is due happens when it is due, though nobody asks: a
// refund fails, funds go to the bank at midnight and arrive, a dispute is lost.
func TestTimeGoesOnByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it begins at midnight
		s := New(Options{SecretKey: "sk_test_time", Seed: 1, Terms: &Terms{DailyPayouts: true}})
		if err := s.Open(); err != nil {
			t.Fatal(err)
		}
		s.keeper.start(s)
		defer s.keeper.close()
		begin := time.Now()
		ask := func(path string, form url.Values) (id string) {
			r, err := http.NewRequest(http.MethodPost, localURL+path, strings.NewReader(form.Encode()))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer sk_test_time")
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			res, err := s.Transport().RoundTrip(r)
			var v struct{ ID string }
			if err != nil || res.StatusCode != http.StatusOK || json.NewDecoder(res.Body).Decode(&v) != nil {
				t.Fatal(path, res, err)
			}
			return v.ID
		}
		pay := func(card string) string {
			return ask("/v1/payment_intents", url.Values{"amount": {"1000"}, "currency": {"gbp"}, "payment_method_types[]": {"card"}, "payment_method": {card}, "confirm": {"true"}})
		}
		ask("/v1/refunds", url.Values{"payment_intent": {pay("pm_card_refundFail")}, "amount": {"400"}})
		pay("pm_card_createDispute")
		pay("pm_card_bypassPending")
		s.Take()
		for _, c := range []struct {
			kind string
			at   time.Duration
		}{
			{"refund.failed", refundDelay}, {"payout.created", 24 * time.Hour}, {"payout.paid", 72 * time.Hour}, {"charge.dispute.closed", answerTime},
		} {
			time.Sleep(time.Until(begin.Add(c.at + 2*shortestSleep)))
			synctest.Wait()
			told := s.Take()
			i := slices.IndexFunc(told, func(d Delivery) bool { return d.Type == c.kind })
			if i < 0 {
				t.Fatalf("no %s after %s", c.kind, c.at)
			}
			var ev struct{ Created int64 }
			if err := json.Unmarshal(told[i].Body, &ev); err != nil || ev.Created != begin.Add(c.at).Unix() {
				t.Errorf("%s after %s, want after %s: %v", c.kind, time.Unix(ev.Created, 0).Sub(begin), c.at, err)
			}
		}
	})
}

// A virtual clock stands still until it is moved, whatever is due.
func TestAVirtualClockIsLeftAlone(t *testing.T) {
	for _, clock := range []*Clock{nil, NewClock(time.Now())} {
		s := New(Options{SecretKey: "sk_test_time", Clock: clock, Logger: slog.New(slog.DiscardHandler)})
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		if runs := s.keeper.stop != nil; runs != (clock == nil) {
			t.Errorf("virtual %t: time goes on by itself: %t", clock != nil, runs)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
