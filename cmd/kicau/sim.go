package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"kicau/adapters/sim"
	"kicau/domain/oracle"
)

type simCmd struct {
	Seed   uint64 `help:"The run to play." default:"1"`
	Seeds  string `help:"A range of runs instead, such as 1..10000." placeholder:"FROM..TO"`
	Orders int    `help:"Buyers of a run." default:"200"`
	Faults int    `help:"How much goes wrong in a run." default:"100"`
	Trace  bool   `help:"Tell the story of the run, line by line."`
}

func (simCmd) Help() string {
	return `Shops, buyers, banks and everything that goes wrong, from a seed: the log, the
processor, webhooks and clocks fail as the seed has it, and after every step all
that must be true of the money and the stock is checked. The same seed is the
same run, so whatever is found can be found again. Nothing outside is touched.

Exit code 1: a law was broken; the output says which, by which seed, and how to
play that run again.

Examples:
  kicau sim --seed 42
  kicau sim --seed 42 --orders 20 --faults 40 --trace
  kicau sim --seeds 1..1000 --output json`
}

// simGarbage is when the collector runs: runs are small and short.
const simGarbage = 400

func (c *simCmd) Run(ctx context.Context, g *Global) error {
	from, to, err := c.seeds()
	if err != nil {
		return err
	}
	if c.Orders < 1 || c.Faults < 0 {
		return usageError{fmt.Errorf("a run has at least one order and no fewer than no faults, not %d and %d", c.Orders, c.Faults)}
	}
	defer debug.SetGCPercent(debug.SetGCPercent(simGarbage))
	o := sim.Options{Seed: from, Orders: c.Orders, Faults: c.Faults}
	if from == to {
		return c.one(g, o)
	}
	if c.Trace {
		return usageError{fmt.Errorf("--trace tells one run: name it with --seed")}
	}
	return c.many(ctx, g, o, from, to)
}

// seeds are the first and the last run to play.
func (c *simCmd) seeds() (from, to uint64, err error) {
	if c.Seeds == "" {
		return c.Seed, c.Seed, nil
	}
	first, last, ok := strings.Cut(c.Seeds, "..")
	if ok {
		from, err = strconv.ParseUint(first, 10, 64)
	}
	if ok && err == nil {
		to, err = strconv.ParseUint(last, 10, 64)
	}
	if !ok || err != nil || to < from {
		return 0, 0, usageError{fmt.Errorf("--seeds: %q is no range such as 1..1000", c.Seeds)}
	}
	return from, to, nil
}

func (c *simCmd) one(g *Global, o sim.Options) error {
	if c.Trace {
		o.Story = g.stdout
		if g.json() {
			o.Story = g.stderr
		}
	}
	res := sim.Run(o)
	if g.json() {
		if err := writeJSON(g.stdout, res); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(g.stdout, "seed %d: %d orders, %d of %d faults happened, %d crashes, %d events, %.0f days\n",
			res.Seed, res.Orders, res.Happened, res.Faults, res.Crashes, res.Events, res.Days)
		tellReached(g.stdout, res.Reached)
	}
	return lawBroken(res)
}

// simulated is what a range of runs comes to.
type simulated struct {
	From     uint64         `json:"from"`
	To       uint64         `json:"to"`
	Orders   int            `json:"orders"` // of a run
	Faults   int            `json:"faults"`
	Runs     int            `json:"runs"`
	Happened int            `json:"happened"` // faults, in all
	Crashes  int            `json:"crashes"`
	Events   int            `json:"events"`
	Seconds  float64        `json:"seconds"`
	Breached []breached     `json:"breached"`
	Reached  map[string]int `json:"reached"`
}

type breached struct {
	Seed   uint64        `json:"seed"`
	Breach oracle.Breach `json:"breach"`
	Replay string        `json:"replay"`
}

// maxBreached bounds the runs with a breach that are gone through: after so many
// something is wrong that has to be mended first.
const maxBreached = 20

func (c *simCmd) many(ctx context.Context, g *Global, o sim.Options, from, to uint64) error {
	start := time.Now()
	out := simulated{From: from, To: to, Orders: o.Orders, Faults: o.Faults, Breached: []breached{}, Reached: map[string]int{}}
	bar := g.progress(int64(to-from+1), "simulating", "seeds", false)
	var first error
	err := sim.Range(ctx, o, from, to, runtime.GOMAXPROCS(0), func(res sim.Result) bool {
		bar.add(1)
		out.Runs++
		out.Happened += res.Happened
		out.Crashes += res.Crashes
		out.Events += res.Events
		for situation, n := range res.Reached {
			out.Reached[situation] += n
		}
		if err := lawBroken(res); err != nil {
			if first == nil {
				first = err
			}
			out.Breached = append(out.Breached, breached{res.Seed, res.Breaches[0], res.Replay()})
			if !g.json() {
				fmt.Fprintf(g.stdout, "seed %d: %s\n  %s\n", res.Seed, res.Breaches[0], res.Replay())
			}
		}
		return len(out.Breached) < maxBreached
	})
	bar.done()
	out.Seconds = time.Since(start).Seconds()
	if g.json() {
		if err := writeJSON(g.stdout, out); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(g.stdout, "%d seeds of %d orders: %d faults happened, %d crashes, %d events, %d seeds with a breach, %.1f s\n",
			out.Runs, out.Orders, out.Happened, out.Crashes, out.Events, len(out.Breached), out.Seconds)
		tellReached(g.stdout, out.Reached)
	}
	if err != nil {
		return fmt.Errorf("stopped after %d of %d seeds: %w", out.Runs, to-from+1, err)
	}
	return first
}

func tellReached(w io.Writer, reached map[string]int) {
	for _, situation := range slices.Sorted(maps.Keys(reached)) {
		fmt.Fprintf(w, "%8d  %s\n", reached[situation], situation)
	}
}

// lawBroken is a run's first breach as an error; nil when there is none.
func lawBroken(res sim.Result) error {
	if len(res.Breaches) == 0 {
		return nil
	}
	return fmt.Errorf("seed %d broke a law: %s\nreplay it: %s", res.Seed, res.Breaches[0], res.Replay())
}
