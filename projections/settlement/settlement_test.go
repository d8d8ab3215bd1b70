package settlement_test

import (
	"context"
	"encoding/json"
	"iter"
	"maps"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"kicau/adapters/sqlstore"
	"kicau/domain"
	"kicau/domain/event"
	"kicau/domain/ledger"
	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/domain/shop"
	"kicau/projections"
	"kicau/projections/settlement"
)

var (
	noon   = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	potter = uuid.UUID{0: 1}
	weaver = uuid.UUID{0: 2}
)

// What happens to the money of an order of 46.20, of which 3.35 are ours.
var (
	authorised = order.Authorised{Amount: 4620, Currency: "GBP"}
	voided     = order.Voided{Released: 4620, Currency: "GBP"}
	captured   = order.Captured{Shop: potter, Processor: order.Stripe, Currency: "GBP", Amount: 4620, Authorised: 4620, ProcessorFee: 95,
		Allocation: order.Allocation{Goods: 3500, Shipping: 350, Tax: 770, Fee: 335}}
	refunded = order.Refunded{Shop: potter, Processor: order.Stripe, Currency: "GBP", Amount: 1320, Taken: order.Taken{FromPayable: 904, FromReceivable: 100},
		Allocation: order.Allocation{Goods: 1000, Shipping: 100, Tax: 220, Fee: 96}}
	settled  = order.Settled{Shop: potter, Currency: "GBP", Amount: 2511, Payable: 2611, Netted: 100}
	adjusted = shop.Adjusted{Shop: weaver, Currency: "EUR", Kind: "bank charge", Amount: -250}
)

// entries are events as the log gives them, one after the other.
func entries(events ...event.Data) []event.Event {
	var all []event.Event
	for i, d := range events {
		all = append(all, event.Event{
			Recorded: event.Recorded{ID: uuid.UUID{15: byte(i + 1)}, Type: d.EventType(), Stream: "order-1", Position: event.At(uint64(i+1) * 7)},
			Meta:     event.Meta{OccurredAt: noon}, Body: d})
	}
	return all
}

func fold[Row any](p projections.Projection[Row], events []event.Event) map[string]Row {
	rows := map[string]Row{}
	for _, e := range events {
		for _, k := range p.Keys(e) {
			rows[k] = p.Fold(rows[k], k, e)
		}
	}
	return rows
}

// The books as one could show them to an accountant: debits less credits.
func TestBalances(t *testing.T) {
	const noShop = ""
	type account struct {
		name ledger.Account
		shop string
	}
	p := potter.String()
	for name, c := range map[string]struct {
		events []event.Data
		want   map[account]money.Minor
	}{
		"authorised": {[]event.Data{authorised}, map[account]money.Minor{
			{ledger.MemoAuthorised, noShop}: 4620, {ledger.MemoAuthorisedBack, noShop}: -4620}},
		"given up": {[]event.Data{authorised, voided}, map[account]money.Minor{
			{ledger.MemoAuthorised, noShop}: 0, {ledger.MemoAuthorisedBack, noShop}: 0}},
		"captured": {[]event.Data{authorised, captured}, map[account]money.Minor{
			{ledger.MemoAuthorised, noShop}: 0, {ledger.MemoAuthorisedBack, noShop}: 0,
			{ledger.StripeBalance, p}: 4525, {ledger.ProcessorFees, p}: 95,
			{ledger.ShopPayable, p}: -3515, {ledger.PlatformFees, p}: -335, {ledger.TaxPayable, p}: -770}},
		"refunded and settled": {[]event.Data{authorised, captured, refunded, settled}, map[account]money.Minor{
			{ledger.MemoAuthorised, noShop}: 0, {ledger.MemoAuthorisedBack, noShop}: 0,
			{ledger.StripeBalance, p}: 694, {ledger.ProcessorFees, p}: 95, // 45.25 less 13.20 less 25.11
			{ledger.ShopPayable, p}: 0, {ledger.ShopReceivable, p}: 0,
			{ledger.PlatformFees, p}: -335, {ledger.FeesRefunded, p}: 96, {ledger.TaxPayable, p}: -550}},
		"adjusted": {[]event.Data{adjusted}, map[account]money.Minor{
			{ledger.Adjustments, weaver.String()}: -250, {ledger.ShopPayable, weaver.String()}: 250}},
		"nothing to post": {[]event.Data{order.Voided{Currency: "GBP"}, order.Authorised{Currency: "GBP"}}, map[account]money.Minor{}},
	} {
		t.Run(name, func(t *testing.T) {
			got := map[account]money.Minor{}
			for key, b := range fold(settlement.Balances, entries(c.events...)) {
				got[account{b.Account, b.Shop}] = b.Balance
				if b.Debits-b.Credits != b.Balance || b.Debits < 0 || b.Credits < 0 {
					t.Errorf("%s: %d debits less %d credits are not %d", key, b.Debits, b.Credits, b.Balance)
				}
				if want := string(b.Currency) + "|" + string(b.Account) + "|" + b.Shop; key != want {
					t.Errorf("the key of %s is %q", want, key)
				}
			}
			if !maps.Equal(got, c.want) {
				t.Errorf("other balances than expected (-want +got):\n%s", cmp.Diff(c.want, got, cmp.AllowUnexported(account{})))
			}
		})
	}
}

