package node

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"

	"kicau/adapters/command"
)

// Bounds of one BatchAppend call.
const (
	// batchInFlight bounds the appends that are being written; the next one is
	// read from the client when there is room.
	batchInFlight = 256
	// batchIncomplete bounds the appends of which not all chunks have come.
	batchIncomplete = 64
	// batchDeadline bounds an append from its first chunk to its answer,
	// whatever the client asks for.
	batchDeadline = 10 * time.Second
)

// BatchAppend takes appends on one long stream of messages: each comes in one
// chunk or several, told apart by correlation id, and is answered by itself,
// while others are under way. They are written in the order in which they were
// completed.
func (s *service) BatchAppend(stream streams.Streams_BatchAppendServer) error {
	b := &batchCall{
		service: s, stream: stream,
		slots:   make(chan struct{}, batchInFlight),
		pending: map[uuid.UUID]*batchAppend{},
	}
	received := make(chan error, 1)
	go func() { received <- b.receive() }() // ends with the call at the latest
	var err error
	select {
	case err = <-received:
	case <-s.stopping.Done():
		err = errStopping
	}
	b.takeNoMore() // what was taken is written and answered
	b.open.Wait()
	return errors.Join(err, b.sendNoMore())
}

// batchCall is one BatchAppend call.
type batchCall struct {
	*service
	stream streams.Streams_BatchAppendServer
	slots  chan struct{}
	open   sync.WaitGroup // an append, from its first chunk to its answer

	mu      sync.Mutex
	over    bool // nothing more is begun
	pending map[uuid.UUID]*batchAppend

	sending sync.Mutex
	sendErr error
}

// batchAppend is one append of a batch.
type batchAppend struct {
	proposedEvents
	correlation *shared.UUID
	options     *streams.BatchAppendReq_Options
	stream      string
	expect      int64
	ctx         context.Context
	cancel      context.CancelFunc
	stopTimer   func() bool
}

func (b *batchCall) receive() error {
	for {
		req, err := b.stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		id, err := parseID(req.GetCorrelationId())
		if err != nil {
			return err // there is nothing to answer to
		}
		if req.GetOptions() != nil {
			if err := b.begin(id, req); err != nil {
				b.refuse(req.GetCorrelationId(), req.GetOptions(), err)
				continue
			}
		}
		if a := b.chunk(id, req); a != nil {
			b.write(a)
		}
	}
}

// begin opens the append of a first chunk.
func (b *batchCall) begin(id uuid.UUID, req *streams.BatchAppendReq) error {
	a := &batchAppend{correlation: req.GetCorrelationId(), options: req.GetOptions()}
	var err error
	if a.stream, err = writableStream(a.options.GetStreamIdentifier()); err != nil {
		return err
	}
	if err := b.allow(b.stream.Context(), opWrite, a.stream); err != nil {
		return err
	}
	switch e := a.options.GetExpectedStreamPosition().(type) {
	case *streams.BatchAppendReq_Options_StreamPosition:
		if a.expect, err = exactRevision(e.StreamPosition); err != nil {
			return err
		}
	case *streams.BatchAppendReq_Options_NoStream:
		a.expect = expectNoStream
	case *streams.BatchAppendReq_Options_Any:
		a.expect = expectAny
	case *streams.BatchAppendReq_Options_StreamExists:
		a.expect = expectExists
	default:
		return invalid("the expected revision of %s is missing", a.stream)
	}
	patience := batchPatience(a.options)
	if patience <= 0 {
		return context.DeadlineExceeded
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, open := b.pending[id]; open || b.over {
		return nil // its options once more
	}
	if len(b.pending) >= batchIncomplete {
		return invalid("%d appends of this batch are incomplete; finish some first", batchIncomplete)
	}
	b.open.Add(1)
	a.ctx, a.cancel = context.WithTimeout(b.stream.Context(), patience)
	a.stopTimer = context.AfterFunc(a.ctx, func() {
		if b.complete(id, a) {
			b.refuse(a.correlation, a.options, a.ctx.Err())
			b.close(a)
		}
	})
	b.pending[id] = a
	return nil
}

// chunk adds a chunk's events, and returns the append when that was the last.
func (b *batchCall) chunk(id uuid.UUID, req *streams.BatchAppendReq) *batchAppend {
	b.mu.Lock()
	a := b.pending[id]
	b.mu.Unlock()
	if a == nil {
		return nil // refused before, or never begun
	}
	for _, m := range req.GetProposedMessages() {
		if err := a.add(m); err != nil {
			if b.complete(id, a) {
				b.refuse(a.correlation, a.options, err)
				b.close(a)
			}
			return nil
		}
	}
	if !req.GetIsFinal() || !b.complete(id, a) {
		return nil
	}
	return a
}

// complete takes an append off the incomplete ones. Of all who would answer it
// only one succeeds, and must close it.
func (b *batchCall) complete(id uuid.UUID, a *batchAppend) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pending[id] != a {
		return false
	}
	delete(b.pending, id)
	return true
}

