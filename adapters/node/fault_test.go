package node

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// lifeOfChild stands for the file in what a child is told to do: it is to live,
// and one operation of all that write fails.
const lifeOfChild = "life"

// Exit codes of a child that lives. A write that failed ends it with exitEnded,
// or with exitPanicked when that was in a goroutine of Pebble's own.
const (
	exitLived    = 0
	exitEnded    = 1
	exitPanicked = 2
	exitFailed   = 4 // an error came back that does not end a process
)

// diskFull is a way to fail: there is no space left.
const diskFull = "full"

// liveAsChild lives in dir and prints its notes.
func liveAsChild(dir, mode, operation string) {
	fault := error(syscall.EIO)
	if mode == diskFull {
		fault = syscall.ENOSPC
	}
	n, err := strconv.ParseInt(operation, 10, 64)
	if err != nil {
		panic(err)
	}
	var operations atomic.Int64
	fs := faultyFS{FS: vfs.Default, mode: mode, fail: func(path string) error {
		if operations.Add(1) == n {
			fmt.Println("fault", path)
			return fault
		}
		return nil
	}}
	out := json.NewEncoder(os.Stdout)
	err = (&life{tell: func(n note) {
		if err := out.Encode(n); err != nil {
			panic(err)
		}
	}}).run(fs, dir)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(exitFailed)
	}
	fmt.Println("operations", operations.Load())
	os.Exit(exitLived)
}

// child is what a child that lived said.
type child struct {
	notes      []note
	fault      string // the file of the operation that failed
	err        string
	operations int
	exit       int
}

// lifeOf lets a child live in a directory.
func lifeOf(t *testing.T, dir, mode string, operation int) (c child) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%s|%s|%d", childEnv, dir, lifeOfChild, mode, operation))
	var said bytes.Buffer
	cmd.Stderr = &said
	timer := time.AfterFunc(2*lifePatience, func() { _ = cmd.Process.Signal(syscall.SIGQUIT) }) // it shows where it hangs, and exits with 2
	defer timer.Stop()
	out, err := cmd.Output()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		c.exit = exit.ExitCode()
	case err != nil:
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "fault":
			c.fault = rest
		case "error":
			c.err = rest
		case "operations":
			if _, err := fmt.Sscan(rest, &c.operations); err != nil {
				t.Fatal(err)
			}
		default:
			if !strings.HasPrefix(word, "{") {
				continue // of a test that fails
			}
			var n note
			if err := json.Unmarshal(lines.Bytes(), &n); err != nil {
				t.Fatalf("the child said %q: %v", lines.Text(), err)
			}
			c.notes = append(c.notes, n)
		}
	}
	if c.exit == exitPanicked && panickedOfFault(said.String()) {
		c.exit = exitEnded
	}
	if c.exit != exitLived && c.exit != exitFailed && c.exit != exitEnded {
		t.Fatalf("operation %d %s on %s: the child ended with %d:\n%s", operation, mode, c.fault, c.exit, said.Bytes())
	}
	return c
}

// panickedOfFault tells whether it was Pebble that panicked, because a write
// failed. Where it unlocks a second time then, Go does not say for what.
func panickedOfFault(said string) bool {
	return !strings.Contains(said, "SIGQUIT") &&
		(strings.Contains(said, syscall.EIO.Error()) || strings.Contains(said, syscall.ENOSPC.Error()) || strings.Contains(said, "pebble/v2.(*DB).rotateWAL"))
}

// TestFaultAtEveryWrite: whichever operation that writes fails, and however, the
// process ends or goes on, and there is left what it told. In CI some of them.
func TestFaultAtEveryWrite(t *testing.T) {
	whole := lifeOf(t, t.TempDir(), notDone, 0)
	if whole.exit != exitLived || whole.operations < 100 {
		t.Fatalf("a life without faults: %+v", whole)
	}
	step := max(1, whole.operations/(5*longer))
	outcomes := map[string]int{}
	for i, mode := range []string{notDone, doneThen, halfDone, diskFull} {
		for n := 1 + i*step/4; n <= whole.operations; n += step {
			dir := t.TempDir()
			c := lifeOf(t, dir, mode, n)
			outcome := map[int]string{exitLived: "lived on", exitFailed: "an error came back", exitEnded: "ended"}[c.exit]
			if c.fault == "" {
				outcome = "no such operation"
			}
			outcomes[outcome]++
			what := fmt.Sprintf("operation %d on %s %s, and it %s: %s", n, c.fault, mode, outcome, c.err)
			(&left{T: t, what: what, fs: vfs.Default, dir: dir, told: c.notes, may: c.notes}).check(true)
		}
	}
	t.Logf("of %d operations, every %d. failed in each way: %v", whole.operations, step, outcomes)
	if outcomes["ended"] == 0 || outcomes["lived on"] == 0 {
		t.Errorf("the test sees one side only: %v", outcomes)
	}
}

// rotation stands for the file in what a child is told to do: it scavenges, and
// no second write-ahead log can be made.
const rotation = "rotation"

func rotateAsChild(dir string) {
	// As whoever serves HTTP does.
	defer func() {
		if p := recover(); p != nil {
			fmt.Println("error recovered from", p)
			os.Exit(exitFailed)
		}
	}()
	first := ""
	n, err := Open(Options{Dir: dir, Logger: quiet, fs: faultyFS{FS: vfs.Default, mode: notDone, fail: func(path string) error {
		if first == "" && strings.HasSuffix(path, ".log") {
			first = path
		}
		if strings.HasSuffix(path, ".log") && path != first {
			return syscall.EIO
		}
		return nil
	}}})
	if err == nil {
		_, err = n.engine.append(context.Background(), "a", expectAny, someEvents(10))
	}
	if err == nil {
		_, err = n.engine.delete(context.Background(), "a", expectAny, false)
	}
	if err != nil {
		panic(err)
	}
	report, err := n.Scavenge(context.Background(), ScavengeOptions{})
	fmt.Println("error scavenged", report, err)
	os.Exit(exitLived)
}

// TestRotationErrorEndsProcess: Pebble panics when it cannot end a write-ahead
// log and begin another, in whichever goroutine asked for something that needs a
// new one. That
// must not be one that recovers, or the log would go on without one.
func TestRotationErrorEndsProcess(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%s||0", childEnv, dir, rotation))
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitEnded {
		t.Fatalf("the process ended with %v and said %s", err, out)
	}
	s, err := openStore(Options{Dir: dir, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	if err := s.verify(t.Context()); err != nil || s.head() != 11 {
		t.Errorf("there are %d events, %v", s.head(), err)
	}
}
