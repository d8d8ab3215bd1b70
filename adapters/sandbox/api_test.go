package sandbox_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stripe/stripe-go/v76"

	"kicau/adapters/sandbox"
)

// unknownFields tells which fields of v the type of stripe-go does not know, at any
// depth, by path.
func unknownFields(typ reflect.Type, v any, path string) []string {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	switch v := v.(type) {
	case []any:
		var out []string
		for _, e := range v {
			out = append(out, unknownFields(typ, e, path+"[]")...)
		}
		return out
	case map[string]any:
		if typ.Kind() != reflect.Struct {
			return nil // metadata, capabilities …
		}
		known := map[string]reflect.Type{}
		for _, f := range reflect.VisibleFields(typ) {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
				known[name] = f.Type
			}
		}
		var out []string
		for name, inner := range v {
			switch t, ok := known[name]; {
			case name == "generated_from", name == "object" && known["has_more"] != nil: // sent by Stripe, left out by stripe-go
			case !ok:
				out = append(out, path+"."+name)
			case typ == reflect.TypeFor[stripe.BalanceTransactionSource](): // one of many objects
			default:
				out = append(out, unknownFields(t, inner, path+"."+name)...)
			}
		}
		return out
	}
	return nil
}

// Every field that is sent is one that stripe-go knows, and every field that
// Stripe's fixtures of this API version have is sent.
func TestShapes(t *testing.T) {
	w := start(t, sandbox.Options{})
	p := order(2000)
	p.Confirm, p.PaymentMethod, p.ReturnURL = stripe.Bool(true), stripe.String("pm_card_visa_chargeDeclined"), stripe.String("http://localhost/")
	_, err := w.PaymentIntents.New(p)
	declined := w.refusal(err).PaymentIntent
	p.PaymentMethod = stripe.String("pm_card_authenticationRequired")
	challenged, err := w.PaymentIntents.New(p)
	w.must(err)
	held := w.authorised(2000, "pm_card_visa")
	pi, err := w.PaymentIntents.Capture(w.authorised(2000, "pm_card_visa").ID, &stripe.PaymentIntentCaptureParams{AmountToCapture: stripe.Int64(1500)})
	w.must(err)
	re, err := w.Refunds.New(&stripe.RefundParams{PaymentIntent: stripe.String(pi.ID), Amount: stripe.Int64(100)})
	w.must(err)
	tr, err := w.Transfers.New(&stripe.TransferParams{Amount: stripe.Int64(100), Currency: stripe.String("usd"), Destination: stripe.String(w.seller().ID), SourceTransaction: stripe.String(pi.LatestCharge.ID)})
	w.must(err)
	events := w.Events.List(nil)
	if !events.Next() {
		t.Fatal("no events")
	}

	fixture, err := os.ReadFile("testdata/fields.json")
	w.must(err)
	var want map[string][]string
	w.must(json.Unmarshal(fixture, &want))
	for _, c := range []struct {
		path   string
		typ    reflect.Type
		object string
	}{
		{"/v1/payment_intents/" + held.ID + "?expand[]=latest_charge&expand[]=payment_method", reflect.TypeFor[stripe.PaymentIntent](), "payment_intent"},
		{"/v1/payment_intents/" + declined.ID, reflect.TypeFor[stripe.PaymentIntent](), "payment_intent"},
		{"/v1/payment_intents/" + challenged.ID, reflect.TypeFor[stripe.PaymentIntent](), "payment_intent"},
		{"/v1/charges/" + held.LatestCharge.ID, reflect.TypeFor[stripe.Charge](), "charge"},
		{"/v1/charges/" + declined.LatestCharge.ID, reflect.TypeFor[stripe.Charge](), "charge"},
		{"/v1/charges/" + pi.LatestCharge.ID + "?expand[]=refunds&expand[]=balance_transaction&expand[]=payment_intent", reflect.TypeFor[stripe.Charge](), "charge"},
		{"/v1/refunds/" + re.ID + "?expand[]=charge", reflect.TypeFor[stripe.Refund](), "refund"},
		{"/v1/transfers/" + tr.ID + "?expand[]=destination", reflect.TypeFor[stripe.Transfer](), "transfer"},
		{"/v1/balance", reflect.TypeFor[stripe.Balance](), "balance"},
		{"/v1/balance_transactions/" + tr.BalanceTransaction.ID, reflect.TypeFor[stripe.BalanceTransaction](), "balance_transaction"},
		{"/v1/payment_methods/" + held.PaymentMethod.ID, reflect.TypeFor[stripe.PaymentMethod](), "payment_method"},
		{"/v1/account", reflect.TypeFor[stripe.Account](), "account"},
		{"/v1/events/" + events.Event().ID, reflect.TypeFor[stripe.Event](), "event"},
	} {
		t.Run(c.path, func(t *testing.T) {
			w := &world{T: t, API: w.API, box: w.box, clock: w.clock}
			_, v := w.raw("GET", c.path, nil)
			if c.object == "event" {
				delete(v, "data") // stripe-go keeps it raw
			}
			for _, f := range unknownFields(c.typ, v, c.object) {
				t.Errorf("stripe-go does not know %s", f)
			}
			for _, name := range want[c.object] {
				if _, sent := v[name]; !sent && name != "data" {
					t.Errorf("%s is not sent", name)
				}
			}
			for object, names := range want { // "charge.payment_method_details.card"
				inner, ok := strings.CutPrefix(object, c.object+".")
				if !ok {
					continue
				}
				at := v
				for _, step := range strings.Split(inner, ".") {
					at = at[step].(map[string]any)
				}
				for _, name := range names {
					if _, sent := at[name]; !sent {
						t.Errorf("%s.%s is not sent", object, name)
					}
				}
			}
		})
	}
}

