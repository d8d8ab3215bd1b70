package sim

import (
	"math/rand/v2"
	"slices"
	"time"
)

// fault is something that goes wrong in one call.
type fault string

// Faults, by where they happen. Each write has a pair of twins: not done, and
// done but nobody says so.
const (
	none fault = ""

	appendLost     fault = "the append is lost"
	answerLost     fault = "the answer to the append is lost"
	appendTimesOut fault = "the append times out, not done"
	answerTimesOut fault = "the append times out, done"
	appendSlow     fault = "the append is slow"
	logReadOnly    fault = "the log is read-only"

	readFails fault = "the read fails"
	readSlow  fault = "the read is slow"

	callLost       fault = "the call times out, not done"
	callAnswerLost fault = "the call times out, done"
	fails500Before fault = "500, saved under the key, not done"
	fails500After  fault = "500, saved under the key, done"
	busy409        fault = "409, the key is in use"
	limited429     fault = "429, too many requests"
	locked429      fault = "429, the object is locked"

	lookLost fault = "the look times out"

	diesBefore fault = "the process dies before"
	diesAfter  fault = "the process dies after"
	freezes    fault = "the process freezes for a while"

	noticeLost  fault = "the webhook is lost"
	noticeTwice fault = "the webhook comes twice"
	noticeLate  fault = "the webhook is late"

	deliveredTwice fault = "the event is delivered twice"
	deliveredLate  fault = "the event is delivered late"

	viewStalls   fault = "the deadline view stalls"
	outageBefore fault = "everything goes down for a day before a call"
	outageAfter  fault = "everything goes down for a day after a call"
)

// place is a kind of call that faults happen in.
type place int

const (
	atAppend place = iota
	atRead
	atCall
	atLook
	atNotice
	atDelivery
	atView
	places
)

var faultsAt = [places][]fault{
	atAppend:   {appendLost, answerLost, appendTimesOut, answerTimesOut, appendSlow, logReadOnly, diesBefore, diesAfter, freezes},
	atRead:     {readFails, readSlow},
	atCall:     {callLost, callAnswerLost, fails500Before, fails500After, busy409, limited429, locked429, diesBefore, diesAfter, freezes},
	atLook:     {lookLost},
	atNotice:   {noticeLost, noticeTwice, noticeLate},
	atDelivery: {deliveredTwice, deliveredLate},
	atView:     {viewStalls},
}

// perOrder is about how many calls of a kind an order makes in a run without
// faults: faults are spread over that many.
var perOrder = [places]int{atAppend: 8, atRead: 20, atCall: 2, atLook: 1, atNotice: 2, atDelivery: 6, atView: 6}

// weights say where faults like to happen; a seed may have its own.
var weights = [places]int{atAppend: 30, atRead: 8, atCall: 30, atLook: 6, atNotice: 16, atDelivery: 8, atView: 2}

// faults are what goes wrong in a run: so many, each at the n-th call of a kind.
type faults struct {
	plan    [places]map[int]fault
	made    [places]int
	healed  bool
	happend int

	storm      *rand.Rand // draws while it lasts; nil: there is none
	from, till time.Time
}

func planFaults(r *rand.Rand, orders, count int) *faults {
	f := &faults{}
	if count > 0 && oneIn(r, 3) {
		// A bad hour: of all that is asked of the log and the processor, one in
		// three goes wrong, besides what is planned.
		f.storm = r
		f.from = start.Add(between(r, 0, arrivals))
		f.till = f.from.Add(between(r, time.Minute, time.Hour))
	}
	w := weights
	for p := range w { // a swarm: every seed has its own favourites
		f.plan[p] = map[int]fault{}
		w[p] = w[p] * pick(r, 0, 1, 1, 2, 4)
	}
	if !slices.ContainsFunc(w[:], func(x int) bool { return x > 0 }) {
		w = weights
	}
	total := 0
	for _, x := range w {
		total += x
	}
	for range count {
		n, p := r.IntN(total), 0
		for n >= w[p] {
			n -= w[p]
			p++
		}
		f.plan[p][r.IntN(max(1, orders*perOrder[p]))] = pick(r, faultsAt[p]...)
	}
	if count > 0 && oneIn(r, 3) {
		f.plan[atCall][r.IntN(max(1, orders*perOrder[atCall]))] = pick(r, outageBefore, outageAfter)
	}
	return f
}

// stormy are the faults of a storm.
var stormy = [places][]fault{
	atAppend: {appendLost, answerLost, appendTimesOut, answerTimesOut, appendSlow},
	atRead:   {readFails},
	atCall:   {callLost, callAnswerLost, fails500Before, fails500After, limited429, locked429},
	atLook:   {lookLost},
}

// next is what goes wrong in the next call of a kind.
func (f *faults) next(p place, now time.Time) fault {
	n := f.made[p]
	f.made[p]++
	if f.healed {
		return none
	}
	meets := f.plan[p][n]
	if f.storm != nil && meets == none && len(stormy[p]) > 0 && !now.Before(f.from) && now.Before(f.till) && oneIn(f.storm, 3) {
		meets = pick(f.storm, stormy[p]...)
	}
	if meets != none {
		f.happend++
	}
	return meets
}
