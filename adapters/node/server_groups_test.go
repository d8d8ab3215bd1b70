package node

import (
	"context"
	"fmt"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// Persistent subscriptions through the official client.

func (s *served) fill(stream string, n int) {
	s.Helper()
	for range n {
		_, err := s.client.AppendToStream(s.waitFor(), stream, esdb.AppendToStreamOptions{}, clientEvent())
		s.must(err)
	}
}

func (s *served) wantCode(what string, err error, code esdb.ErrorCode) {
	s.Helper()
	if e, ok := esdb.FromError(err); ok || e.Code() != code {
		s.Errorf("%s: got %v, want code %v", what, err, code)
	}
}

// consumerOf is a consumer of a group, in the words of a test.
type consumerOf struct {
	*served
	sub *esdb.PersistentSubscription
}

func (s *served) consume(stream, group string, buffer uint32) *consumerOf {
	s.Helper()
	o := esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: buffer}
	var sub *esdb.PersistentSubscription
	var err error
	if stream == allStream {
		sub, err = s.client.SubscribeToPersistentSubscriptionToAll(context.Background(), group, o)
	} else {
		sub, err = s.client.SubscribeToPersistentSubscription(context.Background(), stream, group, o)
	}
	s.must(err)
	s.Cleanup(func() { sub.Close() })
	return &consumerOf{s, sub}
}

func (c *consumerOf) next() *esdb.EventAppeared {
	c.Helper()
	e := c.sub.Recv()
	if e.EventAppeared == nil {
		c.Fatalf("no event came: %+v", e.SubscriptionDropped)
	}
	return e.EventAppeared
}

func (c *consumerOf) dropped() error {
	c.Helper()
	e := c.sub.Recv()
	if e.SubscriptionDropped == nil {
		c.Fatalf("an event came: %v", e.EventAppeared)
	}
	return e.SubscriptionDropped.Error
}

func TestClientSharesAStream(t *testing.T) {
	s := serve(t)
	s.fill("order-1", 3)
	o := esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}}
	s.must(s.client.CreatePersistentSubscription(s.waitFor(), "order-1", "g", o))
	s.wantCode("a group that is there", s.client.CreatePersistentSubscription(s.waitFor(), "order-1", "g", o), esdb.ErrorCodeResourceAlreadyExists)

	c := s.consume("order-1", "g", 10)
	for i := range uint64(3) {
		e := c.next()
		if e.Event.Event.EventNumber != i || e.RetryCount != 0 {
			t.Errorf("delivery %d is of revision %d with %d retries", i, e.Event.Event.EventNumber, e.RetryCount)
		}
		switch i {
		case 0:
			s.must(c.sub.Ack(e.Event))
		case 1:
			s.must(c.sub.Nack("later", esdb.NackActionRetry, e.Event))
		case 2:
			s.must(c.sub.Nack("poison", esdb.NackActionPark, e.Event))
		}
	}
	again := c.next()
	if again.Event.Event.EventNumber != 1 || again.RetryCount != 1 {
		t.Errorf("came again: revision %d, retry %d, want 1 and 1", again.Event.Event.EventNumber, again.RetryCount)
	}
	s.must(c.sub.Ack(again.Event))

	info := s.infoUntil("order-1", "g", func(i *esdb.PersistentSubscriptionInfo) bool { return i.Stats.ParkedMessagesCount == 1 })
	if info.EventSource != "order-1" || info.GroupName != "g" || len(info.Connections) != 1 || info.Stats.TotalItems != 4 {
		t.Errorf("info is %+v with %+v", info, info.Stats)
	}
	s.must(s.client.ReplayParkedMessages(s.waitFor(), "order-1", "g", esdb.ReplayParkedMessagesOptions{}))
	replayed := c.next()
	if replayed.Event.Event.EventNumber != 2 || replayed.Event.Link == nil {
		t.Errorf("replayed was %+v", replayed.Event)
	}
	s.must(c.sub.Ack(replayed.Event))
	s.infoUntil("order-1", "g", func(i *esdb.PersistentSubscriptionInfo) bool { return i.Stats.ParkedMessagesCount == 0 })

	s.must(s.client.UpdatePersistentSubscription(s.waitFor(), "order-1", "g", o))
	if err := c.dropped(); err == nil {
		t.Error("an update let the consumer go without a reason")
	}
	s.must(s.client.DeletePersistentSubscription(s.waitFor(), "order-1", "g", esdb.DeletePersistentSubscriptionOptions{}))
	s.wantCode("a group that is gone", s.client.DeletePersistentSubscription(s.waitFor(), "order-1", "g", esdb.DeletePersistentSubscriptionOptions{}), esdb.ErrorCodeResourceNotFound)
}

