package esdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"kicau/adapters/command"
)

// TestConsumersThroughRestarts: writers and consumers go through restarts of the
// server without anybody making a new log; every event is acked by somebody.
func TestConsumersThroughRestarts(t *testing.T) {
	const writers, each, consumers, restarts = 4, 60, 3, 3
	ctx := waitFor(t)
	dir := t.TempDir()
	n := openNode(t, dir)
	server := serve(t, n, "127.0.0.1:0")
	l := openLog(t, Options{URL: plain(server.Addr()), Connections: 2})
	g := command.Group{Name: "g"}
	if err := l.EnsureGroup(ctx, g, command.GroupSettings{}); err != nil {
		t.Fatal(err)
	}

	var mu sync.Mutex
	acked, all := map[uuid.UUID]bool{}, make(chan struct{})
	consuming, enough := context.WithCancel(ctx)
	defer enough()
	var done sync.WaitGroup
	for range consumers {
		done.Go(func() {
			for consuming.Err() == nil {
				c, err := l.Consume(consuming, g, 10)
				if err != nil {
					continue // and consume again
				}
				for err == nil {
					var d command.Delivery
					if d, err = c.Next(consuming); err == nil && c.Ack(d) == nil {
						mu.Lock()
						if acked[d.Event.ID] = true; len(acked) == writers*each {
							enough()
						}
						mu.Unlock()
					}
				}
				c.Close()
			}
		})
	}
	appended := make(chan uuid.UUID, writers*each)
	for w := range writers {
		done.Go(func() {
			for i := range each {
				e := proposal()
				if err := insist(ctx, l, fmt.Sprint("s", w, "-", i), e); err != nil {
					t.Errorf("append: %v", err)
					return
				}
				appended <- e.ID
			}
		})
	}
	var wrote []uuid.UUID
	for range restarts {
		for range writers * each / (restarts + 1) {
			wrote = append(wrote, <-appended)
		}
		if err := errors.Join(server.Close(), n.Close()); err != nil {
			t.Fatal(err)
		}
		n = openNode(t, dir)
		server = serve(t, n, server.Addr())
	}
	go func() { done.Wait(); close(all) }()
	select {
	case <-all:
	case <-ctx.Done():
		t.Fatalf("%d of %d events were acked", len(acked), writers*each)
	}
	close(appended)
	for id := range appended {
		wrote = append(wrote, id)
	}
	if missing := slices.DeleteFunc(wrote, func(id uuid.UUID) bool { return acked[id] }); len(missing) > 0 {
		t.Errorf("%d events were not acked", len(missing))
	}
}

