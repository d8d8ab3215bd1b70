package node

import (
	"errors"
	"io"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/google/uuid"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// Read is a consumer of a group: first it says of which, then it is sent
// messages and answers them, for as long as it likes.
func (s *groupService) Read(stream persistent.PersistentSubscriptions_ReadServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	o := first.GetOptions()
	if o == nil {
		return invalid("a persistent subscription begins with its options")
	}
	k, err := keyOfRequest(o)
	if err != nil {
		return err
	}
	if err := s.allow(stream.Context(), opConsume, k.stream); err != nil {
		return err
	}
	g, err := s.groups.get(k)
	if err != nil {
		return groupError(k, err)
	}
	c := &consumer{buffer: int(o.GetBufferSize()), name: "<unknown>"}
	if p, ok := peer.FromContext(stream.Context()); ok {
		c.from = p.Addr.String()
	}
	if l := callerOf(stream.Context()); l != nil {
		c.user = l.Name
	}
	if md, ok := metadata.FromIncomingContext(stream.Context()); ok && len(md.Get("connection-name")) > 0 {
		c.name = md.Get("connection-name")[0]
	}
	if err := g.join(c); err != nil {
		return groupError(k, err)
	}
	defer g.leave(c)
	err = stream.Send(&persistent.ReadResp{Content: &persistent.ReadResp_SubscriptionConfirmation_{
		SubscriptionConfirmation: &persistent.ReadResp_SubscriptionConfirmation{SubscriptionId: k.String()}}})
	if err != nil {
		return err
	}
	answers := make(chan error, 1)
	go func() { answers <- g.answers(stream) }() // ends with the call at the latest
	f := frames{out: stream, stringIDs: o.GetUuidOption().GetString_() != nil}
	for {
		select {
		case d := <-c.deliveries:
			if err := f.sendDelivery(&d); err != nil {
				return err
			}
		case err := <-answers:
			return err
		case <-c.gone:
			return groupError(k, c.err)
		case <-s.stopping.Done():
			return errStopping
		}
	}
}

// answers takes a consumer's acks and nacks until it has no more to say.
func (g *group) answers(stream persistent.PersistentSubscriptions_ReadServer) error {
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch a := req.GetContent().(type) {
		case *persistent.ReadReq_Ack_:
			ids, err := parseIDs(a.Ack.GetIds())
			if err != nil {
				return err
			}
			g.ack(ids)
		case *persistent.ReadReq_Nack_:
			ids, err := parseIDs(a.Nack.GetIds())
			if err != nil {
				return err
			}
			g.nack(actionOf(a.Nack.GetAction()), a.Nack.GetReason(), ids)
		default:
			return invalid("only acks and nacks follow the options of a persistent subscription")
		}
	}
}

// actionOf: an action that is not known is a retry; Stop does what it does in
// EventStoreDB, it skips.
func actionOf(a persistent.ReadReq_Nack_Action) nackAction {
	switch a {
	case persistent.ReadReq_Nack_Park:
		return nackPark
	case persistent.ReadReq_Nack_Skip, persistent.ReadReq_Nack_Stop:
		return nackSkip
	default:
		return nackRetry
	}
}

func parseIDs(in []*shared.UUID) ([]uuid.UUID, error) {
	ids := make([]uuid.UUID, len(in))
	for i, id := range in {
		var err error
		if ids[i], err = parseID(id); err != nil {
			return nil, err
		}
	}
	return ids, nil
}
