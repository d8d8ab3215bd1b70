package esdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"kicau/adapters/command"
	"kicau/domain/event"
)

// TestHazards shows what the official client does that one has to know, and what
// becomes of it here. If the first half of one fails, a newer client does better:
// see what can be taken out.
func TestHazards(t *testing.T) {
	for _, h := range []struct {
		name       string
		bare, ours func(*testing.T)
	}{
		{"closes for good after one failed discovery", closesForGood, outlivesDiscovery},
		{"a call waits past its deadline", waitsPastDeadline, keepsDeadlines},
		{"a call waits for ever and Close makes it panic", closePanics, closesInPeace},
		{"a read panics on an unknown frame", readPanics, readSurvives},
		{"a read waits for a silent server for ever", readWaitsForEver, readGivesUp},
		{"requires-leader is not sent", leaderNotAskedFor, staleReadsDoNoHarm},
		{"a refusal while an append is being sent is lost", refusalLost, refusalUnknown},
		{"an answer that is late looks like a refusal", lateLooksRefused, lateIsUnknown},
		{"an answer without a result is a success", nothingIsSuccess, nothingIsUnknown},
		{"an event without an id gets another each time", randomIDs, idsAreNeeded},
		{"an append that is said again with the defaults is done again", doneTwice, doneOnce},
		{"a consumer panics on an unknown frame", consumerPanics, consumerSurvives},
		{"an event created at no time ends the process", endsTheProcess, survivesNoTime},
		{"errors of subscriptions come raw", rawErrors, errorsAreTold},
		{"stream metadata is read from its start", metadataFromStart, metadataIsNewest},
		{"a group begins at the end unless told, and an update means the start", groupStarts, groupStartsAsTold},
		{"user and password are left out without TLS", credentialsLeftOut, credentialsWarned},
	} {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			t.Run("the bare client", h.bare)
			t.Run("ours", h.ours)
		})
	}
}

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

func code(err error) esdb.ErrorCode {
	var e *esdb.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return -1
}

func bareEvent(size int) esdb.EventData {
	return esdb.EventData{EventID: uuid.New(), EventType: "Tested", ContentType: esdb.ContentTypeJson, Data: make([]byte, size)}
}

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

