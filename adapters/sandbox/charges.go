package sandbox

import (
	"encoding/json"
	"net/http"
)

// retrieveCharge: GET /v1/charges/{id}
func retrieveCharge(p *params, id string) op {
	e := p.expand("charge")
	return func(t *tx) (any, *apiError) {
		c := t.charges.get(id)
		if c == nil {
			return nil, noSuch(http.StatusNotFound, "charge", id, "id")
		}
		return t.chargeWire(c, e), nil
	}
}

// listCharges: GET /v1/charges
func listCharges(p *params, _ string) op {
	pg := p.paging("charge")
	intentID, group, customer := p.word("payment_intent"), p.word("transfer_group"), p.word("customer")
	return func(t *tx) (any, *apiError) {
		rows := t.charges.order
		if intentID != "" {
			rows = t.charges.rowsWhere("payment_intent", intentID)
		} else if group != "" {
			rows = t.charges.rowsWhere("transfer_group", group)
		}
		return page(&t.charges, rows, pg, "/v1/charges",
			func(c *charge) bool {
				return (intentID == "" || c.Intent == intentID) && (group == "" || c.TransferGroup == group) && (customer == "" || c.Customer == customer)
			},
			func(c *charge) int64 { return c.Created },
			func(c *charge) any { return t.chargeWire(c, pg.expand) })
	}
}

type outcomeWire struct {
	NetworkStatus string `json:"network_status"`
	Reason        any    `json:"reason"`
	RiskLevel     string `json:"risk_level"`
	RiskScore     int    `json:"risk_score"`
	SellerMessage string `json:"seller_message"`
	Type          string `json:"type"`
}

type chargeCardWire struct {
	AmountAuthorized int64      `json:"amount_authorized"`
	Brand            string     `json:"brand"`
	CaptureBefore    int64      `json:"capture_before,omitempty"`
	Checks           checksWire `json:"checks"`
	Country          string     `json:"country"`
	ExpMonth         int64      `json:"exp_month"`
	ExpYear          int64      `json:"exp_year"`
	Extended         any        `json:"extended_authorization"`
	Fingerprint      string     `json:"fingerprint"`
	Funding          string     `json:"funding"`
	Incremental      any        `json:"incremental_authorization"`
	Installments     any        `json:"installments"`
	Last4            string     `json:"last4"`
	Mandate          any        `json:"mandate"`
	Multicapture     any        `json:"multicapture"`
	Network          string     `json:"network"`
	NetworkToken     any        `json:"network_token"`
	Overcapture      any        `json:"overcapture"`
	ThreeDSecure     any        `json:"three_d_secure"`
	Wallet           any        `json:"wallet"`
}

type chargeWire struct {
	ID                   string            `json:"id"`
	Object               string            `json:"object"`
	Amount               int64             `json:"amount"`
	AmountCaptured       int64             `json:"amount_captured"`
	AmountRefunded       int64             `json:"amount_refunded"`
	Application          any               `json:"application"`
	ApplicationFee       any               `json:"application_fee"`
	ApplicationFeeAmount any               `json:"application_fee_amount"`
	BalanceTransaction   any               `json:"balance_transaction"`
	BillingDetails       billingWire       `json:"billing_details"`
	CalculatedDescriptor string            `json:"calculated_statement_descriptor"`
	Captured             bool              `json:"captured"`
	Created              int64             `json:"created"`
	Currency             string            `json:"currency"`
	Customer             any               `json:"customer"`
	Description          any               `json:"description"`
	Disputed             bool              `json:"disputed"`
	FailureTxn           any               `json:"failure_balance_transaction"`
	FailureCode          any               `json:"failure_code"`
	FailureMessage       any               `json:"failure_message"`
	FraudDetails         struct{}          `json:"fraud_details"`
	Invoice              any               `json:"invoice"`
	Livemode             bool              `json:"livemode"`
	Metadata             map[string]string `json:"metadata"`
	OnBehalfOf           any               `json:"on_behalf_of"`
	Outcome              outcomeWire       `json:"outcome"`
	Paid                 bool              `json:"paid"`
	PaymentIntent        any               `json:"payment_intent"`
	PaymentMethod        string            `json:"payment_method"`
	MethodDetails        struct {
		Card chargeCardWire `json:"card"`
		Type string         `json:"type"`
	} `json:"payment_method_details"`
	ReceiptEmail        any       `json:"receipt_email"`
	ReceiptNumber       any       `json:"receipt_number"`
	ReceiptURL          any       `json:"receipt_url"`
	Refunded            bool      `json:"refunded"`
	Refunds             *listWire `json:"refunds,omitempty"` // only expanded, since API version 2022-11-15
	Review              any       `json:"review"`
	Shipping            any       `json:"shipping"`
	SourceTransfer      any       `json:"source_transfer"`
	StatementDescriptor any       `json:"statement_descriptor"`
	StatementSuffix     any       `json:"statement_descriptor_suffix"`
	Status              string    `json:"status"`
	TransferData        any       `json:"transfer_data"`
	TransferGroup       any       `json:"transfer_group"`
}

