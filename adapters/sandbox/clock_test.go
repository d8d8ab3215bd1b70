package sandbox_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"

	"kicau/adapters/sandbox"
)

var newYear = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// virtual is a world whose clock the API moves.
func virtual(t *testing.T, o sandbox.Options) *world {
	t.Helper()
	o.Clock = sandbox.NewClock(newYear)
	return start(t, o)
}

func (w *world) advance(d time.Duration) map[string]any {
	w.Helper()
	resp, v := w.raw("POST", "/v1/test_helpers/clock/advance", url.Values{"seconds": {itoa(int64(d / time.Second))}})
	if resp.StatusCode != 200 {
		w.Fatal(v)
	}
	return v
}

// Each thing happens in its own time, in the order of time, however far the
// clock is moved at once.
func TestTheClockPassesThroughWhatIsDue(t *testing.T) {
	w := virtual(t, sandbox.Options{})
	held := w.authorised(2000, "pm_card_visa")
	refunded := w.paid(1000, "pm_card_refundFail")
	_, err := w.Refunds.New(&stripe.RefundParams{PaymentIntent: stripe.String(refunded.ID)})
	w.must(err)
	disputed := w.paid(3000, "pm_card_createDispute")
	w.advance(30 * 24 * time.Hour)

	at := map[string]int64{}
	var order []string
	it := w.Events.List(&stripe.EventListParams{ListParams: stripe.ListParams{Limit: stripe.Int64(100)}})
	for it.Next() {
		e := it.Event()
		at[string(e.Type)] = e.Created
		order = append(order, string(e.Type))
	}
	w.must(it.Err())
	for kind, want := range map[string]time.Time{
		"refund.failed": newYear.Add(30 * time.Second), "balance.available": time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC),
		"charge.expired": newYear.Add(7 * 24 * time.Hour), "charge.dispute.closed": newYear.Add(9 * 24 * time.Hour),
	} {
		if at[kind] != want.Unix() {
			t.Errorf("%s at %s, want %s", kind, time.Unix(at[kind], 0).UTC(), want)
		}
	}
	if slices.Index(order, "charge.dispute.closed") > slices.Index(order, "charge.expired") { // newest first
		t.Error("the order of events:", order)
	}
	if w.status(held.ID) != stripe.PaymentIntentStatusCanceled {
		t.Error("the hold did not run out")
	}
	d := w.Disputes.List(&stripe.DisputeListParams{PaymentIntent: stripe.String(disputed.ID)})
	if !d.Next() || d.Dispute().Status != stripe.DisputeStatusLost {
		t.Errorf("nobody answered the dispute: %+v", d.Dispute())
	}
	w.books()
}

func TestTheClockIsTold(t *testing.T) {
	w := virtual(t, sandbox.Options{Faults: func(string, string, string) sandbox.Fault { return sandbox.RateLimited }})
	_, v := w.raw("GET", "/v1/test_helpers/clock", nil) // never faulty
	if v["now"] != float64(newYear.Unix()) || v["virtual"] != true || v["next_due"] != nil {
		t.Error(v)
	}
	if v := w.advance(time.Hour); v["now"] != float64(newYear.Add(time.Hour).Unix()) {
		t.Error(v)
	}
	for form, message := range map[string]string{
		"": "seconds or to", "seconds=1&to=9999999999": "seconds or to", "seconds=0": "greater than or equal to 1",
		"to=" + itoa(newYear.Unix()): "does not go back", "seconds=999999999": "at most", "seconds=9223372036854775807": "at most",
	} {
		q, err := url.ParseQuery(form)
		w.must(err)
		if resp, v := w.raw("POST", "/v1/test_helpers/clock/advance", q); resp.StatusCode != 400 || !strings.Contains(messageOf(v), message) {
			t.Errorf("%s: %v", form, v)
		}
	}
	w = start(t, sandbox.Options{})
	if resp, v := w.raw("POST", "/v1/test_helpers/clock/advance", url.Values{"seconds": {"1"}}); resp.StatusCode != 400 || !strings.Contains(messageOf(v), "real clock") {
		t.Error(v)
	}
}

