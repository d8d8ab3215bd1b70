package sandbox_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"

	"kicau/adapters/sandbox"
)

func keyed(amount int64, key string) *stripe.PaymentIntentParams {
	p := order(amount)
	p.SetIdempotencyKey(key)
	return p
}

func replayed(r *stripe.APIResponse) bool { return r.Header.Get("Idempotent-Replayed") == "true" }

func TestSameKeySameAnswer(t *testing.T) {
	w := start(t, sandbox.Options{})
	first, err := w.PaymentIntents.New(keyed(2000, "k1"))
	w.must(err)
	if replayed(first.LastResponse) {
		t.Error("the first answer says that it is a replay")
	}
	// What happened meanwhile does not show: it is the answer of then.
	_, err = w.PaymentIntents.Cancel(first.ID, nil)
	w.must(err)
	again, err := w.PaymentIntents.New(keyed(2000, "k1"))
	w.must(err)
	if !replayed(again.LastResponse) || string(again.LastResponse.RawJSON) != string(first.LastResponse.RawJSON) || again.LastResponse.Header.Get("Original-Request") != first.LastResponse.RequestID {
		t.Errorf("replay: %s %v", again.LastResponse.RawJSON, again.LastResponse.Header)
	}
	if n := len(w.page("/v1/payment_intents", nil).ids); n != 1 {
		t.Errorf("%d intents", n)
	}

	_, err = w.PaymentIntents.New(keyed(2001, "k1"))
	if e := w.expect(err, http.StatusBadRequest, "", "Keys for idempotent requests can only be used with the same parameters they were first used with. Try using a key other than 'k1'"); e.Type != stripe.ErrorTypeIdempotency {
		t.Errorf("type %s", e.Type)
	}
	p := &stripe.PaymentIntentCancelParams{}
	p.SetIdempotencyKey("k1")
	_, err = w.PaymentIntents.Cancel(first.ID, p)
	if e := w.expect(err, http.StatusBadRequest, "", "can only be used for the same endpoint they were first used for ('/v1/payment_intents/"+first.ID+"/cancel' vs '/v1/payment_intents')"); e.Type != stripe.ErrorTypeIdempotency {
		t.Errorf("type %s", e.Type)
	}
	// The refused requests have not touched what is saved.
	again, err = w.PaymentIntents.New(keyed(2000, "k1"))
	w.must(err)
	if again.ID != first.ID {
		t.Error("another intent")
	}
}

func TestOrderOfParametersDoesNotMatter(t *testing.T) {
	w := start(t, sandbox.Options{})
	post := func(body string) string {
		req, err := http.NewRequest("POST", w.box.URL()+"/v1/accounts", strings.NewReader(body))
		w.must(err)
		req.SetBasicAuth(secretKey, "")
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Idempotency-Key", "k")
		resp, err := http.DefaultClient.Do(req)
		w.must(err)
		resp.Body.Close()
		return resp.Status + resp.Header.Get("Idempotent-Replayed")
	}
	if a, b := post("type=custom&country=US"), post("country=US&type=custom"); a != "200 OK" || b != "200 OKtrue" {
		t.Error(a, b)
	}
}

// Outcomes and refusals of an execution are saved; what was refused before is not.
func TestWhatIsSaved(t *testing.T) {
	w := start(t, sandbox.Options{})
	t.Run("a decline", func(t *testing.T) {
		w := &world{T: t, API: w.API, box: w.box, clock: w.clock}
		p := keyed(2000, "declined")
		p.Confirm, p.PaymentMethod = stripe.Bool(true), stripe.String("pm_card_visa_chargeDeclined")
		_, err := w.PaymentIntents.New(p)
		first := w.expect(err, 402, "card_declined", "")
		_, err = w.PaymentIntents.New(p)
		again := w.expect(err, 402, "card_declined", "")
		if !replayed(again.LastResponse) || again.ChargeID != first.ChargeID {
			t.Errorf("not a replay: %+v", again)
		}
	})
	t.Run("an unexpected state", func(t *testing.T) {
		w := &world{T: t, API: w.API, box: w.box, clock: w.clock}
		pi := w.inState(stripe.PaymentIntentStatusRequiresConfirmation)
		p := &stripe.PaymentIntentCaptureParams{}
		p.SetIdempotencyKey("state")
		_, err := w.PaymentIntents.Capture(pi.ID, p)
		w.expect(err, 400, "payment_intent_unexpected_state", "")
		_, err = w.PaymentIntents.Confirm(pi.ID, nil)
		w.must(err)
		_, err = w.PaymentIntents.Capture(pi.ID, p)
		if e := w.expect(err, 400, "payment_intent_unexpected_state", ""); !replayed(e.LastResponse) {
			t.Error("the refusal was not saved")
		}
	})
	t.Run("not a bad parameter", func(t *testing.T) {
		w := &world{T: t, API: w.API, box: w.box, clock: w.clock}
		_, err := w.PaymentIntents.New(keyed(1, "invalid"))
		w.expect(err, 400, "amount_too_small", "")
		pi, err := w.PaymentIntents.New(keyed(2000, "invalid"))
		w.must(err)
		if replayed(pi.LastResponse) {
			t.Error("a replay")
		}
	})
	t.Run("not a wrong API key", func(t *testing.T) {
		w := &world{T: t, API: w.API, box: w.box, clock: w.clock}
		_, err := newClient(w.box.URL(), "sk_test_wrong").PaymentIntents.New(keyed(2000, "401"))
		w.expect(err, 401, "", "")
		_, err = w.PaymentIntents.New(keyed(2500, "401"))
		w.must(err)
	})
	t.Run("not of a GET", func(t *testing.T) {
		w := &world{T: t, API: w.API, box: w.box, clock: w.clock}
		for range 2 {
			resp, _ := w.raw("GET", "/v1/balance", nil, "Idempotency-Key", "get")
			if resp.Header.Get("Idempotent-Replayed") != "" {
				t.Error("a replay")
			}
		}
	})
	t.Run("not too long a key", func(t *testing.T) {
		w := &world{T: t, API: w.API, box: w.box, clock: w.clock}
		form := url.Values{"type": {"custom"}}
		if resp, _ := w.raw("POST", "/v1/accounts", form, "Idempotency-Key", strings.Repeat("k", 255)); resp.StatusCode != 200 {
			t.Error(resp.Status)
		}
		if resp, v := w.raw("POST", "/v1/accounts", form, "Idempotency-Key", strings.Repeat("k", 256)); resp.StatusCode != 400 {
			t.Error(resp.Status, v)
		}
	})
}

