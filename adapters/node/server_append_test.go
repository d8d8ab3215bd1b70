package node

import (
	"errors"
	"math"
	"strconv"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"kicau/adapters/command"
)

func appendOptions(stream string, expect int64) *streams.AppendReq {
	o := &streams.AppendReq_Options{StreamIdentifier: identifier(stream)}
	switch expect {
	case expectAny:
		o.ExpectedStreamRevision = &streams.AppendReq_Options_Any{Any: none}
	case expectNoStream:
		o.ExpectedStreamRevision = &streams.AppendReq_Options_NoStream{NoStream: none}
	case expectExists:
		o.ExpectedStreamRevision = &streams.AppendReq_Options_StreamExists{StreamExists: none}
	default:
		o.ExpectedStreamRevision = &streams.AppendReq_Options_Revision{Revision: uint64(expect)}
	}
	return &streams.AppendReq{Content: &streams.AppendReq_Options_{Options: o}}
}

func appendEvent(change ...func(*streams.AppendReq_ProposedMessage)) *streams.AppendReq {
	m := &streams.AppendReq_ProposedMessage{
		Id:       structuredID(uuid.New()),
		Metadata: map[string]string{"type": "T", "content-type": "application/json"},
		Data:     []byte("{}"),
	}
	for _, c := range change {
		c(m)
	}
	return &streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: m}}
}

func (s *served) append(reqs ...*streams.AppendReq) (*streams.AppendResp, metadata.MD, error) {
	s.Helper()
	call, err := s.raw.Append(s.waitFor())
	s.must(err)
	for _, req := range reqs {
		if call.Send(req) != nil {
			break // refused already; the answer says why
		}
	}
	resp, err := call.CloseAndRecv()
	return resp, call.Trailer(), err
}

func TestAppendAnswers(t *testing.T) {
	s := serve(t)
	s.write("three", "A", 3) // positions 1–3
	type wrong = streams.AppendResp_WrongExpectedVersion
	conflict := func(w *wrong) *streams.AppendResp {
		return &streams.AppendResp{Result: &streams.AppendResp_WrongExpectedVersion_{WrongExpectedVersion: w}}
	}
	success := func(revision, position uint64) *streams.AppendResp {
		return &streams.AppendResp{Result: &streams.AppendResp_Success_{Success: &streams.AppendResp_Success{
			CurrentRevisionOption: &streams.AppendResp_Success_CurrentRevision{CurrentRevision: revision},
			PositionOption: &streams.AppendResp_Success_Position{
				Position: &streams.AppendResp_Position{CommitPosition: position, PreparePosition: position}},
		}}}
	}
	at2, at2Old := &streams.AppendResp_WrongExpectedVersion_CurrentRevision{CurrentRevision: 2}, &streams.AppendResp_WrongExpectedVersion_CurrentRevision_20_6_0{CurrentRevision_20_6_0: 2}
	nowhere, nowhereOld := &streams.AppendResp_WrongExpectedVersion_CurrentNoStream{CurrentNoStream: none}, &streams.AppendResp_WrongExpectedVersion_NoStream_20_6_0{NoStream_20_6_0: none}
	string36 := func(m *streams.AppendReq_ProposedMessage) {
		m.Id.Value = generated(&record{ID: uuid.New()}, true).Id.Value
	}
	for _, c := range []struct {
		reqs []*streams.AppendReq
		want *streams.AppendResp
	}{
		{[]*streams.AppendReq{appendOptions("new", expectNoStream), appendEvent(), appendEvent(string36)}, success(1, 5)},
		{[]*streams.AppendReq{appendOptions("three", expectExists), appendEvent()}, success(3, 6)},
		{[]*streams.AppendReq{appendOptions("three", 3), appendEvent()}, success(4, 7)},
		{[]*streams.AppendReq{appendOptions("nothing", expectNoStream)}, &streams.AppendResp{Result: &streams.AppendResp_Success_{Success: &streams.AppendResp_Success{
			CurrentRevisionOption: &streams.AppendResp_Success_NoStream{NoStream: none},
			PositionOption:        &streams.AppendResp_Success_NoPosition{NoPosition: none}}}}},
		{[]*streams.AppendReq{appendOptions("other", 7), appendEvent()}, conflict(&wrong{
			CurrentRevisionOption: nowhere, CurrentRevisionOption_20_6_0: nowhereOld,
			ExpectedRevisionOption:        &streams.AppendResp_WrongExpectedVersion_ExpectedRevision{ExpectedRevision: 7},
			ExpectedRevisionOption_20_6_0: &streams.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0{ExpectedRevision_20_6_0: 7}})},
		{[]*streams.AppendReq{appendOptions("other", expectExists), appendEvent()}, conflict(&wrong{
			CurrentRevisionOption: nowhere, CurrentRevisionOption_20_6_0: nowhereOld,
			ExpectedRevisionOption:        &streams.AppendResp_WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: none},
			ExpectedRevisionOption_20_6_0: &streams.AppendResp_WrongExpectedVersion_StreamExists_20_6_0{StreamExists_20_6_0: none}})},
	} {
		got, _, err := s.append(c.reqs...)
		if err != nil || !proto.Equal(got, c.want) {
			t.Errorf("%v: got %v, %v\nwant %v", c.reqs[0], got, err, c.want)
		}
	}
	s.write("third", "A", 3)
	got, _, err := s.append(appendOptions("third", expectNoStream), appendEvent())
	want := conflict(&wrong{
		CurrentRevisionOption: at2, CurrentRevisionOption_20_6_0: at2Old,
		ExpectedRevisionOption:        &streams.AppendResp_WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: none},
		ExpectedRevisionOption_20_6_0: &streams.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0{ExpectedRevision_20_6_0: math.MaxUint64}})
	if err != nil || !proto.Equal(got, want) {
		t.Errorf("got %v, %v\nwant %v", got, err, want)
	}
}

