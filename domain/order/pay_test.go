package order_test

import (
	"strings"
	"testing"
	"time"

	"kicau/domain/decider/decidertest"
	"kicau/domain/money"
	"kicau/domain/order"
)

var (
	another   = order.Pay{At: noon, PaymentMethod: "pm_2"}
	tryOther  = order.Declined{Intent: "pi_1", Code: "card_declined", DeclineCode: "insufficient_funds", Next: order.OtherCard}
	evidence  = noon.AddDate(0, 0, 10)
	disputed  = order.DisputeOpened{Dispute: "dp_1", Charge: "ch_1", Currency: "GBP", Amount: 4620, Reason: "fraudulent", EvidenceDue: &evidence}
	withdrawn = order.DisputeWithdrawn{Dispute: "dp_1", Transaction: "txn_d", Shop: potter, Currency: "GBP", Jurisdiction: "GB", Amount: 4620, DisputeFee: 1500,
		Allocation: of(3500, 350, 770, 335), Taken: order.Taken{FromPayable: 3515}}
)

// After a decline the order waits for another card, for as long as its stock is
// held.
func TestPayAgain(t *testing.T) {
	tell(t, given(asked, tryOther), []story{
		{"another card", another, order.MethodGiven{PaymentMethod: "pm_2"}, nil},
		{"the same card again", order.Pay{At: noon, PaymentMethod: "pm_1"}, order.MethodGiven{PaymentMethod: "pm_1"}, nil},
		{"no card", order.Pay{At: noon}, nil, order.ErrNoMethod},
		{"call it off", cancel, cancelled, nil},
		{"ship", shipAll, nil, order.ErrNotPaid},
		{"wait", tooEarly, nil, nil},
		{"wait too long", unpaid, order.Expired{Cause: order.Unpaid}, nil},
	})
	tell(t, given(asked, action), []story{
		{"another card instead of authenticating", another, order.MethodGiven{PaymentMethod: "pm_2"}, nil},
		{"the card that is being authenticated", order.Pay{At: noon, PaymentMethod: "pm_1"}, nil, nil},
	})
	tell(t, given(asked), []story{{"while the bank is asked", another, nil, order.ErrNothingDeclined}})
	tell(t, paid(), []story{{"once it is paid", another, nil, order.ErrNothingDeclined}})
	tell(t, given(asked, declined), []story{{"once it was refused for good", another, nil, order.ErrOver}})
}

func TestConfirm(t *testing.T) {
	confirm := func(by string) order.Confirm { return order.Confirm{At: noon, By: by} }
	tell(t, sent(), []story{
		{"the buyer says it arrived", confirm(order.ByBuyer), order.Delivered{By: order.ByBuyer}, nil},
		{"the carrier says so", confirm(order.ByCarrier), order.Delivered{By: order.ByCarrier}, nil},
		{"somebody says so", confirm("a neighbour"), nil, order.ErrWhoConfirms},
	})
	tell(t, sent(order.Delivered{By: order.ByCarrier}), []story{
		{"the buyer says so too", confirm(order.ByBuyer), order.Delivered{By: order.ByBuyer}, nil},
	})
	tell(t, sent(order.Delivered{By: order.ByBuyer}), []story{{"nobody knows better", confirm(order.ByCarrier), nil, nil}})
	tell(t, paid(), []story{{"before it was shipped", confirm(order.ByBuyer), nil, order.ErrNotShipped}})
}

