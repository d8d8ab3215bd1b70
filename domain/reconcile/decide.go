package reconcile

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"kicau/domain/decider"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/privacy"
	"kicau/domain/refusal"
)

// Grace is how long a movement of ours may be missing at the processor. Their side
// is read before ours, so what happens in between is on ours alone. It is also how
// long a transfer of theirs may be missing here: for as long as a call of ours may be
// without an answer that is in the log.
const Grace = time.Hour

// Command to a reconciliation: Run or Resolve.
type Command interface{ command() }

// Run compares two sides, each whole. Theirs is to be read before Ours: then there
// is nothing on it that ours could not have heard of.
type Run struct {
	At      time.Time
	Theirs  []Movement
	Ours    []Movement
	Waiting []Movement // refunds of ours that were accepted and are not paid, see [PatienceWithRefunds]
	// Balance that goes with Theirs; nil: it did not stand still while they were
	// read. Then sums are left out of this run, and what was open about them stays.
	Balance []Balance
	// Heard are the payments that were read again before, Unread those that could
	// not be, and payouts.
	Heard  []string
	Unread []NotRead
}

// Resolve a break by hand: somebody knows why it is none.
type Resolve struct {
	Break  uuid.UUID
	Reason string
}

func (Run) command()     {}
func (Resolve) command() {}

// PatienceWithRefunds is how long an accepted refund may wait to be paid.
const PatienceWithRefunds = 10 * 24 * time.Hour

// Refusals.
var (
	ErrNoBreak  = &refusal.Refusal{Kind: refusal.Missing, Code: "break-not-found", Field: "break", Subject: "the break", Reason: "is not open", Remedy: "list them"}
	ErrNoReason = &refusal.Refusal{Kind: refusal.Invalid, Code: "break-without-reason", Field: "reason", Subject: "the break", Reason: "is resolved without a reason"}
)

// Decider of reconciliations.
var Decider = decider.Decider[State, Command]{
	Initial: func() State { return State{} },
	Evolve:  evolve,
	Decide:  decide,
}

func decide(s State, c Command) ([]event.Data, error) {
	switch c := c.(type) {
	case Run:
		return run(s, c), nil
	case Resolve:
		return resolve(s, c)
	}
	panic("reconcile: a command of another kind")
}

func resolve(s State, c Resolve) ([]event.Data, error) {
	if c.Reason == "" {
		return nil, ErrNoReason
	}
	if err := privacy.RefuseCardNumber("reason", c.Reason); err != nil {
		return nil, err
	}
	id := s.called(c.Break)
	if _, open := s.Open[id]; open {
		return []event.Data{BreakResolved{id, c.Reason}}, nil
	}
	if s.Resolved[id].How == c.Reason {
		return nil, nil
	}
	return nil, ErrNoBreak.About("break %s", c.Break)
}

// run says what is new since the last run: fees nobody caused, what became
// available, breaks found and breaks gone.
func run(s State, c Run) (facts []event.Data) {
	ours, booked := slices.Clone(c.Ours), byKey(c.Ours)
	for _, m := range c.Theirs {
		if _, there := booked[m.Key]; m.Kind != Fee || there {
			continue
		}
		if !s.Charged[m.Object] {
			facts = append(facts, Charged{m.Object, m.Currency, -m.Net, m.Text})
		}
		// Posted now, or since ours was read.
		ours = append(ours, Movement{Key: m.Key, Currency: m.Currency, Net: m.Net, Fee: m.Fee, At: m.At})
	}
	matched, breaks := compare(c, ours)
	facts = append(facts, available(s, c, ours)...)
	unread, kept := s.unread(c)
	facts = append(facts, s.news(c, append(breaks, unread...))...)
	through := c.At
	if !kept {
		through = s.Through
	}
	return append(facts, RunCompleted{s.Runs + 1, through, matched, s.openAfter(facts)})
}

// openAfter counts what is open after facts, each of another break.
func (s State) openAfter(facts []event.Data) int {
	n := len(s.Open)
	for _, f := range facts {
		switch f := f.(type) {
		case BreakFound:
			if _, open := s.Open[f.Break]; !open {
				n++
			}
		case BreakResolved:
			if _, open := s.Open[f.Break]; open {
				n--
			}
		}
	}
	return n
}