func TestABalanceCountsItsEntries(t *testing.T) {
	b := fold(settlement.Balances, entries(captured, captured, refunded))["GBP|1020 stripe_balance|"+potter.String()]
	want := settlement.Balance{Account: ledger.StripeBalance, Shop: potter.String(), Currency: "GBP", Debits: 9050, Credits: 1320, Balance: 7730, Entries: 3}
	if b != want {
		t.Errorf("got %+v, want %+v", b, want)
	}
}

// The journal is the ledger's entries, in the order of the log.
func TestJournal(t *testing.T) {
	events := entries(authorised, order.Voided{Currency: "GBP"}, captured, refunded, settled, adjusted)
	rows := fold(settlement.Journal, events)
	if len(rows) != 5 {
		t.Fatalf("%d entries, want 5: nothing was given up, so nothing is posted", len(rows))
	}
	last := ""
	for _, e := range events {
		keys := settlement.Journal.Keys(e)
		if len(keys) == 0 {
			continue
		}
		if keys[0] <= last {
			t.Errorf("entry %q stands after %q", keys[0], last)
		}
		last = keys[0]
		posted, _ := ledger.Post(e.Body)
		want := settlement.Entry{Event: e.ID.String(), Type: e.Type, Stream: "order-1", At: "2026-11-23T12:00:00.000000000Z",
			Currency: posted.Currency, Text: posted.Text, Postings: posted.Postings}
		if d := cmp.Diff(want, rows[keys[0]]); d != "" {
			t.Errorf("other entry than the ledger's (-ledger +journal):\n%s", d)
		}
	}
}

// An event that is out of balance cannot be folded: it is parked.
func TestOutOfBalance(t *testing.T) {
	wrong := captured
	wrong.Amount++
	for name, keys := range map[string]func(event.Event) []string{"journal": settlement.Journal.Keys, "balances": settlement.Balances.Keys} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("it was folded")
				}
			}()
			keys(entries(wrong)[0])
		})
	}
}

