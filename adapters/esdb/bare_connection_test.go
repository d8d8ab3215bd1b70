package esdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/metadata"

	"kicau/adapters/command"
	"kicau/domain/event"
)

// freeAddr is an address where nobody listens.
func freeAddr(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// muteServer takes connections and says nothing; it tells of each. stop takes it
// away.
func muteServer(t *testing.T) (addr string, came <-chan struct{}, stop func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan struct{}, 100)
	var mu sync.Mutex
	conns := []io.Closer{l}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			told <- struct{}{}
		}
	}()
	stop = func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range conns {
			c.Close()
		}
	}
	t.Cleanup(stop)
	return l.Addr().String(), told, stop
}

// oneQuickDiscovery makes a discovery that fails last a second.
func oneQuickDiscovery(c *esdb.Configuration) { c.MaxDiscoverAttempts, c.GossipTimeout = 1, 1 }

func closesForGood(t *testing.T) {
	addr := freeAddr(t)
	c := bareClient(t, plain(addr), func(c *esdb.Configuration) { c.MaxDiscoverAttempts, c.DiscoveryInterval = 1, 1 })
	if _, err := c.GetServerVersion(); err == nil {
		t.Fatal("found a server where there is none")
	}
	serve(t, openNode(t, t.TempDir()), addr)
	if _, err := c.ReadStream(waitFor(t), "s", esdb.ReadStreamOptions{}, 1); code(err) != esdb.ErrorCodeConnectionClosed {
		t.Errorf("with the server there: got %v, want a connection that is closed for good", err)
	}
}

// outlivesDiscovery: the server is away for longer than a client looks for it.
func outlivesDiscovery(t *testing.T) {
	ctx := waitFor(t)
	n := openNode(t, t.TempDir())
	server := serve(t, n, "127.0.0.1:0")
	replaced := make(chan string, 100)
	l, err := Open(Options{URL: plain(server.Addr()), Logger: slog.New(&listener{"replaced", replaced})})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := insist(ctx, l, "before", proposal()); err != nil {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() { waiting <- insist(ctx, l, "during", proposal()) }()
	for range 2 { // the one that lost its server, and one that never found it
		select {
		case <-replaced:
		case <-ctx.Done():
			t.Fatal("no client was replaced")
		}
	}
	serve(t, n, server.Addr())
	if err := <-waiting; err != nil {
		t.Errorf("the append that waited: %v", err)
	}
	if err := insist(ctx, l, "after", proposal()); err != nil {
		t.Error(err)
	}
}

func waitsPastDeadline(t *testing.T) {
	const deadline = 20 * time.Millisecond
	addr, _, _ := muteServer(t)
	c := bareClient(t, plain(addr), oneQuickDiscovery)
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	began := time.Now()
	if _, err := c.AppendToStream(ctx, "s", esdb.AppendToStreamOptions{}, bareEvent(1)); err == nil {
		t.Error("appended to a server that says nothing")
	}
	if took := time.Since(began); took < 10*deadline {
		t.Errorf("came back %v after its deadline of %v", took-deadline, deadline)
	}
}

// keepsDeadlines: calls come back when their context is done, and so does Close.
func keepsDeadlines(t *testing.T) {
	addr, _, stop := muteServer(t)
	l, err := Open(Options{URL: plain(addr), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := l.Append(ctx, "s", command.NoStream, []event.Proposed{proposal()}); !errors.Is(err, command.ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("append: got %v, want an unknown outcome at the deadline", err)
		}
	})
	for name, use := range uses(ctx, l) {
		all.Go(func() {
			if err := use(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: got %v, want its deadline", name, err)
			}
		})
	}
	all.Wait()
	stop()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// uses are the ways to use a log but for appending, each up to its first error.
func uses(ctx context.Context, l *Log) map[string]func() error {
	g := command.Group{Name: "g"}
	all := reads(ctx, l)
	all["EnsureGroup"] = func() error { return l.EnsureGroup(ctx, g, command.GroupSettings{}) }
	all["DeleteGroup"] = func() error { return l.DeleteGroup(ctx, g) }
	all["ReplayParked"] = func() error { return l.ReplayParked(ctx, g) }
	all["GroupInfo"] = func() error { _, err := l.GroupInfo(ctx, g); return err }
	all["Consume"] = func() error { _, err := l.Consume(ctx, g, 1); return err }
	all["Parked"] = func() error {
		for _, err := range l.Parked(ctx, g) {
			if err != nil {
				return err
			}
		}
		return nil
	}
	return all
}

func closePanics(t *testing.T) {
	if raceEnabled {
		return // the detector would report the client for it
	}
	addr, came, _ := muteServer(t)
	c := bareClient(t, plain(addr), oneQuickDiscovery)
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { _, err := c.GetServerVersion(); first <- err }()
	<-came // the discovery is under way
	go func() {
		second <- protect(func() error {
			_, err := c.ReadStream(t.Context(), "s", esdb.ReadStreamOptions{}, 1)
			return err
		})
	}()
	if err := <-first; err == nil {
		t.Fatal("found a server that says nothing")
	}
	c.Close()
	var p *panicError
	if err := <-second; !errors.As(err, &p) || !strings.Contains(fmt.Sprint(p.value), "closed channel") {
		t.Errorf("the call behind: got %v, want it to wait until Close makes it panic", err)
	}
}

// closesInPeace: calls that wait for a connection end with Close. The client
// itself waits on for its server, and is cut off.
func closesInPeace(t *testing.T) {
	addr, came, stop := muteServer(t)
	l, err := Open(Options{URL: plain(addr), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for name, use := range uses(waitFor(t), l) {
		all.Go(func() {
			if err := use(); !errors.Is(err, command.ErrClosed) {
				t.Errorf("%s: got %v, want command.ErrClosed", name, err)
			}
		})
	}
	<-came
	closed := make(chan error)
	go func() { closed <- l.Close() }()
	all.Wait()
	if raceEnabled {
		stop() // the detector would report the client for how it is cut off
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

func credentialsLeftOut(t *testing.T) {
	o := emptyAnswer()
	c := bareClient(t, "esdb://admin:secret@"+o.start(t)+"?tls=false")
	if _, err := c.AppendToStream(waitFor(t), "s", esdb.AppendToStreamOptions{}, bareEvent(1)); err != nil {
		t.Fatal(err)
	}
	if md, _ := metadata.FromIncomingContext(o.calls()[0]); len(md.Get("authorization")) > 0 {
		t.Errorf("user and password were sent: %v", md)
	}
}

func credentialsWarned(t *testing.T) {
	warned := make(chan string, 1)
	l, err := Open(Options{URL: "esdb://admin:secret@127.0.0.1:1?tls=false", Logger: slog.New(&listener{"without TLS", warned})})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	select {
	case <-warned:
	default:
		t.Error("nobody was told")
	}
}