func TestAuthentication(t *testing.T) {
	w := start(t, sandbox.Options{})
	_, err := newClient(w.box.URL(), "sk_test_wrong_9999").Balance.Get(nil)
	w.expect(err, http.StatusUnauthorized, "", "Invalid API Key provided: sk_test_******9999")
	resp, v := w.raw("GET", "/v1/balance", nil, "Authorization", "")
	if resp.StatusCode != http.StatusUnauthorized || !strings.Contains(fmt.Sprint(v), "You did not provide an API key.") {
		t.Error(resp.Status, v)
	}
	req, err := http.NewRequest("GET", w.box.URL()+"/v1/balance", nil)
	w.must(err)
	req.SetBasicAuth(secretKey, "")
	resp, err = http.DefaultClient.Do(req)
	w.must(err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Error("Basic:", resp.Status)
	}
	if resp.Header.Get("Request-Id") == "" || resp.Header.Get("Stripe-Version") != stripe.APIVersion {
		t.Error("headers:", resp.Header)
	}
}

func TestRefusedRequests(t *testing.T) {
	w := start(t, sandbox.Options{})
	create := func(more ...string) url.Values {
		v := url.Values{"amount": {"2000"}, "currency": {"usd"}, "payment_method_types[]": {"card"}}
		for i := 0; i < len(more); i += 2 {
			v.Set(more[i], more[i+1])
		}
		return v
	}
	many := create()
	for i := range 51 {
		many.Set(fmt.Sprintf("metadata[k%d]", i), "v")
	}
	without := func(name string) url.Values {
		v := create()
		v.Del(name)
		return v
	}
	for _, c := range []struct {
		name, method, path string
		form               url.Values
		header             []string
		status             int
		code, param        string
		message            string
	}{
		{"path", "GET", "/v1/invoices", nil, nil, 404, "", "", "Unrecognized request URL (GET: /v1/invoices)."},
		{"method", "DELETE", "/v1/payment_intents/pi_x", nil, nil, 404, "", "", "Unrecognized request URL (DELETE: /v1/payment_intents/pi_x)."},
		{"version", "GET", "/v1/balance", nil, []string{"Stripe-Version", "2020-08-27"}, 400, "", "", "Invalid Stripe API version: 2020-08-27."},
		{"other account", "GET", "/v1/balance", nil, []string{"Stripe-Account", "acct_other"}, 403, "account_invalid", "", "does not have access to account 'acct_other'"},
		{"content type", "POST", "/v1/payment_intents", create(), []string{"Content-Type", "application/json"}, 400, "", "", "check that your POST content type"},
		{"too large", "POST", "/v1/payment_intents", create("description", strings.Repeat("x", 1<<20)), nil, 413, "", "", "too large"},
		{"no amount", "POST", "/v1/payment_intents", without("amount"), nil, 400, "parameter_missing", "amount", "Missing required param: amount."},
		{"no currency", "POST", "/v1/payment_intents", without("currency"), nil, 400, "parameter_missing", "currency", "Missing required param: currency."},
		{"empty currency", "POST", "/v1/payment_intents", create("currency", ""), nil, 400, "parameter_invalid_empty", "currency", "You passed an empty string for 'currency'."},
		{"currency", "POST", "/v1/payment_intents", create("currency", "xyz"), nil, 400, "", "currency", "Invalid currency: xyz."},
		{"not a number", "POST", "/v1/payment_intents", create("amount", "20.00"), nil, 400, "parameter_invalid_integer", "amount", "Invalid integer: 20.00"},
		{"negative", "POST", "/v1/payment_intents", create("amount", "-1"), nil, 400, "parameter_invalid_integer", "amount", "This value must be greater than or equal to 1."},
		{"too small", "POST", "/v1/payment_intents", create("amount", "49"), nil, 400, "amount_too_small", "amount", "Amount must be at least $0.50 usd"},
		{"too small, yen", "POST", "/v1/payment_intents", create("amount", "49", "currency", "JPY"), nil, 400, "amount_too_small", "amount", "Amount must be at least ¥50 jpy"},
		{"too fine, dinars", "POST", "/v1/payment_intents", create("amount", "5124", "currency", "kwd"), nil, 400, "parameter_invalid_integer", "amount", "Amounts in kwd must be multiples of 10, such as 5120."},
		{"too fine, kronur", "POST", "/v1/payment_intents", create("amount", "100050", "currency", "isk"), nil, 400, "parameter_invalid_integer", "amount", "multiples of 100, such as 100000."},
		{"too fine, shillings", "POST", "/v1/payment_intents", create("amount", "50", "currency", "ugx"), nil, 400, "parameter_invalid_integer", "amount", "multiples of 100, such as 100."},
		{"too small, pounds", "POST", "/v1/payment_intents", create("amount", "29", "currency", "gbp"), nil, 400, "amount_too_small", "amount", "Amount must be at least £0.30 gbp"},
		{"too large an amount", "POST", "/v1/payment_intents", create("amount", "100000000"), nil, 400, "amount_too_large", "amount", "Amount must be no more than $999999.99 usd"},
		{"unknown parameter", "POST", "/v1/payment_intents", create("foo[bar]", "1"), nil, 400, "parameter_unknown", "foo[bar]", "Received unknown parameter: foo[bar]"},
		{"choice", "POST", "/v1/payment_intents", create("capture_method", "later"), nil, 400, "", "capture_method", "Invalid capture_method: must be one of automatic, automatic_async, or manual"},
		{"boolean", "POST", "/v1/payment_intents", create("confirm", "yes"), nil, 400, "", "confirm", "Invalid boolean: yes"},
		{"return_url", "POST", "/v1/payment_intents", create("confirm", "true", "return_url", "shop"), nil, 400, "url_invalid", "return_url", "Not a valid URL"},
		{"return_url too early", "POST", "/v1/payment_intents", create("return_url", "http://localhost/"), nil, 400, "", "return_url", "can only be used when confirm is true"},
		{"off_session too early", "POST", "/v1/payment_intents", create("off_session", "true"), nil, 400, "", "off_session", "can only be used when confirm is true"},
		{"metadata keys", "POST", "/v1/payment_intents", many, nil, 400, "", "metadata", "You can only set up to 50 metadata keys."},
		{"metadata key", "POST", "/v1/payment_intents", create("metadata["+strings.Repeat("k", 41)+"]", "v"), nil, 400, "", "metadata", "Metadata keys must be under 40 characters"},
		{"metadata value", "POST", "/v1/payment_intents", create("metadata[k]", strings.Repeat("v", 501)), nil, 400, "", "metadata", "Metadata values can have up to 500 characters"},
		{"text of other scripts", "POST", "/v1/payment_intents", create("description", strings.Repeat("あ", 1001)), nil, 400, "", "description", "Invalid string: " + strings.Repeat("あ", 20) + "…; must be at most 1000 characters"},
		{"descriptor", "POST", "/v1/payment_intents", create("statement_descriptor", strings.Repeat("x", 23)), nil, 400, "", "statement_descriptor", "at most 22 characters"},
		{"method type", "POST", "/v1/payment_intents", create("payment_method_types[]", "ideal"), nil, 400, "", "payment_method_types", "ideal is invalid"},
		{"multicapture", "POST", "/v1/payment_intents/pi_x/capture", url.Values{"final_capture": {"false"}}, nil, 400, "", "final_capture", "needs multicapture"},
		{"expand", "GET", "/v1/payment_intents/pi_x", url.Values{"expand[]": {"invoice"}}, nil, 400, "", "expand", "This property cannot be expanded (invoice)."},
		{"expand too deep", "GET", "/v1/payment_intents/pi_x", url.Values{"expand[]": {"latest_charge.payment_intent.latest_charge.payment_intent.latest_charge"}}, nil, 400, "", "expand", "more than 4 levels"},
		{"list without data", "GET", "/v1/charges", url.Values{"expand[]": {"balance_transaction"}}, nil, 400, "", "expand", "cannot be expanded"},
		{"limit", "GET", "/v1/charges", url.Values{"limit": {"101"}}, nil, 400, "parameter_invalid_integer", "limit", "less than or equal to 100"},
		{"two cursors", "GET", "/v1/charges", url.Values{"starting_after": {"ch_a"}, "ending_before": {"ch_b"}}, nil, 400, "", "", "You can only specify one of these parameters: ending_before, starting_after."},
		{"cursor", "GET", "/v1/charges", url.Values{"starting_after": {"ch_a"}}, nil, 400, "resource_missing", "starting_after", "No such charge: 'ch_a'"},
		{"intent", "GET", "/v1/payment_intents/pi_x", nil, nil, 404, "resource_missing", "intent", "No such payment_intent: 'pi_x'"},
		{"charge", "GET", "/v1/charges/ch_x", nil, nil, 404, "resource_missing", "id", "No such charge: 'ch_x'"},
		{"refund", "GET", "/v1/refunds/re_x", nil, nil, 404, "resource_missing", "id", "No such refund: 're_x'"},
		{"transfer", "GET", "/v1/transfers/tr_x", nil, nil, 404, "resource_missing", "transfer", "No such transfer: 'tr_x'"},
		{"balance transaction", "GET", "/v1/balance_transactions/txn_x", nil, nil, 404, "resource_missing", "id", "No such balance transaction: 'txn_x'"},
		{"event", "GET", "/v1/events/evt_x", nil, nil, 404, "resource_missing", "id", "No such event: 'evt_x'"},
		{"payment method", "GET", "/v1/payment_methods/pm_x", nil, nil, 404, "resource_missing", "payment_method", "No such PaymentMethod: 'pm_x'"},
		{"method of no type", "POST", "/v1/payment_methods", url.Values{}, nil, 400, "parameter_missing", "type", "Missing required param: type."},
		{"card of no number", "POST", "/v1/payment_methods", url.Values{"type": {"card"}}, nil, 400, "parameter_missing", "card[number]", "Missing required param: card[number]."},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &world{T: t, API: w.API, box: w.box, clock: w.clock}
			resp, v := w.raw(c.method, c.path, c.form, c.header...)
			e, _ := v["error"].(map[string]any)
			text := func(name string) string { s, _ := e[name].(string); return s }
			if resp.StatusCode != c.status || text("code") != c.code || text("param") != c.param || !strings.Contains(text("message"), c.message) || text("type") != "invalid_request_error" {
				t.Errorf("%s %v", resp.Status, e)
			}
			if c.code != "" && text("doc_url") != "https://stripe.com/docs/error-codes/"+strings.ReplaceAll(c.code, "_", "-") {
				t.Errorf("doc_url %q", text("doc_url"))
			}
			if id := resp.Header.Get("Request-Id"); !strings.HasPrefix(id, "req_") || !strings.HasSuffix(text("request_log_url"), id) {
				t.Errorf("Request-Id %q, request_log_url %q", id, text("request_log_url"))
			}
		})
	}
	if got := len(w.page("/v1/payment_intents", nil).ids); got != 0 {
		t.Errorf("%d intents were made by refused requests", got)
	}
}

