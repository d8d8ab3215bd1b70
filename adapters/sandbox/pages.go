package sandbox

import (
	"bytes"
	"crypto/subtle"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

//go:embed pages
var pageFiles embed.FS

var templates = template.Must(template.ParseFS(pageFiles, "pages/*.html"))

// routePages serves the pages where a person pays: a card form, the challenge
// of the card's issuer, and what came of it. They stand in for Stripe's own and
// work without JavaScript. Whoever knows the client secret may pay.
func (s *Server) routePages(mux *http.ServeMux) {
	mux.HandleFunc("GET /pay/{id}", s.showPay)
	mux.HandleFunc("POST /pay/{id}", s.pay)
	mux.HandleFunc("GET /3ds/{id}", s.showChallenge)
	mux.HandleFunc("POST /3ds/{id}", s.answerChallenge)
	mux.HandleFunc("GET /setup/{id}", s.showSetup)
	mux.HandleFunc("POST /setup/{id}", s.answerSetup)
	mux.HandleFunc("GET /sandbox.css", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, pageFiles, "pages/sandbox.css")
	})
}

// pageData is what the pages show.
type pageData struct {
	Action      string // where the form goes
	Amount      string
	Currency    string
	Description string
	Status      string
	Problem     string // what was wrong with the form
	Next        string // where a link leads on
	Cards       []exampleCard
}

// exampleCard is a test card that the page suggests.
type exampleCard struct{ Number, Does string }

var exampleCards = []exampleCard{
	{"4242 4242 4242 4242", "is accepted"},
	{"4000 0027 6000 3184", "asks for authentication first"},
	{"4000 0000 0000 0002", "is declined"},
	{"4000 0000 0000 9995", "is declined: insufficient funds"},
	{"4000 0000 0000 0069", "is declined: expired card"},
}

func pageOf(pi intent) pageData {
	return pageData{
		Amount: display(pi.Amount, pi.Currency), Currency: strings.ToUpper(pi.Currency),
		Description: pi.Description, Status: pi.Status, Cards: exampleCards,
	}
}

// challengeURL is the page where the holder of pi's card authenticates.
func (st *state) challengeURL(pi *intent) string {
	return st.baseURL + "/3ds/" + pi.ID + "?" + url.Values{"client_secret": {pi.ClientSecret}}.Encode()
}

// act does something for a page, as execute does it for the API.
func (s *Server) act(do func(t *tx) *apiError) *apiError {
	var failed *apiError
	_, refused := s.execute(request{id: s.ids.next("req")}, func(t *tx) (any, *apiError) {
		failed = do(t)
		return nil, failed
	}, nil)
	if refused != nil {
		return refused
	}
	return failed
}

// intentOf is the intent of a page, for whoever knows its client secret.
func (t *tx) intentOf(r *http.Request) (intent, *apiError) {
	pi := t.intents.get(r.PathValue("id"))
	if pi == nil || subtle.ConstantTimeCompare([]byte(pi.ClientSecret), []byte(r.URL.Query().Get("client_secret"))) != 1 {
		return intent{}, noSuch(http.StatusNotFound, "payment", r.PathValue("id"), "")
	}
	return *pi, nil
}

func (s *Server) showPay(w http.ResponseWriter, r *http.Request) {
	back, ok := s.back(r.URL.Query().Get("return_url"))
	if !ok {
		s.refusePage(w, refuse("", "This page sends nobody to %q: a return_url must be a loopback address, or at one of the sandbox's ReturnHosts.", r.URL.Query().Get("return_url")))
		return
	}
	var pi intent
	var challenge string
	if e := s.act(func(t *tx) (e *apiError) {
		pi, e = t.intentOf(r)
		challenge = t.challengeURL(&pi)
		return e
	}); e != nil {
		s.refusePage(w, e)
		return
	}
	data := pageOf(pi)
	data.Action = r.URL.RequestURI()
	switch {
	case pi.Status == requiresAction:
		data.Next = challenge
		s.page(w, http.StatusOK, "status.html", data, back)
	case !slices.Contains(open, pi.Status):
		data.Next = backWith(back, pi)
		s.page(w, http.StatusOK, "status.html", data, back)
	default:
		s.page(w, http.StatusOK, "pay.html", data, back)
	}
}

