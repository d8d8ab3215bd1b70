package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/adapters/esdb"
	"kicau/adapters/node"
	"kicau/adapters/react"
	"kicau/adapters/sandbox"
	"kicau/adapters/sqlstore"
	"kicau/adapters/vault"
	"kicau/domain"
	"kicau/domain/event"
	"kicau/domain/order"
	"kicau/domain/payment"
	"kicau/projections"
)

// lockWait is how long a command waits for another that uses the directory for
// a moment.
const lockWait = 15 * time.Second

// settleTimeout bounds the wait for read models and orders to come to rest.
const settleTimeout = 60 * time.Second

// desk is what a command works with. Either it has the directory to itself,
// then it runs everything itself for as long as it lives; or `kicau serve` has
// it, then it is a guest: it writes to the log through the server and reads the
// read models that the server keeps.
type desk struct {
	log      command.Log
	groups   command.Groups
	commands *command.Commands
	vault    *vault.Vault
	store    *sqlstore.DB
	logID    uuid.UUID
	node     *node.Node   // nil when the log is elsewhere
	engine   *engine      // nil for a guest
	served   *runningFile // nil for an owner
	stderr   io.Writer    // where a long wait is told

	closers []func() error
}

// runningFile is what `kicau serve` and `kicau node` leave in their directory for
// guests. Like the directory it is for its owner only: the connection string
// may hold a password.
type runningFile struct {
	PID        int    `json:"pid"`
	Web        string `json:"web,omitempty"` // empty: it is `kicau node`
	EventStore string `json:"eventstore"`
	Sandbox    string `json:"sandbox,omitempty"` // empty: payments go to Stripe
	Saga       string `json:"saga,omitempty"`    // name of the saga's persistent subscription
}

// refuse says why nothing else can be served from a directory.
func (r *runningFile) refuse(dir string) error {
	return fmt.Errorf("directory %s is being served already by process %d at %s: stop that first, or use another --data", dir, r.PID, cmp.Or(r.Web, redacted(r.EventStore)))
}

// redacted is a connection string without its password.
func redacted(connection string) string {
	u, err := url.Parse(connection)
	if err != nil {
		return "esdb://…"
	}
	return u.Redacted()
}

func runningPath(dir string) string { return filepath.Join(dir, "serving.json") }

// need says what a command wants of its desk.
type need struct {
	// logOnly: the log is all that is used, so `kicau node` will do.
	logOnly bool
	// engine: read models are kept up to date and payments are driven.
	engine bool
	// web: an address for pages, API and webhooks; empty: none.
	web string
	// eventStore: serve the log to others at this address; empty: do not.
	eventStore string
	// store: how it is served there.
	store storeFlags
	// sandbox: address of the payment sandbox; empty: any free port.
	sandbox string
	// unkind says what goes wrong in the payment sandbox; nil: nothing.
	unkind func(*sandbox.Options)
	// anyPort: when one of these addresses is taken, use a free port.
	anyPort bool
}

