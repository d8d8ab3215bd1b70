package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// challenge says when a card asks its holder to authenticate (3D Secure).
type challenge int

const (
	never       challenge = iota
	always                // off session, where nobody can be asked, it is declined
	unlessSetUp           // until the holder has agreed to payments with it
	onSession             // set up by its issuer for use off session: asked only when the holder is there
)

// A decline is why an issuer, or Radar, says no.
type decline struct {
	code, reason, message, param string
	blocked                      bool // by Radar, before the network was asked
}

// The declines of https://stripe.com/docs/declines/codes that test cards show.
var (
	genericDecline    = &decline{code: "card_declined", reason: "generic_decline", message: "Your card was declined."}
	insufficientFunds = &decline{code: "card_declined", reason: "insufficient_funds", message: "Your card has insufficient funds."}
	lostCard          = &decline{code: "card_declined", reason: "lost_card", message: "Your card was declined."}
	stolenCard        = &decline{code: "card_declined", reason: "stolen_card", message: "Your card was declined."}
	velocityExceeded  = &decline{code: "card_declined", reason: "card_velocity_exceeded", message: "Your card was declined for making repeated attempts too frequently or exceeding its amount limit."}
	expiredCard       = &decline{code: "expired_card", reason: "expired_card", message: "Your card has expired.", param: "exp_month"}
	incorrectCVC      = &decline{code: "incorrect_cvc", reason: "incorrect_cvc", message: "Your card's security code is incorrect.", param: "cvc"}
	processingError   = &decline{code: "processing_error", reason: "processing_error", message: "An error occurred while processing your card. Try again in a little bit."}
	radarBlocked      = &decline{code: "card_declined", reason: "fraudulent", message: "Your card was declined.", blocked: true}
	needsHolder       = &decline{code: "authentication_required", reason: "authentication_required", message: "Your card was declined. This transaction requires authentication."}
)

// testCard is one of the numbers of https://stripe.com/docs/testing and what it
// does.
type testCard struct {
	token, number, brand string
	challenge            challenge
	decline              *decline // after the challenge, if there is one
	risk                 string   // Radar's risk level when not "normal"
	availableAtOnce      bool     // its funds are never pending
	disputes             []string // why its holder disputes the charge, each time
	inquiry              bool     // the dispute begins as one
	warned               bool     // its issuer warns of fraud
	refunds              string   // what becomes of a refund: "" succeeds, pending, fails
}

// What becomes of a refund, see testCard.refunds.
const (
	refundWaits = "pending" // and succeeds then
	refundFails = "failed"  // after it had succeeded
)

var testCards = []testCard{
	{token: "pm_card_visa", number: "4242424242424242", brand: "visa"},
	{token: "pm_card_visa_debit", number: "4000056655665556", brand: "visa"},
	{token: "pm_card_mastercard", number: "5555555555554444", brand: "mastercard"},
	{token: "pm_card_amex", number: "378282246310005", brand: "amex"},
	{token: "pm_card_discover", number: "6011111111111117", brand: "discover"},

	{token: "pm_card_visa_chargeDeclined", number: "4000000000000002", brand: "visa", decline: genericDecline},
	{token: "pm_card_visa_chargeDeclinedInsufficientFunds", number: "4000000000009995", brand: "visa", decline: insufficientFunds},
	{token: "pm_card_visa_chargeDeclinedLostCard", number: "4000000000009987", brand: "visa", decline: lostCard},
	{token: "pm_card_visa_chargeDeclinedStolenCard", number: "4000000000009979", brand: "visa", decline: stolenCard},
	{token: "pm_card_chargeDeclinedExpiredCard", number: "4000000000000069", brand: "visa", decline: expiredCard},
	{token: "pm_card_chargeDeclinedIncorrectCvc", number: "4000000000000127", brand: "visa", decline: incorrectCVC},
	{token: "pm_card_chargeDeclinedProcessingError", number: "4000000000000119", brand: "visa", decline: processingError},
	{token: "pm_card_visa_chargeDeclinedVelocityLimitExceeded", number: "4000000000006975", brand: "visa", decline: velocityExceeded},
	{token: "pm_card_chargeCustomerFail", number: "4000000000000341", brand: "visa", decline: genericDecline},

	{token: "pm_card_radarBlock", number: "4100000000000019", brand: "visa", decline: radarBlocked, risk: "highest"},
	{token: "pm_card_riskLevelHighest", number: "4000000000004954", brand: "visa", risk: "highest"},
	{token: "pm_card_riskLevelElevated", number: "4000000000009235", brand: "visa", risk: "elevated"},

	{token: "pm_card_authenticationRequired", number: "4000002760003184", brand: "visa", challenge: always},
	{token: "pm_card_authenticationRequiredOnSetup", number: "4000002500003155", brand: "visa", challenge: unlessSetUp},
	{token: "pm_card_authenticationRequiredSetupForOffSession", number: "4000003800000446", brand: "visa", challenge: onSession},
	{token: "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds", number: "4000008260003178", brand: "visa", challenge: always, decline: insufficientFunds},
	{token: "pm_card_threeDSecure2Required", number: "4000000000003220", brand: "visa", challenge: always},
	{token: "pm_card_threeDSecureRequiredChargeDeclined", number: "4000008400001629", brand: "visa", challenge: always, decline: genericDecline},

	{token: "pm_card_createDispute", number: "4000000000000259", brand: "visa", disputes: []string{"fraudulent"}},
	{token: "pm_card_createDisputeProductNotReceived", number: "4000000000002685", brand: "visa", disputes: []string{"product_not_received"}},
	{token: "pm_card_createDisputeInquiry", number: "4000000000001976", brand: "visa", disputes: []string{"fraudulent"}, inquiry: true},
	{token: "pm_card_createIssuerFraudRecord", number: "4000000000005423", brand: "visa", warned: true},
	{token: "pm_card_createMultipleDisputes", number: "4000000404000079", brand: "visa", disputes: []string{"fraudulent", "product_not_received"}},
	{token: "pm_card_pendingRefund", number: "4000000000007726", brand: "visa", refunds: refundWaits},
	{token: "pm_card_refundFail", number: "4000000000005126", brand: "visa", refunds: refundFails},
	{token: "pm_card_bypassPending", number: "4000000000000077", brand: "visa", availableAtOnce: true},
}

