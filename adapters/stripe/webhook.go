package stripe

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stripe/stripe-go/v76/webhook"
)

// Tolerance is how far the time of a signature may be from ours, either way. It
// bounds for how long a notice that was overheard can be sent again.
const Tolerance = webhook.DefaultTolerance

// Refusals of a notice. None of them says more to the sender than that it was
// refused.
var (
	ErrNotAuthentic = errors.New("the notice is not signed with the endpoint's secret")
	ErrNotFresh     = fmt.Errorf("the notice was signed more than %s from now", Tolerance)
	ErrUnreadable   = errors.New("the notice is signed, but is not an event of Stripe's")
)

// Webhook verifies notices to one endpoint.
//
// A notice comes late, twice, out of order, or never, and shows its object as it
// was then, in the endpoint's API version. So it is a signal only: of its object
// nothing is used but ids, which mean the same in every version, and what they
// name is read again. Therefore a notice of any API version is taken, a notice
// that comes twice is harmless, and so is one that comes after a later one.
type Webhook struct {
	secret string
	now    func() time.Time
}

// NewWebhook verifies with the endpoint's secret (whsec_…). While a secret is
// being rolled Stripe signs with both, so one is enough. A nil now is time.Now.
func NewWebhook(secret string, now func() time.Time) (*Webhook, error) {
	if strings.TrimSpace(secret) == "" {
		return nil, errors.New("stripe: a webhook without a secret would believe everybody; copy the endpoint's (whsec_…)")
	}
	if now == nil {
		now = time.Now
	}
	return &Webhook{secret, now}, nil
}

// Notice that something happened at Stripe.
type Notice struct {
	ID, Type string
	Kind     string // of the object that it is about, "dispute"
	Object   string // its id
	// Intent that the object is or belongs to; empty when there is none, and
	// always when the object is of a connected account, which is not ours to read.
	Intent string
	// Charge that the object belongs to, when the notice names no intent: it knows
	// its own (see [Client.Read]).
	Charge string
	// Key of the request that made the object what it is; empty where the notice may
	// say more than the answer to that request did: of disputes and warnings, and of
	// refunds, which go on by themselves.
	Key      string
	Account  string // the connected account that it is about; empty: our own
	Livemode bool
	Created  time.Time
}

// Verify says what a notice is about, when it is authentic and fresh. header is
// Stripe-Signature, body is as it came: one byte changed, and it is refused.
func (w *Webhook) Verify(body []byte, header string) (Notice, error) {
	// stripe-go lets signatures from the future pass, and looks at the real clock.
	err := webhook.ValidatePayloadIgnoringTolerance(body, header, w.secret)
	if err != nil {
		return Notice{}, fmt.Errorf("%w: %v", ErrNotAuthentic, err)
	}
	signed, err := signedAt(header)
	if err != nil {
		return Notice{}, fmt.Errorf("%w: %v", ErrNotAuthentic, err)
	}
	if age := w.now().Sub(signed); age > Tolerance || age < -Tolerance {
		return Notice{}, fmt.Errorf("%w: at %s", ErrNotFresh, signed.UTC().Format(time.RFC3339))
	}
	var e event
	if err := json.Unmarshal(body, &e, asSent); err != nil {
		return Notice{}, fmt.Errorf("%w: %v", ErrUnreadable, err)
	}
	if e.ID == "" || e.Object != "event" {
		return Notice{}, ErrUnreadable
	}
	return noticeOf(&e), nil
}

// signedAt is the time that the signature covers. Two of them would leave open
// which.
func signedAt(header string) (time.Time, error) {
	var at string
	for pair := range strings.SplitSeq(header, ",") {
		if t, ok := strings.CutPrefix(pair, "t="); ok {
			if at != "" {
				return time.Time{}, errors.New("two timestamps")
			}
			at = t
		}
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return time.Time{}, errors.New("no timestamp")
	}
	return time.Unix(seconds, 0), nil
}

// noticeOf takes the ids out of an event.
func noticeOf(e *event) Notice {
	n := Notice{ID: e.ID, Type: string(e.Type), Account: e.Account, Livemode: e.Livemode, Created: time.Unix(e.Created, 0).UTC()}
	var o struct {
		ID            string `json:"id"`
		Object        string `json:"object"`
		PaymentIntent any    `json:"payment_intent"`
		Charge        any    `json:"charge"`
	}
	if json.Unmarshal(e.Data.Object, &o, asSent) != nil {
		return n
	}
	n.Kind, n.Object = o.Object, o.ID
	if e.Account != "" {
		return n
	}
	switch o.Object {
	case "payment_intent":
		n.Intent = o.ID
	case "charge", "refund", "dispute", "radar.early_fraud_warning":
		n.Intent, _ = o.PaymentIntent.(string)
		if n.Intent == "" {
			n.Charge, _ = o.Charge.(string)
		}
	}
	if o.Object == "payment_intent" || o.Object == "charge" {
		n.Key = e.Request.IdempotencyKey
	}
	return n
}
