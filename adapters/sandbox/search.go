package sandbox

import (
	"regexp"
	"strconv"
	"strings"
)

// clause is one condition of a search, https://stripe.com/docs/search#search-query-language.
type clause struct {
	not             bool
	field, key, op  string // key of metadata
	value           string
	number          int64
	numeric, isNull bool
}

var clauseForm = regexp.MustCompile(`^(-?)([a-z_]+)(?:\[["']([^"']+)["']\])?(:|~|>=|<=|>|<|=)(?:"([^"]*)"|'([^']*)'|([0-9]+|null))\s*`)

// maxClauses is Stripe's.
const maxClauses = 10

// searchQuery reads the query: clauses joined by AND, or by OR, not by both.
func (p *params) searchQuery(fields map[string]bool) (clauses []clause, either bool) {
	rest := strings.TrimSpace(p.required("query"))
	bad := func(format string, args ...any) ([]clause, bool) {
		p.fail(refuse("", "We were unable to parse your search query: "+format, args...).on("query"))
		return nil, false
	}
	joined := ""
	for rest != "" {
		m := clauseForm.FindStringSubmatch(rest)
		if m == nil {
			return bad("%q is no clause. Try using the format `metadata[\"key\"]:\"value\"` or `status:\"succeeded\"`.", rest)
		}
		rest = rest[len(m[0]):]
		c := clause{not: m[1] == "-", field: m[2], key: m[3], op: m[4], value: m[5] + m[6] + m[7], isNull: m[7] == "null"}
		if _, known := fields[c.field]; !known || (c.key != "") != (c.field == "metadata") {
			return bad("Field `%s` is an unsupported search field.", c.field)
		}
		n, err := strconv.ParseInt(c.value, 10, 64)
		c.number, c.numeric = n, err == nil
		if numeric := fields[c.field]; numeric && (!c.numeric || c.op == "~") || !numeric && c.op != ":" && c.op != "~" {
			return bad("Field `%s` does not support `%s` with %q.", c.field, c.op, c.value)
		}
		if clauses = append(clauses, c); len(clauses) > maxClauses {
			return bad("there are more than %d clauses.", maxClauses)
		}
		if rest == "" {
			break
		}
		word, after, _ := strings.Cut(rest, " ")
		if word = strings.ToUpper(word); word != "AND" && word != "OR" || joined != "" && word != joined {
			return bad("clauses are joined by AND, or by OR, and not by both; found %q.", word)
		}
		joined, rest = word, strings.TrimSpace(after)
		if rest == "" {
			return bad("it ends with %s.", joined)
		}
	}
	return clauses, joined == "OR"
}

func (c clause) holds(text string, number int64) bool {
	is := false
	switch {
	case c.isNull:
		is = text == ""
	case c.op == "~":
		is = strings.Contains(strings.ToLower(text), strings.ToLower(c.value))
	case c.op == ">":
		is = number > c.number
	case c.op == "<":
		is = number < c.number
	case c.op == ">=":
		is = number >= c.number
	case c.op == "<=":
		is = number <= c.number
	default:
		is = strings.EqualFold(text, c.value)
	}
	return is != c.not
}

// intentFields are what intents are searched by, and whether that is a number.
var intentFields = map[string]bool{"amount": true, "created": true, "currency": false, "customer": false, "metadata": false, "status": false}

func (pi *intent) searched(c clause) (string, int64) {
	switch c.field {
	case "amount":
		return strconv.FormatInt(pi.Amount, 10), pi.Amount
	case "created":
		return strconv.FormatInt(pi.Created, 10), pi.Created
	case "currency":
		return pi.Currency, 0
	case "customer":
		return pi.Customer, 0
	case "metadata":
		return pi.Metadata[c.key], 0
	}
	return pi.Status, 0
}

// searchWire is a page of what was found; Stripe counts only when asked.
type searchWire struct {
	Object  string `json:"object"`
	Data    []any  `json:"data"`
	HasMore bool   `json:"has_more"`
	Next    any    `json:"next_page"`
	URL     string `json:"url"`
}

// searchIntents: GET /v1/payment_intents/search. It looks at every intent, and
// sees what was written a moment ago, which Stripe's need not.
func searchIntents(p *params, _ string) op {
	clauses, either := p.searchQuery(intentFields)
	limit, given := p.positive("limit")
	if !given {
		limit = defaultPage
	} else if limit > maxPage {
		p.fail(refuse("parameter_invalid_integer", "This value must be less than or equal to %d.", maxPage).on("limit"))
	}
	after := p.word("page")
	e := p.expand("list of payment_intent")["data"]
	return func(t *tx) (any, *apiError) {
		rows := t.intents.order
		if after != "" {
			r := t.intents.rows[after]
			if r == nil {
				return nil, refuse("", "Invalid page: %s.", after).on("page")
			}
			rows = rows[:from(rows, r.seq)]
		}
		w := &searchWire{Object: "search_result", Data: []any{}, URL: "/v1/payment_intents/search"}
		last := ""
		for i := len(rows) - 1; i >= 0; i-- {
			pi := rows[i].val
			if !found(pi, clauses, either) {
				continue
			}
			if int64(len(w.Data)) == limit {
				w.HasMore, w.Next = true, last
				break
			}
			w.Data, last = append(w.Data, t.intentWire(pi, e)), pi.ID
		}
		return w, nil
	}
}

// found tells whether all clauses hold, or either one.
func found(pi *intent, clauses []clause, either bool) bool {
	for _, c := range clauses {
		if c.holds(pi.searched(c)) == either {
			return either
		}
	}
	return !either
}
