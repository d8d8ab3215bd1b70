package node

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// promise is an append that was answered.
type promise struct {
	stream string
	events []proposed
	at     appended
}

// journal is what a client keeps of what it was told.
type journal struct {
	mu       sync.Mutex
	promises []promise
}

func (j *journal) add(p promise) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.promises = append(j.promises, p)
}

func (j *journal) sofar() []promise {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.promises)
}

// checkAfterCrash opens the log that a crash left and compares it with what was
// promised before the crash.
func checkAfterCrash(t *testing.T, fs vfs.FS, promises []promise) {
	t.Helper()
	if len(promises) > 0 {
		file, promised, err := openCheckpointFile(fs, checkpointPath)
		if err != nil {
			t.Fatal(err)
		}
		if err := file.close(); err != nil {
			t.Fatal(err)
		}
		for _, p := range promises {
			if promised.size < p.at.Position {
				t.Fatalf("the checkpoint promises %d events; position %d was acknowledged", promised.size, p.at.Position)
			}
		}
	}
	s := openMem(t, fs)
	defer closeStore(t, s)
	if err := s.verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, p := range promises {
		first := uint64(p.at.Revision) - uint64(len(p.events)) + 1
		got, err := take(s.readStream(t.Context(), p.stream, false, first))
		if err != nil || len(got) < len(p.events) {
			t.Fatalf("%s: %d events from revision %d, %v; %d were acknowledged", p.stream, len(got), first, err, len(p.events))
		}
		for i, e := range p.events {
			if got[i].ID != e.ID || string(got[i].Data) != string(e.Data) {
				t.Fatalf("%s: revision %d is another event than was acknowledged", p.stream, got[i].Revision)
			}
		}
		if last := got[len(p.events)-1]; last.Position != p.at.Position {
			t.Fatalf("%s: at position %d, %d was acknowledged", p.stream, last.Position, p.at.Position)
		}
	}
	// All of a batch or nothing: the streams are made of appends of 3.
	all, err := take(s.readAll(t.Context(), false, 0))
	if err != nil {
		t.Fatal(err)
	}
	if len(all)%3 != 0 {
		t.Fatalf("%d events: half an append", len(all))
	}
	mustAppend(t, s, "after the crash", expectNoStream, someEvents(3))
}

// TestCrashAtEveryWrite takes the power away before each operation that writes,
// with various parts of what was not synced on the disk.
func TestCrashAtEveryWrite(t *testing.T) {
	mem := vfs.NewCrashableMem()
	var told journal
	var crashes sync.Mutex
	type crash struct {
		fs       *vfs.MemFS
		promises []promise
	}
	var taken []crash
	operations := 0
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
			return nil
		}
		crashes.Lock()
		defer crashes.Unlock()
		// What was told before the crash; the clones are of after that.
		promises := told.sofar()
		operations++
		for i, percent := range []int{0, 10, 50, 90} {
			cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(uint64(operations), uint64(i)))}
			taken = append(taken, crash{mem.CrashClone(cfg), promises})
		}
		return nil
	}))
	for range 2 {
		s := openMem(t, fs)
		for n := range 8 {
			stream := fmt.Sprint(n % 2)
			events := someEvents(3)
			told.add(promise{stream, events, mustAppend(t, s, stream, expectAny, events)})
		}
		closeStore(t, s)
	}
	crashes.Lock()
	defer crashes.Unlock()
	t.Logf("%d crashes", len(taken))
	for _, c := range taken {
		checkAfterCrash(t, c.fs, c.promises)
	}
}

// TestCrashUnderLoad takes the power away while many write.
func TestCrashUnderLoad(t *testing.T) {
	const crashes, writers, appends = 25, 8, 32
	mem := vfs.NewCrashableMem()
	s := openMem(t, mem)
	var told journal
	var all sync.WaitGroup
	todo, done := make(chan int, appends), make(chan struct{}, crashes*appends)
	for w := range writers {
		all.Go(func() {
			for n := range todo {
				stream, events := fmt.Sprint(w, "-", n), someEvents(3)
				at, err := s.append(t.Context(), stream, expectAny, events)
				if err != nil {
					t.Error(err)
				}
				told.add(promise{stream, events, at})
				done <- struct{}{}
			}
		})
	}
	for n := range crashes {
		for range appends {
			todo <- n
		}
		for range appends / 2 {
			<-done
		}
		// What was told before the crash; the clone is of after that.
		promises := told.sofar()
		cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 10, 50, 90, 100}[n%5], RNG: rand.New(rand.NewPCG(uint64(n), 2))}
		checkAfterCrash(t, mem.CrashClone(cfg), promises)
		for range appends / 2 {
			<-done
		}
	}
	close(todo)
	all.Wait()
	closeStore(t, s)
}
