package messaging

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"kicau/adapters/command"
	"kicau/domain/event"
)

const anID = "3f8e5a6e-5f35-4d0b-8d5c-0a5c2c6d8f10"

func msg(id, payload string, metadata ...string) *message.Message {
	m := message.NewMessage(id, []byte(payload))
	for i := 0; i < len(metadata); i += 2 {
		m.Metadata.Set(metadata[i], metadata[i+1])
	}
	return m
}

func TestOnePublishIsOneAppend(t *testing.T) {
	log := &appendLog{}
	p := NewPublisher(log, PublisherConfig{})
	err := p.Publish("order-1", msg(anID, `{"n": 1}`, EventType, "OrderPlaced", "correlation_id", "c1", "note", "é<"), msg("", `2`), msg("not a uuid", "\xff\x00"))
	if err != nil {
		t.Fatal(err)
	}
	if len(log.appends) != 1 {
		t.Fatalf("%d appends, want 1", len(log.appends))
	}
	a := log.appends[0]
	if a.stream != "order-1" || a.expect != command.Any || len(a.events) != 3 {
		t.Fatalf("appended %d events to %s at %s", len(a.events), a.stream, a.expect)
	}
	first, second, third := a.events[0], a.events[1], a.events[2]
	if first.ID.String() != anID || first.Type != "OrderPlaced" || string(first.Data) != `{"n": 1}` {
		t.Errorf("first: %+v", first)
	}
	var kept map[string]string
	if err := json.Unmarshal(first.Metadata, &kept); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"correlation_id": "c1", "$correlationId": "c1", "note": "é<"}, kept); d != "" {
		t.Errorf("metadata (-want +got):\n%s", d)
	}
	if second.ID == uuid.Nil || second.Type != DefaultEventType || string(second.Metadata) != `{}` {
		t.Errorf("second: %+v", second)
	}
	if third.ID != uuid.NewSHA1(messageIDs, []byte("not a uuid")) || !json.Valid(third.Data) {
		t.Errorf("third: %+v", third)
	}
}

