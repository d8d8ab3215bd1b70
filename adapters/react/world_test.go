package react_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/adapters/node"
	"kicau/adapters/react"
	"kicau/adapters/sqlstore"
	"kicau/domain"
	"kicau/domain/event"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/payment"
	"kicau/domain/shop"
	"kicau/projections"
	"kicau/projections/deadline"
)

// world is a shop, its log, a saga that looks after its orders, and a processor
// that does as it is told. It plays in a bubble of its own, so that a week takes
// no time.
type world struct {
	*testing.T
	log       *troubled
	commands  *command.Commands
	store     projections.Store
	id        uuid.UUID // of the log
	processor *processor
	saga      *react.Saga
	mu        sync.Mutex
	reacted   map[*react.Saga]event.Position // up to which events were given to it
	deadlines *react.Deadlines
	view      *projections.Runner
	clock     *clock
}

// clock of the business. It is not the bubble's: there a week that passes has
// the log's housekeeping pass it too, second by second.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// wait lets time pass.
func (c *clock) wait(d time.Duration) { c.ahead.Add(int64(d)) }

func play(t *testing.T, story func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, err := node.Open(node.Options{Dir: filepath.Join(t.TempDir(), "log"), Logger: slog.New(slog.DiscardHandler)})
		ok(t, err)
		store, err := sqlstore.Open(t.Context(), sqlstore.Options{Path: filepath.Join(t.TempDir(), "views.db")})
		ok(t, err)
		defer func() {
			ok(t, store.Close())
			ok(t, n.Close())
		}()
		w := &world{T: t, reacted: map[*react.Saga]event.Position{}, log: &troubled{Log: n.Log()}, store: store, id: n.ID(), clock: &clock{}}
		w.processor = newProcessor("acct_platform", w.clock)
		w.view, err = projections.NewRunner(t.Context(), deadline.Projection.View(), store, domain.Events, n.ID())
		ok(t, err)
		w.restart()
		w.open()
		story(t, w)
	})
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// restart the process: what it had in mind is gone.
func (w *world) restart() {
	w.Helper()
	w.commands = command.New(w.log, domain.Events)
	before := w.reacted[w.saga]
	w.saga = w.sagaOf(w.processor)
	w.reacted[w.saga] = before // its persistent subscription knows
	w.deadlines = react.NewDeadlines(w.saga, w.store)
}

func (w *world) sagaOf(p command.Payments) *react.Saga {
	return react.New(react.Options{Commands: command.New(w.log, domain.Events), Payments: p,
		Now: w.clock.now, NewID: uuid.New, Logger: slog.New(slog.DiscardHandler)})
}

var (
	potter = uuid.UUID{0: 1}
	mugs   = uuid.UUID{0: 2}
	tea    = uuid.UUID{0: 3}
	bought = uuid.UUID{0: 4}
)

// open the shop: ten mugs and ten boxes of tea.
func (w *world) open() {
	w.Helper()
	terms := shop.Onboarded{Name: "Potter", Currency: "GBP", Account: "acct_potter", HoldHours: 72, Fees: shop.Fees{BasisPoints: 1000}}
	_, err := w.commands.Shop(w.Context(), w.by(), potter, shop.Onboard{At: w.clock.now(), Terms: terms})
	ok(w.T, err)
	ten := int64(10)
	for id, title := range map[uuid.UUID]string{mugs: "Mug", tea: "Tea"} {
		_, err := w.commands.Tweet(w.Context(), w.by(), id, offer.Tweeted{Shop: potter, Title: title, Currency: "GBP", Price: 1000, Stock: &ten})
		ok(w.T, err)
	}
}

func (w *world) by() command.By {
	return command.By{Command: uuid.New(), Actor: "test", At: w.clock.now()}
}

// place an order of two mugs.
func (w *world) place(id uuid.UUID) {
	w.Helper()
	_, err := w.commands.Place(w.Context(), w.by(), command.Place{Order: id, Buyer: uuid.UUID{0: 9}, Processor: order.Stripe,
		PaymentMethod: "pm_1", Lines: []command.Line{{Offer: mugs, Quantity: 2}}})
	ok(w.T, err)
}

// ask something of the order that was bought.
func (w *world) ask(cmd order.Command) {
	w.Helper()
	_, err := w.commands.Order(w.Context(), w.by(), bought, cmd)
	ok(w.T, err)
}

