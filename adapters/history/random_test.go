package history_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"kicau/adapters/command"
	"kicau/adapters/history"
	"kicau/domain/event"
	"kicau/domain/ledger"
	"kicau/domain/offer"
)

// drawHistory draws a file of commands to a handful of shops, offers and
// orders: many at the same time, on scarce stock, some twice, some in an order
// that makes no sense. What is refused and what is not is for the deciders.
func drawHistory(t *rapid.T, prefix string) []string {
	name := func(kind string, most int) string {
		return fmt.Sprint(prefix, kind, rapid.IntRange(0, most).Draw(t, kind))
	}
	small := func(what string, least, most int) int { return rapid.IntRange(least, most).Draw(t, what) }
	n := 0
	tweet := func(o string) string {
		fields := []any{"offer", o, "shop", prefix + "shop" + o[len(o)-1:], "title", o, "price", small("price", 0, 3)}
		if o[len(o)-1] < '2' { // the offers of two shops
			fields[3] = prefix + "shop0"
		} else {
			fields[3] = prefix + "shop1"
		}
		if s := small("stock", -1, 4); s >= 0 {
			fields = append(fields, "stock", s)
		}
		if l := small("limit", -3, 2); l > 0 {
			fields = append(fields, "limitPerBuyer", l)
		}
		if c := small("closes", -20, 10); c > 0 {
			fields = append(fields, "closesAt", at(n+c))
		}
		return line(n, "tweet-offer", fields...)
	}
	onboard := func(s string) string {
		return line(n, "onboard-shop", "shop", s, "name", s, "currency", "GBP", "feeBasisPoints", 250, "shipping", "0.99", "taxes", list(`{"jurisdiction":"GB","basisPoints":2000}`))
	}
	units := func() []any {
		if small("whole", 0, 2) > 0 {
			return nil
		}
		return []any{"units", list(fmt.Sprintf(`{"line":1,"quantity":%d}`, small("units", 0, 3)))}
	}
	var lines []string
	draw := func() string {
		switch what := small("what", 0, 19); what {
		case 0:
			return onboard(name("shop", 1))
		case 1:
			return line(n, "change-fees", "shop", name("shop", 1), "feeBasisPoints", small("fee", 0, 500))
		case 2:
			return line(n, "adjust-shop", "shop", name("shop", 1), "adjustment", name("adjustment", 3), "amount", small("amount", -2, 2))
		case 3:
			return tweet(name("offer", 3))
		case 4:
			return line(n, "reprice", "offer", name("offer", 3), "price", small("price", 0, 3))
		case 5, 6:
			return line(n, "restock", "offer", name("offer", 3), "restock", name("restock", 5), "add", small("add", 1, 3))
		case 7:
			return line(n, "withdraw", "offer", name("offer", 9))
		case 8, 9, 10:
			return line(n, "ship-order", append([]any{"order", name("order", 12)}, units()...)...)
		case 11, 12:
			return line(n, "cancel-order", "order", name("order", 12))
		case 13:
			fields := append([]any{"order", name("order", 12), "refund", name("refund", 5)}, units()...)
			if a := small("amount", -3, 3); a >= 0 {
				fields = append(fields, "amount", a)
			}
			return line(n, "refund-order", fields...)
		case 14:
			if len(lines) > 0 {
				return rapid.SampledFrom(lines).Draw(t, "again") // perhaps out of time order
			}
			return "{}"
		default:
			var asks []string
			first := name("offer", 3)
			asks = append(asks, ask(first, small("quantity", 0, 3)))
			for range small("more lines", 0, 2) {
				asks = append(asks, ask(name("offer", 3), small("quantity", 1, 2)))
			}
			return line(n, "place-order", "order", name("order", 12), "buyer", name("buyer", 2), "lines", list(asks...))
		}
	}
	if small("in order", 0, 3) > 0 {
		lines = append(lines, onboard(prefix+"shop0"), onboard(prefix+"shop1"))
		for o := range 4 {
			lines = append(lines, tweet(fmt.Sprint(prefix, "offer", o)))
		}
	}
	for range small("lines", 1, 60) {
		n += rapid.SampledFrom([]int{0, 0, 0, 1, 5}).Draw(t, "minutes")
		lines = append(lines, draw())
	}
	return lines
}

