package sandbox

import (
	"cmp"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// op carries a request out, once its parameters are known to be good. It refuses
// before it puts anything; see [apiError] for what is no refusal.
type op func(*tx) (any, *apiError)

// endpoint reads a request's parameters and returns what is to be done. id is
// the {id} of the path.
type endpoint func(p *params, id string) op

var endpoints = map[string]endpoint{
	"POST /v1/payment_intents":                         createIntent,
	"GET /v1/payment_intents":                          listIntents,
	"GET /v1/payment_intents/{id}":                     retrieveIntent,
	"POST /v1/payment_intents/{id}":                    updateIntent,
	"POST /v1/payment_intents/{id}/confirm":            confirmIntent,
	"POST /v1/payment_intents/{id}/capture":            captureIntent,
	"POST /v1/payment_intents/{id}/cancel":             cancelIntent,
	"POST /v1/payment_methods":                         createMethod,
	"GET /v1/payment_intents/search":                   searchIntents,
	"GET /v1/payment_methods":                          listMethods,
	"POST /v1/payment_methods/{id}":                    updateMethod,
	"POST /v1/payment_methods/{id}/attach":             attachMethod,
	"POST /v1/payment_methods/{id}/detach":             detachMethod,
	"POST /v1/setup_intents":                           createSetup,
	"GET /v1/setup_intents":                            listSetups,
	"GET /v1/setup_intents/{id}":                       retrieveSetup,
	"POST /v1/setup_intents/{id}":                      updateSetup,
	"POST /v1/setup_intents/{id}/confirm":              confirmSetup,
	"POST /v1/setup_intents/{id}/cancel":               cancelSetup,
	"POST /v1/customers/{id}":                          updateCustomer,
	"DELETE /v1/customers/{id}":                        deleteCustomer,
	"GET /v1/customers":                                listCustomers,
	"GET /v1/customers/{id}/payment_methods":           listCustomerMethods,
	"POST /v1/charges/{id}":                            updateCharge,
	"POST /v1/refunds/{id}":                            updateRefund,
	"POST /v1/transfers/{id}":                          updateTransfer,
	"GET /v1/transfers/{id}/reversals/{sub}":           retrieveReversal,
	"POST /v1/transfers/{id}/reversals/{sub}":          updateReversal,
	"GET /v1/radar/early_fraud_warnings/{id}":          retrieveWarning,
	"GET /v1/payment_methods/{id}":                     retrieveMethod,
	"GET /v1/charges":                                  listCharges,
	"GET /v1/charges/{id}":                             retrieveCharge,
	"POST /v1/refunds":                                 createRefund,
	"GET /v1/refunds":                                  listRefunds,
	"GET /v1/refunds/{id}":                             retrieveRefund,
	"POST /v1/transfers":                               createTransfer,
	"GET /v1/transfers":                                listTransfers,
	"GET /v1/transfers/{id}":                           retrieveTransfer,
	"POST /v1/accounts":                                createAccount,
	"POST /v1/transfers/{id}/reversals":                createReversal,
	"GET /v1/transfers/{id}/reversals":                 listReversals,
	"POST /v1/customers":                               createCustomer,
	"GET /v1/customers/{id}":                           retrieveCustomer,
	"GET /v1/disputes":                                 listDisputes,
	"GET /v1/disputes/{id}":                            retrieveDispute,
	"POST /v1/disputes/{id}":                           updateDispute,
	"POST /v1/disputes/{id}/close":                     closeDispute,
	"GET /v1/radar/early_fraud_warnings":               listWarnings,
	"POST /v1/payouts":                                 createPayout,
	"GET /v1/payouts":                                  listPayouts,
	"GET /v1/payouts/{id}":                             retrievePayout,
	"POST /v1/payouts/{id}":                            updatePayout,
	"POST /v1/payouts/{id}/cancel":                     cancelPayout,
	"POST /v1/payouts/{id}/reverse":                    reversePayout,
	"POST /v1/accounts/{id}":                           updateAccount,
	"POST /v1/accounts/{id}/external_accounts":         createBank,
	"GET /v1/accounts/{id}/external_accounts":          listBanks,
	"GET /v1/accounts/{id}/external_accounts/{sub}":    retrieveBank,
	"DELETE /v1/accounts/{id}/external_accounts/{sub}": deleteBank,
	"GET /v1/accounts":                                 listAccounts,
	"GET /v1/accounts/{id}":                            retrieveAccount,
	"GET /v1/account":                                  retrieveOwnAccount,
	"GET /v1/balance":                                  retrieveBalance,
	"GET /v1/balance_transactions":                     listTxns,
	"GET /v1/balance_transactions/{id}":                retrieveTxn,
	"GET /v1/events":                                   listEvents,
	"POST /v1/webhook_endpoints":                       createEndpoint,
	"GET /v1/webhook_endpoints":                        listEndpoints,
	"GET /v1/webhook_endpoints/{id}":                   retrieveEndpoint,
	"POST /v1/webhook_endpoints/{id}":                  updateEndpoint,
	"DELETE /v1/webhook_endpoints/{id}":                deleteEndpoint,
	"GET /v1/events/{id}":                              retrieveEvent,
}

// Bounds of what is served.
const (
	maxBody    = 1 << 20   // of a request
	maxAtOnce  = 1024      // requests under way; more are told to slow down
	maxObjects = 5_000_000 // payment intents, charges, … remembered
	maxKeys    = 1_000_000 // idempotency keys of the last 24 hours
)

// request is who asks, as far as the answer depends on it.
type request struct {
	id      string // Request-Id
	account string // Stripe-Account of a connected account; "" is the platform
	key     string // Idempotency-Key, "" when none was given
	path    string
	params  string // digest
	fault   Fault
}

// answer is what is sent back.
type answer struct {
	status int
	body   []byte
	first  string // the Request-Id that was answered first, when this is a replay
}

// serveAPI is every request to /v1/: it is authenticated, read, carried out and
// answered.
func (s *Server) serveAPI(do endpoint) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		req := request{id: s.ids.next("req"), path: r.URL.Path}
		h := w.Header()
		h.Set("Request-Id", req.id)
		h.Set("Stripe-Version", APIVersion)
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "no-cache, no-store")

		req.fault = s.fault(r)
		a, refused := s.call(r, req, do)
		if req.fault == CutAfter {
			panic(http.ErrAbortHandler) // done, and nobody hears of it
		}
		if refused != nil {
			a = answer{status: refused.Status, body: mustJSON(refused.wire(nil, req.id))}
		}
		if a.first != "" {
			h.Set("Idempotent-Replayed", "true")
			h.Set("Original-Request", a.first)
		}
		w.WriteHeader(a.status)
		w.Write(a.body) // whoever hung up asks again
	}
}