// infoUntil asks until it is so: what a consumer says is not answered.
func (s *served) infoUntil(stream, group string, so func(*esdb.PersistentSubscriptionInfo) bool) *esdb.PersistentSubscriptionInfo {
	s.Helper()
	ctx := s.waitFor()
	ask := func() (*esdb.PersistentSubscriptionInfo, error) {
		return s.client.GetPersistentSubscriptionInfo(ctx, stream, group, esdb.GetPersistentSubscriptionOptions{})
	}
	if stream == allStream {
		ask = func() (*esdb.PersistentSubscriptionInfo, error) {
			return s.client.GetPersistentSubscriptionInfoToAll(ctx, group, esdb.GetPersistentSubscriptionOptions{})
		}
	}
	for {
		info, err := ask()
		s.must(err)
		if so(info) {
			return info
		}
	}
}

func TestClientSharesTheLog(t *testing.T) {
	s := serve(t)
	s.fill("order-1", 2)
	s.fill("offer-1", 2)
	s.must(s.client.CreatePersistentSubscriptionToAll(s.waitFor(), "g", esdb.PersistentAllSubscriptionOptions{
		StartFrom: esdb.Start{}, Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"offer-"}}}))
	c := s.consume(allStream, "g", 10)
	for i := range uint64(2) {
		e := c.next()
		if e.Event.Event.StreamID != "offer-1" || e.Event.Event.Position.Commit != 3+i {
			t.Errorf("delivery %d is %s at %v", i, e.Event.Event.StreamID, e.Event.Event.Position)
		}
		s.must(c.sub.Ack(e.Event))
	}
	all, err := s.client.ListAllPersistentSubscriptions(s.waitFor(), esdb.ListPersistentSubscriptionsOptions{})
	s.must(err)
	if len(all) != 1 || all[0].EventSource != allStream {
		t.Errorf("the list is %+v", all)
	}
	_, err = s.client.ListPersistentSubscriptionsForStream(s.waitFor(), "order-1", esdb.ListPersistentSubscriptionsOptions{})
	s.wantCode("groups of a stream without any", err, esdb.ErrorCodeResourceNotFound)
	s.must(s.client.RestartPersistentSubscriptionSubsystem(s.waitFor(), esdb.RestartPersistentSubscriptionSubsystemOptions{}))
}