// news of breaks: those that are not known, and those that are gone.
func (s State) news(c Run, breaks []BreakFound) (facts []event.Data) {
	news := map[uuid.UUID]bool{}
	for _, p := range c.Unread {
		b := differ(Unread, p.Key, Movement{}, 0, 0, "")
		news[b.Break] = s.newer(p, b)
	}
	heard := make(map[string]bool, len(c.Heard))
	for _, intent := range c.Heard {
		heard[intent] = true
	}
	gone := func(b BreakFound) bool {
		switch b.Class {
		case BalanceMismatch:
			return c.Balance != nil // without, nothing is said about sums
		case Unread:
			// A payment that nobody tried to read may be as it was.
			return b.Key.Kind != Payment || heard[b.Key.Object]
		}
		return true
	}
	found := map[uuid.UUID]bool{}
	for _, b := range breaks {
		found[b.Break] = true
		if before, open := s.Open[b.Break]; open {
			b.Since = before.Since
		}
		if !s.knows(b) || news[b.Break] {
			facts = append(facts, b)
		}
	}
	for _, b := range s.Open.List() {
		if !found[b.Break] && gone(b) {
			facts = append(facts, BreakResolved{b.Break, AgreesNow})
		}
	}
	// What a person explained and is not there any more is explained no longer: there
	// again, it is another.
	for _, id := range slices.SortedFunc(maps.Keys(s.Resolved), func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }) {
		if r := s.Resolved[id]; r.How != AgreesNow && !found[id] && gone(r.Break) {
			facts = append(facts, BreakResolved{id, AgreesNow})
		}
	}
	return facts
}

// knows tells whether a break is open, or was resolved by a person, with the same
// difference. What it looks like now, and why a payment cannot be read, is kept up to
// date while it is open; what a person said holds for any class and reason, until
// there are news of a payment.
func (s State) knows(b BreakFound) bool {
	if before, open := s.Open[b.Break]; open {
		return b.same(before.BreakFound) && b.Class == before.Class && (b.Class != Unread || b.Text == before.Text)
	}
	r, told := s.Resolved[b.Break]
	return told && r.How != AgreesNow && b.same(r.Break)
}

// available brings what may be paid out in line with what the processor says.
func available(s State, c Run, ours []Movement) (facts []event.Data) {
	them := byKey(c.Theirs)
	paid := map[money.Currency]money.Minor{}
	for _, m := range ours {
		if _, there := them[m.Key]; there && (m.Kind == Payout || m.Kind == PayoutReturned) {
			paid[m.Currency] += m.Net
		}
	}
	for _, b := range c.Balance {
		if d := b.Available - s.Available[b.Currency] - paid[b.Currency]; d != 0 {
			facts = append(facts, BecameAvailable{b.Currency, d})
		}
	}
	return facts
}

// compare finds what the sides do not agree about, in the order of their keys.
func compare(c Run, ours []Movement) (matched int, breaks []BreakFound) {
	us, them := byKey(ours), byKey(c.Theirs)
	orders := map[string]bool{} // what is matched, by kind and order
	for k, t := range them {
		if o, ok := us[k]; ok && agree(o, t) {
			matched++
			orders[string(k.Kind)+t.Order] = true
		}
	}
	for k, t := range them {
		o, known := us[k]
		switch {
		case !known && t.Net == 0 && t.Fee == 0: // what went and came back under one id
		case !known && c.answerOut(t):
			us[k] = t // for the sums
		case !known:
			breaks = append(breaks, missing(k, t, orders[string(k.Kind)+t.Order] && t.Order != ""))
		case o.Currency != t.Currency:
			breaks = append(breaks, differ(CurrencyMismatch, k, t, o.Net, t.Net, fmt.Sprintf("ours is %s, theirs %s", o.Currency, t.Currency)))
		case o.Net != t.Net:
			breaks = append(breaks, differ(AmountMismatch, k, t, o.Net, t.Net, t.Text))
		case o.Fee != t.Fee:
			breaks = append(breaks, differ(FeeMismatch, k, t, o.Fee, t.Fee, t.Text))
		}
	}
	for k, o := range us {
		if _, there := them[k]; there {
			continue
		}
		if c.young(o) {
			delete(us, k)
		} else {
			breaks = append(breaks, differ(MissingAtProcessor, k, o, o.Net, 0, o.Text))
		}
	}
	for _, m := range c.Waiting {
		if !c.At.Before(m.At.Add(PatienceWithRefunds)) {
			breaks = append(breaks, differ(StalePending, m.Key, m, m.Net, 0, m.Text))
		}
	}
	breaks = append(breaks, balances(c, us)...)
	slices.SortFunc(breaks, func(a, b BreakFound) int {
		return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.Key.Kind, b.Key.Kind), cmp.Compare(a.Key.Object, b.Key.Object))
	})
	return matched, breaks
}

