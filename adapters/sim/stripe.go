package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/adapters/sandbox"
	"kicau/adapters/stripe"
	"kicau/domain/money"
	"kicau/domain/oracle"
	"kicau/domain/payment"
)

// The processor of a run is the sandbox, in the same process and on the run's
// clock; every process of the run reaches it through the production client, over
// a link that can break.

const (
	secretKey     = "sk_test_simulation"
	webhookSecret = "whsec_simulation"
)

// hooked are the types of events that the endpoint is told: one for every fact
// that Kicau does not know by itself.
var hooked = []string{"payment_intent.amount_capturable_updated", "payment_intent.canceled", "payment_intent.payment_failed",
	"payment_intent.requires_action", "payment_intent.succeeded", "charge.refunded", "charge.refund.updated",
	"charge.dispute.created", "charge.dispute.updated", "charge.dispute.closed", "radar.early_fraud_warning.created"}

// processor is the sandbox and what people do there.
type processor struct {
	w       *world
	server  *sandbox.Server
	account string // the platform's
	meets   sandbox.Fault
	verify  *stripe.Webhook
	due     *entry
	funds   map[money.Currency]money.Minor // that are not Kicau's
	calls   int
}

func newProcessor(w *world) *processor {
	p := &processor{w: w}
	fates := w.k.chance("fates")
	p.server = sandbox.New(sandbox.Options{SecretKey: secretKey, WebhookSecret: webhookSecret, Now: func() time.Time { return w.k.now },
		Logger: silent, Seed: w.k.seed | 1<<63, WebhookEvents: hooked,
		Faults: func(string, string, string) sandbox.Fault { f := p.meets; p.meets = sandbox.NoFault; return f },
		Lag:    func() time.Duration { return lagOf(fates) }})
	if err := p.server.Open(); err != nil {
		panic(err) // in memory: a defect
	}
	p.account = p.server.AccountID()
	var err error
	if p.verify, err = stripe.NewWebhook(webhookSecret, func() time.Time { return w.k.now }); err != nil {
		panic(err)
	}
	return p
}

// lagOf is how long banks take: mostly days, sometimes before anybody looks.
func lagOf(r *rand.Rand) time.Duration {
	if oneIn(r, 4) {
		return between(r, time.Second, time.Minute)
	}
	return between(r, time.Minute, 20*24*time.Hour)
}

// settled passes on what happened at the processor, and plans when something
// happens there that nobody asks for. It is called after every request and
// whenever something is due.
func (p *processor) settled() {
	for _, d := range p.server.Take() {
		p.w.news(d)
	}
	if p.due != nil {
		p.due.cancelled = true
		p.due = nil
	}
	if at, ok := p.server.NextDue(); ok {
		p.due = p.w.k.at(at, "something is due at the processor", func() {
			p.due = nil
			p.server.Tick()
			p.settled()
		})
	}
}

// theirs is what the sandbox's own book says of an order.
func (p *processor) theirs(id uuid.UUID) oracle.Theirs {
	f := p.server.FactsOf(id.String())
	return oracle.Theirs{Captured: money.Minor(f.Captured), Captures: f.Captures, Refunded: money.Minor(f.Refunded), Pending: money.Minor(f.Waiting),
		Disputed: money.Minor(f.Disputed + f.Lost), Transferred: money.Minor(f.Paid), Held: money.Minor(f.Authorised)}
}

// balances of the platform, by currency.
func (p *processor) balances() map[money.Currency]money.Minor {
	var b struct {
		Available, Pending []struct {
			Amount   money.Minor
			Currency string
		}
	}
	p.ask(http.MethodGet, "/v1/balance", nil, "", &b)
	sums := map[money.Currency]money.Minor{}
	for _, part := range append(b.Available, b.Pending...) {
		sums[money.Currency(strings.ToUpper(part.Currency))] += part.Amount
	}
	return sums
}

// ask the sandbox as somebody who sits at it: nothing goes wrong.
func (p *processor) ask(method, path string, form url.Values, account string, into any) (status int) {
	r, err := http.NewRequest(method, "http://127.0.0.1:1"+path, strings.NewReader(form.Encode()))
	if err != nil {
		panic(err)
	}
	r.Header.Set("Authorization", "Bearer "+secretKey)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if account != "" {
		r.Header.Set("Stripe-Account", account)
	}
	res, err := p.server.Transport().RoundTrip(r)
	if err != nil {
		panic(err)
	}
	body, _ := io.ReadAll(res.Body)
	if into != nil {
		if err := json.Unmarshal(body, into); err != nil {
			panic(fmt.Sprintf("sim: the sandbox answered %s with %q", path, body))
		}
	}
	p.settled()
	return res.StatusCode
}

// fund the platform's own balance, by payments that are none of Kicau's: it pays
// fees, disputes and shops before the money for that comes in.
func (p *processor) fund() {
	for _, c := range currencies {
		var pi struct{ ID string }
		amount := fmt.Sprint(99_999_990)
		p.ask(http.MethodPost, "/v1/payment_intents", url.Values{"amount": {amount}, "currency": {strings.ToLower(string(c))}, "confirm": {"true"},
			"capture_method": {"manual"}, "payment_method": {"pm_card_bypassPending"}, "payment_method_types[]": {"card"}}, "", &pi)
		p.capture(pi.ID, 99_999_990)
	}
	p.funds = p.balances()
}

