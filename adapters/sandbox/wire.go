package sandbox

import "encoding/json"

// The objects as API version 2023-10-16 shows them (charges, accounts and events
// in their own files): field names and order are those of Stripe's published
// fixtures (openapi v938). What the sandbox has no notion of is null.

// APIVersion is the only version of Stripe's API that the sandbox speaks.
const APIVersion = "2023-10-16"

// null is s, or JSON's null when there is none.
func null[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}

// metadataOf is never null: Stripe shows an empty object.
func metadataOf(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

type intentWire struct {
	ID                   string            `json:"id"`
	Object               string            `json:"object"`
	Amount               int64             `json:"amount"`
	AmountCapturable     int64             `json:"amount_capturable"`
	AmountDetails        json.RawMessage   `json:"amount_details"`
	AmountReceived       int64             `json:"amount_received"`
	Application          any               `json:"application"`
	ApplicationFeeAmount any               `json:"application_fee_amount"`
	AutomaticMethods     any               `json:"automatic_payment_methods"`
	CanceledAt           any               `json:"canceled_at"`
	CancellationReason   any               `json:"cancellation_reason"`
	CaptureMethod        string            `json:"capture_method"`
	ClientSecret         string            `json:"client_secret"`
	ConfirmationMethod   string            `json:"confirmation_method"`
	Created              int64             `json:"created"`
	Currency             string            `json:"currency"`
	Customer             any               `json:"customer"`
	Description          any               `json:"description"`
	Invoice              any               `json:"invoice"`
	LastPaymentError     any               `json:"last_payment_error"`
	LatestCharge         any               `json:"latest_charge"`
	Livemode             bool              `json:"livemode"`
	Metadata             map[string]string `json:"metadata"`
	NextAction           any               `json:"next_action"`
	OnBehalfOf           any               `json:"on_behalf_of"`
	PaymentMethod        any               `json:"payment_method"`
	ConfigurationDetails any               `json:"payment_method_configuration_details"`
	PaymentMethodOptions any               `json:"payment_method_options"`
	PaymentMethodTypes   []string          `json:"payment_method_types"`
	Processing           any               `json:"processing"`
	ReceiptEmail         any               `json:"receipt_email"`
	Review               any               `json:"review"`
	SetupFutureUsage     any               `json:"setup_future_usage"`
	Shipping             any               `json:"shipping"`
	StatementDescriptor  any               `json:"statement_descriptor"`
	StatementSuffix      any               `json:"statement_descriptor_suffix"`
	Status               string            `json:"status"`
	TransferData         any               `json:"transfer_data"`
	TransferGroup        any               `json:"transfer_group"`
}

var (
	emptyTip    = json.RawMessage(`{"tip":{}}`)
	cardOptions = json.RawMessage(`{"card":{"installments":null,"mandate_options":null,"network":null,"request_three_d_secure":"automatic"}}`)
	cardOnly    = []string{"card"}
)

func (st *state) intentWire(pi *intent, e expansion) *intentWire {
	w := &intentWire{
		ID: pi.ID, Object: "payment_intent", Amount: pi.Amount, AmountCapturable: pi.Capturable,
		AmountDetails: emptyTip, AmountReceived: pi.Received,
		CanceledAt: null(pi.CanceledAt), CancellationReason: null(pi.CancelReason),
		CaptureMethod: pi.CaptureMethod, ClientSecret: pi.ClientSecret, ConfirmationMethod: pi.ConfirmationMethod,
		Created: pi.Created, Currency: pi.Currency, Description: null(pi.Description),
		LatestCharge: st.ref(e, "latest_charge", pi.Charge), Metadata: metadataOf(pi.Metadata),
		Customer: st.ref(e, "customer", pi.Customer), SetupFutureUsage: null(pi.FutureUsage),
		PaymentMethod:        st.ref(e, "payment_method", pi.Method),
		PaymentMethodOptions: cardOptions, PaymentMethodTypes: cardOnly,
		StatementDescriptor: null(pi.Descriptor), StatementSuffix: null(pi.Suffix),
		Status: pi.Status, TransferGroup: null(pi.TransferGroup),
	}
	if pi.Redirects != "" {
		w.AutomaticMethods = map[string]any{"allow_redirects": pi.Redirects, "enabled": true}
	}
	w.LastPaymentError = st.lastErrorWire(pi.LastError)
	if pi.Status == requiresAction {
		w.NextAction = st.nextAction(pi)
	}
	return w
}

// lastErrorWire is why the last attempt failed; null: it did not.
func (st *state) lastErrorWire(le *lastError) any {
	if le == nil {
		return nil
	}
	var api errorWire
	api.Error.Charge, api.Error.Code, api.Error.DeclineCode, api.Error.DocURL = le.Charge, le.Code, le.Decline, docURL(le.Code)
	api.Error.Message, api.Error.Param, api.Error.Type = le.Message, le.Param, le.Type
	if m := st.methods.get(le.Method); m != nil {
		api.Error.PaymentMethod = methodWireOf(m)
	}
	return api.Error
}

// nextAction sends the holder to the sandbox's own page. Without a return_url
// Stripe expects its JavaScript library to show the page; the address is then
// where that library reads it.
func (st *state) nextAction(pi *intent) any {
	return actionAt(st.challengeURL(pi), pi.ReturnURL)
}

func actionAt(at, returnURL string) any {
	if returnURL == "" {
		return map[string]any{"type": "use_stripe_sdk", "use_stripe_sdk": map[string]any{"type": "three_d_secure_redirect", "stripe_js": at}}
	}
	return map[string]any{"type": "redirect_to_url", "redirect_to_url": map[string]any{"return_url": returnURL, "url": at}}
}

type checksWire struct {
	Line1  any `json:"address_line1_check"`
	Postal any `json:"address_postal_code_check"`
	CVC    any `json:"cvc_check"`
}

func checksOf(m *method, failed bool) checksWire {
	switch {
	case !m.CVC:
		return checksWire{}
	case failed:
		return checksWire{CVC: "fail"}
	default:
		return checksWire{CVC: "pass"}
	}
}

type billingWire struct {
	Address struct {
		City       any `json:"city"`
		Country    any `json:"country"`
		Line1      any `json:"line1"`
		Line2      any `json:"line2"`
		PostalCode any `json:"postal_code"`
		State      any `json:"state"`
	} `json:"address"`
	Email any `json:"email"`
	Name  any `json:"name"`
	Phone any `json:"phone"`
}

type methodWire struct {
	ID             string      `json:"id"`
	Object         string      `json:"object"`
	BillingDetails billingWire `json:"billing_details"`
	Card           struct {
		Brand         string     `json:"brand"`
		Checks        checksWire `json:"checks"`
		Country       string     `json:"country"`
		DisplayBrand  string     `json:"display_brand"`
		ExpMonth      int64      `json:"exp_month"`
		ExpYear       int64      `json:"exp_year"`
		Fingerprint   string     `json:"fingerprint"`
		Funding       string     `json:"funding"`
		GeneratedFrom any        `json:"generated_from"`
		Last4         string     `json:"last4"`
		Networks      any        `json:"networks"`
		ThreeDSecure  any        `json:"three_d_secure_usage"`
		Wallet        any        `json:"wallet"`
	} `json:"card"`
	Created  int64             `json:"created"`
	Customer any               `json:"customer"`
	Livemode bool              `json:"livemode"`
	Metadata map[string]string `json:"metadata"`
	Type     string            `json:"type"`
}

// A test card's country and funding matter to nobody here.
const (
	cardCountry = "US"
	cardFunding = "credit"
)

func methodWireOf(m *method) *methodWire {
	w := &methodWire{ID: m.ID, Object: "payment_method", Created: m.Created, Metadata: metadataOf(m.Metadata), Type: "card"}
	w.Customer = null(m.Customer)
	c := &w.Card
	c.Brand, c.DisplayBrand, c.Last4, c.Fingerprint = m.Brand, m.Brand, m.Last4, m.Fingerprint
	c.Checks, c.ExpMonth, c.ExpYear = checksOf(m, false), m.ExpMonth, m.ExpYear
	c.Country, c.Funding = cardCountry, cardFunding
	c.Networks = map[string]any{"available": []string{m.Brand}, "preferred": nil}
	c.ThreeDSecure = map[string]any{"supported": true}
	return w
}

type refundWire struct {
	ID             string            `json:"id"`
	Object         string            `json:"object"`
	Amount         int64             `json:"amount"`
	Txn            any               `json:"balance_transaction"`
	Charge         any               `json:"charge"`
	Created        int64             `json:"created"`
	Currency       string            `json:"currency"`
	Destination    any               `json:"destination_details"`
	FailTxn        any               `json:"failure_balance_transaction,omitempty"`
	Failure        any               `json:"failure_reason,omitempty"`
	Metadata       map[string]string `json:"metadata"`
	PaymentIntent  any               `json:"payment_intent"`
	Reason         any               `json:"reason"`
	ReceiptNumber  any               `json:"receipt_number"`
	SourceReversal any               `json:"source_transfer_reversal"`
	Status         string            `json:"status"`
	Reversal       any               `json:"transfer_reversal"`
}

var (
	reversed  = json.RawMessage(`{"card":{"type":"reversal"},"type":"card"}`)
	toTheCard = json.RawMessage(`{"card":{"type":"refund"},"type":"card"}`)
)

func (st *state) refundWire(r *refund, e expansion) *refundWire {
	w := &refundWire{
		ID: r.ID, Object: "refund", Amount: r.Amount, Txn: st.ref(e, "balance_transaction", r.Txn),
		Charge: st.ref(e, "charge", r.Charge), Created: r.Created, Currency: r.Currency, Destination: toTheCard,
		Metadata: metadataOf(r.Metadata), PaymentIntent: st.ref(e, "payment_intent", r.Intent),
		Reason: null(r.Reason), Status: "succeeded",
	}
	if r.Reversal {
		w.Destination = reversed
	}
	if r.Status != "" {
		w.Status = r.Status
	}
	if r.FailTxn != "" {
		w.FailTxn, w.Failure = st.ref(e, "failure_balance_transaction", r.FailTxn), r.Failure
	}
	return w
}

type transferWire struct {
	ID          string            `json:"id"`
	Object      string            `json:"object"`
	Amount      int64             `json:"amount"`
	AmountBack  int64             `json:"amount_reversed"`
	Txn         any               `json:"balance_transaction"`
	Created     int64             `json:"created"`
	Currency    string            `json:"currency"`
	Description any               `json:"description"`
	Destination any               `json:"destination"`
	Payment     string            `json:"destination_payment"`
	Livemode    bool              `json:"livemode"`
	Metadata    map[string]string `json:"metadata"`
	Reversals   *listWire         `json:"reversals"`
	Reversed    bool              `json:"reversed"`
	Source      any               `json:"source_transaction"`
	SourceType  string            `json:"source_type"`
	Group       any               `json:"transfer_group"`
}

func (st *state) transferWire(t *transfer, e expansion) *transferWire {
	back := newest(st.reversals.rowsWhere("transfer", t.ID), "/v1/transfers/"+t.ID+"/reversals",
		func(r *reversal) any { return st.reversalWire(r, nil) })
	return &transferWire{
		AmountBack: t.Reversed, Reversed: t.Reversed == t.Amount,
		ID: t.ID, Object: "transfer", Amount: t.Amount, Txn: st.ref(e, "balance_transaction", t.Txn),
		Created: t.Created, Currency: t.Currency, Description: null(t.Description),
		Destination: st.ref(e, "destination", t.Destination), Payment: t.Payment, Metadata: metadataOf(t.Metadata),
		Reversals: back,
		Source:    st.ref(e, "source_transaction", t.Source), SourceType: "card", Group: null(t.Group),
	}
}

type txnWire struct {
	ID           string `json:"id"`
	Object       string `json:"object"`
	Amount       int64  `json:"amount"`
	AvailableOn  int64  `json:"available_on"`
	Created      int64  `json:"created"`
	Currency     string `json:"currency"`
	Description  any    `json:"description"`
	ExchangeRate any    `json:"exchange_rate"`
	Fee          int64  `json:"fee"`
	FeeDetails   []any  `json:"fee_details"`
	Net          int64  `json:"net"`
	Category     string `json:"reporting_category"`
	Source       any    `json:"source"`
	Status       string `json:"status"`
	Type         string `json:"type"`
}

func (st *state) txnWire(b *txn, e expansion) *txnWire {
	w := &txnWire{
		ID: b.ID, Object: "balance_transaction", Amount: b.Amount, AvailableOn: b.AvailableOn, Created: b.Created,
		Currency: b.Currency, Description: null(b.Description), Fee: b.Fee, FeeDetails: []any{}, Net: b.net(),
		Category: b.Category, Source: st.ref(e, "source", b.Source), Status: "pending", Type: b.Type,
	}
	if b.AvailableOn <= st.now.Unix() {
		w.Status = "available"
	}
	if b.Fee != 0 {
		w.FeeDetails = append(w.FeeDetails, map[string]any{
			"amount": b.Fee, "application": nil, "currency": b.Currency,
			"description": "Stripe processing fees", "type": "stripe_fee",
		})
	}
	return w
}
