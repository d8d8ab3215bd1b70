package main

import (
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/adapters/sqlstore"
	"kicau/domain"
	"kicau/domain/event"
	"kicau/domain/ledger"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/payout"
	"kicau/domain/reconcile"
	"kicau/domain/shop"
	"kicau/projections/settlement"
)

// docs/money.md: the prose is in the page; what stands between marks is made
// here, of the code that it is about.

// fill replaces what stands in the page between the marks of each name.
func fill(t *testing.T, page string, blocks map[string]string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(docs, page))
	if err != nil {
		t.Fatal(err)
	}
	all := string(text)
	for name, made := range blocks {
		begin, end := fmt.Sprintf("<!-- made: %s -->\n", name), "<!-- end -->"
		before, rest, found := strings.Cut(all, begin)
		_, after, ended := strings.Cut(rest, end)
		if !found || !ended {
			t.Fatalf("%s has no place for %s", page, name)
		}
		all = before + begin + made + end + after
	}
	if made := strings.Count(all, "<!-- made: "); made != len(blocks) {
		t.Errorf("%s has %d places to fill, %d are made", page, made, len(blocks))
	}
	return all
}

// TestMoneyReference fills docs/money.md. The example is lived, over HTTP with the
// sandbox, by the same parts that run in production.
func TestMoneyReference(t *testing.T) {
	blocks := map[string]string{"accounts": accountsTable(t), "postings": postingsTable(t), "breaks": breaksTable(t)}
	walk(t, "the example", func(p *walker) {
		x := &example{walker: p, names: map[string]string{shop.Stream(mugShop): "the shop"}, books: ledger.Balances{}}
		x.lived()
		x.told(blocks)
		if !t.Failed() && !p.Failed() {
			same(p.T, "money.md", fill(p.T, "money.md", blocks))
		}
	})
}

// The chart, from the comments of its constants.

// sides are how the balances of accounts stand, debit or credit, by the kind of
// account.
var sides = map[string]string{
	"asset": "debit", "liability": "credit", "revenue": "credit", "contra revenue": "debit", "expense": "debit",
	"expense or income": "debit or credit", "memo": "outside the trial balance",
}

