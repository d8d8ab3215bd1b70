package node

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"pgregory.net/rapid"
)

// longer is how many times as much as in CI the tests do that chance drives:
// KICAU_LONG, 1 when it is not set.
var longer = func() int {
	text := os.Getenv("KICAU_LONG")
	if text == "" {
		return 1
	}
	n := 0
	if _, err := fmt.Sscan(text, &n); err != nil || n < 1 {
		panic(fmt.Sprintf("KICAU_LONG is %q: it is how many times as long as usual the long tests run", text))
	}
	return n
}()

// seedsOfARound is more than rapid goes through in one check: it adds 0, 1, 2, …
// for each next case.
const seedsOfARound = 10_000

// checkLonger is rapid.Check, done longer times, then with seeds that are known
// beforehand.
func checkLonger(t *testing.T, prop func(*rapid.T)) {
	t.Helper()
	seed := flag.Lookup("rapid.seed").Value
	before := seed.String()
	defer func() { mustSet(t, seed, before) }()
	for round := range longer {
		if longer > 1 {
			mustSet(t, seed, fmt.Sprint(1+round*seedsOfARound))
		}
		rapid.Check(t, prop)
	}
}

func mustSet(t *testing.T, v flag.Value, text string) {
	t.Helper()
	if err := v.Set(text); err != nil {
		t.Fatal(err)
	}
}