func (b *batchCall) close(a *batchAppend) {
	a.stopTimer()
	a.cancel()
	b.open.Done()
}

// takeNoMore forgets the appends whose last chunk will not come.
func (b *batchCall) takeNoMore() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	for _, a := range b.pending {
		b.close(a)
	}
	clear(b.pending)
}

// sendNoMore is called before the call ends: gRPC lets nobody send after it.
func (b *batchCall) sendNoMore() error {
	b.sending.Lock()
	defer b.sending.Unlock()
	err := b.sendErr
	b.sendErr = errStopping
	return err
}

// write begins an append here, which gives it its place behind those before, and
// waits for its end in the background.
func (b *batchCall) write(a *batchAppend) {
	b.slots <- struct{}{}
	wait, err := b.engine.begin(a.ctx, a.stream, a.expect, a.events)
	go func() {
		var at appended
		if err == nil {
			at, err = wait()
		}
		if err != nil {
			b.refuse(a.correlation, a.options, err)
		} else {
			b.answer(a.correlation, a.options, &streams.BatchAppendResp{
				Result: &streams.BatchAppendResp_Success_{Success: batchSuccess(at)}})
		}
		b.close(a)
		<-b.slots
	}()
}

func (b *batchCall) refuse(correlation *shared.UUID, o *streams.BatchAppendReq_Options, err error) {
	b.answer(correlation, o, &streams.BatchAppendResp{
		Result: &streams.BatchAppendResp_Error{Error: batchError(o, err)}})
}

// answer echoes what the append asked for, as clients expect.
func (b *batchCall) answer(correlation *shared.UUID, o *streams.BatchAppendReq_Options, resp *streams.BatchAppendResp) {
	resp.CorrelationId = correlation
	resp.StreamIdentifier = o.GetStreamIdentifier()
	switch e := o.GetExpectedStreamPosition().(type) {
	case *streams.BatchAppendReq_Options_StreamPosition:
		resp.ExpectedStreamPosition = &streams.BatchAppendResp_StreamPosition{StreamPosition: e.StreamPosition}
	case *streams.BatchAppendReq_Options_NoStream:
		resp.ExpectedStreamPosition = &streams.BatchAppendResp_NoStream{NoStream: &emptypb.Empty{}}
	case *streams.BatchAppendReq_Options_Any:
		resp.ExpectedStreamPosition = &streams.BatchAppendResp_Any{Any: &emptypb.Empty{}}
	case *streams.BatchAppendReq_Options_StreamExists:
		resp.ExpectedStreamPosition = &streams.BatchAppendResp_StreamExists{StreamExists: &emptypb.Empty{}}
	}
	b.sending.Lock()
	defer b.sending.Unlock()
	if b.sendErr == nil {
		b.sendErr = b.stream.Send(resp)
	}
}

// batchPatience is how long the client lets an append take.
func batchPatience(o *streams.BatchAppendReq_Options) time.Duration {
	switch d := o.GetDeadlineOption().(type) {
	case *streams.BatchAppendReq_Options_Deadline:
		return min(d.Deadline.AsDuration(), batchDeadline)
	case *streams.BatchAppendReq_Options_Deadline_21_10_0:
		return min(time.Until(d.Deadline_21_10_0.AsTime()), batchDeadline)
	default:
		return batchDeadline
	}
}