func accountsTable(t *testing.T) string {
	src := readSource(t, "domain/ledger")
	if got := src.values["Account"]; len(got) != len(ledger.Chart) {
		t.Errorf("%d accounts have names, %d are in the chart", len(got), len(ledger.Chart))
	}
	var b strings.Builder
	b.WriteString("| account | kind | balance | what it is |\n|---|---|---|---|\n")
	for _, a := range ledger.Chart {
		kind, says, _ := strings.Cut(cell(src.comments["Account "+string(a)]), ": ")
		if sides[kind] == "" || says == "" {
			t.Errorf("the comment of %s does not say what it is: %q", a, kind)
		}
		if slices.Contains(ledger.Owed, a) {
			says += " †"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", a, kind, sides[kind], says)
	}
	return b.String()
}

// The postings, from what the ledger makes of an event of each kind.

// sample is an event that posts, with another amount for everything that it
// tells, so that a posting can be named by its amount.
type sample struct {
	when string // where the entry's own text does not say it
	is   event.Data
}

var (
	sampleShop = uuid.UUID{0: 5}
	sold       = order.Allocation{Goods: 2000, Shipping: 300, Tax: 460, Fee: 200} // the shop's share is 21.00
	// Where the shop's part of what goes back comes from, and where it goes when
	// it comes again.
	sampleTaken    = order.Taken{FromPayable: 1100, FromReserve: 700, FromReceivable: 300}
	sampleRestored = order.Restored{ToReceivable: 310, ToPayable: 1790}
)

// amounts in words.
var amounts = map[money.Minor]string{
	2100: "the shop's share", 2300: "goods and shipping", 460: "tax", 200: "our fee", 20: "what was not earned", 21: "what was not earned", 7: "what the bank took beyond the sale",
	1100: "the shop's share, as far as it is on hold", 700: "then of its reserve", 300: "the rest, which it owes now",
	310: "the shop's share, as far as it owes", 1790: "the rest of it",
	59: "the processor's fee", 2721: "what was taken, less the processor's fee", 2760: "what is earned", 2780: "what the buyer gets back", 2781: "what stands for the sale after all", 3000: "what was authorised",
	2787: "the amount in dispute", 1500: "the fee", 4287: "the amount and the fee", 1501: "the fee, if it comes back", 4288: "what comes back",
	5100: "what was on hold", 400: "what the shop owes", 470: "the reserve", 4230: "the rest", 4231: "what is available", 3831: "the transfer",
	650: "what is taken back", 51: "the amount", 850: "what is given up", 851: "what it was paid", 900: "the amount",
}

var samples = []sample{
	{"", order.Authorised{Amount: 3000, Currency: "GBP"}},
	{"", order.Voided{Released: 3000, Currency: "GBP"}},
	{"", sampleCapture(false)},
	{"as principal", sampleCapture(true)},
	{"what was taken before is shipped", order.Earned{Shop: sampleShop, Processor: order.Stripe, Currency: "GBP", Allocation: sold}},
	{"", sampleRefund(false, false)},
	{"as principal", sampleRefund(true, false)},
	{"it waits at Stripe", order.RefundPending{Shop: sampleShop, Currency: "GBP", Amount: 2780, Allocation: sold, Unearned: 20, Taken: sampleTaken}},
	{"", sampleRefund(false, true)},
	{"", sampleReturn(false)},
	{"before it was paid", sampleReturn(true)},
	{"", order.Released{Shop: sampleShop, Currency: "GBP", Payable: 5100, Netted: 400, Reserved: 470}},
	{"", order.ReserveReleased{Shop: sampleShop, Currency: "GBP", Amount: 470}},
	{"", order.Settled{Transfer: "tr", Shop: sampleShop, Currency: "GBP", Amount: 3831, Available: 4231, Netted: 400}},
	{"", order.Reversed{Transfer: "tr", Reversal: "trr", Shop: sampleShop, Currency: "GBP", Amount: 650}},
	{"", order.DisputeWithdrawn{Shop: sampleShop, Currency: "GBP", Amount: 2787, DisputeFee: 1500, Allocation: sold, Unearned: 20, Excess: 7, Taken: sampleTaken}},
	{"while it is open", order.DisputeReallocated{Shop: sampleShop, Currency: "GBP", Allocation: sold, Unearned: 21, Taken: sampleTaken}},
	{"", order.DisputeReallocated{Shop: sampleShop, Currency: "GBP", Allocation: sold, Unearned: 21, Taken: sampleTaken, WasLost: true}},
	{"", order.DisputeCharged{Shop: sampleShop, Currency: "GBP", Fee: 1500}},
	{"or the part of it that comes back", sampleVictory(false, 1501)},
	{"the part that does not come back", order.DisputeClosed{Result: order.Won, Shop: sampleShop, Currency: "GBP", Amount: 2787, Allocation: sold, Unearned: 20, Excess: 7}},
	{"", order.DisputeClosed{Result: order.Lost, Shop: sampleShop, Currency: "GBP", Amount: 2787, Allocation: sold, Unearned: 20, Excess: 7}},
	{"as principal", order.DisputeClosed{Result: order.Lost, Shop: sampleShop, Currency: "GBP", Principal: true, Amount: 2787, Allocation: sold, Unearned: 20, Excess: 7}},
	{"", sampleVictory(true, 0)},
	{"netted with the next releases; below zero, the other way round", shop.Adjusted{Shop: sampleShop, Kind: "its kind", Currency: "GBP", Amount: 51, Netted: true}},
	{"a shop that is settled outside Kicau", shop.Adjusted{Shop: sampleShop, Kind: "its kind", Currency: "GBP", Amount: 51}},
	{"a shop without an account, or for sales that others took the money for; below zero, it came back", shop.PaidOutside{Shop: sampleShop, Currency: "GBP", Amount: 851}},
	{"", shop.DebtWrittenOff{Shop: sampleShop, Currency: "GBP", Amount: 850}},
	{"", reconcile.BecameAvailable{Currency: "GBP", Amount: 900}},
	{"", reconcile.Charged{Currency: "GBP", Amount: 900}},
	{"", payout.Sent{Currency: "GBP", Amount: 900}},
	{"", payout.Paid{Currency: "GBP", Amount: 900}},
	{"", payout.Failed{Currency: "GBP", Amount: 900}},
	{"after it had arrived", payout.Failed{Currency: "GBP", Amount: 900, WasPaid: true}},
}

func sampleCapture(principal bool) order.Captured {
	return order.Captured{Shop: sampleShop, Processor: order.Stripe, Currency: "GBP", Principal: principal, Amount: 2780, Authorised: 3000,
		Allocation: sold, Unearned: 20, ProcessorFee: 59}
}

func sampleRefund(principal, waited bool) order.Refunded {
	return order.Refunded{Shop: sampleShop, Processor: order.Stripe, Currency: "GBP", Principal: principal, Amount: 2780,
		Allocation: sold, Unearned: 20, Taken: sampleTaken, WasPending: waited}
}

func sampleReturn(waited bool) order.RefundReturned {
	return order.RefundReturned{Shop: sampleShop, Processor: order.Stripe, Currency: "GBP", Amount: 2780,
		Allocation: sold, Unearned: 20, Restored: sampleRestored, WasPending: waited}
}

func sampleVictory(late bool, fee money.Minor) order.DisputeReinstated {
	return order.DisputeReinstated{Shop: sampleShop, Currency: "GBP", Amount: 2787, DisputeFee: fee, Allocation: sold, Unearned: 20, Excess: 7, Restored: sampleRestored, WasLost: late}
}

func postingsTable(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| event | entry | debit | credit |\n|---|---|---|---|\n")
	types, accounts := map[string]bool{}, map[ledger.Account]bool{}
	for _, s := range samples {
		entry, posts := ledger.Post(s.is)
		if !posts {
			t.Fatalf("the sample of %s does not post", s.is.EventType())
		}
		types[s.is.EventType()] = true
		var debits, credits []string
		for _, p := range entry.Postings {
			accounts[p.Account] = true
			words := amounts[max(p.Amount, -p.Amount)]
			if words == "" {
				t.Errorf("%s: no words for the %d of %s", s.is.EventType(), p.Amount, p.Account)
			}
			if line := fmt.Sprintf("`%s` %s", p.Account, words); p.Amount > 0 {
				debits = append(debits, line)
			} else {
				credits = append(credits, line)
			}
		}
		text := entry.Text
		if s.when != "" {
			text += " (" + s.when + ")"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.is.EventType(), text, strings.Join(debits, "<br>"), strings.Join(credits, "<br>"))
	}
	for _, name := range ledger.Handles {
		if !types[name] {
			t.Errorf("the table has no line for %s", name)
		}
	}
	for _, a := range ledger.Chart {
		if !accounts[a] && a != ledger.OutsideProcessors { // in the place of Stripe's, as the page says
			t.Errorf("no sample posts to %s", a)
		}
	}
	return b.String()
}

// The breaks of a reconciliation, from the comments of their classes.

// remedies are what to do about a break, by class.
var remedies = map[reconcile.Class]string{
	reconcile.MissingInLedger:    "Kicau has just read again every payment that it could hear of, so this was most likely done by hand (a transfer, a reversal). Look whether it names an order and what `kicau orders` says of that; undo it at Stripe, or resolve it with what it was.",
	reconcile.MissingAtProcessor: "Look for the id at Stripe. If it is not there, log and key do not belong together: another account, or a log that is newer than a sandbox put back from a backup.",
	reconcile.AmountMismatch:     "Compare the order (`kicau events --stream order-…`) with the object at Stripe: one of the two was changed by hand. Resolve it with what was found.",
	reconcile.FeeMismatch:        "The same, of the processor's fee. It is the platform's; no shop is concerned.",
	reconcile.CurrencyMismatch:   "Stripe converted, as the platform has no balance in the order's currency. Conversions are not booked; what a dispute takes and gives back is booked at the rate of its withdrawal: give the account at Stripe that currency, or sell in its own.",
	reconcile.Duplicate:          "Undo one of the two at Stripe. The undoing is a break of its own until both are resolved with each other's ids.",
	reconcile.UnknownCategory:    "Read it at Stripe (a top-up, an adjustment, a currency that is not known here), keep it in the platform's own books, and resolve it with that.",
	reconcile.Orphan:             "Somebody took or sent money by hand, or another program uses the account. Undo it there, or resolve it with the reason.",
	reconcile.StalePending:       "Stripe's balance does not cover it: top it up. Or it hangs at the buyer's bank: ask Stripe. What comes of it is heard by the next run.",
	reconcile.BalanceMismatch:    "Mostly the sum of the other breaks: see to those first, and resolve it with them. Alone, Stripe's list and its balance do not agree: ask Stripe.",
	reconcile.Unread:             "Its text says why. Stripe away, a call of ours under way, or too many requests at once: run it again. Anything else comes again: compare the order with the payment at Stripe, and resolve it with what was found; then only news of it are read. Of a payout what was recorded stands: ask Stripe which of the two it is.",
}

func breaksTable(t *testing.T) string {
	src := readSource(t, "domain/reconcile")
	var b strings.Builder
	b.WriteString("| class | what it means | what to do |\n|---|---|---|\n")
	for _, class := range src.values["Class"] {
		says, remedy := cell(src.comments["Class "+class]), remedies[reconcile.Class(class)]
		if says == "" || remedy == "" {
			t.Errorf("nobody says what %q means, or what to do about it", class)
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", class, says, remedy)
	}
	if got := len(src.values["Class"]); got != len(remedies) {
		t.Errorf("%d classes of breaks, %d remedies", got, len(remedies))
	}
	return b.String()
}

// The example.

var (
	mugShop = uuid.MustParse("6a8f0001-0000-4000-8000-000000000001")
	mug     = uuid.MustParse("6a8f0001-0000-4000-8000-000000000002")
)

// example is a shop's first orders, and what the books say of them.
type example struct {
	*walker
	orders []uuid.UUID
	names  map[string]string // of streams
	steps  []string
	seen   event.Position
	log    []event.Event
	books  ledger.Balances
}

// buys opens another order, of so many mugs.
func (x *example) buys(mugs int64, card string) {
	x.Helper()
	x.order = uuid.New()
	x.orders = append(x.orders, x.order)
	x.names[order.Stream(x.order)] = "order " + string(rune('A'+len(x.orders)-1))
	_, err := x.commands.Place(x.Context(), x.by("buyer"), command.Place{Order: x.order, Buyer: uuid.New(), Jurisdiction: "GB", Processor: order.Stripe,
		PaymentMethod: card, Lines: []command.Line{{Offer: mug, Quantity: mugs}}})
	x.ok(err)
	x.step()
}

// until a time nothing happens but what is due.
func (x *example) until(month time.Month, day int) {
	x.Helper()
	x.mu.Lock()
	x.now = time.Date(2026, month, day, 12, 0, 0, 0, time.UTC)
	x.mu.Unlock()
	newest := x.order
	for _, id := range x.orders {
		x.order = id
		x.waits(0)
	}
	x.order = newest
}

// opens a shop that sells mugs.
func (x *example) opens() {
	x.Helper()
	x.until(time.November, 28)
	var err error
	x.shopAcct, err = x.client.CreateAccount(x.Context(), "Mugs", "mugs")
	x.ok(err)
	_, err = x.commands.Shop(x.Context(), x.by("platform"), mugShop, shop.Onboard{At: x.time(), Terms: shop.Onboarded{Name: "Mugs", Currency: "GBP",
		Account: x.shopAcct, HoldHours: 24, Taxes: []shop.Tax{{Jurisdiction: "GB", BasisPoints: 2000}}, Fees: shop.Fees{BasisPoints: 1000}}})
	x.ok(err)
	_, err = x.commands.Tweet(x.Context(), x.by("shop"), mug, offer.Tweeted{Shop: mugShop, Title: "Mug", Tweet: "A mug", Currency: "GBP", Price: 1000})
	x.ok(err)
	x.until(time.November, 29)
	_, err = x.commands.Shop(x.Context(), x.by("platform"), mugShop, shop.ChangeSettlement{At: x.time(),
		Settlement: shop.Settlement{ValidFrom: x.time(), HoldHours: 24, ReserveBasisPoints: 1000, ReserveDays: 7}})
	x.ok(err)
}

func (x *example) lived() {
	x.opens()
	x.buys(2, "pm_card_visa")
	x.ships()
	x.tells("A plain sale, order A: two mugs at 10.00, 20 % of tax. The buyer pays 24.00; our fee is 10 % of the goods, so the shop's share is 18.00. It is taken when the mugs leave the shop, and the processor keeps its own fee of it.")
	x.until(time.November, 30)
	x.tells("A day later the hold is over. A tenth stays in reserve for seven days, the rest is transferred.")

	x.until(time.December, 7)
	x.tells("The time of the reserve is over.")

	x.buys(2, "pm_card_visa")
	x.ships()
	x.does(order.GiveBack{At: x.time(), Refund: uuid.New(), Units: []order.Units{{Line: 1, Quantity: 1}}})
	x.tells("Order B, the same again; but one of its two mugs arrives broken and is refunded, before the hold is over. What goes back was on hold still, so the shop owes nothing: it is owed less. Our fee for that mug goes back, the processor's does not.")
	x.until(time.December, 8)
	x.tells("What is left of order B is released and transferred.")
	x.does(order.GiveBack{At: x.time(), Refund: uuid.New(), Amount: 300})
	x.tells("Now the shop gives 3.00 more back for the trouble. Of its part, 2.25, the reserve has 0.90; the rest was paid to the shop already, so it owes that, and it is taken back from the transfer.")

	x.buys(2, "pm_card_createDispute")
	x.ships()
	x.until(time.December, 9)
	x.tells("Order C is sold, released and transferred like order A.")
	x.until(time.December, 12)
	x.emptied()
	x.hears()
	x.tells("Then the buyer's bank takes the 24.00 back, and Stripe 15.00 for it. The shop's part is held for as long as that is undecided: 1.80 from its reserve, and 16.20 that was paid to it. But the shop has sent all its money to its bank, so nothing can be taken back: the debt is carried to the shop. That posts nothing, it owed as much before.")
	x.does(order.Answer{At: x.time(), Text: "losing_evidence"})
	x.hears() // of the fee, before the bank decides
	x.until(time.December, 13)
	x.hears()
	x.tells("The shop answers, which costs 15.00 more, and loses. What was held for it is gone, and so is our fee. Both fees of the dispute are ours.")

	_, err := x.commands.Shop(x.Context(), x.by("platform"), mugShop, shop.Adjust{At: x.time(), Shop: mugShop, Adjustment: uuid.New(), Kind: "bank charge",
		Amount: -250, Reason: "the shop's own bank sent a transfer back"})
	x.ok(err)
	x.tells("A bank charge of 2.50 is passed on to the shop. It has an account at Stripe, so this is netted with what it sells: it owes 18.70 now.")

	x.buys(3, "pm_card_visa")
	x.ships()
	x.until(time.December, 14)
	x.tells("Order D, three mugs. When its hold is over, its 27.00 pay the debt first; of the rest a tenth is kept, and 7.47 are transferred.")
}

// emptied is the shop's account: all that it was paid goes to its bank.
func (x *example) emptied() {
	x.Helper()
	paid := money.Minor(0)
	for _, id := range x.orders {
		x.ok(x.commands.Orders.Look(x.Context(), order.Stream(id), func(s order.State) error { paid += s.Payment.Settled; return nil }))
	}
	x.atStripe("POST", "/v1/payouts", url.Values{"amount": {fmt.Sprint(paid)}, "currency": {"gbp"}}, x.shopAcct)
}

// tells what happened since the last step, posting by posting, and what the shop
// is owed now.
func (x *example) tells(story string) {
	x.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n```\n", story)
	for rec, err := range x.walker.log.ReadAll(x.Context(), command.Forwards, command.ReadFrom{After: x.seen}, viewFilter, 0) {
		x.ok(err)
		x.seen = rec.Position
		e, err := domain.Events.Decode(rec)
		x.ok(err)
		x.log = append(x.log, e)
		entry, posts := ledger.Post(e.Body)
		if posts {
			x.books.Add(entry)
		}
		if trial := x.books.Trial("GBP"); trial != 0 {
			x.Fatalf("after %s the trial balance is %d", e.Type, trial)
		}
		who, ours := x.names[e.Stream]
		switch e.Body.(type) {
		case order.DebtCarried, shop.DebtNetted: // they move no money, and say why the next entry is as it is
			fmt.Fprintf(&b, "%s  %s  %s: no entry\n", e.OccurredAt.Format("2 Jan"), who, e.Type)
			continue
		}
		if posts && ours {
			fmt.Fprintf(&b, "%s  %s  %s (%s)\n%s", e.OccurredAt.Format("2 Jan"), who, entry.Text, e.Type, entryLines(entry))
		}
	}
	owed, says := x.books.OwedTo(mugShop, "GBP"), "the shop is owed"
	if owed < 0 {
		owed, says = -owed, "the shop owes"
	}
	fmt.Fprintf(&b, "%-40s%10s\n```\n\n", says, amountIn(owed, "GBP"))
	x.steps = append(x.steps, b.String())
}

// entryLines are the postings in two columns, debits and credits.
func entryLines(e ledger.Entry) string {
	var b strings.Builder
	for _, p := range e.Postings {
		debit, credit := amountIn(p.Amount, e.Currency), ""
		if p.Amount < 0 {
			debit, credit = "", amountIn(-p.Amount, e.Currency)
		}
		fmt.Fprintln(&b, strings.TrimRight(fmt.Sprintf("  %-28s%10s%10s", p.Account, debit, credit), " "))
	}
	return b.String()
}

func amountIn(m money.Minor, c money.Currency) string {
	return strings.TrimSuffix(money.Format(m, c), " "+string(c))
}

// told makes the blocks of the page: the steps, the statement of December, where
// its figures come from, and the books.
func (x *example) told(blocks map[string]string) {
	blocks["example"] = "\n" + strings.Join(x.steps, "")
	file := filepath.Join(x.TempDir(), "views.sqlite")
	store := x.folded(file)
	from, until, err := parsePeriod("2026-12")
	x.ok(err)
	s, err := settlement.ReadStatement(x.Context(), store, mugShop, "GBP", from, until)
	x.ok(err)
	now, err := settlement.Read(x.Context(), store)
	x.ok(err)
	then, err := settlement.AsOf(x.Context(), store, until)
	x.ok(err)
	x.ok(s.TiesTo(now))
	x.ok(s.TiesTo(then))
	if owed := x.books.OwedTo(mugShop, "GBP"); s.Closing != owed || owed == 0 {
		x.Errorf("the statement closes with %d, by the ledger the shop is owed %d", s.Closing, owed)
	}
	// What November ended with is what December begins with.
	november, err := settlement.AsOf(x.Context(), store, from)
	x.ok(err)
	if opened := owedIn(november, mugShop); s.Opening != opened || opened == 0 {
		x.Errorf("the statement opens with %d, the books had %d", s.Opening, opened)
	}
	command := fmt.Sprintf("\n```sh\nkicau settlement statement --shop %s --period 2026-12\n```\n\n", mugShop)
	blocks["statement"] = command + "```\n" + statementText(s) + "\n```\n\n"
	blocks["figures"] = x.figures(s)
	then.Accounts = slices.DeleteFunc(then.Accounts, func(b settlement.Balance) bool { return b.Balance == 0 })
	blocks["books"] = "\n```\n" + booksText(then) + "\n```\n\n"
	blocks["account"] = x.history(file, ledger.ShopReceivable)
}

// history of an account of the shop's, asked of the read models' file as anybody
// may ask it.
func (x *example) history(file string, a ledger.Account) string {
	query := fmt.Sprintf(`
  SELECT substr(data->>'at', 1, 10), data->>'stream', data->>'text', p.value->>'amount',
    sum(p.value->>'amount') OVER (ORDER BY data->>'at', journal.key)
  FROM %s AS journal, json_each(data, '$.postings') AS p
  WHERE p.value->>'account' = '%s' AND data->>'currency' = 'GBP'
    AND p.value->>'shop' = '%s'
  ORDER BY data->>'at', journal.key`, settlement.Journal.Table(), a, mugShop)
	db, err := sql.Open("sqlite", file)
	x.ok(err)
	defer db.Close()
	rows, err := db.QueryContext(x.Context(), query)
	x.ok(err)
	defer rows.Close()
	var b strings.Builder
	fmt.Fprintf(&b, "\n```sh\nsqlite3 -column kicau-data/views.sqlite \"%s\"\n```\n\n```\n", query)
	var sum money.Minor
	for rows.Next() {
		var day, stream, text string
		var amount money.Minor
		x.ok(rows.Scan(&day, &stream, &text, &amount, &sum))
		fmt.Fprintf(&b, "%s  %-8s  %-24s %6d %6d\n", day, x.names[stream], text, amount, sum)
	}
	x.ok(rows.Err())
	if booked := x.books.Total("GBP", a); sum != booked {
		x.Errorf("the history of %s ends with %d, the ledger has %d", a, sum, booked)
	}
	return b.String() + "```\n\n"
}

// folded is the log as read models.
func (x *example) folded(file string) *sqlstore.DB {
	x.Helper()
	store, err := sqlstore.Open(x.Context(), sqlstore.Options{Path: file})
	x.ok(err)
	x.Cleanup(func() { x.ok(store.Close()) })
	d := &desk{log: x.walker.log, logID: uuid.New()}
	x.ok(d.foldOn(x.Context(), settlement.Journal.View(), store, x.seen))
	x.ok(d.foldOn(x.Context(), settlement.Balances.View(), store, x.seen))
	return store
}

// owedIn is what books say a shop is owed.
func owedIn(books settlement.Books, who uuid.UUID) (owed money.Minor) {
	for _, b := range books.Accounts {
		if b.Shop == who.String() && slices.Contains(ledger.Owed, b.Account) {
			owed -= b.Balance
		}
	}
	return owed
}

// figure of a statement, by the name that the command prints.
type figure struct {
	name string
	of   func(settlement.Statement) money.Minor
}

var figures = []figure{
	{"owed at the beginning", func(s settlement.Statement) money.Minor { return s.Opening }},
	{"sold", func(s settlement.Statement) money.Minor { return s.Sold }},
	{"less fees", func(s settlement.Statement) money.Minor { return -s.Fees }},
	{"less tax", func(s settlement.Statement) money.Minor { return -s.Tax }},
	{"refunded", func(s settlement.Statement) money.Minor { return s.Refunded }},
	{"lost in disputes", func(s settlement.Statement) money.Minor { return s.Disputed }},
	{"adjusted", func(s settlement.Statement) money.Minor { return s.Adjusted }},
	{"transferred", func(s settlement.Statement) money.Minor { return s.Transferred }},
	{"taken back", func(s settlement.Statement) money.Minor { return s.TakenBack }},
	{"written off", func(s settlement.Statement) money.Minor { return s.WrittenOff }},
	{"owed at the end", func(s settlement.Statement) money.Minor { return s.Closing }},
}

// alone is a statement over the same time of an entry, or a part of one, alone.
func alone(of settlement.Statement, who uuid.UUID, e event.Data, at time.Time, entry ledger.Entry) settlement.Statement {
	s := settlement.Statement{Shop: who.String(), Currency: of.Currency, From: of.From, Until: of.Until}
	s.Add(settlement.Entry{Type: e.EventType(), At: at.UTC().Format("2006-01-02T15:04:05.000000000Z"), Currency: entry.Currency, Text: entry.Text, Postings: entry.Postings})
	return s
}

// figures says of each figure which events make it, by postings to which
// accounts, and which of the example did.
func (x *example) figures(s settlement.Statement) string {
	from, err := time.Parse("2006-01-02", s.From[:10])
	x.ok(err)
	var b strings.Builder
	b.WriteString("| figure | events | postings to | in the example |\n|---|---|---|---|\n")
	for _, f := range figures {
		at := from
		if f.name == "owed at the beginning" {
			at = from.Add(-1)
		}
		var events, accounts, here []string
		for _, sample := range samples {
			entry, _ := ledger.Post(sample.is)
			whole := alone(s, sampleShop, sample.is, at, entry)
			x.ok(whole.Ties()) // each posting is in one figure, or in none with its counterpart
			for _, p := range entry.Postings {
				part := ledger.Entry{Currency: entry.Currency, Postings: []ledger.Posting{p}}
				if f.of(alone(s, sampleShop, sample.is, at, part)) != 0 {
					events = once(events, "`"+sample.is.EventType()+"`")
					accounts = once(accounts, "`"+string(p.Account)+"`")
				}
			}
		}
		sum := money.Minor(0)
		for _, e := range x.log {
			entry, _ := ledger.Post(e.Body)
			if n := f.of(alone(s, mugShop, e.Body, e.OccurredAt, entry)); n != 0 {
				sum += n
				here = append(here, fmt.Sprintf("%s, %s: %s", x.names[e.Stream], entry.Text, amountIn(n, "GBP")))
			}
		}
		if sum != f.of(s) {
			x.Errorf("%q is %d, its entries come to %d", f.name, f.of(s), sum)
		}
		slices.Sort(accounts)
		switch f.name {
		case "owed at the beginning":
			events = []string{"all, before the period"}
		case "owed at the end":
			events, here = []string{"all, before the end of the period"}, []string{"the sum of the above, without fees and tax"}
		}
		if len(here) == 0 {
			here = []string{"none"}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", f.name, strings.Join(events, "<br>"), strings.Join(accounts, "<br>"), strings.Join(here, "<br>"))
	}
	return b.String()
}

func once(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}
