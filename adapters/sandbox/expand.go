package sandbox

import (
	"slices"
	"strings"
)

// expansion is a tree of the fields that a request wants to see in full instead
// of by id (https://stripe.com/docs/api/expanding_objects).
type expansion map[string]expansion

// maxExpandDepth is Stripe's.
const maxExpandDepth = 4

// expandable lists what can be expanded, and into what, by kind of object.
var expandable = map[string]map[string]string{
	"payment_intent":      {"latest_charge": "charge", "customer": "customer", "payment_method": "payment_method"},
	"setup_intent":        {"payment_method": "payment_method", "customer": "customer"},
	"charge":              {"balance_transaction": "balance_transaction", "payment_intent": "payment_intent", "refunds": "list of refund"},
	"refund":              {"balance_transaction": "balance_transaction", "failure_balance_transaction": "balance_transaction", "charge": "charge", "payment_intent": "payment_intent"},
	"transfer":            {"balance_transaction": "balance_transaction", "destination": "account", "source_transaction": "charge"},
	"transfer_reversal":   {"balance_transaction": "balance_transaction", "transfer": "transfer"},
	"dispute":             {"charge": "charge", "payment_intent": "payment_intent"},
	"early_fraud_warning": {"charge": "charge", "payment_intent": "payment_intent"},
	"payout":              {"balance_transaction": "balance_transaction", "failure_balance_transaction": "balance_transaction", "destination": "external_account"},
	"balance_transaction": {"source": "charge, refund or transfer"},
	"charge, refund or transfer": {
		"balance_transaction": "balance_transaction", "charge": "charge", "payment_intent": "payment_intent",
		"refunds": "list of refund", "destination": "account", "source_transaction": "charge",
	},
	"list of refund": {"data": "refund"},
}

// expand reads expand[] for an answer of the kind.
func (p *params) expand(kind string) expansion {
	var tree expansion
	for _, path := range p.list("expand") {
		fields := strings.Split(path, ".")
		if len(fields) > maxExpandDepth {
			p.fail(refuse("", "You cannot expand more than %d levels of a property (%s).", maxExpandDepth, path).on("expand"))
			return nil
		}
		at := kind
		for _, f := range fields {
			next, ok := expandable[at][f]
			if list, isList := strings.CutPrefix(at, "list of "); isList && f == "data" {
				next, ok = list, true
			}
			if !ok {
				p.fail(refuse("", "This property cannot be expanded (%s).", path).on("expand"))
				return nil
			}
			at = next
		}
		if tree == nil {
			tree = expansion{}
		}
		node := tree
		for _, f := range fields {
			if node[f] == nil {
				node[f] = expansion{}
			}
			node = node[f]
		}
	}
	return tree
}

// ref shows the object that a field names: its id, or all of it when the field
// is to be expanded.
func (st *state) ref(e expansion, field, id string) any {
	if id == "" {
		return nil
	}
	sub, whole := e[field]
	if !whole {
		return id
	}
	prefix, _, _ := strings.Cut(id, "_")
	switch prefix {
	case "pi":
		return st.intentWire(st.intents.get(id), sub)
	case "pm":
		return methodWireOf(st.methods.get(id))
	case "ch":
		return st.chargeWire(st.charges.get(id), sub)
	case "re":
		return st.refundWire(st.refunds.get(id), sub)
	case "dp":
		return st.disputeWire(st.disputes.get(id), sub)
	case "trr":
		return st.reversalWire(st.reversals.get(id), sub)
	case "po":
		return st.payoutWire(st.payouts.get(id), sub)
	case "tr":
		return st.transferWire(st.transfers.get(id), sub)
	case "txn":
		return st.txnWire(st.txns.get(id), sub)
	case "cus":
		if c := st.customers.get(id); !c.Deleted {
			return customerWireOf(c)
		}
		return deletedWire{id, "customer", true}
	case "ba":
		return bankWireOf(st.banks.get(id))
	case "py", "pyr": // the receiver's side of a transfer is shown by its id only
		return id
	case "acct":
		return st.accountWire(st.accounts.get(id))
	}
	panic("sandbox: no object has an id like " + id) // a defect: expandable names no such field
}

