package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/adapters/react"
	"kicau/adapters/sandbox"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/payment"
	"kicau/domain/payout"
	"kicau/domain/privacy"
	"kicau/domain/refusal"
	"kicau/domain/shop"
)

// Everything goes wrong at Stripe that its sandbox can have go wrong, while
// orders go every way they can go. Then it stops, what is under way comes to its
// end, and a reconciliation explains every minor unit. It is `kicau serve` that
// runs, over HTTP against the sandbox, with a clock that jumps.
//
// What goes wrong is drawn from a seed for each call by its idempotency key, and
// keys are made of order ids, so it is the same for a seed whatever overtakes
// what; only which webhook meets which chaos depends on their order. The seed is
// printed, and KICAU_FAULTS_SEED plays it again.
func TestEveryFault(t *testing.T) {
	t.Run("webhooks in any order, late, twice, forged or never", func(t *testing.T) {
		storms(t, sandbox.WebhookChaos{Duplicate: percent(20), Twin: percent(10), Reorder: percent(20), Lose: percent(15), Forge: percent(5), Old: percent(5), Delay: time.Second}, nil)
	})
	t.Run("no webhooks at all", func(t *testing.T) {
		storms(t, sandbox.WebhookChaos{Lose: percent(100)}, nil)
	})
	t.Run("half of the webhooks, and funds paid out every night", func(t *testing.T) {
		terms := sandbox.StandardTerms
		terms.DailyPayouts = true
		storms(t, sandbox.WebhookChaos{Lose: percent(50)}, &terms)
	})
}

func percent(n int) sandbox.Rate { return sandbox.Rate(100 * n) }

// What goes wrong with calls, each fault as often: of those that do something,
// and of those that only look.
const (
	doingGoesWrong   = 4
	lookingGoesWrong = 0.4
)

var everyFault = map[sandbox.Fault]string{sandbox.RateLimited: "429", sandbox.LockTimeout: "lock-timeout", sandbox.KeyInUse: "409",
	sandbox.ErrorBefore: "500-before", sandbox.ErrorAfter: "500-after", sandbox.CutBefore: "cut-before", sandbox.CutAfter: "cut-after"}

// byHand begins the keys of calls that are not Kicau's: nothing goes wrong there.
const byHand = "by-hand-"

// storm is a serving process and what goes wrong around it.
type storm struct {
	*testing.T
	seed  uint64
	ahead atomic.Int64 // of the real clock
	calm  atomic.Bool
	d     *desk
	g     *Global
	dir   string

	mu       sync.Mutex
	calls    int
	tries    map[string]int
	injected map[string]int
	refused  map[string]int
	breaks   map[string]bool // that were open in between
	runs     [2]int          // reconciliations that came to their end, and that did not
	hands    int
	orders   []*bought
	shops    []*stall
}

// stall is a shop in a currency and what it sells.
type stall struct {
	id, offer uuid.UUID
	account   string
	currency  money.Currency
	price     money.Minor
}

// bought is an order and the way it goes.
type bought struct {
	way
	*stall
	id   uuid.UUID
	done int // acts
}

// way is what happens to an order: an act for each scene, until it is done.
type way struct {
	name, card string
	keep       bool
	acts       map[scene]func(s *storm, b *bought) bool
}

type scene int

// Scenes, each some time after the one before.
const (
	paying    scene = iota // a minute: people answer their banks, take other cards, or leave
	shipping               // some minutes
	returning              // half an hour: carts have expired, what was bought is sent back
	settling               // a day: shops are paid
	emptying               // three days: funds are available, and paid out
	renewing               // six and a half: authorisations are renewed
	giving                 // eight: and given up; a shop owes, and sells again
	answering              // twelve
	quarrel                // thirty, with the payouts that failed
	verdicts               // fifty
	lastly                 // seventy-five
	lastScene
)

var began = [lastScene]time.Duration{time.Minute, 3 * time.Minute, 30 * time.Minute, 25 * time.Hour, 74 * time.Hour, 156 * time.Hour,
	192 * time.Hour, 12 * 24 * time.Hour, 30 * 24 * time.Hour, 50 * 24 * time.Hour, 75 * 24 * time.Hour}

