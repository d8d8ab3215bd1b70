package sim

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
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

// A few hundred seeds hold all laws, and get into every situation that the
// simulator is for. KICAU_LONG=N runs N seeds of 200 orders with 100 faults
// instead, from KICAU_SIM_FROM on.
func TestSeeds(t *testing.T) {
	o, from, to := Options{Orders: 16, Faults: 16}, uint64(1), uint64(400)
	if long := os.Getenv("KICAU_LONG"); long != "" {
		n, err := strconv.ParseUint(long, 10, 64)
		if err != nil {
			t.Fatalf("KICAU_LONG is a number of seeds: %v", err)
		}
		from = uint64(env("FROM", 1))
		o, to = Options{Orders: 200, Faults: 100}, from+n-1
	}
	o.Orders, o.Faults = env("ORDERS", o.Orders), env("FAULTS", o.Faults)
	reached, happened, breached := map[string]int{}, 0, 0
	err := Range(t.Context(), o, from, to, runtime.GOMAXPROCS(0), func(res Result) bool {
		happened += res.Happened
		for k, n := range res.Reached {
			reached[k] += n
		}
		if len(res.Breaches) > 0 {
			breached++
			t.Errorf("%s\nreplay it: %s", res.Breaches[0], res.Replay())
		}
		return breached < 5
	})
	if err != nil {
		t.Fatal(err)
	}
	if breached > 0 {
		return
	}
	t.Logf("%d seeds, %d faults happened", to-from+1, happened)
	for _, situation := range Situations {
		if reached[situation] == 0 {
			t.Errorf("nobody got into this situation: %s", situation)
		}
		t.Logf("%7d  %s", reached[situation], situation)
		delete(reached, situation)
	}
	t.Logf("besides: %v", reached)
}

func TestTheSameSeedIsTheSameRun(t *testing.T) {
	for seed := range uint64(50) {
		o := Options{Seed: seed, Orders: 8, Faults: 12}
		first, second := Run(o), Run(o)
		if first.Digest != second.Digest || first.Steps != second.Steps || first.Events != second.Events {
			t.Fatalf("seed %d: %s after %d steps with %d events, then %s after %d steps with %d events", seed,
				first.Digest, first.Steps, first.Events, second.Digest, second.Steps, second.Events)
		}
	}
}

// Listening changes nothing.
func TestAStoryIsTold(t *testing.T) {
	var story strings.Builder
	o := Options{Seed: 7, Orders: 8, Faults: 12}
	quiet := Run(o)
	o.Story = &story
	if told := Run(o); told.Digest != quiet.Digest {
		t.Errorf("the run that is told is another: %s, not %s", told.Digest, quiet.Digest)
	}
	for _, want := range []string{"OrderPlaced", "call v1:", "the processor says payment_intent."} {
		if !strings.Contains(story.String(), want) {
			t.Errorf("the story has no %q", want)
		}
	}
}

// Whoever dies in the middle of a call leaves nothing behind that would keep the
// whole world in memory: ten thousand are played in a row.
func TestARunLeavesNothingBehind(t *testing.T) {
	before, crashes := runtime.NumGoroutine(), 0
	for seed := range uint64(10) {
		crashes += Run(Options{Seed: seed + 1, Orders: 16, Faults: 32}).Crashes
	}
	if crashes == 0 {
		t.Fatal("nobody died")
	}
	if left := runtime.NumGoroutine() - before; left > 0 {
		t.Errorf("%d goroutines are left of ten runs with %d crashes", left, crashes)
	}
}

// BenchmarkSeed is a seed of 200 orders with 100 faults, in real time and in that
// of the processor.
func BenchmarkSeed(b *testing.B) {
	for n := range b.N {
		if res := Run(Options{Seed: uint64(n + 1), Orders: 200, Faults: 100}); len(res.Breaches) > 0 {
			b.Fatal(res.Breaches[0])
		}
	}
}

// BenchmarkSeeds is such seeds as `kicau sim --seeds` plays them, on all cores: the
// time from one to the next.
func BenchmarkSeeds(b *testing.B) {
	err := Range(b.Context(), Options{Orders: 200, Faults: 100}, 1, uint64(b.N), runtime.GOMAXPROCS(0), func(res Result) bool {
		if len(res.Breaches) > 0 {
			b.Error(res.Breaches[0])
		}
		return len(res.Breaches) == 0
	})
	if err != nil {
		b.Fatal(err)
	}
}
