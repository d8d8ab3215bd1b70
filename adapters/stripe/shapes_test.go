package stripe_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"sync"
	"testing"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/google/uuid"
	stripego "github.com/stripe/stripe-go/v76"

	"kicau/adapters/stripe"
	"kicau/domain/order"
	"kicau/domain/payment"
)

// Our shapes read what stripe-go's own types read, field by field, of every answer
// that the sandbox gives and of what it never says; and each field is read at
// least once.
func TestShapesReadTheSame(t *testing.T) {
	c := &comparison{T: t, read: map[string]bool{}}
	for _, body := range answersOfALife(t) {
		c.answer(body)
	}
	for _, o := range neverSaid {
		body, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		c.answer(body)
	}
	for _, shape := range []any{stripe.PaymentIntent{}, stripe.LatestCharge{}, stripe.Charged{}, stripe.Refund{}, stripe.Moved{}, stripe.Dispute{},
		stripe.Warning{}, stripe.PaidOut{}, stripe.Customer{}, stripe.Booked{}, stripe.Event{}, stripe.Hook{}, stripe.Balance{}, stripe.Account{}} {
		c.wasRead(reflect.TypeOf(shape))
	}
}

// What is neither an id nor an object is no reference.
func TestReferences(t *testing.T) {
	for in, want := range map[string]stripe.Ref{`"pi_1"`: "pi_1", `{"id":"pi_1","charge":{"id":"ch_1"}}`: "pi_1", `null`: "", `""`: "", `{}`: ""} {
		got := reference{}
		if err := jsonv2.Unmarshal([]byte(`{"of": `+in+` }`), &got); err != nil || got.Of != want {
			t.Errorf("%s: %q, %v", in, got.Of, err)
		}
	}
	for _, in := range []string{`17`, `true`, `["pi_1"]`, `{"id":17}`} {
		got := reference{}
		if err := jsonv2.Unmarshal([]byte(`{"of":`+in+`}`), &got); err == nil {
			t.Errorf("%s: %q", in, got.Of)
		}
	}
}

type reference struct {
	Of stripe.Ref `json:"of"`
}

// What others wrote at Stripe is read, odd as it may be: half a character, bytes that
// are none, a name that stands twice.
func TestOddAnswers(t *testing.T) {
	body := `{"id":"pi_1","object":"payment_intent","status":"requires_capture","amount_capturable":2500,"currency":"gbp","description":"\ud83d",` +
		`"shipping":{"name":"` + "\xff" + `"},"metadata":{"a":"` + "\xfe" + `","kicau_order":"` + orderID.String() + `"},"metadata":{"kicau_order":"` + orderID.String() + `"}}`
	f := newFake(t, func(w http.ResponseWriter, _ request) { io.WriteString(w, body) })
	id, seen := newClient(t, f.url).Read(context.Background(), "pi_1")
	if a, ok := seen.Outcome.(payment.Authorised); !ok || a.Amount != 2500 || id != orderID {
		t.Errorf("order %s, %+v", id, seen.Outcome)
	}
}

// comparison of what two types read of the same.
type comparison struct {
	*testing.T
	read map[string]bool // fields of our shapes that were not empty
}

// answer compares an answer, or each object of a list.
func (c *comparison) answer(body []byte) {
	c.Helper()
	var o struct {
		Object string
		Data   json.RawMessage
	}
	if err := json.Unmarshal(body, &o); err != nil {
		c.Fatal(err)
	}
	if o.Object == "list" {
		var data []json.RawMessage
		if err := json.Unmarshal(o.Data, &data); err != nil {
			c.Fatal(err)
		}
		for _, one := range data {
			c.answer(one)
		}
		return
	}
	switch o.Object {
	case "payment_intent":
		c.both(body, &stripe.PaymentIntent{}, &stripego.PaymentIntent{})
	case "charge":
		c.both(body, &stripe.Charged{}, &stripego.Charge{})
		c.both(body, &stripe.LatestCharge{}, &stripego.Charge{})
	case "refund":
		c.both(body, &stripe.Refund{}, &stripego.Refund{})
	case "transfer":
		c.both(body, &stripe.Moved{}, &stripego.Transfer{})
	case "transfer_reversal":
		c.both(body, &stripe.Moved{}, &stripego.TransferReversal{})
	case "dispute":
		c.both(body, &stripe.Dispute{}, &stripego.Dispute{})
	case "radar.early_fraud_warning":
		c.both(body, &stripe.Warning{}, &stripego.RadarEarlyFraudWarning{})
	case "payout":
		c.both(body, &stripe.PaidOut{}, &stripego.Payout{})
	case "customer":
		c.both(body, &stripe.Customer{}, &stripego.Customer{})
	case "balance_transaction":
		c.both(body, &stripe.Booked{}, &stripego.BalanceTransaction{})
	case "event":
		c.both(body, &stripe.Event{}, &stripego.Event{})
	case "webhook_endpoint":
		c.both(body, &stripe.Hook{}, &stripego.WebhookEndpoint{})
	case "balance":
		c.both(body, &stripe.Balance{}, &stripego.Balance{})
	case "account":
		c.both(body, &stripe.Account{}, &stripego.Account{})
	default:
		c.Errorf("nothing is known of %q", o.Object)
	}
}