func (s *storm) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// fault is drawn for the nth call under a key, or to a path.
func (s *storm) fault(method, path, key string) sandbox.Fault {
	if strings.HasPrefix(key, byHand) {
		return sandbox.NoFault
	}
	rate := lookingGoesWrong / 100
	if key != "" {
		rate = doingGoesWrong / 100.0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.calm.Load() {
		return sandbox.NoFault
	}
	what := method + " " + cmp.Or(key, path)
	s.tries[what]++
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %d", what, s.tries[what])
	n := rand.New(rand.NewPCG(s.seed, h.Sum64())).Float64()
	for f := sandbox.RateLimited; f <= sandbox.CutAfter; f++ {
		if n -= rate; n < 0 {
			s.injected[everyFault[f]]++
			return f
		}
	}
	return sandbox.NoFault
}

func storms(t *testing.T, chaos sandbox.WebhookChaos, terms *sandbox.Terms) {
	s := &storm{T: t, seed: rand.Uint64(), dir: t.TempDir(), tries: map[string]int{}, injected: map[string]int{}, refused: map[string]int{}, breaks: map[string]bool{}}
	if given := os.Getenv("KICAU_FAULTS_SEED"); given != "" {
		var err error
		s.seed, err = strconv.ParseUint(given, 10, 64)
		s.ok(err)
	}
	t.Logf("play it again: KICAU_FAULTS_SEED=%d go test ./cmd/kicau -run 'TestEveryFault'", s.seed)
	clock = func() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }
	t.Cleanup(func() { clock = time.Now })
	chaos.Seed = s.seed
	s.serve(chaos, terms)
	s.calm.Store(true)
	s.openShops()
	s.calm.Store(false)
	s.buy()
	s.play()
	s.calmDown()
	s.settled()
}

// serve as `kicau serve` does.
func (s *storm) serve(chaos sandbox.WebhookChaos, terms *sandbox.Terms) {
	s.Helper()
	s.g = &Global{Data: s.dir, Output: "json", stdout: io.Discard, stderr: io.Discard}
	var err error
	s.d, err = s.g.open(s.Context(), need{engine: true, web: "127.0.0.1:0", eventStore: "127.0.0.1:0", unkind: func(o *sandbox.Options) {
		o.Seed, o.Faults, o.WebhookChaos, o.Terms = s.seed, s.fault, chaos, terms
	}})
	s.ok(err)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.d.serve(ctx, s.g) }()
	s.Cleanup(func() {
		stop()
		if err := errors.Join(<-served, s.d.close()); err != nil {
			s.Error(err)
		}
	})
	for range 600 {
		if _, err := os.Stat(filepath.Join(s.dir, "serving.json")); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.Fatal("nothing is served")
}

// kicau runs a command of ours, as another process would.
func (s *storm) kicau(into any, args ...string) int {
	s.Helper()
	var out, problem bytes.Buffer
	code := run(append(args, "--output", "json", "--data", s.dir), strings.NewReader(""), &out, &problem)
	if out.Len() == 0 {
		s.Logf("kicau %s: %s", strings.Join(args, " "), bytes.TrimSpace(problem.Bytes()))
		return code
	}
	s.ok(json.Unmarshal(out.Bytes(), into))
	return code
}

func (s *storm) id(what string, n int) uuid.UUID {
	return event.NameID("storm", fmt.Sprintf("%d %s %d", s.seed, what, n))
}

// openShops: three, each with a currency, a hold of a day and a fee of 30 %; one
// has a reserve.
func (s *storm) openShops() {
	s.Helper()
	for i, c := range []stall{{currency: "GBP", price: 8000}, {currency: "USD", price: 9500}, {currency: "JPY", price: 9800}} {
		c.id, c.offer = s.id("shop", i), s.id("offer", i)
		var platform string
		var err error
		c.account, platform, err = s.d.connect(s.Context(), s.g, c.id, "new", "Shop")
		s.ok(err)
		terms := shop.Onboarded{Name: "Shop " + string(c.currency), Currency: c.currency, Account: c.account, Platform: platform, HoldHours: 24, Shipping: 150,
			Taxes: []shop.Tax{{Jurisdiction: "GB", BasisPoints: 1900}}, Fees: shop.Fees{BasisPoints: 3000, Fixed: 7}}
		_, err = s.d.commands.Shop(s.Context(), by("shop"), c.id, shop.Onboard{At: now(), Terms: terms})
		s.ok(err)
		if c.currency == "USD" {
			_, err := s.d.commands.Shop(s.Context(), by("shop"), c.id, shop.ChangeSettlement{At: now(),
				Settlement: shop.Settlement{ValidFrom: now(), HoldHours: 24, ReserveBasisPoints: 1000, ReserveDays: 30}})
			s.ok(err)
		}
		_, err = s.d.commands.Tweet(s.Context(), by("shop"), c.offer, offer.Tweeted{Shop: c.id, Title: "Mug", Tweet: "A mug", Currency: c.currency, Price: c.price})
		s.ok(err)
		s.shops = append(s.shops, &c)
	}
}

