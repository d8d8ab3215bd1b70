package stripe_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kicau/domain/order"
	"kicau/domain/payment"
)

var (
	withdrawal = object{"id": "txn_5", "object": "balance_transaction", "amount": -2500, "fee": 1500, "net": -4000, "currency": "gbp",
		"reporting_category": "dispute", "created": 100}
	answerFee = object{"id": "txn_6", "object": "balance_transaction", "amount": -1500, "fee": 0, "net": -1500, "currency": "gbp",
		"reporting_category": "fee", "created": 200}
	reinstatement = object{"id": "txn_7", "object": "balance_transaction", "amount": 2500, "fee": 0, "net": 2500, "currency": "gbp",
		"reporting_category": "dispute_reversal", "created": 300}
	feeReturned = object{"id": "txn_8", "object": "balance_transaction", "amount": 1500, "fee": 0, "net": 1500, "currency": "gbp",
		"reporting_category": "fee", "created": 300}
	asked = object{"id": "dp_1", "object": "dispute", "amount": 2500, "currency": "gbp", "charge": "ch_1", "payment_intent": "pi_1",
		"reason": "fraudulent", "status": "needs_response", "balance_transactions": []object{withdrawal},
		"evidence_details": object{"due_by": noon.Unix(), "submission_count": 0}}
)

// after is a Stripe at which a captured payment was disputed.
func after(captured object, dispute object, fees ...object) func(http.ResponseWriter, request) {
	disputes := list()
	if dispute != nil {
		disputes = list(dispute)
	}
	return by(map[string]func(http.ResponseWriter, request){
		readIntent: always(200, captured), "GET /v1/disputes": always(200, disputes),
		"GET /v1/radar/early_fraud_warnings": always(200, list()), "GET /v1/balance_transactions": always(200, list(fees...))})
}

// Stripe lists the withdrawal and the reinstatement with a dispute, newest or
// oldest first; the fee for answering, and its return, are found by their source.
// What is read is in the order of time, each movement once.
func TestTheMoneyOfADispute(t *testing.T) {
	answered := asked.with(object{"status": "under_review", "evidence_details": object{"due_by": noon.Unix(), "submission_count": 1}})
	won := answered.with(object{"status": "won", "balance_transactions": []object{reinstatement, withdrawal}})
	taken := payment.Movement{Transaction: "txn_5", Amount: -2500, Fee: 1500}
	charged := payment.Movement{Transaction: "txn_6", Fee: 1500}
	for _, c := range []struct {
		name    string
		dispute object
		fees    []object
		want    []payment.Movement
		path    string // after the intent and its disputes
	}{
		{"opened", asked, nil, []payment.Movement{taken}, ""},
		{"answered", answered, []object{answerFee, withdrawal}, []payment.Movement{taken, charged}, "GET /v1/balance_transactions, "},
		{"answered, and Stripe does not say what it cost", answered, nil, []payment.Movement{taken}, "GET /v1/balance_transactions, "},
		{"won", won, []object{feeReturned, reinstatement, answerFee, withdrawal}, []payment.Movement{taken, charged,
			{Transaction: "txn_7", Amount: 2500}, {Transaction: "txn_8", Fee: -1500}}, "GET /v1/balance_transactions, "},
		{"an inquiry that was answered", answered.with(object{"status": "warning_under_review", "balance_transactions": []object{}}), nil, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t, after(succeeded, c.dispute, c.fees...))
			_, seen := newClient(t, f.url).Read(context.Background(), "pi_1")
			if len(seen.Disputes) != 1 {
				t.Fatalf("%+v", seen)
			}
			if d := cmp.Diff(c.want, seen.Disputes[0].Movements); d != "" {
				t.Error(d)
			}
			if got, want := joined(f.lines()), readIntent+", GET /v1/disputes, "+c.path+"GET /v1/radar/early_fraud_warnings"; got != want {
				t.Errorf("asked %s, want %s", got, want)
			}
		})
	}
}

