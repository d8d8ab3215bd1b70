package command_test

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/adapters/node"
	"kicau/domain"
	"kicau/domain/event"
	"kicau/domain/offer"
	"kicau/domain/shop"
)

// scene is a log on disk, a wire to it, and Kicau's use cases at the other end.
// It plays in a bubble of its own, so that waiting takes no time.
type scene struct {
	*testing.T
	dir   string
	log   command.Log // as it is, without the wire
	wire  *wire
	kicau *command.Commands
}

func play(t *testing.T, story func(t *testing.T, s *scene)) {
	t.Helper()
	t.Parallel()
	bubble(t, story)
}

func bubble(t *testing.T, story func(t *testing.T, s *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		n, err := node.Open(node.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		}()
		s := &scene{T: t, dir: dir, log: n.Log(), wire: &wire{Log: n.Log()}}
		s.kicau = s.process()
		story(t, s)
	})
}

// process is one more process on the wire, with a cache of its own.
func (s *scene) process() *command.Commands { return command.New(s.wire, domain.Events) }

// elsewhere is a process that reaches the log by another way.
func (s *scene) elsewhere() *command.Commands { return command.New(s.log, domain.Events) }

func id(n int) uuid.UUID { return uuid.UUID{14: byte(n >> 8), 15: byte(n)} }

// by is somebody's n-th command.
func by(n int) command.By {
	return command.By{Command: event.NameID("command", id(n).String()), Actor: "buyer", At: time.Now()}
}

// The shop and its offers. An order holds its stock in the order of the offers'
// ids: mugs before tea.
var (
	potter  = event.NameID("shop", "potter")
	mugs    = uuid.UUID{0: 1}
	tea     = uuid.UUID{0: 2}
	posters = uuid.UUID{0: 3} // as many as anybody wants
)

// tweet the mugs, so many of them.
func (s *scene) tweet(stock int64) {
	s.Helper()
	s.offer(mugs, offer.Tweeted{Title: "Mug", Price: 1000, Stock: &stock})
}

func (s *scene) offer(id uuid.UUID, terms offer.Tweeted) {
	s.Helper()
	terms.Shop, terms.Currency, terms.Tweet = potter, "GBP", "Have a look: "+terms.Title
	cmd := offer.Tweet{At: time.Now(), ShopCurrency: "GBP", Terms: terms}
	_, err := s.kicau.Offer(s.Context(), command.By{Command: id, Actor: "shop", At: time.Now()}, id, cmd)
	s.ok(err)
}

// open a shop with so many mugs, as much tea, and posters without limit.
func (s *scene) open(stock int64) {
	s.Helper()
	terms := shop.Onboarded{Name: "Potter", Currency: "GBP", Account: "acct_potter", HoldHours: 72, Shipping: 350,
		Taxes: []shop.Tax{{Jurisdiction: "GB", BasisPoints: 2000}}, Fees: shop.Fees{BasisPoints: 900}}
	_, err := s.kicau.Shop(s.Context(), by(0), potter, shop.Onboard{At: time.Now(), Terms: terms})
	s.ok(err)
	s.tweet(stock)
	s.offer(tea, offer.Tweeted{Title: "Tea", Price: 500, Stock: &stock})
	s.offer(posters, offer.Tweeted{Title: "Poster", Price: 2000})
}

// hold one mug for the n-th order, through one of the processes.
func hold(ctx context.Context, kicau *command.Commands, n int) error {
	_, err := kicau.Offer(ctx, by(n), mugs, offer.HoldStock{At: time.Now(), Order: id(n), Buyer: id(n), Quantity: 1, ExpiresAt: time.Now().Add(time.Hour)})
	return err
}

// look at what is in the log of the mugs, past the wire.
func (s *scene) look() offer.State {
	s.Helper()
	return s.lookAt(mugs)
}

func (s *scene) lookAt(id uuid.UUID) offer.State {
	s.Helper()
	state := offer.Decider.Initial()
	for _, e := range s.events(offer.Stream(id)) {
		state = offer.Decider.Evolve(state, e.Body)
	}
	return state
}

// holds checks what an order has of the mugs and of the tea.
func (s *scene) holds(order uuid.UUID, ofMugs, ofTea int64) {
	s.Helper()
	if m, t := s.look().Holds[order].Quantity, s.lookAt(tea).Holds[order].Quantity; m != ofMugs || t != ofTea {
		s.Fatalf("the order has %d mugs and %d tea, want %d and %d", m, t, ofMugs, ofTea)
	}
}

// happened checks the types of the events of a stream, past the wire.
func (s *scene) happened(stream string, want ...event.Data) {
	s.Helper()
	var got, types []string
	for _, e := range s.events(stream) {
		got = append(got, e.Type)
	}
	for _, d := range want {
		types = append(types, d.EventType())
	}
	if !slices.Equal(got, types) {
		s.Fatalf("in %s stands %v, want %v", stream, got, types)
	}
}

