package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kicau/adapters/command"
	"kicau/domain"
	"kicau/domain/event"
)

type eventsCmd struct {
	Stream    string   `help:"Events of this stream, such as order-91aa…." placeholder:"NAME"`
	Category  []string `help:"Events of streams of these kinds: shop, offer, order, buyer." placeholder:"KIND"`
	Type      []string `help:"Events of these types, such as PaymentCaptured." placeholder:"TYPE"`
	After     string   `help:"Go on after this position, such as C:12/P:12." placeholder:"POSITION"`
	Limit     int      `default:"0" help:"Events to print. 0: all."`
	Backwards bool     `help:"Newest first."`
	Follow    bool     `help:"Stay and print what comes."`
	Parked    bool     `help:"Print the events that a read model could not deal with, and why. What the payment saga gave up: kicau parked."`
}

func (eventsCmd) Help() string {
	return `Examples:
  kicau events --stream order-91aa…
  kicau events --category order --type PaymentCaptured --output json
  kicau events --follow`
}

// eventLine is an event as printed in JSON.
type eventLine struct {
	Position   string          `json:"position"`
	Stream     string          `json:"stream"`
	Revision   uint64          `json:"revision"`
	Type       string          `json:"type"`
	ID         string          `json:"id"`
	RecordedAt time.Time       `json:"recordedAt"`
	Data       json.RawMessage `json:"data"`
	Metadata   json.RawMessage `json:"metadata"`
}

func (c *eventsCmd) Run(ctx context.Context, g *Global) error {
	var after event.Position
	var err error
	if c.After != "" {
		if after, err = event.ParsePosition(c.After); err != nil {
			return usageError{fmt.Errorf("--after: %w", err)}
		}
	}
	if c.Limit < 0 {
		return usageError{fmt.Errorf("--limit: %d is negative", c.Limit)}
	}
	for _, t := range c.Type {
		if !domain.Events.Knows(t) {
			return usageError{fmt.Errorf("--type: there is no event type %q: nearest are %s; docs/events.md has all", t, strings.Join(nearest(t, domain.Events.Names()), ", "))}
		}
	}
	if c.Follow && (c.Backwards || c.Stream != "") {
		return usageError{errors.New("--follow goes forwards through the whole log: leave --backwards and --stream out")}
	}
	d, err := g.open(ctx, need{logOnly: !c.Parked})
	if err != nil {
		return err
	}
	defer d.done(g)
	if c.Follow && d.served == nil && g.EventStore == "" {
		return usageError{errors.New("--follow needs `kicau serve` on the directory: without it nobody else can write while this command runs")}
	}
	if c.Parked {
		return d.sayParked(ctx, g)
	}
	p := &eventPrinter{g: g, seen: currenciesOf(d.log)}
	filter := command.Filter{Types: c.Type, StreamPrefixes: domain.Prefixes}
	if len(c.Category) > 0 {
		filter.StreamPrefixes = nil
		for _, k := range c.Category {
			if !slices.Contains(domain.Prefixes, k+"-") {
				return usageError{fmt.Errorf("--category: there is no %q: choose of shop, offer, order, buyer", k)}
			}
			filter.StreamPrefixes = append(filter.StreamPrefixes, k+"-")
		}
	}
	if c.Stream != "" {
		return p.stream(ctx, d, c)
	}
	dir := command.Forwards
	from := command.ReadFrom{After: after}
	if c.Backwards {
		dir, from = command.Backwards, command.ReadFrom{Before: after}
	}
	last := after
	for rec, err := range d.log.ReadAll(ctx, dir, from, filter, c.Limit) {
		if err != nil {
			return err
		}
		if err := p.print(ctx, rec); err != nil {
			return err
		}
		last = rec.Position
	}
	if !c.Follow {
		return nil
	}
	for page, err := range d.log.Subscribe(ctx, last, filter) {
		if err != nil {
			if ctx.Err() != nil {
				return nil // Ctrl-C is how following ends
			}
			return err
		}
		for _, rec := range page.Events {
			if err := p.print(ctx, rec); err != nil {
				return err
			}
		}
	}
	return nil
}

// nearest are the three of the names that need the fewest changes of letters to be
// the one that was given.
func nearest(given string, names []string) []string {
	names = slices.Clone(names)
	slices.SortStableFunc(names, func(a, b string) int { return changes(given, a) - changes(given, b) })
	return names[:min(3, len(names))]
}

// changes is the edit distance of two names, whatever their case.
func changes(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := before
			if a[i] != b[j] {
				cost = 1 + min(before, row[j], row[j+1])
			}
			before, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

type eventPrinter struct {
	g    *Global
	seen currencies
}

func (p *eventPrinter) stream(ctx context.Context, d *desk, c *eventsCmd) error {
	dir, from := command.Forwards, uint64(0)
	if c.Backwards {
		dir, from = command.Backwards, ^uint64(0)
	}
	printed := 0
	for rec, err := range d.log.ReadStream(ctx, c.Stream, dir, from, 0) {
		if err != nil {
			return err
		}
		if !wanted(rec, c.Type) {
			continue
		}
		if err := p.print(ctx, rec); err != nil {
			return err
		}
		if printed++; printed == c.Limit {
			return nil
		}
	}
	if printed == 0 {
		fmt.Fprintf(p.g.stderr, "stream %s has no such events\n", c.Stream)
	}
	return nil
}

func wanted(rec event.Recorded, types []string) bool {
	for _, t := range types {
		if rec.Type == t {
			return true
		}
	}
	return len(types) == 0
}

func (p *eventPrinter) print(ctx context.Context, rec event.Recorded) error {
	if p.g.json() {
		return writeJSON(p.g.stdout, eventLine{rec.Position.String(), rec.Stream, rec.Revision, rec.Type, rec.ID.String(), rec.RecordedAt, rec.Data, rec.Metadata})
	}
	_, err := fmt.Fprintln(p.g.stdout, p.text(ctx, rec))
	return err
}

// text is an event in a line. What this version cannot read it says so.
func (p *eventPrinter) text(ctx context.Context, rec event.Recorded) string {
	e, err := domain.Events.Decode(rec)
	if err != nil {
		return fmt.Sprintf("%s  %-14s  %-30s  (not readable: %v)", rec.RecordedAt.Format(time.DateTime), shortStream(rec.Stream), rec.Type, err)
	}
	return fmt.Sprintf("%s  %-14s  %-30s  %s", e.OccurredAt.Format(time.DateTime), shortStream(rec.Stream), rec.Type, tell(e.Body, p.seen.of(ctx, rec)))
}

// shortStream is a stream's kind and the first eight letters of its id.
func shortStream(s string) string {
	for i := range s {
		if s[i] == '-' {
			return s[:min(len(s), i+9)]
		}
	}
	return s
}

// sayParked lists parked events: by whom, which, and why.
func (d *desk) sayParked(ctx context.Context, g *Global) error {
	for _, v := range views() {
		parked, err := d.store.Parked(ctx, v.Schema().Table)
		if err != nil {
			return err
		}
		for _, p := range parked {
			if err := g.say(p, "%s  %s  %s  %s: %s", p.Table, p.Position, p.Stream, p.Type, p.Reason); err != nil {
				return err
			}
		}
	}
	return nil
}
