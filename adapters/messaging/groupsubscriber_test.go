package messaging

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"kicau/adapters/command"
)

func newGroup(t testing.TB, g command.Groups, c GroupConfig) *GroupSubscriber {
	t.Helper()
	c.Name = "group"
	s, err := NewGroupSubscriber(g, c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func subscribeGroup(t testing.TB, s *GroupSubscriber, ctx context.Context) <-chan *message.Message {
	t.Helper()
	ch, err := s.Subscribe(ctx, "$all")
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

func closeGroup(t testing.TB, s *GroupSubscriber) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func wantSettled(t testing.TB, g *memGroup, acked []uint64, parked map[uint64]string, waiting int) {
	t.Helper()
	gotAcked, gotParked, gotWaiting := g.settled()
	if !slices.Equal(gotAcked, acked) || gotWaiting != waiting || !cmp.Equal(gotParked, parked) {
		t.Errorf("acked %v, parked %v, %d wait; want %v, %v, %d", gotAcked, gotParked, gotWaiting, acked, parked, waiting)
	}
}

var none = map[uint64]string{}

func TestGroupOneMessageAtATimeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newMemGroup(1, 2, 3)
		s := newGroup(t, g, GroupConfig{})
		ch := subscribeGroup(t, s, t.Context())
		for n := uint64(1); n <= 3; n++ {
			m := <-ch
			wantEvent(t, m, n)
			wantNothing(t, ch)
			if m.Context().Err() != nil {
				t.Fatal("the context of a message ended before its ack")
			}
			m.Ack()
			<-m.Context().Done()
		}
		wantNothing(t, ch)
		closeGroup(t, s)
		wantClosed(t, ch)
		wantSettled(t, g, []uint64{1, 2, 3}, none, 0)
		want := command.GroupSettings{MessageTimeout: command.DefaultMessageTimeout, Ordered: true}
		if !cmp.Equal(g.ensured, []command.GroupSettings{want}) || !slices.Equal(g.buffers, []int{1}) {
			t.Errorf("group made with %+v, buffers %v; want %+v, [1]", g.ensured, g.buffers, want)
		}
	})
}

func TestGroupMessagesInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newMemGroup(1, 2, 3, 4, 5)
		s := newGroup(t, g, GroupConfig{InFlight: 3})
		ch := subscribeGroup(t, s, t.Context())
		first, second, third := <-ch, <-ch, <-ch
		wantEvent(t, first, 1)
		wantEvent(t, third, 3)
		wantNothing(t, ch)
		second.Ack()
		wantEvent(t, <-ch, 4)
		wantNothing(t, ch)
		third.Nack() // held back: still in flight
		synctest.Wait()
		wantNothing(t, ch)
		first.Ack()
		wantEvent(t, <-ch, 5)
		if g.ensured[0].Ordered || g.buffers[0] != 3 {
			t.Errorf("group made with %+v, buffers %v", g.ensured, g.buffers)
		}
		closeGroup(t, s)
	})
}

func TestGroupReconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lost = 8
		b := Backoff{Min: time.Second, Max: 10 * time.Second}
		g := newMemGroup(1)
		g.refuse = func(call int) error {
			if call < lost {
				return errLost
			}
			return nil
		}
		s := newGroup(t, g, GroupConfig{Reconnect: b})
		defer closeGroup(t, s)
		ch := subscribeGroup(t, s, t.Context())
		if g.made() == 0 {
			t.Error("Subscribe returned without an attempt to make the group")
		}
		m := <-ch // the group is made at the ninth attempt, then eight connections fail
		m.Ack()
		synctest.Wait()
		g.lose(errLost)
		again := time.Now()
		time.Sleep(time.Minute)
		g.mu.Lock()
		defer g.mu.Unlock()
		if len(g.ensured) != lost+1 || len(g.connects) != lost+2 {
			t.Fatalf("%d attempts to make the group, %d connections", len(g.ensured), len(g.connects))
		}
		for i := 1; i <= lost; i++ {
			if d := g.connects[i].Sub(g.connects[i-1]); d < b.Min || d > b.Max {
				t.Errorf("pause %d was %s, want %s to %s", i, d, b.Min, b.Max)
			}
		}
		if d := g.connects[lost+1].Sub(again); d != b.Min {
			t.Errorf("the pause after a delivery was %s, want %s again", d, b.Min)
		}
	})
}

// What was in flight when the connection was lost comes again, one at a time.
func TestGroupConnectionLostInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newMemGroup(1, 2)
		s := newGroup(t, g, GroupConfig{})
		defer closeGroup(t, s)
		ch := subscribeGroup(t, s, t.Context())
		m := <-ch
		g.lose(errLost)
		time.Sleep(time.Minute / 2)
		wantNothing(t, ch)
		m.Ack() // nobody hears it
		m = <-ch
		wantEvent(t, m, 1)
		if m.Metadata.Get(EventRetries) != "1" {
			t.Errorf("retries %s", m.Metadata.Get(EventRetries))
		}
		m.Ack()
		wantEvent(t, <-ch, 2)
	})
}

