package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/projections"
	orders "kicau/projections/order"
	"kicau/projections/settlement"
	"kicau/projections/timeline"
)

type timelineCmd struct {
	Shop  string `help:"Offers of this shop only." placeholder:"UUID"`
	Limit int    `default:"50" help:"Offers to print, at most 1000."`
	After string `help:"Go on after this cursor, which the page before ended with." placeholder:"CURSOR"`
}

func (timelineCmd) Help() string { return "Example:\n  kicau timeline --limit 10" }

func (c *timelineCmd) Run(ctx context.Context, g *Global) error {
	q := projections.Query{OrderBy: "tweetedAt", Desc: true, After: c.After, Limit: c.Limit}
	if err := whereID(&q, "shop", c.Shop); err != nil {
		return err
	}
	return printRows(ctx, g, timeline.Projection, q, tweetText)
}

// whereID adds a condition on a field that holds an id; none when it is empty.
func whereID(q *projections.Query, field, id string) error {
	if id == "" {
		return nil
	}
	parsed, err := parseID("--"+field, id)
	q.Where = append(q.Where, projections.Cond{Field: field, Op: projections.Eq, Value: parsed.String()})
	return err
}

// printRows brings the views up to date and prints a page of one.
func printRows[Row any](ctx context.Context, g *Global, p projections.Projection[Row], q projections.Query, text func(Row) string) error {
	if q.Limit < 1 || q.Limit > projections.MaxQueryLimit {
		return usageError{fmt.Errorf("--limit: %d is not between 1 and %d", q.Limit, projections.MaxQueryLimit)}
	}
	d, err := g.open(ctx, need{engine: true})
	if err != nil {
		return err
	}
	defer d.done(g)
	if err := d.knows(ctx, q); err != nil {
		return err
	}
	_, err = printPage(ctx, g, d, p, q, text)
	return err
}

// knows refuses a shop that is not there: that nothing was found of it would be
// taken for an answer.
func (d *desk) knows(ctx context.Context, q projections.Query) error {
	for _, w := range q.Where {
		if id, ok := w.Value.(string); ok && w.Field == "shop" {
			if _, err := d.shop(ctx, uuid.MustParse(id)); err != nil {
				return err
			}
		}
	}
	return nil
}

// printPage tells how many rows it printed.
func printPage[Row any](ctx context.Context, g *Global, d *desk, p projections.Projection[Row], q projections.Query, text func(Row) string) (int, error) {
	if err := d.caughtUp(ctx); err != nil {
		return 0, err
	}
	rows, next, err := projections.Rows(ctx, d.store, p, q)
	if errors.Is(err, projections.ErrCursor) {
		return 0, usageError{fmt.Errorf("--after: %q is not what a page of this list ended with: leave it out to begin at the first page", q.After)}
	}
	if err != nil {
		return 0, err
	}
	for _, r := range rows {
		if err := g.say(r, "%s", text(r)); err != nil {
			return 0, err
		}
	}
	if next != "" {
		fmt.Fprintf(g.stderr, "more: --after %s\n", next)
	}
	return len(rows), nil
}

// printOne brings the views up to date and prints the row of an id.
func printOne[Row any](ctx context.Context, g *Global, p projections.Projection[Row], id uuid.UUID, text func(Row) string, missing error) error {
	d, err := g.open(ctx, need{engine: true})
	if err != nil {
		return err
	}
	defer d.done(g)
	if err := d.caughtUp(ctx); err != nil {
		return err
	}
	row, ok, err := projections.Get(ctx, d.store, p, id.String())
	if err != nil {
		return err
	}
	if !ok {
		return missing
	}
	return g.say(row, "%s", text(row))
}

func tweetText(r timeline.Row) string {
	state := "for sale"
	switch {
	case r.Withdrawn:
		state = "withdrawn"
	case r.SoldOut:
		state = "sold out"
	case r.Left != nil:
		state = fmt.Sprintf("%d left", *r.Left)
	}
	return fmt.Sprintf("%s  %s: %s\n  %s  %s  %s, %d sold", r.Offer, r.ShopName, r.Tweet, r.Title, money.Format(r.Price, r.Currency), state, r.Sold)
}

type ordersCmd struct {
	Order  string    `arg:"" optional:"" help:"UUID of one order."`
	Shop   string    `help:"Orders of this shop." placeholder:"UUID"`
	Buyer  string    `help:"Orders of this buyer." placeholder:"UUID"`
	Status string    `help:"Orders in this status, such as captured."`
	Since  time.Time `help:"Placed at or after this time."`
	Until  time.Time `help:"Placed before this time."`
	Limit  int       `default:"50" help:"Orders to print, at most 1000."`
	After  string    `help:"Go on after this cursor, which the page before ended with." placeholder:"CURSOR"`
}

func (ordersCmd) Help() string {
	return "Newest first.\n\nExamples:\n  kicau orders --status captured --limit 5\n  kicau orders 91aa… --output json"
}

