package sandbox

import (
	"cmp"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
)

// setup is a SetupIntent: a holder agrees that a card is used later. It has the
// statuses of a PaymentIntent that are about the holder.
type setup struct {
	ID           string
	ClientSecret string
	Created      int64
	Status       string
	Method       string `json:",omitempty"`
	Customer     string `json:",omitempty"`
	Usage        string
	Redirects    string     `json:",omitempty"`
	ReturnURL    string     `json:",omitempty"`
	Description  string     `json:",omitempty"`
	LastError    *lastError `json:",omitempty"`
	CancelReason string     `json:",omitempty"`
	Metadata     map[string]string
}

// setupChange is what create and update have in common.
func (p *params) setupChange() func(*setup) {
	customer, method := p.word("customer"), p.word("payment_method")
	description, described := p.text("description", maxDescription)
	metadata, clear := p.metadata()
	return func(s *setup) {
		s.Customer = cmp.Or(customer, s.Customer)
		if method != "" {
			s.Method, s.Status = method, requiresConfirmation
		}
		if described {
			s.Description = description
		}
		s.Metadata = changed(s.Metadata, metadata, clear)
	}
}

// createSetup: POST /v1/setup_intents
func createSetup(p *params, _ string) op {
	redirects := p.methodTypes()
	usage := p.choice("usage", "off_session", "off_session", "on_session")
	confirm, _ := p.boolean("confirm")
	returnURL := p.returnURL()
	if returnURL != "" && !confirm {
		p.fail(refuse("", "return_url can only be used when confirm is true.").on("return_url"))
	}
	change := p.setupChange()
	e := p.expand("setup_intent")
	return func(t *tx) (any, *apiError) {
		s := setup{ID: t.newID("seti"), Created: t.now.Unix(), Status: requiresMethod, Usage: usage, Redirects: redirects, ReturnURL: returnURL}
		s.ClientSecret = t.newID(s.ID + "_secret")
		change(&s)
		if err := t.payer(s.Customer); err != nil {
			return nil, err
		}
		m, err := t.setupMethod(&s)
		if err != nil {
			return nil, err
		}
		if confirm {
			if err := s.confirmable(); err != nil {
				return nil, err
			}
		}
		t.keep(m)
		t.put(entry{Setup: &s})
		t.emit("setup_intent.created", t.setupWire(&s, nil))
		if confirm {
			if err := t.setUp(s, false); err != nil {
				return nil, err
			}
		}
		return t.setupWire(t.setups.get(s.ID), e), nil
	}
}

// setupMethod puts the id of the PaymentMethod in place that s names, which may
// be a token; nil: it names none.
func (t *tx) setupMethod(s *setup) (*method, *apiError) {
	if s.Method == "" {
		return nil, nil
	}
	m, err := t.usableMethod(s.Method, s.Customer)
	if err == nil {
		s.Method = m.ID
	}
	return m, err
}

// setupAt is the SetupIntent of a request's path.
func (t *tx) setupAt(id string) (setup, *apiError) {
	if s := t.setups.get(id); s != nil {
		return *s, nil
	}
	return setup{}, noSuch(http.StatusNotFound, "setupintent", id, "intent")
}

// wrongSetup refuses what a SetupIntent's status does not allow.
func wrongSetup(s setup, format string, args ...any) *apiError {
	return refuse("setup_intent_unexpected_state", format, args...)
}

func (s *setup) confirmable() *apiError {
	switch {
	case s.Status == succeeded || s.Status == canceled:
		return wrongSetup(*s, "You cannot confirm this SetupIntent because it has a status of %s.", s.Status)
	case s.Method == "":
		return wrongSetup(*s, "You cannot confirm this SetupIntent because it's missing a payment method. Update the SetupIntent with a payment method and then confirm it again, or confirm it directly with one.")
	case s.Redirects == "always" && s.ReturnURL == "":
		return refuse("", "This SetupIntent may redirect your customer: provide a `return_url`, or set `automatic_payment_methods[allow_redirects]` to `never`.").on("return_url")
	}
	return nil
}

// confirmSetup: POST /v1/setup_intents/{id}/confirm
func confirmSetup(p *params, id string) op {
	name, returnURL := p.word("payment_method"), p.returnURL()
	e := p.expand("setup_intent")
	return func(t *tx) (any, *apiError) {
		s, err := t.setupAt(id)
		if err != nil {
			return nil, err
		}
		s.Method, s.ReturnURL = cmp.Or(name, s.Method), cmp.Or(returnURL, s.ReturnURL)
		if err := s.confirmable(); err != nil {
			return nil, err
		}
		m, err := t.setupMethod(&s)
		if err != nil {
			return nil, err
		}
		t.keep(m)
		if err := t.setUp(s, false); err != nil {
			return nil, err
		}
		return t.setupWire(t.setups.get(id), e), nil
	}
}