func TestGroupSubscriberRefuses(t *testing.T) {
	for _, c := range []GroupConfig{
		{}, {Name: "g", InFlight: -1}, {Name: "g", InFlight: MaxInFlight + 1}, {Name: "g", MaxRetries: -1},
		{Name: "g", MessageTimeout: -1}, {Name: "g", MessageTimeout: 30 * 24 * time.Hour}, {Name: "g", Drain: -1},
	} {
		if _, err := NewGroupSubscriber(newMemGroup(), c); err == nil {
			t.Errorf("%+v: no error", c)
		}
	}
	g := newMemGroup()
	g.refuse = func(int) error { return errLost }
	s := newGroup(t, g, GroupConfig{Topic: func(topic string) (Selection, error) {
		if topic == "both" {
			return Selection{Filter: command.Filter{StreamPrefixes: []string{"a"}, Types: []string{"b"}}}, nil
		}
		return ParseTopic(topic)
	}})
	defer closeGroup(t, s)
	for _, topic := range []string{"", "$stats", "both"} {
		if _, err := s.Subscribe(t.Context(), topic); err == nil {
			t.Errorf("topic %q: no error", topic)
		}
		if err := s.SubscribeInitialize(topic); err == nil {
			t.Errorf("initialize topic %q: no error", topic)
		}
	}
	if err := s.SubscribeInitialize("order-1"); !errors.Is(err, errLost) {
		t.Errorf("initialize without a log: %v", err)
	}
}

func TestGroupOfATopic(t *testing.T) {
	s := newGroup(t, newMemGroup(), GroupConfig{})
	for topic, want := range map[string]command.Group{
		"order-1":              {Stream: "order-1", Name: "group"},
		"$all":                 {Name: "group"},
		"category:order":       {Name: "group:order"},
		"category:order,offer": {Name: "group:order,offer"},
	} {
		if got, err := s.Group(topic); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", topic, got, err, want)
		}
	}
	if _, err := s.Group("$stats"); err == nil {
		t.Error("a group of a system stream")
	}
}

// Whatever fails, is lost or closed: every event is acked or parked in the end.
func TestGroupLosesNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		last := rapid.Uint64Range(1, 20).Draw(rt, "events")
		inFlight := rapid.IntRange(1, 4).Draw(rt, "in flight")
		maxRetries := rapid.IntRange(0, 3).Draw(rt, "max retries")
		fates := rapid.SliceOfN(rapid.SampledFrom([]string{"ack", "ack", "ack", "nack", "permanent", "lose", "late", "close"}), 1, 40).Draw(rt, "fates")
		var positions []uint64
		for n := uint64(1); n <= last; n++ {
			positions = append(positions, n)
		}
		failure := ""
		synctest.Test(t, func(t *testing.T) {
			g := newMemGroup(positions...)
			config := GroupConfig{InFlight: inFlight, MaxRetries: maxRetries, MessageTimeout: time.Minute}
			s := newGroup(t, g, config)
			ch := subscribeGroup(t, s, t.Context())
			for i := 0; ; i++ {
				acked, parked, _ := g.settled()
				if len(acked)+len(parked) == len(positions) {
					break
				}
				var m *message.Message
				select {
				case m = <-ch:
				case <-time.After(time.Minute): // it was parked meanwhile
					continue
				}
				fate := "ack"
				if i < len(fates) {
					fate = fates[i]
				}
				switch fate {
				case "ack":
					m.Ack()
				case "nack":
					Nack(m, errLost)
				case "permanent":
					Nack(m, Permanent(errLost))
				case "lose":
					g.lose(errLost)
					m.Ack()
				case "late":
					<-m.Context().Done()
					m.Ack()
				case "close":
					closed := make(chan struct{})
					go func() { closeGroup(t, s); close(closed) }()
					m.Ack()
					<-closed
					s = newGroup(t, g, config)
					ch = subscribeGroup(t, s, t.Context())
				}
				synctest.Wait()
			}
			closeGroup(t, s)
			acked, parked, waiting := g.settled()
			seen := slices.Clone(acked)
			for n := range parked {
				seen = append(seen, n)
			}
			slices.Sort(seen)
			if !slices.Equal(seen, positions) || waiting != 0 {
				failure = fmt.Sprintf("acked %v, parked %v, %d wait; want each of %d once", acked, parked, waiting, last)
			}
		})
		if failure != "" {
			rt.Fatal(failure)
		}
	})
}
