package history_test

import (
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kicau/adapters/history"
	"kicau/domain/event"
	"kicau/domain/ledger"
	"kicau/domain/money"
	"kicau/domain/order"
)

// A UCI data set in small, with every kind of line that the real one has and
// some that it could have. The lines of lines.csv say what becomes of them.
const (
	uciInvoices = `invoice_no,kind,ts_first_line,ts_last_line,customer_id,country,lines,units,total_milli_gbp
100,sale,2010-12-01 08:26:00,2010-12-01 08:26:00,17850,United Kingdom,4,0,0
C101,cancel,2010-12-01 09:00:00,2010-12-01 09:00:00,17850,United Kingdom,9,0,0
102,sale,2010-12-01 08:30:00,2010-12-01 08:31:00,,France,5,0,0
103,sale,2010-12-01 08:31:00,2010-12-01 08:31:00,17850,United Kingdom,1,0,0
104,stock_writeoff,2010-12-01 08:32:00,2010-12-01 08:32:00,,United Kingdom,1,-4,0
A105,adjust,2010-12-01 08:33:00,2010-12-01 08:33:00,,United Kingdom,2,1,0
106,sale,2010-12-01 08:34:00,2010-12-01 08:34:00,,United Kingdom,1,1,0
C107,cancel,2010-12-01 08:35:00,2010-12-01 08:35:00,,United Kingdom,2,-1,0
108,sale,2010-12-01 08:36:00,2010-12-01 08:36:00,17850,United Kingdom,2,1,0
109,sale,2010-12-01 08:40:00,2010-12-01 08:40:00,17850,United Kingdom,2,1,0
`
	uciLines = `invoice_no,line_no,sku,qty,unit_price_milli_gbp
100,1,MUG,6,2550
100,2,POST,1,18000
100,3,JUG,2,3390
100,4,MUG,1,2550
C101,1,MUG,-2,2550
C101,2,JUG,-2,3390
C101,3,MUG,-5,2550
C101,4,MUG,-1,2550
C101,5,POST,-1,18000
C101,6,TEA,-1,1
C101,7,JUG,-1,3390
C101,8,JUG,-1,3390
C101,9,TEA,-2,1
102,1,TEA,3,1
102,2,MUG,0,2550
102,3,MUG,2,0
102,4,C2,1,50000
102,5,JUG,1,3000
103,1,TEA,5,0
104,1,MUG,-4,0
A105,1,B,1,-11060
A105,2,B,1,0
106,1,BANK CHARGES,1,15000
C107,1,BANK CHARGES,-1,1050
C107,2,M,-1,500
108,1,POST,1,18000
108,2,AMAZONFEE,1,7000
109,1,MUG,1,2550
109,2,JUG,3,3390
`
	uciProducts = `sku,kind,description,price_median_milli_gbp,price_min_milli_gbp,price_max_milli_gbp,first_seen,lines
MUG,product,"MUG, BLUE",2550,0,2550,2010-12-01 08:26:00,9
JUG,product,,3390,3000,3390,2010-12-01 08:26:00,4
TEA,product,TEA,1,0,1,2010-12-01 08:26:00,3
POST,postage,POSTAGE,18000,18000,18000,2010-12-01 08:26:00,2
C2,carriage,CARRIAGE,50000,50000,50000,2010-12-01 08:26:00,1
B,bad_debt,Adjust bad debt,0,-11062,0,2010-12-01 08:26:00,1
BANK CHARGES,fee,Bank Charges,15000,1050,15000,2010-12-01 08:26:00,2
AMAZONFEE,fee,AMAZON FEE,7000,7000,7000,2010-12-01 08:26:00,1
`
	// C101/2 is of two orders; C101/3 of a part that is there and one that is
	// more than was sold; C101/6 of a line that was too fine; C101/7 of an
	// invoice that is not there; C101/8 in part only; C101/9 of shipping.
	uciMatches = `cancel_invoice,cancel_line,sku,qty,unit_price_milli_gbp,sale_invoice,sale_line
C101,1,MUG,2,2550,100,1
C101,2,JUG,1,3390,109,2
C101,2,JUG,1,3390,100,3
C101,3,MUG,1,2550,109,1
C101,3,MUG,4,2550,100,4
C101,4,MUG,1,2550,100,4
C101,6,TEA,1,1,102,1
C101,7,JUG,1,3390,999,1
C101,8,JUG,0,3390,109,2
C101,9,TEA,2,1,100,2
`
)

// uciFate is what becomes of the lines of lines.csv, by number: the code of the
// refusal, or nothing.
var uciFate = map[int64]string{
	7: "more-than-ordered", 9: "refund-without-sale", 10: "refund-without-sale", 11: "refund-without-sale", 12: "refund-beyond-sale",
	13: "refund-without-sale", 14: "finer-than-minor-unit", 15: "quantity-not-positive", 19: "nothing-to-pay", 20: "stock-write-off",
	22: "zero-adjustment", 25: "refund-without-sale", 26: "order-without-lines",
}

