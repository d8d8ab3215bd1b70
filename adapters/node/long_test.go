package node

import (
	"fmt"
	"os"
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
