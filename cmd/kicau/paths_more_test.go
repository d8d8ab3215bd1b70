package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/adapters/sandbox"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/domain/payout"
	"kicau/domain/reconcile"
	"kicau/domain/refusal"
	"kicau/domain/shop"
)

// More paths of TestPaths: what buyers do about their cards, how orders end, what
// banks and shops are told.

// refuses: what is asked is forbidden, and by which rule.
func (p *walker) refuses(cmd order.Command, why *refusal.Refusal) {
	p.Helper()
	if _, err := p.commands.Order(p.Context(), p.by("somebody"), p.order, cmd); refusal.From(err) == nil || refusal.From(err).Code != why.Code {
		p.Errorf("%T: %v, want %s", cmd, err, why.Code)
	}
}

// shop commands.
func (p *walker) shopDoes(cmd shop.Command) {
	p.Helper()
	_, err := p.commands.Shop(p.Context(), p.by("shop"), benchShop, cmd)
	p.ok(err)
}

// shows reads an object at the processor.
func (p *walker) shows(of string, into any) {
	p.Helper()
	r, err := http.NewRequest("GET", p.sandbox.URL()+of, nil)
	p.ok(err)
	r.Header.Set("Authorization", "Bearer "+sandboxKey)
	res, err := http.DefaultClient.Do(r)
	p.ok(err)
	defer res.Body.Close()
	p.ok(json.NewDecoder(res.Body).Decode(into))
}

// last is the newest event of a type on the order's stream.
func (p *walker) last(name string) (data string) {
	p.Helper()
	for rec, err := range p.log.ReadStream(p.Context(), order.Stream(p.order), command.Forwards, 0, 0) {
		p.ok(err)
		if rec.Type == name {
			data = string(rec.Data)
		}
	}
	return data
}

// streamEnds with these events.
func (p *walker) streamEnds(stream string, want ...event.Data) {
	p.Helper()
	var got, types []string
	for rec, err := range p.log.ReadStream(p.Context(), stream, command.Forwards, 0, 0) {
		p.ok(err)
		got = append(got, rec.Type)
	}
	for _, w := range want {
		types = append(types, w.EventType())
	}
	if !strings.HasSuffix(strings.Join(got, " "), strings.Join(types, " ")) {
		p.Errorf("%s is %v, which does not end with %v", stream, got, types)
	}
}

func cards(t *testing.T) {
	walk(t, "declined by code: the buyer hears what may help", func(p *walker) {
		for _, c := range []struct {
			card, decline string
			next          order.Remedy
		}{
			{"pm_card_visa_chargeDeclined", "generic_decline", order.OtherCard},
			{"pm_card_visa_chargeDeclinedInsufficientFunds", "insufficient_funds", order.OtherCard},
			{"pm_card_visa_chargeDeclinedLostCard", "lost_card", order.OtherCard},
			{"pm_card_visa_chargeDeclinedStolenCard", "stolen_card", order.OtherCard},
			{"pm_card_chargeDeclinedExpiredCard", "expired_card", order.OtherCard},
			{"pm_card_visa_chargeDeclinedVelocityLimitExceeded", "card_velocity_exceeded", order.OtherCard},
			{"pm_card_radarBlock", "fraudulent", order.OtherCard},
			{"pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", order.SameAgain},
			{"pm_card_chargeDeclinedProcessingError", "processing_error", order.SameAgain},
		} {
			p.order = uuid.New()
			p.buys(c.card, false)
			if e := p.last(order.Declined{}.EventType()); !strings.Contains(e, c.decline) || p.state().Payment.Remedy != c.next {
				p.Errorf("%s: %s, and the buyer may try %q; want %s and %q", c.card, e, p.state().Payment.Remedy, c.decline, c.next)
			}
			p.does(order.Cancel{At: p.time()})
			p.ends(order.Declined{}, order.Cancelled{}, order.VoidRequested{}, order.Voided{})
		}
	})
	walk(t, "five cards declined: the order is over", func(p *walker) {
		p.buys("pm_card_visa_chargeDeclined", false)
		for range 4 {
			p.does(order.Pay{At: p.time(), PaymentMethod: "pm_card_visa_chargeDeclined"})
		}
		p.ends(order.Declined{}, order.VoidRequested{}, order.Voided{})
		p.refuses(order.Pay{At: p.time(), PaymentMethod: "pm_card_visa"}, order.ErrOver)
	})
	walk(t, "another card instead of 3-D Secure", func(p *walker) {
		p.buys("pm_card_authenticationRequired", false)
		p.does(order.Pay{At: p.time(), PaymentMethod: "pm_card_visa"})
		p.ends(order.ActionRequired{}, order.MethodGiven{}, order.AuthorisationRequested{}, order.Authorised{})
		p.ships()
	})
	walk(t, "an authorisation lasts as long as the card says", func(p *walker) {
		p.buys("pm_card_visa", true)
		if ends := p.state().Payment.ExpiresAt; ends == nil || !ends.Equal(p.time().Add(7*24*time.Hour)) {
			p.Errorf("it ends at %v, want 7 days", ends)
		}
		p.waits(6*24*time.Hour + 12*time.Hour) // renewed, without the buyer
		if ends := p.state().Payment.ExpiresAt; ends == nil || !ends.Equal(p.time().Add(4*24*time.Hour+18*time.Hour)) {
			p.Errorf("renewed, it ends at %v, want 4 days and 18 hours", ends)
		}
	})
	walk(t, "a kept card whose bank wants to see the buyer", func(p *walker) {
		p.buys("pm_card_authenticationRequired", true)
		p.answers("complete")
		p.waits(6*24*time.Hour + 12*time.Hour)
		p.ends(order.Expiring{}, order.AuthorisationRequested{}, order.Declined{}, order.VoidRequested{}, order.Voided{})
		p.waits(6 * time.Hour)
		p.ends(order.Voided{}, order.Expired{}, order.VoidRequested{}, order.Voided{})
	})
}

