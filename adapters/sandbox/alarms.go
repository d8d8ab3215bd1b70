package sandbox

import (
	"container/heap"
	"strings"
)

// An alarm is when something happens to an object that nobody asks for: a refund
// succeeds or fails, a bank decides a dispute, a payout arrives. The object says
// itself when that is; an alarm that it does not speak of any more is passed
// over.
type alarm struct {
	at int64
	id string
}

// alarms is a heap of them, the next first; those of one second in the order of
// their ids, so that a seeded run is repeatable.
type alarms []alarm

func (a alarms) Len() int { return len(a) }
func (a alarms) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].id < a[j].id
}
func (a alarms) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *alarms) Push(x any)   { *a = append(*a, x.(alarm)) }
func (a *alarms) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

func (a *alarms) set(at int64, id string) {
	if at != 0 {
		heap.Push(a, alarm{at, id})
	}
}

// ring lets happen what is due by now.
func (t *tx) ring() {
	for len(t.alarms) > 0 && t.alarms[0].at <= t.now.Unix() {
		due := heap.Pop(&t.alarms).(alarm)
		switch prefix, _, _ := strings.Cut(due.id, "_"); prefix {
		case "ch":
			if c := *t.charges.get(due.id); c.DueAt == due.at {
				c.DueAt = 0
				t.put(entry{Charge: &c})
				t.aftermath(c.ID, cardsByToken[t.methods.get(c.Method).Card])
			}
		case "re":
			if r := t.refunds.get(due.id); r.DueAt == due.at {
				t.endRefund(*r)
			}
		case "dp":
			if d := t.disputes.get(due.id); d.DueAt == due.at {
				t.decideDispute(*d)
			}
		case "po":
			if p := t.payouts.get(due.id); p.dueAt() == due.at {
				t.arrive(*p)
			}
		}
	}
}
