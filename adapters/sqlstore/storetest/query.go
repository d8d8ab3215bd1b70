package storetest

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"kicau/projections"
)

// item is the row of the generated views. Pointers, so that fields can be
// absent.
type item struct {
	Shop  *string  `json:"shop,omitempty"`
	Total *int64   `json:"total,omitempty"`
	Paid  *bool    `json:"paid,omitempty"`
	Rate  *float64 `json:"rate,omitempty"`
}

var itemIndexes = [][]string{{"shop", "total"}, {"total"}, {"paid"}, {"rate"}}

// field gives a field as what it compares as: nil, string, int64 or float64.
func (it item) field(name string) any {
	switch {
	case name == "shop" && it.Shop != nil:
		return *it.Shop
	case name == "total" && it.Total != nil:
		return *it.Total
	case name == "rate" && it.Rate != nil:
		return *it.Rate
	case name == "paid" && it.Paid != nil:
		return number(*it.Paid)
	}
	return nil
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// compare orders values of one field; absent ones come first.
func compare(a, b any) int {
	switch x := a.(type) {
	case string:
		if y, ok := b.(string); ok {
			return strings.Compare(x, y)
		}
	case int64:
		if y, ok := b.(int64); ok {
			return cmp.Compare(x, y)
		}
	case float64:
		if y, ok := b.(float64); ok {
			return cmp.Compare(x, y)
		}
	}
	return cmp.Compare(presence(a), presence(b))
}

func presence(v any) int {
	if v == nil {
		return 0
	}
	return 1
}

func fulfils(it item, c projections.Cond) bool {
	have, want := it.field(c.Field), c.Value
	if b, ok := want.(bool); ok {
		want = number(b)
	}
	if have == nil {
		return false
	}
	d := compare(have, want)
	switch c.Op {
	case projections.Eq:
		return d == 0
	case projections.Ne:
		return d != 0
	case projections.Lt:
		return d < 0
	case projections.Le:
		return d <= 0
	case projections.Gt:
		return d > 0
	default:
		return d >= 0
	}
}

// expect is the whole result of a query, by a sort in memory.
func expect(items map[string]item, q projections.Query) (keys []string) {
	for k, it := range items {
		if !slices.ContainsFunc(q.Where, func(c projections.Cond) bool { return !fulfils(it, c) }) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b string) int {
		d := cmp.Or(compare(items[a].field(q.OrderBy), items[b].field(q.OrderBy)), strings.Compare(a, b))
		if q.Desc {
			return -d
		}
		return d
	})
	return keys
}

// Few different values, so that many rows agree.
var (
	shops  = rapid.SampledFrom([]string{"", "a", "A", "ab", "z'", `"`, "ä", "\U0001F6D2", "%", "1"})
	totals = rapid.SampledFrom([]int64{-1 << 63, -1, 0, 1, 2, 1<<53 + 1, 1<<63 - 1})
	rates  = rapid.SampledFrom([]float64{-1.5, 0.1, 0.30000000000000004, 1e300})
	items  = rapid.Custom(func(t *rapid.T) item {
		return item{
			Shop:  rapid.Ptr(shops, true).Draw(t, "shop"),
			Total: rapid.Ptr(totals, true).Draw(t, "total"),
			Paid:  rapid.Ptr(rapid.Bool(), true).Draw(t, "paid"),
			Rate:  rapid.Ptr(rates, true).Draw(t, "rate"),
		}
	})
	conds = rapid.Custom(func(t *rapid.T) projections.Cond {
		op := rapid.SampledFrom([]projections.Op{projections.Eq, projections.Ne, projections.Lt, projections.Le, projections.Gt, projections.Ge}).Draw(t, "op")
		switch f := rapid.SampledFrom([]string{"shop", "total", "paid"}).Draw(t, "field"); f {
		case "shop":
			return projections.Cond{Field: f, Op: op, Value: shops.Draw(t, "value")}
		case "total":
			return projections.Cond{Field: f, Op: op, Value: totals.Draw(t, "value")}
		default:
			return projections.Cond{Field: f, Op: op, Value: rapid.Bool().Draw(t, "value")}
		}
	})
)

