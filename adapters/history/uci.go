package history

import (
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"kicau/domain/order"
	"kicau/domain/refusal"
)

// The UCI "Online Retail" data set (D. Chen, 2015, doi 10.24432/C5BW33): every
// line of a UK giftware shop in a year, as four gzip CSV files with amounts in
// 1/1000 GBP.
//
// How it maps: a product is an offer, an invoice an order, placed and shipped
// when its last line was written; POST, DOT and C2 lines are the order's
// shipping; fee, commission and bad-debt lines adjust what is settled with the
// shop; a cancelled line gives back units of the sale line that
// refund_matches.csv.gz names. What has no place in a shop's history (stock
// write-offs, refunds without a sale, prices finer than a penny) is rejected
// with its reason.

// UCIShop is the name of the data set's one shop.
const UCIShop = "uci-online-retail"

// Refusals of UCI lines.
var (
	errWriteOff   = &refusal.Refusal{Kind: refusal.Rule, Code: "stock-write-off", Subject: "the line", Reason: "writes stock off; nothing was sold"}
	errNoSale     = &refusal.Refusal{Kind: refusal.Rule, Code: "refund-without-sale", Subject: "the line", Reason: "gives back what no earlier line sold"}
	errPartOfSale = &refusal.Refusal{Kind: refusal.Rule, Code: "refund-beyond-sale", Subject: "the line", Reason: "gives back more units than an earlier line sold"}
	errNegative   = &refusal.Refusal{Kind: refusal.Invalid, Code: "quantity-not-positive", Field: "qty", Subject: "the line", Reason: "sells a quantity that is not positive"}
	errZeroAdjust = &refusal.Refusal{Kind: refusal.Invalid, Code: "zero-adjustment", Subject: "the line", Reason: "adjusts by nothing"}
)

type uciInvoice struct {
	no, kind, customer, country string
	at                          time.Time
	lines                       []uciLine
}

type uciLine struct {
	row   int64 // of lines.csv, from 1
	no    int
	sku   string
	qty   int64
	milli int64 // GBP/1000 a unit
}

func (l uciLine) pounds(qty int64) json.Number {
	m := l.milli * qty
	sign := ""
	if m < 0 {
		sign, m = "-", -m
	}
	return json.Number(fmt.Sprintf("%s%d.%03d", sign, m/1000, m%1000))
}

type uciProduct struct {
	kind, description string
	milli             int64
}

type uciSale struct {
	invoice string
	line    int
	qty     int64
}

// UCI is the data set, read.
type UCI struct {
	invoices []uciInvoice
	inOrder  []int // invoices by time
	products map[string]uciProduct
	matches  map[string][]uciSale // by cancel invoice and line
	index    map[string]int       // of invoices, by number
	Lines    int64
}

// Invoices is how many there are.
func (u *UCI) Invoices() int64 { return int64(len(u.invoices)) }

// OpenUCI reads the data set in dir.
func OpenUCI(dir string) (*UCI, error) {
	u := &UCI{products: map[string]uciProduct{}, matches: map[string][]uciSale{}, index: map[string]int{}}
	err := errors.Join(
		readCSV(dir, "invoices", 9, func(f []string) error {
			at, err := time.Parse(time.DateTime, f[3])
			u.index[f[0]] = len(u.invoices)
			u.invoices = append(u.invoices, uciInvoice{no: f[0], kind: f[1], at: at, customer: f[4], country: f[5]})
			return err
		}),
		readCSV(dir, "products", 8, func(f []string) error {
			milli, err := strconv.ParseInt(f[3], 10, 64)
			u.products[f[0]] = uciProduct{f[1], f[2], milli}
			return err
		}),
		readCSV(dir, "refund_matches", 7, func(f []string) error {
			qty, err1 := strconv.ParseInt(f[3], 10, 64)
			line, err2 := strconv.Atoi(f[6])
			key := f[0] + "/" + f[1]
			u.matches[key] = append(u.matches[key], uciSale{f[5], line, qty})
			return errors.Join(err1, err2)
		}),
	)
	if err != nil {
		return nil, err
	}
	err = readCSV(dir, "lines", 5, func(f []string) error {
		u.Lines++
		no, err1 := strconv.Atoi(f[1])
		qty, err2 := strconv.ParseInt(f[3], 10, 64)
		milli, err3 := strconv.ParseInt(f[4], 10, 64)
		i, ok := u.index[f[0]]
		if !ok {
			return fmt.Errorf("line %d is of invoice %s, which invoices.csv.gz does not have", u.Lines, f[0])
		}
		l := uciLine{u.Lines, no, f[2], qty, milli}
		u.invoices[i].lines = append(u.invoices[i].lines, l)
		return errors.Join(err1, err2, err3)
	})
	u.inOrder = make([]int, len(u.invoices))
	for i := range u.inOrder {
		u.inOrder[i] = i
	}
	slices.SortStableFunc(u.inOrder, func(a, b int) int { return u.invoices[a].at.Compare(u.invoices[b].at) })
	return u, err
}

