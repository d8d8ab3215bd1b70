package command_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kicau/adapters/command"
	"kicau/domain/offer"
)

// drop is a hot offer, and what happens to it all at once.
type drop struct {
	stock  int64
	asks   []ask
	faults []string // of the appends, in turn
}

// ask is one command: an order holds mugs, gives them back, or more are made.
type ask struct {
	process  int // through which of two
	order    int
	quantity int64
	kind     string
}

var faultsByName = map[string]fault{
	"none": fine, "lost": lostBefore, "lost but done": lostAfter,
	"silence": silentBefore, "silence but done": silentAfter, "read-only": failing(command.ErrReadOnly),
}

func drops(t *rapid.T) drop {
	return drop{
		stock: rapid.Int64Range(0, 20).Draw(t, "stock"),
		asks: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) ask {
			return ask{
				process:  rapid.IntRange(0, 1).Draw(t, "process"),
				order:    rapid.IntRange(1, 30).Draw(t, "order"),
				quantity: rapid.Int64Range(1, 3).Draw(t, "quantity"),
				kind:     rapid.SampledFrom([]string{"hold", "hold", "hold", "hold", "release", "restock"}).Draw(t, "kind"),
			}
		}), 1, 60).Draw(t, "asks"),
		faults: rapid.SliceOfN(rapid.SampledFrom([]string{"none", "none", "lost", "lost but done", "silence", "silence but done", "read-only"}), 0, 20).Draw(t, "faults"),
	}
}

// Whatever happens to the appends of two processes: never are more mugs held than
// there are, and what a buyer was promised is in the log, once.
func TestNoOversell(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		d := drops(rt)
		var wrong error
		bubble(t, func(_ *testing.T, s *scene) { wrong = d.play(s) })
		if wrong != nil {
			rt.Fatal(wrong)
		}
	})
}

func (d drop) play(s *scene) error {
	s.tweet(d.stock)
	processes := []*command.Commands{s.process(), s.process()}
	var faults []fault
	for _, name := range d.faults {
		faults = append(faults, faultsByName[name])
	}
	s.wire.meet(faults...)
	errs := make([]error, len(d.asks))
	var asking sync.WaitGroup
	for i, a := range d.asks {
		asking.Go(func() {
			_, errs[i] = processes[a.process].Offer(s.Context(), by(100*a.order+i), mugs, a.command())
		})
	}
	asking.Wait()

	held, maybe := map[int]int{}, map[int]bool{} // by order: how often, and whether it may be
	for i, a := range d.asks {
		maybe[a.order] = maybe[a.order] || a.kind == "hold" && (errs[i] == nil || errors.Is(errs[i], command.ErrUnknownOutcome))
	}
	state := offer.Decider.Initial()
	for _, e := range s.events(offer.Stream(mugs)) {
		state = offer.Decider.Evolve(state, e.Body)
		if state.Available < 0 {
			return fmt.Errorf("oversold: %d mugs left after revision %d", state.Available, e.Revision)
		}
		if h, ok := e.Body.(offer.StockHeld); ok {
			held[int(h.Order[15])]++
		}
	}
	for i, a := range d.asks {
		switch err := errs[i]; {
		case a.kind == "hold" && err == nil && held[a.order] != 1:
			return fmt.Errorf("order %d was promised mugs and is in the log %d times", a.order, held[a.order])
		case held[a.order] > 1:
			return fmt.Errorf("order %d is in the log %d times", a.order, held[a.order])
		case held[a.order] == 1 && !maybe[a.order]:
			return fmt.Errorf("order %d was told no and is in the log", a.order)
		case err != nil && !expected(err):
			return fmt.Errorf("order %d was told: %w", a.order, err)
		}
	}
	return nil
}

func (a ask) command() offer.Command {
	now := time.Now()
	switch a.kind {
	case "release":
		return offer.ReleaseStock{At: now, Order: id(a.order), Reason: "not wanted"}
	case "restock":
		return offer.Restock{At: now, Restock: id(a.order), Add: a.quantity}
	}
	return offer.HoldStock{At: now, Order: id(a.order), Buyer: id(a.order), Quantity: a.quantity, ExpiresAt: now.Add(time.Hour)}
}

// expected is what a buyer may be told besides yes.
func expected(err error) bool {
	for _, no := range []error{offer.ErrSoldOut, offer.ErrHoldDiffer, offer.ErrHoldOver, offer.ErrRestockDiffer,
		command.ErrBusy, command.ErrReadOnly, command.ErrUnknownOutcome} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}
