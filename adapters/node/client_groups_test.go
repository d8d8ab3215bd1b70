package node_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
)

// fromStart are the settings of a group that begins with the first event.
func fromStart(change ...func(*esdb.PersistentSubscriptionSettings)) esdb.PersistentStreamSubscriptionOptions {
	settings := esdb.SubscriptionSettingsDefault()
	for _, c := range change {
		c(&settings)
	}
	return esdb.PersistentStreamSubscriptionOptions{Settings: &settings, StartFrom: esdb.Start{}}
}

// consumer is a connection to a group.
type consumer struct {
	*program
	*esdb.PersistentSubscription
}

func (p *program) consume(stream, group string, buffer uint32) *consumer {
	p.Helper()
	o := esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: buffer}
	subscribe := func() (*esdb.PersistentSubscription, error) {
		return p.SubscribeToPersistentSubscription(p.ctx, stream, group, o)
	}
	if stream == "$all" {
		subscribe = func() (*esdb.PersistentSubscription, error) {
			return p.SubscribeToPersistentSubscriptionToAll(p.ctx, group, o)
		}
	}
	s, err := subscribe()
	p.must(err)
	p.Cleanup(func() { s.Close() })
	return &consumer{p, s}
}

func (c *consumer) next() *esdb.EventAppeared {
	c.Helper()
	e := c.Recv()
	if e.EventAppeared == nil {
		c.Fatalf("want an event, got %+v", e.SubscriptionDropped)
	}
	return e.EventAppeared
}

func (c *consumer) wantNext(what string, id uuid.UUID, retries int) *esdb.ResolvedEvent {
	c.Helper()
	e := c.next()
	if e.Event.Event.EventID != id || e.RetryCount != retries {
		c.Fatalf("%s: got %v with %d retries, want %v with %d", what, e.Event.Event.EventID, e.RetryCount, id, retries)
	}
	return e.Event
}

// until asks for a group's state until it is so: what a consumer says is not
// answered.
func (p *program) until(stream, group string, so func(*esdb.PersistentSubscriptionStats) bool) *esdb.PersistentSubscriptionInfo {
	p.Helper()
	for {
		info, err := p.GetPersistentSubscriptionInfo(p.ctx, stream, group, esdb.GetPersistentSubscriptionOptions{})
		p.must(err)
		if so(info.Stats) {
			return info
		}
	}
}

func TestGoClientAnswers(t *testing.T) {
	p := newProgram(t)
	ids := p.append("a", 6)
	p.must(p.CreatePersistentSubscription(p.ctx, "a", "g", fromStart(func(s *esdb.PersistentSubscriptionSettings) { s.MaxRetryCount = 1 })))
	c := p.consume("a", "g", 10)
	p.must(c.Ack(c.wantNext("first", ids[0], 0)))
	p.must(c.Nack("again", esdb.NackActionRetry, c.wantNext("second", ids[1], 0)))
	p.must(c.Nack("never mind", esdb.NackActionSkip, c.wantNext("third", ids[2], 0)))
	p.must(c.Nack("poison", esdb.NackActionPark, c.wantNext("fourth", ids[3], 0)))
	p.must(c.Ack(c.wantNext("fifth", ids[4], 0)))
	p.must(c.Ack(c.wantNext("sixth", ids[5], 0)))
	p.must(c.Nack("once too often", esdb.NackActionRetry, c.wantNext("second, again", ids[1], 1)))
	p.until("a", "g", func(s *esdb.PersistentSubscriptionStats) bool { return s.ParkedMessagesCount == 2 })

	p.must(p.ReplayParkedMessages(p.ctx, "a", "g", esdb.ReplayParkedMessagesOptions{StopAt: 1}))
	p.must(c.Ack(c.wantNext("the first that was parked", ids[3], 0)))
	p.until("a", "g", func(s *esdb.PersistentSubscriptionStats) bool { return s.ParkedMessagesCount == 1 })
	p.must(p.ReplayParkedMessages(p.ctx, "a", "g", esdb.ReplayParkedMessagesOptions{}))
	p.must(c.Ack(c.wantNext("the other", ids[1], 0)))
	p.until("a", "g", func(s *esdb.PersistentSubscriptionStats) bool { return s.ParkedMessagesCount == 0 })

	live := p.append("a", 1)
	p.must(c.Ack(c.wantNext("live", live[0], 0)))
}