func TestAppendRefusals(t *testing.T) {
	s := serve(t)
	s.write("gone", "A", 1)
	_, err := s.node.engine.delete(s.waitFor(), "gone", expectAny, true)
	s.must(err)
	type message = streams.AppendReq_ProposedMessage
	ok := appendOptions("x", expectAny)
	noRevision := appendOptions("x", expectAny)
	noRevision.GetOptions().ExpectedStreamRevision = nil
	for what, c := range map[string]struct {
		reqs    []*streams.AppendReq
		code    codes.Code
		trailer []string
	}{
		"no options":        {[]*streams.AppendReq{appendEvent()}, codes.InvalidArgument, nil},
		"empty":             {[]*streams.AppendReq{{}}, codes.InvalidArgument, nil},
		"options twice":     {[]*streams.AppendReq{ok, ok}, codes.InvalidArgument, nil},
		"no expectation":    {[]*streams.AppendReq{noRevision}, codes.InvalidArgument, nil},
		"no stream name":    {[]*streams.AppendReq{appendOptions("", expectAny), appendEvent()}, codes.InvalidArgument, nil},
		"metadata of none":  {[]*streams.AppendReq{appendOptions("$$", expectAny), appendEvent()}, codes.InvalidArgument, nil},
		"the whole log":     {[]*streams.AppendReq{appendOptions("$all", expectAny), appendEvent()}, codes.PermissionDenied, []string{exceptionKey, exceptionAccessDenied}},
		"no revision":       {[]*streams.AppendReq{appendOptions("x", math.MinInt64), appendEvent()}, codes.InvalidArgument, nil},
		"no id":             {[]*streams.AppendReq{ok, appendEvent(func(m *message) { m.Id = nil })}, codes.InvalidArgument, nil},
		"an empty id":       {[]*streams.AppendReq{ok, appendEvent(func(m *message) { m.Id = structuredID(uuid.Nil) })}, codes.InvalidArgument, nil},
		"an id that is not": {[]*streams.AppendReq{ok, appendEvent(func(m *message) { m.Id = generated(&record{}, true).Id; m.Id.Value = nil })}, codes.InvalidArgument, nil},
		"an empty type":     {[]*streams.AppendReq{ok, appendEvent(func(m *message) { m.Metadata["type"] = "" })}, codes.InvalidArgument, nil},
		"no type": {[]*streams.AppendReq{ok, appendEvent(func(m *message) { delete(m.Metadata, "type") })}, codes.InvalidArgument,
			[]string{exceptionKey, exceptionMetadata, trailerNeededMetadata, "type,content-type"}},
		"no content type": {[]*streams.AppendReq{ok, appendEvent(func(m *message) { delete(m.Metadata, "content-type") })}, codes.InvalidArgument,
			[]string{exceptionKey, exceptionMetadata, trailerNeededMetadata, "type,content-type"}},
		"too large": {[]*streams.AppendReq{ok, appendEvent(), appendEvent(func(m *message) { m.Data = make([]byte, command.MaxAppendBytes) })}, codes.InvalidArgument,
			[]string{exceptionKey, exceptionAppendTooLarge, trailerMaxAppend, strconv.Itoa(command.MaxAppendBytes)}},
		"tombstoned": {[]*streams.AppendReq{appendOptions("gone", expectAny), appendEvent()}, codes.FailedPrecondition,
			[]string{exceptionKey, exceptionStreamDeleted, trailerStream, "gone"}},
	} {
		_, trailer, err := s.append(c.reqs...)
		s.wantRefusal(what, err, trailer, c.code, c.trailer...)
	}
	if st, err := s.node.engine.state("x"); err != nil || st.Last != -1 {
		t.Errorf("a refused append left %+v, %v", st, err)
	}
}

