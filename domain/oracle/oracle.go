// Package oracle knows what must be true of the log after every event, whoever
// wrote it and whatever went wrong. It is told the events of the whole log, one
// append after the other, and says which law the newest one broke.
//
// The laws are those of the money, the stock and the payment process: see
// money.go (the buyer's money), shares.go (the shop's money and the books),
// calls.go (calls to the processor), stock.go, rest.go (what must be true when
// everything has come to rest) and agree.go (our books and the processor's).
//
// It decides nothing and repairs nothing. A simulator asks it after every step; a
// check of a log in production reads the log through it.
package oracle

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/ledger"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/payment"
	"kicau/domain/shop"
)

// Breach is a law that was broken.
type Breach struct {
	Law     string `json:"law"`
	Subject string `json:"subject"` // the stream
	Text    string `json:"text"`
}

func (b Breach) String() string { return fmt.Sprintf("%s: %s: %s", b.Law, b.Subject, b.Text) }

// Oracle of one log. It is not safe for use by many goroutines. It keeps the
// state of every order, offer and shop in memory.
type Oracle struct {
	orders   map[uuid.UUID]*watched
	sequence []uuid.UUID // orders in the order of their first event
	offers   map[uuid.UUID]*pool
	shops    map[uuid.UUID]shop.State
	keys     map[string]*payment.Effect // of calls, whosever order's, as first made; nil: not yet
	books    ledger.Balances
	breaches []Breach
}

// watched is an order and what it has done to the books.
type watched struct {
	id      uuid.UUID
	state   order.State
	next    uint64 // revision
	sub     ledger.Balances
	netted  money.Minor // debts of other orders that its releases paid
	carried money.Minor // what it left to its shop
	// releases are what its shop's stream gave up for each, oldest first.
	releases []money.Minor
	taken    int       // captures
	news     time.Time // of the newest event
}

// New oracle of an empty log.
func New() *Oracle {
	return &Oracle{orders: map[uuid.UUID]*watched{}, offers: map[uuid.UUID]*pool{}, shops: map[uuid.UUID]shop.State{},
		keys: map[string]*payment.Effect{}, books: ledger.Balances{}}
}

func (o *Oracle) breach(law, subject, format string, args ...any) {
	o.breaches = append(o.breaches, Breach{law, subject, fmt.Sprintf(format, args...)})
}

// Breaches so far, oldest first.
func (o *Oracle) Breaches() []Breach { return o.breaches }

// Order as it is now; the zero State when there is none.
func (o *Oracle) Order(id uuid.UUID) *order.State {
	if w := o.orders[id]; w != nil {
		return &w.state
	}
	return &order.State{}
}

// News is when the newest event of an order happened.
func (o *Oracle) News(id uuid.UUID) time.Time {
	if w := o.orders[id]; w != nil {
		return w.news
	}
	return time.Time{}
}

// Orders in the order of their first event.
func (o *Oracle) Orders() []uuid.UUID { return o.sequence }

// Shop as it is now.
func (o *Oracle) Shop(id uuid.UUID) shop.State { return o.shops[id] }

// Appended tells the oracle of an event that was appended.
func (o *Oracle) Appended(e event.Event) {
	defer func() {
		// A fold that cannot take an event is a law broken, not the end of who asks.
		if cause := recover(); cause != nil {
			o.breach("every event can be folded", e.Stream, "%s: %v", e.Type, cause)
		}
	}()
	if id, ok := idIn(e.Stream, order.Category); ok {
		o.order(id, e)
	} else if id, ok := idIn(e.Stream, offer.Category); ok {
		o.offer(id, e)
	} else if id, ok := idIn(e.Stream, shop.Category); ok {
		o.shop(id, e)
	}
	o.post(e)
}

func idIn(stream, category string) (uuid.UUID, bool) {
	if len(stream) < len(category)+1 || stream[:len(category)] != category || stream[len(category)] != '-' {
		return uuid.Nil, false
	}
	id, err := uuid.Parse(stream[len(category)+1:])
	return id, err == nil
}

func (o *Oracle) order(id uuid.UUID, e event.Event) {
	w := o.orders[id]
	if w == nil {
		w = &watched{id: id, sub: ledger.Balances{}}
		w.state = order.Decider.Initial()
		o.orders[id] = w
		o.sequence = append(o.sequence, id)
	}
	if e.Revision != w.next {
		o.breach("a stream has no gaps", e.Stream, "%s is at revision %d, expected %d", e.Type, e.Revision, w.next)
	}
	w.next, w.news = e.Revision+1, e.OccurredAt
	o.before(w, e) // what the event may not say in this state
	w.state = order.Decider.Evolve(w.state, e.Body)
	o.share(w, e)
	o.after(w, e) // what the state may not be
}

// at is when an event happened, by its own time or by the log's, whichever is
// earlier: a clock that is fast makes nothing right that is early.
func at(e event.Event) time.Time {
	if !e.RecordedAt.IsZero() && e.RecordedAt.Before(e.OccurredAt) {
		return e.RecordedAt
	}
	return e.OccurredAt
}
