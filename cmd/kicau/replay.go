package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"time"

	"kicau/adapters/command"
	"kicau/adapters/sqlstore"
	"kicau/domain"
	"kicau/domain/event"
	"kicau/projections"
)

type replayCmd struct {
	Views  []string `arg:"" optional:"" name:"view" help:"timeline, orders, journal, balances, deadlines, payouts. Default: all."`
	Verify bool     `help:"Rebuild beside the live read models and compare, byte by byte; change nothing."`
}

func (replayCmd) Help() string {
	return `A replay folds the log and nothing else: no payment is touched.

Examples:
  kicau replay --verify
  kicau replay orders`
}

// replayed is what a replay prints.
type replayed struct {
	Events  uint64         `json:"events"`
	Views   []replayedView `json:"views"`
	Seconds float64        `json:"seconds"`
	Same    *bool          `json:"identical,omitempty"` // with --verify
}

type replayedView struct {
	View        string   `json:"view"`
	Rows        int      `json:"rows"`
	Differences []string `json:"differences,omitempty"`
}

func (c *replayCmd) Run(ctx context.Context, g *Global) error {
	chosen, err := chooseViews(c.Views)
	if err != nil {
		return err
	}
	d, err := g.open(ctx, need{engine: c.Verify})
	if err != nil {
		return err
	}
	defer d.done(g)
	if c.Verify {
		return c.verify(ctx, g, d, chosen)
	}
	if d.served != nil {
		return fmt.Errorf("the read models in %s are being kept by process %d: stop it to rebuild them, or use --verify", g.Data, d.served.PID)
	}
	return c.rebuild(ctx, g, d, chosen)
}

func chooseViews(names []string) ([]projections.View, error) {
	if len(names) == 0 {
		return views(), nil
	}
	var chosen []projections.View
	for _, n := range names {
		found := false
		for _, v := range views() {
			if table := v.Schema().Table; table == n || table[:len(table)-len("_v1")] == n {
				chosen, found = append(chosen, v), true
			}
		}
		if !found {
			return nil, usageError{fmt.Errorf("there is no view %q: choose of timeline, orders, journal, balances, deadlines, payouts", n)}
		}
	}
	return chosen, nil
}

// rebuild beside the live tables, then put the new ones in their place in one
// step each: readers see the old rows until then.
func (c *replayCmd) rebuild(ctx context.Context, g *Global, d *desk, chosen []projections.View) error {
	start := time.Now()
	var building []projections.View
	for _, v := range chosen {
		building = append(building, projections.Rename(v, v.Schema().Table+"_rebuilt"))
	}
	events, err := rebuildAll(ctx, g, d, d.store, building)
	if err != nil {
		return err
	}
	out := replayed{Events: events, Seconds: time.Since(start).Seconds()}
	for i, v := range chosen {
		if err := d.store.Promote(ctx, building[i].Schema().Table, v.Schema().Table); err != nil {
			return err
		}
		rows, err := countRows(d.store.Dump(ctx, v.Schema().Table))
		if err != nil {
			return err
		}
		out.Views = append(out.Views, replayedView{View: v.Schema().Table, Rows: rows})
	}
	out.Seconds = time.Since(start).Seconds()
	return g.say(out, "rebuilt %d views from %d events in %.1f s (%.0f events a second)", len(chosen), events, out.Seconds, float64(events)/out.Seconds)
}

