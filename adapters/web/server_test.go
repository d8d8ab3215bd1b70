package web_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/adapters/web"
	"kicau/domain/privacy"
	"kicau/domain/refusal"
)

// noPage is a processor whose pages cannot be reached.
type noPage struct{ command.Payments }

func (noPage) PayURL(context.Context, string, string) (string, error) {
	return "", errors.New("no answer")
}

func TestListensToThisMachineOnly(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", ":0", "192.0.2.1:80", "kicau.example:80", "127.0.0.1", "[::]:0"} {
		if _, err := web.New(web.Options{Listen: listen}); err == nil || !strings.Contains(err.Error(), "loopback") {
			t.Errorf("listening at %q: %v", listen, err)
		}
	}
	if _, err := web.New(web.Options{}); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("a server of nothing: %v", err)
	}
}

// Every answer carries the headers that keep a page to itself.
func TestHeadersOfEveryRoute(t *testing.T) {
	s := start(t)
	mug := s.tweet("Mug", 1000)
	id := s.post("/v1/orders", purchase(mug, 1, "")).is(t, http.StatusCreated).json(t, "id").(string)
	public := map[string]bool{"GET /{$}": true, "GET /offers/{id}": true, "GET /style.css": true, "GET /icon.svg": true,
		"GET /v1/timeline": true, "GET /v1/offers/{id}": true}
	for _, pattern := range append(s.web.Routes(), "GET /nothing", "DELETE /v1/timeline", "GET /v1/nothing") {
		t.Run(pattern, func(t *testing.T) {
			method, path, _ := strings.Cut(pattern, " ")
			of := mug.String()
			if strings.Contains(path, "orders") {
				of = id
			}
			path = strings.NewReplacer("{id}", of, "{$}", "").Replace(path)
			h := s.send(method, path, "").header
			csp := h.Get("Content-Security-Policy")
			contains(t, csp, "default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "style-src 'self'", "img-src 'self' https: data:", "form-action ")
			lacks(t, csp, "unsafe", "script-src")
			for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
				"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin"} {
				if got := h.Get(name); got != want {
					t.Errorf("%s is %q, wanted %q", name, got, want)
				}
			}
			want := "no-store"
			if public[pattern] {
				want = "no-cache"
			}
			if got := h.Get("Cache-Control"); got != want {
				t.Errorf("Cache-Control is %q, wanted %q", got, want)
			}
			if h.Get("Content-Type") == "" {
				t.Error("no Content-Type")
			}
		})
	}
	contains(t, s.get("/offers/"+mug.String()+"/checkout").header.Get("Content-Security-Policy"), "form-action 'self' https: http://127.0.0.1:*")
	sheet := strings.Split(strings.SplitAfter(s.get("/").body, `rel="stylesheet" href="`)[1], `"`)[0]
	contains(t, s.get(sheet).is(t, http.StatusOK).header.Get("Cache-Control"), "immutable")
}

func TestStatusOfEveryError(t *testing.T) {
	s := start(t)
	kind := func(k refusal.Kind) error {
		return fmt.Errorf("while buying: %w", &refusal.Refusal{Kind: k, Code: "x"})
	}
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{kind(refusal.Invalid), 422, "x"},
		{kind(refusal.Missing), 404, "x"},
		{kind(refusal.Rule), 409, "x"},
		{kind(refusal.Clash), 422, "x"},
		{kind("of a newer version"), 500, "internal"},
		{fmt.Errorf("stream: %w", command.ErrBusy), 503, "busy"},
		{command.ErrReadOnly, 503, "unavailable"},
		{command.ErrUnknownOutcome, 503, "unavailable"},
		{command.ErrClosed, 503, "unavailable"},
		{context.DeadlineExceeded, 503, "unavailable"},
		{command.ErrStreamDeleted, 500, "internal"},
		{errors.New("disk on fire"), 500, "internal"},
	} {
		if status, code := s.web.Answer(c.err); status != c.status || code != c.code {
			t.Errorf("%v is answered %d %s, wanted %d %s", c.err, status, code, c.status, c.code)
		}
	}
}

// What is ours to mend is in the log, under an id that the caller has.
func TestAnIncidentIsLoggedAndNotTold(t *testing.T) {
	s := start(t, func(o *web.Options) { o.Vault = brokenVault{} })
	mug := s.tweet("Mug", 1000)
	r := s.post("/v1/orders", purchase(mug, 1, "")).is(t, http.StatusInternalServerError)
	lacks(t, r.body, "drawer")
	contains(t, s.logged.String(), r.json(t, "error.incident").(string), "the drawer is stuck", "POST /v1/orders")
	page := s.submit("/offers/"+mug.String()+"/checkout", s.fill(mug)).is(t, http.StatusInternalServerError).body
	lacks(t, page, "drawer")
	contains(t, page, "Siti", "Incident")
}

