package react

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"time"

	"kicau/projections"
	"kicau/projections/deadline"
)

// crowd is a view in which there is no end of what is due.
type crowd struct{ projections.Store }

func (crowd) Query(_ context.Context, _ string, q projections.Query) (res projections.Result, err error) {
	var from int
	if q.After != "" {
		if from, err = strconv.Atoi(q.After); err != nil {
			return res, err
		}
	}
	for n := range q.Limit {
		row := deadline.Row{Order: fmt.Sprint(from + n), Due: "2030"}
		data, err := json.Marshal(row)
		if err != nil {
			return res, err
		}
		res.Rows = append(res.Rows, projections.RowData{Key: row.Order, Data: data})
	}
	res.Next = fmt.Sprint(from + q.Limit)
	return res, nil
}

// Of more deadlines than are remembered, the others fire all the same, and are
// in nobody's way.
func TestMemoryOfDeadlinesIsBounded(t *testing.T) {
	d := NewDeadlines(nil, crowd{})
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for fired := 0; fired < MaxRemembered+4*MaxDue; {
		ready, err := d.Ready(t.Context(), now)
		if err != nil || len(ready) != MaxDue {
			t.Fatalf("%d fire, %v", len(ready), err)
		}
		if len(d.again) > MaxRemembered {
			t.Fatalf("%d deadlines are remembered", len(d.again))
		}
		fired += len(ready)
	}
	d.after = fmt.Sprint(MaxRemembered) // they come by again
	if ready, err := d.Ready(t.Context(), now); err != nil || len(ready) != MaxDue {
		t.Fatalf("of those that are not remembered %d fire, %v", len(ready), err)
	}
	d.after = "0" // and the remembered
	if ready, err := d.Ready(t.Context(), now); err != nil || len(ready) != 0 {
		t.Fatalf("of those that are remembered %d fire, %v", len(ready), err)
	}
}
