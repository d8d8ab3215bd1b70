package history_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/adapters/history"
	"kicau/adapters/node"
	"kicau/adapters/vault"
	"kicau/domain"
	"kicau/domain/event"
)

// tester is a *testing.T or a *rapid.T.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

// logFor opens an empty log on disk.
func logFor(t *testing.T) command.Log {
	t.Helper()
	n, err := node.Open(node.Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n.Log()
}

func vaultFor(t *testing.T) *vault.Vault {
	t.Helper()
	v, err := vault.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// scene is a log and what was imported into it.
type scene struct {
	log   command.Log
	vault *vault.Vault
}

func newScene(t *testing.T) *scene { return &scene{logFor(t), vaultFor(t)} }

// importer is a new process: it remembers nothing.
func (s *scene) importer() *history.Importer {
	return history.NewImporter(command.New(s.log, domain.Events), s.vault)
}

// outcome is what an import said.
type outcome struct {
	history.Tally
	Rejects  []history.Reject
	accepted []int64 // lines
	err      error
}

func run(ctx context.Context, items iter.Seq2[history.Item, error]) outcome {
	var o outcome
	o.Tally, o.err = history.Run(ctx, items, func(r history.Reject) error {
		o.Rejects = append(o.Rejects, r)
		return nil
	}, func(item history.Item, accepted bool) {
		for _, l := range item.Lines {
			if accepted {
				o.accepted = append(o.accepted, l.Line)
			}
		}
	})
	slices.Sort(o.accepted)
	slices.SortFunc(o.Rejects, func(a, b history.Reject) int { return int(a.Line - b.Line) })
	return o
}

func (s *scene) read(ctx context.Context, in io.Reader) outcome {
	return run(ctx, s.importer().JSONLines(in))
}

// imports a file of lines, from its beginning to its end.
func (s *scene) imports(t tester, lines ...string) outcome {
	t.Helper()
	before := len(s.records(t, nil))
	o := s.read(context.Background(), strings.NewReader(strings.Join(lines, "\n")))
	if o.err != nil {
		t.Fatalf("the import stopped: %v", o.err)
	}
	if n := int64(len(s.records(t, nil)) - before); o.Events != n {
		t.Fatalf("%d events were appended, and the import says %d", n, o.Events)
	}
	if o.Read != o.Accepted+o.Rejected || int(o.Rejected) != len(o.Rejects) || int(o.Accepted) != len(o.accepted) {
		t.Fatalf("the totals do not add up: %+v, %d rejects, %d accepted lines", o.Tally, len(o.Rejects), len(o.accepted))
	}
	return o
}

// accepts lines, all of them.
func (s *scene) accepts(t tester, lines ...string) outcome {
	t.Helper()
	o := s.imports(t, lines...)
	for _, r := range o.Rejects {
		t.Fatalf("line %d was rejected: %s: %s", r.Line, r.Code, r.Reason)
	}
	return o
}

// records of the whole log, or of the streams that keep says yes to.
func (s *scene) records(t tester, keep func(stream string) bool) []event.Recorded {
	t.Helper()
	var all []event.Recorded
	for rec, err := range s.log.ReadAll(context.Background(), command.Forwards, command.ReadFrom{}, command.Filter{}, 0) {
		if err != nil {
			t.Fatalf("read the log: %v", err)
		}
		if keep == nil || keep(rec.Stream) {
			all = append(all, rec)
		}
	}
	return all
}

func (s *scene) events(t tester) []event.Event {
	t.Helper()
	return decode(t, s.records(t, nil))
}

func decode(t tester, records []event.Recorded) []event.Event {
	t.Helper()
	var all []event.Event
	for _, rec := range records {
		e, err := domain.Events.Decode(rec)
		if err != nil {
			t.Fatalf("decode: %v", err)
		}
		all = append(all, e)
	}
	return all
}

// types of the events that a stream has, with how often in a row if more than
// once.
func (s *scene) types(t tester, stream string) string {
	t.Helper()
	var names []string
	for _, rec := range s.records(t, func(name string) bool { return name == stream }) {
		names = append(names, rec.Type)
	}
	return strings.Join(names, " ")
}

// content of streams, of everything but when and where it was recorded.
func content(records []event.Recorded) map[string][]string {
	streams := map[string][]string{}
	for _, r := range records {
		streams[r.Stream] = append(streams[r.Stream], fmt.Sprintf("%d %s %s %s %s", r.Revision, r.ID, r.Type, r.Data, r.Metadata))
	}
	return streams
}

func stream(kind, name string) string { return kind + "-" + event.NameID(kind, name).String() }

var t0 = time.Date(2011, 1, 4, 10, 0, 0, 0, time.UTC)

// at is the n-th minute of the history.
func at(n int) string { return t0.Add(time.Duration(n) * time.Minute).Format(time.RFC3339) }

// line writes a command at the n-th minute: fields are name, value, name, value.
func line(n int, do string, fields ...any) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"at":%q,"do":%q`, at(n), do)
	for i := 0; i < len(fields); i += 2 {
		value, err := json.Marshal(fields[i+1])
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(&b, `,%q:%s`, fields[i], value)
	}
	b.WriteString("}")
	return b.String()
}

// list is a JSON array of objects as they are written.
func list(objects ...string) json.RawMessage {
	return json.RawMessage("[" + strings.Join(objects, ",") + "]")
}

func ask(offer string, quantity int) string {
	return fmt.Sprintf(`{"offer":%q,"quantity":%d}`, offer, quantity)
}

// Some lines that many stories begin with: a shop in pounds with a mug without
// limit and three posters.
var opening = []string{
	line(0, "onboard-shop", "shop", "potter", "name", "Potter", "currency", "GBP"),
	line(0, "tweet-offer", "offer", "mug", "shop", "potter", "title", "Mug", "price", 12.5),
	line(0, "tweet-offer", "offer", "poster", "shop", "potter", "title", "Poster", "price", 5, "stock", 3),
}

func place(n int, order string, asks ...string) string {
	return line(n, "place-order", "order", order, "buyer", "buyer of "+order, "lines", list(asks...))
}

func id(kind, name string) uuid.UUID { return event.NameID(kind, name) }

func equal[T any](t tester, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}