// A directory goes on from where its clock was, and does not go back.
func TestTheClockIsKept(t *testing.T) {
	dir := t.TempDir()
	w := virtual(t, sandbox.Options{Dir: dir})
	w.authorised(2000, "pm_card_visa")
	w.advance(48 * time.Hour)
	w.must(w.box.Close())
	w = virtual(t, sandbox.Options{Dir: dir})
	if got := w.box.Now(); !got.Equal(newYear.Add(48 * time.Hour)) {
		t.Error("it stands at", got)
	}
	w.must(w.box.Close())
	s := sandbox.New(sandbox.Options{Dir: dir, SecretKey: secretKey, Now: func() time.Time { return newYear }})
	if err := s.Start(); err == nil || !strings.Contains(err.Error(), "still to come") {
		t.Error("a clock that is behind:", err)
	}
}

func TestTerms(t *testing.T) {
	w := virtual(t, sandbox.Options{Terms: &sandbox.Terms{FeeBasisPoints: 150, FeeFixed: 25}})
	w.paid(10_000, "pm_card_visa")
	if available, pending := w.books(); available != 10_000-175 || pending != 0 {
		t.Errorf("at once: %d + %d", available, pending)
	}
	w = virtual(t, sandbox.Options{Terms: &sandbox.Terms{FeeBasisPoints: 0, FeeFixed: 0, AvailableDays: 7}})
	w.paid(10_000, "pm_card_visa")
	w.advance(7*24*time.Hour - 12*time.Hour - time.Second)
	if available, pending := w.books(); available != 0 || pending != 10_000 {
		t.Errorf("a second before the eighth: %d + %d", available, pending)
	}
	w.advance(time.Second)
	if available, pending := w.books(); available != 10_000 || pending != 0 {
		t.Errorf("on the eighth: %d + %d", available, pending)
	}
}

// A refund that the balance does not cover waits until it does, the oldest first.
func TestRefundsWaitForFunds(t *testing.T) {
	w := virtual(t, sandbox.Options{Terms: &sandbox.Terms{FeeBasisPoints: 290, FeeFixed: 30, AvailableDays: 2, HoldRefunds: true}})
	first, second := w.paid(5000, "pm_card_bypassPending"), w.paid(1000, "pm_card_bypassPending")
	_, err := w.Payouts.New(&stripe.PayoutParams{Amount: stripe.Int64(5500), Currency: stripe.String("usd")})
	w.must(err)
	var ids []string
	for _, pi := range []*stripe.PaymentIntent{first, second} {
		re, err := w.Refunds.New(&stripe.RefundParams{PaymentIntent: stripe.String(pi.ID)})
		w.must(err)
		if re.Status != stripe.RefundStatusPending || re.BalanceTransaction != nil {
			t.Errorf("without funds: %+v", re)
		}
		ids = append(ids, re.ID)
	}
	status := func() (all []stripe.RefundStatus) {
		for _, id := range ids {
			re, err := w.Refunds.Get(id, nil)
			w.must(err)
			all = append(all, re.Status)
		}
		return all
	}
	w.paid(2000, "pm_card_bypassPending")
	if got := status(); got[0] != stripe.RefundStatusPending || got[1] != stripe.RefundStatusPending {
		t.Errorf("funds for the younger only: %v", got)
	}
	w.paid(3900, "pm_card_bypassPending")
	if got := status(); got[0] != stripe.RefundStatusSucceeded || got[1] != stripe.RefundStatusPending {
		t.Errorf("funds for the older: %v", got)
	}
	w.paid(4000, "pm_card_visa")
	w.advance(3 * 24 * time.Hour)
	if got := status(); got[1] != stripe.RefundStatusSucceeded {
		t.Errorf("when the last sale's funds came: %v", got)
	}
	w.books()
}
