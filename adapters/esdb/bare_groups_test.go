package esdb

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"sync/atomic"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"kicau/adapters/command"
)

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
