package node

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// checkTimeout bounds the search for an order; it takes milliseconds.
const checkTimeout = time.Minute

// check looks for an order. It reads what came of it all first: by that it is
// known of unanswered appends whether they were done, and those that were not
// need no moment.
func (o *observed) check() (porcupine.CheckResult, string) {
	done := map[uint16]bool{}
	for _, stream := range o.streams {
		o.request(-1, rand.New(rand.NewPCG(0, 0)), asked{stream: stream, what: askAll})
		final := register(o.history[len(o.history)-1].Output.(told).all)
		for n := range final.last() + 1 {
			done[final.at(int(n))] = true
		}
	}
	o.history = slices.DeleteFunc(o.history, func(op porcupine.Operation) bool {
		return op.Output.(told).unknown && !done[op.Input.(asked).events[0]]
	})
	result, info := porcupine.CheckOperationsVerbose(registers, o.history, checkTimeout)
	return result, o.explain(info)
}

// explain shows, of a stream without an order, what the longest one begun ends
// with, and what does not follow.
func (o *observed) explain(info porcupine.LinearizationInfo) string {
	var text strings.Builder
	for _, part := range info.PartialLinearizationsOperations() {
		longest := slices.MaxFunc(part, func(a, b []porcupine.Operation) int { return cmp.Compare(len(a), len(b)) })
		stream, r := longest[0].Input.(asked).stream, register("")
		total := 0
		for _, op := range o.history {
			if op.Input.(asked).stream == stream {
				total++
			}
		}
		if len(longest) == total {
			continue
		}
		for _, op := range longest {
			_, r = r.after(op.Input.(asked))
		}
		fmt.Fprintf(&text, "seed %d, %s: an order for %d of %d requests; then it has %d events, and of those not in it are first\n", o.seed, stream, len(longest), total, r.last()+1)
		left := slices.DeleteFunc(slices.Clone(o.history), func(op porcupine.Operation) bool {
			return op.Input.(asked).stream != stream || slices.ContainsFunc(longest, func(l porcupine.Operation) bool { return l.ClientId == op.ClientId && l.Call == op.Call })
		})
		slices.SortFunc(left, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
		for _, op := range left[:min(3, len(left))] {
			due, _ := r.after(op.Input.(asked))
			fmt.Fprintf(&text, "  client %d asked %+v, was told %+v, would be told %+v\n", op.ClientId, op.Input, op.Output, due)
		}
	}
	return text.String()
}

// mustBeLinear checks a history, and that what was promised in it is there at
// its place.
func (o *observed) mustBeLinear(t *testing.T, e engine) {
	t.Helper()
	if result, why := o.check(); result != porcupine.Ok {
		t.Fatalf("%s: no order explains the answers:\n%s", result, why)
	}
	unknown := 0
	for _, op := range o.history {
		if op.Output.(told).unknown {
			unknown++
		}
	}
	t.Logf("seed %d: %d requests, of them %d unanswered and done, %d appends acknowledged", o.seed, len(o.history), unknown, len(o.placed))
	for position, p := range o.placed {
		for r, err := range e.readAll(t.Context(), false, position) {
			if err != nil || r.Position != position || r.Stream != p.stream || int64(r.Revision) != p.at.Revision || r.ID != o.id(p.events[len(p.events)-1]) ||
				string(r.Data) != fmt.Sprint(p.events[len(p.events)-1]) {
				t.Fatalf("acknowledged was %+v, read %+v, %v", p, r, err)
			}
			break
		}
	}
}
