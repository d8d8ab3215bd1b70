package stripe

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	stripego "github.com/stripe/stripe-go/v76"
)

// Shapes: what is read of Stripe's objects, and no more, in one pass over their
// bytes. stripe-go's own types hold every field that Stripe has, and scan their bytes
// again at every level (BenchmarkShapes compares). A field is called as in stripe-go,
// and TestShapesReadTheSame compares what both read.

// asSent takes what Stripe sends, as encoding/json does: somebody else's metadata or
// a shipping address that is no UTF-8 must not make a payment unreadable.
var asSent = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// repeatable is in shapes of answers of which it matters whether Stripe gave them
// before (https://docs.stripe.com/api/idempotent_requests).
type repeatable struct {
	Repeated bool `json:"-"`
}

func (r *repeatable) setRepeated() { r.Repeated = true }

// ref is the id of another object, whether Stripe sends the id only or the object
// (https://docs.stripe.com/api/expanding_objects); empty when there is none.
type ref string

func (r *ref) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	var o struct {
		ID string `json:"id"`
	}
	err := idOrWhole(d, &o.ID, &o)
	*r = ref(o.ID)
	return err
}

// idOrWhole reads an object that may be its id only.
func idOrWhole(d *jsontext.Decoder, id *string, whole any) error {
	switch d.PeekKind() {
	case '"':
		return json.UnmarshalDecode(d, id)
	case 'n': // null
		return d.SkipValue()
	}
	return json.UnmarshalDecode(d, whole)
}

type paymentIntent struct {
	repeatable
	ID                 string                                   `json:"id"`
	Status             stripego.PaymentIntentStatus             `json:"status"`
	AmountCapturable   int64                                    `json:"amount_capturable"`
	AmountReceived     int64                                    `json:"amount_received"`
	Currency           stripego.Currency                        `json:"currency"`
	Customer           ref                                      `json:"customer"`
	PaymentMethod      ref                                      `json:"payment_method"`
	Metadata           map[string]string                        `json:"metadata"`
	CancellationReason stripego.PaymentIntentCancellationReason `json:"cancellation_reason"`
	ClientSecret       string                                   `json:"client_secret"`
	LatestCharge       *latestCharge                            `json:"latest_charge"`
	LastPaymentError   *paymentError                            `json:"last_payment_error"`
	NextAction         *struct {
		RedirectToURL *struct {
			URL string `json:"url"`
		} `json:"redirect_to_url"`
	} `json:"next_action"`
}

type paymentError struct {
	Type        stripego.ErrorType   `json:"type"`
	Code        stripego.ErrorCode   `json:"code"`
	DeclineCode stripego.DeclineCode `json:"decline_code"`
}

// latestCharge of a payment intent.
type latestCharge struct {
	ID                   string                `json:"id"`
	Created              int64                 `json:"created"`
	Status               stripego.ChargeStatus `json:"status"`
	PaymentMethod        string                `json:"payment_method"`
	BalanceTransaction   *chargeTransaction    `json:"balance_transaction"`
	PaymentMethodDetails *struct {
		Card *struct {
			Brand         stripego.PaymentMethodCardBrand `json:"brand"`
			Last4         string                          `json:"last4"`
			CaptureBefore int64                           `json:"capture_before"`
		} `json:"card"`
	} `json:"payment_method_details"`
	Refunds *struct {
		HasMore bool      `json:"has_more"`
		Data    []*refund `json:"data"`
	} `json:"refunds"`
}

func (c *latestCharge) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	type plain latestCharge
	return idOrWhole(d, &c.ID, (*plain)(c))
}

// transaction of the balance.
type transaction struct {
	ID                string                                       `json:"id"`
	Amount            int64                                        `json:"amount"`
	Fee               int64                                        `json:"fee"`
	Net               int64                                        `json:"net"`
	Currency          stripego.Currency                            `json:"currency"`
	ReportingCategory stripego.BalanceTransactionReportingCategory `json:"reporting_category"`
	Created           int64                                        `json:"created"`
}

// chargeTransaction is that of a charge or a refund. When all that is known is
// its id, it has no currency.
type chargeTransaction struct{ transaction }

func (t *chargeTransaction) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return idOrWhole(d, &t.ID, &t.transaction)
}

// booked is a transaction with what it is about.
type booked struct {
	transaction
	Source *source `json:"source"`
}

// source of a transaction: an object of any kind, which says which.
type source struct {
	ID             string                                `json:"id"`
	Object         stripego.BalanceTransactionSourceType `json:"object"`
	Metadata       map[string]string                     `json:"metadata"`
	PaymentIntent  ref                                   `json:"payment_intent"`
	Charge         *sourceCharge                         `json:"charge"`
	OriginalPayout ref                                   `json:"original_payout"`
}