// all is everything in the log.
func (s *scene) all() []event.Recorded {
	s.Helper()
	var all []event.Recorded
	for rec, err := range s.log.ReadAll(context.Background(), command.Forwards, command.ReadFrom{}, command.Filter{}, 0) {
		s.ok(err)
		all = append(all, rec)
	}
	return all
}

// writesNothing checks that nothing happens in any stream.
func (s *scene) writesNothing(does func()) {
	s.Helper()
	before := len(s.all())
	does()
	if written := s.all()[before:]; len(written) > 0 {
		s.Fatalf("%d events were written, the first is %s in %s", len(written), written[0].Type, written[0].Stream)
	}
}

// events of a stream, past the wire.
func (s *scene) events(stream string) []event.Event {
	s.Helper()
	var events []event.Event
	for rec, err := range s.log.ReadStream(context.Background(), stream, command.Forwards, 0, 0) {
		s.ok(err)
		e, err := domain.Events.Decode(rec)
		s.ok(err)
		events = append(events, e)
	}
	return events
}

// ask in the background, and be sure that the command waits in line before the
// next one does.
func (s *scene) ask(command func() error) (answer func() error) {
	answered := make(chan error, 1)
	go func() { answered <- command() }()
	synctest.Wait()
	return func() error { return <-answered }
}

func (s *scene) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *scene) wants(err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Fatalf("got %v, want %v", err, want)
	}
}

// wire stands between the use cases and the log and does to appends what
// networks, disks and other processes do.
type wire struct {
	command.Log
	mu   sync.Mutex
	sent []sent
	next []fault
	rest fault // of every append after those of next; nil: none

	reads func(ctx context.Context, stream string, from uint64) error // asked before every read; nil: nobody
}

// sent is an append as it was tried.
type sent struct {
	stream string
	expect command.Expect
	events []event.Proposed
}

// fault is what an append meets; do is what it was to do.
type fault func(ctx context.Context, do func() (command.Appended, error)) (command.Appended, error)

// meet lets the next appends meet these faults, one each.
func (w *wire) meet(faults ...fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent, w.next = nil, faults
}

// appends are those that were tried since the last meet.
func (w *wire) appends() []sent {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent
}

func (w *wire) Append(ctx context.Context, stream string, expect command.Expect, events []event.Proposed) (command.Appended, error) {
	w.mu.Lock()
	w.sent = append(w.sent, sent{stream, expect, events})
	meets := w.rest
	if len(w.next) > 0 {
		meets, w.next = w.next[0], w.next[1:]
	}
	w.mu.Unlock()
	do := func() (command.Appended, error) { return w.Log.Append(ctx, stream, expect, events) }
	if meets == nil {
		return do()
	}
	return meets(ctx, do)
}

func (w *wire) ReadStream(ctx context.Context, stream string, dir command.Direction, from uint64, max int) iter.Seq2[event.Recorded, error] {
	if w.reads != nil {
		if err := w.reads(ctx, stream, from); err != nil {
			return func(yield func(event.Recorded, error) bool) { yield(event.Recorded{}, err) }
		}
	}
	return w.Log.ReadStream(ctx, stream, dir, from, max)
}

var errCut = errors.New("connection reset by peer")

// The twins: nothing was done, or all of it was, and either way nobody says so.
func lostBefore(context.Context, func() (command.Appended, error)) (command.Appended, error) {
	return command.Appended{}, errCut
}

func lostAfter(_ context.Context, do func() (command.Appended, error)) (command.Appended, error) {
	if _, err := do(); err != nil {
		return command.Appended{}, err
	}
	return command.Appended{}, errCut
}

// The same for an append that is not answered at all.
func silentBefore(ctx context.Context, _ func() (command.Appended, error)) (command.Appended, error) {
	<-ctx.Done()
	return command.Appended{}, ctx.Err()
}

func silentAfter(ctx context.Context, do func() (command.Appended, error)) (command.Appended, error) {
	if _, err := do(); err != nil {
		return command.Appended{}, err
	}
	return silentBefore(ctx, do)
}

// fine is no fault.
func fine(_ context.Context, do func() (command.Appended, error)) (command.Appended, error) {
	return do()
}

// failing says for certain that nothing was written.
func failing(err error) fault {
	return func(context.Context, func() (command.Appended, error)) (command.Appended, error) {
		return command.Appended{}, err
	}
}

// once waits for the signal.
func once(signal <-chan struct{}) fault {
	return func(_ context.Context, do func() (command.Appended, error)) (command.Appended, error) {
		<-signal
		return do()
	}
}

// after lets something happen first.
func after(happens func()) fault {
	return func(_ context.Context, do func() (command.Appended, error)) (command.Appended, error) {
		happens()
		return do()
	}
}
