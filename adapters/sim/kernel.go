package sim

import (
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"io"
	"iter"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/google/uuid"
)

// kernel is the world's time: a heap of what is still to come, by virtual time
// and, at the same time, by a number that the seed draws. Whatever happens,
// happens in one entry of the heap; between two entries nothing does.
type kernel struct {
	now    time.Time
	seed   uint64
	order  *rand.Rand // of what is due at the same time
	delays *rand.Rand
	heap   entries
	count  uint64
	steps  uint64

	running *task // whose code runs now; nil: the kernel's own
	idle    []*coroutine

	digest hash.Hash64
	noted  []byte    // reused
	story  io.Writer // nil: nobody listens
}

// start is when every run begins: a Monday.
var start = time.Date(2030, 1, 7, 9, 0, 0, 0, time.UTC)

func newKernel(seed uint64, story io.Writer) *kernel {
	k := &kernel{now: start, seed: seed, digest: fnv.New64a(), story: story}
	k.order, k.delays = k.chance("order"), k.chance("delays")
	return k
}

// chance is a source of random numbers for one purpose. Each purpose has its
// own, so that more faults do not make other people.
func (k *kernel) chance(purpose string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(purpose))
	return rand.New(rand.NewPCG(k.seed, h.Sum64()))
}

// newID draws an id.
func newID(r *rand.Rand) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:8], r.Uint64())
	binary.BigEndian.PutUint64(id[8:], r.Uint64())
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

type entry struct {
	at        time.Time
	nanos     int64 // of at, since 1970: what the heap compares
	tie, nth  uint64
	what      string
	do        func()
	cancelled bool
}

func (e *entry) before(o *entry) bool {
	if e.nanos != o.nanos {
		return e.nanos < o.nanos
	}
	if e.tie != o.tie {
		return e.tie < o.tie
	}
	return e.nth < o.nth
}

// entries are a heap: each is before the two at twice its place. Every call over the
// network is four of them, too many to go through the interface of container/heap.
type entries []*entry

func (h *entries) push(e *entry) {
	*h = append(*h, e)
	at := len(*h) - 1
	for at > 0 && e.before((*h)[(at-1)/2]) {
		(*h)[at] = (*h)[(at-1)/2]
		at = (at - 1) / 2
	}
	(*h)[at] = e
}

func (h *entries) pop() *entry {
	all := *h
	first, last := all[0], all[len(all)-1]
	all[len(all)-1] = nil
	all = all[:len(all)-1]
	*h = all
	at := 0
	for next := 1; next < len(all); next = 2*at + 1 {
		if next+1 < len(all) && all[next+1].before(all[next]) {
			next++
		}
		if !all[next].before(last) {
			break
		}
		all[at], at = all[next], next
	}
	if len(all) > 0 {
		all[at] = last
	}
	return first
}

// at lets something happen at a time, or now when that is over.
func (k *kernel) at(t time.Time, what string, do func()) *entry {
	if t.Before(k.now) {
		t = k.now
	}
	k.count++
	e := &entry{at: t, nanos: t.UnixNano(), tie: k.order.Uint64(), nth: k.count, what: what, do: do}
	k.heap.push(e)
	return e
}

func (k *kernel) after(d time.Duration, what string, do func()) *entry {
	return k.at(k.now.Add(d), what, do)
}

// step lets the next thing happen; false: nothing is to come until then.
func (k *kernel) step(until time.Time) bool {
	for len(k.heap) > 0 {
		if k.heap[0].at.After(until) {
			return false
		}
		e := k.heap.pop()
		if e.cancelled {
			continue
		}
		if e.at.After(k.now) {
			k.now = e.at
		}
		k.steps++
		k.note(e.what)
		e.do()
		return true
	}
	return false
}

// note puts what happens now into the digest of the run.
func (k *kernel) note(parts ...string) {
	k.noted = binary.BigEndian.AppendUint64(k.noted[:0], uint64(k.now.UnixNano()))
	for _, p := range parts {
		k.noted = append(append(k.noted, p...), 0)
	}
	k.digest.Write(k.noted)
}

// tell a line of the run's story.
func (k *kernel) tell(format string, args ...any) {
	if k.story != nil {
		fmt.Fprintf(k.story, "%s  %s\n", k.now.Format("01-02 15:04:05.000"), fmt.Sprintf(format, args...))
	}
}

// task is something that takes time: code that waits in the middle, at every
// call to the log or the processor. It runs on a coroutine until it waits, and
// nothing else runs meanwhile: there is one flow of control.
type task struct {
	what  string
	do    func() error
	ended func(err error, panicked *broken)
	on    *coroutine
	dead  bool
	err   error
	panic *broken
}

// broken is a panic of a task.
type broken struct {
	cause any
	stack string
}

// killed unwinds a task whose process is gone.
type killed struct{}

// coroutine runs one task after the other; what has grown its stack stays.
type coroutine struct {
	next  func() (time.Duration, bool)
	stop  func()
	yield func(time.Duration) bool
	task  *task
}

// over is what a coroutine yields when its task has ended.
const over = time.Duration(-1)

func newCoroutine() *coroutine {
	c := &coroutine{}
	c.next, c.stop = iter.Pull(func(yield func(time.Duration) bool) {
		c.yield = yield
		for {
			c.task.run()
			if !yield(over) {
				return
			}
		}
	})
	return c
}

func (t *task) run() {
	defer func() {
		if cause := recover(); cause != nil {
			if _, dead := cause.(killed); !dead {
				t.panic = &broken{cause, string(debug.Stack())}
			}
		}
	}()
	t.err = t.do()
}

// start a task; ended is called when it is over, unless it is killed before.
func (k *kernel) start(what string, do func() error, ended func(err error, panicked *broken)) *task {
	t := &task{what: what, do: do, ended: ended}
	if n := len(k.idle); n > 0 {
		t.on, k.idle = k.idle[n-1], k.idle[:n-1]
	} else {
		t.on = newCoroutine()
	}
	t.on.task = t
	k.goOn(t)
	return t
}

func (k *kernel) goOn(t *task) {
	if t.dead {
		return
	}
	before := k.running
	k.running = t
	wait, _ := t.on.next()
	k.running = before
	if wait != over {
		k.after(wait, t.what, func() { k.goOn(t) })
		return
	}
	k.idle = append(k.idle, t.on)
	if !t.dead {
		t.dead = true
		t.ended(t.err, t.panic)
	}
}

// kill a task where it waits.
func (t *task) kill() {
	if !t.dead {
		t.dead = true
		t.on.stop()
	}
}

// close lets go of the coroutines that run nothing.
func (k *kernel) close() {
	for _, c := range k.idle {
		c.stop()
	}
	k.idle = nil
}

// pause the task that runs now.
func (k *kernel) pause(d time.Duration) {
	t := k.running
	if t == nil {
		panic("sim: a pause outside of a task")
	}
	if t.dead || !t.on.yield(d) {
		panic(killed{})
	}
}

// between draws a time from one duration to another.
func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)+1))
}

// oneIn tells whether something happens that happens once in n times.
func oneIn(r *rand.Rand, n int) bool { return n > 0 && r.IntN(n) == 0 }

// pick draws one of several.
func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }
