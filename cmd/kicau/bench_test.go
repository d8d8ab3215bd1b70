package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"kicau/adapters/command"
	"kicau/adapters/history"
	"kicau/adapters/node"
	"kicau/adapters/sqlstore"
	"kicau/adapters/vault"
	"kicau/domain"
	"kicau/domain/event"
	"kicau/projections"
	"kicau/projections/deadline"
	orders "kicau/projections/order"
	"kicau/projections/payout"
	"kicau/projections/settlement"
	"kicau/projections/timeline"
)

// The log that the rebuild benchmarks fold: orders of one to five lines, placed
// and shipped, every fourth refunded.
const (
	benchOrders = 10_000
	benchOffers = 500
)

func benchLog(b *testing.B) command.Log {
	b.Helper()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	n, err := node.Open(node.Options{Dir: filepath.Join(b.TempDir(), "events"), Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { n.Close() })
	v, err := vault.Open(filepath.Join(b.TempDir(), "vault"))
	if err != nil {
		b.Fatal(err)
	}
	im := history.NewImporter(command.New(n.Log(), domain.Events), v)
	at := time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC)
	do := func(l history.Line) {
		l.At = at
		if _, err := im.Item(l).Run(b.Context()); err != nil {
			b.Error(err)
		}
	}
	do(history.Line{Do: "onboard-shop", Shop: "s", Name: "Shop", Currency: "GBP", FeeBasisPoints: 500})
	for i := range benchOffers {
		do(history.Line{Do: "tweet-offer", Shop: "s", Offer: fmt.Sprint("o", i), Title: fmt.Sprint("Thing number ", i), Text: "A thing that one wants", Price: "3.50"})
	}
	var g errgroup.Group
	g.SetLimit(history.AtOnce)
	for i := range benchOrders {
		name := fmt.Sprint("r", i)
		place := history.Line{Do: "place-order", Order: name, Buyer: fmt.Sprint("b", i%1000)}
		for l := range 1 + i%5 {
			place.Lines = append(place.Lines, history.OrderLine{Offer: fmt.Sprint("o", (i*7+l*13)%benchOffers), Quantity: int64(1 + l)})
		}
		items := []history.Item{im.Item(place), im.Item(history.Line{At: at, Do: "ship-order", Order: name})}
		if i%4 == 0 {
			items = append(items, im.Item(history.Line{At: at, Do: "refund-order", Order: name, Refund: name}))
		}
		g.Go(func() error {
			for _, item := range items {
				if _, err := item.Run(b.Context()); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	return n.Log()
}

// BenchmarkRebuild folds a log into all read models, as `kicau replay` does,
// and beside it BenchmarkRebuild/by_hand does the same with a loop that knows
// nothing but these six views: no runner, no checkpoints, no bounds.
func BenchmarkRebuild(b *testing.B) {
	log := benchLog(b)
	b.Run("runner", func(b *testing.B) {
		events := 0
		for b.Loop() {
			events += rebuildByRunner(b, log)
		}
		b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
	})
	b.Run("by_hand", func(b *testing.B) {
		events := 0
		for b.Loop() {
			events += rebuildByHand(b, log)
		}
		b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
	})
}

func rebuildByRunner(b *testing.B, log command.Log) (events int) {
	store, err := sqlstore.Open(b.Context(), sqlstore.Options{Path: filepath.Join(b.TempDir(), "views.sqlite")})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	all := log.ReadAll(b.Context(), command.Forwards, command.ReadFrom{}, viewFilter, 0)
	err = projections.Rebuild(b.Context(), store, domain.Events, uuid.New(), all, views(), func(n uint64) { events = int(n) })
	if err != nil {
		b.Fatal(err)
	}
	return events
}

// handView is a view as one would write it down for one purpose.
type handView struct {
	name    string
	handles map[string]bool
	apply   func(e event.Event)
	flush   func(put func(key string, row any) error) error
}

func handViewOf[Row any](p projections.Projection[Row]) *handView {
	rows, dirty := map[string]Row{}, map[string]bool{}
	v := &handView{name: p.Name, handles: map[string]bool{}}
	for _, t := range p.Handles {
		v.handles[t] = true
	}
	v.apply = func(e event.Event) {
		for _, k := range p.Keys(e) {
			rows[k] = p.Fold(rows[k], k, e)
			dirty[k] = true
		}
	}
	v.flush = func(put func(string, any) error) error {
		for k := range dirty {
			if err := put(k, rows[k]); err != nil {
				return err
			}
		}
		clear(dirty)
		return nil
	}
	return v
}

func rebuildByHand(b *testing.B, log command.Log) (events int) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "hand.sqlite")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=wal_autocheckpoint(16000)&_pragma=cache_size(-65536)")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	hand := []*handView{handViewOf(timeline.Projection), handViewOf(orders.Projection), handViewOf(settlement.Journal),
		handViewOf(settlement.Balances), handViewOf(deadline.Projection), handViewOf(payout.Projection)}
	for i, v := range views() {
		must(b, db, fmt.Sprintf(`CREATE TABLE %s (key TEXT PRIMARY KEY, row TEXT)`, hand[i].name))
		for n, fields := range v.Schema().Indexes {
			cols := ""
			for _, f := range fields {
				cols += fmt.Sprintf("row ->> '$.%s', ", f)
			}
			must(b, db, fmt.Sprintf(`CREATE INDEX %s_%d ON %s (%skey)`, hand[i].name, n, hand[i].name, cols))
		}
	}
	flush := func() {
		tx, err := db.BeginTx(b.Context(), nil)
		if err != nil {
			b.Fatal(err)
		}
		for _, v := range hand {
			put, err := tx.Prepare(fmt.Sprintf(`INSERT INTO %s VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET row = excluded.row`, v.name))
			if err != nil {
				b.Fatal(err)
			}
			err = v.flush(func(key string, row any) error {
				data, err := json.Marshal(row)
				if err != nil {
					return err
				}
				_, err = put.Exec(key, string(data))
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
	}
	for rec, err := range log.ReadAll(context.Background(), command.Forwards, command.ReadFrom{}, viewFilter, 0) {
		if err != nil {
			b.Fatal(err)
		}
		e, err := domain.Events.Decode(rec)
		if err != nil {
			b.Fatal(err)
		}
		for _, v := range hand {
			if v.handles[rec.Type] {
				v.apply(e)
			}
		}
		if events++; events%projections.RebuildPage == 0 {
			flush()
		}
	}
	flush()
	return events
}

func must(b *testing.B, db *sql.DB, statement string) {
	b.Helper()
	if _, err := db.Exec(statement); err != nil {
		b.Fatal(err)
	}
}
