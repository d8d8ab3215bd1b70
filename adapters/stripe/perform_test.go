package stripe_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"kicau/adapters/stripe"
	"kicau/domain/order"
	"kicau/domain/payment"
)

// stepCase is a step, the request that sends it, the answer when it is done, and
// its outcome then.
type stepCase struct {
	step order.Step
	line string
	done object
	want payment.Outcome
}

var allSteps = []stepCase{
	{order.Authorise, "POST /v1/payment_intents", capturable, isAuthorised},
	{order.Void, "POST /v1/payment_intents/pi_1/cancel", canceled, isVoided},
	{order.Capture, "POST /v1/payment_intents/pi_1/capture", succeeded, isCaptured},
	{order.Refunding, "POST /v1/refunds", givenBack, isRefunded},
	{order.Settle, "POST /v1/transfers", paidOut, isTransferred},
	{order.Reverse, "POST /v1/transfers/tr_1/reversals", object{"id": "trr_1", "object": "transfer_reversal", "amount": 2500, "balance_transaction": "txn_4"}, isReversed},
	{order.Contest, "POST /v1/disputes/dp_1", disputedBy("under_review", 1), isDisputed("", true)},
	{order.Accept, "POST /v1/disputes/dp_1/close", disputedBy("lost", 0), isDisputed(order.Lost, false)},
}

func disputedBy(status string, submissions int) object {
	return object{"id": "dp_1", "object": "dispute", "amount": 2500, "currency": "gbp", "charge": "ch_1", "reason": "fraudulent", "status": status,
		"evidence_details":     object{"due_by": noon.Unix(), "submission_count": submissions},
		"balance_transactions": []object{{"id": "txn_5", "object": "balance_transaction", "amount": -2500, "currency": "gbp", "fee": 1500, "reporting_category": "dispute"}}}
}

func isDisputed(result order.DisputeResult, submitted bool) payment.Disputed {
	due := noon
	return payment.Disputed{Dispute: payment.SeenDispute{ID: "dp_1", Charge: "ch_1", Amount: 2500, Reason: "fraudulent", EvidenceDue: &due, Submitted: submitted,
		Result: result, Movements: []payment.Movement{{Transaction: "txn_5", Amount: -2500, Fee: 1500}}}}
}

func TestEveryStepIsOneRequestUnderItsKey(t *testing.T) {
	expand := url.Values{"expand[0]": {"latest_charge.balance_transaction"}, "expand[1]": {"latest_charge.refunds.data.balance_transaction"}}
	id := orderID.String()
	forms := map[order.Step]url.Values{
		order.Authorise: {"amount": {"2500"}, "currency": {"gbp"}, "capture_method": {"manual"}, "payment_method_types[0]": {"card"},
			"payment_method": {"pm_1"}, "confirm": {"true"}, "transfer_group": {id},
			"metadata[kicau_order]": {id}, "metadata[kicau_key]": {effect(order.Authorise).Key}},
		order.Void:    {},
		order.Capture: {"amount_to_capture": {"2500"}},
		order.Refunding: {"payment_intent": {"pi_1"}, "amount": {"2500"}, "metadata[kicau_order]": {id},
			"metadata[kicau_refund]": {refundID.String()}, "metadata[kicau_key]": {effect(order.Refunding).Key}},
		order.Settle: {"amount": {"2500"}, "currency": {"gbp"}, "destination": {"acct_shop"}, "source_transaction": {"ch_1"}, "transfer_group": {id},
			"metadata[kicau_order]": {id}, "metadata[kicau_key]": {effect(order.Settle).Key}},
		order.Reverse: {"amount": {"2500"}, "metadata[kicau_order]": {id}, "metadata[kicau_key]": {effect(order.Reverse).Key}},
		order.Contest: {"submit": {"true"}, "evidence[product_description]": {"2 × Mug"}, "evidence[shipping_carrier]": {"post"},
			"evidence[shipping_tracking_number]": {"RM1"}, "evidence[shipping_date]": {"2026-11-24"}, "evidence[uncategorized_text]": {"placed, shipped"}},
		order.Accept: {},
	}
	for _, s := range allSteps {
		t.Run(string(s.step), func(t *testing.T) {
			f := newFake(t, by(map[string]func(http.ResponseWriter, request){s.line: always(200, s.done)}))
			got := newClient(t, f.url).Perform(context.Background(), effect(s.step))
			if d := cmp.Diff(s.want, got); d != "" {
				t.Error(d)
			}
			want := forms[s.step]
			if s.step == order.Authorise || s.step == order.Void || s.step == order.Capture {
				for k, v := range expand {
					want[k] = v
				}
			}
			r := f.last()
			if d := cmp.Diff(want, r.form); d != "" || len(f.lines()) != 1 {
				t.Errorf("%s: %s", joined(f.lines()), d)
			}
			if r.key != effect(s.step).Key {
				t.Errorf("idempotency key %q, want %q", r.key, effect(s.step).Key)
			}
			if v := r.http.Header.Get("Stripe-Version"); v != "2023-10-16" {
				t.Errorf("API version %q", v)
			}
			if a := r.http.Header.Get("Authorization"); a != "Bearer "+secretKey {
				t.Errorf("authorised as %q", a)
			}
		})
	}
}

