package web_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"kicau/domain/offer"
	"kicau/domain/shop"
	"kicau/projections/order"
)

func purchase(offer uuid.UUID, quantity int, more string) string {
	return fmt.Sprintf(`{"lines":[{"offer":%q,"quantity":%d}],"name":"Siti","email":"siti@example.org","address":"1 Some Street","jurisdiction":"GB"%s}`, offer, quantity, more)
}

func TestBuyWithACardOnFile(t *testing.T) {
	s := start(t)
	mug := s.tweet("Mug", 1000, stock(3))
	placed := s.post("/v1/orders", purchase(mug, 2, `,"paymentMethod":"pm_card_visa"`)).is(t, http.StatusCreated)
	placed.says(t, "status", "authorised")
	placed.says(t, "payUrl", nil)
	placed.says(t, "total", 2820.0) // 2 × 10.00 + 3.50, and 20% tax
	placed.says(t, "currency", "GBP")
	id := placed.json(t, "id").(string)
	if at := placed.header.Get("Location"); at != "/v1/orders/"+id {
		t.Errorf("Location is %q", at)
	}
	shown := s.get("/v1/orders/"+id).is(t, http.StatusOK)
	shown.says(t, "status", "authorised")
	shown.says(t, "authorised", 2820.0)
	lacks(t, shown.body, "Siti", "siti@", "Some Street")
	check(t, s.views["timeline"].Wait(t.Context(), s.views["orders"].Checkpoint().Position))
	s.get("/v1/offers/"+mug.String()).is(t, http.StatusOK).says(t, "left", 1.0)
}

func TestBuyTypingTheCardOnTheProcessorsPage(t *testing.T) {
	s := start(t)
	mug := s.tweet("Mug", 1000)
	placed := s.post("/v1/orders", purchase(mug, 1, "")).is(t, http.StatusCreated)
	placed.says(t, "status", "action required")
	placed.says(t, "action", "card")
	page := placed.json(t, "payUrl").(string)
	if !strings.HasPrefix(page, s.sandbox.URL()+"/pay/") {
		t.Fatalf("the card is typed at %s", page)
	}
	id := placed.json(t, "id").(string)
	// Asked for again, our own page sends the buyer there.
	again := s.get("/v1/orders/"+id).json(t, "payUrl").(string)
	if sent := send(t, s.stay(), "GET", again, "").is(t, http.StatusSeeOther); sent.header.Get("Location") != page {
		t.Errorf("%s leads to %s, not to %s", again, sent.header.Get("Location"), page)
	}
	contains(t, s.typeCard(page, "4242424242424242").is(t, http.StatusOK).body, "Order confirmed", "•••• 4242")
	s.get("/v1/orders/"+id).says(t, "status", "authorised")
	// Nothing is left to pay: the page leads back to the order.
	if sent := send(t, s.stay(), "GET", again, "").is(t, http.StatusSeeOther); sent.header.Get("Location") != "/orders/"+id {
		t.Errorf("a paid order leads to %s", sent.header.Get("Location"))
	}
}

// A buyer who comes back sees what came of it even when no webhook ever comes.
func TestComingBackNeedsNoWebhook(t *testing.T) {
	s := start(t)
	s.sandbox.SetWebhook("", "")
	mug := s.tweet("Mug", 1000)
	for card, want := range map[string]string{"4242424242424242": "Order confirmed", "4000000000000002": "Payment declined", "4000000000009995": "not enough money"} {
		placed := s.post("/v1/orders", purchase(mug, 1, "")).is(t, http.StatusCreated)
		contains(t, s.typeCard(placed.json(t, "payUrl").(string), card).body, want)
	}
}

// And an order moves when the buyer never comes back.
func TestTheWebhookAloneMovesTheOrder(t *testing.T) {
	s := start(t)
	placed := s.post("/v1/orders", purchase(s.tweet("Mug", 1000), 1, "")).is(t, http.StatusCreated)
	form := "number=4242424242424242&expiry=12%2F40&cvc=123"
	send(t, s.stay(), "POST", placed.json(t, "payUrl").(string), form, "Content-Type", "application/x-www-form-urlencoded").is(t, http.StatusSeeOther)
	s.ordered(placed.json(t, "id").(string), order.Authorised)
}

