package messaging

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"kicau/adapters/command"
)

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
