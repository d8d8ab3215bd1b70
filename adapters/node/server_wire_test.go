package node

import (
	"strconv"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// sink keeps what is sent to a client.
type sink struct {
	grpc.ServerStream
	sent [][]byte
}

func (s *sink) SendMsg(m any) error {
	data, err := frameCodec{}.Marshal(m)
	if err == nil {
		s.sent = append(s.sent, data.Materialize())
	}
	return err
}

// TestFramesAreTheGeneratedMessages: what is written by hand is, field by field,
// what the generated types write.
func TestFramesAreTheGeneratedMessages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		out := &sink{}
		f := &frames{out: out, stringIDs: rapid.Bool().Draw(t, "string ids")}
		for range 3 { // buffers are used again
			read, target := anyRecord(t), anyRecord(t)
			want := &streams.ReadResp_ReadEvent{
				Position: &streams.ReadResp_ReadEvent_CommitPosition{CommitPosition: read.Position}}
			var event *record
			isLink := rapid.Bool().Draw(t, "is link")
			switch {
			case !isLink:
				event, want.Event = &read, generated(&read, f.stringIDs)
			case rapid.Bool().Draw(t, "target is there"):
				event, want.Event = &target, generated(&target, f.stringIDs)
				fallthrough
			default:
				want.Link = generated(&read, f.stringIDs)
			}
			if err := f.send(&read, event, isLink); err != nil {
				t.Fatal(err)
			}
			var got streams.ReadResp
			if err := proto.Unmarshal(out.sent[len(out.sent)-1], &got); err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(got.GetEvent(), want) {
				t.Fatalf("got  %v\nwant %v", got.GetEvent(), want)
			}
			if n := len(got.ProtoReflect().GetUnknown()) + len(got.GetEvent().ProtoReflect().GetUnknown()); n > 0 {
				t.Fatalf("%d bytes are of no known field", n)
			}
		}
	})
}

func anyRecord(t *rapid.T) record {
	r := record{
		Position:    rapid.Uint64().Draw(t, "position"),
		Stream:      rapid.String().Draw(t, "stream"),
		Revision:    rapid.Uint64().Draw(t, "revision"),
		Type:        rapid.String().Draw(t, "type"),
		ContentType: rapid.SampledFrom([]string{jsonContent, octetContent}).Draw(t, "content type"),
		Created:     time.Unix(0, rapid.Int64Range(0, 1<<62).Draw(t, "created")),
		Data:        rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "data"),
		Metadata:    rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "metadata"),
	}
	copy(r.ID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
	return r
}

func generated(r *record, stringIDs bool) *streams.ReadResp_ReadEvent_RecordedEvent {
	id := structuredID(r.ID)
	if stringIDs {
		id = &shared.UUID{Value: &shared.UUID_String_{String_: r.ID.String()}}
	}
	return &streams.ReadResp_ReadEvent_RecordedEvent{
		Id:               id,
		StreamIdentifier: identifier(r.Stream),
		StreamRevision:   r.Revision,
		PreparePosition:  r.Position,
		CommitPosition:   r.Position,
		Metadata: map[string]string{
			"type": r.Type, "content-type": r.ContentType,
			"created": strconv.FormatInt(r.Created.UnixNano()/100, 10),
		},
		CustomMetadata: r.Metadata,
		Data:           r.Data,
	}
}
