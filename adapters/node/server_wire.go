package node

import (
	"strconv"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// An event read is a ReadResp message, written here straight to its bytes. The
// generated type needs a dozen allocations an event (a map for three strings
// among them) and costs more than all the rest of a read; the bytes are the
// same, and a test holds them against the generated type.

// frame is a message that is already encoded.
type frame []byte

// frameCodec is gRPC's protobuf codec, which lets a frame through as it is.
type frameCodec struct{}

var protoCodec = encoding.GetCodecV2(proto.Name)

func (frameCodec) Name() string { return proto.Name }

func (frameCodec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(*frame); ok {
		return mem.BufferSlice{mem.SliceBuffer(*f)}, nil
	}
	return protoCodec.Marshal(v)
}

func (frameCodec) Unmarshal(data mem.BufferSlice, v any) error { return protoCodec.Unmarshal(data, v) }

// Field numbers of streams.proto.
const (
	fieldRespEvent protowire.Number = 1

	fieldEventEvent  protowire.Number = 1
	fieldEventLink   protowire.Number = 2
	fieldEventCommit protowire.Number = 3
	// Of persistent.proto, whose other fields are the same.
	fieldEventRetries protowire.Number = 5

	fieldRecID       protowire.Number = 1
	fieldRecStream   protowire.Number = 2
	fieldRecRevision protowire.Number = 3
	fieldRecPrepare  protowire.Number = 4
	fieldRecCommit   protowire.Number = 5
	fieldRecMetadata protowire.Number = 6
	fieldRecCustom   protowire.Number = 7
	fieldRecData     protowire.Number = 8

	fieldUUIDStructured protowire.Number = 1
	fieldUUIDString     protowire.Number = 2
	fieldStreamName     protowire.Number = 3
	fieldFirst          protowire.Number = 1 // key of a map entry, high half of an id
	fieldSecond         protowire.Number = 2 // its value, the low half
)

// frames writes the messages of one read to its client.
type frames struct {
	out       grpc.ServerStream
	stringIDs bool

	link, small []byte // reused from event to event
	sent        int    // events, since counted
}

// counted returns how many events were sent since it was last called.
func (f *frames) counted() float64 {
	sent := f.sent
	f.sent = 0
	return float64(sent)
}

// send writes an event. original is the record read, whose position it has;
// when it is a link that was resolved, event is its target (nil: gone).
func (f *frames) send(original *record, event *record, isLink bool) error {
	return f.sendEvent(original, event, isLink, nil)
}

// headroom is kept in front of an event for what can only be written after it:
// twice a tag and a length.
const headroom = 2 * (1 + 5)

// sendEvent writes an event, with more fields at its end. A frame is made for
// each, since gRPC keeps what it is given until it is on the wire.
func (f *frames) sendEvent(original *record, event *record, isLink bool, more []byte) error {
	b := make(frame, headroom, headroom+frameSize(original)+frameSize(event))
	if event != nil {
		b = f.recorded(b, event)
	}
	size := len(b) - headroom
	if isLink {
		f.link = f.recorded(f.link[:0], original)
		b = appendBytes(b, fieldEventLink, f.link)
	}
	b = protowire.AppendTag(b, fieldEventCommit, protowire.VarintType)
	b = append(protowire.AppendVarint(b, original.Position), more...)
	start := headroom
	if event != nil {
		start = b.putHeader(start, fieldEventEvent, size)
	}
	start = b.putHeader(start, fieldRespEvent, len(b)-start)
	b = b[start:]
	f.sent++
	return f.out.SendMsg(&b)
}

// frameSize is about what an event takes, and not less unless its names are long.
func frameSize(r *record) int {
	if r == nil {
		return 0
	}
	return len(r.Data) + len(r.Metadata) + len(r.Stream) + len(r.Type) + 160
}

// putHeader writes a field's tag and length before a place, and returns where
// they begin.
func (b frame) putHeader(end int, field protowire.Number, size int) (start int) {
	start = end - protowire.SizeTag(field) - protowire.SizeVarint(uint64(size))
	protowire.AppendVarint(protowire.AppendTag(b[start:start], field, protowire.BytesType), uint64(size))
	return start
}

// sendDelivery writes a message of a persistent subscription. Its fields have
// the numbers of a ReadEvent's in streams.proto, and a count of retries more.
func (f *frames) sendDelivery(d *delivery) error {
	event := d.event
	if !d.isLink {
		event = &d.record
	}
	retries := protowire.AppendTag(nil, fieldEventRetries, protowire.VarintType) // a oneof: 0 is written too
	return f.sendEvent(&d.record, event, d.isLink, protowire.AppendVarint(retries, uint64(d.retries)))
}

// recorded appends the fields of a RecordedEvent.
func (f *frames) recorded(b frame, r *record) frame {
	b = appendBytes(b, fieldRecID, f.id(r.ID))
	f.small = protowire.AppendString(protowire.AppendTag(f.small[:0], fieldStreamName, protowire.BytesType), r.Stream)
	b = appendBytes(b, fieldRecStream, f.small)
	b = appendUint(b, fieldRecRevision, r.Revision)
	b = appendUint(b, fieldRecPrepare, r.Position)
	b = appendUint(b, fieldRecCommit, r.Position)
	b = f.metadata(b, "type", r.Type)
	var created [20]byte
	b = f.metadata(b, "created", string(strconv.AppendInt(created[:0], ticks(r.Created), 10)))
	b = f.metadata(b, "content-type", r.ContentType)
	if len(r.Metadata) > 0 {
		b = appendBytes(b, fieldRecCustom, r.Metadata)
	}
	if len(r.Data) > 0 {
		b = appendBytes(b, fieldRecData, r.Data)
	}
	return b
}

// id is the UUID message of an event's id, in the form the client asked for.
func (f *frames) id(id uuid.UUID) []byte {
	if f.stringIDs {
		f.small = protowire.AppendTag(f.small[:0], fieldUUIDString, protowire.BytesType)
		f.small = protowire.AppendString(f.small, id.String())
		return f.small
	}
	high, low := halves(id)
	var inner [22]byte
	in := appendUint(appendUint(inner[:0], fieldFirst, high), fieldSecond, low)
	f.small = appendBytes(f.small[:0], fieldUUIDStructured, in)
	return f.small
}

func (f *frames) metadata(b []byte, key, value string) []byte {
	b = protowire.AppendTag(b, fieldRecMetadata, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(2+protowire.SizeBytes(len(key))+protowire.SizeBytes(len(value))))
	b = protowire.AppendString(protowire.AppendTag(b, fieldFirst, protowire.BytesType), key)
	return protowire.AppendString(protowire.AppendTag(b, fieldSecond, protowire.BytesType), value)
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

// appendUint leaves out zero, as proto3 does.
func appendUint(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

// The other messages of a read are rare; the generated types do.

func (f *frames) confirm(id uuid.UUID) error {
	return f.out.SendMsg(&streams.ReadResp{Content: &streams.ReadResp_Confirmation{
		Confirmation: &streams.ReadResp_SubscriptionConfirmation{SubscriptionId: id.String()}}})
}

func (f *frames) checkpoint(position uint64) error {
	return f.out.SendMsg(&streams.ReadResp{Content: &streams.ReadResp_Checkpoint_{
		Checkpoint: &streams.ReadResp_Checkpoint{CommitPosition: position, PreparePosition: position}}})
}

func (f *frames) caughtUp() error {
	return f.out.SendMsg(&streams.ReadResp{Content: &streams.ReadResp_CaughtUp_{CaughtUp: &streams.ReadResp_CaughtUp{}}})
}

func (f *frames) streamNotFound(stream string) error {
	return f.out.SendMsg(&streams.ReadResp{Content: &streams.ReadResp_StreamNotFound_{
		StreamNotFound: &streams.ReadResp_StreamNotFound{StreamIdentifier: identifier(stream)}}})
}

func (f *frames) firstStreamPosition(revision uint64) error {
	return f.out.SendMsg(&streams.ReadResp{Content: &streams.ReadResp_FirstStreamPosition{FirstStreamPosition: revision}})
}

func (f *frames) lastStreamPosition(revision uint64) error {
	return f.out.SendMsg(&streams.ReadResp{Content: &streams.ReadResp_LastStreamPosition{LastStreamPosition: revision}})
}

func identifier(stream string) *shared.StreamIdentifier {
	return &shared.StreamIdentifier{StreamName: []byte(stream)}
}