func cancelled(t *testing.T) {
	walk(t, "cancelled before anybody was asked for money", func(p *walker) {
		p.places("pm_card_visa", false)
		p.does(order.Cancel{At: p.time()})
		p.ends(order.Placed{}, order.Cancelled{})
	})
	walk(t, "cancelled while the bank asks its question", func(p *walker) {
		p.buys("pm_card_authenticationRequired", false)
		p.does(order.Cancel{At: p.time()})
		p.ends(order.ActionRequired{}, order.Cancelled{}, order.VoidRequested{}, order.Voided{})
	})
	walk(t, "3-D Secure passed when the order was cancelled already", func(p *walker) {
		p.buys("pm_card_authenticationRequired", false)
		_, err := p.commands.Order(p.Context(), p.by("buyer"), p.order, order.Cancel{At: p.time()})
		p.ok(err)
		p.answers("complete")
		p.ends(order.ActionRequired{}, order.Cancelled{}, order.Authorised{}, order.VoidRequested{}, order.Voided{})
	})
}

func refunds(t *testing.T) {
	walk(t, "a refund asked twice is given once", func(p *walker) {
		p.buys("pm_card_visa", false)
		p.ships()
		twice := order.GiveBack{At: p.time(), Refund: uuid.New(), Amount: 500}
		p.does(twice)
		p.does(twice)
		p.ends(order.Captured{}, order.RefundAgreed{}, order.RefundRequested{}, order.Refunded{})
		other := twice
		other.Amount = 501
		p.refuses(other, order.ErrRefundDiffers)
		rest := order.GiveBack{At: p.time(), Refund: uuid.New()}
		p.does(rest)
		p.refuses(order.GiveBack{At: p.time(), Refund: uuid.New(), Amount: 1}, order.ErrOverCaptured)
		if s := p.state(); s.Refund(twice.Refund).Amount()+s.Refund(rest.Refund).Amount() != 2000 {
			p.Errorf("%+v was refunded of 20.00", s.Refunds)
		}
	})
	walk(t, "refunded by line, as it was sold", func(p *walker) {
		p.buys("pm_card_visa", false)
		p.shopDoes(shop.ChangeFees{At: p.time(), Fees: shop.Fees{ValidFrom: p.time().Add(time.Second), BasisPoints: 5000}})
		p.ships()
		p.waits(time.Hour)
		mug := uuid.New()
		p.does(order.GiveBack{At: p.time(), Refund: mug, Units: []order.Units{{Line: 1, Quantity: 1}}})
		st := p.state()
		if r := st.Refund(mug); r.Allocation != (order.Allocation{Goods: 1000, Fee: 100}) {
			p.Errorf("refunded %+v, want 10.00 of goods and the fee of a tenth that it was sold with", r.Allocation)
		}
	})
}