// setUp asks the card: its holder must agree, its issuer may refuse.
func (t *tx) setUp(s setup, agreed bool) *apiError {
	m := *t.methods.get(s.Method)
	card := cardsByToken[m.Card]
	if card.challenge != never && !agreed {
		s.Status = requiresAction
		t.put(entry{Setup: &s})
		t.emit("setup_intent.requires_action", t.setupWire(&s, nil))
		return nil
	}
	if d := card.decline; d != nil && card.challenge == never && card.token != "pm_card_chargeCustomerFail" {
		s.Status, s.Method = requiresMethod, ""
		s.LastError = &lastError{Type: errCard, Code: d.code, Decline: d.reason, Message: d.message, Param: d.param, Method: m.ID}
		t.put(entry{Setup: &s})
		t.emit("setup_intent.setup_failed", t.setupWire(&s, nil))
		return &apiError{Status: http.StatusPaymentRequired, Type: errCard, Code: d.code, Decline: d.reason, Message: d.message, Param: d.param, Method: &m, Setup: &s, outcome: true}
	}
	attached := s.Customer != "" && m.Customer == ""
	m.SetUp, m.Customer = s.Usage == "off_session", cmp.Or(s.Customer, m.Customer)
	t.put(entry{Method: &m})
	if attached {
		t.emit("payment_method.attached", methodWireOf(&m))
	}
	s.Status, s.LastError = succeeded, nil
	t.put(entry{Setup: &s})
	t.emit("setup_intent.succeeded", t.setupWire(&s, nil))
	return nil
}

// answerSetup takes the holder's answer to a challenge.
func (t *tx) answerSetup(s setup, agreed bool) *apiError {
	if agreed {
		return t.setUp(s, true)
	}
	s.LastError = &lastError{Type: errInvalid, Code: "setup_intent_authentication_failure", Method: s.Method,
		Message: "The latest attempt to set up the payment method has failed because authentication failed."}
	s.Status, s.Method = requiresMethod, ""
	t.put(entry{Setup: &s})
	t.emit("setup_intent.setup_failed", t.setupWire(&s, nil))
	return nil
}

// updateSetup: POST /v1/setup_intents/{id}
func updateSetup(p *params, id string) op {
	change := p.setupChange()
	e := p.expand("setup_intent")
	return func(t *tx) (any, *apiError) {
		s, err := t.setupAt(id)
		if err != nil {
			return nil, err
		}
		was := s
		change(&s)
		if s.Method != was.Method && !slices.Contains(open, was.Status) {
			return nil, wrongSetup(s, "You cannot update the payment method of this SetupIntent because it has a status of %s.", was.Status)
		}
		if err := t.payer(s.Customer); err != nil {
			return nil, err
		}
		if s.Method != was.Method {
			m, err := t.setupMethod(&s)
			if err != nil {
				return nil, err
			}
			t.keep(m)
		}
		t.put(entry{Setup: &s})
		return t.setupWire(&s, e), nil
	}
}

// cancelSetup: POST /v1/setup_intents/{id}/cancel
func cancelSetup(p *params, id string) op {
	reason := p.choice("cancellation_reason", "", "abandoned", "requested_by_customer", "duplicate")
	e := p.expand("setup_intent")
	return func(t *tx) (any, *apiError) {
		s, err := t.setupAt(id)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(open, s.Status) {
			return nil, wrongSetup(s, "You cannot cancel this SetupIntent because it has a status of %s. Only a SetupIntent with one of the following statuses may be canceled: %s.", s.Status, list(open))
		}
		s.Status, s.CancelReason = canceled, reason
		t.put(entry{Setup: &s})
		t.emit("setup_intent.canceled", t.setupWire(&s, nil))
		return t.setupWire(&s, e), nil
	}
}

// retrieveSetup: GET /v1/setup_intents/{id}
func retrieveSetup(p *params, id string) op {
	e := p.expand("setup_intent")
	return func(t *tx) (any, *apiError) {
		s, err := t.setupAt(id)
		if err != nil {
			return nil, err
		}
		return t.setupWire(&s, e), nil
	}
}

// listSetups: GET /v1/setup_intents
func listSetups(p *params, _ string) op {
	pg := p.paging("setup_intent")
	customer, method := p.word("customer"), p.word("payment_method")
	return func(t *tx) (any, *apiError) {
		return page(&t.setups, t.setups.order, pg, "/v1/setup_intents",
			func(s *setup) bool {
				return (customer == "" || s.Customer == customer) && (method == "" || s.Method == method)
			},
			func(s *setup) int64 { return s.Created },
			func(s *setup) any { return t.setupWire(s, pg.expand) })
	}
}

// The page where a holder agrees to a setup, like the one for a payment.