var cardsByToken, cardsByNumber = func() (tokens, numbers map[string]*testCard) {
	tokens, numbers = map[string]*testCard{}, map[string]*testCard{}
	for i := range testCards {
		c := &testCards[i]
		tokens[c.token], numbers[c.number] = c, c
		// Stripe knows the declines by a name without the brand, too.
		if s, ok := strings.CutPrefix(c.token, "pm_card_visa_charge"); ok {
			tokens["pm_card_charge"+s] = c
		}
	}
	return tokens, numbers
}()

// cardInput is a card as somebody typed it. It lives for one request and is
// neither stored nor logged; method keeps what may be kept.
type cardInput struct {
	number, cvc string
	month, year int64
}

// String keeps the number out of every log.
func (cardInput) String() string { return "card(redacted)" }

// GoString keeps the number out of %#v as well.
func (c cardInput) GoString() string { return c.String() }

func cardError(code, param, message string) *apiError {
	return &apiError{Status: http.StatusPaymentRequired, Type: errCard, Code: code, Param: param, Message: message}
}

// newMethod is the PaymentMethod of a typed card, or why there is none.
func (t *tx) newMethod(in cardInput) (method, *apiError) {
	number := strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' {
			return -1
		}
		return r
	}, in.number)
	if !luhn(number) {
		return method{}, cardError("incorrect_number", "number", "Your card number is incorrect.")
	}
	card := cardsByNumber[number]
	if card == nil {
		e := cardError("card_declined", "", "Your card was declined. Your request was in test mode, but used a non test (live) card. For a list of valid test cards, visit: https://stripe.com/docs/testing.")
		e.Decline = "test_mode_live_card"
		return method{}, e
	}
	if in.year >= 0 && in.year < 100 {
		in.year += 2000
	}
	now := t.now.UTC()
	if in.month < 1 || in.month > 12 {
		return method{}, cardError("invalid_expiry_month", "exp_month", "Your card's expiration month is invalid.")
	}
	if in.year < int64(now.Year()) || in.year > int64(now.Year())+50 {
		return method{}, cardError("invalid_expiry_year", "exp_year", "Your card's expiration year is invalid.")
	}
	if in.year == int64(now.Year()) && in.month < int64(now.Month()) {
		return method{}, cardError("invalid_expiry_month", "exp_month", "Your card's expiration month is invalid.")
	}
	digits := 3
	if card.brand == "amex" {
		digits = 4
	}
	if in.cvc != "" && (len(in.cvc) != digits || strings.Trim(in.cvc, "0123456789") != "") {
		return method{}, cardError("invalid_cvc", "cvc", "Your card's security code is invalid.")
	}
	m := t.methodOf(card)
	m.ExpMonth, m.ExpYear, m.CVC = in.month, in.year, in.cvc != ""
	return m, nil
}

// methodOf is a new PaymentMethod of a test card, as its pm_card_ token makes.
func (t *tx) methodOf(card *testCard) method {
	sum := sha256.Sum256([]byte(card.number))
	return method{
		ID: t.newID("pm"), Created: t.now.Unix(), Card: card.token, CVC: true,
		ExpMonth: int64(t.now.Month()), ExpYear: int64(t.now.Year()) + 1,
		Brand: card.brand, Last4: card.number[len(card.number)-4:], Fingerprint: hex.EncodeToString(sum[:8]),
	}
}

// asks tells whether a card wants its holder to authenticate a payment.
func (card *testCard) asks(m method, offSession bool) bool {
	switch card.challenge {
	case always:
		return true
	case unlessSetUp:
		return !m.SetUp
	case onSession:
		return !offSession
	}
	return false
}

// luhn is the check digit of card numbers, ISO/IEC 7812-1 annex B.
func luhn(number string) bool {
	if len(number) < 12 || len(number) > 19 {
		return false
	}
	sum := 0
	for i := range len(number) {
		d := int(number[len(number)-1-i]) - '0'
		if d < 0 || d > 9 {
			return false
		}
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

// windowOf is how long a card holds an authorised amount: on Visa, without the
// customer, four days and eighteen hours
// (https://stripe.com/docs/payments/place-a-hold-on-a-payment-method).
func windowOf(card *testCard, offSession bool) time.Duration {
	if offSession && card.brand == "visa" {
		return 4*24*time.Hour + 18*time.Hour
	}
	return captureWindow
}

// captureWindow is how long a card holds an authorised amount: online, with the
// customer present, on all networks served here
// (https://stripe.com/docs/payments/place-a-hold-on-a-payment-method).
const captureWindow = 7 * 24 * time.Hour
