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
	"pgregory.net/rapid"

	"kicau/adapters/command"
	"kicau/domain/event"
)

// A synctest bubble fails when a goroutine is left over, and its clock is
// virtual: pauses take no time and can be measured exactly.

func subscribe(t *testing.T, s *Subscriber, ctx context.Context) <-chan *message.Message {
	t.Helper()
	ch, err := s.Subscribe(ctx, "$all")
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

func wantEvent(t *testing.T, m *message.Message, n uint64) {
	t.Helper()
	if m == nil {
		t.Fatalf("the channel is closed, want event %d", n)
	}
	if e, ok := EventOf(m); !ok || e.Position != event.At(n) {
		t.Fatalf("got event %s, want %d", e.Position, n)
	}
}

func wantNothing(t *testing.T, ch <-chan *message.Message) {
	t.Helper()
	synctest.Wait()
	select {
	case m, open := <-ch:
		t.Fatalf("got %v (open %t), want nothing yet", m, open)
	default:
	}
}

func wantClosed(t *testing.T, ch <-chan *message.Message) {
	t.Helper()
	if m, open := <-ch; open {
		t.Fatalf("got message %s, want the end of the channel", m.UUID)
	}
}

func TestOneMessageAtATimeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSubscriber(pages(page(2, 1, 2), page(3, 3)), SubscriberConfig{})
		ch := subscribe(t, s, t.Context())
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
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		wantClosed(t, ch)
	})
}

func TestNackBringsTheSameMessageAgainAfterAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := Backoff{Min: time.Second, Max: 5 * time.Second}
		s := NewSubscriber(pages(page(2, 1, 2)), SubscriberConfig{Redeliver: b})
		defer s.Close()
		ch := subscribe(t, s, t.Context())
		bound := b.Min
		for range 6 {
			m := <-ch
			wantEvent(t, m, 1)
			nacked := time.Now()
			m.Nack()
			<-m.Context().Done()
			again := <-ch
			wantEvent(t, again, 1)
			if again == m {
				t.Fatal("the nacked message itself came again")
			}
			if d := time.Since(nacked); d < b.Min || d > bound {
				t.Fatalf("redelivered after %s, want %s to %s", d, b.Min, bound)
			}
			bound = min(2*bound, b.Max)
			again.Nack()
			bound = min(2*bound, b.Max)
		}
		m := <-ch
		wantEvent(t, m, 1)
		m.Ack()
		m = <-ch
		wantEvent(t, m, 2)
		nacked := time.Now()
		m.Nack()
		m = <-ch
		if d := time.Since(nacked); d != b.Min {
			t.Errorf("the first redelivery of the next message came after %s, want %s", d, b.Min)
		}
		m.Ack()
	})
}

func TestPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		live := page(9)
		live.Live = true
		s := NewSubscriber(pages(page(3, 1, 2), page(7), live), SubscriberConfig{Pages: true})
		defer s.Close()
		ch := subscribe(t, s, t.Context())
		for _, want := range []struct {
			last, events uint64
			metadata     message.Metadata
		}{
			{3, 2, message.Metadata{PageFirst: "C:1/P:1", PageLast: "C:3/P:3", PageCount: "2", PageLive: "false"}},
			{7, 0, message.Metadata{PageLast: "C:7/P:7", PageCount: "0", PageLive: "false"}},
			{9, 0, message.Metadata{PageLast: "C:9/P:9", PageCount: "0", PageLive: "true"}},
		} {
			for _, nack := range []bool{true, false} {
				m := <-ch
				p, ok := PageOf(m)
				if !ok || p.Last != event.At(want.last) || len(p.Events) != int(want.events) || len(m.Payload) != 0 {
					t.Fatalf("got %+v (%t), want a page of %d events up to %d", p, ok, want.events, want.last)
				}
				if fmt.Sprint(m.Metadata) != fmt.Sprint(want.metadata) {
					t.Fatalf("metadata %v, want %v", m.Metadata, want.metadata)
				}
				if _, ok := EventOf(m); ok {
					t.Fatal("a page is taken for an event")
				}
				if nack {
					m.Nack()
				} else {
					m.Ack()
				}
			}
		}
	})
}

func TestPagesWithoutEventsMoveTheSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &scriptedLog{subscribe: func(ctx context.Context, call int, _ event.Position, yield func(command.Page, error) bool) {
			if call == 0 {
				yield(page(5, 2), nil)
				yield(page(50), nil)
				yield(command.Page{}, errLost)
				return
			}
			yield(page(60, 60), nil)
			<-ctx.Done()
		}}
		s := NewSubscriber(log, SubscriberConfig{})
		defer s.Close()
		ch := subscribe(t, s, t.Context())
		m := <-ch
		wantEvent(t, m, 2)
		m.Ack()
		wantEvent(t, <-ch, 60)
		if got, want := log.began(), []event.Position{{}, event.At(50)}; !slices.Equal(got, want) {
			t.Errorf("subscribed after %v, want %v", got, want)
		}
	})
}

func TestASubscriptionOfAStreamLetsOnlyItsEventsThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := page(4, 1, 2, 3)
		p.Events[1].Stream = "count-10" // passes the filter of prefixes
		for _, inPages := range []bool{false, true} {
			s := NewSubscriber(pages(p), SubscriberConfig{Pages: inPages})
			ch, err := s.Subscribe(t.Context(), "count-1")
			if err != nil {
				t.Fatal(err)
			}
			m := <-ch
			if inPages {
				got, _ := PageOf(m)
				if len(got.Events) != 2 || got.Events[1].Position != event.At(3) || got.Last != event.At(4) {
					t.Errorf("page %+v", got)
				}
			} else {
				wantEvent(t, m, 1)
				m.Ack()
				wantEvent(t, <-ch, 3)
			}
			s.Close()
		}
		if p.Events[1].Stream != "count-10" {
			t.Error("the log's own page was changed")
		}
	})
}

// Whatever is lost or nacked, each event is acked once, in order.
func TestNothingIsLostOrRepeatedAcrossLostSubscriptions(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		last := rapid.Uint64Range(1, 30).Draw(rt, "events")
		inPages := rapid.Bool().Draw(rt, "pages")
		losses := rapid.SliceOfN(rapid.IntRange(0, 4), 0, 8).Draw(rt, "pages until lost, by subscription")
		sizes := rapid.SliceOfN(rapid.Uint64Range(0, 5), 5, 5).Draw(rt, "page sizes")
		nacks := rapid.SliceOfN(rapid.IntRange(0, 4), 1, 20).Draw(rt, "one in so many is nacked")
		start := rapid.Uint64Range(0, last).Draw(rt, "start")
		log := &scriptedLog{subscribe: func(ctx context.Context, call int, after event.Position, yield func(command.Page, error) bool) {
			for i, next := 0, after.Commit+1; next <= last; i++ {
				if call < len(losses) && i == losses[call] {
					yield(command.Page{}, errLost)
					return
				}
				end := min(next+sizes[i%len(sizes)], last+1)
				var positions []uint64
				for ; next < end; next++ {
					positions = append(positions, next)
				}
				if !yield(page(end-1, positions...), nil) {
					return
				}
			}
			<-ctx.Done()
		}}
		if !slices.ContainsFunc(sizes, func(n uint64) bool { return n > 0 }) {
			sizes[0] = 1 // else it never gets on
		}
		var failure string
		synctest.Test(t, func(t *testing.T) {
			s := NewSubscriber(log, SubscriberConfig{Pages: inPages,
				From: func(context.Context, string) (event.Position, error) { return event.At(start), nil }})
			defer s.Close()
			failure = consume(subscribe(t, s, t.Context()), start, last, nacks)
		})
		if failure != "" {
			rt.Fatal(failure)
		}
	})
}

