package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/adapters/react"
	"kicau/domain/money"
	"kicau/domain/reconcile"
)

type reconcileCmd struct {
	Run     reconcileRun     `cmd:"" default:"withargs" help:"Compare the books with the processor, now."`
	List    reconcileList    `cmd:"" help:"List the breaks that are open."`
	Resolve reconcileResolve `cmd:"" help:"Say why a break is none."`
}

type reconcileRun struct{}

func (reconcileRun) Help() string {
	return `First it hears what webhooks may have missed: every payment that the processor has news of since
the last run is read again. Then every movement of money on both sides is compared. What differs
is a break: it stays until both sides agree or somebody says why it is none. So is a payment that
cannot be read, with the reason; it stops nothing, and every later run reads it again.

At last what became of payouts from shops' accounts to their banks is recorded: see 'kicau
settlement payouts'. They are the shops' money, so they are not compared, and an account that
cannot be read is named and read again by the next run.

Ends with 1 while there are open breaks.

Example:
  kicau reconcile --output json`
}

// reconciled is what a run says.
type reconciled struct {
	Run     int `json:"run"`
	Noticed int `json:"noticed"`          // payments read again
	Unread  int `json:"unread,omitempty"` // payments and payouts that could not be read: each is a break
	// Behind: more could not be read than are kept as breaks. The next run hears the
	// same news again.
	Behind  bool                       `json:"behind,omitempty"`
	Matched int                        `json:"matched"` // movements on which both sides agree
	Books   map[money.Currency]twoSums `json:"books"`
	// Unexplained minor units, by currency: what they have more than we, without
	// what is under way.
	Unexplained map[money.Currency]money.Minor `json:"unexplained"`
	// Moving: the processor's balance did not stand still while its movements were
	// read. They were compared, sums were not.
	Moving bool `json:"moving,omitempty"`
	// Elsewhere are the orders that are other accounts' of the platform, by account.
	// They were not compared.
	Elsewhere map[string]int `json:"elsewhere,omitempty"`
	Breaks    []openBreak    `json:"breaks"`
	Payouts   shopPayouts    `json:"payouts"`
}

// shopPayouts is the news of payouts from shops' accounts to their banks.
type shopPayouts struct {
	Sent   int              `json:"sent"`
	Paid   int              `json:"paid"`
	Failed int              `json:"failed"`
	Unread []command.Unread `json:"unread,omitempty"` // accounts that could not be read
}

type twoSums struct {
	Ledger    money.Minor `json:"ledger"`
	Processor money.Minor `json:"processor"`
	UnderWay  money.Minor `json:"underWay"`           // of the ledger: came after the processor's side was read; less what of the processor's is to come
	Rounding  money.Minor `json:"rounding,omitempty"` // the processor counts more finely than the currency
}

type openBreak struct {
	reconcile.BreakFound
	Difference money.Minor `json:"difference"`
	AgeHours   int64       `json:"ageHours"`
}

// errBreaks makes the command end with 1. What it is about was printed.
var errBreaks = errors.New("the books and the processor do not agree")

func (reconcileRun) Run(ctx context.Context, g *Global) error {
	d, err := g.open(ctx, need{engine: true})
	if err != nil {
		return err
	}
	defer d.done(g)
	client, _, err := d.payments(g)
	if err != nil {
		return err
	}
	saga := react.New(react.Options{Commands: d.commands, Payments: client, Now: now, NewID: uuid.New, Logger: g.logger()})
	b := by("reconcile")
	notice := func(ctx context.Context, intent string) error {
		if err := saga.Notice(ctx, intent, b.Command); err != nil && !errors.Is(err, react.ErrNotOurs) {
			return err
		}
		return nil // somebody else's payment is for the comparison to find
	}
	r, err := d.commands.Reconcile(ctx, b, client, notice)
	if err != nil {
		return err
	}
	if err := d.caughtUp(ctx); err != nil {
		return err
	}
	out := reconciled{Run: r.Run, Noticed: r.Noticed, Unread: r.Unread, Behind: r.Behind, Matched: r.Matched, Books: map[money.Currency]twoSums{},
		Unexplained: map[money.Currency]money.Minor{}, Moving: r.Theirs == nil, Breaks: withAges(r.Open),
		Elsewhere: r.Elsewhere, Payouts: shopPayouts(r.Payouts)}
	out.sums(r)
	if err := g.say(out, "%s", out.text()); err != nil {
		return err
	}
	if len(out.Breaks) > 0 {
		return errBreaks
	}
	if len(r.Elsewhere) > 0 && len(r.Ours) == 0 {
		return errElsewhere
	}
	return nil
}

// errElsewhere is no agreement: most likely the key is another account's.
var errElsewhere = errors.New("nothing in the log is of this account at the processor: compare with the key, or the sandbox, that took the money")

// sums of both sides, where they were compared.
func (out *reconciled) sums(r command.Reconciliation) {
	if out.Moving {
		return
	}
	for _, o := range r.Ours {
		out.Books[o.Currency] = twoSums{Ledger: o.Pending, UnderWay: r.UnderWay[o.Currency], Rounding: r.Rounding[o.Currency]}
	}
	for _, t := range r.Theirs {
		s := out.Books[t.Currency]
		s.Processor = t.Pending + t.Available
		out.Books[t.Currency] = s
	}
	for c, s := range out.Books {
		out.Unexplained[c] = s.Processor - s.Ledger + s.UnderWay - s.Rounding
		if s == (twoSums{}) {
			delete(out.Books, c)
			delete(out.Unexplained, c)
		}
	}
}