// The trailers by which clients know what went wrong.
func TestGroupRefusals(t *testing.T) {
	s := serve(t)
	raw := persistent.NewPersistentSubscriptionsClient(s.conn)
	settings := func(change ...func(*persistent.CreateReq_Settings)) *persistent.CreateReq {
		set := &persistent.CreateReq_Settings{ReadBatchSize: 2, HistoryBufferSize: 5, LiveBufferSize: 5, MaxSubscriberCount: 1, ConsumerStrategy: roundRobin}
		for _, c := range change {
			c(set)
		}
		return &persistent.CreateReq{Options: &persistent.CreateReq_Options{
			StreamOption: &persistent.CreateReq_Options_Stream{Stream: &persistent.CreateReq_StreamOptions{
				StreamIdentifier: identifier("s"), RevisionOption: &persistent.CreateReq_StreamOptions_Start{Start: &shared.Empty{}}}},
			GroupName: "g", Settings: set}}
	}
	create := func(req *persistent.CreateReq) (metadata.MD, error) {
		var trailer metadata.MD
		_, err := raw.Create(s.waitFor(), req, grpc.Trailer(&trailer))
		return trailer, err
	}
	trailer, err := create(settings(func(c *persistent.CreateReq_Settings) { c.ReadBatchSize = 5 }))
	s.wantRefusal("a batch as large as the buffer", err, trailer, codes.Internal, exceptionKey, exceptionGroupFailed, trailerStream, "s", trailerGroup, "g")
	trailer, err = create(settings(func(c *persistent.CreateReq_Settings) { c.ConsumerStrategy = "Lottery" }))
	s.wantRefusal("a strategy nobody knows", err, trailer, codes.Internal, exceptionKey, exceptionGroupFailed)
	_, err = create(settings())
	s.must(err)
	trailer, err = create(settings())
	s.wantRefusal("a group that is there", err, trailer, codes.AlreadyExists, exceptionKey, exceptionGroupExists)

	read := func(group string) (persistent.PersistentSubscriptions_ReadClient, error) {
		call, err := raw.Read(s.waitFor())
		s.must(err)
		s.must(call.Send(&persistent.ReadReq{Content: &persistent.ReadReq_Options_{Options: &persistent.ReadReq_Options{
			StreamOption: &persistent.ReadReq_Options_StreamIdentifier{StreamIdentifier: identifier("s")}, GroupName: group, BufferSize: 1,
			UuidOption: &persistent.ReadReq_Options_UUIDOption{Content: &persistent.ReadReq_Options_UUIDOption_String_{String_: &shared.Empty{}}}}}}))
		_, err = call.Recv()
		return call, err
	}
	call, err := read("nobody")
	s.wantRefusal("a group that is not there", err, call.Trailer(), codes.NotFound, exceptionKey, exceptionGroupMissing, trailerGroup, "nobody")
	first, err := read("g")
	s.must(err)
	call, err = read("g")
	s.wantRefusal("one consumer too many", err, call.Trailer(), codes.FailedPrecondition, exceptionKey, exceptionGroupFull)
	_, err = raw.Delete(s.waitFor(), &persistent.DeleteReq{Options: &persistent.DeleteReq_Options{
		StreamOption: &persistent.DeleteReq_Options_StreamIdentifier{StreamIdentifier: identifier("s")}, GroupName: "g"}})
	s.must(err)
	_, err = first.Recv()
	s.wantRefusal("the consumer of a group that was deleted", err, first.Trailer(), codes.NotFound, exceptionKey, exceptionGroupMissing)
}

// TestDeliveryOnTheWire: a delivery written by hand reads as the generated type
// has it.
func TestDeliveryOnTheWire(t *testing.T) {
	s := serve(t)
	s.fill("s", 1)
	s.must(s.client.CreatePersistentSubscription(s.waitFor(), "s", "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}}))
	raw := persistent.NewPersistentSubscriptionsClient(s.conn)
	call, err := raw.Read(s.waitFor())
	s.must(err)
	s.must(call.Send(&persistent.ReadReq{Content: &persistent.ReadReq_Options_{Options: &persistent.ReadReq_Options{
		StreamOption: &persistent.ReadReq_Options_StreamIdentifier{StreamIdentifier: identifier("s")}, GroupName: "g", BufferSize: 1,
		UuidOption: &persistent.ReadReq_Options_UUIDOption{Content: &persistent.ReadReq_Options_UUIDOption_Structured{Structured: &shared.Empty{}}}}}}))
	_, err = call.Recv()
	s.must(err)
	got, err := call.Recv()
	s.must(err)
	e := got.GetEvent()
	if _, said := e.GetCount().(*persistent.ReadResp_ReadEvent_RetryCount); !said || e.GetRetryCount() != 0 {
		t.Errorf("the count of retries is %v, want 0, said", e.GetCount())
	}
	if len(e.ProtoReflect().GetUnknown()) > 0 || e.GetCommitPosition() != 1 || fmt.Sprint(e.GetEvent().GetMetadata()["type"]) != "OrderPlaced" {
		t.Errorf("the delivery reads as %v", e)
	}
}
