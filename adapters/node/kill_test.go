package node

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
)

// serving stands for the file in what a child is told to do: it serves the log
// in a directory, and scavenges it all the time, until it is killed.
const serving = "serving"

// killOptions write index blocks often.
func killOptions(dir string) Options {
	return Options{Dir: dir, Logger: quiet, flushAfter: 300}
}

func serveAsChild(dir, listen string) {
	go func() { // whoever started it is gone, and with that its end of the pipe
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(exitFailed)
	}()
	n, err := Open(killOptions(dir))
	if err != nil {
		panic(err)
	}
	s := NewServer(n, ServerOptions{Listen: listen, Logger: quiet})
	if err := s.Start(); err != nil {
		panic(err)
	}
	fmt.Println("serving", s.Addr())
	for {
		if _, err := n.Scavenge(context.Background(), ScavengeOptions{}); err != nil {
			panic(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// killed is a node in another process that is killed again and again, under
// those who use it.
type killed struct {
	*testing.T
	dir, listen string
	target      *remote
	ending      atomic.Bool // no more is asked

	mu   sync.Mutex
	up   chan struct{}             // closed while it serves
	acks map[uuid.UUID]ackedAppend // what was acknowledged, by event
	// delivered events that a consumer has dealt with, noted before it says so
	dealtWith map[uuid.UUID]bool
	delivered int
	unknown   int // appends without an answer, made again
}

type ackedAppend struct {
	stream             string
	revision, position uint64
}

// begin starts the process.
func (k *killed) begin() (child *exec.Cmd, said io.Reader) {
	k.Helper()
	child = exec.Command(os.Args[0], "-test.run=^TestChild$")
	child.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%s|%s|0", childEnv, k.dir, serving, k.listen))
	child.Stderr = os.Stderr
	_, err := child.StdinPipe()
	if err == nil {
		said, err = child.StdoutPipe()
	}
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		k.Fatal(err)
	}
	return child, said
}

// start starts the process, and returns when it serves.
func (k *killed) start() *exec.Cmd {
	k.Helper()
	child, said := k.begin()
	for lines := bufio.NewScanner(said); lines.Scan(); {
		if address, ok := strings.CutPrefix(lines.Text(), "serving "); ok {
			k.listen = address
			k.mu.Lock()
			close(k.up)
			k.mu.Unlock()
			return child
		}
	}
	k.Fatalf("the process ended before it served: %v", child.Wait())
	return nil
}

func (k *killed) kill(child *exec.Cmd) {
	k.Helper()
	k.mu.Lock()
	select {
	case <-k.up:
		k.up = make(chan struct{})
	default: // it did not serve yet; who waits for that goes on waiting
	}
	k.mu.Unlock()
	if err := child.Process.Kill(); err != nil {
		k.Fatal(err)
	}
	var exit *exec.ExitError
	if err := child.Wait(); !errors.As(err, &exit) || exit.ExitCode() != -1 {
		k.Fatalf("the process was killed and ended with %v", err)
	}
}

// killData is some bytes that follow from an event's id.
func killData(id uuid.UUID) []byte {
	sum := sha256.Sum256(id[:])
	data := make([]byte, 0, 8*256)
	for len(data) <= 8*int(id[0]) {
		sum = sha256.Sum256(sum[:])
		data = append(data, sum[:]...)
	}
	return data
}

// prepare makes the group, and a stream of which only the newest events are
// kept.
func (k *killed) prepare() {
	k.Helper()
	settings := esdb.SubscriptionSettingsDefault()
	settings.CheckpointLowerBound, settings.CheckpointAfter, settings.MessageTimeout = 1, 20, 60_000
	err := k.target.call(k.Context(), func(ctx context.Context, c *esdb.Client) error {
		return c.CreatePersistentSubscriptionToAll(ctx, "g", esdb.PersistentAllSubscriptionOptions{
			StartFrom: esdb.Start{}, Settings: &settings, Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"load-"}}})
	})
	if err == nil {
		meta := proposed{ID: uuid.New(), Type: metadataEventType, ContentType: jsonContent, Data: fmt.Appendf(nil, `{"$maxCount":%d}`, killCounted)}
		_, err = k.target.append(k.Context(), "$$load-counted", expectNoStream, []proposed{meta})
	}
	if err != nil {
		k.Fatal(err)
	}
}

const killCounted = 10

// settled waits until the group has nothing to give out any more.
func (k *killed) settled() {
	k.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		var i *esdb.PersistentSubscriptionInfo
		err := k.target.call(k.Context(), func(ctx context.Context, c *esdb.Client) (err error) {
			i, err = c.GetPersistentSubscriptionInfoToAll(ctx, "g", esdb.GetPersistentSubscriptionOptions{})
			return err
		})
		k.mu.Lock()
		head := uint64(0)
		for _, a := range k.acks {
			head = max(head, a.position)
		}
		k.mu.Unlock()
		if err == nil && i.Stats.OutstandingMessagesCount+i.Stats.TotalInFlightMessages+i.Stats.RetryBufferCount+i.Stats.ReadBufferCount == 0 &&
			i.Stats.LastKnownPosition != nil && i.Stats.LastKnownPosition.Commit >= head {
			return
		}
		if time.Now().After(deadline) {
			k.Fatalf("the group does not come to rest: %v, %+v", err, i.Stats)
		}
	}
}