func TestAuthoriseWithoutAPaymentMethodConfirmsNothing(t *testing.T) {
	f := newFake(t, always(200, waiting))
	e := effect(order.Authorise)
	e.PaymentMethod = ""
	got := newClient(t, f.url).Perform(context.Background(), e)
	if d := cmp.Diff(payment.Outcome(payment.ActionRequired{Intent: "pi_1", Action: "card"}), got); d != "" {
		t.Error(d)
	}
	for _, name := range []string{"confirm", "payment_method", "return_url", "off_session"} {
		if f.last().form.Has(name) {
			t.Errorf("sent %s=%s", name, f.last().form.Get(name))
		}
	}
}

// What an answer with status 200 means for the step that asked.
func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name string
		step order.Step
		body object
		want payment.Outcome
	}{
		{"authorise: challenge", order.Authorise, challenged, payment.ActionRequired{Intent: "pi_1", Action: "authenticate"}},
		{"authorise: declined in the body", order.Authorise, refusedCard, payment.Declined{Intent: "pi_1", Code: "card_declined", DeclineCode: "insufficient_funds"}},
		{"authorise: canceled for too many tries", order.Authorise, canceled, payment.Declined{Intent: "pi_1", Code: "canceled", DeclineCode: "automatic"}},
		{"authorise: captured by somebody", order.Authorise, succeeded,
			isCaptured},
		{"authorise: processing", order.Authorise, intent.with(object{"status": "processing"}), payment.Unknown{Reason: "payment intent pi_1 is processing"}},
		{"void: still held", order.Void, capturable, payment.Unknown{Reason: "payment intent pi_1 is requires_capture after it was cancelled"}},
		{"void: processing", order.Void, intent.with(object{"status": "processing"}), payment.Unknown{Reason: "payment intent pi_1 is processing"}},
		{"capture: fee not known yet", order.Capture, succeeded.with(object{"latest_charge": held}),
			payment.Unknown{Reason: "payment intent pi_1 is captured, but its fee is not known yet: the charge has no balance transaction"}},
		{"capture: another amount", order.Capture, succeeded.with(object{"amount_received": 2400, "latest_charge": taken.with(object{"balance_transaction": txn.with(object{"amount": 2400})})}),
			payment.Captured{Intent: "pi_1", Charge: "ch_1", Transaction: "txn_1", Amount: 2400, ProcessorFee: 103}},
		{"capture: still held", order.Capture, capturable, payment.Unknown{Reason: "payment intent pi_1 is requires_capture after it was captured"}},
		{"refund: pending", order.Refunding, givenBack.with(object{"status": "pending", "balance_transaction": nil}), payment.Refunded{RefundID: "re_1", Pending: true}},
		{"refund: waits for the buyer", order.Refunding, givenBack.with(object{"status": "requires_action", "balance_transaction": nil}), payment.Refunded{RefundID: "re_1", Pending: true}},
		{"refund: failed", order.Refunding, givenBack.with(object{"status": "failed", "failure_reason": "expired_or_canceled_card"}),
			payment.Failed{Code: "expired_or_canceled_card", Reason: "refund re_1 is failed"}},
		{"refund: canceled", order.Refunding, givenBack.with(object{"status": "canceled"}), payment.Failed{Code: "canceled", Reason: "refund re_1 is canceled"}},
		{"refund: no status", order.Refunding, givenBack.with(object{"status": nil}), payment.Unknown{Reason: "refund re_1 is "}},
		{"transfer: nothing in it", order.Settle, object{}, payment.Unknown{Reason: "Stripe's answer holds no transfer"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t, always(200, c.body))
			got := newClient(t, f.url).Perform(context.Background(), effect(c.step))
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// When Stripe repeats a saved answer it tells what was then.
func TestAReplayedAnswerIsReadAgain(t *testing.T) {
	f := newFake(t, by(map[string]func(http.ResponseWriter, request){
		"POST /v1/payment_intents": func(w http.ResponseWriter, _ request) {
			w.Header().Set("Idempotent-Replayed", "true")
			reply(w, 200, challenged)
		},
		"GET /v1/payment_intents/pi_1": always(200, capturable),
	}))
	got := newClient(t, f.url).Perform(context.Background(), effect(order.Authorise))
	if d := cmp.Diff(payment.Outcome(isAuthorised), got); d != "" {
		t.Error(d)
	}
}

// A refused cancel or capture is what the intent says it is.
func TestRefusedForItsState(t *testing.T) {
	state := failing(object{"type": "invalid_request_error", "code": "payment_intent_unexpected_state", "message": "You cannot.",
		"payment_intent": object{"id": "pi_1", "object": "payment_intent", "client_secret": clientSecret}})
	for _, c := range []struct {
		name string
		step order.Step
		now  object
		want payment.Outcome
	}{
		{"void what is canceled", order.Void, canceled, isVoided},
		{"void what is captured", order.Void, succeeded, isCaptured},
		{"void refused, but held", order.Void, capturable, payment.Unknown{Reason: "Stripe answered 400 invalid_request_error payment_intent_unexpected_state: You cannot. (req_test)"}},
		{"capture what is captured", order.Capture, succeeded, isCaptured},
		{"capture what is canceled", order.Capture, canceled, isVoided},
		{"capture what holds nothing", order.Capture, waiting, payment.Failed{Code: "not-authorised", Reason: "payment intent pi_1 holds nothing, it is requires_payment_method"}},
		{"capture refused, but held", order.Capture, capturable, payment.Failed{Code: "payment_intent_unexpected_state",
			Reason: "Stripe answered 400 invalid_request_error payment_intent_unexpected_state: You cannot. (req_test)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t, func(w http.ResponseWriter, r request) {
				if r.line == "GET /v1/payment_intents/pi_1" {
					reply(w, 200, c.now)
					return
				}
				reply(w, 400, state)
			})
			got := newClient(t, f.url).Perform(context.Background(), effect(c.step))
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestIncompleteEffectsAreNotSent(t *testing.T) {
	change := func(step order.Step, f func(*payment.Effect)) payment.Effect { e := effect(step); f(&e); return e }
	for name, e := range map[string]payment.Effect{
		"no key":             change(order.Authorise, func(e *payment.Effect) { e.Key = "" }),
		"a key too long":     change(order.Authorise, func(e *payment.Effect) { e.Key = strings.Repeat("k", 241) }),
		"no order":           change(order.Authorise, func(e *payment.Effect) { e.Order = uuid.Nil }),
		"no step":            change("dance", func(*payment.Effect) {}),
		"void of nothing":    change(order.Void, func(e *payment.Effect) { e.Intent = "" }),
		"capture of nothing": change(order.Capture, func(e *payment.Effect) { e.Intent = "" }),
		"refund of nothing":  change(order.Refunding, func(e *payment.Effect) { e.Intent = "" }),
		"refund unnamed":     change(order.Refunding, func(e *payment.Effect) { e.Refund = uuid.Nil }),
		"settle to nobody":   change(order.Settle, func(e *payment.Effect) { e.Destination = "" }),
		"amount too fine":    change(order.Refunding, func(e *payment.Effect) { e.Amount, e.Currency = 5124, "KWD" }),
		"no amount":          change(order.Capture, func(e *payment.Effect) { e.Amount = 0 }),
		"no such currency":   change(order.Settle, func(e *payment.Effect) { e.Currency = "LYD" }),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, always(200, succeeded))
			if o := newClient(t, f.url).Perform(context.Background(), e); kind(o) != "failed" || len(f.lines()) != 0 {
				t.Errorf("%#v after %s, want a failure after nothing", o, joined(f.lines()))
			}
		})
	}
}

// story is a Stripe at which something was done, or nothing, before we look.
type story struct {
	name string
	step order.Step
	done map[string]func(http.ResponseWriter, request) // what a look is answered
	want payment.Outcome                               // nil: the look finds nothing
	path string                                        // what is asked, in order
}

func stories() []story {
	const pi, capture = "GET /v1/payment_intents/pi_1", "POST /v1/payment_intents/pi_1/capture"
	mine := held.with(object{"metadata": object{"kicau_key": effect(order.Authorise).Key}})
	others := object{"id": "ch_0", "object": "charge", "payment_intent": "pi_0", "metadata": object{"kicau_key": "v1:else"}}
	lists := func(charges, intents object) map[string]func(http.ResponseWriter, request) {
		return map[string]func(http.ResponseWriter, request){
			"GET /v1/charges": always(200, charges), "GET /v1/payment_intents": always(200, intents), pi: always(200, capturable),
			"POST /v1/payment_intents": always(200, capturable)}
	}
	one := func(line string, body object, send string, sent object) map[string]func(http.ResponseWriter, request) {
		return map[string]func(http.ResponseWriter, request){line: always(200, body), send: always(200, sent)}
	}
	return []story{
		{"authorise: charged", order.Authorise, lists(list(others, mine), list()), isAuthorised, "GET /v1/charges, " + pi},
		{"authorise: made, not charged", order.Authorise, lists(list(others), list(intent.with(object{"id": "pi_0", "metadata": nil}), waiting)), isAuthorised,
			"GET /v1/charges, GET /v1/payment_intents, " + pi},
		{"authorise: not done", order.Authorise, lists(list(others), list(intent.with(object{"id": "pi_0", "metadata": nil}))), nil,
			"GET /v1/charges, GET /v1/payment_intents, POST /v1/payment_intents"},
		{"void: done", order.Void, one(pi, canceled, "", nil), isVoided, pi},
		{"void: too late", order.Void, one(pi, succeeded, "", nil), isCaptured, pi},
		{"void: not done", order.Void, one(pi, capturable, "POST /v1/payment_intents/pi_1/cancel", canceled), nil, pi + ", POST /v1/payment_intents/pi_1/cancel"},
		{"capture: done", order.Capture, one(pi, succeeded, "", nil), isCaptured, pi},
		{"capture: lapsed", order.Capture, one(pi, canceled, "", nil), isVoided, pi},
		{"capture: not done", order.Capture, one(pi, capturable, capture, succeeded), nil, pi + ", " + capture},
		{"refund: done", order.Refunding, one("GET /v1/refunds", list(givenBack.with(object{"id": "re_0", "metadata": nil}), givenBack), "", nil), isRefunded, "GET /v1/refunds"},
		{"refund: paid, and back since", order.Refunding, one("GET /v1/refunds", list(givenBack.with(object{"status": "failed", "failure_reason": "lost_or_stolen_card",
			"balance_transaction": "txn_r", "failure_balance_transaction": "txn_b"})), "", nil),
			payment.Refunded{RefundID: "re_1", Transaction: "txn_r", Returned: "txn_b", Code: "lost_or_stolen_card"}, "GET /v1/refunds"},
		{"refund: failed since", order.Refunding, one("GET /v1/refunds", list(givenBack.with(object{"status": "failed"})), "", nil),
			payment.Failed{Code: "failed", Reason: "refund re_1 is failed"}, "GET /v1/refunds"},
		{"refund: not done", order.Refunding, one("GET /v1/refunds", list(givenBack.with(object{"id": "re_0", "metadata": nil})), "POST /v1/refunds", givenBack), nil,
			"GET /v1/refunds, POST /v1/refunds"},
		{"settle: done", order.Settle, one("GET /v1/transfers", list(paidOut), "", nil), isTransferred, "GET /v1/transfers"},
		{"settle: not done", order.Settle, one("GET /v1/transfers", list(paidOut.with(object{"id": "tr_0", "metadata": object{"kicau_key": "v1:earlier"}})), "POST /v1/transfers", paidOut), nil,
			"GET /v1/transfers, POST /v1/transfers"},
	}
}

// After a lost answer the object is read first, and the call is sent again, with
// the same key, only when it shows nothing done.
func TestAfterALostAnswerWeLookFirst(t *testing.T) {
	for _, s := range stories() {
		t.Run(s.name, func(t *testing.T) {
			f := newFake(t, by(s.done))
			got := newClient(t, f.url).Perform(context.Background(), again(effect(s.step)))
			want := s.want
			if want == nil {
				want = allSteps[slices.IndexFunc(allSteps, func(a stepCase) bool { return a.step == s.step })].want
				if f.last().key != effect(s.step).Key {
					t.Errorf("sent again with key %q, want %q", f.last().key, effect(s.step).Key)
				}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			if joined(f.lines()) != s.path {
				t.Errorf("asked %s, want %s", joined(f.lines()), s.path)
			}
		})
	}
}

// Whatever the number of tries, a key of 23 hours is not sent: what is not done
// by then either guards itself, or is over.
func TestAnOldKeyIsNotSent(t *testing.T) {
	for _, s := range stories() {
		for _, tries := range []int{0, 7} {
			t.Run(s.name, func(t *testing.T) {
				f := newFake(t, by(s.done))
				e := old(effect(s.step), stripe.KeyLife)
				e.Tries = tries
				got := newClient(t, f.url).Perform(context.Background(), e)
				switch {
				case s.want != nil:
					if d := cmp.Diff(s.want, got); d != "" {
						t.Error(d)
					}
				case s.step == order.Void || s.step == order.Capture:
					if got := f.last().key; got != e.Key+":again1" {
						t.Errorf("sent again with key %q", got)
					}
				default:
					if failed, ok := got.(payment.Failed); !ok || failed.Code != "key-expired" {
						t.Errorf("%#v, want that its key expired", got)
					}
				}
				for _, r := range f.got {
					if r.key == e.Key {
						t.Errorf("%s with the old key", r.line)
					}
				}
			})
		}
	}
}

func TestAYoungKeyIsSentWithoutLooking(t *testing.T) {
	f := newFake(t, always(200, capturable))
	got := newClient(t, f.url).Perform(context.Background(), old(effect(order.Authorise), stripe.KeyLife-time.Second))
	if kind(got) != "authorised" || joined(f.lines()) != "POST /v1/payment_intents" {
		t.Errorf("%#v after %s", got, joined(f.lines()))
	}
}

// A look that fails proves nothing, and nothing is sent after it. Only what does
// not exist cannot have been done.
func TestALookThatFails(t *testing.T) {
	missing := always(404, failing(object{"type": "invalid_request_error", "code": "resource_missing", "message": "No such payment_intent: 'pi_1'"}))
	for name, answer := range map[string]func(http.ResponseWriter, request){
		"no answer":          drop,
		"half an answer":     cut,
		"500":                always(500, failing(object{"type": "api_error"})),
		"refused":            always(400, failing(object{"type": "invalid_request_error", "message": "no"})),
		"wrong key":          always(401, failing(object{"type": "invalid_request_error", "message": "Invalid API Key provided: sk_test_51Not*****Key"})),
		"missing":            missing,
		"an endless promise": always(200, object{"object": "list", "has_more": true, "data": []object{}}),
		"a list of nothing":  always(200, object{"object": "list", "has_more": true, "data": []any{nil}}),
	} {
		for _, s := range allSteps {
			t.Run(name+" "+string(s.step), func(t *testing.T) {
				f := newFake(t, func(w http.ResponseWriter, r request) {
					if strings.HasPrefix(r.line, "POST") {
						t.Errorf("%s was sent", r.line)
					}
					answer(w, r)
				})
				want := "unknown"
				if name == "missing" && s.step != order.Authorise && s.step != order.Settle {
					want = "failed"
				}
				if got := newClient(t, f.url).Perform(context.Background(), again(effect(s.step))); kind(got) != want {
					t.Errorf("%#v, want %s", got, want)
				}
			})
		}
	}
}

// A list is paged through to its end, and no further than is sensible.
func TestPaging(t *testing.T) {
	pages := func(ours int) func(http.ResponseWriter, request) {
		n := 0
		return func(w http.ResponseWriter, r request) {
			n++
			item := givenBack.with(object{"id": "re_" + string(rune('a'+n)), "metadata": nil})
			if n > 1 && r.form.Get("starting_after") != "re_"+string(rune('a'+n-1)) {
				t.Errorf("page %d starts after %q", n, r.form.Get("starting_after"))
			}
			if n == ours {
				item = givenBack
			}
			reply(w, 200, object{"object": "list", "has_more": true, "data": []object{item}})
		}
	}
	for _, c := range []struct {
		ours int
		want string
		asks int
	}{{3, "refunded", 3}, {10, "refunded", 10}, {11, "unknown", 10}} {
		f := newFake(t, by(map[string]func(http.ResponseWriter, request){"GET /v1/refunds": pages(c.ours)}))
		got := newClient(t, f.url).Perform(context.Background(), again(effect(order.Refunding)))
		if kind(got) != c.want || len(f.lines()) != c.asks {
			t.Errorf("ours on page %d: %#v after %d pages; want %s after %d", c.ours, got, len(f.lines()), c.want, c.asks)
		}
	}
}

// The newest payment intents may be too many to look through: that proves
// nothing, but neither does it have to, since no charge was made.
func TestABusyPlatformHoldsNobodyUp(t *testing.T) {
	n := 0
	f := newFake(t, by(map[string]func(http.ResponseWriter, request){
		"GET /v1/charges": always(200, list()),
		"GET /v1/payment_intents": func(w http.ResponseWriter, _ request) {
			n++
			reply(w, 200, object{"object": "list", "has_more": true, "data": []object{{"id": fmt.Sprint("pi_", n), "object": "payment_intent"}}})
		},
		"POST /v1/payment_intents": always(200, capturable),
	}))
	if got := newClient(t, f.url).Perform(context.Background(), again(effect(order.Authorise))); kind(got) != "authorised" || n != 10 {
		t.Errorf("%#v after %d pages of payment intents", got, n)
	}
}
