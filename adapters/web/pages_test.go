package web_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/web"
	"kicau/domain/offer"
	"kicau/domain/order"
	orderview "kicau/projections/order"
)

var attempt = regexp.MustCompile(`name="attempt" value="([^"]+)"`)

// fill the form of an offer as its page gives it out.
func (s *stack) fill(offer uuid.UUID) url.Values {
	s.t.Helper()
	page := s.get("/offers/"+offer.String()+"/checkout").is(s.t, http.StatusOK).body
	return url.Values{"attempt": {attempt.FindStringSubmatch(page)[1]}, "quantity": {"1"}, "name": {"Siti"},
		"email": {"siti@example.org"}, "address": {"1 Some Street"}, "jurisdiction": {"GB"}}
}

func TestTimelinePage(t *testing.T) {
	s := start(t)
	contains(t, s.get("/").is(t, http.StatusOK).body, "Nothing has been tweeted yet", "Test mode")
	mug := s.tweet("Mug", 1250, stock(3), func(o *offer.Tweeted) { o.Photo = "https://photos.example/mug.jpg" })
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	s.tweet("Sold mug", 100, stock(0))
	s.tweet("Old mug", 100, func(o *offer.Tweeted) { o.ClosesAt = &past })
	s.tweet("New mug", 100, func(o *offer.Tweeted) { o.OpensAt = &future })
	page := s.get("/").is(t, http.StatusOK).body
	contains(t, page, "Batik Rumah", "Look: Mug", "12.50 GBP", "3 left", `src="https://photos.example/mug.jpg"`, "Sold out", "Closed", "On sale from",
		`href="/offers/`+mug.String()+`"`, "No photo of Sold mug")
	if n := strings.Count(page, "/checkout"); n != 1 {
		t.Errorf("%d offers can be bought, one is open", n)
	}
	if strings.Index(page, "New mug") > strings.Index(page, "Look: Mug") {
		t.Error("the newest offer is not the first")
	}
}

func TestTimelinePageByPage(t *testing.T) {
	s := start(t)
	for i := range 21 {
		s.tweet(fmt.Sprintf("Mug <%02d>", i), 100)
	}
	first := s.get("/").body
	lacks(t, first, "Mug &lt;00&gt;")
	older := regexp.MustCompile(`href="(/\?after=[^"]+)"`).FindStringSubmatch(first)
	second := s.get(older[1]).is(t, http.StatusOK).body
	contains(t, second, "Mug &lt;00&gt;", `href="/"`)
	lacks(t, second, "?after=")
	contains(t, s.get("/?after=nonsense").is(t, http.StatusBadRequest).body, "The cursor is not one")
}

func TestOfferPage(t *testing.T) {
	s := start(t)
	saucer := s.tweet("Saucer", 300)
	mug := s.tweet("Mug", 1000, func(o *offer.Tweeted) {
		o.Related, o.Description, o.LimitPerBuyer = []uuid.UUID{saucer}, "It holds tea.", 2
	})
	contains(t, s.get("/offers/"+mug.String()).is(t, http.StatusOK).body, "It holds tea.", "At most 2 a buyer", "Goes with it", "Saucer", "3.00 GBP")
	contains(t, s.get("/offers/"+uuid.NewString()).is(t, http.StatusNotFound).body, "Not found", "does not exist")
	contains(t, s.get("/nothing").is(t, http.StatusNotFound).body, "Not found", "To the timeline")
}

// What shops write is text, whatever it looks like, and a photo is a picture.
func TestNothingAShopWritesBecomesMarkup(t *testing.T) {
	s := start(t)
	evil := `</p><script>alert(1)</script><img src=x onerror=alert(1)>`
	id := s.tweet(`"><script>alert(2)</script>`, 100, func(o *offer.Tweeted) {
		o.Tweet, o.Description, o.Photo = evil, evil, `javascript:alert(3)`
	})
	for _, path := range []string{"/", "/offers/" + id.String(), "/offers/" + id.String() + "/checkout"} {
		lacks(t, s.get(path).is(t, http.StatusOK).body, "<script", "<img src=x", "javascript:")
	}
}

func TestPhotosThatMayBeShown(t *testing.T) {
	for raw, want := range map[string]string{
		"https://photos.example/a.jpg": "https://photos.example/a.jpg",
		"/photos/a.jpg":                "/photos/a.jpg",
		"":                             "",
		"http://photos.example/a.jpg":  "",
		"//photos.example/a.jpg":       "",
		`/\photos.example/a.jpg`:       "",
		"https:///a.jpg":               "",
		"https://u:p@photos.example/":  "",
		"javascript:alert(1)":          "",
		"data:image/png;base64,AAAA":   "",
		"a.jpg":                        "",
		"https://photos.example/\x00":  "",
	} {
		if got := web.PhotoURL(raw); got != want {
			t.Errorf("%q is shown from %q, wanted %q", raw, got, want)
		}
	}
}

