package node

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/event"
)

// groupPort is the node's persistent subscriptions as the port that the rest of
// Kicau uses, in process.
type groupPort struct{ groups *groups }

var _ command.Groups = groupPort{}

// Settings of groups that are made through the port.
const (
	portHistoryBuffer = 512
	portReadBatch     = 256
	portMaxCheckpoint = 1024
	portCheckpointMS  = 1000
)

func keyOf(g command.Group) groupKey {
	if g.Stream == "" {
		return groupKey{allStream, g.Name}
	}
	return groupKey{g.Stream, g.Name}
}

// portError says in the port's words what went wrong.
func portError(g command.Group, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errNoGroup), errors.Is(err, errGroupDeleted):
		return command.NoGroup(g)
	case errors.Is(err, errStopping):
		return fmt.Errorf("group %s: %w", g, command.ErrClosed)
	default:
		return fmt.Errorf("group %s: %w", g, err)
	}
}

// EnsureGroup makes a group with settings that suit its size and place.
func (p groupPort) EnsureGroup(ctx context.Context, g command.Group, s command.GroupSettings) error {
	c, err := portConfig(g, s)
	if err == nil {
		err = p.groups.create(ctx, c)
	}
	if errors.Is(err, errGroupExists) {
		return nil
	}
	return portError(g, err)
}

func portConfig(g command.Group, s command.GroupSettings) (groupConfig, error) {
	timeout := s.MessageTimeout
	if timeout <= 0 {
		timeout = command.DefaultMessageTimeout
	}
	k := keyOf(g)
	c := groupConfig{
		Stream: k.stream, Group: k.name, Start: "0",
		HistoryBuffer: portHistoryBuffer, LiveBuffer: portHistoryBuffer, ReadBatch: portReadBatch,
		MinCheckpoint: 1, MaxCheckpoint: portMaxCheckpoint, CheckpointMS: portCheckpointMS,
		MaxRetries: int32(min(s.MaxRetries, command.MaxGroupRetries)), MessageTimeoutMS: int32(min(timeout.Milliseconds(), math.MaxInt32)),
		Strategy: roundRobin,
	}
	if s.MaxRetries <= 0 {
		c.MaxRetries = command.MaxGroupRetries
	}
	if s.Ordered {
		c.Strategy = dispatchToSingle
	}
	if s.FromEnd {
		c.Start = startEnd
	}
	if !c.all() {
		if len(s.Filter.StreamPrefixes)+len(s.Filter.Types) > 0 {
			return c, errors.New("only a group of the whole log can have a filter")
		}
		c.ResolveLinks = isSystem(c.Stream)
		return c, nil
	}
	switch f := s.Filter; {
	case len(f.StreamPrefixes) > 0 && len(f.Types) > 0:
		return c, errors.New("a group's filter is by prefixes of streams or by types, not both")
	case len(f.Types) > 0:
		c.Filter = &groupFilter{ByType: true, Regex: exactly(f.Types)}
	case len(f.StreamPrefixes) > 0:
		c.Filter = &groupFilter{Prefixes: slices.DeleteFunc(slices.Clone(f.StreamPrefixes), isSystem)}
	default:
		c.Filter = &groupFilter{Regex: userStreams}
	}
	return c, nil
}

// userStreams leaves out the streams of the system.
const userStreams = `^[^\$].*`

// exactly is a regular expression for these words and no others.
func exactly(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = regexp.QuoteMeta(w)
	}
	return `^(?:` + strings.Join(quoted, "|") + `)\z` // .NET's $ also matches before a last line feed
}

// DeleteGroup forgets a group and what it kept.
func (p groupPort) DeleteGroup(ctx context.Context, g command.Group) error {
	return portError(g, p.groups.delete(ctx, keyOf(g)))
}

// Consume connects to a group.
func (p groupPort) Consume(_ context.Context, g command.Group, buffer int) (command.Consumer, error) {
	group, err := p.groups.get(keyOf(g))
	if err != nil {
		return nil, portError(g, err)
	}
	if buffer <= 0 {
		buffer = command.DefaultGroupBuffer
	}
	c := &consumer{from: "in process", name: "in process", buffer: buffer}
	if err := group.join(c); err != nil {
		return nil, portError(g, err)
	}
	return &portConsumer{of: g, consumer: c, closed: make(chan struct{})}, nil
}

// portConsumer is a consumer in this process.
type portConsumer struct {
	of       command.Group
	consumer *consumer
	once     sync.Once
	closed   chan struct{}
}

// errConsumerClosed is what a consumer says after its Close.
var errConsumerClosed = errors.New("the consumer is closed")

