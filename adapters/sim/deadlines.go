package sim

import (
	"cmp"
	"container/heap"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"kicau/domain/event"
	"kicau/projections"
	"kicau/projections/deadline"
)

// view is the read model of deadlines, kept by a projection of its own that lags
// behind the log. Rows and place are kept together, so a crash loses nothing.
type view struct {
	projections.Store // nothing but Query is asked of it
	w                 *world
	rows              map[string]*deadline.Row
	all               []*deadline.Row // the same, to go through
	dues              dues
	behind            []event.Event
	until             time.Time // it stands still until then
	catching          bool
	look              *entry
	idle              time.Duration // since nothing of what is due could fire
}

var (
	deadlineTable = deadline.Projection.Table()
	handled       = func() map[string]bool {
		m := map[string]bool{}
		for _, t := range deadline.Projection.Handles {
			m[t] = true
		}
		return m
	}()
)

func (v *view) append(events []event.Event) {
	v.behind = append(v.behind, events...)
	if meets := v.w.faults.next(atView, v.w.k.now); meets == viewStalls {
		v.w.met(meets, "deadlines")
		v.until = v.w.k.now.Add(between(v.w.k.delays, time.Minute, 6*time.Hour))
	}
	v.catchUp()
}

func (v *view) catchUp() {
	if v.catching {
		return
	}
	v.catching = true
	at := v.w.k.now.Add(between(v.w.k.delays, 5*time.Millisecond, 200*time.Millisecond))
	if at.Before(v.until) {
		at = v.until
	}
	v.w.k.at(at, "deadlines catch up", func() {
		v.catching = false
		for _, e := range v.behind {
			if !handled[e.Type] {
				continue
			}
			for _, key := range deadline.Projection.Keys(e) {
				row := v.row(key)
				before := row.Due
				*row = deadline.Projection.Fold(*row, key, e)
				if row.Due != "" && row.Due != before {
					heap.Push(&v.dues, due{row.Due, key})
				}
			}
		}
		v.behind = v.behind[:0]
		v.idle = 0
		v.plan()
	})
}

// row of a key, as it is now; a new one is empty.
func (v *view) row(key string) *deadline.Row {
	r, ok := v.rows[key]
	if !ok {
		r = &deadline.Row{}
		v.rows[key], v.all = r, append(v.all, r)
	}
	return r
}

// next is when the first deadline is due.
func (v *view) next() (at time.Time, ok bool) {
	for len(v.dues) > 0 && v.rows[v.dues[0].key].Due != v.dues[0].at {
		heap.Pop(&v.dues) // of an earlier row
	}
	if len(v.dues) == 0 {
		return at, false
	}
	at, err := time.Parse(projections.TimeLayout, v.dues[0].at)
	return at, err == nil
}

// due is when a row was due, as of one of its versions.
type due struct{ at, key string }

type dues []due

func (h dues) Len() int { return len(h) }
func (h dues) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].key < h[j].key
}
func (h dues) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *dues) Push(x any)   { *h = append(*h, x.(due)) }
func (h *dues) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// lookMost bounds the pause between two looks while something is due that does
// not fire.
const lookMost = 10 * time.Minute

// plan the next look.
func (v *view) plan() {
	if v.look != nil {
		v.look.cancelled = true
		v.look = nil
	}
	at, ok := v.next()
	if !ok {
		return
	}
	if at.Before(v.w.k.now.Add(v.idle)) {
		at = v.w.k.now.Add(v.idle)
	}
	at = at.Add(between(v.w.k.delays, 0, 2*time.Second))
	v.look = v.w.k.at(at, "deadlines are looked at", func() {
		v.look = nil
		v.fire()
		v.idle = min(max(2*v.idle, 30*time.Second), lookMost)
		v.plan()
	})
}

// fire what is due, in every process that runs.
func (v *view) fire() {
	if v.w.plant.noDeadlines {
		return
	}
	for _, p := range v.w.upSagas() {
		ready, err := p.deadlines.Ready(context.Background(), v.w.plant.now(v.w)())
		if err != nil {
			v.w.breach("nothing fails without a fault", p.name, "deadlines: %v", err)
		}
		for _, r := range ready {
			p.ask(&job{what: "deadline " + string(r.Kind), do: func(p *process) error {
				v.w.k.tell("%s: %s of order %s is due", p.name, r.Kind, short(r.Order))
				return p.deadlines.Fire(context.Background(), r)
			}, done: func(err error) { v.w.failed("deadline", err) }})
		}
	}
}

// Query what is due: the one question that deadlines ask.
func (v *view) Query(_ context.Context, table string, q projections.Query) (projections.Result, error) {
	if table != deadlineTable || q.OrderBy != "due" || len(q.Where) != 2 {
		return projections.Result{}, errors.New("sim: the view of deadlines is asked something else than what is due")
	}
	until := q.Where[1].Value.(string)
	var due []deadline.Row
	for _, r := range v.all {
		if r.Due != "" && r.Due <= until && r.Due+r.Order > q.After {
			due = append(due, *r)
		}
	}
	slices.SortFunc(due, func(a, b deadline.Row) int { return cmp.Or(cmp.Compare(a.Due, b.Due), cmp.Compare(a.Order, b.Order)) })
	var res projections.Result
	if len(due) > q.Limit {
		due = due[:q.Limit]
		res.Next = due[q.Limit-1].Due + due[q.Limit-1].Order
	}
	for _, r := range due {
		data, err := json.Marshal(r)
		if err != nil {
			return res, err
		}
		res.Rows = append(res.Rows, projections.RowData{Key: r.Order, Data: data})
	}
	return res, nil
}

func short(id string) string {
	if len(id) > 8 {
		return id[:8]
	}
	return id
}