// check opens what is left.
func (k *killed) check() (parked int) {
	k.Helper()
	n, err := Open(killOptions(k.dir))
	if err != nil {
		k.Fatal(err)
	}
	if err := n.Verify(k.Context()); err != nil {
		k.Fatal(err)
	}
	last, err := n.engine.state("load-counted")
	if err != nil {
		k.Fatal(err)
	}
	g, err := n.groups.get(groupKey{allStream, "g"})
	if err != nil {
		k.Fatal(err)
	}
	settled := k.dealtWith
	for p, err := range g.parkedEvents(k.Context()) {
		if err != nil {
			k.Fatal(err)
		}
		settled[p.Event.ID] = true
		parked++
	}
	found := 0
	for r, err := range n.store.scan(1, n.engine.head()) {
		if err != nil {
			k.Fatal(err)
		}
		a, ok := k.acks[r.ID]
		if !ok {
			if strings.HasPrefix(r.Stream, "load-") {
				k.Errorf("position %d: %+v is there, but all that was written was acknowledged in the end", r.Position, r)
			}
			continue
		}
		found++
		if a != (ackedAppend{r.Stream, r.Revision, r.Position}) {
			k.Errorf("acknowledged was %+v, there is %+v", a, r)
		}
		hidden := r.Stream == "load-counted" && int64(r.Revision) <= last.Last-killCounted
		if r.emptied && !hidden || !r.emptied && string(r.Data) != string(killData(r.ID)) {
			k.Errorf("%+v is not what was written", r)
		}
		if !r.emptied && !hidden && !settled[r.ID] {
			k.Errorf("position %d was not dealt with and is not parked", r.Position)
		}
	}
	if found != len(k.acks) {
		k.Errorf("%d events were acknowledged, %d of them are there", len(k.acks), found)
	}
	if err := n.Close(); err != nil {
		k.Fatal(err)
	}
	return parked
}

// TestKilledUnderLoad kills the process again and again, while many append to it
// and consume from it through official clients, while it scavenges, and sometimes
// while it starts. Every acknowledged event is there at its revision with the
// same bytes; each was dealt with by a consumer, or is parked; the group goes on.
func TestKilledUnderLoad(t *testing.T) {
	kills := 8 * longer
	began := time.Now()
	k := &killed{T: t, dir: t.TempDir(), listen: "127.0.0.1:0", up: make(chan struct{}), acks: map[uuid.UUID]ackedAppend{}, dealtWith: map[uuid.UUID]bool{}}
	child := k.start()
	k.target = &remote{url: "esdb://" + k.listen + "?tls=false", patience: 5 * time.Second}
	k.target.dial(3)
	k.prepare()

	var writers, consumers sync.WaitGroup
	consuming, stop := context.WithCancel(t.Context())
	defer stop()
	for w, stream := range []string{"load-shared", "load-shared", "load-counted", "load-1", "load-2", "load-3"} {
		rng := rand.New(rand.NewPCG(uint64(w), uint64(longer)))
		writers.Go(func() { k.write(stream, stream != "load-shared", rng) })
	}
	for c := range 2 {
		rng := rand.New(rand.NewPCG(uint64(c), 7))
		consumers.Go(func() { k.consume(consuming, rng) })
	}
	rng := rand.New(rand.NewPCG(1, 1))
	acks, delivered := 0, 0
	for n := range kills {
		k.busy(acks, delivered)
		time.Sleep(time.Duration(rng.IntN([]int{60, 120, 500}[n%3])) * time.Millisecond) // at any time
		k.kill(child)
		if n%5 == 4 {
			k.killStarting(rng)
		}
		k.mu.Lock()
		acks, delivered = len(k.acks), k.delivered
		k.mu.Unlock()
		if child = k.start(); t.Failed() {
			break
		}
		k.target.redial()
	}
	k.ending.Store(true)
	writers.Wait()
	k.settled()
	stop()
	consumers.Wait()
	k.kill(child)
	parked := k.check()
	t.Logf("%d kills in %v: %d events acknowledged, %d appends unanswered and made again, %d deliveries, %d parked", kills, time.Since(began).Round(time.Second), len(k.acks), k.unknown, k.delivered, parked)
	if len(k.acks) == 0 || k.unknown == 0 || parked == 0 || k.delivered < len(k.acks)/2 {
		t.Error("that was no load")
	}
	k.target.close()
}

// killStarting kills a process that may not serve yet.
func (k *killed) killStarting(rng *rand.Rand) {
	k.Helper()
	child, _ := k.begin()
	time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond)
	k.kill(child)
}