func (c *comparison) both(body []byte, ours, theirs any) {
	c.Helper()
	if err := json.Unmarshal(body, theirs); err != nil {
		c.Fatalf("%T: %v: %s", theirs, err, body)
	}
	if err := jsonv2.Unmarshal(body, ours); err != nil {
		c.Fatalf("%T: %v: %s", ours, err, body)
	}
	c.same(reflect.TypeOf(ours).Elem().Name(), reflect.ValueOf(ours), reflect.ValueOf(theirs))
}

// same compares a value of ours with one of stripe-go's: a field with that of the
// same name, an id with the object that it is the id of.
func (c *comparison) same(path string, ours, theirs reflect.Value) {
	c.Helper()
	if !ours.IsZero() {
		c.read[path] = true
	}
	if theirs.Kind() == reflect.Pointer && theirs.IsNil() {
		if !ours.IsZero() {
			c.Errorf("%s is %v, and nil in stripe-go", path, ours)
		}
		return
	}
	if ours.Kind() == reflect.Pointer && ours.IsNil() {
		c.Errorf("%s is nil, and %v in stripe-go", path, theirs)
		return
	}
	ours, theirs = reflect.Indirect(ours), reflect.Indirect(theirs)
	if name := ours.Type().Name(); name != "" && ours.Kind() == reflect.Struct {
		path = name // however it is reached
	}
	switch {
	case ours.Type() == reflect.TypeFor[stripe.Ref]():
		c.same(path, reflect.ValueOf(ours.String()), theirs.FieldByName("ID"))
	case ours.Type() == reflect.TypeFor[stripe.Source]():
		c.sources(path, ours, theirs)
	case ours.Kind() == reflect.Struct:
		c.fields(path, ours, theirs)
	case ours.Kind() == reflect.Slice && ours.Type().Elem().Kind() == reflect.Pointer:
		if ours.Len() != theirs.Len() {
			c.Fatalf("%s has %d elements, and %d in stripe-go", path, ours.Len(), theirs.Len())
		}
		for i := range ours.Len() {
			c.same(path+"[]", ours.Index(i), theirs.Index(i))
		}
	default:
		if !reflect.DeepEqual(ours.Interface(), theirs.Convert(ours.Type()).Interface()) {
			c.Errorf("%s is %v, and %v in stripe-go", path, ours, theirs)
		}
	}
}

func (c *comparison) fields(path string, ours, theirs reflect.Value) {
	c.Helper()
	for i := range ours.NumField() {
		f := ours.Type().Field(i)
		switch {
		case f.Name == "repeatable": // says how the answer came, not what is in it
		case f.Anonymous:
			c.same(path+"."+f.Name, ours.Field(i), theirs)
		case path == "event.Data": // an object that stripe-go keeps, too, as it came
			c.same(path+"."+f.Name, ours.Field(i), theirs.FieldByName("Raw"))
		default:
			their := theirs.FieldByName(f.Name)
			if !their.IsValid() {
				c.Fatalf("stripe-go's %s has no %s", theirs.Type(), f.Name)
			}
			c.same(path+"."+f.Name, ours.Field(i), their)
		}
	}
}