func queriesAgree(t *testing.T, open Open) {
	s := open(t)
	table := 0
	rapid.Check(t, func(rt *rapid.T) {
		table++
		name := fmt.Sprintf("generated_v%d", table)
		prepare(t, s, name, itemIndexes...)
		defer s.Drop(t.Context(), name)
		have := rapid.MapOfN(rapid.StringMatching(`[a-cA-C]{0,3}`), items, 0, 40).Draw(rt, "items")
		b := projections.Batch{Table: name, To: at(1)}
		for k, it := range have {
			data, err := json.Marshal(it)
			if err != nil {
				t.Fatal(err)
			}
			b.Rows = append(b.Rows, projections.RowData{Key: k, Data: data})
		}
		commit(t, s, b)
		for range 5 {
			q := projections.Query{
				Where:   rapid.SliceOfN(conds, 0, 2).Draw(rt, "where"),
				OrderBy: rapid.SampledFrom([]string{"", "shop", "total", "paid", "rate"}).Draw(rt, "order"),
				Desc:    rapid.Bool().Draw(rt, "desc"),
				Limit:   rapid.IntRange(1, 12).Draw(rt, "limit"),
			}
			want := expect(have, q)
			if got := allPages(rt, t, s, name, q, have); !slices.Equal(got, want) {
				rt.Fatalf("query %+v\n got %q\nwant %q", q, got, want)
			}
		}
	})
}

// allPages follows a query to its end.
func allPages(rt *rapid.T, t *testing.T, s Store, table string, q projections.Query, have map[string]item) (keys []string) {
	for {
		res, err := s.Query(t.Context(), table, q)
		if err != nil {
			rt.Fatalf("query %+v: %v", q, err)
		}
		if res.Next != "" && len(res.Rows) != q.Limit {
			rt.Fatalf("query %+v: a page of %d rows is followed by another", q, len(res.Rows))
		}
		for _, r := range res.Rows {
			keys = append(keys, r.Key)
			if want, _ := json.Marshal(have[r.Key]); string(want) != string(r.Data) {
				rt.Fatalf("row %q is %s, want %s", r.Key, r.Data, want)
			}
		}
		if q.After = res.Next; q.After == "" {
			return keys
		}
		if len(keys) > len(have) {
			rt.Fatalf("query %+v does not end", q)
		}
	}
}

func fill(t *testing.T, s Store, n int) {
	t.Helper()
	prepare(t, s, view, itemIndexes...)
	b := step(view, 0, 1)
	for i := range n {
		b.Rows = append(b.Rows, projections.RowData{Key: fmt.Sprintf("k%04d", i), Data: fmt.Appendf(nil, `{"shop":"s","total":%d}`, i)})
	}
	commit(t, s, b)
}

