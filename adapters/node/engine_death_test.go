package node

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/uuid"
)

// TestWriteErrorEndsProcess: after a failed write or sync the process ends by
// itself, having acknowledged nothing after it; what was acknowledged before is
// there at the next start. The failure has a twin: it failed, but it was done.
func TestWriteErrorEndsProcess(t *testing.T) {
	for _, file := range []string{".log", "checkpoint"} {
		for _, when := range []string{"not done", "done"} {
			for _, operation := range []int{1, 2, 7} {
				t.Run(fmt.Sprint(file, " ", operation, " ", when), func(t *testing.T) {
					t.Parallel()
					dir := t.TempDir()
					acked, err := runChild(t, dir, fmt.Sprintf("%s|%s|%d", file, when, operation), 0)
					var exit *exec.ExitError
					if !errors.As(err, &exit) || exit.ExitCode() != 1 {
						t.Fatalf("the process ended with %v; it acknowledged %d events", err, len(acked))
					}
					checkAcked(t, dir, acked)
				})
			}
		}
	}
}

// TestKilled kills the process while it writes.
func TestKilled(t *testing.T) {
	for _, after := range []int{1, 20, 300} {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			acked, err := runChild(t, dir, "||0", after)
			if err == nil {
				t.Fatal("the process ended well")
			}
			if len(acked) < after {
				t.Fatalf("it ended by itself after %d events: %v", len(acked), err)
			}
			checkAcked(t, dir, acked)
		})
	}
}

// childEnv tells the test binary to be the process that dies.
const childEnv = "KICAU_NODE_TEST_CHILD"

// runChild starts the process that appends to dir until it dies, by itself or
// by SIGKILL after so many acknowledgements. It returns what was acknowledged.
func runChild(t *testing.T, dir, fault string, killAfter int) (acked []string, err error) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestChild$")
	child.Env = append(os.Environ(), childEnv+"="+dir+"|"+fault)
	child.Stderr = os.Stderr
	if killAfter == 0 {
		child.Stderr = nil
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if line, ok := strings.CutPrefix(lines.Text(), "acked "); ok {
			acked = append(acked, line)
		}
		if killAfter > 0 && len(acked) == killAfter {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return acked, child.Wait()
}

// TestChild is the process that dies; in a run of the tests it has nothing to do.
func TestChild(t *testing.T) {
	what := os.Getenv(childEnv)
	if what == "" {
		return
	}
	var dir, file, when string
	var operation int64
	parts := strings.Split(what, "|")
	switch parts[1] {
	case lifeOfChild:
		liveAsChild(parts[0], parts[2], parts[3])
	case rotation:
		rotateAsChild(parts[0])
	case serving:
		serveAsChild(parts[0], parts[2])
	}
	dir, file, when = parts[0], parts[1], parts[2]
	if _, err := fmt.Sscan(parts[3], &operation); err != nil {
		t.Fatal(err)
	}
	var armed atomic.Bool
	var operations atomic.Int64
	fs := faultyFS{FS: vfs.Default, fail: func(path string) error {
		if armed.Load() && strings.Contains(filepath.Base(path), file) && operations.Add(1) == operation {
			return errorfs.ErrInjected
		}
		return nil
	}, mode: when}
	s, err := openStore(Options{Dir: dir, Logger: quiet, fs: fs})
	if err != nil {
		t.Fatal(err)
	}
	armed.Store(file != "")
	for n := int64(-1); ; n++ {
		event := someEvents(1)
		if _, err := s.append(t.Context(), "a", n, event); err != nil {
			t.Fatal(err)
		}
		fmt.Println("acked", event[0].ID)
	}
}

func checkAcked(t *testing.T, dir string, acked []string) {
	t.Helper()
	s, err := openStore(Options{Dir: dir, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	got, err := take(s.readStream(t.Context(), "a", false, 0))
	if err != nil || len(got) < len(acked) {
		t.Fatalf("%d events are there, %d were acknowledged: %v", len(got), len(acked), err)
	}
	for i, id := range acked {
		if got[i].ID != uuid.MustParse(id) {
			t.Fatalf("revision %d is not what was acknowledged", i)
		}
	}
	if err := s.verify(t.Context()); err != nil {
		t.Fatal(err)
	}
}
