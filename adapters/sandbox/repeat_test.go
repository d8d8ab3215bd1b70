package sandbox_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"kicau/adapters/sandbox"
)

// In one process, with a seed and a clock of its own, the same requests give the
// same bytes: answers, faults and webhooks.
func TestSeededRunsAreTheSame(t *testing.T) {
	first := seededRun(t, 7)
	for range 3 {
		if again := seededRun(t, 7); again != first {
			t.Fatal("the same seed gave another run:\n" + firstDifference(first, again))
		}
	}
	if seededRun(t, 8) == first {
		t.Error("another seed gave the same run")
	}
	for _, happened := range []string{"500 ", "connection reset", "charge.dispute.closed", "payout.failed", "charge.expired", "balance.available"} {
		if !strings.Contains(first, happened) {
			t.Errorf("%q did not happen: this run shows little", happened)
		}
	}
}

func firstDifference(a, b string) string {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range as {
		if i >= len(bs) || as[i] != bs[i] {
			return fmt.Sprintf("line %d\n%s\n%s", i, as[i], strings.Join(bs[i:min(i+1, len(bs))], ""))
		}
	}
	return "one is longer"
}

// seededRun tells everything that a run shows.
func seededRun(t *testing.T, seed uint64) string {
	t.Helper()
	now := newYear
	rates, err := sandbox.ParseFaultRates([]string{"500-after=5%", "429=5%", "cut-after=5%"})
	if err != nil {
		t.Fatal(err)
	}
	s := sandbox.New(sandbox.Options{SecretKey: secretKey, WebhookSecret: hookSecret, Seed: seed, Now: func() time.Time { return now }, Faults: rates.Seeded(seed),
		Terms: &sandbox.Terms{FeeBasisPoints: 290, FeeFixed: 30, AvailableDays: 2, HoldRefunds: true}})
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	var told strings.Builder
	client := &http.Client{Transport: s.Transport()}
	ask := func(path string, form url.Values) string {
		req, err := http.NewRequest("POST", s.URL()+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+secretKey)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := client.Do(req)
		if err != nil {
			fmt.Fprintln(&told, path, err)
			return ""
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&told, "%s %d %s %s\n", path, resp.StatusCode, resp.Header.Get("Request-Id"), body)
		_, id, _ := strings.Cut(string(body), `"id":"`)
		id, _, _ = strings.Cut(id, `"`)
		return id
	}
	hear := func() {
		for _, d := range s.Take() {
			fmt.Fprintf(&told, "%s %s %s %s\n", d.Event, d.Type, s.Sign(d), d.Body)
		}
	}
	seller := ask("/v1/accounts", url.Values{"type": {"express"}, "capabilities[transfers][requested]": {"true"}, "settings[payouts][schedule][interval]": {"daily"}})
	ask("/v1/accounts/"+seller+"/external_accounts", url.Values{"bank_account[object]": {"bank_account"}, "bank_account[country]": {"US"}, "bank_account[account_number]": {"000111111116"}})
	for i, card := range []string{"pm_card_visa", "pm_card_createDispute", "pm_card_createMultipleDisputes", "pm_card_refundFail", "pm_card_pendingRefund", "pm_card_bypassPending", "pm_card_visa_chargeDeclined", "pm_card_createIssuerFraudRecord"} {
		for range 4 {
			pi := ask("/v1/payment_intents", url.Values{"amount": {itoa(int64(1000 * (i + 1)))}, "currency": {"usd"}, "capture_method": {"manual"}, "payment_method_types[]": {"card"}, "payment_method": {card}, "confirm": {"true"}, "metadata[a]": {"1"}, "metadata[b]": {"2"}})
			if card == "pm_card_visa" {
				continue // it runs out
			}
			ask("/v1/payment_intents/"+pi+"/capture", url.Values{"amount_to_capture": {itoa(int64(900 * (i + 1)))}})
			ask("/v1/refunds", url.Values{"payment_intent": {pi}, "amount": {"100"}})
			ask("/v1/transfers", url.Values{"amount": {"200"}, "currency": {"usd"}, "destination": {seller}})
			now = now.Add(17 * time.Minute)
		}
		hear()
	}
	for range 15 {
		now = now.Add(31 * time.Hour)
		s.Tick()
		ask("/v1/transfers", url.Values{"amount": {"200"}, "currency": {"usd"}, "destination": {seller}})
		hear()
	}
	for range 9 { // some break
		req, err := http.NewRequest("GET", s.URL()+"/v1/events?limit=100", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+secretKey)
		req.Header.Set("Stripe-Account", seller)
		if resp, err := client.Do(req); err == nil {
			body, err := io.ReadAll(resp.Body)
			fmt.Fprintf(&told, "%s %v\n", body, err)
		}
	}
	if err := s.Verify(); err != nil {
		t.Error(err)
	}
	if err := s.CheckSnapshot(); err != nil {
		t.Error(err)
	}
	return told.String()
}