// TestGoClientComesBack: what a consumer did not answer comes to the next one,
// and what it did does not.
func TestGoClientComesBack(t *testing.T) {
	p := newProgram(t)
	ids := p.append("a", 5)
	p.must(p.CreatePersistentSubscription(p.ctx, "a", "g", fromStart()))
	first := p.consume("a", "g", 2)
	p.must(first.Ack(first.wantNext("first", ids[0], 0)))
	first.wantNext("second", ids[1], 0)
	first.wantNext("third", ids[2], 0) // came for the one that was acked
	p.must(first.Close())
	second := p.consume("a", "g", 10)
	left := map[uuid.UUID]bool{}
	for range 4 { // in which order depends on when the first was found to be gone
		e := second.next()
		left[e.Event.Event.EventID] = true
		p.must(second.Ack(e.Event))
	}
	if len(left) != 4 || left[ids[0]] {
		t.Errorf("after the first consumer got %v, want %v", left, ids[1:])
	}
}

func TestGoClientCompetes(t *testing.T) {
	p := newProgram(t)
	ids := p.append("a", 200)
	for _, strategy := range []esdb.ConsumerStrategy{esdb.ConsumerStrategyRoundRobin, esdb.ConsumerStrategyDispatchToSingle, esdb.ConsumerStrategyPinned} {
		group := string(strategy)
		p.must(p.CreatePersistentSubscription(p.ctx, "a", group, fromStart(func(s *esdb.PersistentSubscriptionSettings) { s.ConsumerStrategyName = strategy })))
		got := make(chan uuid.UUID, len(ids))
		for range 3 {
			c := p.consume("a", group, 10)
			go func() {
				for e := c.Recv(); e.EventAppeared != nil; e = c.Recv() {
					got <- e.EventAppeared.Event.Event.EventID
					if err := c.Ack(e.EventAppeared.Event); err != nil {
						return // the test is over
					}
				}
			}()
		}
		seen := map[uuid.UUID]bool{}
		for range ids {
			select {
			case id := <-got:
				seen[id] = true
			case <-p.ctx.Done():
				t.Fatalf("%s: got %d of %d events", strategy, len(seen), len(ids))
			}
		}
		if len(seen) != len(ids) {
			t.Errorf("%s: got %d different events, want %d", strategy, len(seen), len(ids))
		}
	}
}

func TestGoClientSharesAll(t *testing.T) {
	p := newProgram(t)
	a := p.append("order-1", 3)
	p.append("offer-1", 3)
	b := p.append("order-2", 3)
	for what, c := range map[string]struct {
		options esdb.PersistentAllSubscriptionOptions
		want    []uuid.UUID
	}{
		"prefix": {esdb.PersistentAllSubscriptionOptions{StartFrom: esdb.Start{},
			Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"order-"}}}, slices.Concat(a, b)},
		"regex": {esdb.PersistentAllSubscriptionOptions{StartFrom: esdb.Start{},
			Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Regex: `^order-(?!1)`}}, b},
		"from a position, with the event there": {esdb.PersistentAllSubscriptionOptions{StartFrom: esdb.Position{Commit: 8, Prepare: 8}}, b[1:]},
	} {
		p.must(p.CreatePersistentSubscriptionToAll(p.ctx, what, c.options))
		s := p.consume("$all", what, 10)
		for _, id := range c.want {
			p.must(s.Ack(s.wantNext(what, id, 0)))
		}
	}
	list, err := p.ListPersistentSubscriptionsToAll(p.ctx, esdb.ListPersistentSubscriptionsOptions{})
	p.must(err)
	if len(list) != 3 {
		t.Errorf("the list has %d groups, want 3", len(list))
	}
	settings := esdb.SubscriptionSettingsDefault()
	p.must(p.UpdatePersistentSubscriptionToAll(p.ctx, "prefix", esdb.PersistentAllSubscriptionOptions{StartFrom: esdb.Start{}, Settings: &settings}))
	p.must(p.DeletePersistentSubscriptionToAll(p.ctx, "prefix", esdb.DeletePersistentSubscriptionOptions{}))
	_, err = p.GetPersistentSubscriptionInfoToAll(p.ctx, "prefix", esdb.GetPersistentSubscriptionOptions{})
	p.wantError("a group that was deleted", err, esdb.ErrorCodeResourceNotFound)
}