func TestCheckout(t *testing.T) {
	s := start(t)
	mug := s.tweet("Mug", 1000, stock(5))
	path := "/offers/" + mug.String() + "/checkout"
	contains(t, s.get(path).body, "3.50 GBP", `<option value="GB">`)
	form := s.fill(mug)
	sent := s.submit(path, form).is(t, http.StatusSeeOther).header.Get("Location")
	if !strings.HasPrefix(sent, s.sandbox.URL()+"/pay/") {
		t.Fatalf("the buyer is sent to %s", sent)
	}
	contains(t, s.typeCard(sent, "4242424242424242").body, "Order confirmed", "authorised", "16.20 GBP")
	// The form sent again, say with the back button, is the same order.
	again := s.submit(path, form).is(t, http.StatusSeeOther).header.Get("Location")
	contains(t, s.get(again).is(t, http.StatusOK).body, "Order confirmed")
	s.get("/v1/offers/"+mug.String()).says(t, "left", 4.0)
	// Changed and sent again it is another order: the buyer is asked.
	form.Set("quantity", "2")
	asked := s.submit(path, form).is(t, http.StatusUnprocessableEntity).body
	contains(t, asked, `href="`+again+`"`, "to place another")
	if attempt.FindStringSubmatch(asked)[1] == form.Get("attempt") {
		t.Error("the form would be refused for ever")
	}
}

func TestADeclinedCard(t *testing.T) {
	s := start(t)
	mug := s.tweet("Mug", 1000, stock(1))
	page := s.submit("/offers/"+mug.String()+"/checkout", s.fill(mug)).is(t, http.StatusSeeOther).header.Get("Location")
	body := s.typeCard(page, "4000000000009995").body
	contains(t, body, "Payment declined", "not enough money", `href="/offers/`+mug.String()+`"`)
	lacks(t, body, "http-equiv")
}

func TestCheckoutKeepsWhatWasTyped(t *testing.T) {
	s := start(t)
	mug := s.tweet("Mug", 1000, stock(5))
	path := "/offers/" + mug.String() + "/checkout"
	for name, c := range map[string]struct {
		field, value string
		status       int
		says         string
	}{
		"no name":             {"name", " ", 422, "Enter the name"},
		"no mail":             {"email", "", 422, "Enter your e-mail"},
		"no address":          {"address", "", 422, "Enter the address"},
		"no number":           {"quantity", "two", 422, "The quantity must be a whole number"},
		"too many":            {"quantity", "6", 409, "has 5 left, fewer than the 6 asked for"},
		"no destination":      {"jurisdiction", "", 422, "The destination must be one of the list"},
		"unknown destination": {"jurisdiction", "Atlantis", 422, "The destination must be one of the list"},
		"card for a name":     {"name", "4242 4242 4242 4242", 422, "looked like a card number"},
	} {
		t.Run(name, func(t *testing.T) {
			form := s.fill(mug)
			form.Set(c.field, c.value)
			body := s.submit(path, form).is(t, c.status).body
			contains(t, body, c.says, `id="`+c.field+`-wrong"`, `aria-describedby="`+c.field+`-wrong"`)
			for field, typed := range form {
				if field != "attempt" && field != "jurisdiction" && field != c.field && !strings.Contains(body, typed[0]) {
					t.Errorf("%s is lost: %s", field, body)
				}
			}
			lacks(t, body, "4242 4242")
		})
	}
	form := s.fill(mug)
	form.Set("attempt", "1")
	contains(t, s.submit(path, form).is(t, http.StatusUnprocessableEntity).body, "The form was not one of ours")
	s.submit(path, s.fill(mug), "Sec-Fetch-Site", "cross-site").is(t, http.StatusForbidden)
	s.submit(path, s.fill(mug), "Origin", "https://evil.example").is(t, http.StatusForbidden)
	s.send("POST", path, form.Encode(), "Content-Type", "text/plain").is(t, http.StatusUnsupportedMediaType)
}

func TestOrderPageSaysWhatHappensNext(t *testing.T) {
	s := start(t)
	mug := s.tweet("Mug", 1000)
	id := s.post("/v1/orders", purchase(mug, 1, `,"paymentMethod":"pm_card_visa"`)).is(t, http.StatusCreated).json(t, "id").(string)
	contains(t, s.get("/orders/"+id).is(t, http.StatusOK).body, "It is charged when the shop ships", "10.00 GBP", "3.50 GBP", "2.70 GBP", "16.20 GBP", id)
	_, err := s.commands.Order(t.Context(), s.by(), uuid.MustParse(id), order.Ship{At: time.Now(), Carrier: "Pos", Tracking: "KI1"})
	check(t, err)
	s.ordered(id, orderview.Captured)
	body := s.get("/orders/"+id).is(t, http.StatusOK).body
	contains(t, body, "On its way", "Charged", "Pos", "KI1")
	lacks(t, body, "http-equiv")
	contains(t, s.get("/orders/"+uuid.NewString()).is(t, http.StatusNotFound).body, "Not found")
}

// While the processor's page cannot be had the order stands, and its page says
// so.
func TestThePayPageCannotBeReached(t *testing.T) {
	s := start(t, func(o *web.Options) {
		o.Payments = noPage{o.Payments}
		o.Notice = func(context.Context, string, string, uuid.UUID) error { return errors.New("no answer") }
	})
	mug := s.tweet("Mug", 1000)
	to := s.submit("/offers/"+mug.String()+"/checkout", s.fill(mug)).is(t, http.StatusSeeOther).header.Get("Location")
	contains(t, s.get(to).is(t, http.StatusOK).body, "One step left")
	r := s.get(to+"/pay").is(t, http.StatusServiceUnavailable)
	contains(t, r.body, "Your order stands")
	if r.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	s.get(to+"/return").is(t, http.StatusSeeOther)
	s.post("/v1/orders", purchase(mug, 1, "")).is(t, http.StatusCreated).says(t, "status", "action required")
}