// Next waits for a delivery. Whoever may see events of system streams by a
// filter on types does not see them here.
func (c *portConsumer) Next(ctx context.Context) (command.Delivery, error) {
	for {
		select {
		case <-c.closed: // before what the group has taken back
			return command.Delivery{}, portError(c.of, errConsumerClosed)
		default:
		}
		select {
		case <-c.closed:
			return command.Delivery{}, portError(c.of, errConsumerClosed)
		case d := <-c.consumer.deliveries:
			out := command.Delivery{Retries: int(d.retries), Token: d.record.ID}
			switch {
			case !d.isLink:
				out.Event = recorded(d.record)
			case d.event != nil:
				out.Event = recorded(*d.event)
			}
			if c.of.Stream == "" && isSystem(out.Event.Stream) {
				c.consumer.group.ack([]uuid.UUID{d.record.ID})
				continue
			}
			return out, nil
		case <-c.consumer.gone:
			return command.Delivery{}, portError(c.of, c.consumer.err)
		case <-ctx.Done():
			return command.Delivery{}, ctx.Err()
		}
	}
}

func (c *portConsumer) answer(d command.Delivery, f func(ids []uuid.UUID)) error {
	id, ok := d.Token.(uuid.UUID)
	if !ok {
		return fmt.Errorf("group %s: the delivery is not one of this consumer's", c.of)
	}
	select {
	case <-c.closed: // it may be with another by now
		return portError(c.of, errConsumerClosed)
	case <-c.consumer.gone:
		return portError(c.of, c.consumer.err)
	default:
		f([]uuid.UUID{id})
		return nil
	}
}

func (c *portConsumer) Ack(d command.Delivery) error {
	return c.answer(d, c.consumer.group.ack)
}

func (c *portConsumer) Retry(d command.Delivery, reason string) error {
	return c.answer(d, func(ids []uuid.UUID) { c.consumer.group.nack(nackRetry, reason, ids) })
}

func (c *portConsumer) Park(d command.Delivery, reason string) error {
	return c.answer(d, func(ids []uuid.UUID) { c.consumer.group.nack(nackPark, reason, ids) })
}

func (c *portConsumer) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.consumer.group.leave(c.consumer)
	})
	return nil
}

// GroupInfo tells how far a group is.
func (p groupPort) GroupInfo(_ context.Context, g command.Group) (command.GroupInfo, error) {
	group, err := p.groups.get(keyOf(g))
	if err != nil {
		return command.GroupInfo{}, portError(g, err)
	}
	return group.portInfo()
}

func (g *group) portInfo() (command.GroupInfo, error) {
	i := g.info()
	out := command.GroupInfo{
		Group: command.Group{Name: i.config.Group}, Unsettled: i.waiting + i.retrying + i.out, Parked: i.parked, Consumers: len(i.consumers),
	}
	if g.config.all() {
		out.Seen = event.At(i.next - min(i.next, 1))
		return out, nil
	}
	out.Group.Stream = i.config.Stream
	for r, err := range g.engine.readStream(g.ctx, g.key.stream, true, i.next-min(i.next, 1)) {
		if i.next > 0 && err == nil {
			out.Seen = event.At(r.Position)
		}
		return out, err
	}
	return out, nil
}

// Parked lists what a group gave up.
func (p groupPort) Parked(ctx context.Context, g command.Group) iter.Seq2[command.ParkedEvent, error] {
	return func(yield func(command.ParkedEvent, error) bool) {
		group, err := p.groups.get(keyOf(g))
		if err != nil {
			yield(command.ParkedEvent{}, portError(g, err))
			return
		}
		group.parkedEvents(ctx)(yield)
	}
}

// ReplayParked gives parked events out again.
func (p groupPort) ReplayParked(_ context.Context, g command.Group, numbers ...uint64) error {
	group, err := p.groups.get(keyOf(g))
	if err == nil {
		err = group.replay(math.MaxUint64, numbers)
	}
	return portError(g, err)
}

// DropParked forgets parked events.
func (p groupPort) DropParked(ctx context.Context, g command.Group, numbers ...uint64) error {
	group, err := p.groups.get(keyOf(g))
	if err == nil {
		err = group.drop(ctx, numbers)
	}
	return portError(g, err)
}

// Groups are the node's persistent subscriptions for use in this process.
func (n *Node) Groups() command.Groups { return groupPort{n.groups} }

// GroupList tells of all persistent subscriptions, whoever made them.
func (n *Node) GroupList(context.Context) ([]command.GroupInfo, error) {
	var all []command.GroupInfo
	for _, g := range n.groups.list("") {
		i, err := g.portInfo()
		if err != nil {
			return nil, err
		}
		all = append(all, i)
	}
	return all, nil
}
