package node

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"kicau/adapters/command"
)

// batchRequest is a chunk with n events, which begins an append to stream (any
// revision), or goes on with one when stream is "".
func batchRequest(stream string, n int, final bool) *streams.BatchAppendReq {
	req := &streams.BatchAppendReq{CorrelationId: structuredID(uuid.New()), IsFinal: final}
	if stream != "" {
		req.Options = &streams.BatchAppendReq_Options{
			StreamIdentifier:       identifier(stream),
			ExpectedStreamPosition: &streams.BatchAppendReq_Options_Any{Any: &emptypb.Empty{}},
		}
	}
	for range n {
		req.ProposedMessages = append(req.ProposedMessages, &streams.BatchAppendReq_ProposedMessage{
			Id:       structuredID(uuid.New()),
			Metadata: map[string]string{"type": "T", "content-type": "application/json"},
			Data:     []byte("{}"),
		})
	}
	return req
}

// expecting sets the revision that a chunk's append expects.
func expecting(revision int64, req *streams.BatchAppendReq) *streams.BatchAppendReq {
	switch revision {
	case expectNoStream:
		req.Options.ExpectedStreamPosition = &streams.BatchAppendReq_Options_NoStream{NoStream: &emptypb.Empty{}}
	case expectExists:
		req.Options.ExpectedStreamPosition = &streams.BatchAppendReq_Options_StreamExists{StreamExists: &emptypb.Empty{}}
	default:
		req.Options.ExpectedStreamPosition = &streams.BatchAppendReq_Options_StreamPosition{StreamPosition: uint64(revision)}
	}
	return req
}

// exchange sends chunks on one call and returns the answers by correlation id.
func (s *served) exchange(chunks ...*streams.BatchAppendReq) map[uuid.UUID]*streams.BatchAppendResp {
	s.Helper()
	call, err := s.raw.BatchAppend(s.waitFor())
	s.must(err)
	for _, c := range chunks {
		s.must(call.Send(c))
	}
	s.must(call.CloseSend())
	answers := map[uuid.UUID]*streams.BatchAppendResp{}
	for {
		resp, err := call.Recv()
		if err == io.EOF {
			return answers
		}
		s.must(err)
		id, err := parseID(resp.GetCorrelationId())
		s.must(err)
		if answers[id] != nil {
			s.Fatalf("answered twice: %v and %v", answers[id], resp)
		}
		answers[id] = resp
	}
}

func (s *served) idOf(req *streams.BatchAppendReq) uuid.UUID {
	id, err := parseID(req.GetCorrelationId())
	s.must(err)
	return id
}

func TestBatchAppend(t *testing.T) {
	s := serve(t)
	whole := expecting(expectNoStream, batchRequest("a", 2, true))
	first := batchRequest("b", 1, false)
	middle, last := batchRequest("", 2, false), batchRequest("", 0, true)
	middle.CorrelationId, last.CorrelationId = first.CorrelationId, first.CorrelationId
	nothing := expecting(expectNoStream, batchRequest("c", 0, true))
	answers := s.exchange(first, whole, middle, nothing, last)
	if len(answers) != 3 {
		t.Fatalf("got %d answers, want 3: %v", len(answers), answers)
	}
	for req, want := range map[*streams.BatchAppendReq]uint64{whole: 1, first: 2} {
		got := answers[s.idOf(req)]
		ok := got.GetSuccess()
		if ok == nil || ok.GetCurrentRevision() != want || ok.GetPosition().GetCommitPosition() == 0 {
			t.Errorf("got %v, want success at revision %d", got, want)
		}
		if !proto.Equal(got.GetStreamIdentifier(), req.GetOptions().GetStreamIdentifier()) {
			t.Errorf("got %v, want its stream echoed", got)
		}
	}
	if answers[s.idOf(whole)].GetNoStream() == nil || answers[s.idOf(first)].GetAny() == nil {
		t.Errorf("the expected revision was not echoed: %v", answers)
	}
	if ok := answers[s.idOf(nothing)].GetSuccess(); ok == nil || ok.GetNoStream() == nil || ok.GetNoPosition() == nil {
		t.Errorf("nothing appended to no stream: got %v", answers[s.idOf(nothing)])
	}
	got, _, err := s.receive(readStream("b", count(10), fromStart))
	s.must(err)
	if len(got) != 3 {
		t.Errorf("the append in three chunks left %d events, want 3", len(got))
	}
}

