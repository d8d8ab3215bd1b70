package messaging

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

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

func TestGroupRetriesWithBackoffAndReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newMemGroup(1, 2)
		b := Backoff{Min: time.Second, Max: 5 * time.Second}
		s := newGroup(t, g, GroupConfig{Retry: b})
		defer closeGroup(t, s)
		ch := subscribeGroup(t, s, t.Context())
		bound := b.Min
		for n := range 6 {
			m := <-ch
			wantEvent(t, m, 1)
			if got := m.Metadata.Get(EventRetries); got != fmt.Sprint(n) {
				t.Fatalf("retries %q, want %d", got, n)
			}
			nacked := time.Now()
			if n%2 == 0 {
				Nack(m, fmt.Errorf("reason %d", n))
			} else {
				m.Nack()
			}
			<-m.Context().Done()
			wantNothing(t, ch)
			for len(g.reasons()) <= n {
				time.Sleep(time.Millisecond)
			}
			if d := time.Since(nacked); d < b.Min || d > bound+time.Millisecond {
				t.Fatalf("given back after %s, want %s to %s", d, b.Min, bound)
			}
			bound = min(2*bound, b.Max)
		}
		(<-ch).Ack()
		(<-ch).Ack()
		synctest.Wait()
		wantSettled(t, g, []uint64{1, 2}, none, 0)
		if want := []string{"reason 0", unsaid, "reason 2", unsaid, "reason 4", unsaid}; !slices.Equal(g.retried, want) {
			t.Errorf("reasons %q, want %q", g.retried, want)
		}
	})
}

func (g *memGroup) reasons() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.retried)
}

// However long the pause is meant to be, the message is given back well before
// the log would take it back.
func TestGroupHoldsNoLongerThanTheLogLetsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newMemGroup(1)
		hour := Backoff{Min: time.Hour, Max: time.Hour}
		s := newGroup(t, g, GroupConfig{Retry: hour, MessageTimeout: time.Minute})
		defer closeGroup(t, s)
		ch := subscribeGroup(t, s, t.Context())
		for _, c := range []struct{ work, want time.Duration }{
			{0, 15 * time.Second},
			{20 * time.Second, 35 * time.Second},
			{50 * time.Second, 55 * time.Second},
			{59 * time.Second, 59500 * time.Millisecond},
		} {
			m := <-ch
			began := time.Now()
			time.Sleep(c.work)
			m.Nack()
			for n := len(g.reasons()); len(g.reasons()) == n; {
				time.Sleep(10 * time.Millisecond)
			}
			if d := time.Since(began); d < c.want || d > c.want+20*time.Millisecond {
				t.Errorf("worked %s: given back after %s, want %s", c.work, d, c.want)
			}
		}
	})
}

func TestGroupMessageTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newMemGroup(1)
		s := newGroup(t, g, GroupConfig{MessageTimeout: time.Minute})
		defer closeGroup(t, s)
		ch := subscribeGroup(t, s, t.Context())
		m := <-ch
		began := time.Now()
		<-m.Context().Done()
		if d := time.Since(began); d != time.Minute || !errors.Is(m.Context().Err(), context.DeadlineExceeded) {
			t.Errorf("the message's context ended after %s with %v", d, m.Context().Err())
		}
		wantNothing(t, ch) // one at a time, however late
		m.Nack()           // too late to give it back
		again := <-ch
		wantEvent(t, again, 1)
		if again.Metadata.Get(EventRetries) != "1" || len(g.reasons()) != 0 {
			t.Errorf("retries %s, reasons %q", again.Metadata.Get(EventRetries), g.reasons())
		}
		again.Ack()
	})
}

func TestGroupParks(t *testing.T) {
	business := errors.New("the business forbids it")
	for name, c := range map[string]struct {
		config  GroupConfig
		fail    func(*message.Message)
		retries int
		reason  string
	}{
		"a permanent error at once":      {GroupConfig{}, func(m *message.Message) { Nack(m, fmt.Errorf("step: %w", Permanent(business))) }, 0, "step: the business forbids it"},
		"what the config calls one":      {GroupConfig{Permanent: func(err error) bool { return errors.Is(err, business) }}, func(m *message.Message) { Nack(m, business) }, 0, "the business forbids it"},
		"after the retries":              {GroupConfig{MaxRetries: 3}, func(m *message.Message) { Nack(m, business) }, 3, "failed 4 times, the last time: the business forbids it"},
		"after the retries, nobody said": {GroupConfig{MaxRetries: 1}, func(m *message.Message) { m.Nack() }, 1, "failed 2 times, the last time: " + unsaid},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newMemGroup(1, 2)
				s := newGroup(t, g, c.config)
				defer closeGroup(t, s)
				ch := subscribeGroup(t, s, t.Context())
				for range c.retries + 1 {
					m := <-ch
					wantEvent(t, m, 1)
					c.fail(m)
				}
				m := <-ch
				wantEvent(t, m, 2)
				m.Ack()
				synctest.Wait()
				wantSettled(t, g, []uint64{2}, map[uint64]string{1: c.reason}, 0)
				if g.ensured[0].MaxRetries != c.config.MaxRetries {
					t.Errorf("the group was made with %+v", g.ensured[0])
				}
			})
		})
	}
}