func TestHowADisputeStands(t *testing.T) {
	for status, want := range map[string]payment.SeenDispute{
		"warning_needs_response": {Inquiry: true}, "warning_under_review": {Inquiry: true, Submitted: true},
		"warning_closed": {Inquiry: true, Result: order.Withdrawn}, "needs_response": {}, "under_review": {Submitted: true},
		"won": {Result: order.Won}, "lost": {Result: order.Lost},
	} {
		// No time to answer: it cannot be answered.
		f := newFake(t, after(succeeded, asked.with(object{"status": status, "evidence_details": object{"due_by": nil}})))
		_, seen := newClient(t, f.url).Read(context.Background(), "pi_1")
		want.ID, want.Charge, want.Amount, want.Reason = "dp_1", "ch_1", 2500, "fraudulent"
		want.Movements = []payment.Movement{{Transaction: "txn_5", Amount: -2500, Fee: 1500}}
		if d := cmp.Diff([]payment.SeenDispute{want}, seen.Disputes); d != "" {
			t.Errorf("%s: %s", status, d)
		}
	}
}

// What cannot be told in the payment's currency, or not whole, is not told at all.
func TestWhatCannotBeTold(t *testing.T) {
	refundOf := func(more object) object {
		r := object{"id": "re_1", "object": "refund", "amount": 100, "currency": "gbp", "status": "succeeded", "balance_transaction": nil}
		return succeeded.with(object{"latest_charge": taken.with(object{"refunds": list(r.with(more))})})
	}
	for _, c := range []struct {
		name, reason string
		answer       func(http.ResponseWriter, request)
	}{
		{"a dispute in dollars", "dispute dp_1: it is in usd, the payment in gbp", after(succeeded, asked.with(object{"currency": "usd"}))},
		{"a movement in dollars of which nothing tells the rate", "dispute dp_1: balance transaction txn_5 is in usd",
			after(succeeded, asked.with(object{"balance_transactions": []object{withdrawal.with(object{"currency": "usd", "amount": 2500})}}))},
		{"a movement that is missing", "dispute dp_1: a balance transaction of it is missing",
			after(succeeded, asked.with(object{"balance_transactions": []any{nil}}))},
		{"a dispute without an id", "holds no dispute", after(succeeded, asked.with(object{"id": ""}))},
		{"a refund in dollars", "refund re_1: it is in usd, the payment in gbp", after(refundOf(object{"currency": "usd"}), nil)},
		{"a refund of the future", "refund re_1 is pondering", after(refundOf(object{"status": "pondering"}), nil)},
		{"no disputes", "disputes of payment intent pi_1: no answer", by(map[string]func(http.ResponseWriter, request){readIntent: always(200, succeeded), "GET /v1/disputes": drop})},
	} {
		t.Run(c.name, func(t *testing.T) {
			id, seen := newClient(t, newFake(t, c.answer).url).Read(context.Background(), "pi_1")
			if u, ok := seen.Outcome.(payment.Unknown); !ok || !strings.Contains(u.Reason, c.reason) || id != orderID {
				t.Errorf("%#v of order %s, want unknown with %q", seen.Outcome, id, c.reason)
			}
		})
	}
}

// A payment that is not captured has nothing after it: it is one request.
func TestReadingWhatIsNotCapturedIsOneRequest(t *testing.T) {
	for _, now := range []object{waiting, challenged, refusedCard, capturable, canceled} {
		f := newFake(t, by(map[string]func(http.ResponseWriter, request){readIntent: always(200, now)}))
		newClient(t, f.url).Read(context.Background(), "pi_1")
		if joined(f.lines()) != readIntent {
			t.Errorf("%v: %s", now["status"], joined(f.lines()))
		}
	}
}

// An answer about a dispute that Stripe repeats is of then; what counts is now.
func TestARepeatedAnswerAboutADispute(t *testing.T) {
	then := asked.with(object{"status": "under_review", "evidence_details": object{"due_by": noon.Unix(), "submission_count": 1}})
	f := newFake(t, by(map[string]func(http.ResponseWriter, request){
		"POST /v1/disputes/dp_1": func(w http.ResponseWriter, _ request) {
			w.Header().Set("Idempotent-Replayed", "true")
			reply(w, 200, then)
		},
		"GET /v1/disputes/dp_1": always(200, then.with(object{"status": "lost"})),
	}))
	got, ok := newClient(t, f.url).Perform(context.Background(), effect(order.Contest)).(payment.Disputed)
	if !ok || got.Dispute.Result != order.Lost {
		t.Errorf("%#v", got)
	}
}