// verify rebuilds into a store of its own and compares it with the live one.
func (c *replayCmd) verify(ctx context.Context, g *Global, d *desk, chosen []projections.View) error {
	start := time.Now()
	if err := d.caughtUp(ctx); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(g.Data, "replay-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	scratch, err := sqlstore.Open(ctx, sqlstore.Options{Path: filepath.Join(dir, "views.sqlite"), Logger: g.logger()})
	if err != nil {
		return err
	}
	defer scratch.Close()
	events, err := rebuildAll(ctx, g, d, scratch, chosen)
	if err != nil {
		return err
	}
	same := true
	out := replayed{Events: events, Same: &same}
	for _, v := range chosen {
		table := v.Schema().Table
		rows, diffs, err := d.compare(ctx, v, scratch)
		if err != nil {
			return err
		}
		rv := replayedView{View: table, Rows: rows}
		for _, x := range diffs {
			same = false
			rv.Differences = append(rv.Differences, fmt.Sprintf("%s: live %s, rebuilt %s", x.Key, x.A, x.B))
		}
		out.Views = append(out.Views, rv)
	}
	out.Seconds = time.Since(start).Seconds()
	if err := g.say(out, "%s", verifyText(out)); err != nil {
		return err
	}
	if !same {
		return errors.New("live and rebuilt read models differ: rebuild them with `kicau replay`, and keep the output above for whoever looks for the cause")
	}
	return nil
}

// compareTries bounds how often a comparison is made anew because the live view
// moved meanwhile.
const compareTries = 100

// compare a live view with the rebuilt one at the same place of the log. A
// server may be moving the live one on: then the rebuilt one is folded on to
// where it is, and only a comparison during which it stood still counts.
func (d *desk) compare(ctx context.Context, v projections.View, scratch projections.Store) (rows int, diffs []projections.Difference, err error) {
	table := v.Schema().Table
	for range compareTries {
		live, err := d.store.Checkpoint(ctx, table)
		if err != nil {
			return 0, nil, err
		}
		if err := d.foldOn(ctx, v, scratch, live.Position); err != nil {
			return 0, nil, err
		}
		rebuilt, err := scratch.Checkpoint(ctx, table)
		if err != nil {
			return 0, nil, err
		}
		if rebuilt.Position.Compare(live.Position) > 0 {
			time.Sleep(20 * time.Millisecond) // the live one is still on its way there
			continue
		}
		rows, diffs, err := projections.Compare(ctx, d.store, table, scratch, table)
		if err != nil {
			return 0, nil, err
		}
		if after, err := d.store.Checkpoint(ctx, table); err != nil || after.Position == live.Position {
			return rows, diffs, err
		}
	}
	return 0, nil, fmt.Errorf("view %s never stood still for long enough to be compared: try again when the server has less to do", table)
}

// foldOn folds the events up to a position into a rebuilt view.
func (d *desk) foldOn(ctx context.Context, v projections.View, store projections.Store, to event.Position) error {
	r, err := projections.NewRunner(ctx, v, store, domain.Events, d.logID)
	if err != nil {
		return err
	}
	at := r.Checkpoint().Position
	if at.Compare(to) >= 0 {
		return nil
	}
	page := &projections.Page{Last: to}
	for rec, err := range d.log.ReadAll(ctx, command.Forwards, command.ReadFrom{After: at}, viewFilter, 0) {
		if err != nil {
			return err
		}
		if rec.Position.Compare(to) > 0 {
			break
		}
		if page.Events = append(page.Events, rec); len(page.Events) == projections.RebuildPage {
			page.Last = rec.Position
			if err := r.Apply(ctx, page); err != nil {
				return err
			}
			page = &projections.Page{Last: to}
		}
	}
	return r.Apply(ctx, page)
}

func verifyText(r replayed) string {
	text := fmt.Sprintf("%d events replayed in %.1f s", r.Events, r.Seconds)
	for _, v := range r.Views {
		state := "identical"
		if len(v.Differences) > 0 {
			state = fmt.Sprintf("%d differences or more, the first: %s", len(v.Differences), v.Differences[0])
		}
		text += fmt.Sprintf("\n  %-16s %8d rows  %s", v.View, v.Rows, state)
	}
	return text
}

// rebuildAll folds the whole log into fresh tables of the views.
func rebuildAll(ctx context.Context, g *Global, d *desk, store projections.Store, vs []projections.View) (uint64, error) {
	total := uint64(0)
	bar := g.progress(-1, "replaying", "events", false)
	defer bar.done()
	all := d.log.ReadAll(ctx, command.Forwards, command.ReadFrom{}, viewFilter, 0)
	err := projections.Rebuild(ctx, store, domain.Events, d.logID, iter.Seq2[event.Recorded, error](all), vs, func(n uint64) {
		total = n
		bar.set(int64(n))
	})
	return total, err
}

func countRows(rows iter.Seq2[projections.RowData, error]) (n int, err error) {
	for _, err := range rows {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