// page is what the log has of orders after a position.
func (w *world) page(after event.Position) projections.Page {
	w.Helper()
	p := projections.Page{Last: after}
	for rec, err := range w.log.ReadAll(context.Background(), command.Forwards, command.ReadFrom{After: after}, command.Filter{StreamPrefixes: []string{"order-"}}, 0) {
		ok(w.T, err)
		p.Events = append(p.Events, rec)
		p.Last = rec.Position
	}
	return p
}

// react until nothing new is in the log.
func (w *world) react() {
	w.Helper()
	w.reactWith(w.saga)
}

func (w *world) reactWith(s *react.Saga) {
	w.Helper()
	for {
		p := w.page(w.at(s))
		if len(p.Events) == 0 {
			return
		}
		for _, rec := range p.Events {
			ok(w.T, s.React(w.Context(), rec))
		}
		w.mu.Lock()
		w.reacted[s] = p.Last
		w.mu.Unlock()
	}
}

func (w *world) at(s *react.Saga) event.Position {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reacted[s]
}

// again gives all events of orders to the saga once more, as after a restart.
func (w *world) again() error {
	var errs []error
	for _, rec := range w.page(event.Position{}).Events {
		errs = append(errs, w.saga.React(w.Context(), rec))
	}
	return errors.Join(errs...)
}

// look brings the view of deadlines up to date and fires what is due; it wants
// that to be so many.
func (w *world) look(want int) {
	w.Helper()
	at := w.view.Checkpoint().Position
	p := projections.Page{Last: at}
	for rec, err := range w.log.ReadAll(w.Context(), command.Forwards, command.ReadFrom{After: at}, command.Filter{}, 0) {
		ok(w.T, err)
		p.Events = append(p.Events, rec)
		p.Last = rec.Position
	}
	ok(w.T, w.view.Apply(w.Context(), &p))
	fired, err := w.deadlines.Look(w.Context())
	ok(w.T, err)
	if fired != want {
		w.Fatalf("%d deadlines fired, want %d", fired, want)
	}
}

// happened checks the types of the last events of a stream.
func (w *world) happened(stream string, want ...event.Data) {
	w.Helper()
	var got, types []string
	for rec, err := range w.log.Log.ReadStream(context.Background(), stream, command.Forwards, 0, 0) {
		ok(w.T, err)
		got = append(got, rec.Type)
	}
	for _, d := range want {
		types = append(types, d.EventType())
	}
	if len(got) < len(types) || !slices.Equal(got[len(got)-len(types):], types) {
		w.Fatalf("in %s stands\n%s\nwhich does not end with\n%s", stream, strings.Join(got, "\n"), strings.Join(types, "\n"))
	}
}

// ordered checks all that stands in the stream of the order after its placing.
func (w *world) ordered(want ...event.Data) {
	w.Helper()
	w.happened(order.Stream(bought), append([]event.Data{order.Placed{}}, want...)...)
}

// mugs checks what became of the stock.
func (w *world) stock(want ...event.Data) {
	w.Helper()
	w.happened(offer.Stream(mugs), append([]event.Data{offer.Tweeted{}}, want...)...)
}

// quiet checks that nothing is written and no call is made.
func (w *world) quiet(does func()) {
	w.Helper()
	events, calls := len(w.page(event.Position{}).Events), len(w.processor.made())
	does()
	if n := len(w.page(event.Position{}).Events) - events; n != 0 {
		w.Fatalf("%d events were written", n)
	}
	if more := w.processor.made()[calls:]; len(more) != 0 {
		w.Fatalf("calls were made: %v", more)
	}
}

// troubled is a log that may not be read or written for a while.
type troubled struct {
	command.Log
	mu    sync.Mutex
	fails map[string]int // stream: how many more reads fail
}

var errTrouble = errors.New("the disk sighs")

func (l *troubled) trouble(stream string, reads int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fails = map[string]int{stream: reads}
}

func (l *troubled) ReadStream(ctx context.Context, stream string, dir command.Direction, from uint64, max int) iter.Seq2[event.Recorded, error] {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fails[stream] > 0 {
		l.fails[stream]--
		return func(yield func(event.Recorded, error) bool) { yield(event.Recorded{}, errTrouble) }
	}
	return l.Log.ReadStream(ctx, stream, dir, from, max)
}

// processor is a payment processor as the saga sees it. It does what it is asked
// once a key, and answers as the test says.
type processor struct {
	account string
	clock   *clock
	down    error // what Account says

	mu      sync.Mutex
	script  map[order.Step][]answer
	calls   []payment.Effect
	done    map[string]payment.Outcome // by key: what really happened
	intents map[string]uuid.UUID
	now     map[string]payment.Outcome // of an intent, for Read
	shown   map[string]payment.Seen    // and what else it shows
}