func uciDir(t *testing.T, lines string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"invoices": uciInvoices, "lines": lines, "products": uciProducts, "refund_matches": uciMatches} {
		f, err := os.Create(filepath.Join(dir, name+".csv.gz"))
		if err != nil {
			t.Fatal(err)
		}
		z := gzip.NewWriter(f)
		if _, err := z.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (s *scene) importsUCI(t *testing.T, dir string) outcome {
	t.Helper()
	u, err := history.OpenUCI(dir)
	if err != nil {
		t.Fatal(err)
	}
	o := run(context.Background(), s.importer().UCIItems(u))
	if o.err != nil {
		t.Fatal(o.err)
	}
	if o.Read != u.Lines || o.Accepted+o.Rejected != o.Read {
		t.Errorf("of %d lines: %+v", u.Lines, o.Tally)
	}
	return o
}

func TestUCI(t *testing.T) {
	s := newScene(t)
	dir := uciDir(t, uciLines)
	o := s.importsUCI(t, dir)
	fate := map[int64]string{}
	for _, r := range o.Rejects {
		fate[r.Line] = r.Code
		if r.Invoice != strings.Split(strings.Split(uciLines, "\n")[r.Line], ",")[0] {
			t.Errorf("line %d is not of invoice %s", r.Line, r.Invoice)
		}
	}
	equal(t, "rejected lines", fate, uciFate)

	uci := func(kind, name string) string { return stream(kind, "uci-online-retail/"+name) }
	for name, want := range map[string]string{
		uci("order", "100"): "OrderPlaced PaymentAuthorised OrderShipped PaymentCaptured OrderRefundAgreed PaymentRefunded OrderRefundAgreed PaymentRefunded OrderRefundAgreed PaymentRefunded",
		uci("order", "102"): "OrderPlaced PaymentAuthorised OrderShipped PaymentCaptured",
		uci("order", "103"): "",
		uci("order", "108"): "",
		uci("order", "109"): "OrderPlaced PaymentAuthorised OrderShipped PaymentCaptured OrderRefundAgreed PaymentRefunded",
		uci("offer", "MUG"): "OfferTweeted", uci("offer", "POST"): "", uci("offer", "B"): "",
		stream("shop", "uci-online-retail"): "ShopOnboarded ShopAdjusted ShopAdjusted ShopAdjusted ShopAdjusted",
	} {
		equal(t, name, s.types(t, name), want)
	}

	before := content(s.records(t, nil))
	again := s.importsUCI(t, dir)
	equal(t, "accepted lines, again", again.accepted, o.accepted)
	equal(t, "the log, again", content(s.records(t, nil)), before)

	checkUCIBooks(t, uciLines, o, s.events(t))
}

// checkUCIBooks works the books out from the lines that were accepted, as a
// clerk would, and compares them with what the ledger makes of the events.
func checkUCIBooks(t *testing.T, lines string, o outcome, events []event.Event) {
	t.Helper()
	var sold, shipped, refunded, adjusted int64 // GBP/1000
	for i, l := range strings.Split(strings.TrimSpace(lines), "\n")[1:] {
		f := strings.Split(l, ",")
		qty, err1 := strconv.ParseInt(f[3], 10, 64)
		milli, err2 := strconv.ParseInt(f[4], 10, 64)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		switch {
		case !slices.Contains(o.accepted, int64(i+1)):
		case f[2] == "B" || f[2] == "BANK CHARGES" || f[2] == "AMAZONFEE":
			adjusted += qty * milli
		case f[2] == "POST" || f[2] == "C2":
			shipped += qty * milli
		case qty > 0:
			sold += qty * milli
		default:
			refunded -= qty * milli
		}
	}
	var goods, shipping, back money.Minor
	books := ledger.Balances{}
	for _, e := range events {
		switch b := e.Body.(type) {
		case order.Captured:
			goods, shipping = goods+b.Goods, shipping+b.Shipping
		case order.Refunded:
			back += b.Amount
		}
		if entry, posts := ledger.Post(e.Body); posts {
			books.Add(entry)
		}
	}
	pence := func(milli int64) money.Minor {
		if milli%10 != 0 {
			t.Fatalf("%d/1000 GBP are no whole pence", milli)
		}
		return money.Minor(milli / 10)
	}
	in := func(a ledger.Account) money.Minor { return books.Total("GBP", a) }
	equal(t, "goods, shipping, refunds", []money.Minor{goods, shipping, back}, []money.Minor{pence(sold), pence(shipped), pence(refunded)})
	equal(t, "what others took for us", in(ledger.OutsideProcessors), pence(sold+shipped-refunded))
	equal(t, "adjustments", in(ledger.Adjustments), pence(adjusted))
	equal(t, "the trial balance", books.Trial("GBP"), 0)
	owed := -in(ledger.ShopPayable) - in(ledger.ShopReceivable) - in(ledger.PlatformFees) - in(ledger.FeesRefunded)
	equal(t, "what the shop and we have of it", owed, pence(sold+shipped-refunded+adjusted))
}

// A data set that is not whole is refused before anything is imported.
func TestDamagedUCI(t *testing.T) {
	dir := uciDir(t, uciLines)
	for _, c := range []struct{ name, lines, want string }{
		{"an unknown invoice", uciLines + "999,1,MUG,1,2550\n", "999"},
		{"no number", uciLines + "109,3,MUG,one,2550\n", "row 31"},
		{"a column short", uciLines + "109,3,MUG,1\n", "row 31"},
	} {
		if _, err := history.OpenUCI(uciDir(t, c.lines)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for _, name := range []string{"invoices", "lines", "products", "refund_matches"} {
		path := filepath.Join(dir, name+".csv.gz")
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, cut := range []int{0, 5, len(whole) / 2, len(whole) - 1} {
			if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := history.OpenUCI(dir); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s cut at %d of %d: %v", name, cut, len(whole), err)
			}
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := history.OpenUCI(filepath.Join(dir, "elsewhere")); err == nil {
		t.Error("a directory that is not there was opened")
	}
	if u, err := history.OpenUCI(dir); err != nil || u.Invoices() != 10 {
		t.Error(fmt.Sprint(u.Invoices(), err))
	}
}