// open a connected account for a shop.
func (p *processor) open() string {
	var a struct{ ID string }
	p.ask(http.MethodPost, "/v1/accounts", url.Values{"type": {"standard"}}, "", &a)
	return a.ID
}

// has is what a connected account has.
func (p *processor) has(account string, c money.Currency) money.Minor {
	return money.Minor(p.server.Has(account, strings.ToLower(string(c))))
}

// payOut what a connected account has.
func (p *processor) payOut(account string, c money.Currency, amount money.Minor) {
	if amount <= 0 {
		return
	}
	p.ask(http.MethodPost, "/v1/payouts", url.Values{"amount": {fmt.Sprint(amount)}, "currency": {strings.ToLower(string(c))}}, account, nil)
}

// standing of an intent.
type standing struct {
	Status       string
	ClientSecret string `json:"client_secret"`
	Amount       money.Minor
	Received     money.Minor `json:"amount_received"`
}

func (p *processor) look(intent string) (s standing) {
	p.ask(http.MethodGet, "/v1/payment_intents/"+intent, nil, "", &s)
	return s
}

// authenticate is what the buyer does on the page of the card's issuer.
func (p *processor) authenticate(intent string, passes bool) {
	s := p.look(intent)
	if s.Status != "requires_action" {
		return
	}
	outcome := map[bool]string{true: "complete", false: "fail"}[passes]
	p.ask(http.MethodPost, "/3ds/"+intent+"?"+url.Values{"client_secret": {s.ClientSecret}}.Encode(), url.Values{"outcome": {outcome}}, "", nil)
}

// typed is what the buyer does on the page for a card.
func (p *processor) typed(intent, card string) {
	p.ask(http.MethodPost, "/v1/payment_intents/"+intent+"/confirm", url.Values{"payment_method": {card}}, "", nil)
}

func (p *processor) capture(intent string, amount money.Minor) {
	p.ask(http.MethodPost, "/v1/payment_intents/"+intent+"/capture", url.Values{"amount_to_capture": {fmt.Sprint(amount)}}, "", nil)
}

func (p *processor) cancel(intent string) {
	p.ask(http.MethodPost, "/v1/payment_intents/"+intent+"/cancel", nil, "", nil)
}

func (p *processor) refund(intent string, amount money.Minor) {
	p.ask(http.MethodPost, "/v1/refunds", url.Values{"payment_intent": {intent}, "amount": {fmt.Sprint(amount)}}, "", nil)
}

// client of the processor for a process that starts.
func (p *processor) client(pr *process) command.Payments {
	c, err := stripe.New(stripe.Options{SecretKey: secretKey, BaseURL: "http://127.0.0.1:1", Transport: link{p.w, pr}, Now: p.w.plant.now(p.w), Logger: silent})
	if err != nil {
		panic(err)
	}
	return &audited{p.w.plant.payments(p.w, c), p.w}
}

// audited has the oracle see every call, and look at the processor's book after
// it.
type audited struct {
	command.Payments
	w *world
}

func (a *audited) Perform(ctx context.Context, e payment.Effect) payment.Outcome {
	a.w.oracle.Asked(e)
	if e.Tries > 0 {
		a.w.sometimes("a call was looked up")
	}
	a.w.k.tell("call %s %d (try %d)", e.Key, e.Amount, e.Tries+1)
	o := a.Payments.Perform(ctx, e)
	if f, failed := o.(payment.Failed); failed {
		a.w.sometimes("a call failed: " + f.Code)
	}
	a.w.k.tell("answer to %s: %T %+v", e.Key, o, o)
	a.w.oracle.Ahead(e.Order, a.w.processor.theirs(e.Order), a.w.byHand[e.Order])
	return o
}

// link carries a process's requests to the sandbox, or not.
type link struct {
	w *world
	p *process
}

// callTimeout is when a client gives a request up.
const callTimeout = 30 * time.Second

var errTimeout = errors.New("no answer in time")

func (l link) RoundTrip(r *http.Request) (*http.Response, error) {
	w := l.w
	w.travel(l.p)
	place := atLook
	if r.Method == http.MethodPost {
		place = atCall
	}
	meets := w.faults.next(place, w.k.now)
	if meets != none && meets != diesBefore && meets != diesAfter {
		w.met(meets, r.URL.Path)
	}
	switch meets {
	case callLost, lookLost:
		w.k.pause(callTimeout)
		return nil, errTimeout
	case diesBefore:
		w.die(l.p, meets)
	case outageBefore:
		w.blackout(meets)
	case freezes:
		w.k.pause(between(w.k.delays, time.Minute, 50*time.Minute))
	}
	w.processor.calls++
	w.processor.meets = map[fault]sandbox.Fault{fails500Before: sandbox.ErrorBefore, fails500After: sandbox.ErrorAfter,
		busy409: sandbox.KeyInUse, limited429: sandbox.RateLimited, locked429: sandbox.LockTimeout}[meets]
	w.k.note(r.Method, r.URL.Path, r.Header.Get("Idempotency-Key"))
	res, err := w.processor.server.Transport().RoundTrip(r)
	w.processor.settled()
	switch meets {
	case callAnswerLost:
		w.k.pause(callTimeout)
		return nil, errTimeout
	case diesAfter:
		w.die(l.p, meets)
	case outageAfter:
		w.blackout(meets)
	}
	w.travel(l.p)
	return res, err
}