// call does everything about a request but write the answer. What it refuses
// here was not begun, and is not saved under an idempotency key.
func (s *Server) call(r *http.Request, req request, do endpoint) (answer, *apiError) {
	if refused := req.fault.turnedAway(); refused != nil {
		return answer{}, refused
	}
	if !s.limit.admits(s.opts.RequestsPerSecond, r.URL.Path, s.opts.Now) {
		return answer{}, tooMany()
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		return answer{}, tooMany()
	}
	if refused := s.authenticate(r); refused != nil {
		return answer{}, refused
	}
	if do == nil {
		e := refuse("", "Unrecognized request URL (%s: %s). Please see https://stripe.com/docs or we can help at https://support.stripe.com/.", r.Method, r.URL.Path)
		e.Status = http.StatusNotFound
		return answer{}, e
	}
	values, refused := readForm(r)
	if refused != nil {
		return answer{}, refused
	}
	if r.Method == http.MethodPost { // on other methods a key means nothing
		req.key, req.params = r.Header.Get("Idempotency-Key"), digest(values)
	}
	if len(req.key) > maxKeyLength {
		return answer{}, refuse("", "Idempotency keys can be up to %d characters long; this one has %d.", maxKeyLength, len(req.key))
	}
	if a := r.Header.Get("Stripe-Account"); a != "" && a != s.AccountID() {
		req.account = a
	}
	if req.key != "" {
		if refused := s.underWay.begin(req.account, req.key); refused != nil {
			return answer{}, refused
		}
		defer s.underWay.end(req.account, req.key)
	}
	p := newParams(values)
	p.sub = r.PathValue("sub")
	return s.execute(req, do(p, r.PathValue("id")), p.done())
}