func TestPublishingAgainProposesTheSameEvents(t *testing.T) {
	log := &appendLog{}
	p := NewPublisher(log, PublisherConfig{})
	messages := []*message.Message{msg(anID, `1`, "b", "2", "a", "1", "c", "3"), msg("x", `y`), msg("", ``)}
	for range 2 {
		if err := p.Publish("s", messages...); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(log.appends[0].events, log.appends[1].events); d != "" {
		t.Errorf("the second time (-first +second):\n%s", d)
	}
}

func TestStreamsOfOneCall(t *testing.T) {
	log := &appendLog{}
	p := NewPublisher(log, PublisherConfig{DefaultType: "T", Stream: func(topic string, m *message.Message) (string, error) {
		return topic + "-" + m.Metadata.Get("key"), nil
	}})
	a1, b1, a2 := msg("1", `1`, "key", "a"), msg("2", `2`, "key", "b"), msg("3", `3`, "key", "a")
	ExpectRevision(b1, command.NoStream)
	ExpectRevision(a2, command.At(7))
	if err := p.Publish("order", a1, b1, a2); err != nil {
		t.Fatal(err)
	}
	if len(log.appends) != 2 {
		t.Fatalf("%d appends, want 2", len(log.appends))
	}
	for i, want := range []struct {
		stream string
		expect command.Expect
		data   []string
	}{{"order-a", command.At(7), []string{"1", "3"}}, {"order-b", command.NoStream, []string{"2"}}} {
		a := log.appends[i]
		var data []string
		for _, e := range a.events {
			data = append(data, string(e.Data))
			if e.Type != "T" || strings.Contains(string(e.Metadata), ExpectedRevision) {
				t.Errorf("event %+v", e)
			}
		}
		if a.stream != want.stream || a.expect != want.expect || !cmp.Equal(data, want.data) {
			t.Errorf("append %d: %s at %s of %s", i, a.stream, a.expect, data)
		}
	}
}

func TestPublishRefusesBeforeWriting(t *testing.T) {
	differ := msg("2", `2`)
	ExpectRevision(differ, command.At(2))
	first := msg("1", `1`)
	ExpectRevision(first, command.At(1))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	late := msg("3", `3`)
	late.SetContext(ended)
	for name, c := range map[string]struct {
		topic    string
		messages []*message.Message
	}{
		"everything":            {"$all", []*message.Message{msg("1", `1`)}},
		"a category":            {"category:order", []*message.Message{msg("1", `1`)}},
		"an empty name":         {"", []*message.Message{msg("1", `1`)}},
		"differing revisions":   {"s", []*message.Message{first, differ}},
		"a nonsense revision":   {"s", []*message.Message{msg("1", `1`, ExpectedRevision, "x")}},
		"a negative revision":   {"s", []*message.Message{msg("1", `1`, ExpectedRevision, "-3")}},
		"the second of them":    {"s", []*message.Message{msg("1", `1`), msg("1", `1`, ExpectedRevision, "")}},
		"a context that ended":  {"s", []*message.Message{late}},
		"one of those contexts": {"s", []*message.Message{msg("1", `1`), late}},
	} {
		log := &appendLog{}
		if err := NewPublisher(log, PublisherConfig{}).Publish(c.topic, c.messages...); err == nil {
			t.Errorf("%s: no error", name)
		}
		if len(log.appends) != 0 {
			t.Errorf("%s: appended %v", name, log.appends)
		}
	}
}

func TestAnAppendEndsWithAnyOfItsContextsOrItsTime(t *testing.T) {
	wait := func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }
	synctest.Test(t, func(t *testing.T) {
		p := NewPublisher(&appendLog{answer: wait}, PublisherConfig{AppendTimeout: time.Minute})
		began := time.Now()
		if err := p.Publish("s", msg("1", `1`)); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("%v after %s, want the deadline after a minute", err, time.Since(began))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p := NewPublisher(&appendLog{answer: wait}, PublisherConfig{})
		ctx, cancel := context.WithCancel(t.Context())
		second := msg("2", `2`)
		second.SetContext(ctx)
		time.AfterFunc(time.Second, cancel)
		if err := p.Publish("s", msg("1", `1`), second); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want context.Canceled", err)
		}
	})
}

func TestErrorsOfTheLogComeThrough(t *testing.T) {
	conflict := &command.WrongRevision{Stream: "s", Expected: command.At(1), Actual: command.At(4)}
	for _, want := range []error{conflict, command.ErrTooLarge, command.ErrUnknownOutcome, command.ErrStreamDeleted} {
		p := NewPublisher(&appendLog{answer: func(context.Context, string) error { return want }}, PublisherConfig{})
		err := p.Publish("s", msg("1", `1`))
		if !errors.Is(err, want) {
			t.Errorf("%v, want %v in it", err, want)
		}
		var wrong *command.WrongRevision
		if errors.As(err, &wrong) != (want == conflict) {
			t.Errorf("%v as a WrongRevision: %v", err, wrong)
		}
	}
	p := NewPublisher(&appendLog{}, PublisherConfig{})
	if err := errors.Join(p.Publish("s"), p.Close(), p.Close()); err != nil {
		t.Error(err)
	}
	if err := p.Publish("s", msg("1", `1`)); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestExpectations(t *testing.T) {
	for _, e := range []command.Expect{command.Any, command.NoStream, command.At(0), command.At(1 << 60)} {
		m := msg("1", `1`)
		ExpectRevision(m, e)
		if got, err := parseExpect(m.Metadata.Get(ExpectedRevision)); err != nil || got != e {
			t.Errorf("%s came back as %s, %v", e, got, err)
		}
	}
}

// A message comes back as it was published.
func TestMessagesComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.OneOf(rapid.Just(anID), rapid.Just(strings.ToUpper(anID)), rapid.Just(uuid.Nil.String()), rapid.String()).Draw(t, "id")
		payload := rapid.OneOf(rapid.SliceOf(rapid.Byte()), rapid.SampledFrom([][]byte{nil, []byte(`{"a":1}`), []byte(`"YQ=="`), []byte(`null`), []byte(" 1 ")})).Draw(t, "payload")
		m := message.NewMessage(id, payload)
		for k, v := range rapid.MapOfN(rapid.String(), rapid.String(), 0, 4).Draw(t, "metadata") {
			m.Metadata.Set(k, v)
		}
		sent := m.Copy()
		p, err := propose(m, "T")
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(p.Data) || !json.Valid(p.Metadata) {
			t.Fatalf("not JSON: %s, %s", p.Data, p.Metadata)
		}
		sent.UUID = m.UUID // an empty one was filled in
		got := eventMessage(context.Background(), event.Recorded{ID: p.ID, Type: p.Type, Data: p.Data, Metadata: p.Metadata})
		for k := range said {
			delete(got.Metadata, k)
		}
		if string(got.Payload) != string(sent.Payload) || got.UUID != sent.UUID || !cmp.Equal(got.Metadata, sent.Metadata) {
			t.Fatalf("sent %q %q %q\n got %q %q %q", sent.UUID, sent.Payload, sent.Metadata, got.UUID, got.Payload, got.Metadata)
		}
	})
}