type brokenVault struct{ command.Vault }

func (brokenVault) Pseudonym(string) ([]byte, error) { return nil, errors.New("the drawer is stuck") }

func TestADefectIsAnIncident(t *testing.T) {
	s := start(t, func(o *web.Options) {
		o.VerifyWebhook = func([]byte, string) (string, string, error) { panic("a nut is loose") }
	})
	r := s.post("/webhooks/stripe", "{}").is(t, http.StatusInternalServerError)
	contains(t, s.logged.String(), r.json(t, "error.incident").(string), "a nut is loose")
	s.get("/health/live").is(t, http.StatusOK).says(t, "status", "live")
}

func TestTurnedAwayWhenThereIsTooMuchToDo(t *testing.T) {
	s := start(t)
	leave := s.web.Occupy("requests")
	r := s.get("/v1/timeline").is(t, http.StatusServiceUnavailable)
	r.says(t, "error.code", "busy")
	if r.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	contains(t, s.get("/").is(t, http.StatusServiceUnavailable).body, "One moment")
	leave()
	s.get("/v1/timeline").is(t, http.StatusOK)
}

const (
	visa    = "4242424242424242"
	spaced  = "4242 4242 4242 4242"
	dashed  = "5555-5555-5555-4444"
	escaped = `\u0034242424242424242`
)

// A card number is refused wherever it stands, and is in no answer and no log.
func TestNoCardNumberComesIn(t *testing.T) {
	s := start(t)
	mug := s.tweet("Mug", 1000)
	good := purchase(mug, 1, "")
	checkout := "/offers/" + mug.String() + "/checkout"
	bodies := map[string]string{
		"name":            strings.Replace(good, "Siti", "Siti "+visa, 1),
		"address":         strings.Replace(good, "1 Some Street", spaced, 1),
		"mail":            strings.Replace(good, "siti@", visa+"@", 1),
		"handle":          purchase(mug, 1, `,"handle":"`+dashed+`"`),
		"escaped":         strings.Replace(good, "Siti", escaped, 1),
		"jurisdiction":    strings.Replace(good, `"GB"`, `"`+visa+`"`, 1),
		"payment method":  purchase(mug, 1, `,"paymentMethod":"`+visa+`"`),
		"a number":        strings.Replace(good, `"quantity":1`, `"quantity":`+visa, 1),
		"offer":           `{"lines":[{"offer":"` + visa + `","quantity":1}]}`,
		"a field's name":  purchase(mug, 1, `,"`+visa+`":1`),
		"unknown field":   purchase(mug, 1, `,"card":{"number":["`+visa+`"]}`),
		"broken JSON":     `{"card":"` + visa,
		"hidden by twice": `{"name":"` + visa + `","name":"Siti"}`,
	}
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			r := s.post("/v1/orders", body).is(t, http.StatusUnprocessableEntity)
			r.says(t, "error.code", privacy.ErrCardNumber.Code)
		})
	}
	for name, r := range map[string]reply{
		"idempotency key": s.post("/v1/orders", good, "Idempotency-Key", "card-"+visa),
		"query":           s.get("/v1/timeline?after=" + visa),
		"query's name":    s.get("/v1/timeline?" + visa),
		"escaped query":   s.get("/v1/timeline?after=" + url.QueryEscape(spaced)),
		"path":            s.get("/v1/offers/" + visa),
		"order":           s.get("/v1/orders/" + visa + "?x=1"),
	} {
		t.Run(name, func(t *testing.T) {
			r.is(t, http.StatusUnprocessableEntity).says(t, "error.code", privacy.ErrCardNumber.Code)
		})
	}
	for _, field := range []string{"quantity", "name", "email", "address", "jurisdiction", "attempt", "card", visa} {
		t.Run("form "+field, func(t *testing.T) {
			form := s.fill(mug)
			form.Set(field, spaced)
			lacks(t, s.submit(checkout, form).is(t, http.StatusUnprocessableEntity).body, spaced, visa)
		})
	}
	s.get("/offers/"+visa).is(t, http.StatusUnprocessableEntity)
	s.post("/webhooks/stripe", `{"card":"`+visa+`"}`).is(t, http.StatusBadRequest)
	for _, canary := range []string{visa, spaced, dashed, "424242", "Siti", "siti@", "Some Street"} {
		lacks(t, s.logged.String(), canary)
	}
}

