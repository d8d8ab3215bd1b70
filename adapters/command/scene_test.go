package command_test

import (
	"context"
	"errors"
	"iter"
	"log/slog"
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
)

// scene is a log on disk, a wire to it, and Kicau's use cases at the other end.
// It plays in a bubble of its own, so that waiting takes no time.
type scene struct {
	*testing.T
	log   command.Log // as it is, without the wire
	wire  *wire
	kicau *command.Commands
}

func play(t *testing.T, story func(s *scene)) {
	t.Helper()
	t.Parallel()
	bubble(t, story)
}

func bubble(t *testing.T, story func(s *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n, err := node.Open(node.Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		}()
		s := &scene{T: t, log: n.Log(), wire: &wire{Log: n.Log()}}
		s.kicau = s.process()
		story(s)
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

// mugs is the offer that most stories are about.
var mugs = event.NameID("offer", "mugs")

// tweet the mugs, so many of them.
func (s *scene) tweet(stock int64) {
	s.Helper()
	cmd := offer.Tweet{At: time.Now(), ShopCurrency: "GBP", Terms: offer.Tweeted{
		Shop: event.NameID("shop", "potter"), Tweet: "Mugs!", Title: "Mug", Currency: "GBP", Price: 1000, Stock: &stock}}
	_, err := s.kicau.Offer(s.Context(), by(0), mugs, cmd)
	s.ok(err)
}

// hold one mug for the n-th order, through one of the processes.
func hold(ctx context.Context, kicau *command.Commands, n int) error {
	_, err := kicau.Offer(ctx, by(n), mugs, offer.HoldStock{At: time.Now(), Order: id(n), Buyer: id(n), Quantity: 1, ExpiresAt: time.Now().Add(time.Hour)})
	return err
}

// look at what is in the log of the mugs, past the wire.
func (s *scene) look() offer.State {
	s.Helper()
	state := offer.Decider.Initial()
	for _, e := range s.events(offer.Stream(mugs)) {
		state = offer.Decider.Evolve(state, e.Body)
	}
	return state
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