func readPanics(t *testing.T) {
	o := &oddServer{frames: func(send func(*streams.ReadResp)) error { send(caughtUp); return nil }}
	c := bareClient(t, plain(o.start(t)))
	r, err := c.ReadStream(waitFor(t), "s", esdb.ReadStreamOptions{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var p *panicError
	if err := protect(func() error { _, err := r.Recv(); return err }); !errors.As(err, &p) {
		t.Errorf("got %v, want a panic", err)
	}
}

// readSurvives: the frame is an error, and the next read is as good as any.
func readSurvives(t *testing.T) {
	ctx := waitFor(t)
	var odd atomic.Bool
	odd.Store(true)
	l := startOdd(t, &oddServer{frames: func(send func(*streams.ReadResp)) error {
		if send(frameOf(1)); odd.Load() {
			send(caughtUp)
		}
		return nil
	}})
	var p *panicError
	if err := reads(ctx, l)["ReadStream"](); !errors.As(err, &p) {
		t.Errorf("got %v, want the panic as an error", err)
	}
	odd.Store(false)
	if err := reads(ctx, l)["ReadStream"](); err != nil {
		t.Errorf("the read after: %v", err)
	}
}

func readWaitsForEver(t *testing.T) {
	o := &oddServer{frames: func(send func(*streams.ReadResp)) error { send(frameOf(1)); return nil }}
	c := bareClient(t, plain(o.start(t)))
	r, err := c.ReadStream(context.Background(), "s", esdb.ReadStreamOptions{}, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Recv(); err != nil {
		t.Fatal(err)
	}
	const long = 365 * 24 * time.Hour
	if at, ok := o.calls()[0].Deadline(); ok && time.Until(at) < long {
		t.Errorf("a read has a deadline in %v", time.Until(at))
	}
}

func readGivesUp(t *testing.T) {
	l := startOdd(t, &oddServer{silent: true, frames: func(send func(*streams.ReadResp)) error { send(frameOf(1)); return nil }})
	l.patience = 50 * time.Millisecond
	if err := reads(waitFor(t), l)["ReadStream"](); !errors.Is(err, errSilent) {
		t.Errorf("got %v, want to be told that the server is silent", err)
	}
}

func leaderNotAskedFor(t *testing.T) {
	o := &oddServer{
		frames: func(send func(*streams.ReadResp)) error { send(frameOf(1)); return nil },
		answer: func(context.Context) (*streams.AppendResp, error) { return succeeded(0, 1), nil },
	}
	c := bareClient(t, plain(o.start(t))+"&nodePreference=leader")
	ctx := waitFor(t)
	r, err := c.ReadStream(ctx, "s", esdb.ReadStreamOptions{RequiresLeader: true}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Recv(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AppendToStream(ctx, "s", esdb.AppendToStreamOptions{RequiresLeader: true}, bareEvent(1)); err != nil {
		t.Fatal(err)
	}
	for _, ctx := range o.calls() {
		if md, _ := metadata.FromIncomingContext(ctx); len(md.Get("requires-leader")) > 0 {
			t.Errorf("the leader is asked for: %v", md)
		}
	}
}

// staleReadsDoNoHarm: what was decided on old news is refused.
func staleReadsDoNoHarm(t *testing.T) {
	ctx := waitFor(t)
	l := startOdd(t, &oddServer{
		frames: func(send func(*streams.ReadResp)) error { send(frameOf(0)); return nil },
		answer: func(context.Context) (*streams.AppendResp, error) {
			return &streams.AppendResp{Result: &streams.AppendResp_WrongExpectedVersion_{WrongExpectedVersion: &streams.AppendResp_WrongExpectedVersion{
				CurrentRevisionOption:  &streams.AppendResp_WrongExpectedVersion_CurrentRevision{CurrentRevision: 1},
				ExpectedRevisionOption: &streams.AppendResp_WrongExpectedVersion_ExpectedRevision{ExpectedRevision: 0},
			}}}, nil
		},
	})
	for old, err := range l.ReadStream(ctx, "s", command.Forwards, 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		_, err = l.Append(ctx, "s", command.At(old.Revision), []event.Proposed{proposal()})
		var wrong *command.WrongRevision
		if !errors.As(err, &wrong) || wrong.Actual != command.At(1) {
			t.Errorf("got %v, want a conflict at revision 1", err)
		}
	}
}

// denied is a server that refuses as soon as an append begins.
func denied() *oddServer {
	return &oddServer{hasty: true, answer: func(context.Context) (*streams.AppendResp, error) {
		return nil, status.Error(codes.PermissionDenied, "not for you")
	}}
}

func refusalLost(t *testing.T) {
	c := bareClient(t, plain(denied().start(t)))
	_, err := c.AppendToStream(waitFor(t), "s", esdb.AppendToStreamOptions{}, bareEvent(300<<10), bareEvent(300<<10), bareEvent(1))
	if code(err) == esdb.ErrorCodeAccessDenied || !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want the refusal to be lost", err)
	}
}

func refusalUnknown(t *testing.T) {
	l := startOdd(t, denied())
	large := []event.Proposed{proposal(), proposal(), proposal()}
	large[0].Data, large[1].Data = make([]byte, 300<<10), make([]byte, 300<<10)
	if _, err := l.Append(waitFor(t), "s", command.NoStream, large); !errors.Is(err, command.ErrUnknownOutcome) {
		t.Errorf("got %v, want command.ErrUnknownOutcome", err)
	}
}

// late is a server that does what it is told and says so when the test is over.
// It tells of each append.
func late(t *testing.T) (o *oddServer, asked chan context.Context) {
	asked = make(chan context.Context, 10)
	return &oddServer{answer: func(ctx context.Context) (*streams.AppendResp, error) {
		asked <- ctx
		<-t.Context().Done()
		return succeeded(0, 1), nil
	}}, asked
}

func lateLooksRefused(t *testing.T) {
	o, asked := late(t)
	c := bareClient(t, plain(o.start(t)))
	soon := 20 * time.Millisecond
	_, err := c.AppendToStream(t.Context(), "s", esdb.AppendToStreamOptions{Deadline: &soon}, bareEvent(1))
	if code(err) != esdb.ErrorCodeDeadlineExceeded {
		t.Errorf("got %v, want the deadline", err)
	}
	<-asked
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.AppendToStream(ctx, "s", esdb.AppendToStreamOptions{}, bareEvent(1))
	}()
	if at, ok := (<-asked).Deadline(); !ok || time.Until(at) > 10*time.Second {
		t.Errorf("an append without a deadline gives up in %v (%v)", time.Until(at), ok)
	}
	cancel()
	<-ended
}

func lateIsUnknown(t *testing.T) {
	o, _ := late(t)
	l := startOdd(t, o)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := l.Append(ctx, "s", command.NoStream, []event.Proposed{proposal()}); !errors.Is(err, command.ErrUnknownOutcome) {
		t.Errorf("got %v, want command.ErrUnknownOutcome", err)
	}
}

func emptyAnswer() *oddServer {
	return &oddServer{answer: func(context.Context) (*streams.AppendResp, error) { return &streams.AppendResp{}, nil }}
}

func nothingIsSuccess(t *testing.T) {
	c := bareClient(t, plain(emptyAnswer().start(t)))
	if r, err := c.AppendToStream(waitFor(t), "s", esdb.AppendToStreamOptions{}, bareEvent(1)); err != nil {
		t.Errorf("got %+v, %v, want a success", r, err)
	}
}

func nothingIsUnknown(t *testing.T) {
	l := startOdd(t, emptyAnswer())
	if _, err := l.Append(waitFor(t), "s", command.NoStream, []event.Proposed{proposal()}); !errors.Is(err, command.ErrUnknownOutcome) {
		t.Errorf("got %v, want command.ErrUnknownOutcome", err)
	}
}

func randomIDs(t *testing.T) {
	o := &oddServer{answer: func(context.Context) (*streams.AppendResp, error) { return succeeded(0, 1), nil }}
	c := bareClient(t, plain(o.start(t)))
	e := bareEvent(1)
	e.EventID = uuid.Nil
	for range 2 {
		if _, err := c.AppendToStream(waitFor(t), "s", esdb.AppendToStreamOptions{}, e); err != nil {
			t.Fatal(err)
		}
	}
	var ids []string
	o.note(func() {
		for _, req := range o.appends {
			if m := req.GetProposedMessage(); m != nil {
				ids = append(ids, m.GetId().String())
			}
		}
	})
	if len(ids) != 2 || ids[0] == ids[1] {
		t.Errorf("the same event said twice had ids %v", ids)
	}
}

func idsAreNeeded(t *testing.T) {
	l := startOdd(t, &oddServer{})
	e := proposal()
	e.ID = uuid.Nil
	if _, err := l.Append(waitFor(t), "s", command.NoStream, []event.Proposed{e}); err == nil || errors.Is(err, command.ErrUnknownOutcome) {
		t.Errorf("got %v, want a refusal", err)
	}
}

func doneTwice(t *testing.T) {
	n := openNode(t, t.TempDir())
	c := bareClient(t, plain(serve(t, n, "127.0.0.1:0").Addr()))
	e := bareEvent(1)
	e.EventID = uuid.Nil
	for range 2 {
		if _, err := c.AppendToStream(waitFor(t), "s", esdb.AppendToStreamOptions{}, e); err != nil {
			t.Fatal(err)
		}
	}
	if copies := countOf(t, n.Log(), "s"); copies != 2 {
		t.Errorf("the stream has %d events, want 2", copies)
	}
}

func doneOnce(t *testing.T) {
	ctx := waitFor(t)
	n := openNode(t, t.TempDir())
	l := openLog(t, Options{URL: plain(serve(t, n, "127.0.0.1:0").Addr())})
	e := proposal()
	for range 2 {
		if _, err := l.Append(ctx, "s", command.NoStream, []event.Proposed{e}); err != nil {
			t.Fatal(err)
		}
	}
	if copies := countOf(t, n.Log(), "s"); copies != 1 {
		t.Errorf("the stream has %d events, want 1", copies)
	}
}

func countOf(t *testing.T, l command.Log, stream string) (n int) {
	for _, err := range l.ReadStream(t.Context(), stream, command.Forwards, 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

var groupConfirmed = &persistent.ReadResp{Content: &persistent.ReadResp_SubscriptionConfirmation_{
	SubscriptionConfirmation: &persistent.ReadResp_SubscriptionConfirmation{SubscriptionId: "$all::g"}}}

func deliveryOf(created string) *persistent.ReadResp {
	return &persistent.ReadResp{Content: &persistent.ReadResp_Event{Event: &persistent.ReadResp_ReadEvent{
		Event: &persistent.ReadResp_ReadEvent_RecordedEvent{
			Id:               &shared.UUID{Value: &shared.UUID_String_{String_: uuid.NewString()}},
			StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("s")},
			Metadata:         map[string]string{"type": "T", "created": created, "content-type": "application/json"},
		}}}}
}

func bareConsumer(t *testing.T, o *oddServer) *esdb.PersistentSubscription {
	t.Helper()
	sub, err := bareClient(t, plain(o.start(t))).SubscribeToPersistentSubscriptionToAll(waitFor(t), "g", esdb.SubscribeToPersistentSubscriptionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sub.Close() })
	return sub
}

func consumerPanics(t *testing.T) {
	sub := bareConsumer(t, &oddServer{deliver: func(s persistent.PersistentSubscriptions_ReadServer) error { return s.Send(groupConfirmed) }})
	var p *panicError
	if err := protect(func() error { sub.Recv(); return nil }); !errors.As(err, &p) {
		t.Errorf("got %v, want a panic", err)
	}
}

// consumerSurvives: the frame is an error, and the next consumer is as good as
// any.
func consumerSurvives(t *testing.T) {
	ctx := waitFor(t)
	var odd atomic.Bool
	odd.Store(true)
	l := startOdd(t, &oddServer{deliver: func(s persistent.PersistentSubscriptions_ReadServer) error {
		if odd.Load() {
			return s.Send(groupConfirmed)
		}
		return s.Send(deliveryOf("1"))
	}})
	var p *panicError
	if _, err := nextOf(ctx, l); !errors.As(err, &p) {
		t.Errorf("got %v, want the panic as an error", err)
	}
	odd.Store(false)
	if _, err := nextOf(ctx, l); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the consumer after: %v", err)
	}
}

// nextOf consumes a delivery of the group.
func nextOf(ctx context.Context, l *Log) (command.Delivery, error) {
	c, err := l.Consume(ctx, command.Group{Name: "g"}, 1)
	if err != nil {
		return command.Delivery{}, err
	}
	defer c.Close()
	return c.Next(ctx)
}

// exitWord makes the test binary a program that uses the bare client, in which
// nothing stands between it and the server whose address follows.
const exitWord = "read-with-the-bare-client"

func TestMain(m *testing.M) {
	if len(os.Args) != 3 || os.Args[1] != exitWord {
		os.Exit(m.Run())
	}
	encoding.RegisterCodecV2(encoding.GetCodecV2(proto.Name).(carefulCodec).CodecV2)
	conf, err := esdb.ParseConnectionString(plain(os.Args[2]))
	if err == nil {
		conf.Logger = esdb.NoopLogging()
		var c *esdb.Client
		if c, err = esdb.NewClient(conf); err == nil {
			var r *esdb.ReadStream
			if r, err = c.ReadStream(context.Background(), "s", esdb.ReadStreamOptions{}, 1); err == nil {
				_, err = r.Recv()
			}
		}
	}
	fmt.Println("still here:", err)
}

// yesterday is no time of creation.
func yesterday() *streams.ReadResp {
	odd := frameOf(1)
	odd.GetEvent().GetEvent().Metadata["created"] = "yesterday"
	return odd
}

// noTime is a server of subscriptions to events that were created at no time.
func noTime() *oddServer {
	return &oddServer{
		frames: func(send func(*streams.ReadResp)) error { send(confirmed); send(yesterday()); return nil },
		deliver: func(s persistent.PersistentSubscriptions_ReadServer) error {
			return s.Send(deliveryOf(""))
		},
	}
}

func endsTheProcess(t *testing.T) {
	o := &oddServer{frames: func(send func(*streams.ReadResp)) error { send(yesterday()); return nil }}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(waitFor(t), exe, exitWord, o.start(t)).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(out), "yesterday") || strings.Contains(string(out), "still here") {
		t.Errorf("got %v, %s; want the process to end over the event", err, out)
	}
}

func survivesNoTime(t *testing.T) {
	ctx := waitFor(t)
	l := startOdd(t, noTime())
	uses := uses(ctx, l)
	for _, name := range []string{"ReadAll", "Subscribe"} {
		if err := uses[name](); err == nil || !strings.Contains(err.Error(), `"yesterday"`) {
			t.Errorf("%s: got %v, want to be told of the event", name, err)
		}
	}
	if _, err := nextOf(ctx, l); err == nil || !strings.Contains(err.Error(), "created at") {
		t.Errorf("consume: got %v, want to be told of the event", err)
	}
}

// gone is a server whose subscriptions end because the group was deleted.
func gone() *oddServer {
	deleted := status.Error(codes.NotFound, "the group was deleted")
	return &oddServer{
		deliver: func(persistent.PersistentSubscriptions_ReadServer) error { return deleted },
		frames: func(send func(*streams.ReadResp)) error {
			send(confirmed)
			return status.Error(codes.Unavailable, "stopping")
		},
	}
}

func rawErrors(t *testing.T) {
	o := gone()
	sub := bareConsumer(t, o)
	if err := sub.Recv().SubscriptionDropped.Error; code(err) != -1 || status.Code(err) != codes.NotFound {
		t.Errorf("a consumer: got %v, want it as gRPC has it", err)
	}
	catchUp, err := bareClient(t, plain(o.start(t))).SubscribeToAll(waitFor(t), esdb.SubscribeToAllOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer catchUp.Close()
	if err := catchUp.Recv().SubscriptionDropped.Error; code(err) != -1 || status.Code(err) != codes.Unavailable {
		t.Errorf("a subscription: got %v, want it as gRPC has it", err)
	}
}

// errorsAreTold: a group that is gone has an error of its own, and a client that
// lost its server is replaced.
func errorsAreTold(t *testing.T) {
	ctx := waitFor(t)
	replaced := make(chan string, 1)
	l, err := Open(Options{URL: plain(gone().start(t)), Logger: slog.New(&listener{"replaced", replaced})})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := nextOf(ctx, l); !errors.Is(err, command.ErrNoGroup) {
		t.Errorf("a consumer: got %v, want command.ErrNoGroup", err)
	}
	if err := reads(ctx, l)["Subscribe"](); status.Code(errors.Unwrap(err)) != codes.Unavailable {
		t.Errorf("a subscription: got %v, want what the server said", err)
	}
	select {
	case <-replaced:
	case <-ctx.Done():
		t.Error("the client was not replaced")
	}
}

func metadataFromStart(t *testing.T) {
	o := &oddServer{frames: func(func(*streams.ReadResp)) error { return nil }}
	if _, err := bareClient(t, plain(o.start(t))).GetStreamMetadata(waitFor(t), "s", esdb.ReadStreamOptions{}); err != nil {
		t.Fatal(err)
	}
	var asked *streams.ReadReq_Options
	o.note(func() { asked = o.reads[0].GetOptions() })
	if asked.GetReadDirection() != streams.ReadReq_Options_Forwards || asked.GetStream().GetStart() == nil || asked.GetCount() != 1 {
		t.Errorf("asked %v, want the first event", asked)
	}
}

// metadataIsNewest: nothing here asks for metadata. Our node gives the newest to
// who does.
func metadataIsNewest(t *testing.T) {
	ctx := waitFor(t)
	c := bareClient(t, plain(startNode(t).Addr()))
	for _, count := range []uint64{7, 8} {
		var m esdb.StreamMetadata
		m.SetMaxCount(count)
		if _, err := c.SetStreamMetadata(ctx, "s", esdb.AppendToStreamOptions{}, m); err != nil {
			t.Fatal(err)
		}
	}
	m, err := c.GetStreamMetadata(ctx, "s", esdb.ReadStreamOptions{})
	if err != nil || m.MaxCount() == nil || *m.MaxCount() != 8 {
		t.Errorf("got %+v, %v, want the newest", m, err)
	}
}

func groupStarts(t *testing.T) {
	ctx := waitFor(t)
	o := &oddServer{}
	c := bareClient(t, plain(o.start(t)))
	if err := c.CreatePersistentSubscription(ctx, "s", "g", esdb.PersistentStreamSubscriptionOptions{}); err != nil {
		t.Fatal(err)
	}
	o.note(func() {
		if o.creates[0].GetOptions().GetStream().GetEnd() == nil {
			t.Errorf("asked %v, want the end", o.creates[0])
		}
	})
	settings := esdb.SubscriptionSettingsDefault()
	if err := c.UpdatePersistentSubscriptionToAll(ctx, "g", esdb.PersistentAllSubscriptionOptions{StartFrom: esdb.End{}, Settings: &settings}); err != nil {
		t.Fatal(err)
	}
	o.note(func() {
		if o.updates[0].GetOptions().GetAll().GetStart() == nil {
			t.Errorf("asked %v, want the start", o.updates[0])
		}
	})
}

func groupStartsAsTold(t *testing.T) {
	ctx := waitFor(t)
	o := &oddServer{}
	l := startOdd(t, o)
	for _, g := range []command.Group{{Stream: "s", Name: "g"}, {Name: "g"}} {
		for _, fromEnd := range []bool{false, true} {
			if err := l.EnsureGroup(ctx, g, command.GroupSettings{FromEnd: fromEnd}); err != nil {
				t.Fatal(err)
			}
			var asked *persistent.CreateReq_Options
			o.note(func() { asked = o.creates[len(o.creates)-1].GetOptions() })
			atEnd := asked.GetStream().GetEnd() != nil || asked.GetAll().GetEnd() != nil
			atStart := asked.GetStream().GetStart() != nil || asked.GetAll().GetStart() != nil
			if atEnd != fromEnd || atStart == fromEnd {
				t.Errorf("from the end %v: asked %v", fromEnd, asked)
			}
			s := asked.GetSettings()
			if s.GetMaxRetryCount() != math.MaxInt32 || s.GetMessageTimeoutMs() != 60_000 || s.GetReadBatchSize() >= s.GetHistoryBufferSize() {
				t.Errorf("asked for settings %v", s)
			}
		}
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