// authenticate checks the API key and what else must be right of every request.
func (s *Server) authenticate(r *http.Request) *apiError {
	unauthorized := func(format string, args ...any) *apiError {
		e := refuse("", format, args...)
		e.Status = http.StatusUnauthorized
		return e
	}
	key, _, basic := r.BasicAuth()
	if !basic {
		var bearer bool
		if key, bearer = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); !bearer {
			return unauthorized("You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See https://stripe.com/docs/api#authentication for details, or we can help at https://support.stripe.com/.")
		}
	}
	if subtle.ConstantTimeCompare([]byte(key), []byte(s.opts.SecretKey)) != 1 {
		return unauthorized("Invalid API Key provided: %s", redact(key))
	}
	if v := r.Header.Get("Stripe-Version"); v != "" && v != APIVersion {
		return refuse("", "Invalid Stripe API version: %s. This sandbox speaks %s only.", v, APIVersion)
	}
	if a := r.Header.Get("Stripe-Account"); a != "" && a != s.AccountID() && !(s.connected(a) && ofAccounts(r.URL.Path)) {
		e := refuse("account_invalid", "The provided key '%s' does not have access to account '%s' (or that account does not exist). Application access may have been revoked.", redact(key), a)
		e.Status = http.StatusForbidden
		return e
	}
	return nil
}

// ofAccounts tells whether a path is served for connected accounts, too.
func ofAccounts(path string) bool {
	return slices.ContainsFunc([]string{"/v1/payouts", "/v1/balance", "/v1/balance_transactions", "/v1/events"}, func(of string) bool {
		return path == of || strings.HasPrefix(path, of+"/")
	})
}

func (s *Server) connected(account string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.accounts.get(account) != nil
}

// redact shows of a key what Stripe shows: the kind and the last four letters.
func redact(key string) string {
	const head, tail = len("sk_test_"), 4
	if len(key) < head+tail {
		return strings.Repeat("*", len(key))
	}
	return key[:head] + strings.Repeat("*", len(key)-head-tail) + key[len(key)-tail:]
}

// readForm reads the parameters: of the query, or of a form in the body.
func readForm(r *http.Request) (url.Values, *apiError) {
	raw := r.URL.RawQuery
	if r.Method == http.MethodPost {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
		if err != nil {
			return nil, refuse("", "The request's body could not be read: %v", err)
		}
		if len(body) > maxBody {
			e := refuse("", "Request entity too large: at most %d bytes.", maxBody)
			e.Status = http.StatusRequestEntityTooLarge
			return nil, e
		}
		ct, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
		if len(body) > 0 && ct != "application/x-www-form-urlencoded" {
			return nil, refuse("", "Invalid request (check that your POST content type is application/x-www-form-urlencoded). If you have any questions, we can help at https://support.stripe.com/.")
		}
		raw = string(body)
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, refuse("", "Invalid request: the parameters are not well encoded: %v", err)
	}
	return values, nil
}

// execute carries a request out and makes it last. invalid is what is wrong with
// its parameters: a saved answer comes before it, being saved comes after it.
func (s *Server) execute(req request, do op, invalid *apiError) (answer, *apiError) {
	a, seq, deliver, refused := s.perform(req, do, invalid)
	// Commit point. Until the journal has this request on disk it may be lost,
	// with its answer and its key; nobody has been told of it yet. From here on
	// it stays done, and what it did is told at least once.
	if err := s.journal.wait(seq); err != nil {
		s.log.Error("sandbox: the journal cannot be written; nothing is served any more", "error", err)
		return answer{}, brokenError(err)
	}
	s.courier.add(deliver)
	return a, refused
}