var (
	disabled    = json.RawMessage(`{"status":"disabled"}`)
	unavailable = json.RawMessage(`{"status":"unavailable"}`)
	noToken     = json.RawMessage(`{"used":false}`)
	challenged  = json.RawMessage(`{"authentication_flow":"challenge","electronic_commerce_indicator":"05","exemption_indicator":null,"result":"authenticated","result_reason":null,"transaction_id":null,"version":"2.2.0"}`)
)

func (st *state) chargeWire(c *charge, e expansion) *chargeWire {
	m := st.methods.get(c.Method)
	w := &chargeWire{
		ID: c.ID, Object: "charge", Amount: c.Amount, AmountCaptured: c.CapturedSum, AmountRefunded: c.RefundedSum,
		BalanceTransaction:   st.ref(e, "balance_transaction", c.Txn),
		CalculatedDescriptor: "KICAU SANDBOX", Captured: c.Captured, Created: c.Created, Currency: c.Currency,
		Description: null(c.Description), FailureCode: null(c.FailureCode), FailureMessage: null(c.FailureText),
		Metadata: metadataOf(c.Metadata), Outcome: outcomeOf(c), Paid: c.Status == chargeSucceeded,
		PaymentIntent: st.ref(e, "payment_intent", c.Intent), PaymentMethod: c.Method,
		Refunded:            c.RefundedSum == c.Amount,
		StatementDescriptor: null(c.Descriptor), StatementSuffix: null(c.Suffix),
		Status: c.Status, TransferGroup: null(c.TransferGroup), Customer: null(c.Customer), Disputed: c.Disputed,
	}
	card := &w.MethodDetails.Card
	w.MethodDetails.Type = "card"
	card.AmountAuthorized, card.Brand, card.Network, card.Last4, card.Fingerprint = c.Amount, m.Brand, m.Brand, m.Last4, m.Fingerprint
	card.ExpMonth, card.ExpYear, card.Country, card.Funding = m.ExpMonth, m.ExpYear, cardCountry, cardFunding
	card.Checks = checksOf(m, c.FailureCode == incorrectCVC.code)
	card.Extended, card.Incremental, card.Multicapture, card.NetworkToken = disabled, unavailable, unavailable, noToken
	card.Overcapture = map[string]any{"maximum_amount_capturable": c.Amount, "status": "unavailable"}
	if !c.Captured {
		card.CaptureBefore = c.CaptureBefore
	}
	if c.ThreeDS {
		card.ThreeDSecure = challenged
	}
	if sub, ok := e["refunds"]; ok {
		w.Refunds = newest(st.refunds.rowsWhere("charge", c.ID), "/v1/charges/"+c.ID+"/refunds",
			func(r *refund) any { return st.refundWire(r, sub["data"]) })
	}
	return w
}

func outcomeOf(c *charge) outcomeWire {
	w := outcomeWire{NetworkStatus: "approved_by_network", RiskLevel: "normal", RiskScore: 20, SellerMessage: "Payment complete.", Type: "authorized"}
	switch c.Risk {
	case "elevated":
		w.RiskLevel, w.RiskScore = c.Risk, 65
	case "highest":
		w.RiskLevel, w.RiskScore = c.Risk, 90
	}
	switch {
	case c.Blocked:
		w.NetworkStatus, w.Reason, w.Type = "not_sent_to_network", "highest_risk_level", "blocked"
		w.SellerMessage = "Stripe blocked this payment as too risky."
	case c.Status == chargeFailed:
		w.NetworkStatus, w.Reason, w.Type = "declined_by_network", c.FailureReason, "issuer_declined"
		w.SellerMessage = "The bank did not return any further details with this decline."
	}
	return w
}
