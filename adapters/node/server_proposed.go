package node

import (
	"encoding/binary"
	"math"
	"unicode/utf8"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/google/uuid"

	"kicau/adapters/command"
)

// What clients send: stream names, revisions, ids and proposed events, checked
// as EventStoreDB checks them.

const (
	allStream       = "$all"
	metadataType    = "type"
	metadataContent = "content-type"
)

// streamName checks a stream's name. "" and "$$" are never streams
// (SystemStreams.IsInvalidStream).
func streamName(id *shared.StreamIdentifier) (string, error) {
	name := string(id.GetStreamName())
	switch {
	case name == "" || name == "$$":
		return "", invalid("%q is not a stream name", name)
	case !utf8.ValidString(name):
		return "", invalid("the stream name %q is not UTF-8", name)
	}
	return name, nil
}

// writableStream is a stream that can be appended to or deleted.
func writableStream(id *shared.StreamIdentifier) (string, error) {
	name, err := streamName(id)
	if err != nil {
		return "", err
	}
	if _, index := indexStream(name); index || name == allStream {
		return "", accessDenied(name, "it cannot be written")
	}
	return name, nil
}

// exactRevision is an expected revision that is a number.
func exactRevision(revision uint64) (int64, error) {
	if revision > math.MaxInt64 {
		return 0, invalid("%d is not a revision", revision)
	}
	return int64(revision), nil
}

// proposedMessage is a proposed event of Append or BatchAppend.
type proposedMessage interface {
	GetId() *shared.UUID
	GetMetadata() map[string]string
	GetCustomMetadata() []byte
	GetData() []byte
}

// proposedEvents gathers the events of one append within its size limit, so
// that what is kept in memory is bounded as well.
type proposedEvents struct {
	events []proposed
	bytes  int
}

func (p *proposedEvents) add(m proposedMessage) error {
	typ, ok := m.GetMetadata()[metadataType]
	if !ok {
		return metadataMissing(metadataType)
	}
	content, ok := m.GetMetadata()[metadataContent]
	if !ok {
		return metadataMissing(metadataContent)
	}
	if typ == "" {
		return invalid("an event has an empty type")
	}
	id, err := parseID(m.GetId())
	if err != nil {
		return err
	}
	if id == uuid.Nil {
		return invalid("an event of type %s has an empty id", typ)
	}
	if content != jsonContent {
		content = octetContent
	}
	p.bytes += len(m.GetData()) + len(m.GetCustomMetadata()) + 2*len(typ)
	if p.bytes > command.MaxAppendBytes {
		return appendTooLarge()
	}
	p.events = append(p.events, proposed{
		ID: id, Type: typ, ContentType: content, Data: m.GetData(), Metadata: m.GetCustomMetadata(),
	})
	return nil
}

func parseID(id *shared.UUID) (uuid.UUID, error) {
	switch v := id.GetValue().(type) {
	case *shared.UUID_Structured_:
		var out uuid.UUID
		binary.BigEndian.PutUint64(out[:8], uint64(v.Structured.GetMostSignificantBits()))
		binary.BigEndian.PutUint64(out[8:], uint64(v.Structured.GetLeastSignificantBits()))
		return out, nil
	case *shared.UUID_String_:
		out, err := uuid.Parse(v.String_)
		if err != nil {
			return uuid.Nil, invalid("%q is not an id", v.String_)
		}
		return out, nil
	default:
		return uuid.Nil, invalid("an id is missing")
	}
}

func structuredID(id uuid.UUID) *shared.UUID {
	high, low := halves(id)
	return &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
		MostSignificantBits: int64(high), LeastSignificantBits: int64(low)}}}
}

func halves(id uuid.UUID) (high, low uint64) {
	return binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
}
