package sqlstore

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"kicau/projections"
)

const (
	benchBatch = 1000    // rows a commit
	benchKeys  = 200_000 // different keys
	benchBytes = 500     // of JSON a row
)

var benchIndexes = [][]string{{"shop", "placedAt"}, {"status"}}

func benchKey(i int) string { return uuid.NewSHA1(logID, fmt.Append(nil, i)).String() }

func benchRow(i, version int) projections.RowData {
	data := fmt.Appendf(nil, `{"shop":"shop-%d","placedAt":"2025-01-%02dT10:00:%02dZ","status":"s%d","total":%d,"text":"`, i%50, i%28+1, i%60, version%7, i)
	data = append(data, strings.Repeat("x", benchBytes-2-len(data))...)
	return projections.RowData{Key: benchKey(i), Data: append(data, `"}`...)}
}

func benchStep(r *rand.Rand, n uint64) projections.Batch {
	b := projections.Batch{Table: table, From: at(n), To: at(n + 1)}
	for _, i := range r.Perm(benchKeys)[:benchBatch] {
		b.Rows = append(b.Rows, benchRow(i, int(n)))
	}
	slices.SortFunc(b.Rows, func(x, y projections.RowData) int { return strings.Compare(x.Key, y.Key) })
	return b
}

// BenchmarkCommit upserts rows of random keys, 1000 a commit: at first most are
// new, later most are there.
func BenchmarkCommit(b *testing.B) {
	for _, indexes := range [][][]string{nil, benchIndexes} {
		b.Run(fmt.Sprintf("indexes=%d", len(indexes)), func(b *testing.B) {
			d := open(b, filepath.Join(b.TempDir(), "a.db"))
			if _, err := d.Prepare(b.Context(), projections.Schema{Table: table, Indexes: indexes}); err != nil {
				b.Fatal(err)
			}
			r := rand.New(rand.NewPCG(1, 2))
			n := uint64(0)
			for b.Loop() {
				b.StopTimer()
				batch := benchStep(r, n)
				b.StartTimer()
				if err := d.Commit(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
				n++
			}
			b.ReportMetric(float64(n*benchBatch)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkCommitOne is a live view: one row a commit.
func BenchmarkCommitOne(b *testing.B) {
	d := open(b, filepath.Join(b.TempDir(), "a.db"))
	if _, err := d.Prepare(b.Context(), projections.Schema{Table: table, Indexes: benchIndexes}); err != nil {
		b.Fatal(err)
	}
	n := uint64(0)
	for b.Loop() {
		batch := projections.Batch{Table: table, From: at(n), To: at(n + 1), Rows: []projections.RowData{benchRow(int(n%benchKeys), int(n))}}
		if err := d.Commit(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		n++
	}
}

func filled(b *testing.B) *DB {
	b.Helper()
	d := open(b, filepath.Join(b.TempDir(), "a.db"))
	if _, err := d.Prepare(b.Context(), projections.Schema{Table: table, Indexes: benchIndexes}); err != nil {
		b.Fatal(err)
	}
	batch := projections.Batch{Table: table, To: at(1)}
	for i := range benchKeys {
		batch.Rows = append(batch.Rows, benchRow(i, i))
	}
	if err := d.Commit(b.Context(), batch); err != nil {
		b.Fatal(err)
	}
	return d
}

func BenchmarkLoad(b *testing.B) {
	d := filled(b)
	r := rand.New(rand.NewPCG(1, 2))
	rows := 0
	for b.Loop() {
		keys := make([]string, benchBatch)
		for i := range keys {
			keys[i] = benchKey(r.IntN(benchKeys))
		}
		got, err := d.Load(b.Context(), table, keys)
		if err != nil {
			b.Fatal(err)
		}
		rows += len(got)
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkGet(b *testing.B) {
	d := filled(b)
	r := rand.New(rand.NewPCG(1, 2))
	for b.Loop() {
		if data, err := d.Get(b.Context(), table, benchKey(r.IntN(benchKeys))); err != nil || data == nil {
			b.Fatal(data, err)
		}
	}
}

// BenchmarkQuery asks for the second page of a shop's orders.
func BenchmarkQuery(b *testing.B) {
	d := filled(b)
	q := projections.Query{Where: []projections.Cond{{Field: "shop", Op: projections.Eq, Value: "shop-7"}}, OrderBy: "placedAt", Desc: true}
	first, err := d.Query(b.Context(), table, q)
	if err != nil {
		b.Fatal(err)
	}
	q.After = first.Next
	for b.Loop() {
		res, err := d.Query(b.Context(), table, q)
		if err != nil || len(res.Rows) != projections.DefaultQueryLimit || !json.Valid(res.Rows[0].Data) {
			b.Fatal(res, err)
		}
	}
}
