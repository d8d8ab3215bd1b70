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
		promised, err := readCheckpointFile(fs, checkpointPath)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range promises {
			if promised.end.size < p.at.Position {
				t.Fatalf("the checkpoint promises %d events; position %d was acknowledged", promised.end.size, p.at.Position)
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

// unsynced are the percentages of what was not synced that a crash leaves.
var unsynced = []int{0, 100, 50, 10, 90}

// crashed is what a life left when the power went away.
type crashed struct {
	what      string // it was about to do, or amid
	fs        *vfs.MemFS
	told, may []note
}

// crashes takes the power away before each operation that writes, and amid each
// write. After an operation is before the next one.
type crashes struct {
	life  *life
	mem   *vfs.MemFS
	each  int // how many clones with various parts of what was not synced
	mu    sync.Mutex
	taken []crashed
}

func (c *crashes) take(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	told := c.life.sofar() // before the crash
	for range c.each {
		n := len(c.taken)
		cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced[n%len(unsynced)], RNG: rand.New(rand.NewPCG(uint64(n), 3))}
		fs := c.mem.CrashClone(cfg)
		c.taken = append(c.taken, crashed{fmt.Sprintf("crash %d, %s, %d%% of the unsynced data is left", n, what, cfg.UnsyncedDataPercent), fs, told, c.life.sofar()})
	}
}

// tornFS tells of each write when half of it is done.
type tornFS struct {
	vfs.FS
	amid func(what string)
}

func (f tornFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	return tornFile{file, name, f.amid}, err
}

func (f tornFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	file, err := f.FS.OpenReadWrite(name, c, o...)
	return tornFile{file, name, f.amid}, err
}

func (f tornFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(old, name, c)
	return tornFile{file, name, f.amid}, err
}

type tornFile struct {
	vfs.File
	path string
	amid func(what string)
}

func (f tornFile) Write(p []byte) (int, error) {
	half := len(p) / 2
	n, err := f.File.Write(p[:half])
	if err != nil {
		return n, err
	}
	f.amid("amid a write of " + f.path)
	n, err = f.File.Write(p[half:])
	return half + n, err
}

func (f tornFile) WriteAt(p []byte, offset int64) (int, error) {
	half := len(p) / 2
	n, err := f.File.WriteAt(p[:half], offset)
	if err != nil {
		return n, err
	}
	f.amid("amid a write of " + f.path)
	n, err = f.File.WriteAt(p[half:], offset+int64(half))
	return half + n, err
}

// TestCrashAtEveryWrite: whenever in its life the power goes away, of a node
// there is left what it told.
func TestCrashAtEveryWrite(t *testing.T) {
	for range longer {
		c := &crashes{life: &life{}, mem: vfs.NewCrashableMem(), each: min(1+longer, len(unsynced))}
		fs := errorfs.Wrap(tornFS{c.mem, c.take}, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				c.take(fmt.Sprint("before operation ", int(op.Kind), " on ", op.Path))
			}
			return nil
		}))
		if err := c.life.run(fs, "data"); err != nil {
			t.Fatal(err)
		}
		c.mu.Lock()
		t.Logf("%d crashes, of them %d of a life that told something", len(c.taken), len(slices.DeleteFunc(slices.Clone(c.taken), func(c crashed) bool { return len(c.told) == 0 })))
		for i, one := range c.taken {
			(&left{T: t, what: one.what, fs: one.fs, dir: "data", told: one.told, may: one.may}).check(i%4 == 0)
			c.taken[i].fs = nil
		}
		c.mu.Unlock()
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