func (c *ordersCmd) Run(ctx context.Context, g *Global) error {
	if c.Order != "" {
		id, err := parseID("ORDER", c.Order)
		if err != nil {
			return err
		}
		return printOne(ctx, g, orders.Projection, id, orderText, order.ErrNotPlaced.About("order %s", id))
	}
	q := projections.Query{OrderBy: "placedAt", Desc: true, After: c.After, Limit: c.Limit}
	if err := errors.Join(whereID(&q, "shop", c.Shop), whereID(&q, "buyer", c.Buyer)); err != nil {
		return err
	}
	if c.Status != "" {
		if !slices.Contains(orders.Statuses, orders.Status(c.Status)) {
			return usageError{fmt.Errorf("--status: %q is none of %q", c.Status, orders.Statuses)}
		}
		q.Where = append(q.Where, projections.Cond{Field: "status", Op: projections.Eq, Value: c.Status})
	}
	if !c.Since.IsZero() {
		q.Where = append(q.Where, projections.Cond{Field: "placedAt", Op: projections.Ge, Value: projections.Time(c.Since)})
	}
	if !c.Until.IsZero() {
		q.Where = append(q.Where, projections.Cond{Field: "placedAt", Op: projections.Lt, Value: projections.Time(c.Until)})
	}
	return printRows(ctx, g, orders.Projection, q, orderText)
}

type settlementCmd struct {
	Books     settlementBooks `cmd:"" default:"withargs" help:"Balances of all accounts and the trial balance, or the journal of a stream."`
	Payouts   payoutsCmd      `cmd:"" help:"Payouts to the banks of the platform and of shops, and what became of them."`
	Statement statementCmd    `cmd:"" help:"What happened between the platform and a shop in a period; it ties to the ledger."`
}

type settlementBooks struct {
	Shop    string    `help:"Accounts of this shop only; the trial balance is of all." placeholder:"UUID"`
	AsOf    time.Time `help:"As the books stood at this time. Default: now." placeholder:"TIME"`
	Journal string    `help:"Print the journal entries of this stream instead, such as order-…." placeholder:"STREAM"`
}

func (settlementBooks) Help() string {
	return "Debits are positive. With --output json amounts are in minor units.\n\nExamples:\n  kicau settlement\n  kicau settlement --as-of 2026-12-01T00:00:00Z\n  kicau settlement --journal order-91aa…"
}

func (c *settlementBooks) Run(ctx context.Context, g *Global) error {
	if c.Journal != "" {
		return c.journal(ctx, g)
	}
	shopID := uuid.Nil
	if c.Shop != "" {
		var err error
		if shopID, err = parseID("--shop", c.Shop); err != nil {
			return err
		}
	}
	d, err := g.open(ctx, need{engine: true})
	if err != nil {
		return err
	}
	defer d.done(g)
	if c.Shop != "" {
		if _, err := d.shop(ctx, shopID); err != nil {
			return err
		}
	}
	if err := d.caughtUp(ctx); err != nil {
		return err
	}
	var books settlement.Books
	if c.AsOf.IsZero() {
		books, err = settlement.Read(ctx, d.store)
	} else {
		books, err = settlement.AsOf(ctx, d.store, c.AsOf)
	}
	if err != nil {
		return err
	}
	if c.Shop != "" {
		books.Accounts = onlyShop(books.Accounts, shopID.String())
	}
	text := booksText(books)
	if len(books.Accounts) == 0 {
		text = strings.TrimSuffix(c.nothing()+"\n"+text, "\n")
	}
	return g.say(books, "%s", text)
}

// nothing says why the books are empty.
func (c *settlementBooks) nothing() string {
	text := "nothing is posted"
	if c.Shop != "" {
		text += " for shop " + c.Shop
	}
	if c.AsOf.IsZero() {
		return text + " yet"
	}
	return text + " before " + c.AsOf.UTC().Format(time.RFC3339)
}

// journal prints the entries of a stream.
func (c *settlementBooks) journal(ctx context.Context, g *Global) error {
	if c.Shop != "" || !c.AsOf.IsZero() {
		return usageError{errors.New("--journal prints all entries of a stream: leave --shop and --as-of out")}
	}
	d, err := g.open(ctx, need{engine: true})
	if err != nil {
		return err
	}
	defer d.done(g)
	q := projections.Query{Limit: projections.MaxQueryLimit, Where: []projections.Cond{{Field: "stream", Op: projections.Eq, Value: c.Journal}}}
	printed, err := printPage(ctx, g, d, settlement.Journal, q, entryText)
	if err != nil || printed > 0 {
		return err
	}
	for _, err := range d.log.ReadStream(ctx, c.Journal, command.Forwards, 0, 1) {
		if err == nil {
			fmt.Fprintf(g.stderr, "nothing is posted of stream %s\n", c.Journal)
		}
		return err
	}
	return fmt.Errorf("--journal: there is no stream %s: give its whole name, such as order- and the UUID of an order", c.Journal)
}

func onlyShop(all []settlement.Balance, shop string) []settlement.Balance {
	kept := all[:0]
	for _, b := range all {
		if b.Shop == shop {
			kept = append(kept, b)
		}
	}
	return kept
}

func booksText(books settlement.Books) string {
	var b strings.Builder
	for _, a := range books.Accounts {
		shop := a.Shop
		if len(shop) > 8 {
			shop = shop[:8]
		}
		fmt.Fprintf(&b, "%-28s %-9s %20s\n", a.Account, shop, money.Format(a.Balance, a.Currency))
	}
	for _, c := range sortedKeys(books.TrialBalance) {
		fmt.Fprintf(&b, "%-28s %-9s %20s\n", "trial balance", "", money.Format(books.TrialBalance[c], c))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func entryText(e settlement.Entry) string {
	text := fmt.Sprintf("%s  %s  (%s)", e.At, e.Text, e.Type)
	for _, p := range e.Postings {
		text += fmt.Sprintf("\n  %-28s %20s", p.Account, money.Format(p.Amount, e.Currency))
	}
	return text
}