type listing struct {
	ids  []string
	more bool
	url  string
}

func (w *world) page(path string, q url.Values) listing {
	w.Helper()
	resp, v := w.raw("GET", path, q)
	if resp.StatusCode != http.StatusOK {
		w.Fatalf("%s: %v", resp.Status, v)
	}
	l := listing{more: v["has_more"].(bool), url: v["url"].(string), ids: []string{}}
	for _, o := range v["data"].([]any) {
		l.ids = append(l.ids, o.(map[string]any)["id"].(string))
	}
	return l
}

func TestPagination(t *testing.T) {
	w := start(t, sandbox.Options{})
	var ids []string // newest first
	begin := w.clock.now().Unix()
	for range 5 {
		ids = slices.Insert(ids, 0, w.authorised(1000, "pm_card_visa").ID)
		w.clock.add(1e9)
	}
	at := func(d int64) string { return fmt.Sprint(begin + d) }
	for _, c := range []struct {
		query string
		ids   []string
		more  bool
	}{
		{"", ids, false},
		{"limit=2", ids[:2], true},
		{"limit=5", ids, false},
		{"limit=2&starting_after=" + ids[1], ids[2:4], true},
		{"limit=2&starting_after=" + ids[2], ids[3:], false},
		{"starting_after=" + ids[4], nil, false},
		{"limit=2&ending_before=" + ids[4], ids[2:4], true},
		{"limit=2&ending_before=" + ids[2], ids[:2], false},
		{"ending_before=" + ids[0], nil, false},
		{"created=" + at(2), ids[2:3], false},
		{"created[gt]=" + at(2), ids[:2], false},
		{"created[gte]=" + at(2) + "&created[lt]=" + at(4), ids[1:3], false},
		{"created[lte]=" + at(1), ids[3:], false},
	} {
		q, err := url.ParseQuery(c.query)
		w.must(err)
		if got := w.page("/v1/payment_intents", q); !slices.Equal(got.ids, c.ids) || got.more != c.more || got.url != "/v1/payment_intents" {
			t.Errorf("%s: %v, want %v %t", c.query, got, c.ids, c.more)
		}
	}
	// stripe-go turns the pages by itself.
	p := &stripe.PaymentIntentListParams{}
	p.Limit = stripe.Int64(2)
	var got []string
	it := w.PaymentIntents.List(p)
	for it.Next() {
		got = append(got, it.PaymentIntent().ID)
	}
	if !slices.Equal(got, ids) {
		t.Errorf("iterated %v, want %v", got, ids)
	}
}