// A key is its account's own: with another Stripe-Account it is another request,
// after a restart too.
func TestKeysOfAccounts(t *testing.T) {
	dir := t.TempDir()
	w := start(t, sandbox.Options{Dir: dir})
	w.paid(5000, "pm_card_bypassPending")
	platform, a, b := w.box.AccountID(), w.seller().ID, w.seller().ID
	for _, seller := range []string{a, b} {
		_, err := w.Transfers.New(&stripe.TransferParams{Amount: stripe.Int64(1000), Currency: stripe.String("usd"), Destination: stripe.String(seller)})
		w.must(err)
	}
	pay := func(account string) (id string, again bool) {
		t.Helper()
		p := &stripe.PayoutParams{Amount: stripe.Int64(500), Currency: stripe.String("usd")}
		p.SetIdempotencyKey("payday")
		if account != "" {
			as(account, &p.Params)
		}
		po, err := w.Payouts.New(p)
		w.must(err)
		return po.ID, replayed(po.LastResponse)
	}
	ids := map[string]string{}
	for _, account := range []string{"", a, b} {
		id, again := pay(account)
		if again {
			t.Errorf("%q is answered with a payout of another account", account)
		}
		ids[account] = id
	}
	ids[platform] = ids[""] // its own account, named
	clock := w.clock
	for range 2 {
		for account, id := range ids {
			if same, again := pay(account); same != id || !again {
				t.Errorf("%q: %s after %s, replayed %t", account, same, id, again)
			}
		}
		w.must(w.box.Close())
		w = start(t, sandbox.Options{Dir: dir, Now: clock.now})
	}
	clock.add(24 * time.Hour)
	if id, again := pay(a); id == ids[a] || again {
		t.Error("after 24 hours it is a new request")
	}
}

func TestKeysLive24Hours(t *testing.T) {
	w := start(t, sandbox.Options{})
	first, err := w.PaymentIntents.New(keyed(2000, "k"))
	w.must(err)
	w.clock.add(24*time.Hour - time.Second)
	again, err := w.PaymentIntents.New(keyed(2000, "k"))
	w.must(err)
	if again.ID != first.ID {
		t.Error("forgotten too early")
	}
	w.clock.add(time.Second)
	later, err := w.PaymentIntents.New(keyed(3000, "k"))
	w.must(err)
	if later.ID == first.ID || later.Amount != 3000 {
		t.Error("after 24 hours it is a new request")
	}
}

func TestKeyInUse(t *testing.T) {
	clock := &clock{at: time.Now()}
	var stop sync.Once
	stopped, goOn := make(chan struct{}), make(chan struct{})
	armed := make(chan struct{})
	w := start(t, sandbox.Options{Now: func() time.Time {
		select {
		case <-armed: // the first request stops in the middle
			stop.Do(func() { close(stopped); <-goOn })
		default:
		}
		return clock.now()
	}})
	close(armed)
	answer := make(chan error)
	go func() {
		_, err := w.PaymentIntents.New(keyed(2000, "k"))
		answer <- err
	}()
	<-stopped
	_, err := w.PaymentIntents.New(keyed(2000, "k"))
	w.expect(err, http.StatusConflict, "idempotency_key_in_use", "There is currently another in-progress request")
	close(goOn)
	w.must(<-answer)
	pi, err := w.PaymentIntents.New(keyed(2000, "k"))
	w.must(err)
	if !replayed(pi.LastResponse) {
		t.Error("the conflict was saved, or the request was not")
	}
}

// Many at once with one key make one intent.
func TestOneKeyManyCallers(t *testing.T) {
	w := start(t, sandbox.Options{Dir: t.TempDir()})
	const callers = 16
	var wait sync.WaitGroup
	ids := make([]string, callers)
	for i := range callers {
		wait.Go(func() {
			for { // as a client does on 409
				pi, err := w.PaymentIntents.New(keyed(2000, "k"))
				if err == nil {
					ids[i] = pi.ID
					return
				}
				if e, ok := err.(*stripe.Error); !ok || e.HTTPStatusCode != http.StatusConflict {
					ids[i] = fmt.Sprint(err)
					return
				}
			}
		})
	}
	wait.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("answers differ: %v", ids)
		}
	}
	if n := len(w.page("/v1/payment_intents", nil).ids); n != 1 {
		t.Errorf("%d intents", n)
	}
}