func brokenError(err error) *apiError {
	return &apiError{Status: http.StatusInternalServerError, Type: errAPI,
		Message: fmt.Sprintf("The sandbox could not save its state and has stopped: %v. Whether this request took effect is known after a restart.", err)}
}

// perform is the part of execute that happens under the lock: one request at a
// time sees the state and changes it.
func (s *Server) perform(req request, do op, invalid *apiError) (a answer, seq uint64, deliver []parcel, refused *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		if cause := recover(); cause != nil { // a defect: the state may be half changed
			s.stopped = fmt.Errorf("a defect in the sandbox: %v", cause)
			panic(cause)
		}
	}()
	if err := cmp.Or(s.stopped, s.journal.broken()); err != nil {
		return answer{}, 0, nil, brokenError(err)
	}
	t := s.begin(req)
	done := func() {
		seq = s.journal.add(t.entries)
		if s.local {
			s.keepForTaking(t.deliver)
		} else {
			deliver = t.parcels()
		}
		s.keeper.expect(t.nextDue())
	}

	if k := t.keys.get(keyID(req.account, req.key)); k != nil {
		if refused = k.conflict(req.path, req.params); refused == nil {
			a = answer{k.Status, k.Body, k.Request}
		}
		done()
		return a, seq, deliver, refused
	}
	if invalid == nil {
		invalid = s.full(t)
	}
	if invalid != nil {
		done()
		return answer{}, seq, deliver, invalid
	}
	before := len(t.entries)
	if req.fault == ErrorBefore {
		do = func(*tx) (any, *apiError) { return nil, nil }
	}
	result, failed := do(t)
	if req.fault == ErrorBefore || req.fault == ErrorAfter {
		a = crashed()
	} else if failed != nil {
		if !failed.outcome && len(t.entries) > before {
			panic("refused after it had begun: " + failed.Error())
		}
		a = answer{status: failed.Status, body: mustJSON(failed.wire(t.state, req.id))}
	} else {
		a = answer{status: http.StatusOK, body: mustJSON(result)}
	}
	if req.key != "" {
		t.put(entry{Key: &savedKey{req.key, req.account, t.now.Unix(), req.path, req.params, a.status, a.body, req.id}})
	}
	done()
	if s.journal.wantsSnapshot() {
		s.journal.rewrite(t.snapshot())
	}
	return a, seq, deliver, nil
}

// begin looks at the clock and brings the state up to it.
func (s *Server) begin(req request) *tx {
	t := &tx{state: s.state, ids: s.ids, hooks: s.local || s.opts.WebhookLater || s.courier.hasEndpoint(), wanted: s.opts.WebhookEvents, lag: s.opts.Lag}
	if s.opts.WebhookChaos.Twin > 0 {
		t.twin = s.courier.chaos.twin
	}
	t.until(s.opts.Now()) // asked for by nobody: its events name no request
	t.request, t.key, t.account = req.id, req.key, cmp.Or(req.account, t.header.Account)
	return t
}

// full refuses to remember more than fits.
func (s *Server) full(t *tx) *apiError {
	if t.objects() < maxObjects && t.keys.len() < maxKeys {
		return nil
	}
	return &apiError{Status: http.StatusTooManyRequests, Type: errInvalid, Code: "rate_limit",
		Message: fmt.Sprintf("The sandbox is full: it keeps %d objects and %d idempotency keys of the last 24 hours. Start it on a new directory.", maxObjects, maxKeys)}
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("sandbox: an answer cannot be written as JSON: %v", err)) // a defect
	}
	return b
}

// errClosed is the answer to what comes after [Server.Close].
var errClosed = errors.New("the sandbox is closed")