// TestBatchAppendKeepsOrder: many appends to one stream are under way at once,
// each expecting the one before it.
func TestBatchAppendKeepsOrder(t *testing.T) {
	s := serve(t)
	const n = 2 * batchInFlight
	chunks := []*streams.BatchAppendReq{expecting(expectNoStream, batchRequest("a", 1, true))}
	for i := range n {
		chunks = append(chunks, expecting(int64(i), batchRequest("a", 1, true)))
		chunks = append(chunks, batchRequest(fmt.Sprint("other", i%7), 1, true))
	}
	for id, got := range s.exchange(chunks...) {
		if got.GetSuccess() == nil {
			t.Fatalf("append %v: got %v, want success", id, got)
		}
	}
}

// gathering is a log that answers no append until so many have begun.
type gathering struct {
	engine
	missing atomic.Int32
	all     chan struct{}
}

func (g *gathering) begin(ctx context.Context, stream string, expect int64, events []proposed) (func() (appended, error), error) {
	wait, err := g.engine.begin(ctx, stream, expect, events)
	if g.missing.Add(-1) == 0 {
		close(g.all)
	}
	return func() (appended, error) {
		select {
		case <-g.all:
		case <-ctx.Done():
		}
		return wait()
	}, err
}

func (g *gathering) append(ctx context.Context, stream string, expect int64, events []proposed) (appended, error) {
	wait, err := g.begin(ctx, stream, expect, events)
	if err != nil {
		return appended{}, err
	}
	return wait()
}

// TestBatchAppendDoesNotWaitForEach: appends to one stream go into the same
// syncs, as those to several do.
func TestBatchAppendDoesNotWaitForEach(t *testing.T) {
	s := serve(t)
	g := &gathering{engine: s.node.engine, all: make(chan struct{})}
	g.missing.Store(batchInFlight)
	s.server.calls.engine = g
	var chunks []*streams.BatchAppendReq
	for range batchInFlight {
		chunks = append(chunks, batchRequest("a", 1, true))
	}
	for id, got := range s.exchange(chunks...) {
		if got.GetSuccess() == nil {
			t.Fatalf("append %v: got %v, want success", id, got)
		}
	}
}