func batchSuccess(at appended) *streams.BatchAppendResp_Success {
	ok := &streams.BatchAppendResp_Success{
		CurrentRevisionOption: &streams.BatchAppendResp_Success_NoStream{NoStream: &emptypb.Empty{}},
		PositionOption:        &streams.BatchAppendResp_Success_NoPosition{NoPosition: &emptypb.Empty{}},
	}
	if at.Revision >= 0 {
		ok.CurrentRevisionOption = &streams.BatchAppendResp_Success_CurrentRevision{CurrentRevision: uint64(at.Revision)}
	}
	if at.Position > 0 {
		ok.PositionOption = &streams.BatchAppendResp_Success_Position{
			Position: &shared.AllStreamPosition{CommitPosition: at.Position, PreparePosition: at.Position}}
	}
	return ok
}

// batchError is an error inside the answer: a code, EventStoreDB's name for it
// and one detail, whose type clients recognise (Status.cs of the server).
func batchError(o *streams.BatchAppendReq_Options, err error) *spb.Status {
	var wrong *wrongRevision
	switch {
	case errors.As(err, &wrong):
		return batchStatus(codes.AlreadyExists, "WrongExpectedVersion", wrongVersionDetail(o, wrong))
	case errors.Is(err, command.ErrStreamDeleted):
		return batchStatus(codes.NotFound, "StreamDeleted", &shared.StreamDeleted{StreamIdentifier: o.GetStreamIdentifier()})
	case errors.Is(err, command.ErrTooLarge), refusedAs(err, exceptionAppendTooLarge):
		return batchStatus(codes.InvalidArgument, "MaximumAppendSizeExceeded", &shared.MaximumAppendSizeExceeded{MaxAppendSize: command.MaxAppendBytes})
	case refusedAs(err, exceptionAccessDenied):
		return batchStatus(codes.PermissionDenied, "AccessDenied", &shared.AccessDenied{})
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return batchStatus(codes.DeadlineExceeded, "Timeout", &shared.Timeout{})
	case errors.Is(err, command.ErrReadOnly):
		return status.Convert(readOnly()).Proto()
	case status.Code(err) == codes.InvalidArgument:
		return batchStatus(codes.InvalidArgument, "BadRequest", &shared.BadRequest{Message: err.Error()})
	default:
		return batchStatus(codes.Unknown, "Unknown", &shared.Unknown{})
	}
}

func refusedAs(err error, exception string) bool {
	var r *refused
	return errors.As(err, &r) && len(r.trailer.Get(exceptionKey)) == 1 && r.trailer.Get(exceptionKey)[0] == exception
}

func wrongVersionDetail(o *streams.BatchAppendReq_Options, w *wrongRevision) *shared.WrongExpectedVersion {
	d := &shared.WrongExpectedVersion{
		CurrentStreamRevisionOption: &shared.WrongExpectedVersion_CurrentNoStream{CurrentNoStream: &emptypb.Empty{}},
	}
	if w.Actual >= 0 {
		d.CurrentStreamRevisionOption = &shared.WrongExpectedVersion_CurrentStreamRevision{CurrentStreamRevision: uint64(w.Actual)}
	}
	switch e := o.GetExpectedStreamPosition().(type) {
	case *streams.BatchAppendReq_Options_StreamPosition:
		d.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedStreamPosition{ExpectedStreamPosition: e.StreamPosition}
	case *streams.BatchAppendReq_Options_NoStream:
		d.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: &emptypb.Empty{}}
	case *streams.BatchAppendReq_Options_Any:
		d.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedAny{ExpectedAny: &emptypb.Empty{}}
	case *streams.BatchAppendReq_Options_StreamExists:
		d.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: &emptypb.Empty{}}
	}
	return d
}

func batchStatus(code codes.Code, name string, detail proto.Message) *spb.Status {
	packed, err := anypb.New(detail)
	if err != nil {
		return &spb.Status{Code: int32(codes.Internal), Message: err.Error()}
	}
	return &spb.Status{Code: int32(code), Message: name, Details: []*anypb.Any{packed}}
}