// An inquiry that was answered and became a chargeback wants an answer again, though
// Stripe counts the one that there was.
func TestAnsweredAsAnInquiry(t *testing.T) {
	for status, submitted := range map[string]bool{"needs_response": false, "under_review": true, "lost": true} {
		f := newFake(t, after(succeeded, asked.with(object{"status": status,
			"evidence_details": object{"due_by": noon.Unix(), "submission_count": 1}})))
		_, seen := newClient(t, f.url).Read(context.Background(), "pi_1")
		if len(seen.Disputes) != 1 || seen.Disputes[0].Submitted != submitted {
			t.Errorf("%s: %+v, submitted should be %v", status, seen.Disputes, submitted)
		}
	}
}

// Only the ten newest refunds come with a charge. What was released of the authorisation
// is the oldest of them, and without it the fee is not known.
func TestManyRefundsAfterACaptureOfAPart(t *testing.T) {
	refund := func(id, category string, amount, fee int) object {
		return object{"id": "re_" + id, "object": "refund", "amount": amount, "currency": "gbp", "status": "succeeded", "payment_intent": "pi_1", "metadata": object{},
			"balance_transaction": object{"id": "txn_" + id, "object": "balance_transaction", "amount": -amount, "fee": fee, "net": -amount - fee, "currency": "gbp", "reporting_category": category}}
	}
	var newest []object
	for n := 10; n > 0; n-- {
		newest = append(newest, refund(fmt.Sprint("r", n), "refund", 10, 0))
	}
	released := refund("part", "partial_capture_reversal", 1000, -29)
	refunds := object{"object": "list", "has_more": true, "url": "/v1/charges/ch_1/refunds", "data": newest}
	pi := succeeded.with(object{"amount_received": 1500, "latest_charge": taken.with(object{"amount_captured": 1500, "refunds": refunds})})
	f := newFake(t, by(map[string]func(http.ResponseWriter, request){
		"GET /v1/payment_intents/pi_1": always(200, pi), "GET /v1/refunds": always(200, list(append(newest, released)...)),
		"GET /v1/disputes": always(200, list()), "GET /v1/radar/early_fraud_warnings": always(200, list())}))
	_, seen := newClient(t, f.url).Read(context.Background(), "pi_1")
	if c, ok := seen.Outcome.(payment.Captured); !ok || c.Amount != 1500 || c.ProcessorFee != 74 || len(seen.Refunds) != 10 {
		t.Errorf("%#v, %d refunds", seen.Outcome, len(seen.Refunds))
	}
}

// A dispute whose money left the balance in another currency took as much of the payment
// as is disputed; its fees, and what comes back, are converted at the same rate.
func TestADisputeInAnotherCurrency(t *testing.T) {
	usd := object{"id": "txn_1", "object": "balance_transaction", "amount": 3100, "fee": 130, "net": 2970, "currency": "usd", "reporting_category": "charge"}
	pi := succeeded.with(object{"latest_charge": taken.with(object{"balance_transaction": usd})})
	moved := func(id, category string, amount, fee, at int64) object {
		return object{"id": id, "object": "balance_transaction", "amount": amount, "fee": fee, "net": amount - fee, "currency": "usd", "reporting_category": category, "created": noon.Unix() + at}
	}
	d := object{"id": "dp_1", "object": "dispute", "amount": 2500, "currency": "gbp", "charge": "ch_1", "reason": "fraudulent", "status": "won",
		"evidence_details":     object{"due_by": noon.Add(240 * time.Hour).Unix(), "submission_count": 0},
		"balance_transactions": []object{moved("txn_10", "dispute_reversal", 1550, -1500, 60), moved("txn_9", "dispute", -3100, 1500, 0)}}
	f := newFake(t, by(map[string]func(http.ResponseWriter, request){
		"GET /v1/payment_intents/pi_1": always(200, pi), "GET /v1/disputes": always(200, list(d)), "GET /v1/radar/early_fraud_warnings": always(200, list())}))
	_, seen := newClient(t, f.url).Read(context.Background(), "pi_1")
	want := []payment.Movement{{Transaction: "txn_9", Amount: -2500, Fee: 1210}, {Transaction: "txn_10", Amount: 1250, Fee: -1210}}
	if len(seen.Disputes) != 1 || !slices.Equal(seen.Disputes[0].Movements, want) {
		t.Errorf("%#v, %+v", seen.Outcome, seen.Disputes)
	}
}
