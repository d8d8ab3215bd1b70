package sim

import (
	"os"
	"strconv"
	"testing"
)

func env(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

func TestSeeds(t *testing.T) {
	from, to := env("FROM", 1), env("TO", 20)
	reached := map[string]int{}
	bad := 0
	for seed := from; seed <= to; seed++ {
		o := Options{Seed: uint64(seed), Orders: env("ORDERS", 20), Faults: env("FAULTS", 10)}
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
			if bad > 12 {
				break
			}
		}
		if from == to {
			t.Logf("%+v", res)
		}
	}
	for k, n := range reached {
		t.Log(k, n)
	}
}
