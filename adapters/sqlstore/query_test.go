package sqlstore

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kicau/projections"
)

// Every page of a query that an index serves is found by that index, at the
// cursor's place, without sorting.
func TestPagesAreFoundByIndex(t *testing.T) {
	d := open(t, filepath.Join(t.TempDir(), "a.db"))
	if _, err := d.Prepare(t.Context(), projections.Schema{Table: table, Indexes: [][]string{{"shop", "placedAt"}, {"status"}}}); err != nil {
		t.Fatal(err)
	}
	shop := []projections.Cond{{Field: "shop", Op: projections.Eq, Value: "s"}}
	for name, c := range map[string]struct {
		q     projections.Query
		after *cursor
		plans []string // of each part: what EXPLAIN QUERY PLAN says, the index's name left out
	}{
		"by key":        {q: projections.Query{}, plans: []string{"SCAN (key)"}},
		"by field":      {q: projections.Query{OrderBy: "status"}, plans: []string{"SCAN (field)"}},
		"by field down": {q: projections.Query{OrderBy: "status", Desc: true}, plans: []string{"SCAN (field)"}},
		"of a set":      {q: projections.Query{Where: shop, OrderBy: "placedAt"}, plans: []string{"SEARCH (field) (<expr>=?)"}},

		"next by key": {q: projections.Query{}, after: &cursor{},
			plans: []string{"SEARCH (key) (key>?)"}},
		"next by field": {q: projections.Query{OrderBy: "status"}, after: &cursor{value: "v"},
			plans: []string{"SEARCH (field) (<expr>=? AND key>?)", "SEARCH (field) (<expr>>?)"}},
		"next by field down": {q: projections.Query{OrderBy: "status", Desc: true}, after: &cursor{value: "v"},
			plans: []string{"SEARCH (field) (<expr>=? AND key<?)", "SEARCH (field) (<expr><?)", "SEARCH (field) (<expr>=?)"}},
		"next without field": {q: projections.Query{OrderBy: "status"}, after: &cursor{},
			plans: []string{"SEARCH (field) (<expr>=? AND key>?)", "SEARCH (field) (<expr>>?)"}},
		"next without field down": {q: projections.Query{OrderBy: "status", Desc: true}, after: &cursor{},
			plans: []string{"SEARCH (field) (<expr>=? AND key<?)"}},
		"next of a set": {q: projections.Query{Where: shop, OrderBy: "placedAt"}, after: &cursor{value: "v"},
			plans: []string{"SEARCH (field) (<expr>=? AND <expr>=? AND key>?)", "SEARCH (field) (<expr>=? AND <expr>>?)"}},
	} {
		where, args, err := conditions(c.q, []string{"shop", "placedAt", "status"})
		if err != nil {
			t.Fatal(err)
		}
		var plans []string
		for _, p := range parts(c.q, c.after) {
			plan := explainPlan(t, d, statementText(table, c.q, where, p), slices.Concat(args, p.args, []any{10}))
			plan = regexp.MustCompile(`crash_v1 USING INDEX by_\w+`).ReplaceAllString(plan, "(field)")
			plans = append(plans, strings.Replace(plan, "crash_v1 USING INDEX sqlite_autoindex_crash_v1_1", "(key)", 1))
		}
		if !slices.Equal(plans, c.plans) {
			t.Errorf("%s:\n got %q\nwant %q", name, plans, c.plans)
		}
	}
}

// An index that the schema no longer has costs nothing any more.
func TestIndexesOfAnOldSchemaAreDropped(t *testing.T) {
	d := open(t, filepath.Join(t.TempDir(), "a.db"))
	for _, indexes := range [][][]string{{{"a"}, {"b", "a"}}, {{"a"}}, {{"a"}}, nil, {{"c"}, {"a"}, {"b"}}} {
		if _, err := d.Prepare(t.Context(), projections.Schema{Table: table, Indexes: indexes}); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := d.readers.QueryRow("SELECT count(*) FROM sqlite_schema WHERE type='index' AND sql IS NOT NULL").Scan(&n); err != nil || n != len(indexes) {
			t.Errorf("%d indexes (%v) for the schema %v", n, err, indexes)
		}
	}
}

func explainPlan(t *testing.T, d *DB, query string, args []any) string {
	t.Helper()
	rows, err := d.readers.Query("EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, detail)
	}
	return strings.Join(plan, "; ")
}