func readCSV(dir, name string, columns int, row func([]string) error) error {
	path := filepath.Join(dir, name+".csv.gz")
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("the UCI data set: %w", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	r := csv.NewReader(z)
	r.FieldsPerRecord, r.ReuseRecord = columns, true
	for n := 0; ; n++ {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && n > 0 {
			for i := range fields {
				fields[i] = strings.Clone(fields[i])
			}
			err = row(fields)
		}
		if err != nil {
			return fmt.Errorf("%s, row %d: %w", path, n+1, err)
		}
	}
}

// Items of the data set, in time order.
func (im *Importer) UCIItems(u *UCI) iter.Seq2[Item, error] {
	return instants(func(yield func(Item, error) bool) {
		m := &uciMapper{im: im, u: u, tweeted: map[string]bool{}}
		for _, i := range u.inOrder {
			for _, item := range m.invoice(u.invoices[i]) {
				if !yield(item, nil) {
					return
				}
			}
		}
	})
}

type uciMapper struct {
	im      *Importer
	u       *UCI
	onboard bool
	tweeted map[string]bool
}

// setup is what must be there before an invoice: the shop, and an offer for
// each of its products. It accounts for no line of the input.
func (m *uciMapper) setup(inv uciInvoice) []Item {
	var items []Item
	if !m.onboard {
		m.onboard = true
		items = append(items, m.im.Item(Line{At: inv.at, Do: "onboard-shop", Shop: UCIShop, Name: "Online Retail (UCI)", Currency: "GBP", FeeBasisPoints: 500}))
	}
	for _, l := range inv.lines {
		p := m.u.products[l.sku]
		if m.tweeted[l.sku] || isShipping(p.kind) || isAdjustment(p.kind) {
			continue
		}
		m.tweeted[l.sku] = true
		title := p.description
		if title == "" {
			title = l.sku
		}
		price := uciLine{milli: p.milli / 10 * 10}.pounds(1)
		items = append(items, m.im.Item(Line{At: inv.at, Do: "tweet-offer", Offer: uciName(l.sku), Shop: UCIShop, Text: title, Title: title, SKU: l.sku, Price: price}))
	}
	return items
}

func uciName(name string) string  { return UCIShop + "/" + name }
func isShipping(kind string) bool { return kind == "postage" || kind == "carriage" }
func isAdjustment(kind string) bool {
	return kind == "fee" || kind == "commission" || kind == "bad_debt"
}
func (l uciLine) pence() bool              { return l.milli%10 == 0 }
func (i uciInvoice) place(l uciLine) Place { return Place{Line: l.row, Invoice: i.no} }

// invoice maps an invoice to items that account for each of its lines once.
func (m *uciMapper) invoice(inv uciInvoice) []Item {
	items := m.setup(inv)
	var rest []uciLine
	for _, l := range inv.lines {
		switch {
		case inv.kind == "stock_writeoff":
			items = append(items, bad(inv, l, errWriteOff))
		case isAdjustment(m.u.products[l.sku].kind):
			items = append(items, m.adjust(inv, l))
		default:
			rest = append(rest, l)
		}
	}
	switch {
	case len(rest) == 0:
	case inv.kind == "sale":
		items = append(items, m.sale(inv, rest)...)
	default:
		items = append(items, m.refunds(inv, rest)...)
	}
	return items
}

func bad(inv uciInvoice, l uciLine, why error) Item {
	return Item{Lines: []Place{inv.place(l)}, Bad: why}
}

func (m *uciMapper) adjust(inv uciInvoice, l uciLine) Item {
	if l.qty*l.milli == 0 {
		return bad(inv, l, errZeroAdjust)
	}
	p := m.u.products[l.sku]
	name := fmt.Sprintf("%s/%d", inv.no, l.no)
	item := m.im.Item(Line{At: inv.at, Do: "adjust-shop", Shop: UCIShop, Adjustment: uciName(name), Kind: p.kind, Amount: l.pounds(l.qty), Reason: p.description})
	item.Lines = []Place{inv.place(l)}
	return item
}

// sale maps a sale to an order that is placed and shipped at once.
func (m *uciMapper) sale(inv uciInvoice, lines []uciLine) []Item {
	var items []Item
	var places []Place
	place := Line{At: inv.at, Do: "place-order", Order: uciName(inv.no), Buyer: uciBuyer(inv), Jurisdiction: inv.country, Processor: UCIShop}
	shipping := uciLine{}
	for _, l := range lines {
		switch {
		case l.qty < 1:
			items = append(items, bad(inv, l, errNegative))
			continue
		case isShipping(m.u.products[l.sku].kind):
			shipping.milli += l.qty * l.milli
		default:
			if !l.pence() {
				items = append(items, bad(inv, l, m.tooFine(l)))
				continue
			}
			price := l.pounds(1)
			place.Lines = append(place.Lines, OrderLine{Offer: uciName(l.sku), Quantity: l.qty, Price: &price})
		}
		places = append(places, inv.place(l))
	}
	if len(places) == 0 {
		return items
	}
	amount := shipping.pounds(1)
	place.Shipping = &amount
	item := m.im.Item(place)
	ship := m.im.Item(Line{At: inv.at, Do: "ship-order", Order: place.Order})
	item = item.then(ship)
	item.Lines = places
	return append(items, item)
}

func (m *uciMapper) tooFine(l uciLine) error {
	_, err := amountIn("GBP", "unit_price_milli_gbp", l.pounds(1))
	return err
}

// uciBuyer is the customer; an invoice without one was bought by a guest.
func uciBuyer(inv uciInvoice) string {
	if inv.customer == "" {
		return uciName("guest/" + inv.no)
	}
	return uciName("customer/" + inv.customer)
}

// then runs next after item; together they are accepted or rejected.
func (item Item) then(next Item) Item {
	if item.Bad != nil || next.Bad != nil {
		return Item{Bad: errors.Join(item.Bad, next.Bad)}
	}
	first := item.Run
	item.Run = func(ctx context.Context) (int, error) {
		n, err := first(ctx)
		if err != nil {
			return n, err
		}
		k, err := next.Run(ctx)
		return n + k, err
	}
	for _, w := range next.Writes {
		if !slices.Contains(item.Writes, w) {
			item.Writes = append(item.Writes, w)
		}
	}
	item.Reads = append(item.Reads, next.Reads...)
	item.Alone = item.Alone || next.Alone
	return item
}

// refunds maps the lines of a cancellation: each gives back units of the sale
// lines that it is matched with.
func (m *uciMapper) refunds(inv uciInvoice, lines []uciLine) []Item {
	var items []Item
	for _, l := range lines {
		parts, err := m.parts(inv, l)
		if err != nil {
			items = append(items, bad(inv, l, err))
			continue
		}
		var refunds []Item
		for i, s := range parts {
			refunds = append(refunds, m.refund(inv, l, i, s))
		}
		item := allOrNone(refunds)
		item.Lines = []Place{inv.place(l)}
		items = append(items, item)
	}
	return items
}

// parts are the sale lines that a cancelled line is matched with, each once, by
// their numbers in their orders.
func (m *uciMapper) parts(inv uciInvoice, l uciLine) ([]uciSale, error) {
	var parts []uciSale
	matched := int64(0)
	for _, s := range m.u.matches[fmt.Sprintf("%s/%d", inv.no, l.no)] {
		matched += s.qty
		n := m.orderLine(s)
		if n == 0 {
			return nil, errNoSale.Because("gives back what line %d of invoice %s sold, which was not taken over", s.line, s.invoice)
		}
		s.line = n
		i := slices.IndexFunc(parts, func(p uciSale) bool { return p.invoice == s.invoice && p.line == s.line })
		if i < 0 {
			parts = append(parts, s)
		} else {
			parts[i].qty += s.qty
		}
	}
	switch {
	case len(parts) == 0:
		return nil, errNoSale
	case matched != -l.qty:
		return nil, errPartOfSale.Because("gives back %d units of which earlier lines sold %d", -l.qty, matched)
	}
	return parts, nil
}

// refund gives back units of a line of an order.
func (m *uciMapper) refund(inv uciInvoice, l uciLine, part int, s uciSale) Item {
	return m.im.Item(Line{
		At: inv.at, Do: "refund-order", Order: uciName(s.invoice), Refund: uciName(fmt.Sprintf("%s/%d/%d", inv.no, l.no, part)),
		Units: []order.Units{{Line: s.line, Quantity: s.qty}}, KeepShipping: true, Reason: "cancelled in " + inv.no,
	})
}

// orderLine is the number that a sale line got in its order; 0 when it is in
// none: shipping and lines that were rejected.
func (m *uciMapper) orderLine(s uciSale) int {
	i, ok := m.u.index[s.invoice]
	if !ok || m.u.invoices[i].kind != "sale" {
		return 0
	}
	n := 0
	for _, l := range m.u.invoices[i].lines {
		p := m.u.products[l.sku].kind
		inOrder := l.qty > 0 && l.pence() && !isShipping(p) && !isAdjustment(p)
		if inOrder {
			n++
		}
		if l.no == s.line {
			if inOrder {
				return n
			}
			break
		}
	}
	return 0
}

// allOrNone runs items one after the other if none of them is refused.
func allOrNone(items []Item) Item {
	item := items[0]
	for _, next := range items[1:] {
		item = item.then(next)
	}
	if item.Bad != nil {
		return item
	}
	run := item.Run
	item.Run = func(ctx context.Context) (int, error) {
		for _, i := range items[1:] {
			if err := i.check(ctx); err != nil {
				return 0, err
			}
		}
		return run(ctx)
	}
	return item
}