// sources: stripe-go has a field for every kind of object. Ours is read by what it
// is only.
func (c *comparison) sources(path string, ours, theirs reflect.Value) {
	c.Helper()
	c.same(path+".ID", ours.FieldByName("ID"), theirs.FieldByName("ID"))
	c.same(path+".Object", ours.FieldByName("Object"), theirs.FieldByName("Type"))
	kind := map[string]string{"charge": "Charge", "refund": "Refund", "dispute": "Dispute", "transfer": "Transfer", "payout": "Payout"}[ours.FieldByName("Object").String()]
	if kind == "" {
		return
	}
	object := reflect.Indirect(theirs.FieldByName(kind))
	for _, name := range []string{"Metadata", "PaymentIntent", "Charge", "OriginalPayout"} {
		if their := object.FieldByName(name); their.IsValid() {
			c.same(path+"."+name, ours.FieldByName(name), their)
		}
	}
}

// wasRead checks that every field of a shape was something once.
func (c *comparison) wasRead(shape reflect.Type) { c.fieldsRead(shape.Name(), shape) }

func (c *comparison) fieldsRead(path string, shape reflect.Type) {
	c.Helper()
	if shape.Name() != "" {
		path = shape.Name()
	}
	for i := range shape.NumField() {
		f := shape.Field(i)
		if f.Name == "repeatable" {
			continue
		}
		if !c.read[path+"."+f.Name] {
			c.Errorf("nothing was read into %s.%s", path, f.Name)
		}
		t := f.Type
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() == reflect.Struct {
			c.fieldsRead(path+"."+f.Name, t)
		}
	}
}

// answersOfALife are those of the sandbox to calls of every kind.
func answersOfALife(t *testing.T) (answers [][]byte) {
	w := newWorld(t)
	var mu sync.Mutex
	w.client = newClient(t, w.way.URL, func(o *stripe.Options) {
		o.SecretKey, o.Now = "sk_test_sandbox", w.time
		o.Transport = inProcess(func(r *http.Request) (*http.Response, error) {
			res, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				return nil, err
			}
			body, err := io.ReadAll(res.Body)
			res.Body = io.NopCloser(bytes.NewReader(body))
			mu.Lock()
			defer mu.Unlock()
			if res.StatusCode == http.StatusOK {
				answers = append(answers, body)
			}
			return res, err
		})
	})
	ctx := context.Background()
	perform := func(step order.Step, change func(*payment.Effect)) payment.Outcome {
		e := w.intention(step, change)
		o := w.perform(e)
		w.perform(again(e)) // what looks for it is read as well
		return o
	}
	authorise := func(card string) payment.Authorised {
		w.order = uuid.New()
		a, _ := perform(order.Authorise, func(e *payment.Effect) { e.PaymentMethod, e.KeepCard = card, true }).(payment.Authorised)
		return a
	}

	part := authorise("pm_card_refundFail")
	perform(order.Capture, func(e *payment.Effect) { e.Intent, e.Amount = part.Intent, 1800 })
	perform(order.Refunding, func(e *payment.Effect) { e.Intent, e.Refund, e.Amount = part.Intent, uuid.New(), 500 })
	tr := perform(order.Settle, func(e *payment.Effect) { e.Charge, e.Amount = part.Charge, 1000 }).(payment.Transferred)
	perform(order.Reverse, func(e *payment.Effect) { e.Transfer, e.Amount = tr.Transfer, 100 })
	disputed := authorise("pm_card_createDispute")
	w.captured(disputed)
	d := w.read(disputed.Intent).Disputes[0]
	perform(order.Contest, func(e *payment.Effect) { e.Dispute, e.Evidence.Text = d.ID, "winning_evidence" })
	warned := authorise("pm_card_createIssuerFraudRecord")
	w.captured(warned)
	void := authorise("pm_card_visa")
	perform(order.Void, func(e *payment.Effect) { e.Intent = void.Intent })
	authorise("pm_card_visa_chargeDeclined")
	authorise("pm_card_authenticationRequired")

	w.wait(4 * 24 * time.Hour)
	for _, intent := range []string{part.Intent, disputed.Intent, warned.Intent} {
		w.client.Read(ctx, intent)
	}
	w.client.Read(ctx, part.Charge)
	w.payOut(500)
	w.api("POST", "/v1/payouts", url.Values{"amount": {"100"}, "currency": {"gbp"}})
	for _, err := range w.client.Movements(ctx) {
		if err != nil {
			t.Fatal(err)
		}
	}
	collect(w.client.Payouts(ctx))
	collect(w.client.ConnectedPayouts(ctx, w.shop, noon))
	collect(w.client.Notices(ctx, noon))
	return answers
}

