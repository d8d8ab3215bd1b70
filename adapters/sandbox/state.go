package sandbox

import (
	"container/heap"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// The objects, as they are stored. What the API shows is in wire.go, so that
// either may change without the other. A stored object is never written to: a
// change is a changed copy, put in its place.

type intent struct {
	ID                 string
	ClientSecret       string
	Created            int64
	Amount             int64
	Currency           string
	Status             string
	CaptureMethod      string
	ConfirmationMethod string
	Redirects          string `json:",omitempty"` // automatic_payment_methods[allow_redirects]; "" when payment_method_types were named
	Capturable         int64  `json:",omitempty"`
	Received           int64  `json:",omitempty"`
	Method             string `json:",omitempty"`
	Charge             string `json:",omitempty"` // the latest
	Description        string `json:",omitempty"`
	Descriptor         string `json:",omitempty"`
	Suffix             string `json:",omitempty"`
	Metadata           map[string]string
	TransferGroup      string     `json:",omitempty"`
	ReturnURL          string     `json:",omitempty"`
	Authenticated      bool       `json:",omitempty"` // the holder passed 3D Secure for Method
	LastError          *lastError `json:",omitempty"`
	Customer           string     `json:",omitempty"`
	FutureUsage        string     `json:",omitempty"` // setup_future_usage
	CaptureBefore      int64      `json:",omitempty"` // while requires_capture
	CanceledAt         int64      `json:",omitempty"`
	CancelReason       string     `json:",omitempty"`
}

type lastError struct{ Type, Code, Decline, Message, Param, Charge, Method string }

type method struct {
	ID                string
	Created           int64
	Card              string // the test card's token
	Brand, Last4      string
	ExpMonth, ExpYear int64
	Fingerprint       string
	CVC               bool   // one was given
	Used              bool   `json:",omitempty"` // paid with once: without a customer never again
	Customer          string `json:",omitempty"` // that it is attached to
	SetUp             bool   `json:",omitempty"` // the holder agreed to payments off session
	Metadata          map[string]string
}

type charge struct {
	ID            string
	Created       int64
	Amount        int64
	Currency      string
	Intent        string
	Method        string
	Status        string
	Captured      bool   `json:",omitempty"`
	CapturedSum   int64  `json:",omitempty"`
	RefundedSum   int64  `json:",omitempty"` // with what was released uncaptured
	Txn           string `json:",omitempty"`
	FailureCode   string `json:",omitempty"`
	FailureReason string `json:",omitempty"`
	FailureText   string `json:",omitempty"`
	Blocked       bool   `json:",omitempty"`
	Risk          string `json:",omitempty"`
	ThreeDS       bool   `json:",omitempty"`
	CaptureBefore int64  `json:",omitempty"`
	Customer      string `json:",omitempty"`
	Disputed      bool   `json:",omitempty"`
	Description   string `json:",omitempty"`
	Descriptor    string `json:",omitempty"`
	Suffix        string `json:",omitempty"`
	Metadata      map[string]string
	TransferGroup string `json:",omitempty"`
	DueAt         int64  `json:",omitempty"` // when its card does what it does after a capture
}

type refund struct {
	ID       string
	Created  int64
	Amount   int64
	Currency string
	Charge   string
	Intent   string
	Txn      string `json:",omitempty"` // "" when an uncaptured amount was released
	Reason   string `json:",omitempty"`
	Reversal bool   `json:",omitempty"` // undone before it settled, rather than refunded
	Status   string `json:",omitempty"` // "" is succeeded
	Failure  string `json:",omitempty"` // why it failed
	FailTxn  string `json:",omitempty"` // that brought the money back
	DueAt    int64  `json:",omitempty"` // when it succeeds, or fails
	Short    bool   `json:",omitempty"` // it waits for the balance to cover it
	Metadata map[string]string
}

type customer struct {
	ID          string
	Created     int64
	Name        string `json:",omitempty"`
	Email       string `json:",omitempty"`
	Phone       string `json:",omitempty"`
	Description string `json:",omitempty"`
	Deleted     bool   `json:",omitempty"`
	Metadata    map[string]string
}

// dispute of a charge. Its balance transactions are those whose source it is.
type dispute struct {
	ID          string
	Created     int64
	Amount      int64
	Currency    string
	Charge      string
	Intent      string
	Reason      string
	Status      string
	DueBy       int64
	Evidence    map[string]string `json:",omitempty"`
	Submissions int64             `json:",omitempty"`
	DueAt       int64             `json:",omitempty"` // when the bank decides, or the time to answer is over
	Metadata    map[string]string
}

// warning of fraud, by the card's issuer.
type warning struct {
	ID      string
	Created int64
	Charge  string
	Intent  string
	Kind    string
}

// reversal of a transfer, or of a part of it.
type reversal struct {
	ID       string
	Created  int64
	Amount   int64
	Currency string
	Transfer string
	Txn      string
	Refund   string `json:",omitempty"` // the destination's side, pyr_…
	Metadata map[string]string
}

// payout from an account's balance to its bank.
type payout struct {
	ID       string
	Created  int64
	Account  string
	Amount   int64
	Currency string
	Status   string
	Arrival  int64
	Txn      string `json:",omitempty"` // "" only in old journals, of connected accounts
	Bank     string `json:",omitempty"` // where it goes
	Auto     bool   `json:",omitempty"` // by the account's schedule
	FailsAt  int64  `json:",omitempty"` // when the bank sends it back
	Failure  string `json:",omitempty"` // why it did
	FailTxn  string `json:",omitempty"` // that brought the money back
	Original string `json:",omitempty"` // payout that this one reverses
	Reversal string `json:",omitempty"` // payout that reverses this one
	Metadata map[string]string
}

type transfer struct {
	ID          string
	Created     int64
	Amount      int64
	Currency    string
	Destination string
	Payment     string // the destination's side, py_…
	Source      string `json:",omitempty"` // charge
	Txn         string
	Reversed    int64  `json:",omitempty"`
	Group       string `json:",omitempty"`
	Description string `json:",omitempty"`
	Metadata    map[string]string
}

type account struct {
	ID           string
	Created      int64
	Type         string
	Country      string
	Currency     string
	Email        string   `json:",omitempty"`
	BusinessType string   `json:",omitempty"`
	Capabilities []string // active ones
	PayoutEvery  string   `json:",omitempty"` // daily, or manual: ""
	Metadata     map[string]string
}

// event is what happened, with the object as it was then.
type event struct {
	ID      string
	Type    string
	Account string `json:",omitempty"` // connected account that it happened to; "" is the platform
	Created int64
	Object  json.RawMessage
	Request string `json:",omitempty"`
	Key     string `json:",omitempty"`
	Hook    hook   `json:",omitempty"`
	// Hooks are those of endpoints that the API made, by their ids.
	Hooks map[string]hook `json:",omitempty"`
}

// hook is how far an event's webhook has come.
type hook string

const (
	unsent    hook = ""        // there was no endpoint when it happened
	pending   hook = "pending" // to be delivered
	delivered hook = "delivered"
	abandoned hook = "abandoned" // every attempt failed
)

// entry is one thing to remember: exactly one field is set. The journal is a
// sequence of entries, and the state is what applying them in order gives.
type entry struct {
	Header   *header        `json:"header,omitempty"`
	Intent   *intent        `json:"intent,omitempty"`
	Method   *method        `json:"method,omitempty"`
	Charge   *charge        `json:"charge,omitempty"`
	Refund   *refund        `json:"refund,omitempty"`
	Transfer *transfer      `json:"transfer,omitempty"`
	Account  *account       `json:"account,omitempty"`
	Customer *customer      `json:"customer,omitempty"`
	Setup    *setup         `json:"setup,omitempty"`
	Dispute  *dispute       `json:"dispute,omitempty"`
	Warning  *warning       `json:"warning,omitempty"`
	Reversal *reversal      `json:"reversal,omitempty"`
	Bank     *bank          `json:"bank,omitempty"`
	Cover    *cover         `json:"cover,omitempty"`
	Payout   *payout        `json:"payout,omitempty"`
	Txn      *txn           `json:"txn,omitempty"`
	Event    *event         `json:"event,omitempty"`
	Endpoint *endpointEntry `json:"endpoint,omitempty"`
	Hook     *hookResult    `json:"hook,omitempty"`
	Clock    *int64         `json:"clock,omitempty"` // a virtual clock, in seconds since 1970
	Key      *savedKey      `json:"key,omitempty"`
}

// header opens a journal and is written again at every start.
type header struct {
	Format  int    // of the journal, [journalFormat]
	Account string // the platform's own account
	Boot    uint64 // starts so far
}

type hookResult struct {
	Event    string
	Hook     hook
	Endpoint string `json:",omitempty"`
}

// state is everything the sandbox remembers. Its owner holds [Server.mu].
type state struct {
	header    header
	intents   table[intent]
	methods   table[method]
	charges   table[charge]
	refunds   table[refund]
	transfers table[transfer]
	accounts  table[account]
	customers table[customer]
	setups    table[setup]
	disputes  table[dispute]
	warnings  table[warning]
	reversals table[reversal]
	payouts   table[payout]
	banks     table[bank]
	daily     map[string]bool // accounts whose funds are paid out every day
	txns      table[txn]
	events    table[event]
	keys      table[savedKey]
	endpoints table[hookEndpoint]
	book      book
	short     []string // refunds that wait for the balance to cover them
	holds     holds    // authorisations by when they run out
	alarms    alarms   // what happens by itself, by when
	clock     int64    // of a virtual clock, as it was last journalled; 0: there was none
	terms     Terms
	baseURL   string
	now       time.Time // of the request that is being served
}

func newState() *state {
	st := &state{book: newBook(), terms: StandardTerms, daily: map[string]bool{}}
	st.charges.index("payment_intent", func(c *charge) string { return c.Intent })
	st.charges.index("transfer_group", func(c *charge) string { return c.TransferGroup })
	st.refunds.index("charge", func(r *refund) string { return r.Charge })
	st.refunds.index("payment_intent", func(r *refund) string { return r.Intent })
	st.transfers.index("source", func(t *transfer) string { return t.Source })
	st.transfers.index("destination", func(t *transfer) string { return t.Destination })
	st.transfers.index("transfer_group", func(t *transfer) string { return t.Group })
	st.disputes.index("charge", func(d *dispute) string { return d.Charge })
	st.disputes.index("payment_intent", func(d *dispute) string { return d.Intent })
	st.warnings.index("charge", func(w *warning) string { return w.Charge })
	st.warnings.index("payment_intent", func(w *warning) string { return w.Intent })
	st.reversals.index("transfer", func(r *reversal) string { return r.Transfer })
	st.payouts.index("account", func(p *payout) string { return p.Account })
	st.banks.index("account", func(b *bank) string { return b.Account })
	st.methods.index("customer", func(m *method) string { return m.Customer })
	st.txns.index("source", func(t *txn) string { return t.Source })
	st.txns.index("account", func(t *txn) string { return t.Account })
	return st
}

// apply is the only way the state changes, live and in a replay.
func (st *state) apply(e entry) {
	switch {
	case e.Header != nil:
		st.header = *e.Header
	case e.Intent != nil:
		st.intents.put(e.Intent.ID, e.Intent)
		if e.Intent.Status == requiresCapture {
			heap.Push(&st.holds, hold{e.Intent.CaptureBefore, e.Intent.ID})
		}
	case e.Method != nil:
		st.methods.put(e.Method.ID, e.Method)
	case e.Charge != nil:
		st.charges.put(e.Charge.ID, e.Charge)
		st.alarms.set(e.Charge.DueAt, e.Charge.ID)
	case e.Refund != nil:
		if was := st.refunds.get(e.Refund.ID); e.Refund.Short && was == nil {
			st.short = append(st.short, e.Refund.ID)
		} else if was != nil && was.Short && !e.Refund.Short {
			st.short = slices.DeleteFunc(st.short, func(id string) bool { return id == e.Refund.ID })
		}
		st.refunds.put(e.Refund.ID, e.Refund)
		st.alarms.set(e.Refund.DueAt, e.Refund.ID)
	case e.Customer != nil:
		st.customers.put(e.Customer.ID, e.Customer)
	case e.Setup != nil:
		st.setups.put(e.Setup.ID, e.Setup)
	case e.Dispute != nil:
		st.disputes.put(e.Dispute.ID, e.Dispute)
		st.alarms.set(e.Dispute.DueAt, e.Dispute.ID)
	case e.Warning != nil:
		st.warnings.put(e.Warning.ID, e.Warning)
	case e.Reversal != nil:
		st.reversals.put(e.Reversal.ID, e.Reversal)
	case e.Payout != nil:
		st.applyPayout(e.Payout)
	case e.Transfer != nil:
		st.transfers.put(e.Transfer.ID, e.Transfer)
	case e.Account != nil:
		st.accounts.put(e.Account.ID, e.Account)
		if st.daily[e.Account.ID] = true; e.Account.PayoutEvery != daily {
			delete(st.daily, e.Account.ID)
		}
	case e.Bank != nil:
		st.banks.put(e.Bank.ID, e.Bank)
	case e.Cover != nil:
		st.book.cover(e.Cover)
	case e.Txn != nil:
		st.txns.put(e.Txn.ID, e.Txn)
		st.book.post(e.Txn)
	case e.Event != nil:
		st.events.put(e.Event.ID, e.Event)
	case e.Hook != nil:
		if ev := st.events.get(e.Hook.Event); ev != nil { // else forgotten meanwhile
			c := ev.with(e.Hook.Endpoint, e.Hook.Hook)
			st.events.put(c.ID, &c)
		}
	case e.Key != nil:
		st.keys.put(e.Key.id(), e.Key)
	case e.Endpoint != nil && e.Endpoint.Deleted:
		st.endpoints.drop(e.Endpoint.ID)
	case e.Endpoint != nil:
		st.endpoints.put(e.Endpoint.ID, &e.Endpoint.hookEndpoint)
	case e.Clock != nil:
		st.clock = *e.Clock
	}
}

// snapshot is the shortest sequence of entries that gives st.
func (st *state) snapshot() []entry {
	head, clock := st.header, st.clock
	out := []entry{{Header: &head}}
	if clock != 0 {
		out = append(out, entry{Clock: &clock})
	}
	for v := range st.accounts.all() {
		out = append(out, entry{Account: v})
	}
	for v := range st.methods.all() {
		out = append(out, entry{Method: v})
	}
	for v := range st.intents.all() {
		out = append(out, entry{Intent: v})
	}
	for v := range st.charges.all() {
		out = append(out, entry{Charge: v})
	}
	for v := range st.refunds.all() {
		out = append(out, entry{Refund: v})
	}
	for v := range st.transfers.all() {
		out = append(out, entry{Transfer: v})
	}
	for v := range st.customers.all() {
		out = append(out, entry{Customer: v})
	}
	for v := range st.setups.all() {
		out = append(out, entry{Setup: v})
	}
	for v := range st.disputes.all() {
		out = append(out, entry{Dispute: v})
	}
	for v := range st.warnings.all() {
		out = append(out, entry{Warning: v})
	}
	for v := range st.reversals.all() {
		out = append(out, entry{Reversal: v})
	}
	for v := range st.banks.all() {
		out = append(out, entry{Bank: v})
	}
	for v := range st.payouts.all() {
		out = append(out, entry{Payout: v})
	}
	for v := range st.txns.all() {
		out = append(out, entry{Txn: v})
	}
	out = append(out, st.covers()...)
	for v := range st.endpoints.all() {
		out = append(out, entry{Endpoint: &endpointEntry{hookEndpoint: *v}})
	}
	for v := range st.events.all() {
		out = append(out, entry{Event: v})
	}
	for v := range st.keys.all() {
		out = append(out, entry{Key: v})
	}
	return out
}

// objects counts what only grows, for [maxObjects].
func (st *state) objects() int {
	return st.intents.len() + st.methods.len() + st.charges.len() + st.refunds.len() +
		st.transfers.len() + st.accounts.len() + st.txns.len() + st.customers.len() + st.disputes.len() +
		st.warnings.len() + st.reversals.len() + st.payouts.len() + st.banks.len() + st.setups.len()
}

// hold is an authorisation and when it runs out; holds is a heap of them. One
// that was captured or cancelled stays until its time and is then passed over.
type hold struct {
	until  int64
	intent string
}

type holds []hold

func (h holds) Len() int           { return len(h) }
func (h holds) Less(i, j int) bool { return h[i].until < h[j].until }
func (h holds) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *holds) Push(x any)        { *h = append(*h, x.(hold)) }
func (h *holds) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// tx is one request against the state, or one look at it: when it is, who
// asked, and what it put.
type tx struct {
	*state
	ids     *ids
	account string               // whose request it is: the platform's, or a connected account
	request string               // Request-Id, "" when nobody asked
	key     string               // Idempotency-Key
	hooks   bool                 // is there an endpoint to tell?
	wanted  []string             // see Options.WebhookEvents
	lag     func() time.Duration // see Options.Lag
	entries []entry
	deliver []string // events to send to the configured endpoint
	twin    func() bool
}