// consume acks events start+1 to last, nacking now and then, and says what was
// wrong with what came.
func consume(ch <-chan *message.Message, start, last uint64, nacks []int) (failure string) {
	acked := start
	for i := 0; acked < last; i++ {
		m := <-ch
		var got []event.Recorded
		to := acked
		if p, ok := PageOf(m); ok {
			got, to = p.Events, p.Last.Commit
		} else if e, ok := EventOf(m); ok {
			got, to = []event.Recorded{e}, e.Position.Commit
		}
		for i, e := range got {
			if e.Position != event.At(acked+1+uint64(i)) {
				return fmt.Sprintf("event %s after %d were acked", e.Position, acked)
			}
		}
		if acked+uint64(len(got)) != to {
			return fmt.Sprintf("%d events lead from %d to %d", len(got), acked, to)
		}
		if n := nacks[i%len(nacks)]; n > 0 && i%(n+1) == n {
			m.Nack()
			continue
		}
		m.Ack()
		acked = to
	}
	return ""
}

func TestReconnectPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lost = 8
		b := Backoff{Min: time.Second, Max: 10 * time.Second}
		var at []time.Time
		log := &scriptedLog{subscribe: func(ctx context.Context, call int, _ event.Position, yield func(command.Page, error) bool) {
			at = append(at, time.Now())
			switch call {
			case lost:
				yield(page(1, 1), nil) // then it ends without saying why
			case lost + 1:
				<-ctx.Done()
			default:
				yield(command.Page{}, errLost)
			}
		}}
		s := NewSubscriber(log, SubscriberConfig{Reconnect: b})
		ch := subscribe(t, s, t.Context())
		(<-ch).Ack()
		time.Sleep(time.Minute)
		s.Close()
		if len(at) != lost+2 {
			t.Fatalf("%d subscriptions, want %d", len(at), lost+2)
		}
		bound := b.Min
		for i, next := range at[1 : lost+1] {
			if d := next.Sub(at[i]); d < b.Min || d > bound {
				t.Errorf("pause %d was %s, want %s to %s", i, d, b.Min, bound)
			}
			bound = min(2*bound, b.Max)
		}
		if d := at[lost+1].Sub(at[lost]); d != b.Min {
			t.Errorf("the pause after a page got through was %s, want %s again", d, b.Min)
		}
	})
}