func FuzzInspect(f *testing.F) {
	for _, seed := range []string{`{"a":[1,"` + visa + `",{"b":null}]}`, `[`, `{"a":1,"a":2}`, `"` + escaped + `"`, `1 2`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		err := web.Inspect(body)
		if err != nil && len(body) > 12 && strings.Contains(err.Error(), string(body)) {
			t.Errorf("%q is repeated in %v", body, err)
		}
		if err == nil && strings.Contains(string(body), `"`+visa+`"`) {
			t.Errorf("a card number came through in %q", body)
		}
	})
}

func TestWebhooks(t *testing.T) {
	type told struct {
		intent, key string
		cause       uuid.UUID
	}
	news := make(chan told, 16)
	s := start(t, func(o *web.Options) {
		o.VerifyWebhook = func(body []byte, signature string) (string, string, error) {
			if signature != "good" {
				return "", "", errors.New("not signed")
			}
			return string(body), "the key", nil
		}
		o.Notice = func(_ context.Context, intent, key string, cause uuid.UUID) error {
			news <- told{intent, key, cause}
			if intent == "pi_down" {
				return errors.New("the processor does not answer")
			}
			return nil
		}
	})
	s.post("/webhooks/stripe", "pi_1", "Stripe-Signature", "bad").is(t, http.StatusBadRequest).says(t, "error.code", "bad-signature")
	s.post("/webhooks/stripe", "pi_1").is(t, http.StatusBadRequest)
	s.post("/webhooks/stripe", "", "Stripe-Signature", "good").is(t, http.StatusOK) // about nothing of ours
	s.post("/webhooks/stripe", strings.Repeat("x", 1<<20+1), "Stripe-Signature", "good").is(t, http.StatusRequestEntityTooLarge)
	if len(news) != 0 {
		t.Fatal("somebody was told")
	}
	s.post("/webhooks/stripe", "pi_1", "Stripe-Signature", "good", "Host", "tunnel.example").is(t, http.StatusOK)
	s.post("/webhooks/stripe", "pi_1", "Stripe-Signature", "good").is(t, http.StatusOK)
	first, second := <-news, <-news
	if first != second || first.intent != "pi_1" || first.key != "the key" || first.cause == uuid.Nil {
		t.Errorf("the same notice was told as %v and %v", first, second)
	}
	s.post("/webhooks/stripe", "pi_down", "Stripe-Signature", "good").is(t, http.StatusServiceUnavailable)
	<-news
	leave := s.web.Occupy("notices")
	s.post("/webhooks/stripe", "pi_1", "Stripe-Signature", "good").is(t, http.StatusServiceUnavailable).says(t, "error.code", "busy")
	leave()
	s.get("/webhooks/stripe").is(t, http.StatusMethodNotAllowed)
}

// Close lets a request end that is under way, and takes no more.
func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	inside, goOn := make(chan struct{}), make(chan struct{})
	s := start(t, func(o *web.Options) {
		o.VerifyWebhook = func([]byte, string) (string, string, error) {
			close(inside)
			<-goOn
			return "", "", nil
		}
	})
	answered, closed := make(chan reply, 1), make(chan error, 1)
	go func() { answered <- s.post("/webhooks/stripe", "{}") }()
	<-inside
	go func() { closed <- s.web.Close() }()
	for refused := false; !refused; { // until it takes no more
		_, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}).Get(s.url + "/health/live")
		refused = err != nil
	}
	close(goOn)
	(<-answered).is(t, http.StatusOK)
	check(t, <-closed)
}

// A browser's connection that never asked for anything holds nobody up when the
// server closes, and is the only one that is cut off.
func TestSilentConnectionsAreCutOff(t *testing.T) {
	var f web.Fresh
	silent, busy, late := pipe(t), pipe(t), pipe(t)
	f.Note(silent.server, http.StateNew)
	f.Note(busy.server, http.StateNew)
	f.Note(busy.server, http.StateActive)
	f.Close()
	f.Note(late.server, http.StateNew)
	for name, p := range map[string]ends{"silent": silent, "late": late} {
		if _, err := p.browser.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the %s connection gave %v", name, err)
		}
	}
	go busy.server.Write([]byte("x"))
	if _, err := busy.browser.Read(make([]byte, 1)); err != nil {
		t.Errorf("the busy connection gave %v", err)
	}
}

type ends struct{ server, browser net.Conn }

func pipe(t *testing.T) ends {
	server, browser := net.Pipe()
	t.Cleanup(func() { server.Close(); browser.Close() })
	check(t, browser.SetDeadline(time.Now().Add(patience)))
	return ends{server, browser}
}