// young tells whether a movement of ours may have come after their side was read.
func (c Run) young(m Movement) bool { return c.At.Before(m.At.Add(Grace)) }

// answerOut tells whether a movement of theirs may be of a call of ours whose answer is
// not in the log yet. All others say by their payment that it is to be read again.
func (c Run) answerOut(m Movement) bool {
	return c.young(m) && (m.Kind == Transfer && m.Order != "" || m.Kind == Reversal)
}

// UnderWay is what ours has and theirs has not, less what only theirs has, and is too
// young to be missed: by currency, in minor units.
func (c Run) UnderWay() map[money.Currency]money.Minor {
	us, them, sums := byKey(c.Ours), byKey(c.Theirs), map[money.Currency]money.Minor{}
	for k, m := range us {
		if _, there := them[k]; !there && c.young(m) {
			sums[m.Currency] += m.Net
		}
	}
	for k, m := range them {
		if _, here := us[k]; !here && c.answerOut(m) {
			sums[m.Currency] -= m.Net
		}
	}
	return sums
}

// Rounding is what the balance has more than the movements come to, by currency, only
// because they are counted more finely than the currency is: each is rounded, and so is
// the balance.
func (c Run) Rounding() map[money.Currency]money.Minor {
	sums, rests := map[money.Currency]money.Minor{}, map[money.Currency]int64{}
	for _, m := range byKey(c.Theirs) {
		sums[m.Currency] += m.Net
		rests[m.Currency] += m.NetRest
	}
	by := map[money.Currency]money.Minor{}
	for currency, rest := range rests {
		if r := money.Minor(rounded(100*int64(sums[currency])+rest)) - sums[currency]; r != 0 {
			by[currency] = r
		}
	}
	return by
}

// Unheard are the payments that something was moved for at the processor of which
// ours knows nothing, each once.
func (c Run) Unheard() (intents []string) {
	us, seen := byKey(c.Ours), map[string]bool{}
	for _, m := range c.Theirs {
		if _, here := us[m.Key]; !here && m.Intent != "" && !seen[m.Intent] {
			seen[m.Intent] = true
			intents = append(intents, m.Intent)
		}
	}
	return intents
}

func agree(a, b Movement) bool { return a.Currency == b.Currency && a.Net == b.Net && a.Fee == b.Fee }

func byKey(list []Movement) map[Key]Movement {
	all := make(map[Key]Movement, len(list))
	for _, m := range list {
		if before, twice := all[m.Key]; twice {
			m = before.and(m)
		}
		all[m.Key] = m
	}
	return all
}

func missing(k Key, t Movement, twice bool) BreakFound {
	class := MissingInLedger
	switch {
	case k.Kind == Other:
		class = UnknownCategory
	case twice:
		class = Duplicate
	case t.Order == "" && (k.Kind == Sale || k.Kind == Transfer):
		class = Orphan
	}
	return differ(class, k, t, 0, t.Net, t.Text)
}

// differ is a break. Its class may change as other movements are matched, its name does
// not: that is of what differs, and of whether one side lacks it.
func differ(class Class, k Key, m Movement, ours, theirs money.Minor, text string) BreakFound {
	return BreakFound{Break: nameOf(class, k), Class: class, Key: k, Currency: m.Currency,
		Ours: ours, Theirs: theirs, Since: m.At, Order: m.Order, Text: text}
}

func nameOf(class Class, k Key) uuid.UUID {
	switch class {
	case Duplicate, Orphan, UnknownCategory:
		class = MissingInLedger
	case FeeMismatch, CurrencyMismatch:
		class = AmountMismatch
	}
	return event.NameID("break", fmt.Sprintf("%s|%s|%s", class, k.Kind, k.Object))
}

// balances compares the sums: what our movements come to is what is there. A
// currency that they have no balance in stands at nothing.
func balances(c Run, ours map[Key]Movement) (breaks []BreakFound) {
	if c.Balance == nil {
		return nil
	}
	sums, theirs := c.Rounding(), map[money.Currency]money.Minor{}
	for _, m := range ours {
		sums[m.Currency] += m.Net
		theirs[m.Currency] += 0
	}
	for _, b := range c.Balance {
		theirs[b.Currency] += b.Pending + b.Available
	}
	for currency, there := range theirs {
		if sums[currency] != there {
			breaks = append(breaks, differ(BalanceMismatch, Key{Other, string(currency)}, Movement{Currency: currency, At: c.At}, sums[currency], there,
				"the books and the balance at the processor"))
		}
	}
	return breaks
}