func TestListFilters(t *testing.T) {
	w := start(t, sandbox.Options{})
	p := order(2000)
	p.TransferGroup = stripe.String("g")
	p.Confirm, p.PaymentMethod = stripe.Bool(true), stripe.String("pm_card_visa")
	a, err := w.PaymentIntents.New(p)
	w.must(err)
	b := w.paid(1000, "pm_card_visa")
	seller := w.seller().ID
	_, err = w.Transfers.New(&stripe.TransferParams{Amount: stripe.Int64(100), Currency: stripe.String("usd"), Destination: stripe.String(seller), SourceTransaction: stripe.String(b.LatestCharge.ID)})
	w.must(err)
	_, err = w.Refunds.New(&stripe.RefundParams{PaymentIntent: stripe.String(b.ID), Amount: stripe.Int64(100)})
	w.must(err)
	for path, n := range map[string]int{
		"/v1/charges":                                   2,
		"/v1/charges?payment_intent=" + a.ID:            1,
		"/v1/charges?transfer_group=g":                  1,
		"/v1/charges?transfer_group=none":               0,
		"/v1/refunds":                                   1,
		"/v1/refunds?charge=" + b.LatestCharge.ID:       1,
		"/v1/refunds?charge=" + a.LatestCharge.ID:       0,
		"/v1/refunds?payment_intent=" + b.ID:            1,
		"/v1/transfers?destination=" + seller:           1,
		"/v1/transfers?destination=acct_none":           0,
		"/v1/balance_transactions":                      3,
		"/v1/balance_transactions?type=charge":          1,
		"/v1/balance_transactions?currency=usd":         3,
		"/v1/balance_transactions?currency=eur":         0,
		"/v1/events?type=charge.*":                      4,
		"/v1/events?type=charge.captured":               1,
		"/v1/events?types[]=transfer.created&types[]=x": 1,
		"/v1/events?delivery_success=true":              10,
		"/v1/events?delivery_success=false":             0,
	} {
		path, query, _ := strings.Cut(path, "?")
		q, err := url.ParseQuery(query)
		w.must(err)
		if got := w.page(path, q); len(got.ids) != n {
			t.Errorf("%s?%s: %v, want %d", path, query, got.ids, n)
		}
	}
}