func banks(t *testing.T) {
	walk(t, "an inquiry that comes to nothing", func(p *walker) {
		p.buys("pm_card_createDisputeInquiry", false)
		p.ships()
		p.hears()
		p.does(order.Answer{At: p.time(), Text: "losing_evidence"})
		p.waits(time.Hour)
		p.hears()
		p.ends(order.ContestRequested{}, order.Contested{}, order.DisputeClosed{})
		if d := p.state().Disputes[0]; d.Result != order.Withdrawn {
			p.Errorf("it ends %q", d.Result)
		}
		p.waits(24 * time.Hour)
		p.ends(order.Released{}, order.SettlementRequested{}, order.Settled{})
	})
	walk(t, "the bank is told the order's own history, in time", func(p *walker) {
		p.buys("pm_card_createDisputeProductNotReceived", false)
		p.ships()
		p.does(order.Confirm{At: p.time(), By: order.ByBuyer})
		p.hears()
		due := *p.state().Disputes[0].Due
		p.waits(due.Add(-order.EvidenceMargin).Sub(p.time()))
		var d struct {
			Evidence struct {
				Tracking string `json:"shipping_tracking_number"`
				Product  string `json:"product_description"`
				History  string `json:"uncategorized_text"`
			}
			Details struct {
				Submissions int `json:"submission_count"`
			} `json:"evidence_details"`
		}
		p.shows("/v1/disputes/"+p.state().Disputes[0].ID, &d)
		if d.Details.Submissions != 1 || d.Evidence.Tracking != "RM1" || d.Evidence.Product != "2 × Mug" {
			p.Errorf("the bank has %+v", d)
		}
		for _, said := range []string{"the order was placed for 20.00 GBP", "20.00 GBP was authorised on the card", "were shipped post RM1", "20.00 GBP was charged", "the buyer confirmed that the goods arrived"} {
			if !strings.Contains(d.Evidence.History, said) {
				p.Errorf("the history does not say that %s:\n%s", said, d.Evidence.History)
			}
		}
	})
}

func shops(t *testing.T) {
	walk(t, "fees by date, with a floor and a ceiling", func(p *walker) {
		bought := func(fee money.Minor) {
			p.Helper()
			p.order = uuid.New()
			p.buys("pm_card_visa", false)
			if got := p.state().Placed.Fee; got != fee {
				p.Errorf("at %s the fee is %d, want %d", p.time().Format(time.DateTime), got, fee)
			}
		}
		fees := func(in time.Duration, f shop.Fees) {
			f.ValidFrom = p.time().Add(in)
			p.shopDoes(shop.ChangeFees{At: p.time(), Fees: f})
		}
		fees(time.Hour, shop.Fees{BasisPoints: 500, Fixed: 20})
		fees(2*time.Hour, shop.Fees{BasisPoints: 500, Minimum: 300})
		fees(3*time.Hour, shop.Fees{BasisPoints: 5000, Cap: 400})
		bought(200) // a tenth, still
		first := p.order
		p.waits(time.Hour)
		bought(120)
		p.waits(time.Hour)
		bought(300)
		p.waits(time.Hour)
		bought(400)
		p.order = first
		p.ships()
		p.waits(24 * time.Hour)
		if got := p.state().Payment.Settled; got != 1800 {
			p.Errorf("the first order paid the shop %d, want 1800 whatever fees are now", got)
		}
	})
	walk(t, "a hold and a reserve of its own", func(p *walker) {
		p.buys("pm_card_visa", false) // on the terms of before
		p.does(order.Cancel{At: p.time()})
		p.waits(time.Second)
		p.order = uuid.New()
		p.shopDoes(shop.ChangeSettlement{At: p.time(), Settlement: shop.Settlement{ValidFrom: p.time(), HoldHours: 72, ReserveBasisPoints: 1000, ReserveDays: 30}})
		p.buys("pm_card_visa", false)
		p.ships()
		p.waits(72*time.Hour - time.Second)
		p.ends(order.CaptureRequested{}, order.Captured{})
		p.waits(time.Second)
		p.ends(order.Released{}, order.SettlementRequested{}, order.Settled{})
		if got := p.state().Payment; got.Settled != 1620 || got.Reserve.Total() != 180 {
			p.Errorf("settled %d, reserved %d; want 1620 and 180", got.Settled, got.Reserve.Total())
		}
		p.waits(30 * 24 * time.Hour)
		p.ends(order.ReserveReleased{}, order.SettlementRequested{}, order.Settled{})
		if got := p.state().Payment; got.Settled != 1800 || len(got.Reserve) != 0 {
			p.Errorf("settled %d, reserved %d; want 1800 and nothing", got.Settled, got.Reserve.Total())
		}
	})
	walk(t, "a debt that nobody will pay is written off", func(p *walker) {
		p.buys("pm_card_visa", false)
		p.ships()
		p.waits(72 * time.Hour)
		p.atStripe("POST", "/v1/payouts", url.Values{"amount": {"1800"}, "currency": {"gbp"}}, p.shopAcct)
		p.does(order.GiveBack{At: p.time(), Refund: uuid.New()})
		p.shopDoes(shop.WriteOff{At: p.time(), Shop: benchShop, WriteOff: uuid.New(), Amount: 1800, Reason: "closed down"})
		p.streamEnds(shop.Stream(benchShop), shop.DebtCarried{}, shop.DebtWrittenOff{})
	})
	for name, c := range map[string]struct {
		bank string
		then []event.Data
	}{
		"a payout that the bank refuses":    {"000111111116", []event.Data{payout.Sent{}, payout.Failed{}}},
		"a payout that the bank sends back": {"000111111113", []event.Data{payout.Sent{}, payout.Paid{}, payout.Failed{}}},
	} {
		walk(t, name, func(p *walker) {
			p.buys("pm_card_bypassPending", false)
			p.ships()
			account, err := p.client.Account(p.Context())
			p.ok(err)
			in := "external_account"
			p.atStripe("POST", "/v1/accounts/"+account+"/external_accounts", url.Values{in + "[object]": {"bank_account"}, in + "[country]": {"US"},
				in + "[currency]": {"gbp"}, in + "[routing_number]": {"110000000"}, in + "[account_number]": {c.bank}}, "")
			p.atStripe("POST", "/v1/payouts", url.Values{"amount": {"500"}, "currency": {"gbp"}}, "")
			p.hears()
			p.waits(48 * time.Hour)
			p.agree()
			p.waits(72 * time.Hour)
			p.agree()
			for o, err := range p.client.Payouts(p.Context()) {
				p.ok(err)
				p.streamEnds(payout.Stream(o.Sent.Payout), c.then...)
			}
		})
	}
}

