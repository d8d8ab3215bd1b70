package ledger_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"kicau/domain/decider"
	"kicau/domain/event"
	"kicau/domain/ledger"
	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/domain/payment"
)

// journal is the books of one order, as its deciders make them happen: an order
// of USD 50.00 without shipping and tax, a fee of 10 %, 1.75 for the processor,
// 10 % of the shop's share in reserve for thirty days.
type journal struct {
	t       *testing.T
	at      time.Time
	log     []event.Data
	entered []string // since the last look
	books   ledger.Balances
	dispute payment.SeenDispute
}

func open(t *testing.T, principal bool) *journal {
	j := &journal{t: t, at: noon, books: ledger.Balances{}}
	return j.by(order.Place{
		At: noon, Order: uuid.UUID{0: 1}, Shop: potter, Buyer: uuid.UUID{0: 0xa},
		Lines: []order.Ask{{Offer: uuid.UUID{0: 0x11}, Quantity: 1, Shop: potter, Title: "Vase", Price: 5000}},
		Terms: order.Terms{Currency: "USD", FeeBasisPoints: 1000, HoldHours: 72, ReserveBasisPoints: 1000, ReserveDays: 30,
			Principal: principal, Destination: "acct_shop"},
		Processor: order.Stripe, PaymentMethod: "pm_1", HoldUntil: noon.Add(15 * time.Minute),
	})
}

// took writes down what was decided. The trial balance is zero after every event.
func (j *journal) took(events []event.Data, err error) *journal {
	j.t.Helper()
	if err != nil || len(events) == 0 {
		j.t.Fatalf("it does not go on: %v, %v", events, err)
	}
	for _, e := range events {
		j.log = append(j.log, e)
		if entry, posts := ledger.Post(e); posts {
			j.books.Add(entry)
			j.entered = append(j.entered, written(entry, posts)...)
		}
		if got := j.books.Trial("USD"); got != 0 {
			j.t.Fatalf("after %s the trial balance is %d", e.EventType(), got)
		}
	}
	return j
}

func (j *journal) state() order.State { return decider.Fold(order.Decider, j.log...) }

// by people.
func (j *journal) by(c order.Command) *journal {
	j.t.Helper()
	return j.took(order.Decider.Decide(j.state(), c))
}

// next is what the saga does by itself; the shop owes nothing of other orders.
func (j *journal) next() *journal {
	j.t.Helper()
	return j.took(payment.Decider.Decide(j.state(), payment.Advance{At: j.at, Account: "acct", Shop: &payment.ShopSays{}}))
}

// says is what the processor answers to the open call.
func (j *journal) says(o payment.Outcome) *journal {
	j.t.Helper()
	due, _ := payment.Due(j.state())
	return j.took(payment.Decider.Decide(j.state(), payment.Record{At: j.at, Account: "acct", Key: due.Key, Outcome: o}))
}

// shows is what the processor says unasked.
func (j *journal) shows(s payment.Seen) *journal {
	j.t.Helper()
	s.Intent = "pi_1"
	return j.took(payment.Decider.Decide(j.state(), payment.Observe{At: j.at, Account: "acct", Seen: s}))
}

// bank moves money because of the dispute, and may end it.
func (j *journal) bank(result order.DisputeResult, moved ...payment.Movement) *journal {
	j.t.Helper()
	j.dispute.Result = result
	j.dispute.Movements = append(slices.Clip(j.dispute.Movements), moved...)
	return j.shows(payment.Seen{Disputes: []payment.SeenDispute{j.dispute}})
}