func TestExpand(t *testing.T) {
	w := start(t, sandbox.Options{})
	pi := w.paid(2000, "pm_card_visa")
	expand := func(path string, fields ...string) map[string]any {
		_, v := w.raw("GET", path, url.Values{"expand[]": fields})
		return v
	}
	v := expand("/v1/payment_intents/"+pi.ID, "latest_charge.balance_transaction.source", "payment_method")
	source := v["latest_charge"].(map[string]any)["balance_transaction"].(map[string]any)["source"].(map[string]any)
	if source["id"] != pi.LatestCharge.ID || v["payment_method"].(map[string]any)["object"] != "payment_method" {
		t.Errorf("%v", v)
	}
	v = expand("/v1/payment_intents", "data.latest_charge")
	if c := v["data"].([]any)[0].(map[string]any)["latest_charge"].(map[string]any); c["id"] != pi.LatestCharge.ID || !slices.Contains(slices.Collect(maps.Keys(c)), "outcome") {
		t.Errorf("%v", c)
	}
	v = expand("/v1/charges/"+pi.LatestCharge.ID, "payment_intent.latest_charge", "refunds")
	if v["payment_intent"].(map[string]any)["latest_charge"].(map[string]any)["id"] != pi.LatestCharge.ID || v["refunds"].(map[string]any)["object"] != "list" {
		t.Errorf("%v", v)
	}
	v = expand("/v1/charges/" + pi.LatestCharge.ID)
	if _, sent := v["refunds"]; sent || v["payment_intent"] != pi.ID {
		t.Errorf("unexpanded: %v", v)
	}
}
