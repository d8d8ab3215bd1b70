package node

import (
	"slices"
	"time"
)

// groupStats counts what a group gives out.
type groupStats struct {
	total, lastTotal int64
	rate             int64 // messages a second, over the last interval
	measured         time.Time
}

// statsEvery is the interval over which rates are measured.
const statsEvery = time.Second

// measure is called at every tick.
func (g *group) measure(now time.Time) {
	passed := now.Sub(g.measured)
	if passed < statsEvery {
		return
	}
	perSecond := func(n int64) int64 { return int64(float64(n) / passed.Seconds()) }
	g.rate, g.lastTotal, g.measured = perSecond(g.total-g.lastTotal), g.total, now
	for _, c := range g.consumers {
		c.rate, c.lastTotal = perSecond(c.total-c.lastTotal), c.total
	}
}

// latenciesKept is of how many answers a consumer's times are known.
const latenciesKept = 1000

// latencies are the newest times from giving a message to its answer.
type latencies struct {
	kept []time.Duration
	next int
}

func (l *latencies) add(d time.Duration) {
	if len(l.kept) < latenciesKept {
		l.kept = append(l.kept, d)
		return
	}
	l.kept[l.next] = d
	l.next = (l.next + 1) % latenciesKept
}

// measurement is a named figure in milliseconds.
type measurement struct {
	name  string
	value int64
}

// measurements are those of EventStoreDB (RequestStatistics), under its names.
func (l *latencies) measurements() []measurement {
	if len(l.kept) == 0 {
		return nil
	}
	sorted := slices.Sorted(slices.Values(l.kept))
	at := func(share float64) int64 {
		return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)].Milliseconds()
	}
	var sum time.Duration
	for _, d := range sorted {
		sum += d
	}
	return []measurement{
		{"Mean", (sum / time.Duration(len(sorted))).Milliseconds()}, {"Median", at(0.5)}, {"Fastest", at(0)},
		{"Quintile 1", at(0.2)}, {"Quintile 2", at(0.4)}, {"Quintile 3", at(0.6)}, {"Quintile 4", at(0.8)}, {"Quintile 5", at(1)},
		{"90%", at(0.9)}, {"95%", at(0.95)}, {"99%", at(0.99)}, {"99.5%", at(0.995)}, {"99.9%", at(0.999)},
	}
}
