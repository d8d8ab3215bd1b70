package esdb

import (
	"cmp"
	"fmt"
	"strconv"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// The client ends the process (log.Fatalf in protobuf_utils.go) over an event
// whose time of creation is not a number. It decodes with gRPC's registered
// codec, so that is where such an event is turned into an error. Every other
// message goes through as it is.
func init() {
	encoding.RegisterCodecV2(carefulCodec{encoding.GetCodecV2(proto.Name)})
}

type carefulCodec struct{ encoding.CodecV2 }

func (c carefulCodec) Unmarshal(data mem.BufferSlice, v any) error {
	if err := c.CodecV2.Unmarshal(data, v); err != nil {
		return err
	}
	switch m := v.(type) {
	case *streams.ReadResp:
		e := m.GetEvent()
		return cmp.Or(checkCreated(e.GetEvent()), checkCreated(e.GetLink()))
	case *persistent.ReadResp:
		e := m.GetEvent()
		return cmp.Or(checkCreated(e.GetEvent()), checkCreated(e.GetLink()))
	}
	return nil
}

// checkCreated is asked of an event or link, which may be nil.
func checkCreated[E interface {
	comparable
	GetMetadata() map[string]string
}](e E) error {
	var none E
	if e == none {
		return nil
	}
	created := e.GetMetadata()["created"]
	if _, err := strconv.ParseInt(created, 10, 64); err != nil {
		return fmt.Errorf("the server sent an event created at %q, which is no number", created)
	}
	return nil
}