func queryRefusals(t *testing.T, open Open) {
	s := open(t)
	fill(t, s, projections.MaxQueryLimit+1)
	for name, q := range map[string]projections.Query{
		"unknown field":       {Where: []projections.Cond{{Field: "nobody", Op: projections.Eq, Value: "x"}}},
		"unknown order":       {OrderBy: "nobody"},
		"no field":            {Where: []projections.Cond{{Op: projections.Eq, Value: "x"}}},
		"unknown comparison":  {Where: []projections.Cond{{Field: "shop", Op: "LIKE", Value: "x"}}},
		"no comparison":       {Where: []projections.Cond{{Field: "shop", Value: "x"}}},
		"no value":            {Where: []projections.Cond{{Field: "shop", Op: projections.Eq}}},
		"value of other type": {Where: []projections.Cond{{Field: "total", Op: projections.Eq, Value: 1.5}}},
		"limit too large":     {Limit: projections.MaxQueryLimit + 1},
		"negative limit":      {Limit: -1},
	} {
		if _, err := s.Query(t.Context(), view, q); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for limit, want := range map[int]int{0: projections.DefaultQueryLimit, 1: 1, projections.MaxQueryLimit: projections.MaxQueryLimit} {
		res, err := s.Query(t.Context(), view, projections.Query{Limit: limit})
		if err != nil || len(res.Rows) != want || res.Next == "" {
			t.Errorf("limit %d: %d rows, next %q, %v; want %d rows and a next page", limit, len(res.Rows), res.Next, err, want)
		}
	}
}

func cursors(t *testing.T, open Open) {
	s := open(t)
	fill(t, s, 5)
	prepare(t, s, "other_v1", itemIndexes...)
	q := projections.Query{OrderBy: "total", Limit: 2}
	first, err := s.Query(t.Context(), view, q)
	if err != nil || first.Next == "" {
		t.Fatal(first, err)
	}
	// A row written before the cursor's place does not move the next page.
	commit(t, s, step(view, 1, 2, "new", `{"shop":"s","total":-5}`))
	q.After = first.Next
	second, err := s.Query(t.Context(), view, q)
	if err != nil || len(second.Rows) != 2 || second.Rows[0].Key != "k0002" {
		t.Fatalf("second page: %v, %v", second, err)
	}
	for name, other := range map[string]projections.Query{
		"another field":     {OrderBy: "shop", After: first.Next},
		"another direction": {OrderBy: "total", Desc: true, After: first.Next},
		"the key":           {After: first.Next},
		"nonsense":          {OrderBy: "total", After: "nonsense!"},
		"not a cursor":      {OrderBy: "total", After: base64.RawURLEncoding.EncodeToString([]byte(`[]`))},
	} {
		if _, err := s.Query(t.Context(), view, other); err == nil {
			t.Errorf("cursor of total used for %s: no error", name)
		}
	}
	if _, err := s.Query(t.Context(), "other_v1", q); err == nil {
		t.Error("cursor used for another view: no error")
	}
}

func injection(t *testing.T, open Open) {
	s := open(t)
	fill(t, s, 3)
	evil := []string{
		"shop') OR 1=1 --", "shop' OR '1'='1", "key", "data", "shop,total", "$.shop", "shop'", `shop"`, "1",
		"shop') UNION SELECT table_name,log_id,1 FROM checkpoints --", "shop; DROP TABLE orders_v1", "shop\x00", "SHOP", "shop ",
	}
	for _, e := range evil {
		if _, err := s.Query(t.Context(), view, projections.Query{OrderBy: e}); err == nil {
			t.Errorf("order by %q: no error", e)
		}
		if _, err := s.Query(t.Context(), view, projections.Query{Where: []projections.Cond{{Field: e, Op: projections.Eq, Value: "s"}}}); err == nil {
			t.Errorf("where %q: no error", e)
		}
		if _, err := s.Query(t.Context(), view, projections.Query{Where: []projections.Cond{{Field: "shop", Op: projections.Op("= '' OR 1=1; " + e), Value: "s"}}}); err == nil {
			t.Errorf("comparison with %q: no error", e)
		}
		// As values they are values.
		res, err := s.Query(t.Context(), view, projections.Query{Where: []projections.Cond{{Field: "shop", Op: projections.Eq, Value: e}}})
		if err == nil && len(res.Rows) != 0 {
			t.Errorf("value %q: %d rows", e, len(res.Rows))
		}
		if data, err := s.Get(t.Context(), view, e); err == nil && data != nil {
			t.Errorf("key %q: %s", e, data)
		}
	}
	res, err := s.Query(t.Context(), view, projections.Query{Where: []projections.Cond{{Field: "shop", Op: projections.Eq, Value: "s"}}})
	if err != nil || len(res.Rows) != 3 {
		t.Errorf("afterwards: %v, %v", res, err)
	}
}