// Another program on the same account sells in a currency that Kicau does not know. Its
// movement is a break; all else is compared.
func TestPathForeignCurrency(t *testing.T) {
	walk(t, "a sale in a currency that is not known", func(p *walker) {
		p.buys("pm_card_visa", false)
		p.ships()
		p.atStripe("POST", "/v1/payment_intents", url.Values{"amount": {"1000"}, "currency": {"bgn"}, "payment_method": {"pm_card_visa"}, "confirm": {"true"},
			"automatic_payment_methods[enabled]": {"true"}, "automatic_payment_methods[allow_redirects]": {"never"}}, "")
		p.differs = true
		r := p.hears()
		if r.Matched != 1 || len(r.Open) != 1 || r.Open[0].Class != reconcile.UnknownCategory || r.Open[0].Currency != "BGN" {
			p.Errorf("%+v", r)
		}
	})
}

// The answer to a transfer is lost, and Stripe away when it is looked up; then the books
// are compared. The transfer is under way: nobody is told to undo it.
func TestPathTransferUnderWay(t *testing.T) {
	walk(t, "a transfer whose answer is out", func(p *walker) {
		p.buys("pm_card_visa", false)
		p.ships()
		away := false
		p.faults = func(method, path string) sandbox.Fault {
			if !strings.HasPrefix(path, "/v1/transfers") {
				return sandbox.NoFault
			}
			if away {
				return sandbox.CutBefore
			}
			away = method == "POST"
			return sandbox.CutAfter
		}
		p.waits(24 * time.Hour)
		r := p.hears()
		if len(r.Open) != 0 || r.UnderWay["GBP"] != 1800 {
			p.Errorf("under way %v, open %+v", r.UnderWay, r.Open)
		}
		p.mu.Lock()
		p.faults = nil
		p.mu.Unlock()
		p.waits(time.Hour)
		p.ends(order.Settled{})
		if r := p.hears(); len(r.Open) != 0 || len(r.UnderWay) != 0 {
			p.Errorf("under way %v, open %+v", r.UnderWay, r.Open)
		}
	})
}