// TestConsumerOfASilentServer: the connection is there and nothing comes through
// it any more. Answers do not wait, and Close comes back.
func TestConsumerOfASilentServer(t *testing.T) {
	t.Parallel()
	ctx := waitFor(t)
	proxy := startProxy(t, startNode(t).Addr())
	l := openLog(t, Options{URL: plain(proxy.Addr().String())})
	g := command.Group{Stream: "s", Name: "g"}
	if err := l.EnsureGroup(ctx, g, command.GroupSettings{}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := l.Append(ctx, "s", command.Expect(i-1), proposals(1)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := l.Consume(ctx, g, 3)
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	proxy.muffle()
	if err := c.Ack(d); err != nil {
		t.Error(err)
	}
	began := time.Now()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 2*(farewell+hangsAfter) {
		t.Errorf("Close took %v", took)
	}
	if _, err := c.Next(ctx); !errors.Is(err, errConsumerClosed) {
		t.Errorf("Next of a closed consumer: %v", err)
	}
	proxy.cut()
}

// TestGroupOfLinks: a consumer of a stream of links is given what they stand
// for, and nothing for those whose event is gone. So is who lists what was
// parked.
func TestGroupOfLinks(t *testing.T) {
	ctx := waitFor(t)
	addr := startNode(t).Addr()
	l, bare := openLog(t, Options{URL: plain(addr)}), bareClient(t, plain(addr))
	g := command.Group{Stream: "$links", Name: "g"}
	if err := l.EnsureGroup(ctx, g, command.GroupSettings{}); err != nil {
		t.Fatal(err)
	}
	wrote := proposals(3)
	for i, stream := range []string{"s", "gone", "going"} {
		if _, err := l.Append(ctx, stream, command.NoStream, wrote[i:i+1]); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(stream string) {
		if _, err := bare.DeleteStream(ctx, stream, esdb.DeleteStreamOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	remove("gone")
	for _, stream := range []string{"s", "gone", "going"} {
		link := esdb.EventData{EventID: uuid.New(), EventType: "$>", Data: []byte("0@" + stream)}
		if _, err := bare.AppendToStream(ctx, "$links", esdb.AppendToStreamOptions{}, link); err != nil {
			t.Fatal(err)
		}
	}
	c, err := l.Consume(ctx, g, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var got []command.Delivery
	for range 3 {
		d, err := c.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, d)
	}
	if got[0].Event.ID != wrote[0].ID || got[0].Event.Stream != "s" || got[1].Event.Type != "" || got[2].Event.ID != wrote[2].ID {
		t.Errorf("got %+v", got)
	}
	if err := errors.Join(c.Ack(got[0]), c.Ack(got[1]), c.Park(got[2], "no")); err != nil {
		t.Fatal(err)
	}
	for {
		i, err := l.GroupInfo(ctx, g)
		if err != nil {
			t.Fatal(err)
		}
		if i.Unsettled == 0 && i.Parked == 1 {
			break
		}
	}
	for _, wantType := range []string{wrote[2].Type, ""} {
		for p, err := range l.Parked(ctx, g) {
			if err != nil || p.Event.Type != wantType || !strings.Contains(p.Reason, "no") {
				t.Errorf("got %+v, %v, want type %q", p, err, wantType)
			}
		}
		remove("going")
	}
}

// TestGroupsShowNoSystemStream: what others write to system streams does not
// come, by whichever filter, neither here nor from the node in process.
func TestGroupsShowNoSystemStream(t *testing.T) {
	ctx := waitFor(t)
	n := openNode(t, t.TempDir())
	addr := serve(t, n, "127.0.0.1:0").Addr()
	bare := bareClient(t, plain(addr))
	wrote := proposals(2)
	for i, stream := range []string{"s", "$s", "s"} {
		e := esdb.EventData{EventID: uuid.New(), EventType: wrote[0].Type, ContentType: esdb.ContentTypeJson, Data: []byte("{}")}
		if i != 1 {
			e.EventID = wrote[i/2].ID
		}
		if _, err := bare.AppendToStream(ctx, stream, esdb.AppendToStreamOptions{}, e); err != nil {
			t.Fatal(err)
		}
	}
	for name, groups := range map[string]command.Groups{"client": openLog(t, Options{URL: plain(addr)}), "node": n.Groups()} {
		for filtered, f := range map[string]command.Filter{
			"": {}, " by type": {Types: []string{wrote[0].Type}}, " by any stream": {StreamPrefixes: []string{""}},
		} {
			g := command.Group{Name: name + filtered}
			if err := groups.EnsureGroup(ctx, g, command.GroupSettings{Filter: f}); err != nil {
				t.Fatal(err)
			}
			c, err := groups.Consume(ctx, g, 1)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range wrote {
				d, err := c.Next(ctx)
				if err != nil || d.Event.ID != want.ID {
					t.Fatalf("group %s: got %+v, %v", g, d.Event, err)
				}
				if err := c.Ack(d); err != nil {
					t.Error(err)
				}
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestGroupSettingsRefused: what the protocol cannot say is not said otherwise.
func TestGroupSettingsRefused(t *testing.T) {
	l := openLog(t, Options{URL: plain("127.0.0.1:1")}) // nobody is there
	for _, s := range []command.GroupSettings{
		{MessageTimeout: time.Microsecond}, {MessageTimeout: -1}, {MessageTimeout: 30 * 24 * time.Hour}, {MaxRetries: -1},
		{Filter: command.Filter{StreamPrefixes: []string{"$stats"}}},
		{Filter: command.Filter{StreamPrefixes: []string{"s"}, Types: []string{"t"}}},
	} {
		if err := l.EnsureGroup(waitFor(t), command.Group{Name: "g"}, s); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%+v: got %v, want a refusal", s, err)
		}
	}
}

// TestGroupFilters: what the server is asked to filter by.
func TestGroupFilters(t *testing.T) {
	for _, c := range []struct {
		filter command.Filter
		want   esdb.SubscriptionFilter
	}{
		{command.Filter{}, esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Regex: userStreams}},
		{command.Filter{StreamPrefixes: []string{"", "a"}}, esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Regex: userStreams}},
		{command.Filter{StreamPrefixes: []string{"b", "a"}}, esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"b", "a"}}},
		{command.Filter{Types: []string{"A.b", "C"}}, esdb.SubscriptionFilter{Type: esdb.EventFilterType, Regex: `^(?:A\.b|C)\z`}},
	} {
		got, err := groupFilter(command.Group{Name: "g"}, c.filter)
		if err != nil || got.Type != c.want.Type || got.Regex != c.want.Regex || !slices.Equal(got.Prefixes, c.want.Prefixes) {
			t.Errorf("%+v: got %+v, %v, want %+v", c.filter, got, err, c.want)
		}
	}
}

// TestUnsettled: a live buffer counts only until the group is live.
func TestUnsettled(t *testing.T) {
	stats := &esdb.PersistentSubscriptionStats{OutstandingMessagesCount: 1, ReadBufferCount: 2, RetryBufferCount: 4, LiveBufferCount: 8}
	for status, want := range map[string]int{"Live": 7, "Live, ReplayingParkedMessages": 7, "Behind": 15, "Behind, OutstandingPageRequest": 15} {
		if got := unsettled(&esdb.PersistentSubscriptionInfo{Status: status, Stats: stats}); got != want {
			t.Errorf("%s: %d, want %d", status, got, want)
		}
	}
}

// TestAnswersOfOthers are refused.
func TestAnswersOfOthers(t *testing.T) {
	c := &consumer{}
	if err := c.Ack(command.Delivery{Token: 7}); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("got %v, want a refusal", err)
	}
}