// A message that takes its process down with it is parked by the next.
func TestGroupParksWhatNobodyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newMemGroup(1, 2)
		g.waiting[0].Retries = 3
		s := newGroup(t, g, GroupConfig{MaxRetries: 2})
		defer closeGroup(t, s)
		m := <-subscribeGroup(t, s, t.Context())
		wantEvent(t, m, 2)
		m.Ack()
		synctest.Wait()
		wantSettled(t, g, []uint64{2}, map[uint64]string{1: "came 3 times and was never answered: its consumers were lost, or late"}, 0)
	})
}

func TestReasonText(t *testing.T) {
	long := strings.Repeat("é", maxReason)
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, unsaid},
		{errors.New("short"), "short"},
		{errors.New(long), long[:maxReason] + "…"},
		{errors.New("x" + long), "x" + long[:maxReason-2] + "…"},
	} {
		if got := reasonText(c.err); got != c.want || !utf8.ValidString(got) {
			t.Errorf("%.20q… of %d bytes, want %d", got, len(got), len(c.want))
		}
	}
	if Permanent(nil) != nil || IsPermanent(errors.New("no")) {
		t.Error("what is not permanent is taken for it")
	}
}

// In a Router the reason is the handler's error or panic, as the middlewares
// leave it.
func TestKeepReason(t *testing.T) {
	for name, c := range map[string]struct {
		handler func(*message.Message) error
		reason  string
	}{
		"error":   {func(*message.Message) error { return Permanent(errors.New("broken")) }, "wrapped: broken"},
		"panic":   {func(*message.Message) error { panic("out of order") }, "the handler panicked: out of order"},
		"by hand": {func(m *message.Message) error { Nack(m, Permanent(errors.New("early"))); return nil }, "early"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newMemGroup(1)
			s := newGroup(t, g, GroupConfig{MaxRetries: 1, Retry: Backoff{Min: 1, Max: 1}})
			router, err := message.NewRouter(message.RouterConfig{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			router.AddMiddleware(KeepReason, func(h message.HandlerFunc) message.HandlerFunc {
				return func(m *message.Message) ([]*message.Message, error) {
					out, err := h(m)
					if err != nil {
						err = fmt.Errorf("wrapped: %w", err)
					}
					return out, err
				}
			})
			router.AddConsumerHandler("h", "$all", s, c.handler)
			ran := make(chan error)
			go func() { ran <- router.Run(t.Context()) }()
			if got := g.waitForParked(1); !strings.HasSuffix(got, c.reason) {
				t.Errorf("parked because %q, want %q", got, c.reason)
			}
			if err := router.Close(); err != nil {
				t.Error(err)
			}
			if err := <-ran; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestGroupAcksWhatIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newMemGroup()
		g.waiting = []command.Delivery{missing(1), {Event: recorded(2), Token: uint64(2)}, missing(3)}
		s := newGroup(t, g, GroupConfig{})
		defer closeGroup(t, s)
		ch := subscribeGroup(t, s, t.Context())
		m := <-ch
		wantEvent(t, m, 2)
		m.Ack()
		wantNothing(t, ch)
		wantSettled(t, g, []uint64{1, 2, 3}, none, 0)
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

func TestWhatEndsAGroupSubscription(t *testing.T) {
	for name, want := range map[string]error{
		"the log is closed":     command.ErrClosed,
		"the group was deleted": command.NoGroup(command.Group{Name: "group"}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newMemGroup(1, 2)
				var reason error
				s := newGroup(t, g, GroupConfig{Stopped: func(_ string, err error) { reason = err }})
				ch := subscribeGroup(t, s, t.Context())
				(<-ch).Ack()
				wantEvent(t, <-ch, 2)
				g.lose(fmt.Errorf("here: %w", want))
				wantClosed(t, ch)
				if !errors.Is(reason, want) || len(g.connects) != 1 || len(g.ensured) != 1 {
					t.Errorf("stopped because %v, want %v; connected %d times, made %d times", reason, want, len(g.connects), len(g.ensured))
				}
				closeGroup(t, s)
			})
		})
	}
}

func TestGroupDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newMemGroup(1, 2, 3, 4, 5)
		s := newGroup(t, g, GroupConfig{InFlight: 4, Drain: 10 * time.Second})
		ch := subscribeGroup(t, s, t.Context())
		acked, nacked, parked, left := <-ch, <-ch, <-ch, <-ch
		closed := make(chan error)
		began := time.Now()
		go func() { closed <- s.Close() }()
		time.Sleep(9 * time.Second)
		for _, m := range []*message.Message{acked, nacked, parked, left} {
			if err := m.Context().Err(); err != nil {
				t.Errorf("the context of a message in flight ended: %v", err)
			}
		}
		acked.Ack()
		nacked.Nack()
		Nack(parked, Permanent(errors.New("no")))
		wantNothing(t, ch)
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if d := time.Since(began); d != 10*time.Second {
			t.Errorf("Close took %s", d)
		}
		<-left.Context().Done()
		left.Ack() // too late
		wantClosed(t, ch)
		wantSettled(t, g, []uint64{1}, map[uint64]string{3: "no"}, 3)
	})
}