// listWire is a page of objects (https://stripe.com/docs/api/pagination).
type listWire struct {
	Object  string `json:"object"`
	Data    []any  `json:"data"`
	HasMore bool   `json:"has_more"`
	URL     string `json:"url"`
}

func newList(url string, more bool) *listWire {
	return &listWire{Object: "list", Data: []any{}, HasMore: more, URL: url}
}

// Page sizes, Stripe's.
const (
	defaultPage = 10
	maxPage     = 100
)

// newest is a list as it comes with another object: its first page.
func newest[T any](rows []*row[T], url string, show func(*T) any) *listWire {
	list := newList(url, len(rows) > defaultPage)
	for _, r := range slices.Backward(rows[max(0, len(rows)-defaultPage):]) {
		list.Data = append(list.Data, show(r.val))
	}
	return list
}

// paging is which page of a list is wanted, newest first.
type paging struct {
	limit                int
	after, before        string
	createdGt, createdLt int64 // both exclusive
	kind                 string
	expand               expansion
}

func (p *params) paging(kind string) paging {
	pg := paging{limit: defaultPage, kind: kind, createdGt: -1, createdLt: 1<<63 - 1}
	if n, given := p.positive("limit"); given {
		if n > maxPage {
			p.fail(refuse("parameter_invalid_integer", "This value must be less than or equal to %d.", maxPage).on("limit"))
		}
		pg.limit = int(n)
	}
	pg.after, pg.before = p.word("starting_after"), p.word("ending_before")
	if pg.after != "" && pg.before != "" {
		p.fail(refuse("", "You can only specify one of these parameters: ending_before, starting_after."))
	}
	if at, given := p.integer("created"); given {
		pg.createdGt, pg.createdLt = at-1, at+1
	}
	for _, bound := range []struct {
		name  string
		to    *int64
		shift int64
	}{
		{"created[gt]", &pg.createdGt, 0}, {"created[gte]", &pg.createdGt, -1},
		{"created[lt]", &pg.createdLt, 0}, {"created[lte]", &pg.createdLt, +1},
	} {
		if at, given := p.integer(bound.name); given {
			*bound.to = at + bound.shift
		}
	}
	pg.expand = p.expand("list of " + kind)["data"]
	return pg
}

// page takes the page out of rows, which are in order, oldest first. keep says
// which rows belong to the list, created when one was made.
func page[T any](tb *table[T], rows []*row[T], pg paging, url string, keep func(*T) bool, created func(*T) int64, show func(*T) any) (any, *apiError) {
	fits := func(v *T) bool {
		at := created(v)
		return at > pg.createdGt && at < pg.createdLt && keep(v)
	}
	cursor, param := pg.after, "starting_after"
	if pg.before != "" {
		cursor, param = pg.before, "ending_before"
	}
	at := len(rows)
	if cursor != "" {
		r := tb.rows[cursor]
		if r == nil {
			return nil, noSuch(400, pg.kind, cursor, param)
		}
		at = from(rows, r.seq)
	}
	list := newList(url, false)
	add := func(v *T) bool { // false when the page is full
		if !fits(v) {
			return true
		}
		if len(list.Data) == pg.limit {
			list.HasMore = true
			return false
		}
		list.Data = append(list.Data, show(v))
		return true
	}
	if pg.before != "" { // upwards from the cursor, then turned round
		if at < len(rows) && rows[at].seq == tb.rows[cursor].seq {
			at++
		}
		for ; at < len(rows) && add(rows[at].val); at++ {
		}
		slices.Reverse(list.Data)
		return list, nil
	}
	for at--; at >= 0 && add(rows[at].val); at-- {
	}
	return list, nil
}
