package stripe_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"kicau/adapters/stripe"
	"kicau/domain/payment"
)

func TestWhatAnIntentSays(t *testing.T) {
	reversal := object{"id": "re_9", "object": "refund", "status": "succeeded", "balance_transaction": object{"id": "txn_9",
		"object": "balance_transaction", "amount": -1000, "fee": -29, "currency": "gbp", "reporting_category": "partial_capture_reversal"}}
	later := object{"id": "re_8", "object": "refund", "amount": 500, "currency": "gbp", "status": "succeeded", "balance_transaction": object{"id": "txn_8",
		"object": "balance_transaction", "amount": -500, "fee": 0, "currency": "gbp", "reporting_category": "refund"}}
	unknown := func(reason string) payment.Outcome { return payment.Unknown{Reason: reason} }

	for _, c := range []struct {
		name   string
		intent object
		want   payment.Outcome
	}{
		{"nothing typed yet", waiting, payment.ActionRequired{Intent: "pi_1", Action: "card"}},
		{"named, not tried", intent.with(object{"status": "requires_confirmation"}), payment.ActionRequired{Intent: "pi_1", Action: "card"}},
		{"3-D Secure", challenged, payment.ActionRequired{Intent: "pi_1", Action: "authenticate"}},
		{"declined", refusedCard, payment.Declined{Intent: "pi_1", Code: "card_declined", DeclineCode: "insufficient_funds"}},
		{"challenge failed", intent.with(object{"last_payment_error": object{"type": "invalid_request_error", "code": "payment_intent_authentication_failure"}}),
			payment.Declined{Intent: "pi_1", Code: "payment_intent_authentication_failure"}},
		{"declined without a code", intent.with(object{"last_payment_error": object{"type": "card_error"}}), payment.Declined{Intent: "pi_1", Code: "card_error"}},
		{"authorised", capturable, isAuthorised},
		{"authorised, no time told", capturable.with(object{"latest_charge": held.with(object{"payment_method_details": nil})}),
			payment.Authorised{Intent: "pi_1", Charge: "ch_1", Amount: 2500}},
		{"captured", succeeded, isCaptured},
		{"captured in part: two transactions", succeeded.with(object{"amount_received": 1500, "latest_charge": taken.with(object{"refunds": list(later, reversal)})}),
			payment.Captured{Intent: "pi_1", Charge: "ch_1", Transaction: "txn_1", Amount: 1500, ProcessorFee: 74}},
		{"captured in part: one transaction", succeeded.with(object{"amount_received": 1500, "latest_charge": taken.with(object{
			"balance_transaction": txn.with(object{"amount": 1500, "fee": 74})})}),
			payment.Captured{Intent: "pi_1", Charge: "ch_1", Transaction: "txn_1", Amount: 1500, ProcessorFee: 74}},
		{"captured, settled in dollars at 1.25", succeeded.with(object{"latest_charge": taken.with(object{
			"balance_transaction": txn.with(object{"amount": 3125, "fee": 121, "currency": "usd", "exchange_rate": 1.25})})}),
			payment.Captured{Intent: "pi_1", Charge: "ch_1", Transaction: "txn_1", Amount: 2500, ProcessorFee: 97}}, // 121 × 2500 ÷ 3125 = 96.8
		{"captured, no transaction yet", succeeded.with(object{"latest_charge": held}),
			unknown("payment intent pi_1 is captured, but its fee is not known yet: the charge has no balance transaction")},
		{"captured, transaction by id only", succeeded.with(object{"latest_charge": taken.with(object{"balance_transaction": "txn_1"})}),
			unknown("payment intent pi_1 is captured, but its fee is not known yet: the charge has no balance transaction")},
		{"captured, reversal missing", succeeded.with(object{"amount_received": 1500}),
			unknown("payment intent pi_1 is captured, but its fee is not known yet: its balance transactions are 2500 gbp, not 1500")},
		{"captured, settled as nothing", succeeded.with(object{"latest_charge": taken.with(object{"balance_transaction": txn.with(object{"amount": 0, "currency": "usd"})})}),
			unknown("payment intent pi_1 is captured, but its fee is not known yet: its balance transactions are 0 usd")},
		{"held in a currency unheard of", capturable.with(object{"currency": "zzz"}),
			unknown(`payment intent pi_1: "zzz" is not a currency with known amounts at Stripe`)},
		{"canceled", canceled, isVoided},
		{"processing", intent.with(object{"status": "processing"}), unknown("payment intent pi_1 is processing")},
		{"a status of the future", intent.with(object{"status": "pondering"}), unknown("payment intent pi_1 is pondering")},
		{"another intent", intent.with(object{"id": "pi_2"}), unknown("Stripe's answer holds another payment intent than the one asked for")},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t, always(http.StatusOK, c.intent))
			id, got := newClient(t, f.url).Read(context.Background(), "pi_1")
			if d := cmp.Diff(c.want, got.Outcome); d != "" {
				t.Error(d)
			}
			if c.intent["id"] == "pi_1" && id != orderID {
				t.Errorf("it is of order %s, want %s", id, orderID)
			}
			if expand := f.first().form; !strings.Contains(expand.Encode(), "latest_charge.balance_transaction") {
				t.Errorf("asked with %v, without the charge's balance transaction", expand)
			}
		})
	}
}

