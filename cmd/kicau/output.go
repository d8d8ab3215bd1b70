package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"kicau/adapters/command"
	"kicau/domain/event"
	"kicau/domain/money"
)

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// say prints v as one JSON object, or the text.
func (g *Global) say(v any, text string, args ...any) error {
	if g.json() {
		return writeJSON(g.stdout, v)
	}
	_, err := fmt.Fprintf(g.stdout, text+"\n", args...)
	return err
}

// decided is what commands that write print.
type decided struct {
	ID       string      `json:"id"`
	Events   []typedData `json:"events"` // empty: it was in effect already
	Position string      `json:"position,omitempty"`
	Repeated bool        `json:"repeated,omitempty"` // the command was recorded before; this is the answer of then
}

type typedData struct {
	Type string     `json:"type"`
	Data event.Data `json:"data"`
}

func decidedOf(id uuid.UUID, events []event.Data, at event.Position) decided {
	d := decided{ID: id.String(), Events: []typedData{}}
	for _, e := range events {
		d.Events = append(d.Events, typedData{e.EventType(), e})
	}
	if len(events) > 0 {
		d.Position = at.String()
	}
	return d
}

func (d decided) types() string {
	if len(d.Events) == 0 {
		return "nothing: it was so already"
	}
	names := make([]string, len(d.Events))
	for i, e := range d.Events {
		names[i] = e.Type
	}
	return strings.Join(names, ", ") + repeatedText(d.Repeated)
}

func repeatedText(repeated bool) string {
	if repeated {
		return " (recorded before under this command id, nothing was written)"
	}
	return ""
}

// sayDecided prints what was decided, and then waits until the read models show
// it: what is in the log is said even if they do not.
func (d *desk) sayDecided(ctx context.Context, g *Global, what string, id uuid.UUID, res command.Result) error {
	out := decidedOf(id, res.Events, res.Position)
	out.Repeated = res.Repeated
	if err := g.say(out, "%s %s: %s", what, id, out.types()); err != nil {
		return err
	}
	if err := d.caughtUp(ctx); err != nil {
		return fmt.Errorf("it is recorded, do not repeat it; only the read models are behind: %w", err)
	}
	return nil
}

// progress shows how far long work is, when somebody is watching.
type progress struct{ bar *progressbar.ProgressBar }

func (g *Global) progress(total int64, what, unit string, bytes bool) *progress {
	f, ok := g.stderr.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return &progress{}
	}
	return &progress{progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(g.stderr), progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(bytes), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
		progressbar.OptionSetItsString(unit), progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionFullWidth(), progressbar.OptionClearOnFinish())}
}

func (p *progress) add(n int64) {
	if p.bar != nil {
		_ = p.bar.Add64(n)
	}
}

// grow to a total that is larger than was thought.
func (p *progress) grow(total int64) {
	if p.bar != nil && total > p.bar.GetMax64() {
		p.bar.ChangeMax64(total)
	}
}

func (p *progress) set(n int64) {
	if p.bar != nil {
		_ = p.bar.Set64(n)
	}
}

func (p *progress) done() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}

// parseID reads a UUID given as an argument.
func parseID(what, s string) (uuid.UUID, error) {
	id, err := uuid.Parse(s)
	if err != nil {
		return id, usageError{fmt.Errorf("%s: %q is not a UUID", what, s)}
	}
	return id, nil
}

// asking is a command that changes something. Its id makes it safe to repeat.
type asking struct {
	CommandID string `name:"command-id" help:"UUID of this command. Given again to the same order, offer or shop with the same content it changes nothing and is answered as the first time; other content is refused. A name or address, which is sealed, is not compared. Default: a new one." placeholder:"UUID"`
}

// by is the command given by a person at the command line, now.
func (a asking) by(actor string) (command.By, error) {
	id, err := idOrNew("--command-id", a.CommandID)
	return command.By{Command: id, Actor: actor, At: now()}, err
}

// idOrNew reads a UUID, or makes the one of what this command makes: the same
// for the same command, or else it would be made twice.
func (a asking) idOrNew(what, s string) (uuid.UUID, error) {
	if s != "" || a.CommandID == "" {
		return idOrNew(what, s)
	}
	id, err := parseID("--command-id", a.CommandID)
	return event.NameID(what, id.String()), err
}

// idOrNew reads a UUID, or makes one when there is none.
func idOrNew(what, s string) (uuid.UUID, error) {
	if s == "" {
		return uuid.New(), nil
	}
	return parseID(what, s)
}

// parsePercent reads "5%", "2.5%" or "0%" into basis points.
func parsePercent(what, s string) (money.BasisPoints, error) {
	m, err := money.Parse(strings.TrimSuffix(s, "%"), "EUR") // two digits behind the point
	if err != nil {
		return 0, usageError{fmt.Errorf("%s: %q is not a percentage such as 2.5%%", what, s)}
	}
	return money.BasisPoints(m), nil
}
