package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

// kills is how often the import is killed; KICAU_KILLS says otherwise.
const kills = 8

// historyOrders is the size of the history: a second or two of importing.
const historyOrders = 3000

// TestImportKilled kills an import with SIGKILL at random moments, then lets it
// finish: the log is that of an import that was left alone, and the read models
// agree with it.
func TestImportKilled(t *testing.T) {
	n := kills
	if s := os.Getenv("KICAU_KILLS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "history.jsonl")
	lines := writeHistory(t, file, historyOrders)

	start := time.Now()
	want := importAll(t, filepath.Join(dir, "whole"), file)
	span := time.Since(start)
	if want.Read != int64(lines) || want.Accepted+want.Rejected != want.Read || want.Orders.Placed == 0 || want.Orders.SoldOut == 0 {
		t.Fatalf("the import that was left alone: %+v", want)
	}

	data := filepath.Join(dir, "killed")
	died := 0
	for try := 0; died < n && try < 4*n; try++ {
		cmd := kicau("import", "--data", data, file)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(rand.N(span)) // anywhere in a run, its first moments included
		_ = cmd.Process.Kill()
		if cmd.Wait() != nil {
			died++
		} else {
			span = max(span/2, time.Millisecond) // it had finished: runs are shorter than was thought
		}
	}
	got := importAll(t, data, file)
	t.Logf("killed %d times in the middle", died)
	if died < n/2 {
		t.Errorf("only %d of %d kills found the import running", died, n)
	}
	if got.Read != want.Read || got.Accepted != want.Accepted || got.Rejected != want.Rejected {
		t.Errorf("lines: %+v, want %+v", got, want)
	}
	// That a line is refused never changes, the reason may: what was sold out has
	// come back, but too late for it.
	got.Orders.SoldOut = want.Orders.SoldOut
	if !reflect.DeepEqual(got.Events, want.Events) || got.Orders != want.Orders || !reflect.DeepEqual(got.TrialBalance, want.TrialBalance) {
		t.Errorf("after kills:\n%+v\nleft alone:\n%+v", got.summary, want.summary)
	}
	for c, m := range got.TrialBalance {
		if m != 0 {
			t.Errorf("the books are out of balance by %d %s", m, c)
		}
	}
	if again := importAll(t, data, file); again.EventsAppended != 0 {
		t.Errorf("imported once more, it added %d events", again.EventsAppended)
	}
	if out, err := kicau("replay", "--verify", "--data", data).CombinedOutput(); err != nil {
		t.Errorf("replay --verify: %v\n%s", err, out)
	}
}

// kicau is this test binary as the command, see TestMain: a process of its own.
func kicau(args ...string) *exec.Cmd {
	path, err := exec.LookPath("kicau")
	if err != nil {
		panic(err)
	}
	return exec.Command(path, args...)
}

func importAll(t *testing.T, data, file string) imported {
	t.Helper()
	cmd := kicau("import", "--data", data, "--output", "json", file)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("import: %v\n%s", err, out)
	}
	var got imported
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return got
}

// writeHistory writes orders of two shops, some for offers that run out, some
// cancelled, shipped in part, refunded, and some lines that are wrong.
func writeHistory(t *testing.T, file string, orders int) (lines int) {
	t.Helper()
	var b strings.Builder
	at := time.Date(2026, 1, 1, 9, 0, 0, 0, time.UTC)
	line := func(format string, args ...any) {
		at = at.Add(7 * time.Second)
		fmt.Fprintf(&b, `{"at":%q,`+format+"}\n", append([]any{at.Format(time.RFC3339)}, args...)...)
		lines++
	}
	for s, currency := range []string{"GBP", "JPY"} {
		line(`"do":"onboard-shop","shop":"s%d","name":"Shop","currency":%q,"feeBasisPoints":700,"shipping":3`, s, currency)
		for o := range 20 {
			if o%4 == 0 {
				line(`"do":"tweet-offer","offer":"s%d-o%d","shop":"s%d","title":"Rare thing","price":15,"stock":%d`, s, o, s, orders/20)
			} else {
				line(`"do":"tweet-offer","offer":"s%d-o%d","shop":"s%d","title":"Thing","price":7`, s, o, s)
			}
		}
	}
	for i := range orders {
		s := i % 2
		line(`"do":"place-order","order":"r%d","buyer":"b%d","lines":[{"offer":"s%d-o%d","quantity":%d},{"offer":"s%d-o%d","quantity":1}]`,
			i, i%97, s, i%20, 1+i%3, s, (i*7)%20)
		switch i % 5 {
		case 0:
			line(`"do":"cancel-order","order":"r%d"`, i)
		case 1:
			line(`"do":"ship-order","order":"r%d","units":[{"line":1,"quantity":1}]`, i)
		default:
			line(`"do":"ship-order","order":"r%d"`, i)
		}
		if i%3 == 0 {
			line(`"do":"refund-order","order":"r%d","refund":"f%d","amount":2`, i, i)
		}
		if i%50 == 0 {
			line(`"do":"place-order","order":"wrong%d","buyer":"b","lines":[{"offer":"nothing","quantity":1}]`, i)
		}
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return lines
}