func (s *source) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	type plain source
	return idOrWhole(d, &s.ID, (*plain)(s))
}

type sourceCharge struct {
	ID       string            `json:"id"`
	Metadata map[string]string `json:"metadata"`
}

func (c *sourceCharge) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	type plain sourceCharge
	return idOrWhole(d, &c.ID, (*plain)(c))
}

// charged is a charge as it is found, for its payment intent.
type charged struct {
	ID            string            `json:"id"`
	Metadata      map[string]string `json:"metadata"`
	PaymentIntent ref               `json:"payment_intent"`
}

type refund struct {
	ID                        string                       `json:"id"`
	Status                    stripego.RefundStatus        `json:"status"`
	Amount                    int64                        `json:"amount"`
	Currency                  stripego.Currency            `json:"currency"`
	FailureReason             stripego.RefundFailureReason `json:"failure_reason"`
	Metadata                  map[string]string            `json:"metadata"`
	BalanceTransaction        *chargeTransaction           `json:"balance_transaction"`
	FailureBalanceTransaction ref                          `json:"failure_balance_transaction"`
}

// moved is a transfer or the reversal of one.
type moved struct {
	ID                 string            `json:"id"`
	Metadata           map[string]string `json:"metadata"`
	BalanceTransaction ref               `json:"balance_transaction"`
}

type dispute struct {
	repeatable
	ID                  string                 `json:"id"`
	Status              stripego.DisputeStatus `json:"status"`
	Reason              stripego.DisputeReason `json:"reason"`
	Amount              int64                  `json:"amount"`
	Currency            stripego.Currency      `json:"currency"`
	Charge              ref                    `json:"charge"`
	BalanceTransactions []*transaction         `json:"balance_transactions"`
	EvidenceDetails     *struct {
		DueBy           int64 `json:"due_by"`
		SubmissionCount int64 `json:"submission_count"`
	} `json:"evidence_details"`
}

// warning is an early fraud warning.
type warning struct {
	ID         string                                   `json:"id"`
	FraudType  stripego.RadarEarlyFraudWarningFraudType `json:"fraud_type"`
	Actionable bool                                     `json:"actionable"`
	Charge     ref                                      `json:"charge"`
}

// paidOut is a payout.
type paidOut struct {
	ID                        string                     `json:"id"`
	Status                    stripego.PayoutStatus      `json:"status"`
	Amount                    int64                      `json:"amount"`
	Currency                  stripego.Currency          `json:"currency"`
	Created                   int64                      `json:"created"`
	ArrivalDate               int64                      `json:"arrival_date"`
	Automatic                 bool                       `json:"automatic"`
	BalanceTransaction        ref                        `json:"balance_transaction"`
	FailureCode               stripego.PayoutFailureCode `json:"failure_code"`
	FailureBalanceTransaction ref                        `json:"failure_balance_transaction"`
	OriginalPayout            ref                        `json:"original_payout"`
	ReversedBy                *paidBack                  `json:"reversed_by"`
}

// paidBack is the payout that brought another back.
type paidBack struct {
	ID                 string `json:"id"`
	BalanceTransaction ref    `json:"balance_transaction"`
}

func (p *paidBack) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	type plain paidBack
	return idOrWhole(d, &p.ID, (*plain)(p))
}

// account is the platform, or a shop.
type account struct {
	ID string `json:"id"`
}

// balance of the platform.
type balance struct {
	Available []*amount `json:"available"`
	Pending   []*amount `json:"pending"`
}

type amount struct {
	Amount   int64             `json:"amount"`
	Currency stripego.Currency `json:"currency"`
}

// customer is nobody, see keepCard.
type customer struct {
	ID string `json:"id"`
}

// hook is a webhook endpoint. Its secret is in the answer that makes it only.
type hook struct {
	repeatable
	ID            string   `json:"id"`
	URL           string   `json:"url"`
	Status        string   `json:"status"`
	APIVersion    string   `json:"api_version"`
	EnabledEvents []string `json:"enabled_events"`
	Secret        string   `json:"secret"`
}

// event that happened at Stripe. Its object is kept as it came, for it may be of any
// kind and API version. (stripe-go's would be decoded whole, as a map.)
type event struct {
	ID       string             `json:"id"`
	Object   string             `json:"object"`
	Type     stripego.EventType `json:"type"`
	Account  string             `json:"account"`
	Livemode bool               `json:"livemode"`
	Created  int64              `json:"created"`
	Data     struct {
		Object jsontext.Value `json:"object"`
	} `json:"data"`
	Request cause `json:"request"`
}

// cause is the request that caused an event, if any. Old API versions say its id alone.
type cause struct {
	ID             string `json:"id"`
	IdempotencyKey string `json:"idempotency_key"`
}

func (c *cause) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	type plain cause
	return idOrWhole(d, &c.ID, (*plain)(c))
}
