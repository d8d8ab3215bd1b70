package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kicau/projections"
)

// Query implements [projections.Store].
//
// Values compare as SQLite compares what json_extract gives: text byte by byte,
// numbers as numbers, true as 1 and false as 0. A field that is absent or null
// fulfils no condition and comes before all others in an ascending order.
//
// A page begins right after the last row of the page before it, whatever has
// been written in between: a row that moves may be seen twice or not at all,
// one that does not is seen once.
func (d *DB) Query(ctx context.Context, table string, q projections.Query) (res projections.Result, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("query view %s: %w", table, explain(err))
		}
	}()
	if err := checkTable(table); err != nil {
		return res, err
	}
	limit, err := checkLimit(q.Limit)
	if err != nil {
		return res, err
	}
	var after *cursor
	if q.After != "" {
		if after, err = parseCursor(q.After, table, q); err != nil {
			return res, err
		}
	}
	_, indexes, err := readView(ctx, d.readers, table)
	if errors.Is(err, sql.ErrNoRows) {
		return res, unknownView(table)
	}
	if err != nil {
		return res, err
	}
	where, args, err := conditions(q, slices.Concat(indexes...))
	if err != nil {
		return res, err
	}
	page := page{limit: limit}
	for _, part := range parts(q, after) {
		query := statementText(table, q, where, part)
		// One row more than asked for tells whether there is a next page.
		args := slices.Concat(args, part.args, []any{limit + 1 - len(page.rows)})
		if err := page.read(d.readers.QueryContext(ctx, query, args...)); err != nil {
			return res, err
		}
		if page.more {
			res.Next = newCursor(table, q, page.last, page.rows[limit-1].Key).String()
			break
		}
	}
	res.Rows = page.rows
	return res, nil
}

// page is a result being read.
type page struct {
	limit int
	rows  []projections.RowData
	last  any  // what the last of the rows has in the field of the order
	more  bool // there is a row after them
}

func (p *page) read(found *sql.Rows, err error) error {
	if err != nil {
		return err
	}
	defer found.Close()
	for found.Next() {
		if len(p.rows) == p.limit {
			p.more = true
			return nil
		}
		var r projections.RowData
		if err := found.Scan(&r.Key, &r.Data, &p.last); err != nil {
			return err
		}
		p.rows = append(p.rows, r)
	}
	return found.Err()
}

func checkLimit(n int) (int, error) {
	switch {
	case n == 0:
		return projections.DefaultQueryLimit, nil
	case n < 0 || n > projections.MaxQueryLimit:
		return 0, fmt.Errorf("a limit of %d rows is not between 1 and %d: ask for the next pages with After", n, projections.MaxQueryLimit)
	default:
		return n, nil
	}
}

// conditions are the SQL of what a query asks for besides its place in the
// order. Names come from the view's own indexes, operators from a list, values
// are parameters: nothing of the query's text gets into the SQL.
func conditions(q projections.Query, indexed []string) (where []string, args []any, err error) {
	known := func(f string) error {
		if slices.Contains(indexed, f) {
			return nil
		}
		slices.Sort(indexed)
		return fmt.Errorf("field %q is not indexed; the view can be queried by %s", f, strings.Join(slices.Compact(indexed), ", "))
	}
	if q.OrderBy != "" {
		if err := known(q.OrderBy); err != nil {
			return nil, nil, err
		}
	}
	for _, c := range q.Where {
		if err := known(c.Field); err != nil {
			return nil, nil, err
		}
		switch c.Op {
		case projections.Eq, projections.Ne, projections.Lt, projections.Le, projections.Gt, projections.Ge:
		default:
			return nil, nil, fmt.Errorf("field %s: there is no comparison %q", c.Field, c.Op)
		}
		switch c.Value.(type) {
		case string, int64, bool:
		default:
			return nil, nil, fmt.Errorf("field %s: cannot compare with a %T, only with a string, an int64 or a bool", c.Field, c.Value)
		}
		where = append(where, field(c.Field)+string(c.Op)+"?")
		args = append(args, c.Value)
	}
	return where, args, nil
}

// part is a stretch of a query's order that one range of an index covers.
type part struct {
	where []string
	args  []any
	tied  bool // all its rows agree in the field of the order
}

// parts are the stretches to read, in order. After a cursor they are: the rows
// that agree with it in the field and come later by key, then those that come
// later by the field, where the rows without the field come first in an
// ascending order and last in a descending one.
//
// A row-value comparison, (f,key) > (?,?), would say the same at once, but
// SQLite finds no range of an index on an expression by it.
func parts(q projections.Query, after *cursor) []part {
	beyond := ">"
	if q.Desc {
		beyond = "<"
	}
	if after == nil {
		return []part{{}}
	}
	later := "key" + beyond + "?"
	if q.OrderBy == "" {
		return []part{{where: []string{later}, args: []any{after.Key}}}
	}
	f := field(q.OrderBy)
	if after.value == nil {
		without := part{where: []string{f + " IS NULL", later}, args: []any{after.Key}, tied: true}
		if q.Desc {
			return []part{without}
		}
		// Minus infinity is less than all values but NULL. IS NOT NULL would step
		// over every row without the field to get there.
		return []part{without, {where: []string{f + ">=-9e999"}}}
	}
	with := []part{
		{where: []string{f + "=?", later}, args: []any{after.value, after.Key}, tied: true},
		{where: []string{f + beyond + "?"}, args: []any{after.value}},
	}
	if q.Desc {
		with = append(with, part{where: []string{f + " IS NULL"}, tied: true})
	}
	return with
}

// statementText is the statement for a part of a query's order. Rows that agree
// in the field are asked for by key alone: else SQLite would sort them.
func statementText(table string, q projections.Query, where []string, p part) string {
	by, dir := "NULL", ""
	if q.OrderBy != "" {
		by = field(q.OrderBy)
	}
	if q.Desc {
		dir = " DESC"
	}
	var b strings.Builder
	b.WriteString("SELECT key,data," + by + " FROM " + table)
	if all := slices.Concat(where, p.where); len(all) > 0 {
		b.WriteString(" WHERE " + strings.Join(all, " AND "))
	}
	b.WriteString(" ORDER BY ")
	if q.OrderBy != "" && !p.tied {
		b.WriteString(by + dir + ",")
	}
	b.WriteString("key" + dir + " LIMIT ?")
	return b.String()
}
