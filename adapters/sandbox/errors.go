package sandbox

import (
	"fmt"
	"net/http"
	"strings"
)

// Kinds of API error, https://stripe.com/docs/api/errors.
const (
	errAPI         = "api_error"
	errCard        = "card_error"
	errIdempotency = "idempotency_error"
	errInvalid     = "invalid_request_error"
)

// apiError is what the API answers when it does not do what it was asked.
type apiError struct {
	Status  int
	Type    string
	Code    string
	Decline string
	Message string
	Param   string
	Charge  string
	Intent  *intent
	Method  *method
	Setup   *setup
	// outcome marks a card's decline: the request was carried out, this is what
	// came of it. Every other error is a refusal and has changed nothing.
	outcome bool
}

func (e *apiError) Error() string { return e.Code + ": " + e.Message }

// on names the parameter that is to blame.
func (e *apiError) on(param string) *apiError { e.Param = param; return e }

func refuse(code, format string, args ...any) *apiError {
	return &apiError{Status: http.StatusBadRequest, Type: errInvalid, Code: code, Message: fmt.Sprintf(format, args...)}
}

// unexpectedState refuses what a PaymentIntent's status does not allow.
func unexpectedState(pi intent, format string, args ...any) *apiError {
	e := refuse("payment_intent_unexpected_state", format, args...)
	e.Intent = &pi
	return e
}

// noSuch refuses an id that names nothing: 404 when it is in the path, 400 when
// a parameter refers to it.
func noSuch(status int, kind, id, param string) *apiError {
	e := refuse("resource_missing", "No such %s: '%s'", kind, id).on(param)
	e.Status = status
	return e
}

func missing(param string) *apiError {
	return refuse("parameter_missing", "Missing required param: %s.", param).on(param)
}

// oneOf writes a list of choices as Stripe's messages do: "a, b, or c".
func oneOf(choices []string) string {
	switch n := len(choices); n {
	case 1:
		return choices[0]
	case 2:
		return choices[0] + " or " + choices[1]
	default:
		return strings.Join(choices[:n-1], ", ") + ", or " + choices[n-1]
	}
}

// errorWire is the JSON of an error; absent fields are left out, as Stripe does.
type errorWire struct {
	Error struct {
		Charge        string `json:"charge,omitempty"`
		Code          string `json:"code,omitempty"`
		DeclineCode   string `json:"decline_code,omitempty"`
		DocURL        string `json:"doc_url,omitempty"`
		Message       string `json:"message"`
		Param         string `json:"param,omitempty"`
		PaymentIntent any    `json:"payment_intent,omitempty"`
		PaymentMethod any    `json:"payment_method,omitempty"`
		SetupIntent   any    `json:"setup_intent,omitempty"`
		RequestLogURL string `json:"request_log_url,omitempty"`
		Type          string `json:"type"`
	} `json:"error"`
}

// wire renders e; st may be nil when e names no object.
func (e *apiError) wire(st *state, requestID string) errorWire {
	var w errorWire
	w.Error.Charge = e.Charge
	w.Error.Code = e.Code
	w.Error.DeclineCode = e.Decline
	w.Error.DocURL = docURL(e.Code)
	w.Error.Message = e.Message
	w.Error.Param = e.Param
	if e.Intent != nil {
		w.Error.PaymentIntent = st.intentWire(e.Intent, nil)
	}
	if e.Method != nil {
		w.Error.PaymentMethod = methodWireOf(e.Method)
	}
	if e.Setup != nil {
		w.Error.SetupIntent = st.setupWire(e.Setup, nil)
	}
	w.Error.RequestLogURL = "https://dashboard.stripe.com/test/logs/" + requestID
	w.Error.Type = e.Type
	return w
}

func docURL(code string) string {
	if code == "" {
		return ""
	}
	return "https://stripe.com/docs/error-codes/" + strings.ReplaceAll(code, "_", "-")
}