// scenes are logs that many histories are imported into, each under names of
// its own.
type scenes struct {
	*scene
	start event.Position
}

func (s *scenes) begin(t tester) {
	t.Helper()
	for rec, err := range s.log.ReadAll(context.Background(), command.Backwards, command.ReadFrom{}, command.Filter{}, 1) {
		if err != nil {
			t.Fatalf("read the log: %v", err)
		}
		s.start = rec.Position
	}
}

// since is what was recorded since begin.
func (s *scenes) since(t tester) []event.Recorded {
	t.Helper()
	var all []event.Recorded
	for rec, err := range s.log.ReadAll(context.Background(), command.Forwards, command.ReadFrom{After: s.start}, command.Filter{}, 0) {
		if err != nil {
			t.Fatalf("read the log: %v", err)
		}
		all = append(all, rec)
	}
	return all
}

func newScenes(t *testing.T, n int) (all []*scenes) {
	v := vaultFor(t)
	for range n {
		all = append(all, &scenes{scene: &scene{logFor(t), v}})
	}
	return all
}

// oneByOne lets an item wait for all before it.
func oneByOne(items iter.Seq2[history.Item, error]) iter.Seq2[history.Item, error] {
	return func(yield func(history.Item, error) bool) {
		for item, err := range items {
			item.Alone = true
			if !yield(item, err) {
				return
			}
		}
	}
}

// inTurn imports one line after the other; a line that is rejected adds nothing
// to the log.
func (s *scenes) inTurn(t tester, lines []string) outcome {
	t.Helper()
	var o outcome
	before := len(s.since(t))
	o.Tally, o.err = history.Run(context.Background(), oneByOne(s.importer().JSONLines(strings.NewReader(strings.Join(lines, "\n")))),
		func(r history.Reject) error { o.Rejects = append(o.Rejects, r); return nil },
		func(item history.Item, accepted bool) {
			after := len(s.since(t))
			if !accepted && after > before {
				t.Fatalf("line %d was rejected, yet %d events were written\n%s", item.Lines[0].Line, after-before, lines[item.Lines[0].Line-1])
			}
			if accepted {
				o.accepted = append(o.accepted, item.Lines[0].Line)
			}
			before = after
		})
	if o.err != nil {
		t.Fatalf("the import stopped: %v", o.err)
	}
	return o
}

// lawful checks what holds for whatever was imported.
func lawful(t tester, records []event.Recorded) {
	t.Helper()
	ids := map[uuid.UUID]bool{}
	offers := map[string]offer.State{}
	books := ledger.Balances{}
	for _, e := range decode(t, records) {
		if ids[e.ID] {
			t.Fatalf("event %s (%s) is in the log twice", e.ID, e.Type)
		}
		ids[e.ID] = true
		if strings.HasPrefix(e.Stream, offer.Category) {
			s := offer.Decider.Evolve(offers[e.Stream], e.Body)
			if offers[e.Stream] = s; s.Pooled() && s.Available < 0 {
				t.Fatalf("%s is oversold", e.Stream)
			}
		}
		if entry, posts := ledger.Post(e.Body); posts {
			books.Add(entry)
			if sum := books.Trial(entry.Currency); sum != 0 {
				t.Fatalf("after %s %s the trial balance is %d %s", e.Type, e.ID, sum, entry.Currency)
			}
		}
	}
}