func TestComingBackUnpaidChangesNothing(t *testing.T) {
	s := start(t)
	placed := s.post("/v1/orders", purchase(s.tweet("Mug", 1000), 1, "")).is(t, http.StatusCreated)
	id := placed.json(t, "id").(string)
	back := s.get("/orders/"+id+"/return?payment_intent_client_secret=pi_1_secret_2").is(t, http.StatusSeeOther)
	if to := back.header.Get("Location"); to != "/orders/"+id {
		t.Errorf("the buyer is led to %s", to)
	}
	contains(t, s.get("/orders/"+id).is(t, http.StatusOK).body, "One step left", `href="/orders/`+id+`/pay"`)
}

func TestAPurchaseSentAgainIsMadeOnce(t *testing.T) {
	s := start(t)
	mug := s.tweet("Mug", 1000, stock(1))
	body, key := purchase(mug, 1, `,"paymentMethod":"pm_card_visa"`), uuid.NewString()
	first := s.post("/v1/orders", body, "Idempotency-Key", key).is(t, http.StatusCreated)
	if marked := first.header.Get("Idempotent-Replayed"); marked != "" {
		t.Errorf("the first is marked %q", marked)
	}
	// Sold out by then; the answer is the order that stands.
	second := s.post("/v1/orders", body, "Idempotency-Key", key).is(t, http.StatusCreated)
	second.says(t, "id", first.json(t, "id"))
	second.says(t, "status", "authorised")
	if second.header.Get("Idempotent-Replayed") != "true" {
		t.Error("the second is not marked as replayed")
	}
	for _, other := range []string{purchase(mug, 2, `,"paymentMethod":"pm_card_visa"`), purchase(mug, 1, ""),
		strings.Replace(body, "siti@", "budi@", 1)} {
		s.post("/v1/orders", other, "Idempotency-Key", key).is(t, http.StatusUnprocessableEntity).says(t, "error.code", "command-id-reused")
	}
	s.post("/v1/orders", body, "Idempotency-Key", uuid.NewString()).is(t, http.StatusConflict).says(t, "error.code", "sold-out")
}

// The same purchase by many at once: one order, and one answer.
func TestAPurchaseSentManyTimesAtOnce(t *testing.T) {
	s := start(t)
	body, key := purchase(s.tweet("Mug", 1000, stock(1)), 1, `,"paymentMethod":"pm_card_visa"`), uuid.NewString()
	answers := make([]reply, 20)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { answers[i] = s.post("/v1/orders", body, "Idempotency-Key", key) })
	}
	wg.Wait()
	fresh := 0
	for _, a := range answers {
		a.is(t, http.StatusCreated).says(t, "id", answers[0].json(t, "id"))
		if a.header.Get("Idempotent-Replayed") == "" {
			fresh++
		}
	}
	if fresh != 1 {
		t.Errorf("%d were told that they were the first", fresh)
	}
}

func TestAPurchaseSentAgainWhileItIsInFlight(t *testing.T) {
	s := start(t)
	mug := s.tweet("Mug", 1000)
	body, key := purchase(mug, 1, ""), uuid.NewString()
	done, err := s.web.TakeTurn(key, 0)
	check(t, err)
	r := s.post("/v1/orders", body, "Idempotency-Key", key).is(t, http.StatusConflict)
	r.says(t, "error.code", "in-flight")
	if r.header.Get("Retry-After") == "" {
		t.Error("it does not say when to come back")
	}
	s.post("/v1/orders", body, "Idempotency-Key", uuid.NewString()).is(t, http.StatusCreated) // another is not held up

	// A form keeps its attempt, so that it orders once.
	form := url.Values{"attempt": {key}, "quantity": {"1"}, "name": {"Siti"}, "email": {"siti@example.org"}, "address": {"1 Some Street"}, "jurisdiction": {"GB"}}
	page := s.submit("/offers/"+mug.String()+"/checkout", form).is(t, http.StatusConflict)
	contains(t, page.body, key)
	done()
	s.post("/v1/orders", body, "Idempotency-Key", key).is(t, http.StatusCreated)
}

// A purchase is answered within bounds although nothing moves any more.
func TestAnswersWhatThereIsWhenTooManyWait(t *testing.T) {
	s := start(t)
	defer s.web.Occupy("watching")()
	mug := s.tweet("Mug", 1000)
	placed := s.post("/v1/orders", purchase(mug, 1, "")).is(t, http.StatusCreated)
	if st := placed.json(t, "status"); st != "placed" && st != "action required" {
		t.Errorf("the order is %v", st)
	}
	placed.says(t, "total", 1620.0)
}

