package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// indexWorld appends what chance says and knows what each index stream must
// hold: its links' data, in order.
type indexWorld struct {
	fs    *vfs.MemFS
	store *store
	want  map[string][]string
	next  map[string]int
}

func (w *indexWorld) open(t *rapid.T) {
	s, err := openStore(Options{Dir: "data", Logger: quiet, fs: w.fs, flushAfter: 20})
	if err != nil {
		t.Fatal(err)
	}
	w.store = s
}

func (w *indexWorld) link(index, data string) { w.want[index] = append(w.want[index], data) }

func (w *indexWorld) append(t *rapid.T) {
	category := rapid.SampledFrom([]string{"order", "offer"}).Draw(t, "category")
	stream := fmt.Sprint(category, "-", rapid.IntRange(1, 3).Draw(t, "stream"))
	if rapid.IntRange(0, 5).Draw(t, "without category") == 0 {
		category, stream = "", "plain"
	}
	if w.next[stream] < 0 {
		return // tombstoned
	}
	var events []proposed
	for range rapid.IntRange(1, 12).Draw(t, "events") {
		e := proposed{ID: uuid.New(), Type: rapid.SampledFrom([]string{"Placed", "Shipped", linkType}).Draw(t, "type"), ContentType: jsonContent, Data: []byte(`{}`)}
		n := fmt.Sprint(w.next[stream], "@", stream)
		data := n
		if e.Type == linkType {
			e.Data, data = []byte("7@other-1"), "7@other-1"
		}
		if w.next[stream] == 0 {
			w.link("$streams", n)
			if category != "" {
				w.link("$category-"+category, stream)
			}
		}
		if category != "" {
			w.link("$ce-"+category, data)
		}
		if e.Type != linkType {
			w.link("$et-"+e.Type, n)
		}
		if id := rapid.IntRange(0, 3).Draw(t, "correlation"); id > 0 {
			e.Metadata = fmt.Appendf(nil, `{"$correlationId":"c%d","actor":"x"}`, id)
			w.link(fmt.Sprint("$bc-c", id), data)
		}
		w.next[stream]++
		events = append(events, e)
	}
	if _, err := w.store.append(t.Context(), stream, expectAny, events); err != nil {
		t.Fatal(err)
	}
}

func (w *indexWorld) tombstone(t *rapid.T) {
	stream := fmt.Sprint("offer-", rapid.IntRange(1, 3).Draw(t, "stream"))
	if w.next[stream] <= 0 {
		return
	}
	if _, err := w.store.delete(t.Context(), stream, expectAny, true); err != nil {
		t.Fatal(err)
	}
	w.next[stream] = -1
	w.link("$ce-offer", fmt.Sprint(uint64(tombstoneRevision), "@", stream))
	w.link("$et-$deleted", fmt.Sprint(uint64(tombstoneRevision), "@", stream))
}

func (w *indexWorld) system(t *rapid.T) {
	if _, err := w.store.append(t.Context(), "$mine-1", expectAny, someEvents(1)); err != nil {
		t.Fatal(err)
	}
}

func (w *indexWorld) reopen(t *rapid.T) {
	if err := w.store.close(); err != nil {
		t.Fatal(err)
	}
	w.open(t)
}

func (w *indexWorld) crash(t *rapid.T) {
	after := w.fs.CrashClone(vfs.CrashCloneCfg{})
	if err := w.store.close(); err != nil {
		t.Fatal(err)
	}
	w.fs = after
	w.open(t)
}

func (w *indexWorld) compare(t *rapid.T) {
	for _, index := range []string{"$streams", "$category-order", "$category-offer", "$ce-order", "$ce-offer", "$et-Placed", "$et-Shipped", "$et-$deleted", "$bc-c1", "$bc-c2", "$ce-nobody"} {
		want := w.want[index]
		st, err := w.store.state(index)
		if err != nil {
			t.Fatal(err)
		}
		if st.Last != int64(len(want))-1 || st.Exists != (len(want) > 0) {
			t.Fatalf("%s is %+v with %d events", index, st, len(want))
		}
		from := rapid.IntRange(0, len(want)).Draw(t, "from")
		for _, backwards := range []bool{false, true} {
			got, err := take(w.store.readStream(t.Context(), index, backwards, uint64(from)))
			if err != nil {
				t.Fatal(err)
			}
			expected := want[min(from, len(want)):]
			if backwards {
				expected = slices.Clone(want[:min(from+1, len(want))])
				slices.Reverse(expected)
			}
			if data := dataOf(got); !slices.Equal(data, expected) {
				t.Fatalf("%s from %d, backwards %v:\n got %v\nwant %v", index, from, backwards, data, expected)
			}
		}
	}
}

func dataOf(records []record) []string {
	var data []string
	for _, r := range records {
		data = append(data, string(r.Data))
	}
	return data
}

// TestIndexStreams: they hold what the rules say at every moment, in memory, in
// blocks and after a crash.
func TestIndexStreams(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &indexWorld{fs: vfs.NewCrashableMem(), want: map[string][]string{}, next: map[string]int{}}
		w.open(t)
		t.Repeat(map[string]func(*rapid.T){
			"append": w.append, "append more": w.append, "tombstone": w.tombstone, "system": w.system, "reopen": w.reopen, "crash": w.crash, "": w.compare,
		})
		if err := w.store.close(); err != nil {
			t.Fatal(err)
		}
	})
}

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