// What the sandbox never says, or never in this test: ids where it has objects and
// objects where it has ids.
var (
	expanded = succeeded.with(object{"customer": object{"id": "cus_1", "object": "customer"}, "payment_method": object{"id": "pm_1", "object": "payment_method"},
		"latest_charge": taken.with(object{"created": 1773489600, "payment_method": "pm_1", "refunds": list(lateFailure).with(object{"has_more": true})})})
	lateFailure = givenBack.with(object{"status": "failed", "failure_reason": "lost_or_stolen_card", "balance_transaction": txn.with(object{"created": 1773489600}),
		"failure_balance_transaction": object{"id": "txn_3", "object": "balance_transaction"}})
	askedBack = object{"id": "po_1", "object": "payout", "amount": 500, "currency": "gbp", "status": "paid", "created": 1773489600, "arrival_date": 1773576000,
		"automatic": true, "balance_transaction": "txn_1", "reversed_by": "po_2"}
	bookedOf = func(source any) object { return txn.with(object{"created": 1773489600, "source": source}) }

	neverSaid = []object{
		expanded,
		expanded.with(object{"customer": "cus_1", "payment_method": "pm_1", "latest_charge": "ch_1"}),
		succeeded.with(object{"latest_charge": taken.with(object{"balance_transaction": "txn_1", "refunds": nil})}),
		canceled, refusedCard, challenged, capturable,
		challenged.with(object{"next_action": object{"type": "redirect_to_url", "redirect_to_url": object{"url": "https://hooks.stripe.com/3ds"}}}),
		taken.with(object{"payment_intent": object{"id": "pi_1", "object": "payment_intent"}, "metadata": object{"kicau_key": "k"}}),
		lateFailure, givenBack, givenBack.with(object{"balance_transaction": nil, "failure_balance_transaction": "txn_3"}),
		paidOut.with(object{"balance_transaction": txn}), paidOut.with(object{"balance_transaction": "txn_1"}),
		asked, asked.with(object{"charge": object{"id": "ch_1", "object": "charge"}, "evidence_details": nil, "balance_transactions": nil}),
		asked.with(object{"evidence_details": object{"due_by": 1773489600, "submission_count": 1}}),
		{"id": "issfr_1", "object": "radar.early_fraud_warning", "actionable": true, "fraud_type": "misc", "charge": "ch_1"},
		{"id": "issfr_1", "object": "radar.early_fraud_warning", "charge": object{"id": "ch_1", "object": "charge"}},
		askedBack,
		askedBack.with(object{"balance_transaction": txn, "reversed_by": object{"id": "po_2", "object": "payout", "balance_transaction": "txn_2"}}),
		askedBack.with(object{"status": "failed", "failure_code": "account_closed", "failure_balance_transaction": "txn_2", "reversed_by": nil}),
		askedBack.with(object{"failure_balance_transaction": txn, "original_payout": "po_0"}), askedBack.with(object{"original_payout": askedBack}),
		bookedOf(nil), bookedOf("ch_1"), bookedOf(taken), bookedOf(lateFailure.with(object{"charge": "ch_1"})), bookedOf(lateFailure.with(object{"charge": taken.with(object{"metadata": object{"kicau_order": "o"}})})),
		bookedOf(asked), bookedOf(paidOut), bookedOf(askedBack.with(object{"original_payout": "po_0"})), bookedOf(object{"id": "trr_1", "object": "transfer_reversal"}),
		{"id": "evt_1", "object": "event", "type": "charge.captured", "account": "acct_1", "livemode": true, "created": 1773489600, "data": object{"object": taken},
			"request": object{"id": "req_1", "idempotency_key": "v1:o:capture:2"}},
		{"id": "we_1", "object": "webhook_endpoint", "url": "https://kicau.example/webhooks/stripe", "status": "enabled", "api_version": "2023-10-16",
			"enabled_events": []string{"charge.refunded"}, "secret": "whsec_1"},
		{"object": "balance", "available": []object{{"amount": -5, "currency": "gbp"}}, "pending": []object{{"amount": 7, "currency": "gbp"}}},
	}
)
