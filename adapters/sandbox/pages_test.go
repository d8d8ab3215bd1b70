package sandbox_test

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stripe/stripe-go/v76"

	"kicau/adapters/sandbox"
)

// browser follows no redirect, so that they can be looked at.
var browser = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// answer gives the holder's answer on the challenge page of pi, and returns the
// redirect_status and address that the buyer is sent back with.
func (w *world) answer(pi *stripe.PaymentIntent, outcome string) (status string, back *url.URL) {
	w.Helper()
	at := pi.NextAction.RedirectToURL.URL
	if body := w.get(at, http.StatusOK); !strings.Contains(body, "Complete authentication") || !strings.Contains(body, "Fail authentication") {
		w.Fatalf("challenge page:\n%s", body)
	}
	return w.post(at, url.Values{"outcome": {outcome}})
}

// get is a page's text.
func (w *world) get(at string, status int) string {
	w.Helper()
	resp, err := browser.Get(at)
	w.must(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	w.must(err)
	if resp.StatusCode != status {
		w.Fatalf("GET %s: %s, want %d\n%s", at, resp.Status, status, body)
	}
	if !strings.Contains(resp.Header.Get("Content-Security-Policy"), "default-src 'none'") || resp.Header.Get("Referrer-Policy") != "no-referrer" {
		w.Errorf("headers: %v", resp.Header)
	}
	return string(body)
}

// post sends a form and wants to be sent on.
func (w *world) post(at string, form url.Values) (status string, to *url.URL) {
	w.Helper()
	resp, err := browser.PostForm(at, form)
	w.must(err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSeeOther {
		body, _ := io.ReadAll(resp.Body)
		w.Fatalf("POST %s: %s, want 303\n%s", at, resp.Status, body)
	}
	to, err = resp.Location()
	w.must(err)
	return to.Query().Get("redirect_status"), to
}

func typed(number string) url.Values {
	return url.Values{"number": {number}, "expiry": {"12 / 34"}, "cvc": {"123"}}
}

// toPay is an unpaid intent and the page where it can be paid.
func (w *world) toPay() (*stripe.PaymentIntent, string) {
	w.Helper()
	p := order(2599)
	p.Description = stripe.String("Batik <scarf> & tax")
	pi, err := w.PaymentIntents.New(p)
	w.must(err)
	return pi, w.box.PayURL(pi.ID, pi.ClientSecret, "http://127.0.0.1:4040/orders/7?from=tweet")
}

func (w *world) status(id string) stripe.PaymentIntentStatus {
	w.Helper()
	pi, err := w.PaymentIntents.Get(id, nil)
	w.must(err)
	return pi.Status
}

func TestPayPage(t *testing.T) {
	w := start(t, sandbox.Options{})

	t.Run("an accepted card", func(t *testing.T) {
		w := &world{T: t, API: w.API, box: w.box, clock: w.clock}
		pi, at := w.toPay()
		page := w.get(at, http.StatusOK)
		for _, want := range []string{"$25.99", "Batik &lt;scarf&gt; &amp; tax", "Test page of the sandbox", "4242 4242 4242 4242", `name="cvc"`} {
			if !strings.Contains(page, want) {
				t.Errorf("the page lacks %q:\n%s", want, page)
			}
		}
		status, to := w.post(at, typed("4242 4242 4242 4242"))
		q := to.Query()
		if status != "succeeded" || q.Get("payment_intent") != pi.ID || q.Get("payment_intent_client_secret") != pi.ClientSecret || q.Get("from") != "tweet" || to.Host != "127.0.0.1:4040" || to.Path != "/orders/7" {
			t.Errorf("sent to %s", to)
		}
		if got := w.status(pi.ID); got != stripe.PaymentIntentStatusRequiresCapture {
			t.Errorf("status %s", got)
		}
		// Once more, from another window: no second authorisation.
		if status, _ := w.post(at, typed("4242424242424242")); status != "succeeded" {
			t.Error("paid twice:", status)
		}
		if !strings.Contains(w.get(at, http.StatusOK), "Authorised") {
			t.Error("the page still asks for a card")
		}
		want := []string{"payment_intent.created", "charge.succeeded", "payment_intent.amount_capturable_updated"}
		if got := w.events(pi.ID); !slices.Equal(got, want) {
			t.Errorf("events %v, want %v", got, want)
		}
	})

	t.Run("a declined card, then another", func(t *testing.T) {
		w := &world{T: t, API: w.API, box: w.box, clock: w.clock}
		pi, at := w.toPay()
		if status, _ := w.post(at, typed("4000000000009995")); status != "failed" {
			t.Errorf("redirect_status %q", status)
		}
		if got := w.status(pi.ID); got != stripe.PaymentIntentStatusRequiresPaymentMethod {
			t.Errorf("status %s", got)
		}
		if status, _ := w.post(at, typed("5555555555554444")); status != "succeeded" {
			t.Errorf("redirect_status %q", status)
		}
	})

	for outcome, want := range map[string]string{"complete": "succeeded", "fail": "failed"} {
		t.Run("3D Secure, "+outcome, func(t *testing.T) {
			w := &world{T: t, API: w.API, box: w.box, clock: w.clock}
			pi, at := w.toPay()
			_, challenge := w.post(at, typed("4000002760003184"))
			if !strings.HasPrefix(challenge.String(), w.box.URL()+"/3ds/"+pi.ID) {
				t.Fatalf("sent to %s", challenge)
			}
			if !strings.Contains(w.get(at, http.StatusOK), "One more step") {
				t.Error("the pay page does not lead on to the challenge")
			}
			pi, err := w.PaymentIntents.Get(pi.ID, nil)
			w.must(err)
			status, back := w.answer(pi, outcome)
			if status != want || back.Path != "/orders/7" {
				t.Errorf("sent to %s", back)
			}
			pi, err = w.PaymentIntents.Get(pi.ID, nil)
			w.must(err)
			if outcome == "fail" && (pi.Status != stripe.PaymentIntentStatusRequiresPaymentMethod || pi.LastPaymentError.Code != stripe.ErrorCodePaymentIntentAuthenticationFailure) {
				t.Errorf("intent: %+v", pi)
			}
			// The same answer again changes nothing.
			if status, _ := w.post(challenge.String(), url.Values{"outcome": {"complete"}}); status != want {
				t.Errorf("second answer: %s, want %s", status, want)
			}
		})
	}

	t.Run("typed wrongly", func(t *testing.T) {
		w := &world{T: t, API: w.API, box: w.box, clock: w.clock}
		pi, at := w.toPay()
		for _, form := range []url.Values{
			typed("4242424242424241"), typed("4111111111111111"), typed(""),
			{"number": {"4242424242424242"}, "expiry": {"13/34"}, "cvc": {"123"}},
			{"number": {"4242424242424242"}, "expiry": {"soon"}, "cvc": {"123"}},
			{"number": {"4242424242424242"}, "expiry": {"12/34"}, "cvc": {"12x"}},
		} {
			resp, err := browser.PostForm(at, form)
			w.must(err)
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(string(body), `role="alert"`) {
				t.Errorf("%v: %s\n%s", form, resp.Status, body)
			}
			if n := form.Get("number"); n != "" && n != "4242424242424242" && strings.Contains(string(body), n) {
				t.Errorf("the page repeats the card number %s", n)
			}
		}
		if got := w.status(pi.ID); got != stripe.PaymentIntentStatusRequiresPaymentMethod {
			t.Errorf("status %s", got)
		}
	})

	t.Run("without a return_url", func(t *testing.T) {
		w := &world{T: t, API: w.API, box: w.box, clock: w.clock}
		pi, _ := w.toPay()
		at := w.box.PayURL(pi.ID, pi.ClientSecret, "")
		resp, err := browser.PostForm(at, typed("4242424242424242"))
		w.must(err)
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "Authorised") {
			t.Errorf("%s\n%s", resp.Status, body)
		}
	})

	t.Run("wrong secret", func(t *testing.T) {
		w := &world{T: t, API: w.API, box: w.box, clock: w.clock}
		pi, _ := w.toPay()
		w.get(w.box.PayURL(pi.ID, pi.ClientSecret+"x", ""), http.StatusNotFound)
		w.get(w.box.PayURL("pi_unknown", pi.ClientSecret, ""), http.StatusNotFound)
		resp, err := browser.PostForm(w.box.PayURL(pi.ID, "", ""), typed("4242424242424242"))
		w.must(err)
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Error(resp.Status)
		}
	})
}

