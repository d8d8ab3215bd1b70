package esdb

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"kicau/adapters/command"
	"kicau/domain/event"
)

func bareEvent(size int) esdb.EventData {
	return esdb.EventData{EventID: uuid.New(), EventType: "Tested", ContentType: esdb.ContentTypeJson, Data: make([]byte, size)}
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