// open a desk in the directory. Close it.
func (g *Global) open(ctx context.Context, n need) (d *desk, err error) {
	if err := os.MkdirAll(g.Data, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	d = &desk{stderr: g.stderr}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	served, err := d.enter(ctx, g.Data)
	if err != nil {
		return d, err
	}
	if served != nil && (n.web != "" || n.eventStore != "") {
		return d, served.refuse(g.Data)
	}
	if served != nil && served.Web == "" && !n.logOnly {
		return d, fmt.Errorf("directory %s is being served by process %d, which is `kicau node`: it keeps no read models and drives no payments; stop it, or start `kicau serve` in its place", g.Data, served.PID)
	}
	d.served = served
	if err := d.openLog(ctx, g, served); err != nil {
		return d, err
	}
	if served != nil && served.Web == "" {
		return d, nil
	}
	d.commands = command.New(d.log, domain.Events)
	if d.vault, err = vault.Open(filepath.Join(g.Data, "vault")); err != nil {
		return d, err
	}
	if d.logID, err = command.LogID(ctx, d.log, domain.Events, uuid.New(), time.Now().UTC()); err != nil {
		return d, err
	}
	d.store, err = sqlstore.Open(ctx, sqlstore.Options{Path: filepath.Join(g.Data, "views.sqlite"), ReadOnly: served != nil, Logger: g.logger()})
	if err != nil {
		return d, err
	}
	d.onClose(d.store.Close)
	if served != nil {
		if err := d.sameLog(ctx, served); err != nil {
			return d, err
		}
	}
	if served == nil && n.engine {
		if d.engine, err = newEngine(ctx, g, d, n); err != nil {
			return d, err
		}
		d.onClose(d.engine.close)
		err = d.engine.start(ctx)
	}
	return d, err
}

// sameLog refuses a guest whose log is not the one that the server's read
// models are made of.
func (d *desk) sameLog(ctx context.Context, served *runningFile) error {
	for _, v := range views() {
		at, err := d.store.Checkpoint(ctx, v.Schema().Table)
		if err != nil {
			return err
		}
		if at.Log != uuid.Nil && at.Log != d.logID {
			return fmt.Errorf("this directory is served from the log at %s, and --eventstore names another: leave it out: %w", redacted(served.EventStore), projections.ErrOtherLog)
		}
	}
	return nil
}

// enter takes the directory, or finds out who serves it.
func (d *desk) enter(ctx context.Context, dir string) (*runningFile, error) {
	lock := flock.New(filepath.Join(dir, "lock"))
	deadline := time.Now().Add(lockWait)
	for {
		locked, err := lock.TryLock()
		if err != nil {
			return nil, fmt.Errorf("lock the data directory %s: %w", dir, err)
		}
		if locked {
			d.onClose(lock.Unlock)
			// Whoever served here before is gone, perhaps without a word.
			if err := os.Remove(runningPath(dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return nil, err
			}
			return nil, removeLeftovers(dir)
		}
		if b, err := os.ReadFile(runningPath(dir)); err == nil {
			var r runningFile
			if err := json.Unmarshal(b, &r); err != nil {
				return nil, fmt.Errorf("%s: %w", runningPath(dir), err)
			}
			return &r, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("another kicau command has been using %s for %s: wait for it, or use another --data", dir, lockWait)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// removeLeftovers of a `replay --verify` that was killed.
func removeLeftovers(dir string) error {
	old, err := filepath.Glob(filepath.Join(dir, "replay-*"))
	for _, o := range old {
		err = errors.Join(err, os.RemoveAll(o))
	}
	return err
}

func (d *desk) openLog(ctx context.Context, g *Global, served *runningFile) error {
	url := g.EventStore
	if url == "" && served != nil {
		url = served.EventStore
	}
	if url != "" {
		l, err := esdb.Open(esdb.Options{URL: url, Logger: g.logger()})
		if err != nil {
			return err
		}
		d.log, d.groups = l, l
		d.onClose(l.Close)
		return nil
	}
	n, err := node.Open(node.Options{Dir: filepath.Join(g.Data, "events"), Logger: g.logger()})
	if err != nil {
		return err
	}
	d.log, d.groups = n.Log(), n.Groups()
	d.onClose(n.Close)
	d.node = n
	return nil
}

func (d *desk) onClose(f func() error) { d.closers = append(d.closers, f) }

// close everything, last opened first.
func (d *desk) close() error {
	var errs []error
	for i := len(d.closers) - 1; i >= 0; i-- {
		errs = append(errs, d.closers[i]())
	}
	d.closers = nil
	return errors.Join(errs...)
}

// done closes the desk after a command. What goes wrong then undoes nothing of
// the command, but is said.
func (d *desk) done(g *Global) {
	if err := d.close(); err != nil {
		fmt.Fprintln(g.stderr, "kicau: done, but closing failed:", err)
	}
}

// by is a command given by a person at the command line, now.
func by(actor string) command.By {
	return command.By{Command: uuid.New(), Actor: actor, At: now()}
}

// rest waits until the orders are at rest and the read models show it.
func (d *desk) rest(ctx context.Context, orders ...uuid.UUID) error {
	ctx, stop := context.WithTimeout(ctx, settleTimeout)
	defer stop()
	for _, id := range orders {
		if err := d.restOf(ctx, id); err != nil {
			return err
		}
	}
	return d.caughtUp(ctx)
}

// patience is how long the wait for an order is silent; then it is told, and told
// again as often.
var patience = 5 * time.Second

func (d *desk) restOf(ctx context.Context, id uuid.UUID) error {
	start := time.Now()
	told := start
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		done, theirs, asked := false, "", ""
		err := d.commands.Orders.Look(ctx, order.Stream(id), func(s order.State) error {
			unknown := s.Payment.Pending != nil && s.Payment.Pending.Tries > 0
			done = unknown || payment.AtRest(s, now()) || s.Placed.Outside()
			theirs = cmp.Or(s.Payment.Account, s.Placed.Platform)
			if s.Payment.Pending != nil {
				asked = fmt.Sprintf(" (%s)", s.Payment.Pending.Step)
			}
			return nil
		})
		if err != nil && ctx.Err() == nil || done {
			return err
		}
		if ours := d.account(); theirs != "" && ours != "" && theirs != ours {
			return fmt.Errorf("order %s: what was asked is recorded, do not repeat it; but its payment is at account %s of the processor, and kicau works with %s here: it goes on when kicau runs on this log with the key of %s",
				id, theirs, ours, theirs)
		}
		if time.Since(told) >= patience {
			told = time.Now()
			fmt.Fprintf(d.stderr, "order %s: waiting for the payment processor%s for %s\n", id, asked, time.Since(start).Round(time.Second))
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return fmt.Errorf("order %s is not at rest after %s; what was asked is recorded, do not repeat it: it goes on when kicau runs again", id, time.Since(start).Round(time.Second))
		}
	}
}

// account at the processor whose orders are looked after here, empty: none.
func (d *desk) account() string {
	saga := ""
	switch {
	case d.engine != nil:
		saga = d.engine.group.Name
	case d.served != nil:
		saga = d.served.Saga
	}
	account, _, _ := strings.Cut(strings.TrimPrefix(saga, react.Group("")), ":") // the topic follows
	return account
}

// caughtUp waits until every view has seen what is in the log now.
func (d *desk) caughtUp(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, settleTimeout)
	defer stop()
	if d.engine != nil {
		return d.engine.caughtUp(ctx)
	}
	// First the saga, which writes, then the views.
	if err := d.sagaCaughtUp(ctx); err != nil {
		return err
	}
	head, err := headOf(ctx, d.log, viewFilter)
	if err != nil {
		return err
	}
	for _, v := range views() {
		if err := d.serverAt(ctx, v.Schema().Table, head); err != nil {
			return err
		}
	}
	return nil
}

// sagaCaughtUp waits until the saga has looked after every event of an order that
// is in the log now: with the money the stock is settled.
func (d *desk) sagaCaughtUp(ctx context.Context) error {
	head, err := headOf(ctx, d.log, sagaFilter)
	if err != nil {
		return err
	}
	if d.engine != nil {
		return d.engine.sagaAt(ctx, head)
	}
	return settled(ctx, d.groups, command.Group{Name: d.served.Saga}, head, nil)
}

// serverAt waits until a consumer of the server's has come to a position.
func (d *desk) serverAt(ctx context.Context, table string, head event.Position) error {
	for {
		at, err := d.store.Checkpoint(ctx, table)
		if err != nil || at.Position.Compare(head) >= 0 {
			return err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%s of the server is at %s, the log at %s: %w", table, at.Position, head, ctx.Err())
		}
	}
}

// headOf is the position of the newest event that passes a filter.
func headOf(ctx context.Context, log command.Log, f command.Filter) (event.Position, error) {
	for rec, err := range log.ReadAll(ctx, command.Backwards, command.ReadFrom{}, f, 1) {
		return rec.Position, err
	}
	return event.Position{}, nil
}

func (g *Global) logger() *slog.Logger {
	level := slog.LevelError
	if g.Verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(g.stderr, &slog.HandlerOptions{Level: level}))
}