func withAges(open []reconcile.BreakFound) []openBreak {
	all := make([]openBreak, 0, len(open))
	for _, b := range open {
		all = append(all, openBreak{b, b.Difference(), int64(now().Sub(b.Since) / time.Hour)})
	}
	return all
}

func (r reconciled) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "run %d: %d payments read again, %d movements agree, %d breaks", r.Run, r.Noticed, r.Matched, len(r.Breaks))
	for _, c := range sortedKeys(r.Books) {
		s := r.Books[c]
		fmt.Fprintf(&b, "\n%s  ledger %s  processor %s", c, money.Format(s.Ledger, c), money.Format(s.Processor, c))
		if s.UnderWay != 0 {
			fmt.Fprintf(&b, "  under way %s", money.Format(s.UnderWay, c))
		}
		if s.Rounding != 0 {
			fmt.Fprintf(&b, "  rounding %s", money.Format(s.Rounding, c))
		}
		fmt.Fprintf(&b, "  unexplained %s", money.Format(r.Unexplained[c], c))
	}
	for _, account := range slices.Sorted(maps.Keys(r.Elsewhere)) {
		fmt.Fprintf(&b, "\n%d orders are of %s, another account at the processor: they were not compared", r.Elsewhere[account], account)
	}
	if r.Unread > 0 {
		fmt.Fprintf(&b, "\n%d payments or payouts could not be read; those that are breaks are read again by the next run", r.Unread)
	}
	if r.Behind {
		fmt.Fprintf(&b, "\nthat is more than the %d that are kept as breaks: is the processor away? The next run hears the same news again", reconcile.MaxUnread)
	}
	if r.Moving {
		b.WriteString("\nthe processor's balance moved while it was read: sums were not compared; run it again when it is quieter")
	}
	if p := r.Payouts; p.Sent+p.Paid+p.Failed > 0 {
		fmt.Fprintf(&b, "\nshops' payouts: %d sent, %d arrived, %d failed (kicau settlement payouts)", p.Sent, p.Paid, p.Failed)
	}
	for _, u := range r.Payouts.Unread {
		fmt.Fprintf(&b, "\nthe payouts of %s, shop %s, were not read whole: %s", u.Account, u.Shop, u.Reason)
	}
	for _, x := range r.Breaks {
		b.WriteString("\n" + x.text())
	}
	return b.String()
}

func (x openBreak) text() string {
	sides := "" // there are none of what could not be read
	if x.Class != reconcile.Unread {
		sides = fmt.Sprintf("ours %s, theirs %s  ", money.Format(x.Ours, x.Currency), money.Format(x.Theirs, x.Currency))
	}
	text := fmt.Sprintf("%s  %s  %s %s  %s%d h old  %s", x.Break, x.Class, x.Key.Kind, x.Key.Object, sides, x.AgeHours, x.Text)
	if x.Order != "" {
		text += "  order " + x.Order
	}
	return text
}

type reconcileList struct{}

func (reconcileList) Help() string { return "Example:\n  kicau reconcile list --output json" }

func (reconcileList) Run(ctx context.Context, g *Global) error {
	d, err := g.open(ctx, need{engine: true})
	if err != nil {
		return err
	}
	defer d.done(g)
	open, err := d.breaks(ctx, g)
	if err != nil {
		return err
	}
	for _, b := range withAges(open) {
		if err := g.say(b, "%s", b.text()); err != nil {
			return err
		}
	}
	if len(open) == 0 && !g.json() {
		fmt.Fprintln(g.stdout, "no breaks")
	}
	return nil
}

func (d *desk) breaks(ctx context.Context, g *Global) ([]reconcile.BreakFound, error) {
	client, _, err := d.payments(g)
	if err != nil {
		return nil, err
	}
	account, err := client.Account(ctx)
	if err != nil {
		return nil, err
	}
	return d.commands.Breaks(ctx, account)
}

type reconcileResolve struct {
	Break  string `arg:"" help:"UUID of the break."`
	Reason string `required:"" help:"Why it is none."`
}

func (reconcileResolve) Help() string {
	return "Example:\n  kicau reconcile resolve 3f0c… --reason \"top-up of 1 March, booked by hand\""
}

func (c *reconcileResolve) Run(ctx context.Context, g *Global) error {
	id, err := parseID("BREAK", c.Break)
	if err != nil {
		return err
	}
	d, err := g.open(ctx, need{engine: true})
	if err != nil {
		return err
	}
	defer d.done(g)
	client, _, err := d.payments(g)
	if err != nil {
		return err
	}
	account, err := client.Account(ctx)
	if err != nil {
		return err
	}
	res, err := d.commands.ResolveBreak(ctx, by("auditor"), account, reconcile.Resolve{Break: id, Reason: c.Reason})
	if err != nil {
		return err
	}
	return d.sayDecided(ctx, g, "break", id, res)
}
