package sim

import (
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"testing"
)

func TestMain(m *testing.M) {
	debug.SetGCPercent(400) // many small worlds, one after the other
	os.Exit(m.Run())
}

// env is a setting of a longer or a particular run.
func env[T string | int](name string, otherwise T) T {
	v, set := os.LookupEnv("KICAU_SIM_" + name)
	if !set {
		return otherwise
	}
	switch any(otherwise).(type) {
	case int:
		n, err := strconv.Atoi(v)
		if err != nil {
			panic("KICAU_SIM_" + name + ": " + err.Error())
		}
		return any(n).(T)
	}
	return any(v).(T)
}

func TestSeeds(t *testing.T) {
	from, to := env("FROM", 1), env("TO", 60)
	reached := map[string]int{}
	bad := 0
	for seed := from; seed <= to && bad < 12; seed++ {
		o := Options{Seed: uint64(seed), Orders: env("ORDERS", 40), Faults: env("FAULTS", 40)}
		if from == to {
			o.Story = os.Stdout
		}
		res := Run(o)
		for k, n := range res.Reached {
			reached[k] += n
		}
		if len(res.Breaches) > 0 {
			bad++
			t.Errorf("seed %d: %s", seed, res.Breaches[0])
		}
	}
	if testing.Verbose() {
		var keys []string
		for k := range reached {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			t.Log(k, reached[k])
		}
	}
}

func TestTheSameSeedIsTheSameRun(t *testing.T) {
	for seed := range uint64(env("TWICE", 50)) {
		o := Options{Seed: seed, Orders: 12, Faults: 20}
		first, second := Run(o), Run(o)
		if first.Digest != second.Digest || first.Steps != second.Steps || first.Events != second.Events {
			t.Fatalf("seed %d: %s after %d steps with %d events, then %s after %d steps with %d events", seed,
				first.Digest, first.Steps, first.Events, second.Digest, second.Steps, second.Events)
		}
	}
}
