package esdb

import (
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"kicau/adapters/command"
	"kicau/adapters/node"
	"kicau/domain/event"
)

func succeeded(revision, position uint64) *streams.AppendResp {
	return &streams.AppendResp{Result: &streams.AppendResp_Success_{Success: &streams.AppendResp_Success{
		CurrentRevisionOption: &streams.AppendResp_Success_CurrentRevision{CurrentRevision: revision},
		PositionOption:        &streams.AppendResp_Success_Position{Position: &streams.AppendResp_Position{CommitPosition: position, PreparePosition: position}},
	}}}
}

// TestAppendBelievesOnlyWhatIsCertain: every answer to an append of two events
// at revision 4, and what it may be taken for.
func TestAppendBelievesOnlyWhatIsCertain(t *testing.T) {
	full, err := status.New(codes.ResourceExhausted, "disk").WithDetails(&errdetails.ErrorInfo{Domain: node.ErrorDomain, Reason: node.ReadOnlyReason})
	if err != nil {
		t.Fatal(err)
	}
	unknown := command.ErrUnknownOutcome
	for _, c := range []struct {
		name   string
		answer *streams.AppendResp
		err    error
		want   error // nil: success
	}{
		{"success", succeeded(6, 99), nil, nil},
		{"no result", &streams.AppendResp{}, nil, unknown},
		{"no position", succeeded(6, 0), nil, unknown},
		{"another revision", succeeded(5, 99), nil, unknown},
		{"no revision", &streams.AppendResp{Result: &streams.AppendResp_Success_{Success: &streams.AppendResp_Success{
			CurrentRevisionOption: &streams.AppendResp_Success_NoStream{NoStream: &shared.Empty{}},
			PositionOption:        &streams.AppendResp_Success_Position{Position: &streams.AppendResp_Position{CommitPosition: 9, PreparePosition: 9}}}}}, nil, unknown},
		{"too large", nil, status.Error(codes.InvalidArgument, "Maximum Append Size of 10 Exceeded."), command.ErrTooLarge},
		{"deleted", nil, status.Error(codes.FailedPrecondition, "deleted"), command.ErrStreamDeleted},
		{"read-only", nil, full.Err(), command.ErrReadOnly},
		{"message too large", nil, status.Error(codes.ResourceExhausted, "message"), unknown},
		{"access denied", nil, status.Error(codes.PermissionDenied, "no"), unknown},
		{"timeout", nil, status.Error(codes.Aborted, "Operation timed out"), unknown},
		{"unavailable", nil, status.Error(codes.Unavailable, "not ready"), unknown},
		{"internal", nil, status.Error(codes.Internal, "oops"), unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := startOdd(t, &oddServer{answer: func(context.Context) (*streams.AppendResp, error) { return c.answer, c.err }})
			at, err := l.Append(waitFor(t), "s", command.At(4), []event.Proposed{proposal(), proposal()})
			if c.want == nil {
				if err != nil || at.Revision != 6 || at.Position != event.At(99) {
					t.Errorf("got %+v, %v, want revision 6 at 99", at, err)
				}
			} else if !errors.Is(err, c.want) || c.want != unknown && errors.Is(err, unknown) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestAppendRefusesBeforeItSends(t *testing.T) {
	l := openLog(t, Options{URL: plain("127.0.0.1:1")}) // nobody is there
	ctx := waitFor(t)
	noID, noType, large := proposal(), proposal(), proposal()
	noID.ID, noType.Type, large.Data = uuid.Nil, "", make([]byte, command.MaxAppendBytes)
	for name, e := range map[string][]event.Proposed{"nothing": nil, "no id": {proposal(), noID}, "no type": {noType}, "too large": {large}} {
		_, err := l.Append(ctx, "s", command.NoStream, e)
		if err == nil || errors.Is(err, command.ErrUnknownOutcome) || errors.Is(err, command.ErrTooLarge) != (name == "too large") {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
	}
	if _, err := l.Append(ctx, "s", -7, []event.Proposed{proposal()}); err == nil || errors.Is(err, command.ErrUnknownOutcome) {
		t.Errorf("an expectation that is none: got %v, want a refusal", err)
	}
}

// TestAppendWithoutAnswer returns when its context is done.
func TestAppendWithoutAnswer(t *testing.T) {
	asked := make(chan struct{})
	l := startOdd(t, &oddServer{answer: func(ctx context.Context) (*streams.AppendResp, error) {
		close(asked)
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	ctx, cancel := context.WithCancel(waitFor(t))
	go func() { <-asked; cancel() }()
	_, err := l.Append(ctx, "s", command.NoStream, []event.Proposed{proposal()})
	if !errors.Is(err, command.ErrUnknownOutcome) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want an unknown outcome, cancelled", err)
	}
}

func frameOf(position uint64) *streams.ReadResp {
	return &streams.ReadResp{Content: &streams.ReadResp_Event{Event: &streams.ReadResp_ReadEvent{
		Event: &streams.ReadResp_ReadEvent_RecordedEvent{
			Id:               &shared.UUID{Value: &shared.UUID_String_{String_: uuid.NewString()}},
			StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("s")},
			StreamRevision:   position, PreparePosition: position, CommitPosition: position,
			Metadata: map[string]string{"type": "T", "created": "1", "content-type": "application/json"},
		}}}}
}

var (
	confirmed  = &streams.ReadResp{Content: &streams.ReadResp_Confirmation{Confirmation: &streams.ReadResp_SubscriptionConfirmation{SubscriptionId: "x"}}}
	caughtUp   = &streams.ReadResp{Content: &streams.ReadResp_CaughtUp_{CaughtUp: &streams.ReadResp_CaughtUp{}}}
	fellBehind = &streams.ReadResp{Content: &streams.ReadResp_FellBehind_{FellBehind: &streams.ReadResp_FellBehind{}}}
)

func checkpointAt(position uint64) *streams.ReadResp {
	return &streams.ReadResp{Content: &streams.ReadResp_Checkpoint_{Checkpoint: &streams.ReadResp_Checkpoint{CommitPosition: position, PreparePosition: position}}}
}

// TestRewound: positions that go back end a read with an error of its own.
func TestRewound(t *testing.T) {
	ctx := waitFor(t)
	for name, frames := range map[string][]*streams.ReadResp{
		"ReadStream":        {frameOf(5), frameOf(6), frameOf(6)},
		"ReadAll":           {confirmed, frameOf(5), frameOf(6), frameOf(4), caughtUp},
		"ReadAll backwards": {frameOf(5), frameOf(4), frameOf(6)},
		"Subscribe":         {confirmed, frameOf(5), checkpointAt(9), frameOf(7)},
	} {
		l := startOdd(t, &oddServer{frames: func(send func(*streams.ReadResp)) error {
			for _, f := range frames {
				send(f)
			}
			return nil
		}})
		if err := reads(ctx, l)[name](); !errors.Is(err, ErrRewound) {
			t.Errorf("%s: got %v, want ErrRewound", name, err)
		}
	}
}

// TestEndBeforeCaughtUp: half a read is not the whole.
func TestEndBeforeCaughtUp(t *testing.T) {
	l := startOdd(t, &oddServer{frames: func(send func(*streams.ReadResp)) error {
		send(confirmed)
		send(frameOf(5))
		return nil
	}})
	for _, name := range []string{"ReadAll", "Subscribe"} {
		if err := reads(waitFor(t), l)[name](); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: got %v, want io.ErrUnexpectedEOF", name, err)
		}
	}
}

// TestPages: what a subscription's messages become, message by message.
func TestPages(t *testing.T) {
	type page struct {
		events int
		last   uint64
		live   bool
	}
	for _, c := range []struct {
		name   string
		frames []*streams.ReadResp
		want   []page
	}{
		{"nothing there", []*streams.ReadResp{caughtUp}, []page{{0, 0, true}}},
		{"history, then the mark", []*streams.ReadResp{frameOf(1), frameOf(2), caughtUp}, []page{{2, 2, false}, {0, 2, true}}},
		{"a checkpoint hands over", []*streams.ReadResp{frameOf(1), checkpointAt(7), frameOf(8), checkpointAt(8), caughtUp},
			[]page{{1, 7, false}, {1, 8, false}, {0, 8, true}}},
		{"a checkpoint alone", []*streams.ReadResp{checkpointAt(7), checkpointAt(7), caughtUp}, []page{{0, 7, false}, {0, 7, true}}},
		{"a checkpoint of before", []*streams.ReadResp{frameOf(3), checkpointAt(2), caughtUp}, []page{{1, 3, false}, {0, 3, true}}},
		{"a checkpoint before the log", []*streams.ReadResp{checkpointAt(math.MaxUint64), caughtUp, frameOf(1)}, []page{{0, 0, true}, {1, 1, true}}},
		{"caught up twice", []*streams.ReadResp{caughtUp, fellBehind, caughtUp, checkpointAt(4)}, []page{{0, 0, true}, {0, 4, true}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := startOdd(t, &oddServer{frames: func(send func(*streams.ReadResp)) error {
				send(confirmed)
				for _, f := range c.frames {
					send(f)
				}
				return nil
			}})
			var got []page
			for p, err := range l.Subscribe(waitFor(t), event.Position{}, command.Filter{}) {
				if err != nil {
					break // the end of the frames
				}
				got = append(got, page{len(p.Events), p.Last.Commit, p.Live})
			}
			if len(got) != len(c.want) {
				t.Fatalf("got %+v, want %+v", got, c.want)
			}
			for i := range got {
				if got[i] != c.want[i] {
					t.Errorf("got %+v, want %+v", got, c.want)
				}
			}
		})
	}
}

func TestServerTooOld(t *testing.T) {
	l := startOdd(t, &oddServer{version: "22.10.5"})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := reads(ctx, l)["Subscribe"](); err == nil || !strings.Contains(err.Error(), "23.10 or newer") {
		t.Errorf("got %v, want to be told which server to use", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, o := range []Options{{}, {URL: "http://x"}, {URL: "esdb://"}, {URL: "esdb://x?tls=maybe"}, {URL: plain("x"), Connections: -1}, {URL: plain("x"), Connections: 1000}} {
		if l, err := Open(o); err == nil {
			t.Errorf("opened %+v", o)
			l.Close()
		}
	}
}

// TestDeletedStreams: what others delete is gone here.
func TestDeletedStreams(t *testing.T) {
	ctx := waitFor(t)
	addr := startNode(t).Addr()
	l := openLog(t, Options{URL: plain(addr)})
	other := bareClient(t, plain(addr))
	for _, stream := range []string{"s", "t"} {
		if err := insist(ctx, l, stream, proposal()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := other.DeleteStream(ctx, "s", esdb.DeleteStreamOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := reads(ctx, l)["ReadStream"](); err != nil {
		t.Errorf("a deleted stream: got %v, want nothing", err)
	}
	// It lives again where it ended: a success, though not at revision 0.
	if at, err := l.Append(ctx, "s", command.NoStream, []event.Proposed{proposal()}); err != nil || at.Revision != 1 {
		t.Errorf("append to a deleted stream: got %+v, %v, want revision 1", at, err)
	}
	if _, err := other.TombstoneStream(ctx, "s", esdb.TombstoneStreamOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := reads(ctx, l)["ReadStream"](); !errors.Is(err, command.ErrStreamDeleted) {
		t.Errorf("a tombstoned stream: got %v, want command.ErrStreamDeleted", err)
	}
	if _, err := l.Append(ctx, "s", command.At(1), []event.Proposed{proposal()}); !errors.Is(err, command.ErrStreamDeleted) || errors.Is(err, command.ErrUnknownOutcome) {
		t.Errorf("append to a tombstoned stream: got %v, want command.ErrStreamDeleted", err)
	}
	// $metadata and the rest are in the log now, and not shown.
	for e, err := range l.ReadAll(ctx, command.Forwards, command.ReadFrom{}, command.Filter{}, 0) {
		if err != nil || isSystem(e.Stream) {
			t.Errorf("the log shows %s, %v", e.Stream, err)
		}
	}
	// A position that the log never gave out is refused, not waited for.
	for _, err := range l.Subscribe(ctx, event.At(1<<40), command.Filter{}) {
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("subscribed beyond the end: got %v", err)
		}
	}
}
