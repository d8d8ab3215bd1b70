package sandbox

import (
	"cmp"
	"iter"
	"slices"
)

// table holds the objects of one kind in the order they were made, with indices.
// The zero table is empty.
type table[T any] struct {
	rows    map[string]*row[T]
	order   []*row[T]
	made    uint64
	indices []index[T]
}

// row is an object and its place in the order.
type row[T any] struct {
	seq uint64
	val *T
}

type index[T any] struct {
	name  string
	field func(*T) string
	rows  map[string][]*row[T]
}

// index keeps the rows by a field, from now on.
func (tb *table[T]) index(name string, field func(*T) string) {
	tb.indices = append(tb.indices, index[T]{name, field, map[string][]*row[T]{}})
}

func (tb *table[T]) len() int { return len(tb.rows) }

// get is the object, or nil. It must not be written to.
func (tb *table[T]) get(id string) *T {
	if r := tb.rows[id]; r != nil {
		return r.val
	}
	return nil
}

// put adds an object, or replaces it in its place.
func (tb *table[T]) put(id string, v *T) {
	if r := tb.rows[id]; r != nil {
		tb.reindex(r, v)
		r.val = v
		return
	}
	if tb.rows == nil {
		tb.rows = map[string]*row[T]{}
	}
	tb.made++
	r := &row[T]{tb.made, v}
	tb.rows[id] = r
	tb.order = append(tb.order, r)
	for _, ix := range tb.indices {
		if at := ix.field(v); at != "" {
			ix.rows[at] = append(ix.rows[at], r)
		}
	}
}

// reindex moves a row whose indexed fields change with its next value.
func (tb *table[T]) reindex(r *row[T], next *T) {
	for _, ix := range tb.indices {
		was, is := ix.field(r.val), ix.field(next)
		if was == is {
			continue
		}
		if was != "" {
			ix.rows[was] = slices.DeleteFunc(slices.Clone(ix.rows[was]), func(o *row[T]) bool { return o == r })
		}
		if is != "" {
			ix.rows[is] = slices.Insert(slices.Clone(ix.rows[is]), from(ix.rows[is], r.seq), r)
		}
	}
}

// first is the oldest object, or nil.
func (tb *table[T]) first() *T {
	if len(tb.order) == 0 {
		return nil
	}
	return tb.order[0].val
}

// dropFirst forgets the oldest object, whose id is id. Only for tables without
// an index.
func (tb *table[T]) dropFirst(id string) {
	delete(tb.rows, id)
	tb.order[0] = nil
	tb.order = tb.order[1:]
}

// drop forgets an object. Only for small tables without an index.
func (tb *table[T]) drop(id string) {
	gone := tb.rows[id]
	delete(tb.rows, id)
	tb.order = slices.DeleteFunc(tb.order, func(r *row[T]) bool { return r == gone })
}

// all yields every object, oldest first.
func (tb *table[T]) all() iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for _, r := range tb.order {
			if !yield(r.val) {
				return
			}
		}
	}
}

// where yields the objects whose indexed field is value, oldest first.
func (tb *table[T]) where(name, value string) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for _, r := range tb.rowsWhere(name, value) {
			if !yield(r.val) {
				return
			}
		}
	}
}

func (tb *table[T]) rowsWhere(name, value string) []*row[T] {
	for _, ix := range tb.indices {
		if ix.name == name {
			return ix.rows[value]
		}
	}
	panic("sandbox: no index " + name) // a defect
}

// from is where in rows, which are in order, the row of seq is or would be.
func from[T any](rows []*row[T], seq uint64) int {
	i, _ := slices.BinarySearchFunc(rows, seq, func(r *row[T], s uint64) int { return cmp.Compare(r.seq, s) })
	return i
}
