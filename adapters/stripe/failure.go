package stripe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	stripego "github.com/stripe/stripe-go/v76"

	"kicau/domain/payment"
)

// A failure is what an error proves.
type failure struct {
	kind            failureKind
	code, decline   string
	reason          string // for people; may be recorded for ever
	intent          string // the payment intent that the error speaks of
	nothingLikeThat bool   // refused because the object does not exist
	endless         bool   // a list is longer than what is looked through of it
}

type failureKind int

const (
	// open: nothing is proven. The call may have been done or not, or may be
	// done when it is made again.
	open failureKind = iota
	// final: Stripe refused this request and would refuse it again.
	final
	// declined: the request was carried out, and the card said no.
	declined
)

func refused(code, reason string) *failure { return &failure{kind: final, code: code, reason: reason} }

func (f *failure) unknown() payment.Outcome { return payment.Unknown{Reason: f.reason} }

// outcome for a call whose only definite no is a failure.
func (f *failure) outcome() payment.Outcome {
	if f.kind == open {
		return f.unknown()
	}
	return payment.Failed{Code: f.code, Reason: f.reason}
}

// refusal is an answer that says no.
type refusal struct {
	status    int
	requestID string

	Type          stripego.ErrorType   `json:"type"`
	Code          stripego.ErrorCode   `json:"code"`
	DeclineCode   stripego.DeclineCode `json:"decline_code"`
	Message       string               `json:"message"`
	PaymentIntent ref                  `json:"payment_intent"`
}

func (e *refusal) Error() string { return e.sentence() }

// errNoRefusal is an answer with the status of an error, and not the body of one.
var errNoRefusal = errors.New("an error of somebody else")

// refusalOf reads an answer that says no; another error when it is none of Stripe's.
func refusalOf(res *http.Response) error {
	var body struct {
		Error *refusal `json:"error"`
	}
	if err := json.UnmarshalRead(res.Body, &body, asSent); err != nil {
		return err
	}
	if body.Error == nil {
		return errNoRefusal
	}
	body.Error.status, body.Error.requestID = res.StatusCode, res.Header.Get("Request-Id")
	return body.Error
}

// passing are the codes that say "not now", whatever status they come with.
var passing = []stripego.ErrorCode{
	stripego.ErrorCodeLockTimeout,
	stripego.ErrorCodeRateLimit,
	stripego.ErrorCodeIdempotencyKeyInUse,
	stripego.ErrorCodeAPIKeyExpired,
	stripego.ErrorCodePlatformAPIKeyExpired,
	stripego.ErrorCodeLivemodeMismatch,
}

// failureOf says what an error of a call proves, after
// https://docs.stripe.com/error-low-level:
//
//	400, 402 invalid_request_error        refused; nothing was done
//	404 resource_missing                  the same (another 404 is an address that is not Stripe's)
//	402 card_error                        declined
//	400 idempotency_error                 open: the key was sent before, with other parameters
//	401, 403                              open: somebody has to mend the key; the order is not to blame
//	409, 429, 5xx                         open; a 500 is saved and comes again for as long as the key lives
//	anything else, or no answer           open
func failureOf(err error) *failure {
	var e *refusal
	if !errors.As(err, &e) {
		return &failure{reason: withoutAnswer(err)}
	}
	f := &failure{code: string(e.Code), decline: string(e.DeclineCode), reason: e.sentence(), intent: string(e.PaymentIntent)}
	if f.code == "" {
		f.code = string(e.Type)
	}
	switch {
	case slices.Contains(passing, e.Code) || e.inOtherMode():
	case e.status == http.StatusPaymentRequired && e.Type == stripego.ErrorTypeCard:
		f.kind = declined
	case e.invalid():
		f.kind = final
		f.nothingLikeThat = e.Code == stripego.ErrorCodeResourceMissing
	}
	return f
}

func (e *refusal) invalid() bool {
	if e.Type != stripego.ErrorTypeInvalidRequest {
		return false
	}
	switch e.status {
	case http.StatusBadRequest, http.StatusPaymentRequired:
		return true
	case http.StatusNotFound:
		return e.Code == stripego.ErrorCodeResourceMissing
	}
	return false
}

// inOtherMode tells a key of the wrong mode from an object that does not exist.
// An account has the same id in both modes, so nothing else would notice, and
// every order would be found to have lost its money.
func (e *refusal) inOtherMode() bool {
	return e.Code == stripego.ErrorCodeResourceMissing && strings.Contains(e.Message, "similar object exists in")
}

// sentence says what Stripe answered. Stripe's own words are kept only where
// they are about the request: those about a key quote a part of it, and those
// about a crash say nothing.
func (e *refusal) sentence() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Stripe answered %d %s", e.status, e.Type)
	if e.Code != "" {
		fmt.Fprintf(&b, " %s", e.Code)
	}
	if e.Message != "" && (e.Type == stripego.ErrorTypeInvalidRequest || e.Type == stripego.ErrorTypeCard) &&
		e.status != http.StatusUnauthorized && e.status != http.StatusForbidden {
		fmt.Fprintf(&b, ": %s", e.Message)
	}
	text := short(b.String())
	if e.requestID != "" {
		text += " (" + short(e.requestID) + ")"
	}
	return text
}

// withoutAnswer says why there is none. The text of an error about an answer that
// could not be read is not repeated: it may quote it.
func withoutAnswer(err error) string {
	var u *url.Error
	var large *http.MaxBytesError
	switch {
	case errors.Is(err, context.Canceled):
		return "the call was given up before Stripe answered"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &u) && u.Timeout():
		return "Stripe did not answer in time"
	case errors.As(err, &u):
		return short("no answer from Stripe: " + u.Err.Error())
	case errors.As(err, &large):
		return "Stripe's answer was too long to be one"
	}
	return "Stripe's answer could not be read"
}

// maxReason bounds a text that goes into an event, in bytes.
const maxReason = 300

func short(s string) string {
	if len(s) <= maxReason {
		return strings.ToValidUTF8(s, "?")
	}
	end := maxReason
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return strings.ToValidUTF8(s[:end], "?") + "…"
}
