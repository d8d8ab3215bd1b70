package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/refusal"
	"kicau/domain/shop"
)

// Importer turns input into items for [Run].
type Importer struct {
	log      *countedLog
	commands *command.Commands
	repeats  *command.Commands // that can write nothing, see past.go
	vault    command.Vault

	// For the goroutine that reads: orders that this input places, with the
	// streams of the offers whose stock they may move, and the time it is at.
	orders map[uuid.UUID][]string
	now    *instant

	mu sync.Mutex
	// free offers have neither pool nor limit, so they keep no book of their
	// orders. The log said so: an offer's terms never change.
	free  map[uuid.UUID]bool
	marks map[string]mark // see past.go
	head  *event.Position // of the log when the import began
}

// Bounds of what is remembered. What is forgotten is looked up again, or looked
// after with more care.
const (
	MaxRemembered = 1_000_000 // orders, and offers
	MaxMarks      = 100_000
)

// actor of the events of an import.
const actor = "import"

// NewImporter over the log of the use cases.
func NewImporter(c *command.Commands, v command.Vault) *Importer {
	log := &countedLog{Log: c.Log}
	return &Importer{
		log: log, commands: command.New(log, domain.Events), repeats: command.New(pastLog{c.Log}, domain.Events), vault: v,
		orders: map[uuid.UUID][]string{}, now: &instant{}, free: map[uuid.UUID]bool{}, marks: map[string]mark{},
	}
}

func remember[K comparable, V any](m map[K]V, max int, k K, v V) {
	if len(m) >= max {
		clear(m)
	}
	m[k] = v
}

// countedLog counts the events that are appended. A use case appends to several
// streams and answers for one of them.
type countedLog struct {
	command.Log
	appended atomic.Int64 // since somebody took them
}

func (l *countedLog) Append(ctx context.Context, stream string, expect command.Expect, events []event.Proposed) (command.Appended, error) {
	at, err := l.Log.Append(ctx, stream, expect, events)
	if err == nil {
		l.appended.Add(int64(len(events)))
	}
	return at, err
}

// runs makes run an item's. The events that it reports may be another's, whose
// item is not through yet; each is reported once, and before the last item ends.
func (im *Importer) runs(run func(ctx context.Context) error) func(ctx context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		err := run(ctx)
		switch {
		case errors.Is(err, errPast):
			err = ErrLogHasLater
		case errors.Is(err, command.ErrTooLarge):
			err = ErrEventsTooLarge
		}
		return int(im.log.appended.Swap(0)), err
	}
}

// id of a name: the name itself when it is a UUID.
func id(kind, name string) uuid.UUID {
	if u, err := uuid.Parse(name); err == nil {
		return u
	}
	return event.NameID(kind, name)
}

func named(field, name string) error {
	if name == "" {
		return ErrNameless.In(field)
	}
	return nil
}

// asked is a line on its way: who commands, and its place among the lines of
// its time.
type asked struct {
	command.By
	now *instant
	nth int
}

// instant is what the input asks for at one time.
type instant struct {
	at    time.Time
	names map[uuid.UUID]int // how often the name of a command came

	mu    sync.Mutex
	lines map[uuid.UUID]int // commands, numbered as they stand in the input
}

// ask numbers a line; only the goroutine that reads calls it. The command's id
// follows from what the line is about. When that is said again at the same time,
// it is another command: a price may come back, and what was refused may be done.
func (im *Importer) ask(l Line, name string) asked {
	if !l.At.Equal(im.now.at) {
		im.now = &instant{at: l.At, names: map[uuid.UUID]int{}, lines: map[uuid.UUID]int{}}
	}
	id := event.NameID("command:"+l.Do, name)
	if im.now.names[id]++; im.now.names[id] > 1 {
		id = event.NameID("command:"+l.Do, fmt.Sprintf("%s again %d", name, im.now.names[id]))
	}
	im.now.mu.Lock()
	defer im.now.mu.Unlock()
	a := asked{By: command.By{Command: id, Actor: actor, At: l.At, Recurring: true}, now: im.now, nth: len(im.now.lines)}
	im.now.lines[id] = a.nth
	return a
}

func (im *Importer) isFree(offerID uuid.UUID) bool {
	im.mu.Lock()
	defer im.mu.Unlock()
	return im.free[offerID]
}

// terms of an offer that exists, as the log has them.
func (im *Importer) terms(ctx context.Context, offerID uuid.UUID) (terms offer.Tweeted, err error) {
	err = im.commands.Offers.Look(ctx, offer.Stream(offerID), func(s offer.State) error {
		if !s.Exists {
			return offer.ErrNotTweeted.About("offer %s", offerID)
		}
		terms = s.Terms
		if !s.Tracked() {
			im.mu.Lock()
			defer im.mu.Unlock()
			remember(im.free, MaxRemembered, offerID, true)
		}
		return nil
	})
	return terms, err
}

func (im *Importer) currencyOf(ctx context.Context, shopID uuid.UUID) (money.Currency, error) {
	var c money.Currency
	err := im.commands.Shops.Look(ctx, shop.Stream(shopID), func(s shop.State) error {
		if !s.Exists {
			return shop.ErrNotOnboarded.About("shop %s", shopID)
		}
		c = s.Terms.Currency
		return nil
	})
	return c, err
}

// amount parses n in the currency of a shop.
func (im *Importer) amount(ctx context.Context, shopID uuid.UUID, field string, n json.Number) (money.Minor, error) {
	c, err := im.currencyOf(ctx, shopID)
	if err != nil {
		return 0, err
	}
	return amountIn(c, field, n)
}

func amountIn(c money.Currency, field string, n json.Number) (money.Minor, error) {
	if n == "" {
		return 0, money.ErrNotANumber.In(field).About("amount %q", "")
	}
	m, err := money.Parse(n.String(), c)
	if no := refusal.From(err); no != nil {
		err = no.In(field)
	}
	return m, err
}
