package esdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/event"
)

func proposal() event.Proposed {
	return event.Proposed{ID: uuid.New(), Type: "Tested", Data: []byte("{}"), Metadata: []byte("{}")}
}

func proposals(n int) (all []event.Proposed) {
	for range n {
		all = append(all, proposal())
	}
	return all
}

// insist sends an append until it is answered, as command.Handle does.
func insist(ctx context.Context, l command.Log, stream string, e event.Proposed) error {
	for {
		_, err := l.Append(ctx, stream, command.NoStream, []event.Proposed{e})
		if !errors.Is(err, command.ErrUnknownOutcome) || ctx.Err() != nil {
			return err
		}
	}
}

// TestServerRestarts: writers and a subscriber go through restarts of the
// server without anybody making a new log; nothing is lost or there twice.
func TestServerRestarts(t *testing.T) {
	const writers, each, restarts = 6, 60, 3
	ctx := waitFor(t)
	n := openNode(t, t.TempDir())
	server := serve(t, n, "127.0.0.1:0")
	l := openLog(t, Options{URL: plain(server.Addr())})

	var got []uuid.UUID
	all := make(chan error, 1)
	go func() {
		var last event.Position
		for len(got) < writers*each && ctx.Err() == nil {
			for page, err := range l.Subscribe(ctx, last, command.Filter{}) {
				if err != nil {
					break // and subscribe again
				}
				for _, e := range page.Events {
					got = append(got, e.ID)
				}
				if last = page.Last; len(got) >= writers*each {
					break
				}
			}
		}
		all <- ctx.Err()
	}()

	appended := make(chan uuid.UUID, writers*each)
	var done sync.WaitGroup
	for w := range writers {
		done.Go(func() {
			for i := range each {
				e := proposal()
				if err := insist(ctx, l, fmt.Sprint("s", w, "-", i), e); err != nil {
					t.Errorf("append: %v", err)
					return
				}
				appended <- e.ID
			}
		})
	}
	var wrote []uuid.UUID
	for range restarts {
		for range writers * each / (restarts + 1) {
			wrote = append(wrote, <-appended)
		}
		addr := server.Addr()
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		server = serve(t, n, addr)
	}
	done.Wait()
	close(appended)
	for id := range appended {
		wrote = append(wrote, id)
	}
	if err := <-all; err != nil {
		t.Fatalf("the subscriber got %d of %d events: %v", len(got), writers*each, err)
	}
	byBytes := func(a, b uuid.UUID) int { return strings.Compare(a.String(), b.String()) }
	slices.SortFunc(wrote, byBytes)
	slices.SortFunc(got, byBytes)
	if !slices.Equal(got, wrote) {
		t.Errorf("the subscriber got %d events, %d were appended: they differ", len(got), len(wrote))
	}
}

// listener tells of log messages that have a word in them.
type listener struct {
	word string
	told chan<- string
}

func (l *listener) Enabled(context.Context, slog.Level) bool { return true }
func (l *listener) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *listener) WithGroup(string) slog.Handler            { return l }
func (l *listener) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, l.word) {
		select {
		case l.told <- r.Message:
		default:
		}
	}
	return nil
}

// TestReplyLost: the append was done, its answer never came. Sent again it is
// answered, and there is one copy.
func TestReplyLost(t *testing.T) {
	ctx := waitFor(t)
	n := openNode(t, t.TempDir())
	server := serve(t, n, "127.0.0.1:0")
	proxy := startProxy(t, server.Addr())
	l := openLog(t, Options{URL: plain(proxy.Addr().String())})
	if err := insist(ctx, l, "first", proposal()); err != nil {
		t.Fatal(err)
	}

	proxy.muffle()
	lost := []event.Proposed{proposal(), proposal()}
	answer := make(chan error, 1)
	go func() {
		_, err := l.Append(ctx, "order", command.NoStream, lost)
		answer <- err
	}()
	var stored event.Recorded
	for page, err := range n.Log().Subscribe(ctx, event.Position{}, command.Filter{StreamPrefixes: []string{"order"}}) {
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Events) == len(lost) {
			stored = page.Events[1]
			break
		}
	}
	proxy.cut()
	if err := <-answer; !errors.Is(err, command.ErrUnknownOutcome) {
		t.Fatalf("the append whose answer was lost: got %v, want command.ErrUnknownOutcome", err)
	}
	at, err := l.Append(ctx, "order", command.NoStream, lost)
	if err != nil || at.Revision != 1 || at.Position != stored.Position {
		t.Errorf("sent again: got %+v, %v, want revision 1 at %s", at, err, stored.Position)
	}
	copies := 0
	for _, err := range n.Log().ReadStream(ctx, "order", command.Forwards, 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		copies++
	}
	if copies != len(lost) {
		t.Errorf("the stream has %d events, want %d", copies, len(lost))
	}
}

// proxy is a TCP connection to a server that can be made to lose answers.
type proxy struct {
	net.Listener
	mu      sync.Mutex
	muffled bool
	conns   []net.Conn
}

func startProxy(t *testing.T, to string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: l}
	t.Cleanup(func() { l.Close(); p.cut() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, client, server)
			p.mu.Unlock()
			go io.Copy(server, client)
			go io.Copy(muffler{p, client}, server)
		}
	}()
	return p
}

// muffle loses every answer from now on.
func (p *proxy) muffle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.muffled = true
}

// cut closes what is open; new connections are as good as any.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns, p.muffled = nil, false
}

type muffler struct {
	*proxy
	to net.Conn
}

func (m muffler) Write(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.muffled {
		return len(b), nil
	}
	return m.to.Write(b)
}

// reads are the ways to read, each up to its first error.
func reads(ctx context.Context, l command.Log) map[string]func() error {
	return map[string]func() error{
		"ReadStream": func() error {
			for _, err := range l.ReadStream(ctx, "s", command.Forwards, 0, 0) {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"ReadAll": func() error {
			for _, err := range l.ReadAll(ctx, command.Forwards, command.ReadFrom{}, command.Filter{}, 0) {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"ReadAll backwards": func() error {
			for _, err := range l.ReadAll(ctx, command.Backwards, command.ReadFrom{}, command.Filter{}, 0) {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"Subscribe": func() error {
			for _, err := range l.Subscribe(ctx, event.Position{}, command.Filter{}) {
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func TestClose(t *testing.T) {
	ctx := waitFor(t)
	l := openLog(t, Options{URL: plain(startNode(t).Addr()), Connections: 2})
	if err := insist(ctx, l, "s", proposal()); err != nil {
		t.Fatal(err)
	}
	live, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		var once sync.Once
		for page, err := range l.Subscribe(ctx, event.Position{}, command.Filter{}) {
			if err != nil {
				ended <- err
				return
			}
			if page.Live {
				once.Do(func() { close(live) })
			}
		}
	}()
	<-live
	for range 2 {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := <-ended; !errors.Is(err, command.ErrClosed) {
		t.Errorf("the subscription ended with %v, want command.ErrClosed", err)
	}
	if _, err := l.Append(ctx, "t", command.NoStream, []event.Proposed{proposal()}); !errors.Is(err, command.ErrClosed) {
		t.Errorf("append: got %v, want command.ErrClosed", err)
	}
	for name, read := range reads(ctx, l) {
		if err := read(); !errors.Is(err, command.ErrClosed) {
			t.Errorf("%s: got %v, want command.ErrClosed", name, err)
		}
	}
}