func TestAnswerADispute(t *testing.T) {
	answer := order.Answer{At: noon, Text: "signed for at the door"}
	answered := order.DisputeAnswered{Dispute: "dp_1", Text: "signed for at the door"}
	concede := order.Concede{At: noon}
	other := disputed
	other.Dispute = "dp_2"
	late := answer
	late.At = evidence

	tell(t, charged(disputed, withdrawn), []story{
		{"answer it", answer, answered, nil},
		{"answer it by name", order.Answer{At: noon, Dispute: "dp_1", Text: "signed for at the door"}, answered, nil},
		{"answer with a book", order.Answer{At: noon, Text: strings.Repeat("x", order.MaxAnswer+1)}, nil, order.ErrAnswerTooLong},
		{"answer too late", late, nil, order.ErrDisputeOver},
		{"answer another", order.Answer{At: noon, Dispute: "dp_9"}, nil, order.ErrNoDispute},
		{"concede it", concede, order.DisputeConceded{Dispute: "dp_1"}, nil},
		{"refund it", giveAll, nil, order.ErrDisputed},
	})
	tell(t, charged(disputed, withdrawn, answered), []story{
		{"answer otherwise, while it was not sent", order.Answer{At: noon, Text: "signed"}, order.DisputeAnswered{Dispute: "dp_1", Text: "signed"}, nil},
		{"concede what was answered", concede, nil, order.ErrDisputeOver},
	})
	tell(t, charged(disputed, withdrawn, answered, order.ContestRequested{Dispute: "dp_1"}), []story{
		{"answer otherwise, while it is on its way", order.Answer{At: noon, Text: "signed"}, nil, order.ErrDisputeOver},
	})
	tell(t, charged(disputed, withdrawn, order.ContestRequested{Dispute: "dp_1"}), []story{
		{"concede what is being answered", concede, nil, order.ErrDisputeOver},
	})
	tell(t, charged(disputed, withdrawn, order.Contested{Dispute: "dp_1"}), []story{{"answer twice", answer, nil, order.ErrDisputeOver}})
	tell(t, charged(disputed, withdrawn, order.DisputeConceded{Dispute: "dp_1"}), []story{
		{"answer what was conceded", answer, nil, order.ErrDisputeOver},
		{"concede twice", concede, nil, nil},
	})
	tell(t, charged(disputed, other), []story{
		{"which one?", answer, nil, order.ErrWhichDispute},
		{"this one", order.Concede{At: noon, Dispute: "dp_2"}, order.DisputeConceded{Dispute: "dp_2"}, nil},
	})
	tell(t, charged(), []story{{"no dispute", answer, nil, order.ErrNoDispute}, {"nothing to concede", concede, nil, order.ErrNoDispute}})
	lost := order.DisputeClosed{Dispute: "dp_1", Result: order.Lost, Shop: potter, Currency: "GBP", Amount: 4620, Allocation: of(3500, 350, 770, 335)}
	tell(t, charged(disputed, withdrawn, lost), []story{
		{"nothing is left to refund", giveAmount(1), nil, order.ErrOverCaptured},
	})
}

// The fee has a floor and a ceiling, and never exceeds the goods.
func TestFeeMinimumAndCap(t *testing.T) {
	for _, c := range []struct {
		minimum, most, want money.Minor
	}{
		{0, 0, 335}, {400, 0, 400}, {0, 300, 300}, {300, 400, 335}, {5000, 0, 3500}, {300, 300, 300},
	} {
		s := decidertest.For(t, order.Decider).When(place(func(p *order.Place) { p.Terms.FeeMinimum, p.Terms.FeeCap = c.minimum, c.most }))
		want := placed(func(p *order.Placed) { p.FeeMinimum, p.FeeCap = c.minimum, c.most })
		fees := money.Split(c.want, []money.Minor{3000, 500}, 1)
		want.Fee, want.Lines[0].Fee, want.Lines[1].Fee = c.want, fees[0], fees[1]
		s.Then(want)
	}
}

// Money that was taken early does not run out with the authorisation. It waits a
// month for the goods.
func TestTakenEarly(t *testing.T) {
	early := captured
	early.Allocation, early.Unearned = order.Allocation{}, 4620
	tell(t, paid(early), []story{
		{"after the authorisation", order.Expire{At: authEnds}, nil, nil},
		{"a month later", order.Expire{At: noon.Add(72*time.Hour + order.TakenLimit)}, order.Expired{Cause: order.Unshipped}, nil},
		{"ship", shipAll, shippedAll, nil},
		{"cancel", cancel, cancelled, nil},
		{"refund", giveAmount(1), nil, order.ErrOverCaptured},
	})
}