func (st *state) setupURL(s *setup) string {
	return st.baseURL + "/setup/" + s.ID + "?" + url.Values{"client_secret": {s.ClientSecret}}.Encode()
}

func (t *tx) setupOf(r *http.Request) (setup, *apiError) {
	s := t.setups.get(r.PathValue("id"))
	if s == nil || subtle.ConstantTimeCompare([]byte(s.ClientSecret), []byte(r.URL.Query().Get("client_secret"))) != 1 {
		return setup{}, noSuch(http.StatusNotFound, "setup", r.PathValue("id"), "")
	}
	return *s, nil
}

func (s *Server) showSetup(w http.ResponseWriter, r *http.Request) {
	var su setup
	if e := s.act(func(t *tx) (e *apiError) { su, e = t.setupOf(r); return e }); e != nil {
		s.refusePage(w, e)
		return
	}
	s.setupPage(w, r, su)
}

func (s *Server) setupPage(w http.ResponseWriter, r *http.Request, su setup) {
	back, ok := s.back(su.ReturnURL)
	if !ok {
		back = nil
	}
	data := pageData{Action: r.URL.RequestURI(), Status: su.Status, Description: cmp.Or(su.Description, "A card is kept for later payments.")}
	if su.Status == requiresAction {
		s.page(w, http.StatusOK, "challenge.html", data, back)
		return
	}
	s.page(w, http.StatusOK, "setup.html", data, back)
}

func (s *Server) answerSetup(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	agreed := r.PostFormValue("outcome") == "complete"
	var su setup
	failed := s.act(func(t *tx) (e *apiError) {
		if su, e = t.setupOf(r); e != nil || su.Status != requiresAction {
			return e // answered already, in another window
		}
		e = t.answerSetup(su, agreed)
		su = *t.setups.get(su.ID)
		return e
	})
	if failed != nil && !failed.outcome {
		s.refusePage(w, failed)
		return
	}
	back, ok := s.back(su.ReturnURL)
	if !ok || back == nil {
		s.setupPage(w, r, su)
		return
	}
	q := back.Query()
	q.Set("setup_intent", su.ID)
	q.Set("setup_intent_client_secret", su.ClientSecret)
	q.Set("redirect_status", "failed")
	if su.Status == succeeded {
		q.Set("redirect_status", "succeeded")
	}
	back.RawQuery = q.Encode()
	http.Redirect(w, r, back.String(), http.StatusSeeOther)
}

type setupWire struct {
	ID                   string            `json:"id"`
	Object               string            `json:"object"`
	Application          any               `json:"application"`
	AutomaticMethods     any               `json:"automatic_payment_methods"`
	CancellationReason   any               `json:"cancellation_reason"`
	ClientSecret         string            `json:"client_secret"`
	Created              int64             `json:"created"`
	Customer             any               `json:"customer"`
	Description          any               `json:"description"`
	FlowDirections       any               `json:"flow_directions"`
	LastSetupError       any               `json:"last_setup_error"`
	LatestAttempt        any               `json:"latest_attempt"`
	Livemode             bool              `json:"livemode"`
	Mandate              any               `json:"mandate"`
	Metadata             map[string]string `json:"metadata"`
	NextAction           any               `json:"next_action"`
	OnBehalfOf           any               `json:"on_behalf_of"`
	PaymentMethod        any               `json:"payment_method"`
	ConfigurationDetails any               `json:"payment_method_configuration_details"`
	PaymentMethodOptions any               `json:"payment_method_options"`
	PaymentMethodTypes   []string          `json:"payment_method_types"`
	SingleUseMandate     any               `json:"single_use_mandate"`
	Status               string            `json:"status"`
	Usage                string            `json:"usage"`
}

var cardSetupOptions = json.RawMessage(`{"card":{"mandate_options":null,"network":null,"request_three_d_secure":"automatic"}}`)

func (st *state) setupWire(s *setup, e expansion) *setupWire {
	w := &setupWire{
		ID: s.ID, Object: "setup_intent", CancellationReason: null(s.CancelReason), ClientSecret: s.ClientSecret, Created: s.Created,
		Customer: st.ref(e, "customer", s.Customer), Description: null(s.Description), LastSetupError: st.lastErrorWire(s.LastError),
		Metadata: metadataOf(s.Metadata), PaymentMethod: st.ref(e, "payment_method", s.Method),
		PaymentMethodOptions: cardSetupOptions, PaymentMethodTypes: cardOnly, Status: s.Status, Usage: s.Usage,
	}
	if s.Redirects != "" {
		w.AutomaticMethods = map[string]any{"allow_redirects": s.Redirects, "enabled": true}
	}
	if s.Status == requiresAction {
		w.NextAction = actionAt(st.setupURL(s), s.ReturnURL)
	}
	return w
}