// However many lines are decided at once, the log is as if they had been decided
// in turn; and importing them again adds nothing.
func TestTheOrderOfTheFile(t *testing.T) {
	all := newScenes(t, 2)
	turn, once := all[0], all[1]
	histories := 0
	rapid.Check(t, func(t *rapid.T) {
		histories++
		lines := drawHistory(t, fmt.Sprint("h", histories, "-"))
		turn.begin(t)
		once.begin(t)
		want, got := turn.inTurn(t, lines), once.imports(t, lines...)
		equal(t, "rejects", got.Rejects, want.Rejects)
		equal(t, "accepted lines", got.accepted, want.accepted)
		records := content(turn.since(t))
		equal(t, "the log", content(once.since(t)), records)
		lawful(t, turn.since(t))

		again := once.imports(t, lines...)
		sameAnswers(t, lines, again, want)
		equal(t, "the log, imported again", content(once.since(t)), records)
	})
}

// sameAnswers: what was accepted is accepted again, and nothing else; but a line
// that was refused and, further down, asked for again and done, may be in effect
// by now.
func sameAnswers(t tester, lines []string, got, want outcome) {
	t.Helper()
	done, before := map[string]bool{}, map[int64]bool{}
	for _, n := range want.accepted {
		done[canonical(t, lines[n-1])], before[n] = true, true
	}
	for _, n := range got.accepted {
		if !before[n] && !done[canonical(t, lines[n-1])] {
			t.Fatalf("line %d was refused and is accepted: %s", n, lines[n-1])
		}
		delete(before, n)
	}
	for n := range before {
		t.Fatalf("line %d was accepted and is refused: %s\n%+v", n, lines[n-1], got.Rejects)
	}
}

// canonical is a line without its time, except where a time is all that tells
// it from another.
func canonical(t tester, line string) string {
	var l history.Line
	if err := json.Unmarshal([]byte(line), &l); err != nil {
		t.Fatalf("%v", err)
	}
	if l.Do != "reprice" && l.Do != "change-fees" {
		l.At = time.Time{}
	}
	b, err := json.Marshal(l)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return string(b)
}

// dying is a log whose process is killed at an append: before it is written or
// after, in both cases without an answer.
type dying struct {
	command.Log
	mu      sync.Mutex
	left    int // appends until then
	written bool
}

var errKilled = fmt.Errorf("killed: %w", command.ErrClosed)

func (d *dying) Append(ctx context.Context, stream string, expect command.Expect, events []event.Proposed) (command.Appended, error) {
	d.mu.Lock()
	d.left--
	left := d.left
	d.mu.Unlock()
	if left < 0 && !(left == -1 && d.written) {
		return command.Appended{}, errKilled
	}
	at, err := d.Log.Append(ctx, stream, expect, events)
	if left == -1 {
		return command.Appended{}, errors.Join(errKilled, err)
	}
	return at, err
}

// An import that was killed or stopped anywhere, any number of times, and then
// run again, leaves the log as if nothing had happened.
func TestInterruptedAndRunAgain(t *testing.T) {
	all := newScenes(t, 2)
	whole, cut := all[0], all[1]
	histories := 0
	rapid.Check(t, func(t *rapid.T) {
		histories++
		lines := drawHistory(t, fmt.Sprint("h", histories, "-"))
		whole.begin(t)
		cut.begin(t)
		want := whole.imports(t, lines...)
		for range rapid.IntRange(1, 3).Draw(t, "interruptions") {
			s := &scene{&dying{Log: cut.log, left: rapid.IntRange(0, 80).Draw(t, "appends"), written: rapid.Bool().Draw(t, "written")}, cut.vault}
			ctx, stop := context.WithCancel(context.Background())
			items := rapid.IntRange(1, 80).Draw(t, "items")
			_, err := history.Run(ctx, s.importer().JSONLines(strings.NewReader(strings.Join(lines, "\n"))),
				func(history.Reject) error { return nil },
				func(history.Item, bool) {
					if items--; items == 0 {
						stop()
					}
				})
			stop()
			if err != nil && !errors.Is(err, errKilled) && !errors.Is(err, context.Canceled) {
				t.Fatalf("interrupted by %v", err)
			}
		}
		got := cut.imports(t, lines...)
		sameAnswers(t, lines, got, want)
		equal(t, "the log", content(cut.since(t)), content(whole.since(t)))
		lawful(t, cut.since(t))
	})
}