func TestReadOnlyIsToldApart(t *testing.T) {
	err := engineError("Append", "x", errors.Join(errors.New("no room"), command.ErrReadOnly))
	var r *refused
	if !errors.As(err, &r) || r.status.Code() != codes.ResourceExhausted || len(r.status.Details()) != 1 {
		t.Errorf("got %v, want RESOURCE_EXHAUSTED with its reason", err)
	}
}

func TestDeleteAndTombstone(t *testing.T) {
	s := serve(t)
	ctx := s.waitFor()
	s.write("a", "A", 3)
	deleteAt := func(stream string, o *streams.DeleteReq_Options) (*streams.DeleteResp, metadata.MD, error) {
		var trailer metadata.MD
		o.StreamIdentifier = identifier(stream)
		resp, err := s.raw.Delete(ctx, &streams.DeleteReq{Options: o}, grpc.Trailer(&trailer))
		return resp, trailer, err
	}
	tombstoneAt := func(stream string, o *streams.TombstoneReq_Options) (*streams.TombstoneResp, metadata.MD, error) {
		var trailer metadata.MD
		o.StreamIdentifier = identifier(stream)
		resp, err := s.raw.Tombstone(ctx, &streams.TombstoneReq{Options: o}, grpc.Trailer(&trailer))
		return resp, trailer, err
	}
	_, trailer, err := deleteAt("a", &streams.DeleteReq_Options{ExpectedStreamRevision: &streams.DeleteReq_Options_Revision{Revision: 1}})
	s.wantRefusal("delete at the wrong revision", err, trailer, codes.FailedPrecondition,
		exceptionKey, exceptionWrongVersion, trailerStream, "a", trailerExpected, "1", trailerActual, "2")
	_, trailer, err = tombstoneAt("a", &streams.TombstoneReq_Options{ExpectedStreamRevision: &streams.TombstoneReq_Options_NoStream{NoStream: none}})
	s.wantRefusal("tombstone of a stream that exists as if it did not", err, trailer, codes.FailedPrecondition,
		exceptionKey, exceptionWrongVersion, trailerStream, "a", trailerExpected, "-1", trailerActual, "2")
	for _, o := range []*streams.DeleteReq_Options{{}, {ExpectedStreamRevision: &streams.DeleteReq_Options_Revision{Revision: math.MaxUint64}}} {
		_, trailer, err = deleteAt("a", o)
		s.wantRefusal("delete without a revision", err, trailer, codes.InvalidArgument)
	}
	_, trailer, err = tombstoneAt("a", &streams.TombstoneReq_Options{})
	s.wantRefusal("tombstone without a revision", err, trailer, codes.InvalidArgument)
	_, trailer, err = tombstoneAt("$all", &streams.TombstoneReq_Options{ExpectedStreamRevision: &streams.TombstoneReq_Options_Any{Any: none}})
	s.wantRefusal("tombstone of the log", err, trailer, codes.PermissionDenied, exceptionKey, exceptionAccessDenied)

	done, _, err := deleteAt("a", &streams.DeleteReq_Options{ExpectedStreamRevision: &streams.DeleteReq_Options_Revision{Revision: 2}})
	s.must(err)
	if done.GetPosition().GetCommitPosition() != 4 {
		t.Errorf("deleted at %v, want position 4", done)
	}
	ids := s.write("a", "A", 2) // lives again, where it ended
	s.wantRead("the stream after its deletion", readStream("a", count(10), fromStart), ids)

	gone, _, err := tombstoneAt("a", &streams.TombstoneReq_Options{ExpectedStreamRevision: &streams.TombstoneReq_Options_StreamExists{StreamExists: none}})
	s.must(err)
	if gone.GetPosition().GetCommitPosition() == 0 {
		t.Errorf("tombstoned at %v", gone)
	}
	_, trailer, err = deleteAt("a", &streams.DeleteReq_Options{ExpectedStreamRevision: &streams.DeleteReq_Options_Any{Any: none}})
	s.wantRefusal("delete of a tombstoned stream", err, trailer, codes.FailedPrecondition, exceptionKey, exceptionStreamDeleted, trailerStream, "a")
}