// entries says what was entered since the last look, and what the shop is owed now.
func (j *journal) entries(what string, owed money.Minor, want string) *journal {
	j.t.Helper()
	if diff := cmp.Diff(lines(want), j.entered); diff != "" {
		j.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
	if got := j.books.OwedTo(potter, "USD"); got != owed {
		j.t.Errorf("%s: the shop is owed %s, want %s", what, money.Format(got, "USD"), money.Format(owed, "USD"))
	}
	j.entered = nil
	return j
}

// stands compares all balances, memo accounts that are even not among them.
func (j *journal) stands(what string, want map[ledger.Account]money.Minor) {
	j.t.Helper()
	got := map[ledger.Account]money.Minor{}
	for _, a := range ledger.Chart {
		if total := j.books.Total("USD", a); total != 0 {
			got[a] = total
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		j.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// sold is the order up to the day on which the shop has all its money.
func sold(t *testing.T) *journal {
	ends := noon.AddDate(0, 0, 7)
	j := open(t, false).next().says(payment.Authorised{Intent: "pi_1", Charge: "ch_1", Amount: 5000, ExpiresAt: &ends}).
		entries("authorised", 0, `
			USD authorised
			9010 authorised                50.00
			9011 authorised_contra                  50.00`)
	j.by(order.Ship{At: j.at}).next().says(payment.Captured{Intent: "pi_1", Charge: "ch_1", Transaction: "txn_1", Amount: 5000, ProcessorFee: 175}).
		entries("captured", 4500, `
			USD captured
			1020 stripe_balance            48.25            shop
			5010 processor_fees             1.75            shop
			2010 shop_payable                       45.00   shop
			4010 platform_fee_revenue                5.00   shop
			9010 authorised                         50.00
			9011 authorised_contra         50.00`)
	j.at = j.at.Add(72 * time.Hour)
	j.next().entries("released after the hold", 4500, `
			USD released after the hold
			2010 shop_payable              45.00            shop
			2012 shop_reserve                        4.50   shop
			2011 shop_available                     40.50   shop`)
	j.says(payment.Transferred{Transfer: "tr_1"}).entries("transferred", 450, `
			USD settled with the shop
			2011 shop_available            40.50            shop
			1020 stripe_balance                     40.50   shop`)
	j.at = j.at.AddDate(0, 0, 30)
	return j.next().says(payment.Transferred{Transfer: "tr_2"}).entries("the reserve is released and transferred", 0, `
			USD reserve released
			2012 shop_reserve               4.50            shop
			2011 shop_available                      4.50   shop
			USD settled with the shop
			2011 shop_available             4.50            shop
			1020 stripe_balance                      4.50   shop`)
}

// returned is 20.00 given back to the buyer after that, and the shop's part of
// it taken back from the shop, from its newest transfer first.
func returned(t *testing.T) *journal {
	j := sold(t)
	j.by(order.GiveBack{At: j.at, Refund: uuid.UUID{1}, Amount: 2000}).next().says(payment.Refunded{RefundID: "re_1", Transaction: "txn_2"}).
		entries("refunded", -1800, `
			USD refunded
			1050 shop_receivable           18.00            shop
			4090 fee_revenue_refunds        2.00            shop
			1020 stripe_balance                     20.00   shop`)
	return j.says(payment.Reversed{Reversal: "trr_1"}).says(payment.Reversed{Reversal: "trr_2"}).entries("transfers reversed", 0, `
			USD transfer reversed
			1020 stripe_balance             4.50            shop
			1050 shop_receivable                     4.50   shop
			USD transfer reversed
			1020 stripe_balance            13.50            shop
			1050 shop_receivable                    13.50   shop`)
}

// disputed is the rest of the order in dispute: the bank takes 30.00 and the
// processor a fee of 15.00; the shop's part is taken back from it and held; the
// evidence costs 15.00 more.
func disputed(t *testing.T) *journal {
	j := returned(t)
	due := j.at.AddDate(0, 0, 7)
	j.dispute = payment.SeenDispute{ID: "dp_1", Charge: "ch_1", Amount: 3000, Reason: "fraudulent", EvidenceDue: &due}
	j.bank("", payment.Movement{Transaction: "txn_3", Amount: -3000, Fee: 1500}).entries("disputed", 0, `
			USD dispute opened
			1040 disputed_funds            30.00            shop
			5020 dispute_fees              15.00            shop
			1020 stripe_balance                     45.00   shop
			1050 shop_receivable           27.00            shop
			2013 shop_dispute_hold                  27.00   shop`)
	j.says(payment.Reversed{Reversal: "trr_3"}).entries("taken back from the shop", 2700, `
			USD transfer reversed
			1020 stripe_balance            27.00            shop
			1050 shop_receivable                    27.00   shop`)
	j.dispute.Submitted = true
	return j.bank("", payment.Movement{Transaction: "txn_4", Fee: 1500}).entries("evidence submitted", 2700, `
			USD fee for answering a dispute
			5020 dispute_fees              15.00            shop
			1020 stripe_balance                     15.00   shop`)
}

func lost(t *testing.T) *journal {
	return disputed(t).bank(order.Lost).entries("lost", 0, `
			USD dispute lost
			2013 shop_dispute_hold         27.00            shop
			4090 fee_revenue_refunds        3.00            shop
			1040 disputed_funds                     30.00   shop`)
}

// An order that was paid, refunded in part and disputed for the rest, and lost:
// the platform has earned nothing and paid the fees.
func TestTheBooksOfALostDispute(t *testing.T) {
	lost(t).stands("in the end", map[ledger.Account]money.Minor{
		ledger.StripeBalance: -3175,
		ledger.PlatformFees:  -500, ledger.FeesRefunded: 500,
		ledger.ProcessorFees: 175, ledger.DisputeFees: 3000,
	})
}

// Won: the amount comes back, and the fee for answering. The fee for the dispute
// itself does not. The shop gets its part as on the first day, reserve included.
func TestTheBooksOfAWonDispute(t *testing.T) {
	j := disputed(t).bank(order.Won, payment.Movement{Transaction: "txn_5", Amount: 3000}, payment.Movement{Transaction: "txn_6", Fee: -1500}).
		entries("won", 2700, `
			USD dispute won
			1020 stripe_balance            30.00            shop
			2010 shop_payable                       27.00   shop
			2013 shop_dispute_hold         27.00            shop
			1040 disputed_funds                     30.00   shop
			USD fee for answering a dispute
			5020 dispute_fees                       15.00   shop
			1020 stripe_balance            15.00            shop`)
	j.next().says(payment.Transferred{Transfer: "tr_3"}).entries("transferred again", 270, `
			USD released after the hold
			2010 shop_payable              27.00            shop
			2012 shop_reserve                        2.70   shop
			2011 shop_available                     24.30   shop
			USD settled with the shop
			2011 shop_available            24.30            shop
			1020 stripe_balance                     24.30   shop`)
	j.stands("in the end", map[ledger.Account]money.Minor{
		ledger.StripeBalance: -1105, ledger.ShopReserve: -270,
		ledger.PlatformFees: -500, ledger.FeesRefunded: 200,
		ledger.ProcessorFees: 175, ledger.DisputeFees: 1500,
	})
}

// A bank may change its mind: a lost dispute that is won after all undoes all
// that losing it had entered.
func TestTheBooksOfALostDisputeThatIsWonAfterAll(t *testing.T) {
	lost(t).bank(order.Won, payment.Movement{Transaction: "txn_5", Amount: 3000}).entries("won after all", 2700, `
			USD lost dispute won after all
			1020 stripe_balance            30.00            shop
			2010 shop_payable                       27.00   shop
			4090 fee_revenue_refunds                 3.00   shop`).
		stands("in the end", map[ledger.Account]money.Minor{
			ledger.StripeBalance: -175, ledger.ShopPayable: -2700,
			ledger.PlatformFees: -500, ledger.FeesRefunded: 200,
			ledger.ProcessorFees: 175, ledger.DisputeFees: 3000,
		})
}

// A refund that the processor accepted first and paid later is owed to the buyer
// in between; one that comes back after it was paid is undone.
func TestTheBooksOfARefundThatTakesTime(t *testing.T) {
	j := sold(t)
	j.by(order.GiveBack{At: j.at, Refund: uuid.UUID{1}, Amount: 2000}).next().says(payment.Refunded{RefundID: "re_1", Pending: true}).
		entries("accepted", -1800, `
			USD refund accepted
			1050 shop_receivable           18.00            shop
			4090 fee_revenue_refunds        2.00            shop
			2020 refunds_pending                    20.00   shop`)
	seen := payment.SeenRefund{ID: "re_1", Refund: uuid.UUID{1}, Amount: 2000, Status: payment.RefundSucceeded, Transaction: "txn_2"}
	j.shows(payment.Seen{Refunds: []payment.SeenRefund{seen}}).entries("paid", -1800, `
			USD pending refund paid
			2020 refunds_pending           20.00            shop
			1020 stripe_balance                     20.00   shop`)
	j.says(payment.Reversed{Reversal: "trr_1"}).says(payment.Reversed{Reversal: "trr_2"}).entries("transfers reversed", 0, `
			USD transfer reversed
			1020 stripe_balance             4.50            shop
			1050 shop_receivable                     4.50   shop
			USD transfer reversed
			1020 stripe_balance            13.50            shop
			1050 shop_receivable                    13.50   shop`)
	seen.Status, seen.Returned = payment.RefundFailed, "txn_3"
	j.shows(payment.Seen{Refunds: []payment.SeenRefund{seen}}).entries("came back", 1800, `
			USD refund came back
			1020 stripe_balance            20.00            shop
			2010 shop_payable                       18.00   shop
			4090 fee_revenue_refunds                 2.00   shop`)
	j.stands("as if it had not been given", map[ledger.Account]money.Minor{
		ledger.StripeBalance: 2125, ledger.ShopPayable: -1800, ledger.PlatformFees: -500, ledger.ProcessorFees: 175,
	})
}

// As principal the platform sells the vase itself. Taken before it is shipped,
// the money is not earned; then the whole price is revenue, and the shop's share
// what the vase cost.
func TestTheBooksOfAPrincipal(t *testing.T) {
	ends := noon.AddDate(0, 0, 7)
	j := open(t, true).next().says(payment.Authorised{Intent: "pi_1", Charge: "ch_1", Amount: 5000, ExpiresAt: &ends})
	j.entered = nil
	j.shows(payment.Seen{Outcome: payment.Captured{Intent: "pi_1", Charge: "ch_1", Transaction: "txn_1", Amount: 5000, ProcessorFee: 175}}).
		entries("taken before shipment", 0, `
			USD captured
			1020 stripe_balance            48.25            shop
			5010 processor_fees             1.75            shop
			2040 deferred_revenue                   50.00   shop
			9010 authorised                         50.00
			9011 authorised_contra         50.00`)
	j.by(order.Ship{At: j.at}).next().entries("shipped", 4500, `
			USD earned
			2040 deferred_revenue          50.00            shop
			2010 shop_payable                       45.00   shop
			4020 sales_revenue                      50.00   shop
			5060 cost_of_shop_supply       45.00            shop`)
	j.by(order.GiveBack{At: j.at, Refund: uuid.UUID{1}, Amount: 2000}).next().says(payment.Refunded{RefundID: "re_1", Transaction: "txn_2"}).
		entries("refunded", 2700, `
			USD refunded
			2010 shop_payable              18.00            shop
			4091 sales_refunds             20.00            shop
			5060 cost_of_shop_supply                18.00   shop
			1020 stripe_balance                     20.00   shop`)
	due := j.at.AddDate(0, 0, 7)
	j.dispute = payment.SeenDispute{ID: "dp_1", Charge: "ch_1", Amount: 3000, Reason: "fraudulent", EvidenceDue: &due, Submitted: true}
	j.bank("", payment.Movement{Transaction: "txn_3", Amount: -3000, Fee: 1500}).entries("disputed", 2700, `
			USD dispute opened
			1040 disputed_funds            30.00            shop
			5020 dispute_fees              15.00            shop
			1020 stripe_balance                     45.00   shop
			2010 shop_payable              27.00            shop
			2013 shop_dispute_hold                  27.00   shop`)
	j.bank(order.Lost).entries("lost", 0, `
			USD dispute lost
			2013 shop_dispute_hold         27.00            shop
			4091 sales_refunds             30.00            shop
			5060 cost_of_shop_supply                27.00   shop
			1040 disputed_funds                     30.00   shop`)
	j.stands("in the end", map[ledger.Account]money.Minor{
		ledger.StripeBalance: -1675, ledger.Sales: -5000, ledger.SalesRefunded: 5000, ledger.ProcessorFees: 175, ledger.DisputeFees: 1500,
	})
	j.bank(order.Won, payment.Movement{Transaction: "txn_4", Amount: 3000}).entries("won after all", 2700, `
			USD lost dispute won after all
			1020 stripe_balance            30.00            shop
			2010 shop_payable                       27.00   shop
			4091 sales_refunds                      30.00   shop
			5060 cost_of_shop_supply       27.00            shop`)
}