func TestRefusalsOfAPurchase(t *testing.T) {
	s := start(t)
	mug, gone, none := s.tweet("Mug", 1000, stock(1)), s.tweet("Gone", 1000, stock(0)), uuid.New()
	for name, c := range map[string]struct {
		body   string
		status int
		code   string
		field  any
	}{
		"unknown offer":       {purchase(none, 1, ""), 404, "offer-not-found", "lines[0].offer"},
		"sold out":            {purchase(gone, 1, ""), 409, "sold-out", "quantity"},
		"more than there is":  {purchase(mug, 2, ""), 409, "sold-out", "quantity"},
		"no units":            {purchase(mug, 0, ""), 422, "quantity-not-positive", "quantity"},
		"units beyond count":  {purchase(mug, 1_000_000_001, ""), 422, "quantity-too-large", "lines[0].quantity"},
		"no lines":            {`{"name":"Siti","email":"a@b.c","address":"x"}`, 422, "order-without-lines", "lines"},
		"no name":             {strings.Replace(purchase(mug, 1, ""), "Siti", " ", 1), 422, "no-name", "name"},
		"no address":          {strings.Replace(purchase(mug, 1, ""), "1 Some Street", "", 1), 422, "no-address", "address"},
		"neither mail nor at": {strings.Replace(purchase(mug, 1, ""), "siti@example.org", "", 1), 422, "no-identity", "email"},
		"not an offer id":     {`{"lines":[{"offer":"mug","quantity":1}]}`, 422, "bad-offer-id", "lines[0].offer"},
		"a long name":         {strings.Replace(purchase(mug, 1, ""), "Siti", strings.Repeat("s", 1001), 1), 422, "text-too-long", "name"},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.post("/v1/orders", c.body).is(t, c.status)
			r.says(t, "error.code", c.code)
			r.says(t, "error.field", c.field)
			if r.json(t, "error.reason") == nil || r.json(t, "error.subject") == nil {
				t.Errorf("no reason or subject in %s", r.body)
			}
		})
	}
}

func TestRequestsThatCannotBeRead(t *testing.T) {
	s := start(t)
	mug := s.tweet("Mug", 1000)
	good := purchase(mug, 1, "")
	json := []string{"Content-Type", "application/json"}
	for name, c := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
		code               string
	}{
		"no content type":       {"POST", "/v1/orders", good, nil, 415, "unsupported-media-type"},
		"a form":                {"POST", "/v1/orders", good, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "unsupported-media-type"},
		"latin":                 {"POST", "/v1/orders", good, []string{"Content-Type", "application/json; charset=latin1"}, 415, "unsupported-media-type"},
		"nothing":               {"POST", "/v1/orders", "", json, 400, "malformed"},
		"cut off":               {"POST", "/v1/orders", good[:len(good)-1], json, 400, "malformed"},
		"unknown field":         {"POST", "/v1/orders", purchase(mug, 1, `,"coupon":"x"`), json, 400, "malformed"},
		"unknown field inside":  {"POST", "/v1/orders", strings.Replace(good, `"quantity"`, `"price":1,"quantity"`, 1), json, 400, "malformed"},
		"a name twice":          {"POST", "/v1/orders", purchase(mug, 1, `,"name":"Budi"`), json, 400, "malformed"},
		"two values":            {"POST", "/v1/orders", good + good, json, 400, "malformed"},
		"a string for a number": {"POST", "/v1/orders", strings.Replace(good, `"quantity":1`, `"quantity":"1"`, 1), json, 400, "malformed"},
		"a fraction":            {"POST", "/v1/orders", strings.Replace(good, `"quantity":1`, `"quantity":1.5`, 1), json, 400, "malformed"},
		"out of range":          {"POST", "/v1/orders", strings.Replace(good, `"quantity":1`, `"quantity":99999999999999999999`, 1), json, 400, "malformed"},
		"an array":              {"POST", "/v1/orders", "[]", json, 400, "malformed"},
		"not UTF-8":             {"POST", "/v1/orders", strings.Replace(good, "Siti", "\xff", 1), json, 400, "malformed"},
		"deep":                  {"POST", "/v1/orders", strings.Repeat("[", 10_000), json, 400, "malformed"},
		"too large":             {"POST", "/v1/orders", `{"name":"` + strings.Repeat("a", 256<<10) + `"}`, json, 413, "body-too-large"},
		"a short key":           {"POST", "/v1/orders", good, append(json, "Idempotency-Key", "1"), 400, "bad-idempotency-key"},
		"a long key":            {"POST", "/v1/orders", good, append(json, "Idempotency-Key", strings.Repeat("k", 256)), 400, "bad-idempotency-key"},
		"two keys":              {"POST", "/v1/orders", good, append(json, "Idempotency-Key", uuid.NewString(), "Idempotency-Key", uuid.NewString()), 400, "bad-idempotency-key"},
		"limit of nothing":      {"GET", "/v1/timeline?limit=0", "", nil, 400, "bad-parameter"},
		"limit too large":       {"GET", "/v1/timeline?limit=101", "", nil, 400, "bad-parameter"},
		"limit no number":       {"GET", "/v1/timeline?limit=ten", "", nil, 400, "bad-parameter"},
		"cursor of somebody":    {"GET", "/v1/timeline?after=bm9wZQ", "", nil, 400, "bad-cursor"},
		"offer by name":         {"GET", "/v1/offers/mug", "", nil, 404, "offer-not-found"},
		"offer that is not":     {"GET", "/v1/offers/" + uuid.NewString(), "", nil, 404, "offer-not-found"},
		"order by number":       {"GET", "/v1/orders/1", "", nil, 404, "order-not-found"},
		"order that is not":     {"GET", "/v1/orders/" + uuid.NewString(), "", nil, 404, "order-not-found"},
		"another method":        {"DELETE", "/v1/orders", "", nil, 405, "method-not-allowed"},
		"another path":          {"GET", "/v1/payouts", "", nil, 404, "not-found"},
		"another site's page":   {"POST", "/v1/orders", good, append(json, "Sec-Fetch-Site", "cross-site"), 403, "cross-origin"},
		"another origin":        {"POST", "/v1/orders", good, append(json, "Origin", "https://evil.example"), 403, "cross-origin"},
		"another host":          {"GET", "/v1/timeline", "", []string{"Host", "evil.example"}, 421, "other-host"},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.send(c.method, c.path, c.body, c.headers...).is(t, c.status)
			r.says(t, "error.code", c.code)
			if r.header.Get("Content-Type") != "application/json" {
				t.Errorf("answered in %s", r.header.Get("Content-Type"))
			}
		})
	}
}

