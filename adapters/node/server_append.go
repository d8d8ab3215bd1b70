package node

import (
	"context"
	"errors"
	"io"
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
)

// service is EventStoreDB's Streams service over an engine.
type service struct {
	streams.UnimplementedStreamsServer
	engine engine
	users  *users // nil: everyone may do everything
	lists  accessLists
	meters *callMeters
	// stopping is done when the server closes: subscriptions and long reads
	// end, appends that were taken finish.
	stopping context.Context
	stop     context.CancelCauseFunc
}

// Append takes an append: its options, then its events, and answers when they
// are safe. A conflict is an answer, not an error.
func (s *service) Append(stream streams.Streams_AppendServer) error {
	req, err := stream.Recv()
	if err != nil {
		return err
	}
	o := req.GetOptions()
	if o == nil {
		return invalid("an append begins with its options")
	}
	name, err := writableStream(o.GetStreamIdentifier())
	if err != nil {
		return err
	}
	if err := s.allow(stream.Context(), opWrite, name); err != nil {
		return err
	}
	var expect int64
	switch e := o.GetExpectedStreamRevision().(type) {
	case *streams.AppendReq_Options_Revision:
		if expect, err = exactRevision(e.Revision); err != nil {
			return err
		}
	case *streams.AppendReq_Options_NoStream:
		expect = expectNoStream
	case *streams.AppendReq_Options_Any:
		expect = expectAny
	case *streams.AppendReq_Options_StreamExists:
		expect = expectExists
	default:
		return invalid("the expected revision of %s is missing", name)
	}
	var p proposedEvents
	for {
		req, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		m := req.GetProposedMessage()
		if m == nil {
			return invalid("only events follow the options of an append")
		}
		if err := p.add(m); err != nil {
			return err
		}
	}
	done, err := s.engine.append(stream.Context(), name, expect, p.events)
	var wrong *wrongRevision
	if errors.As(err, &wrong) {
		return stream.SendAndClose(conflict(expect, wrong.Actual))
	}
	if err != nil {
		return engineError("Append", name, err)
	}
	return stream.SendAndClose(success(done))
}

func success(done appended) *streams.AppendResp {
	ok := &streams.AppendResp_Success{
		CurrentRevisionOption: &streams.AppendResp_Success_NoStream{NoStream: &shared.Empty{}},
		PositionOption:        &streams.AppendResp_Success_NoPosition{NoPosition: &shared.Empty{}},
	}
	if done.Revision >= 0 {
		ok.CurrentRevisionOption = &streams.AppendResp_Success_CurrentRevision{CurrentRevision: uint64(done.Revision)}
	}
	if done.Position > 0 {
		ok.PositionOption = &streams.AppendResp_Success_Position{
			Position: &streams.AppendResp_Position{CommitPosition: done.Position, PreparePosition: done.Position}}
	}
	return &streams.AppendResp{Result: &streams.AppendResp_Success_{Success: ok}}
}

// conflict fills the fields of both generations of clients: those with a
// version in their name are of 20.6.
func conflict(expect, actual int64) *streams.AppendResp {
	w := &streams.AppendResp_WrongExpectedVersion{}
	switch expect {
	case expectAny:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedAny{ExpectedAny: &shared.Empty{}}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_Any_20_6_0{Any_20_6_0: &shared.Empty{}}
	case expectExists:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: &shared.Empty{}}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_StreamExists_20_6_0{StreamExists_20_6_0: &shared.Empty{}}
	case expectNoStream:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: &shared.Empty{}}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0{ExpectedRevision_20_6_0: math.MaxUint64}
	default:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision{ExpectedRevision: uint64(expect)}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0{ExpectedRevision_20_6_0: uint64(expect)}
	}
	if actual < 0 {
		w.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentNoStream{CurrentNoStream: &shared.Empty{}}
		w.CurrentRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_NoStream_20_6_0{NoStream_20_6_0: &shared.Empty{}}
	} else {
		w.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentRevision{CurrentRevision: uint64(actual)}
		w.CurrentRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_CurrentRevision_20_6_0{CurrentRevision_20_6_0: uint64(actual)}
	}
	return &streams.AppendResp{Result: &streams.AppendResp_WrongExpectedVersion_{WrongExpectedVersion: w}}
}

// Delete hides a stream's events; it may be written again later.
func (s *service) Delete(ctx context.Context, req *streams.DeleteReq) (*streams.DeleteResp, error) {
	o := req.GetOptions()
	name, err := writableStream(o.GetStreamIdentifier())
	if err != nil {
		return nil, err
	}
	if err := s.allow(ctx, opDelete, name); err != nil {
		return nil, err
	}
	var expect int64
	switch e := o.GetExpectedStreamRevision().(type) {
	case *streams.DeleteReq_Options_Revision:
		if expect, err = exactRevision(e.Revision); err != nil {
			return nil, err
		}
	case *streams.DeleteReq_Options_NoStream:
		expect = expectNoStream
	case *streams.DeleteReq_Options_Any:
		expect = expectAny
	case *streams.DeleteReq_Options_StreamExists:
		expect = expectExists
	default:
		return nil, invalid("the expected revision of %s is missing", name)
	}
	at, err := s.engine.delete(ctx, name, expect, false)
	if err != nil {
		return nil, engineError("Delete", name, err)
	}
	return &streams.DeleteResp{PositionOption: &streams.DeleteResp_Position_{
		Position: &streams.DeleteResp_Position{CommitPosition: at, PreparePosition: at}}}, nil
}

// Tombstone ends a stream for good.
func (s *service) Tombstone(ctx context.Context, req *streams.TombstoneReq) (*streams.TombstoneResp, error) {
	o := req.GetOptions()
	name, err := writableStream(o.GetStreamIdentifier())
	if err != nil {
		return nil, err
	}
	if err := s.allow(ctx, opDelete, name); err != nil {
		return nil, err
	}
	var expect int64
	switch e := o.GetExpectedStreamRevision().(type) {
	case *streams.TombstoneReq_Options_Revision:
		if expect, err = exactRevision(e.Revision); err != nil {
			return nil, err
		}
	case *streams.TombstoneReq_Options_NoStream:
		expect = expectNoStream
	case *streams.TombstoneReq_Options_Any:
		expect = expectAny
	case *streams.TombstoneReq_Options_StreamExists:
		expect = expectExists
	default:
		return nil, invalid("the expected revision of %s is missing", name)
	}
	at, err := s.engine.delete(ctx, name, expect, true)
	if err != nil {
		return nil, engineError("Tombstone", name, err)
	}
	return &streams.TombstoneResp{PositionOption: &streams.TombstoneResp_Position_{
		Position: &streams.TombstoneResp_Position{CommitPosition: at, PreparePosition: at}}}, nil
}
