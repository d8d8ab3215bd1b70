package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
)

// TestIndexOfAnOlderLog: a log that was written before there was an index gets
// one when it is opened.
func TestIndexOfAnOlderLog(t *testing.T) {
	fs := vfs.NewMem()
	s := openMem(t, fs)
	mustAppend(t, s, "order-1", expectNoStream, someEvents(50))
	closeStore(t, s)
	withPebble(t, fs, func(db *pebble.DB) error {
		return errors.Join(db.Delete(indexKey, pebble.Sync), db.DeleteRange([]byte{postingKind}, []byte{postingKind + 1}, pebble.Sync))
	})
	s = openMem(t, fs)
	defer closeStore(t, s)
	links, err := take(s.readStream(t.Context(), "$ce-order", false, 0))
	if err != nil || len(links) != 50 {
		t.Errorf("$ce-order has %d events, %v, want 50", len(links), err)
	}
}

// TestIndexLinkIDs: a link is the same event for ever, or acks of it would miss.
func TestIndexLinkIDs(t *testing.T) {
	fs := vfs.NewMem()
	var ids [2]uuid.UUID
	s := openMem(t, fs)
	mustAppend(t, s, "order-1", expectNoStream, someEvents(1))
	for i := range ids {
		links, err := take(s.readStream(t.Context(), "$ce-order", false, 0))
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = links[0].ID
		var meta linkMetadata
		if err := json.Unmarshal(links[0].Metadata, &meta); err != nil || meta.Original != "order-1" || meta.Commit != 1 {
			t.Errorf("metadata of the link is %s, %v", links[0].Metadata, err)
		}
		closeStore(t, s)
		s = openMem(t, fs)
	}
	closeStore(t, s)
	if ids[0] != ids[1] || ids[0] == uuid.Nil {
		t.Errorf("the link was %s and is %s", ids[0], ids[1])
	}
}

// Index streams through the official client: read, resolved, subscribed to, as a
// group; and nobody writes to them.
func TestClientReadsIndexStreams(t *testing.T) {
	s := serve(t)
	s.fill("order-1", 2)
	s.fill("order-2", 1)
	var got []string
	for _, resolve := range []bool{false, true} {
		r, err := s.client.ReadStream(s.waitFor(), "$ce-order", esdb.ReadStreamOptions{ResolveLinkTos: resolve}, 10)
		s.must(err)
		for range 3 {
			e, err := r.Recv()
			s.must(err)
			if resolve {
				got = append(got, fmt.Sprint(e.Event.EventNumber, "@", e.Event.StreamID, " through ", e.Link.EventNumber))
			} else {
				got = append(got, string(e.Event.Data))
			}
		}
		r.Close()
	}
	if want := "0@order-1 1@order-1 0@order-2 0@order-1 through 0 1@order-1 through 1 0@order-2 through 2"; strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
	sub, err := s.client.SubscribeToStream(s.waitFor(), "$et-OrderPlaced", esdb.SubscribeToStreamOptions{From: esdb.Revision(2), ResolveLinkTos: true})
	s.must(err)
	defer sub.Close()
	s.must(s.client.CreatePersistentSubscription(s.waitFor(), "$ce-order", "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}, Settings: groupDefaults(true)}))
	c := s.consume("$ce-order", "g", 10)
	for range 3 {
		e := c.next()
		s.must(c.sub.Ack(e.Event))
	}
	s.fill("order-3", 1)
	for {
		e := sub.Recv()
		if e.SubscriptionDropped != nil {
			t.Fatal(e.SubscriptionDropped.Error)
		}
		if e.EventAppeared != nil {
			if e.EventAppeared.Event.StreamID != "order-3" {
				t.Errorf("the subscription got %s", e.EventAppeared.Event.StreamID)
			}
			break
		}
	}
	if e := c.next(); e.Event.Event.StreamID != "order-3" || e.Event.Link.StreamID != "$ce-order" {
		t.Errorf("the group got %+v", e.Event)
	}
	_, err = s.client.AppendToStream(s.waitFor(), "$ce-order", esdb.AppendToStreamOptions{}, clientEvent())
	s.wantCode("an append to an index stream", err, esdb.ErrorCodeAccessDenied)
}

func groupDefaults(resolve bool) *esdb.PersistentSubscriptionSettings {
	s := esdb.SubscriptionSettingsDefault()
	s.ResolveLinkTos = resolve
	return &s
}

// TestIndexUpToTheHead: an index stream does not end beyond the head, even when
// its blocks already do: an index is written before readers are told.
func TestIndexUpToTheHead(t *testing.T) {
	s, err := openStore(Options{Dir: "data", Logger: quiet, fs: vfs.NewMem(), flushAfter: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	for range 2 {
		mustAppend(t, s, "order-1", expectAny, someEvents(3))
	}
	if _, err := s.postings.settle(); err != nil {
		t.Fatal(err)
	}
	defer s.tip.position.Store(s.head())
	for head := range uint64(7) {
		s.tip.position.Store(head)
		st, err := s.state("$ce-order")
		if err != nil {
			t.Fatal(err)
		}
		links, err := take(s.readStream(t.Context(), "$ce-order", false, 0))
		if err != nil || st.Last != int64(head)-1 || len(links) != int(head) {
			t.Errorf("at head %d it is %+v and has %d events, %v", head, st, len(links), err)
		}
	}
}