func (t *tx) newID(prefix string) string { return t.ids.next(prefix) }

// put applies a change. A request refuses before its first put.
func (t *tx) put(e entry) {
	t.apply(e)
	t.entries = append(t.entries, e)
}

// emit records that something happened to an object of the platform, as it is now.
func (t *tx) emit(kind string, object any) { t.emitOf(t.header.Account, kind, object) }

// emitOf does so for an object of an account. What happens to connected ones is
// told to endpoints for Connect, and to no others
// (https://stripe.com/docs/connect/webhooks).
func (t *tx) emitOf(account, kind string, object any) {
	raw, err := json.Marshal(object)
	if err != nil {
		panic(fmt.Sprintf("sandbox: %s cannot be written as JSON: %v", kind, err)) // a defect: wire types always can
	}
	ev := &event{ID: t.newID("evt"), Type: kind, Created: t.now.Unix(), Object: raw, Request: t.request, Key: t.key}
	if account != t.header.Account {
		ev.Account = account
	}
	if t.hooks && ev.Account == "" && (len(t.wanted) == 0 || matches(t.wanted, kind)) {
		ev.Hook = pending
		t.deliver = append(t.deliver, ev.ID)
	}
	t.address(ev)
	t.put(entry{Event: ev})
	if t.twin != nil && t.twin() {
		second := *ev
		second.ID = t.newID("evt")
		if second.Hook == pending {
			t.deliver = append(t.deliver, second.ID)
		}
		t.put(entry{Event: &second})
	}
}