func TestRead(t *testing.T) {
	store, err := sqlstore.Open(t.Context(), sqlstore.Options{Path: filepath.Join(t.TempDir(), "views.db")})
	ok(t, err)
	defer func() { ok(t, store.Close()) }()
	log := uuid.New()
	r, err := projections.NewRunner(t.Context(), settlement.Balances.View(), store, domain.Events, log)
	ok(t, err)

	books, err := settlement.Read(t.Context(), store)
	ok(t, err)
	if data, err := json.Marshal(books); err != nil || string(data) != `{"trialBalance":{},"accounts":[]}` {
		t.Errorf("before the first event the books are %s, %v", data, err)
	}
	var page projections.Page
	for i, d := range []event.Data{authorised, captured, refunded, adjusted, order.Authorised{Amount: 100, Currency: "JPY"}} {
		p, err := domain.Events.Encode(event.Meta{Command: uuid.New(), OccurredAt: noon}, 0, d)
		ok(t, err)
		page.Last = event.At(uint64(i + 1))
		page.Events = append(page.Events, event.Recorded{ID: p.ID, Type: p.Type, Stream: "order-1", Position: page.Last, Data: p.Data, Metadata: p.Metadata})
	}
	ok(t, r.Apply(t.Context(), &page))
	books, err = settlement.Read(t.Context(), store)
	ok(t, err)
	if want := map[money.Currency]money.Minor{"GBP": 0, "EUR": 0, "JPY": 0}; !maps.Equal(books.TrialBalance, want) {
		t.Errorf("the trial balance is %v, want %v", books.TrialBalance, want)
	}
	if len(books.Accounts) != 13 {
		t.Errorf("%d accounts: %+v", len(books.Accounts), books.Accounts)
	}

	at := r.Checkpoint()
	ok(t, store.Commit(t.Context(), projections.Batch{Table: r.Name(), From: at, To: at, Rows: []projections.RowData{{Key: "GBP|?|", Data: []byte(`[]`)}}}))
	if _, err := settlement.Read(t.Context(), store); err == nil {
		t.Error("a row that is no balance was read")
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := settlement.Read(ctx, store); err == nil {
		t.Error("read although it was called off")
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// busy is a store in which something is sold while it is read.
type busy struct {
	projections.Store
	sells          func(time.Time)
	queries, dumps int
}

func (b *busy) Query(ctx context.Context, table string, q projections.Query) (projections.Result, error) {
	if b.queries++; b.queries == 2 {
		b.sells(noon)
	}
	return b.Store.Query(ctx, table, q)
}

func (b *busy) Dump(ctx context.Context, table string) iter.Seq2[projections.RowData, error] {
	if b.dumps++; b.dumps == 2 {
		b.sells(noon)
	}
	return b.Store.Dump(ctx, table)
}

// books are kept in a store; sells records a sale at a time, in the read models that
// are named.
func books(t *testing.T) (store projections.Store, sells func(at time.Time, views ...string)) {
	db, err := sqlstore.Open(t.Context(), sqlstore.Options{Path: filepath.Join(t.TempDir(), "views.db")})
	ok(t, err)
	t.Cleanup(func() { ok(t, db.Close()) })
	runners, log, n := map[string]*projections.Runner{}, uuid.New(), uint64(0)
	for name, v := range map[string]projections.View{journal: settlement.Journal.View(), balances: settlement.Balances.View()} {
		runners[name], err = projections.NewRunner(t.Context(), v, db, domain.Events, log)
		ok(t, err)
	}
	return db, func(at time.Time, views ...string) {
		n++
		p, err := domain.Events.Encode(event.Meta{Command: uuid.New(), OccurredAt: at}, 0, captured)
		ok(t, err)
		rec := event.Recorded{ID: p.ID, Type: p.Type, Stream: "order-1", Position: event.At(n), Data: p.Data, Metadata: p.Metadata}
		for _, v := range views {
			ok(t, runners[v].Apply(t.Context(), &projections.Page{Last: rec.Position, Events: []event.Recorded{rec}}))
		}
	}
}

var journal, balances = settlement.Journal.Name, settlement.Balances.Name

// A statement is compared with the balances, which another read model keeps. A shop
// that sells meanwhile, and an entry beyond the period, are no defect of the books.
func TestAStatementWhileTheShopSells(t *testing.T) {
	store, sells := books(t)
	sells(noon, journal, balances)
	b := &busy{Store: store, sells: func(at time.Time) { sells(at, journal, balances) }}
	read := func() {
		t.Helper()
		s, tied, err := settlement.TiedStatement(t.Context(), b, potter, "GBP", noon.AddDate(0, 0, -1), noon.AddDate(0, 0, 1))
		ok(t, err)
		if tied != nil || s.Sales != 3 {
			t.Errorf("%d sales: %v", s.Sales, tied)
		}
	}
	read()
	if b.queries < 2 || b.dumps < 2 {
		t.Fatal("nothing was sold meanwhile")
	}
	sells(noon.AddDate(1, 0, 0), journal, balances)
	read()
}

// What the balances have and the journal has not is a defect, and seen.
func TestAStatementThatDoesNotTie(t *testing.T) {
	store, sells := books(t)
	sells(noon, balances)
	_, tied, err := settlement.TiedStatement(t.Context(), store, potter, "GBP", noon.AddDate(0, 0, -1), noon.AddDate(0, 0, 1))
	ok(t, err)
	if tied == nil {
		t.Error("a balance that no entry explains ties")
	}
}