// pay takes the card form: it makes a payment method, confirms the intent with
// it and sends the buyer on.
func (s *Server) pay(w http.ResponseWriter, r *http.Request) {
	back, ok := s.back(r.URL.Query().Get("return_url"))
	if !ok {
		s.refusePage(w, refuse("", "This page sends nobody to %q.", r.URL.Query().Get("return_url")))
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	card := typedCard(r)
	returnURL := s.baseURL + r.URL.RequestURI() // without one, this page says what came of it
	if back != nil {
		returnURL = back.String()
	}
	var pi intent
	var challenge string
	failed := s.act(func(t *tx) (e *apiError) {
		if pi, e = t.intentOf(r); e != nil {
			return e
		}
		if slices.Contains(open, pi.Status) { // else it was paid meanwhile, in another window
			m, e := t.newMethod(card)
			if e != nil {
				return e
			}
			t.put(entry{Method: &m})
			e = t.confirm(pi, m.ID, returnURL, false)
			pi = *t.intents.get(pi.ID)
			if e != nil {
				return e
			}
		}
		challenge = t.challengeURL(&pi)
		return nil
	})
	switch {
	case failed != nil && !failed.outcome && failed.Type == errCard: // typed wrongly
		data := pageOf(pi)
		data.Action, data.Problem = r.URL.RequestURI(), failed.Message
		s.page(w, http.StatusUnprocessableEntity, "pay.html", data, back)
	case failed != nil && !failed.outcome:
		s.refusePage(w, failed)
	case pi.Status == requiresAction:
		http.Redirect(w, r, challenge, http.StatusSeeOther)
	default:
		s.sendBack(w, r, pi, back)
	}
}

// typedCard reads the form. An expiry is "12/34", "12 / 2034" or "1234".
func typedCard(r *http.Request) cardInput {
	in := cardInput{number: r.PostFormValue("number"), cvc: strings.TrimSpace(r.PostFormValue("cvc"))}
	expiry := strings.ReplaceAll(r.PostFormValue("expiry"), " ", "")
	month, year, ok := strings.Cut(expiry, "/")
	if !ok && len(expiry) == 4 {
		month, year = expiry[:2], expiry[2:]
	}
	in.month, _ = strconv.ParseInt(month, 10, 64) // 0 is refused as a month
	if n, err := strconv.ParseInt(year, 10, 64); err == nil {
		in.year = n
	} else {
		in.year = -1
	}
	return in
}

func (s *Server) showChallenge(w http.ResponseWriter, r *http.Request) {
	var pi intent
	if e := s.act(func(t *tx) (e *apiError) { pi, e = t.intentOf(r); return e }); e != nil {
		s.refusePage(w, e)
		return
	}
	back, ok := s.back(pi.ReturnURL)
	if !ok {
		back = nil
	}
	data := pageOf(pi)
	data.Action = r.URL.RequestURI()
	if pi.Status != requiresAction {
		data.Next = backWith(back, pi)
		s.page(w, http.StatusOK, "status.html", data, back)
		return
	}
	s.page(w, http.StatusOK, "challenge.html", data, back)
}

func (s *Server) answerChallenge(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	passed := r.PostFormValue("outcome") == "complete"
	var pi intent
	failed := s.act(func(t *tx) (e *apiError) {
		if pi, e = t.intentOf(r); e != nil || pi.Status != requiresAction {
			return e // answered already, in another window
		}
		e = t.authenticate(pi, passed)
		pi = *t.intents.get(pi.ID)
		return e
	})
	if failed != nil && !failed.outcome {
		s.refusePage(w, failed)
		return
	}
	back, ok := s.back(pi.ReturnURL)
	if !ok { // set over the API, where any URL will do; not followed from here
		back = nil
	}
	s.sendBack(w, r, pi, back)
}

// sendBack sends the buyer on, or says what came of it when there is nowhere to
// go.
func (s *Server) sendBack(w http.ResponseWriter, r *http.Request, pi intent, back *url.URL) {
	if back != nil {
		http.Redirect(w, r, backWith(back, pi), http.StatusSeeOther)
		return
	}
	s.page(w, http.StatusOK, "status.html", pageOf(pi), nil)
}

// back is where a buyer may be sent. No URL is fine, and leads nowhere.
func (s *Server) back(raw string) (*url.URL, bool) {
	if raw == "" {
		return nil, true
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return nil, false
	}
	trusted := isLoopback(u.Hostname()) || slices.Contains(s.opts.ReturnHosts, u.Host) || slices.Contains(s.opts.ReturnHosts, u.Hostname())
	return u, trusted
}

// backWith is back with what Stripe adds to a return_url.
func backWith(back *url.URL, pi intent) string {
	if back == nil {
		return ""
	}
	q := back.Query()
	q.Set("payment_intent", pi.ID)
	q.Set("payment_intent_client_secret", pi.ClientSecret)
	q.Set("redirect_status", "failed")
	if pi.Status == succeeded || pi.Status == requiresCapture || pi.Status == requiresConfirmation {
		q.Set("redirect_status", "succeeded")
	}
	u := *back
	u.RawQuery = q.Encode()
	return u.String()
}

func (s *Server) refusePage(w http.ResponseWriter, e *apiError) {
	s.page(w, e.Status, "refused.html", pageData{Problem: e.Message}, nil)
}

func (s *Server) page(w http.ResponseWriter, status int, name string, data pageData, back *url.URL) {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, data); err != nil {
		panic("sandbox: page " + name + ": " + err.Error()) // a defect
	}
	formAction := "'self'"
	if back != nil { // browsers hold the redirect after a form to form-action, too
		formAction += " " + back.Scheme + "://" + back.Host
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action "+formAction)
	h.Set("Referrer-Policy", "no-referrer") // the address holds the client secret
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(b.Bytes())
}
