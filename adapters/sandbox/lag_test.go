package sandbox

import (
	"testing"
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