// buy an order for every path in every shop, two mugs each.
func (s *storm) buy() {
	s.Helper()
	for _, p := range ways() {
		for _, at := range s.shops {
			s.orders = append(s.orders, &bought{way: p, stall: at, id: s.id(p.name, len(s.orders))})
		}
	}
	s.each(s.orders, func(b *bought) {
		_, err := s.d.commands.Buy(s.Context(), s.d.vault, by("buyer"), command.Purchase{Order: b.id, Jurisdiction: "GB", PaymentMethod: b.card, KeepCard: b.keep,
			Lines: []command.Line{{Offer: b.offer, Quantity: 2}}, Contact: privacy.Contact{Name: "Ann", Handle: "@ann", Address: "1 Example Street"}})
		if err != nil {
			s.Error(err)
		}
	})
}

// each does something for all, several at once.
func (s *storm) each(all []*bought, do func(*bought)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	for _, b := range all {
		slots <- struct{}{}
		wg.Go(func() { defer func() { <-slots }(); do(b) })
	}
	wg.Wait()
}

// play the scenes.
func (s *storm) play() {
	s.Helper()
	start := now()
	for at, after := range began {
		if wait := start.Add(after).Sub(now()); wait > 0 {
			s.ahead.Add(int64(wait))
		}
		s.comeToRest()
		if scene(at) == emptying {
			s.payOut()
		}
		for range 4 { // what cannot be done yet is tried again
			var waiting []*bought
			for _, b := range s.orders {
				if b.acts[scene(at)] != nil && b.done <= at {
					waiting = append(waiting, b)
				}
			}
			if len(waiting) == 0 {
				break
			}
			s.each(waiting, func(b *bought) {
				if b.acts[scene(at)](s, b) {
					b.done = at + 1
				}
			})
			s.ahead.Add(int64(20 * time.Second))
			s.comeToRest()
		}
		s.reconciles()
	}
}

// comeToRest lets what is due fire, until nothing is.
func (s *storm) comeToRest() {
	s.Helper()
	for range 3 {
		s.ok(s.d.caughtUp(s.Context()))
		// Without a memory of what fired before: a look of another process.
		if fired, err := react.NewDeadlines(s.d.engine.saga, s.d.store).Look(s.Context()); err != nil || fired == 0 {
			s.ok(err)
			break
		}
		s.ahead.Add(int64(5 * time.Second))
	}
	s.ok(s.d.caughtUp(s.Context()))
}

// reconciles in the middle of it all. That may fail, and what is under way may be
// a break for a while.
func (s *storm) reconciles() {
	s.Helper()
	var r reconciled
	if s.kicau(&r, "reconcile"); r.Run == 0 {
		s.runs[1]++
		return
	}
	s.runs[0]++
	for _, b := range r.Breaks {
		if !s.breaks[b.Break.String()] {
			s.Logf("%s: %s", now().Format(time.DateTime), b.text())
		}
		s.breaks[b.Break.String()] = true
	}
}

// does asks something of an order. It is true when that is done, or for good
// refused.
func (s *storm) does(b *bought, cmd order.Command) bool {
	s.Helper()
	_, err := s.d.commands.Order(s.Context(), by("somebody"), b.id, cmd)
	no := refusal.From(err)
	switch {
	case err == nil:
		return true
	case no != nil:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.refused[no.Code]++
	default:
		s.Errorf("%s: %v", b.name, err)
	}
	return false
}

func (s *storm) state(b *bought) (st order.State) {
	s.Helper()
	if err := s.d.commands.Orders.Look(s.Context(), order.Stream(b.id), func(now order.State) error { st = order.After(now); return nil }); err != nil {
		s.Error(err)
	}
	return st
}

// told is what is on an order's stream.
func (s *storm) told(b *bought) string {
	var all []string
	for rec, err := range s.d.log.ReadStream(s.Context(), order.Stream(b.id), command.Forwards, 0, 0) {
		if err != nil {
			return err.Error()
		}
		all = append(all, fmt.Sprintf("%s %s", rec.Type, rec.Data))
	}
	return strings.Join(all, "\n  ")
}