func TestGoClientManagesGroups(t *testing.T) {
	p := newProgram(t)
	ids := p.append("a", 12)
	missing := esdb.ErrorCodeResourceNotFound
	p.wantError("update", p.UpdatePersistentSubscription(p.ctx, "a", "g", fromStart()), missing)
	p.wantError("delete", p.DeletePersistentSubscription(p.ctx, "a", "g", esdb.DeletePersistentSubscriptionOptions{}), missing)
	p.wantError("replay", p.ReplayParkedMessages(p.ctx, "a", "g", esdb.ReplayParkedMessagesOptions{}), missing)
	_, err := p.GetPersistentSubscriptionInfo(p.ctx, "a", "g", esdb.GetPersistentSubscriptionOptions{})
	p.wantError("info", err, missing)
	_, err = p.ListPersistentSubscriptionsForStream(p.ctx, "a", esdb.ListPersistentSubscriptionsOptions{})
	p.wantError("list", err, missing)
	_, err = p.SubscribeToPersistentSubscription(p.ctx, "a", "g", esdb.SubscribeToPersistentSubscriptionOptions{})
	if err == nil {
		t.Error("subscribed to a group that is not there")
	}

	ten := fromStart()
	ten.StartFrom = esdb.Revision(10)
	p.must(p.CreatePersistentSubscription(p.ctx, "a", "from 10", ten))
	c := p.consume("a", "from 10", 10)
	p.must(c.Ack(c.wantNext("from revision 10", ids[10], 0)))

	settings := func(s *esdb.PersistentSubscriptionSettings) {
		*s = esdb.PersistentSubscriptionSettings{
			StartFrom: esdb.Start{}, ResolveLinkTos: true, ExtraStatistics: true, MaxRetryCount: 7, CheckpointLowerBound: 3, CheckpointUpperBound: 30,
			MaxSubscriberCount: 1, LiveBufferSize: 44, ReadBatchSize: 5, HistoryBufferSize: 55, MessageTimeout: 6000, CheckpointAfter: 8000,
			ConsumerStrategyName: esdb.ConsumerStrategyPinned,
		}
	}
	p.must(p.CreatePersistentSubscription(p.ctx, "a", "g", fromStart(settings)))
	p.wantError("create again", p.CreatePersistentSubscription(p.ctx, "a", "g", fromStart()), esdb.ErrorCodeResourceAlreadyExists)
	one := p.consume("a", "g", 4)
	for i := range 3 {
		p.must(one.Ack(one.wantNext("acked", ids[i], 0)))
	}
	info := p.until("a", "g", func(s *esdb.PersistentSubscriptionStats) bool {
		return s.TotalItems == 7 && s.TotalInFlightMessages == 4
	})
	want := *fromStart(settings).Settings
	if info.EventSource != "a" || info.GroupName != "g" || fmt.Sprint(*info.Settings) != fmt.Sprint(want) {
		t.Errorf("the group has %+v, want %+v", *info.Settings, want)
	}
	if s := info.Stats; s.OutstandingMessagesCount != 4 || s.ParkedMessagesCount != 0 || s.LastCheckpointedEventRevision != nil || s.LastKnownEventRevision == nil || *s.LastKnownEventRevision != 11 {
		t.Errorf("its figures are %+v", *s)
	}
	if len(info.Connections) != 1 || info.Connections[0].AvailableSlots != 0 || info.Connections[0].InFlightMessages != 4 || len(info.Connections[0].ExtraStatistics) == 0 {
		t.Errorf("its connections are %+v", info.Connections)
	}
	if _, err := p.SubscribeToPersistentSubscription(p.ctx, "a", "g", esdb.SubscribeToPersistentSubscriptionOptions{}); err == nil {
		t.Error("a group of one took two consumers")
	}
	ofStream, err := p.ListPersistentSubscriptionsForStream(p.ctx, "a", esdb.ListPersistentSubscriptionsOptions{})
	p.must(err)
	every, err := p.ListAllPersistentSubscriptions(p.ctx, esdb.ListPersistentSubscriptionsOptions{})
	p.must(err)
	if len(ofStream) != 2 || len(every) != 2 {
		t.Errorf("the lists have %d and %d groups, want 2", len(ofStream), len(every))
	}

	p.must(p.UpdatePersistentSubscription(p.ctx, "a", "g", fromStart()))
	if e := drain(one); e.SubscriptionDropped == nil {
		t.Error("an update did not let the consumer go")
	}
	p.must(p.RestartPersistentSubscriptionSubsystem(p.ctx, esdb.RestartPersistentSubscriptionSubsystemOptions{}))
	again := p.consume("a", "g", 20)
	p.must(p.DeletePersistentSubscription(p.ctx, "a", "g", esdb.DeletePersistentSubscriptionOptions{}))
	if e := drain(again); e.SubscriptionDropped == nil {
		t.Error("a group that was deleted did not let its consumer go")
	}
}

// drain receives until something else than an event comes.
func drain(c *consumer) *esdb.PersistentSubscriptionEvent {
	for {
		if e := c.Recv(); e.EventAppeared == nil {
			return e
		}
	}
}
