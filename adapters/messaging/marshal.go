package messaging

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/event"
)

// Metadata of a message that stands for an event. A Publisher takes the type
// of the event from EventType and keeps none of the others: they are said by
// the log.
const (
	EventID         = "event_id"
	EventType       = "event_type"
	EventStream     = "event_stream"
	EventRevision   = "event_revision" // in its stream, from 0
	EventPosition   = "event_position" // in the log, as [event.ParsePosition] reads it
	EventRecordedAt = "event_recorded_at"
	EventRetries    = "event_retries" // of a group: how often the message came before
)

// Metadata of a message that stands for a page of events.
const (
	PageFirst = "page_first" // position of the first event; not there when the page has none
	PageLast  = "page_last"  // position to go on after
	PageCount = "page_count" // of events
	PageLive  = "page_live"  // "true" once what was there at the beginning has been handed over
)

// said are the keys that are not kept with an event: the log says them itself.
var said = map[string]bool{
	ExpectedRevision: true,
	EventID:          true, EventType: true, EventStream: true, EventRevision: true, EventPosition: true, EventRecordedAt: true, EventRetries: true,
	PageFirst: true, PageLast: true, PageCount: true, PageLive: true,
}

// What is kept beside the metadata of a message so that it comes back as it
// was published.
const (
	keptUUID     = "_watermill_message_uuid"     // a message's UUID that is not an event id
	keptEncoding = "_watermill_payload_encoding" // of a payload that is not JSON
	encodedAs    = "base64"                      // in a JSON string
)

// correlation ids as Watermill's middleware and EventStoreDB call them.
const (
	watermillCorrelation = "correlation_id"
	storeCorrelation     = "$correlationId"
)

// messageIDs is the namespace of event ids that follow from a message's UUID.
var messageIDs = uuid.MustParse("0f0ab2e5-5a0c-4b52-9a07-6d6573736167")

// propose makes an event of a message.
func propose(m *message.Message, defaultType string) (event.Proposed, error) {
	if m.UUID == "" {
		// On the message, so that publishing it again proposes the same event.
		m.UUID = watermill.NewUUID()
	}
	kept := make(map[string]string, len(m.Metadata)+2)
	for k, v := range m.Metadata {
		if !said[k] {
			kept[k] = v
		}
	}
	if c := kept[watermillCorrelation]; c != "" && kept[storeCorrelation] == "" {
		kept[storeCorrelation] = c
	}
	p := event.Proposed{Type: m.Metadata[EventType], Data: m.Payload}
	if p.Type == "" {
		p.Type = defaultType
	}
	var err error
	if p.ID, err = uuid.Parse(m.UUID); err != nil || p.ID == uuid.Nil {
		p.ID = uuid.NewSHA1(messageIDs, []byte(m.UUID))
	}
	if p.ID.String() != m.UUID {
		kept[keptUUID] = m.UUID
	}
	if !json.Valid(m.Payload) {
		kept[keptEncoding] = encodedAs
		p.Data = []byte(`"` + base64.StdEncoding.EncodeToString(m.Payload) + `"`)
	}
	if p.Metadata, err = json.Marshal(kept); err != nil {
		return p, fmt.Errorf("metadata of message %s: %w", m.UUID, err)
	}
	return p, nil
}

// eventMessage makes a message of an event: the other way round.
func eventMessage(ctx context.Context, e event.Recorded) *message.Message {
	m := message.NewMessageWithContext(context.WithValue(ctx, eventKey{}, e), e.ID.String(), e.Data)
	if jsonv2.Unmarshal(e.Metadata, (*texts)(&m.Metadata), lenient) != nil {
		clear(m.Metadata)
	}
	if c := m.Metadata[storeCorrelation]; c != "" && m.Metadata[watermillCorrelation] == "" {
		m.Metadata[watermillCorrelation] = c
	}
	if id, ok := m.Metadata[keptUUID]; ok {
		m.UUID = id
		delete(m.Metadata, keptUUID)
	}
	if m.Metadata[keptEncoding] == encodedAs {
		var text string
		if json.Unmarshal(e.Data, &text) == nil {
			if raw, err := base64.StdEncoding.DecodeString(text); err == nil {
				m.Payload = raw
				delete(m.Metadata, keptEncoding)
			}
		}
	}
	m.Metadata[EventID] = e.ID.String()
	m.Metadata[EventType] = e.Type
	m.Metadata[EventStream] = e.Stream
	m.Metadata[EventRevision] = strconv.FormatUint(e.Revision, 10)
	m.Metadata[EventPosition] = e.Position.String()
	m.Metadata[EventRecordedAt] = e.RecordedAt.UTC().Format(time.RFC3339Nano)
	return m
}

// texts are the strings of a JSON object. Values that are not strings have no place in
// a message; EventOf has them.
type texts message.Metadata

// lenient reads what others have written beside their events: the last of a name that
// stands twice, and text that is no UTF-8.
var lenient = jsonv2.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

func (t *texts) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() != '{' {
		return d.SkipValue()
	}
	for {
		name, err := d.ReadToken() // the first is the brace
		if err != nil || name.Kind() == '}' {
			return err
		}
		if name.Kind() == '{' {
			continue
		}
		key := name.String()
		if d.PeekKind() != '"' {
			delete(*t, key)
			if err := d.SkipValue(); err != nil {
				return err
			}
			continue
		}
		text, err := d.ReadToken()
		if err != nil {
			return err
		}
		(*t)[key] = text.String()
	}
}

// pageMessage makes a message of a page of events. Its payload is empty: the
// events are in the context, in this process only.
func pageMessage(ctx context.Context, p command.Page) *message.Message {
	m := message.NewMessageWithContext(context.WithValue(ctx, pageKey{}, p), "page-"+p.Last.String(), nil)
	if len(p.Events) > 0 {
		m.Metadata[PageFirst] = p.Events[0].Position.String()
	}
	m.Metadata[PageLast] = p.Last.String()
	m.Metadata[PageCount] = strconv.Itoa(len(p.Events))
	m.Metadata[PageLive] = strconv.FormatBool(p.Live)
	return m
}

type (
	eventKey struct{}
	pageKey  struct{}
)

// EventOf gives the event that a message of a Subscriber stands for.
func EventOf(m *message.Message) (event.Recorded, bool) {
	e, ok := m.Context().Value(eventKey{}).(event.Recorded)
	return e, ok
}

// PageOf gives the page that a message of a Subscriber with Pages stands for.
// The page is shared by all who hold the message: do not change it.
func PageOf(m *message.Message) (command.Page, bool) {
	p, ok := m.Context().Value(pageKey{}).(command.Page)
	return p, ok
}