// hand does something by hand at the processor.
func (s *storm) hand(method, to, account string, form ...string) bool {
	s.Helper()
	values := url.Values{}
	for i := 0; i < len(form); i += 2 {
		values.Add(form[i], form[i+1])
	}
	r, err := http.NewRequest(method, s.d.engine.sandbox.URL()+to, strings.NewReader(values.Encode()))
	if err != nil {
		s.Error(err)
		return false
	}
	s.mu.Lock()
	s.hands++
	r.Header.Set("Idempotency-Key", byHand+strconv.Itoa(s.hands))
	s.mu.Unlock()
	r.Header.Set("Authorization", "Bearer "+sandboxKey)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if account != "" {
		r.Header.Set("Stripe-Account", account)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.Error(err)
		return false
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
		s.Logf("by hand: %s %s: %s %s", method, to, res.Status, bytes.TrimSpace(body))
		return false
	}
	return true
}

// toIntent does something by hand to an order's payment.
func (s *storm) toIntent(b *bought, what string) bool {
	s.Helper()
	intent := s.state(b).Payment.Intent
	return intent != "" && s.hand("POST", "/v1/payment_intents/"+intent+what, "")
}

// answersBank goes to the page of the buyer's bank.
func (s *storm) answersBank(b *bought, outcome string) bool {
	s.Helper()
	st := s.state(b)
	if st.Payment.Intent == "" {
		return false
	}
	page, err := s.d.engine.stripe.PayURL(s.Context(), st.Payment.Intent, "")
	if err != nil {
		return false
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.PostForm(strings.Replace(page, "/pay/", "/3ds/", 1), url.Values{"outcome": {outcome}})
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode < 400
}

// payOut some of what the platform has: to a bank that sends it back after three
// days, to one that refuses it, and to one that takes it; and all that the first
// shop has.
func (s *storm) payOut() {
	s.Helper()
	account, err := s.d.engine.stripe.Account(s.Context())
	s.ok(err)
	for currency, number := range map[string]string{"usd": "000111111113", "jpy": "000111111116"} {
		in := "external_account"
		s.hand("POST", "/v1/accounts/"+account+"/external_accounts", "", in+"[object]", "bank_account", in+"[country]", "US", in+"[currency]", currency,
			in+"[routing_number]", "110000000", in+"[account_number]", number)
	}
	for _, at := range s.shops {
		s.hand("POST", "/v1/payouts", "", "amount", "500", "currency", strings.ToLower(string(at.currency)))
	}
	has := s.available(s.shops[0].account)
	if has > 0 {
		s.hand("POST", "/v1/payouts", s.shops[0].account, "amount", strconv.Itoa(has), "currency", "gbp")
	}
}

// available funds of an account in its first currency.
func (s *storm) available(account string) int {
	s.Helper()
	r, err := http.NewRequest("GET", s.d.engine.sandbox.URL()+"/v1/balance", nil)
	s.ok(err)
	r.Header.Set("Idempotency-Key", byHand+"balance")
	r.Header.Set("Authorization", "Bearer "+sandboxKey)
	r.Header.Set("Stripe-Account", account)
	res, err := http.DefaultClient.Do(r)
	s.ok(err)
	defer res.Body.Close()
	var b struct {
		Available []struct {
			Amount   int
			Currency string
		}
	}
	s.ok(json.NewDecoder(res.Body).Decode(&b))
	for _, a := range b.Available {
		if a.Currency == "gbp" {
			return a.Amount
		}
	}
	return 0
}

// ways that an order can go, most of them those of TestPaths.
func ways() []way {
	type acts = map[scene]func(s *storm, b *bought) bool
	ship := func(s *storm, b *bought) bool {
		return s.does(b, order.Ship{At: now(), Carrier: "post", Tracking: "RM1"})
	}
	shipOne := func(s *storm, b *bought) bool {
		return s.does(b, order.Ship{At: now(), Units: []order.Units{{Line: 1, Quantity: 1}}})
	}
	pays := func(card string) func(s *storm, b *bought) bool {
		return func(s *storm, b *bought) bool { return s.does(b, order.Pay{At: now(), PaymentMethod: card}) }
	}
	cancel := func(s *storm, b *bought) bool { return s.does(b, order.Cancel{At: now()}) }
	bank := func(outcome string) func(s *storm, b *bought) bool {
		return func(s *storm, b *bought) bool { return s.answersBank(b, outcome) }
	}
	gives := func(n int, give order.GiveBack) func(s *storm, b *bought) bool {
		return func(s *storm, b *bought) bool {
			give := give
			give.At, give.Refund = now(), s.id("refund "+b.id.String(), n)
			return s.does(b, give)
		}
	}
	answer := func(text string) func(s *storm, b *bought) bool {
		return func(s *storm, b *bought) bool {
			return s.does(b, order.Answer{At: now(), Dispute: firstOpen(s.state(b)), Text: text})
		}
	}
	concede := func(s *storm, b *bought) bool {
		return s.does(b, order.Concede{At: now(), Dispute: firstOpen(s.state(b))})
	}
	then := func(all ...func(s *storm, b *bought) bool) func(s *storm, b *bought) bool {
		return func(s *storm, b *bought) bool {
			for _, do := range all {
				if !do(s, b) {
					return false
				}
			}
			return true
		}
	}
	byHandRefund := func(s *storm, b *bought) bool {
		intent := s.state(b).Payment.Intent
		return intent != "" && s.hand("POST", "/v1/refunds", "", "payment_intent", intent, "amount", "700")
	}
	capture := func(s *storm, b *bought) bool { return s.toIntent(b, "/capture") }
	all, some := order.GiveBack{}, order.GiveBack{Amount: 500}
	oneMug := order.GiveBack{Units: []order.Units{{Line: 1, Quantity: 1}}}
	return []way{
		{"bought and shipped", "pm_card_visa", false, acts{shipping: ship}},
		{"sold with its funds at once", "pm_card_bypassPending", false, acts{shipping: ship}},
		{"declined, then another card", "pm_card_visa_chargeDeclinedInsufficientFunds", false, acts{paying: pays("pm_card_mastercard"), shipping: ship}},
		{"declined and left", "pm_card_chargeDeclinedProcessingError", false, nil},
		{"3-D Secure passed", "pm_card_authenticationRequired", false, acts{paying: bank("complete"), shipping: ship}},
		{"3-D Secure failed, then another card", "pm_card_authenticationRequired", false, acts{paying: bank("fail"), shipping: then(pays("pm_card_visa")), returning: ship}},
		{"3-D Secure abandoned", "pm_card_threeDSecure2Required", false, nil},
		{"cancelled when authorised", "pm_card_visa", false, acts{paying: cancel}},
		{"shipped in part", "pm_card_visa", false, acts{shipping: shipOne}},
		{"never shipped", "pm_card_visa", false, nil},
		{"shipped late on a kept card", "pm_card_visa", true, acts{renewing: ship}},
		{"refunded in part, before and after the settlement", "pm_card_visa", false, acts{shipping: ship, returning: gives(1, some), settling: gives(2, oneMug)}},
		{"refunded whole after the settlement", "pm_card_visa", false, acts{shipping: ship, giving: gives(1, all)}},
		{"refunded whole while it is being captured", "pm_card_visa", false, acts{shipping: then(ship, gives(1, all))}},
		{"a refund that waits", "pm_card_pendingRefund", false, acts{shipping: ship, returning: gives(1, all)}},
		{"a refund that comes back", "pm_card_refundFail", false, acts{shipping: ship, returning: gives(1, all)}},
		{"a warning of fraud", "pm_card_createIssuerFraudRecord", false, acts{shipping: ship}},
		{"a dispute won after the settlement", "pm_card_createDispute", false, acts{shipping: ship, settling: answer("winning_evidence")}},
		{"a dispute lost", "pm_card_createDispute", false, acts{shipping: ship, settling: answer("losing_evidence")}},
		{"a dispute that answers itself", "pm_card_createDisputeProductNotReceived", false, acts{shipping: ship}},
		{"an inquiry that becomes a chargeback", "pm_card_createDisputeInquiry", false, acts{shipping: ship, settling: answer("escalate_inquiry_evidence"), emptying: concede}},
		{"two disputes", "pm_card_createMultipleDisputes", false, acts{shipping: ship, settling: concede, emptying: concede}},
		{"refunded by hand", "pm_card_visa", false, acts{shipping: ship, returning: byHandRefund}},
		{"refunded by hand after the settlement", "pm_card_visa", false, acts{shipping: ship, settling: byHandRefund}},
		{"captured by hand, then cancelled", "pm_card_visa", false, acts{paying: then(capture, cancel)}},
		{"captured by hand, then shipped in part", "pm_card_visa", false, acts{paying: capture, shipping: shipOne}},
		{"cancelled by hand", "pm_card_visa", false, acts{paying: func(s *storm, b *bought) bool { return s.toIntent(b, "/cancel") }}},
		{"bought again from a shop in debt", "pm_card_visa", true, acts{giving: ship, quarrel: gives(1, some)}},
	}
}

// firstOpen is the dispute to talk of.
func firstOpen(s order.State) string {
	for _, d := range s.Disputes {
		if d.Result == "" && !d.Conceded {
			return d.ID
		}
	}
	return ""
}

// calmDown: nothing goes wrong any more, and what is under way comes to its end.
// A call whose key was burnt waits a day.
func (s *storm) calmDown() {
	s.Helper()
	s.calm.Store(true)
	for range 8 {
		s.ahead.Add(int64(6 * time.Hour))
		s.comeToRest()
	}
}

// settled: one run explains every minor unit, and a second has nothing to add.
func (s *storm) settled() {
	s.Helper()
	for n := range 2 {
		var r reconciled
		code := s.kicau(&r, "reconcile")
		if code != exitDone || r.Run == 0 || r.Moving || len(r.Breaks) > 0 {
			s.Errorf("run %d of the end: exit code %d, %+v", n+1, code, r)
		}
		if len(r.Unexplained) == 0 { // one with nothing on either side is left out
			s.Error("no sums were compared")
		}
		for c, u := range r.Unexplained {
			if u != 0 {
				s.Errorf("run %d of the end: %s unexplained", n+1, money.Format(u, c))
			}
		}
		if n > 0 && r.Books["GBP"].UnderWay+r.Books["USD"].UnderWay+r.Books["JPY"].UnderWay != 0 {
			s.Errorf("something is under way still: %+v", r.Books)
		}
		s.Logf("run %d of the end: %s", n+1, r.text())
		s.comeToRest()
	}
	var books struct {
		TrialBalance map[money.Currency]money.Minor `json:"trialBalance"`
	}
	s.kicau(&books, "settlement")
	if len(books.TrialBalance) != len(s.shops) {
		s.Errorf("the trial balance has %d currencies, want %d", len(books.TrialBalance), len(s.shops))
	}
	for c, sum := range books.TrialBalance {
		if sum != 0 {
			s.Errorf("the trial balance is %s", money.Format(sum, c))
		}
	}
	s.ok(s.d.engine.sandbox.Verify())
	for _, b := range s.orders {
		if st := s.state(b); !payment.AtRest(st, now()) {
			s.Errorf("%s in %s is not at rest, with the call %+v and the disputes %+v\n  %s", b.name, b.currency, st.Payment.Pending, st.Disputes, s.told(b))
		}
	}
	s.report()
}

// report says what happened, and fails when the storm was none.
func (s *storm) report() {
	s.Helper()
	types := map[string]int{}
	for rec, err := range s.d.log.ReadAll(s.Context(), command.Forwards, command.ReadFrom{}, viewFilter, 0) {
		s.ok(err)
		types[rec.Type]++
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for f, name := range everyFault {
		if s.injected[name] == 0 {
			s.Errorf("fault %d (%s) never happened", f, name)
		}
		n += s.injected[name]
	}
	s.Logf("%d orders, %d calls, %d faults %v, %d reconciliations meanwhile and %d that failed, %d breaks that came and went, refused %v",
		len(s.orders), s.calls, n, s.injected, s.runs[0], s.runs[1], len(s.breaks), s.refused)
	var missing []string
	for _, e := range []event.Data{order.MethodGiven{}, order.ActionRequired{}, order.Expiring{}, order.Declined{}, order.Voided{}, order.Captured{}, order.Earned{},
		order.Refunded{}, order.RefundPending{}, order.RefundReturned{}, order.OutcomeUnknown{}, order.Released{}, order.ReserveReleased{}, order.Settled{},
		order.Reversed{}, order.DebtCarried{}, order.FraudWarned{}, order.DisputeOpened{}, order.DisputeEscalated{}, order.DisputeWithdrawn{}, order.Contested{},
		order.DisputeCharged{}, order.DisputeReinstated{}, order.DisputeClosed{}, order.Expired{}, order.Cancelled{}, shop.DebtNetted{},
		payout.Sent{}, payout.Paid{}, payout.Failed{}} {
		if types[e.EventType()] == 0 {
			missing = append(missing, e.EventType())
		}
	}
	// Each path is walked three times, and may be cut off each time.
	if len(missing) > 6 {
		s.Errorf("too much never happened: %v", missing)
	}
	s.Logf("never happened: %v; happened: %s", missing, tallied(types))
}

func tallied(n map[string]int) string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(n)) {
		all = append(all, fmt.Sprintf("%d %s", n[k], k))
	}
	return strings.Join(all, ", ")
}