func TestTimelineByPages(t *testing.T) {
	s := start(t)
	var want []string
	for i := range 5 {
		want = append([]string{s.tweet(fmt.Sprintf("Mug %d", i), 1000).String()}, want...)
	}
	var got []string
	for path := "/v1/timeline?limit=2"; path != ""; {
		r := s.get(path).is(t, http.StatusOK)
		for _, o := range r.json(t, "offers").([]any) {
			got = append(got, o.(map[string]any)["id"].(string))
		}
		path = ""
		if next, more := r.json(t, "next").(string); more {
			path = "/v1/timeline?limit=2&after=" + next
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("the timeline is\n%v, wanted\n%v", got, want)
	}
}

func TestAnOfferWithItsRelatedOnes(t *testing.T) {
	s := start(t)
	saucer := s.tweet("Saucer", 300)
	mug := s.tweet("Mug", 1000, stock(7), func(o *offer.Tweeted) {
		o.Related, o.Photo = []uuid.UUID{uuid.New(), saucer}, "https://photos.example/mug.jpg"
	})
	r := s.get("/v1/offers/"+mug.String()).is(t, http.StatusOK)
	for path, want := range map[string]any{"id": mug.String(), "shopName": "Batik Rumah", "tweet": "Look: Mug", "title": "Mug",
		"price": 1000.0, "currency": "GBP", "left": 7.0, "state": "open", "photo": "https://photos.example/mug.jpg"} {
		r.says(t, path, want)
	}
	related := r.json(t, "related").([]any)
	if len(related) != 1 || related[0].(map[string]any)["id"] != saucer.String() {
		t.Errorf("related are %v", related)
	}
}

// An order is answered for even when the view of orders has not come to it.
func TestAnOrderBeforeTheViewHasIt(t *testing.T) {
	s := start(t)
	other := s.onboard("Kopi Kita", 0, shop.Tax{})
	mug := s.tweet("Mug", 1000, func(o *offer.Tweeted) { o.Shop = other })
	s.stop() // views and saga stand still
	s.running.Wait()
	defer s.web.Occupy("watching")()
	placed := s.post("/v1/orders", purchase(mug, 3, "")).is(t, http.StatusCreated)
	placed.says(t, "status", "placed")
	id := placed.json(t, "id").(string)
	r := s.get("/v1/orders/"+id).is(t, http.StatusOK)
	r.says(t, "status", "placed")
	r.says(t, "total", 3000.0)
	contains(t, s.get("/orders/"+id).is(t, http.StatusOK).body, "Order received", `http-equiv="refresh"`)
}