// answer is how a call is answered; do performs it.
type answer func(e payment.Effect, do func() payment.Outcome) payment.Outcome

func newProcessor(account string, c *clock) *processor {
	return &processor{account: account, clock: c, script: map[order.Step][]answer{}, done: map[string]payment.Outcome{},
		intents: map[string]uuid.UUID{}, now: map[string]payment.Outcome{}, shown: map[string]payment.Seen{}}
}

// says how the next calls of a step are answered; then all goes well again.
func (p *processor) says(step order.Step, answers ...answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.script[step] = answers
}

// made are the calls so far, as "step key".
func (p *processor) made() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, e := range p.calls {
		out = append(out, fmt.Sprintf("%s %s", e.Step, e.Key))
	}
	return out
}

// performed is how many times a step was really done.
func (p *processor) performed(step order.Step) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key := range p.done {
		if strings.Contains(key, ":"+string(step)+":") {
			n++
		}
	}
	return n
}

func (p *processor) Account(context.Context) (string, error) { return p.account, p.down }

func (p *processor) Perform(_ context.Context, e payment.Effect) payment.Outcome {
	p.mu.Lock()
	p.calls = append(p.calls, e)
	var a answer
	if s := p.script[e.Step]; len(s) > 0 {
		a, p.script[e.Step] = s[0], s[1:]
	}
	p.mu.Unlock()
	do := func() payment.Outcome { return p.do(e, succeeds(e, p.clock.now())) }
	if a == nil {
		return do()
	}
	return a(e, do)
}

// do makes the call of a key once; the same key again gets the same answer.
func (p *processor) do(e payment.Effect, o payment.Outcome) payment.Outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	if before, ok := p.done[e.Key]; ok {
		return before
	}
	p.done[e.Key] = o
	return o
}

func intentOf(id uuid.UUID) string { return "pi_" + id.String() }

func succeeds(e payment.Effect, now time.Time) payment.Outcome {
	switch e.Step {
	case order.Authorise:
		ends := now.AddDate(0, 0, 7)
		return payment.Authorised{Intent: cmp.Or(e.Intent, intentOf(e.Order)), Charge: "ch_1", Amount: e.Amount, ExpiresAt: &ends}
	case order.Void:
		return payment.Voided{Intent: e.Intent}
	case order.Capture:
		return payment.Captured{Charge: "ch_1", Transaction: "txn_1", Amount: e.Amount, ProcessorFee: 30}
	case order.Refunding:
		return payment.Refunded{RefundID: "re_" + e.Refund.String()}
	case order.Reverse:
		return payment.Reversed{Reversal: "trr_" + e.Key}
	case order.Contest:
		return payment.Disputed{Dispute: payment.SeenDispute{ID: e.Dispute, Submitted: true}}
	}
	return payment.Transferred{Transfer: "tr_" + e.Key}
}

func (p *processor) Read(_ context.Context, intent string) (uuid.UUID, payment.Seen) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o, ok := p.now[intent]
	if !ok {
		o = payment.Failed{Code: "resource_missing"}
	}
	seen := p.shown[intent]
	seen.Intent, seen.Outcome = intent, o
	return p.intents[intent], seen
}

// news is what Read tells of an intent from now on.
func (p *processor) news(intent string, id uuid.UUID, o payment.Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.intents[intent], p.now[intent] = id, o
}

// shows what Read tells besides of the payment of an order.
func (p *processor) shows(id uuid.UUID, seen payment.Seen) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.intents[intentOf(id)], p.shown[intentOf(id)] = id, seen
	p.now[intentOf(id)] = payment.Captured{}
}

func (p *processor) PayURL(context.Context, string, string) (string, error) {
	return "", errors.New("nobody pays by hand here")
}

// Answers.

func says(o payment.Outcome) answer {
	return func(payment.Effect, func() payment.Outcome) payment.Outcome { return o }
}

// The twins: the call was not made, or it was, and either way nobody says so.
func lost(payment.Effect, func() payment.Outcome) payment.Outcome {
	return payment.Unknown{Reason: "timeout"}
}

func lostButDone(_ payment.Effect, do func() payment.Outcome) payment.Outcome {
	do()
	return payment.Unknown{Reason: "timeout"}
}

// The process dies before the call, or after it.
func dies(payment.Effect, func() payment.Outcome) payment.Outcome {
	runtime.Goexit()
	return nil
}

func diesAfter(_ payment.Effect, do func() payment.Outcome) payment.Outcome {
	do()
	runtime.Goexit()
	return nil
}

// untilDeath runs something in which the process dies.
func untilDeath(does func()) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		does()
	}()
	<-gone
}