// The context of a subscription is that of its messages: a handler may still
// finish what it began, and is told to hurry.
func TestGroupContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		g := newMemGroup(1, 2)
		s := newGroup(t, g, GroupConfig{})
		defer closeGroup(t, s)
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
		ch := subscribeGroup(t, s, ctx)
		m := <-ch
		if m.Context().Value(key{}) != "value" {
			t.Error("a value of the subscriber's context is missing")
		}
		cancel()
		<-m.Context().Done()
		wantNothing(t, ch)
		m.Ack()
		wantClosed(t, ch)
		wantSettled(t, g, []uint64{1}, none, 1)
	})
}

// A handler that was interrupted has not failed.
func TestGroupDoesNotParkWhatWasInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newMemGroup(1)
		g.waiting[0].Retries = 2
		s := newGroup(t, g, GroupConfig{MaxRetries: 2})
		ctx, cancel := context.WithCancel(t.Context())
		ch := subscribeGroup(t, s, ctx)
		m := <-ch
		cancel()
		<-m.Context().Done()
		Nack(m, m.Context().Err())
		wantClosed(t, ch)
		closeGroup(t, s)
		wantSettled(t, g, nil, none, 1)
	})
}

func TestCloseWhateverAGroupSubscriptionWaitsFor(t *testing.T) {
	take := func(ch <-chan *message.Message) *message.Message { m := <-ch; m.Nack(); return m }
	for name, c := range map[string]struct {
		positions []uint64
		refuse    error
		take      func(<-chan *message.Message) *message.Message
	}{
		"for somebody to read": {[]uint64{1, 2}, nil, nil},
		"to give back":         {[]uint64{1, 2}, nil, take},
		"for the log":          {nil, nil, nil},
		"to reconnect":         {nil, errLost, nil},
	} {
		for _, how := range []string{"Close", "context"} {
			t.Run(name+"/"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					hour := Backoff{Min: time.Hour, Max: time.Hour}
					g := newMemGroup(c.positions...)
					g.refuse = func(int) error { return c.refuse }
					s := newGroup(t, g, GroupConfig{Retry: hour, Reconnect: hour, MessageTimeout: 24 * time.Hour,
						Stopped: func(_ string, err error) { t.Errorf("stopped because %v", err) }})
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					ch := subscribeGroup(t, s, ctx)
					if c.take != nil {
						<-c.take(ch).Context().Done()
					}
					synctest.Wait()
					began := time.Now()
					if how == "context" {
						cancel()
						wantClosed(t, ch)
					}
					done := make(chan error)
					for range 3 {
						go func() { done <- s.Close() }()
					}
					for range 3 {
						if err := <-done; err != nil {
							t.Error(err)
						}
					}
					wantClosed(t, ch)
					if d := time.Since(began); d != 0 {
						t.Errorf("it took %s", d)
					}
					if _, err := s.Subscribe(t.Context(), "$all"); !errors.Is(err, ErrClosed) {
						t.Errorf("subscribed after Close: %v", err)
					}
					wantSettled(t, g, nil, none, len(c.positions))
				})
			})
		}
	}
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
