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

	"kicau/adapters/command"
)

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