func TestWhatEndsASubscription(t *testing.T) {
	for name, c := range map[string]struct {
		script []any // pages and errors
		want   error
	}{
		"the log is closed":         {[]any{page(1, 1), fmt.Errorf("here: %w", command.ErrClosed)}, command.ErrClosed},
		"an event goes back":        {[]any{page(5, 1, 5), page(7, 4)}, ErrLogWentBack},
		"an event comes again":      {[]any{page(5, 1, 5), page(7, 5)}, ErrLogWentBack},
		"events are out of order":   {[]any{page(7, 1, 5, 4)}, ErrLogWentBack},
		"a page goes back":          {[]any{page(5, 1, 5), page(4)}, ErrLogWentBack},
		"a page ends before itself": {[]any{page(4, 1, 5)}, ErrLogWentBack},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &scriptedLog{subscribe: func(_ context.Context, _ int, _ event.Position, yield func(command.Page, error) bool) {
					for _, step := range c.script {
						switch step := step.(type) {
						case command.Page:
							if !yield(step, nil) {
								return
							}
						case error:
							yield(command.Page{}, step)
							return
						}
					}
				}}
				var reason error
				s := NewSubscriber(log, SubscriberConfig{Pages: true, Stopped: func(topic string, err error) { reason = err }})
				for m := range subscribe(t, s, t.Context()) {
					m.Ack()
				}
				if !errors.Is(reason, c.want) {
					t.Errorf("stopped because %v, want %v", reason, c.want)
				}
				if n := len(log.began()); n != 1 {
					t.Errorf("%d subscriptions, want 1", n)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestCloseWhateverASubscriptionWaitsFor(t *testing.T) {
	hang := &scriptedLog{subscribe: func(ctx context.Context, _ int, _ event.Position, yield func(command.Page, error) bool) { <-ctx.Done() }}
	lost := &scriptedLog{subscribe: func(_ context.Context, _ int, _ event.Position, yield func(command.Page, error) bool) {
		yield(command.Page{}, errLost)
	}}
	for name, c := range map[string]struct {
		log  command.Log
		take func(<-chan *message.Message) *message.Message
	}{
		"for somebody to read": {pages(page(2, 1, 2)), nil},
		"for an ack":           {pages(page(2, 1, 2)), func(ch <-chan *message.Message) *message.Message { return <-ch }},
		"to redeliver":         {pages(page(2, 1, 2)), func(ch <-chan *message.Message) *message.Message { m := <-ch; m.Nack(); return m }},
		"for the log":          {hang, nil},
		"to reconnect":         {lost, nil},
	} {
		for _, how := range []string{"Close", "context"} {
			t.Run(name+"/"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					hour := Backoff{Min: time.Hour, Max: time.Hour}
					s := NewSubscriber(c.log, SubscriberConfig{Redeliver: hour, Reconnect: hour,
						Stopped: func(_ string, err error) { t.Errorf("stopped because %v", err) }})
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					ch := subscribe(t, s, ctx)
					var m *message.Message
					if c.take != nil {
						m = c.take(ch)
					}
					synctest.Wait()
					began := time.Now()
					if how == "context" {
						cancel()
						wantClosed(t, ch)
					} else {
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
					}
					if m != nil {
						<-m.Context().Done()
					}
					if err := s.Close(); err != nil {
						t.Errorf("closed again: %v", err)
					}
					if d := time.Since(began); d != 0 {
						t.Errorf("it took %s", d)
					}
					if _, err := s.Subscribe(t.Context(), "$all"); !errors.Is(err, ErrClosed) {
						t.Errorf("subscribed after Close: %v", err)
					}
				})
			})
		}
	}
}

func TestCloseDoesNotWaitForEverForTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := NewSubscriber(&scriptedLog{subscribe: func(context.Context, int, event.Position, func(command.Page, error) bool) { <-release }}, SubscriberConfig{})
		subscribe(t, s, t.Context())
		began := time.Now()
		if err := s.Close(); err == nil || time.Since(began) != closeTimeout {
			t.Errorf("Close returned %v after %s, want an error after %s", err, time.Since(began), closeTimeout)
		}
		close(release)
	})
}

func TestTheSubscribersContextIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		s := NewSubscriber(pages(page(1, 1)), SubscriberConfig{})
		defer s.Close()
		m := <-subscribe(t, s, context.WithValue(t.Context(), key{}, "value"))
		if m.Context().Value(key{}) != "value" {
			t.Error("a value of the subscriber's context is missing")
		}
	})
}

func TestSubscribeRefuses(t *testing.T) {
	unknown := errors.New("no checkpoint")
	s := NewSubscriber(pages(), SubscriberConfig{From: func(context.Context, string) (event.Position, error) { return event.Position{}, unknown }})
	defer s.Close()
	if _, err := s.Subscribe(t.Context(), "$all"); !errors.Is(err, unknown) {
		t.Errorf("%v, want %v", err, unknown)
	}
	if _, err := s.Subscribe(t.Context(), ""); err == nil {
		t.Error("an empty topic: no error")
	}
}

func TestBackoff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := func(name string) time.Duration {
			return time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, name))
		}
		b := Backoff{d("min"), d("max")}.orDefault(DefaultReconnect)
		n := rapid.IntRange(0, 1000).Draw(t, "n")
		if got := b.after(n); b.Min <= 0 || b.Max < b.Min || got < b.Min || got > b.Max {
			t.Fatalf("pause %s of %+v", got, b)
		}
	})
}
