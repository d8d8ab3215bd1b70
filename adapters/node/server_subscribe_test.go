package node

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
)

// subscribed is a subscription whose messages are told as words.
type subscribed struct {
	*served
	call streams.Streams_ReadClient
	ids  []uuid.UUID
}

func (s *served) subscribe(req *streams.ReadReq) *subscribed {
	s.Helper()
	call, err := s.raw.Read(s.waitFor(), req)
	s.must(err)
	sub := &subscribed{served: s, call: call}
	if first, err := call.Recv(); err != nil || first.GetConfirmation().GetSubscriptionId() == "" {
		s.Fatalf("a subscription began with %v, %v, want its confirmation", first, err)
	}
	return sub
}

// next is one message: "event 3" (its position), "checkpoint 5", "caught up".
func (s *subscribed) next() string {
	s.Helper()
	resp, err := s.call.Recv()
	s.must(err)
	switch c := resp.Content.(type) {
	case *streams.ReadResp_Event:
		id, err := parseID(c.Event.GetEvent().GetId())
		s.must(err)
		s.ids = append(s.ids, id)
		return fmt.Sprint("event ", c.Event.GetCommitPosition())
	case *streams.ReadResp_Checkpoint_:
		return fmt.Sprint("checkpoint ", c.Checkpoint.GetCommitPosition())
	case *streams.ReadResp_CaughtUp_:
		return "caught up"
	default:
		s.Fatalf("got %v in a subscription", resp)
		return ""
	}
}

func (s *subscribed) want(what string, want ...string) {
	s.Helper()
	for i, w := range want {
		if got := s.next(); got != w {
			s.Fatalf("%s: message %d is %q, want %q", what, i, got, w)
		}
	}
}

func TestSubscribeToAll(t *testing.T) {
	s := serve(t)
	s.write("a", "A", 3)
	start := s.subscribe(readAll(subscription, fromStart))
	start.want("from the start", "event 1", "event 2", "event 3", "caught up")
	after := s.subscribe(readAll(subscription, at(2)))
	after.want("after a position", "event 3", "caught up")
	last := s.subscribe(readAll(subscription, at(3)))
	last.want("after the last", "caught up")
	end := s.subscribe(readAll(subscription, fromEnd))
	end.want("from the end", "caught up")
	s.write("b", "B", 2)
	for _, sub := range []*subscribed{start, after, last, end} {
		sub.want("live", "event 4", "event 5")
	}
}

func TestSubscribeToAllFiltered(t *testing.T) {
	s := serve(t)
	none := byStream(&expression{Prefix: []string{"none"}}) // checkpoint each 20
	empty := s.subscribe(readAll(subscription, fromStart, filtered(none)))
	empty.want("an empty log", "caught up")
	for i := range 45 {
		s.write([]string{"a", "b", "b"}[i%3], "T", 1)
	}
	s.subscribe(readAll(subscription, fromStart, filtered(none))).
		want("nothing passes", "checkpoint 20", "checkpoint 40", "checkpoint 45", "caught up")
	empty.want("nothing passes, live", "checkpoint 20", "checkpoint 40")
	s.subscribe(readAll(subscription, at(40), filtered(byStream(&expression{Regex: "^a"})))).
		want("some pass", "event 43", "checkpoint 45", "caught up")
	live := s.subscribe(readAll(subscription, at(25), filtered(none)))
	live.want("a checkpoint that falls on the end is sent once", "checkpoint 45", "caught up")
	s.write("b", "T", 19)
	s.write("none", "T", 1)
	live.want("live", "event 65", "checkpoint 65")
}

func TestSubscribeToStream(t *testing.T) {
	s := serve(t)
	missing := s.subscribe(readStream("a", subscription, fromStart))
	missing.want("a missing stream", "caught up")
	end := s.subscribe(readStream("a", subscription, fromEnd))
	end.want("from the end of a missing stream", "caught up")
	first := s.write("a", "A", 3)
	s.write("b", "A", 1)
	missing.want("live", "event 1", "event 2", "event 3")
	end.want("live", "event 1", "event 2", "event 3")
	after := s.subscribe(readStream("a", subscription, at(1)))
	after.want("after a revision", "event 3", "caught up")
	future := s.subscribe(readStream("a", subscription, at(3)))
	future.want("after a revision that is not there yet", "caught up")
	second := s.write("a", "A", 2) // 5, 6
	future.want("live", "event 6")
	after.want("live", "event 5", "event 6")
	missing.want("live", "event 5", "event 6")
	if want := slices.Concat(first, second); !slices.Equal(missing.ids, want) {
		t.Errorf("got %v, want %v", missing.ids, want)
	}

	// A soft delete is not seen, what comes after it is; a tombstone is the end.
	_, err := s.node.engine.delete(s.waitFor(), "a", expectAny, false) // 7
	s.must(err)
	again := s.write("a", "A", 1)
	missing.next()
	if got := missing.ids[len(missing.ids)-1]; got != again[0] {
		t.Errorf("after a soft delete got event %v, want %v", got, again[0])
	}
	_, err = s.node.engine.delete(s.waitFor(), "a", expectAny, true)
	s.must(err)
	tombstone := fmt.Sprint("event ", s.node.engine.head())
	for got := missing.next(); got != tombstone; got = missing.next() {
	}
	_, err = missing.call.Recv()
	s.wantRefusal("the end of a tombstoned stream", err, missing.call.Trailer(), codes.FailedPrecondition,
		exceptionKey, exceptionStreamDeleted, trailerStream, "a")
	for _, from := range []*place{fromStart, at(1), fromEnd} {
		late := s.subscribe(readStream("a", subscription, from))
		_, err = late.call.Recv()
		s.wantRefusal("subscribed to a tombstoned stream", err, late.call.Trailer(), codes.FailedPrecondition, exceptionKey, exceptionStreamDeleted)
	}
}

// TestSubscribeResolvesLinks: positions are those of the links.
func TestSubscribeResolvesLinks(t *testing.T) {
	s := serve(t)
	target := s.write("orders", "A", 1)
	sub := s.subscribe(readStream("index", subscription, fromStart, resolveLinks))
	sub.want("nothing yet", "caught up")
	_, err := s.node.engine.append(s.waitFor(), "index", expectNoStream,
		[]proposed{{ID: uuid.New(), Type: "$>", ContentType: octetContent, Data: []byte("0@orders")}})
	s.must(err)
	sub.want("live", "event 2")
	if !slices.Equal(sub.ids, target) {
		t.Errorf("got %v, want the link's target %v", sub.ids, target)
	}
}

// TestSubscriptionsOfClientsThatLeave end on the server as well.
func TestSubscriptionsOfClientsThatLeave(t *testing.T) {
	s := serve(t)
	s.write("a", "A", 1)
	ctx, cancel := context.WithCancel(s.waitFor())
	for range 10 {
		call, err := s.raw.Read(ctx, readAll(subscription, fromStart))
		s.must(err)
		_, err = call.Recv()
		s.must(err)
	}
	cancel()
	s.must(s.conn.Close())
	s.must(s.client.Close())
	s.server.grpc.GracefulStop() // returns when no call is left
}
