package web

import (
	"context"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/event"
	"kicau/domain/order"
	"kicau/projections"
	orderview "kicau/projections/order"
)

// Names of the views, for Options.Wait.
const (
	ordersView = "orders"
)

// Bounds of waiting for an order to move.
const (
	// MaxMoveWait is how long an answer waits for what happens next to an order.
	MaxMoveWait = 5 * time.Second
	// MaxWatching answers wait like that at a time; others say what is so now,
	// and the page looks again by itself.
	MaxWatching = 256
	// firstLook and longestLook bound the pause between two looks, doubled.
	firstLook   = 10 * time.Millisecond
	longestLook = 320 * time.Millisecond
)

// orderID follows from what makes a purchase one purchase, so that sending it
// again asks for the same order.
func orderID(key string) uuid.UUID { return event.NameID("order", key) }

// buy places an order, and waits a little for what the processor makes of it.
// The order's id is the command's, too: bought again it is the same order, told
// as it is by then, and repeated.
func (s *Server) buy(ctx context.Context, p command.Purchase) (row orderview.Row, repeated bool, err error) {
	res, err := s.place(ctx, p)
	if err != nil {
		return orderview.Row{}, false, err
	}
	// Committed: the order stands. From here on it is only a matter of what can
	// be said of it already.
	row, found, err := s.moved(ctx, p.Order, res.Position, orderview.Placed)
	if err != nil || !found {
		s.o.Logger.Warn("web: an order was placed but cannot be shown yet", "order", p.Order, "error", err)
		row = orderview.Row{Order: p.Order.String(), Status: orderview.Placed}
	}
	return row, res.Repeated, nil
}

func (s *Server) place(ctx context.Context, p command.Purchase) (command.Result, error) {
	done, err := s.turns.take(ctx, p.Order)
	if err != nil {
		return command.Result{}, err
	}
	defer done()
	by := command.By{Command: p.Order, Actor: "buyer", At: s.o.Now()}
	return s.o.Commands.Buy(ctx, s.o.Vault, by, p)
}

// moved waits, within bounds, until the view of orders has come to p and the
// order is no longer as it was. It tells what is so then.
func (s *Server) moved(ctx context.Context, id uuid.UUID, p event.Position, was orderview.Status) (orderview.Row, bool, error) {
	select {
	case s.watching <- struct{}{}:
		defer func() { <-s.watching }()
	default:
		return s.order(ctx, id)
	}
	waiting, cancel := context.WithTimeout(ctx, MaxMoveWait)
	defer cancel()
	if s.o.Wait(waiting, ordersView, p) != nil {
		return s.order(ctx, id) // the view is behind; s.order knows a way round
	}
	for pause := firstLook; ; pause = min(2*pause, longestLook) {
		row, found, err := s.order(ctx, id)
		if err != nil || !found || row.Status != was {
			return row, found, err
		}
		select {
		case <-time.After(pause):
		case <-waiting.Done():
			return row, found, nil
		}
	}
}

// order is what the view of orders has of an order. Of one that the view has not
// come to yet it is what was ordered, as the order's own stream has it.
func (s *Server) order(ctx context.Context, id uuid.UUID) (orderview.Row, bool, error) {
	row, found, err := projections.Get(ctx, s.o.Store, orderview.Projection, id.String())
	if err != nil || found {
		return row, found, err
	}
	err = s.o.Commands.Orders.Look(ctx, order.Stream(id), func(st order.State) error {
		if st.Standing == order.None || st.Standing == order.Forgotten {
			return nil
		}
		p := st.Placed
		found = true
		row = orderview.Row{Order: id.String(), Status: orderview.Placed, Currency: p.Currency, Total: p.Total(),
			Goods: p.Goods, Shipping: p.Shipping, Tax: p.Tax}
		for _, l := range p.Lines {
			row.Lines = append(row.Lines, orderview.Line{No: l.No, Offer: l.Offer.String(), Title: l.Title, Quantity: l.Quantity, UnitPrice: l.UnitPrice})
		}
		return nil
	})
	return row, found, err
}

// payURL is the processor's page for an order whose buyer has to act there.
func (s *Server) payURL(ctx context.Context, site string, row orderview.Row) (string, error) {
	return s.o.Payments.PayURL(ctx, row.Intent, site+"/orders/"+row.Order+"/return")
}

// lookAt has the processor asked what became of the buyer's visit there, and
// tells what is so then. It changes nothing but what the processor says anyway,
// so it does not matter who asks.
func (s *Server) lookAt(ctx context.Context, id uuid.UUID, row orderview.Row) (orderview.Row, error) {
	select {
	case s.noticing <- struct{}{}:
		defer func() { <-s.noticing }()
	default:
		return row, errOverloaded
	}
	if err := s.o.Notice(ctx, row.Intent, "", s.o.NewID()); err != nil {
		return row, err
	}
	awaiting := true
	err := s.o.Commands.Orders.Look(ctx, order.Stream(id), func(st order.State) error {
		awaiting = st.Payment.Awaiting != ""
		return nil
	})
	if err != nil || awaiting {
		return row, err
	}
	row, _, err = s.moved(ctx, id, event.Position{}, row.Status)
	return row, err
}