func TestReadKnowsWhatIsNotOurs(t *testing.T) {
	for _, c := range []struct {
		name   string
		id     string
		answer func(http.ResponseWriter, request)
		order  uuid.UUID
		kind   string
	}{
		{"somebody else's", "pi_1", always(200, waiting.with(object{"metadata": object{}})), uuid.Nil, "nothing"},
		{"an order of another tool", "pi_1", always(200, waiting.with(object{"metadata": object{"kicau_order": "A-17"}})), uuid.Nil, "nothing"},
		{"no such intent", "pi_1", always(404, failing(object{"type": "invalid_request_error", "code": "resource_missing", "message": "No such payment_intent: 'pi_1'"})), uuid.Nil, "failed"},
		{"no id", "", always(200, waiting), uuid.Nil, "failed"},
		{"no answer", "pi_1", drop, uuid.Nil, "unknown"},
		{"refused otherwise", "pi_1", always(400, failing(object{"type": "invalid_request_error", "message": "no"})), uuid.Nil, "unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			id, o := newClient(t, newFake(t, c.answer).url).Read(context.Background(), c.id)
			if id != c.order || kind(o.Outcome) != c.kind {
				t.Errorf("order %s, %#v; want %s, %s", id, o, c.order, c.kind)
			}
		})
	}
}

func TestPayURL(t *testing.T) {
	page := func(intent, secret, back string) string {
		return "https://shop.example/pay#" + intent + " " + secret + " " + back
	}
	ours := "https://shop.example/pay#pi_1 " + clientSecret + " https://shop.example/back"
	atStripe := challenged.with(object{"next_action": object{"type": "redirect_to_url", "redirect_to_url": object{"url": "https://hooks.stripe.com/3ds", "return_url": "https://shop.example/own"}}})
	for _, c := range []struct {
		name   string
		answer func(http.ResponseWriter, request)
		page   func(_, _, _ string) string
		want   string
		err    string
	}{
		{"card to be typed", always(200, waiting), page, ours, ""},
		{"card to be typed again", always(200, refusedCard), page, ours, ""},
		{"challenge on our page", always(200, challenged), page, ours, ""},
		{"challenge on Stripe's page", always(200, atStripe), nil, "https://hooks.stripe.com/3ds", ""},
		{"no page", always(200, waiting), nil, "", "no page is configured"},
		{"no secret", always(200, waiting.with(object{"client_secret": nil})), page, "", "no client secret"},
		{"authorised already", always(200, capturable), page, "", "nothing for the buyer to do, it is requires_capture"},
		{"canceled", always(200, canceled), page, "", "nothing for the buyer to do, it is canceled"},
		{"no answer", drop, page, "", "no answer from Stripe"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := newClient(t, newFake(t, c.answer).url, func(o *stripe.Options) { o.PayURL = c.page })
			got, err := client.PayURL(context.Background(), "pi_1", "https://shop.example/back")
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), clientSecret) {
					t.Errorf("error %v, want one with %q", err, c.err)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("%q (%v), want %q", got, err, c.want)
			}
		})
	}
}