func TestBatchAppendRefusals(t *testing.T) {
	s := serve(t)
	s.write("full", "A", 3)
	s.write("gone", "A", 1)
	_, err := s.node.engine.delete(s.waitFor(), "gone", expectAny, true)
	s.must(err)
	large, noType, noContent, noID, noExpectation := batchRequest("x", 2, true), batchRequest("x", 1, true), batchRequest("x", 1, true), batchRequest("x", 1, true), batchRequest("x", 1, true)
	for _, m := range large.ProposedMessages {
		m.Data = make([]byte, command.MaxAppendBytes/2)
	}
	noType.ProposedMessages[0].Metadata = map[string]string{"content-type": "application/json"}
	noContent.ProposedMessages[0].Metadata = map[string]string{"type": "T"}
	noID.ProposedMessages[0].Id = nil
	noExpectation.Options.ExpectedStreamPosition = nil
	late, lateByClock, incomplete := batchRequest("x", 1, true), batchRequest("x", 1, true), batchRequest("x", 1, false)
	late.Options.DeadlineOption = &streams.BatchAppendReq_Options_Deadline{Deadline: durationpb.New(0)}
	lateByClock.Options.DeadlineOption = &streams.BatchAppendReq_Options_Deadline_21_10_0{Deadline_21_10_0: timestamppb.New(time.Now().Add(-time.Second))}
	incomplete.Options.DeadlineOption = &streams.BatchAppendReq_Options_Deadline{Deadline: durationpb.New(time.Millisecond)}
	type refusal struct {
		code   codes.Code
		name   string
		detail proto.Message
	}
	badRequest := refusal{codes.InvalidArgument, "BadRequest", &shared.BadRequest{}}
	timeout := refusal{codes.DeadlineExceeded, "Timeout", &shared.Timeout{}}
	want := map[*streams.BatchAppendReq]refusal{
		expecting(7, batchRequest("full", 1, true)): {codes.AlreadyExists, "WrongExpectedVersion", &shared.WrongExpectedVersion{
			CurrentStreamRevisionOption:  &shared.WrongExpectedVersion_CurrentStreamRevision{CurrentStreamRevision: 2},
			ExpectedStreamPositionOption: &shared.WrongExpectedVersion_ExpectedStreamPosition{ExpectedStreamPosition: 7}}},
		expecting(expectNoStream, batchRequest("full", 1, true)): {codes.AlreadyExists, "WrongExpectedVersion", &shared.WrongExpectedVersion{
			CurrentStreamRevisionOption:  &shared.WrongExpectedVersion_CurrentStreamRevision{CurrentStreamRevision: 2},
			ExpectedStreamPositionOption: &shared.WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: &emptypb.Empty{}}}},
		expecting(expectExists, batchRequest("missing", 1, true)): {codes.AlreadyExists, "WrongExpectedVersion", &shared.WrongExpectedVersion{
			CurrentStreamRevisionOption:  &shared.WrongExpectedVersion_CurrentNoStream{CurrentNoStream: &emptypb.Empty{}},
			ExpectedStreamPositionOption: &shared.WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: &emptypb.Empty{}}}},
		batchRequest("gone", 1, true): {codes.NotFound, "StreamDeleted", &shared.StreamDeleted{StreamIdentifier: identifier("gone")}},
		large:                         {codes.InvalidArgument, "MaximumAppendSizeExceeded", &shared.MaximumAppendSizeExceeded{MaxAppendSize: command.MaxAppendBytes}},
		batchRequest("$all", 1, true): {codes.PermissionDenied, "AccessDenied", &shared.AccessDenied{}},
		batchRequest("$$", 1, true):   badRequest,
		noType:                        badRequest,
		noContent:                     badRequest,
		noID:                          badRequest,
		noExpectation:                 badRequest,
		late:                          timeout,
		lateByClock:                   timeout,
	}
	answers := s.exchange(slices.Collect(maps.Keys(want))...)
	for req, w := range want {
		got := answers[s.idOf(req)].GetError()
		if codes.Code(got.GetCode()) != w.code || got.GetMessage() != w.name || len(got.GetDetails()) != 1 {
			t.Errorf("%v: got %v, want %v %s", req.GetOptions(), got, w.code, w.name)
			continue
		}
		detail, err := got.Details[0].UnmarshalNew()
		s.must(err)
		if w.name == "BadRequest" {
			if proto.MessageName(detail) != proto.MessageName(w.detail) || !strings.HasPrefix(got.Details[0].TypeUrl, "type.googleapis.com/event_store.client.") {
				t.Errorf("%v: got detail %v", req.GetOptions(), got.Details[0])
			}
		} else if !proto.Equal(detail, w.detail) {
			t.Errorf("%v: got detail %v, want %v", req.GetOptions(), detail, w.detail)
		}
	}
	got, _, err := s.receive(readStream("x", count(1), fromStart))
	s.must(err)
	if got[0].GetStreamNotFound() == nil {
		t.Errorf("a refused append left %v", got)
	}

	// An append of which not all chunks come is answered when its time is over.
	call, err := s.raw.BatchAppend(s.waitFor())
	s.must(err)
	s.must(call.Send(incomplete))
	resp, err := call.Recv()
	s.must(err)
	if resp.GetError().GetMessage() != "Timeout" {
		t.Errorf("an incomplete append was answered %v, want Timeout", resp)
	}
}

func TestBatchAppendBoundsWhatIsIncomplete(t *testing.T) {
	s := serve(t)
	var chunks []*streams.BatchAppendReq
	for i := range batchIncomplete + 1 {
		chunks = append(chunks, batchRequest(fmt.Sprint("s", i), 1, false))
	}
	call, err := s.raw.BatchAppend(s.waitFor())
	s.must(err)
	for _, c := range chunks {
		s.must(call.Send(c))
	}
	resp, err := call.Recv()
	s.must(err)
	if !proto.Equal(resp.GetCorrelationId(), chunks[batchIncomplete].GetCorrelationId()) || resp.GetError().GetMessage() != "BadRequest" {
		t.Errorf("got %v, want the last one refused", resp)
	}
	s.must(call.Send(&streams.BatchAppendReq{}))
	if _, err := call.Recv(); err == nil {
		t.Error("a chunk without a correlation id was let pass")
	} else {
		s.wantRefusal("no correlation id", err, nil, codes.InvalidArgument)
	}
}