func TestMessageOfAnEventThatNobodyPublishedHere(t *testing.T) {
	e := recorded(7)
	got := eventMessage(t.Context(), e)
	want := message.Metadata{
		"$correlationId": "c", "correlation_id": "c", "actor": "test", // schemaVersion is a number
		EventID: e.ID.String(), EventType: "Counted", EventStream: "count-1", EventRevision: "6",
		EventPosition: "C:7/P:7", EventRecordedAt: "1970-01-01T00:00:07Z",
	}
	if d := cmp.Diff(want, got.Metadata); d != "" {
		t.Errorf("metadata (-want +got):\n%s", d)
	}
	if got.UUID != e.ID.String() || string(got.Payload) != "7" {
		t.Errorf("message %s, %s", got.UUID, got.Payload)
	}
	if back, ok := EventOf(got); !ok || !cmp.Equal(back, e) {
		t.Errorf("event %+v", back)
	}
	// Published on, it keeps its id and its type and nothing of where it was.
	p, err := propose(got, "T")
	if err != nil || p.ID != e.ID || p.Type != "Counted" || string(p.Metadata) != `{"$correlationId":"c","actor":"test","correlation_id":"c"}` {
		t.Errorf("published on: %+v, %v", p, err)
	}
	for _, odd := range []string{``, `null`, `[]`, `"x"`, `{`, `{"_watermill_payload_encoding":"base64"}`} {
		e.Metadata = []byte(odd)
		if m := eventMessage(t.Context(), e); string(m.Payload) != "7" || m.UUID != e.ID.String() {
			t.Errorf("metadata %q: message %s, %s", odd, m.UUID, m.Payload)
		}
	}
}

// A message has the strings of its event's metadata, as encoding/json reads them;
// what is no string it leaves out.
func TestMessageMetadata(t *testing.T) {
	metadata := []byte(`{"plain":"a b","":"no name","escaped":"\"a\"\\\u00fc","umlaut":"ü","broken":"` + "a\xff" + `","empty":"",
		"none":null,"number":1e999,"list":["a"],"object":{"a":"b"},"twice":"first","twice":"second"}`)
	m := eventMessage(context.Background(), event.Recorded{ID: uuid.New(), Type: "t", Data: []byte("{}"), Metadata: metadata})
	want := map[string]string{"plain": "a b", "": "no name", "escaped": `"a"\ü`, "umlaut": "ü", "broken": "a\ufffd", "empty": "", "twice": "second"}
	for k, v := range want {
		if got, has := m.Metadata[k]; !has || got != v {
			t.Errorf("%q is %q (%v), want %q", k, got, has, v)
		}
	}
	for _, k := range []string{"none", "number", "list", "object"} {
		if got, has := m.Metadata[k]; has {
			t.Errorf("%q is no string, and the message has %q", k, got)
		}
	}
}