func TestPayPageSendsNobodyElsewhere(t *testing.T) {
	w := start(t, sandbox.Options{ReturnHosts: []string{"shop.example"}})
	pi, err := w.PaymentIntents.New(order(1000))
	w.must(err)
	for back, status := range map[string]int{
		"http://localhost:80/x":           http.StatusOK,
		"https://127.0.0.9/x":             http.StatusOK,
		"http://[::1]:9/x":                http.StatusOK,
		"https://shop.example:8443/x":     http.StatusOK,
		"https://evil.example/":           http.StatusBadRequest,
		"https://localhost.evil.example/": http.StatusBadRequest,
		"https://localhost@evil.example/": http.StatusBadRequest,
		"https://evil@localhost/":         http.StatusBadRequest,
		"javascript:alert(1)":             http.StatusBadRequest,
		"//evil.example":                  http.StatusBadRequest,
		"/relative":                       http.StatusBadRequest,
		"http://%zz":                      http.StatusBadRequest,
	} {
		at := w.box.PayURL(pi.ID, pi.ClientSecret, back)
		w.get(at, status)
		if status == http.StatusBadRequest {
			resp, err := browser.PostForm(at, typed("4242424242424242"))
			w.must(err)
			resp.Body.Close()
			if resp.StatusCode != status {
				t.Errorf("POST with return_url %s: %s", back, resp.Status)
			}
		}
	}
	if got := w.status(pi.ID); got != stripe.PaymentIntentStatusRequiresPaymentMethod {
		t.Errorf("status %s", got)
	}
	// Over the API any URL will do; the challenge page does not follow it.
	pi, err = w.PaymentIntents.Confirm(pi.ID, &stripe.PaymentIntentConfirmParams{PaymentMethod: stripe.String("pm_card_authenticationRequired"), ReturnURL: stripe.String("https://evil.example/")})
	w.must(err)
	resp, err := browser.PostForm(pi.NextAction.RedirectToURL.URL, url.Values{"outcome": {"complete"}})
	w.must(err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Error(resp.Status, resp.Header.Get("Location"))
	}
}
