package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// groupService is EventStoreDB's PersistentSubscriptions service over a node's
// groups.
type groupService struct {
	persistent.UnimplementedPersistentSubscriptionsServer
	*service
	groups *groups
}

// Names of errors of persistent subscriptions, and their trailers.
const (
	exceptionGroupFailed  = "persistent-subscription-failed"
	exceptionGroupMissing = "persistent-subscription-does-not-exist"
	exceptionGroupExists  = "persistent-subscription-exists"
	exceptionGroupFull    = "maximum-subscribers-reached"
	exceptionGroupDropped = "persistent-subscription-dropped"
	trailerGroup          = "group-name"
	trailerReason         = "reason"
)

// anyStream lists the groups of every stream.
const anyStream = ""

// netTicks are .NET's in a millisecond.
const netTicks = 10_000

// groupError says in the protocol's words what went wrong with a group.
func groupError(k groupKey, err error) error {
	var bad *invalidGroup
	refuseGroup := func(code codes.Code, exception, format string, args ...any) error {
		return refuse(code, metadata.Pairs(exceptionKey, exception, trailerStream, printable(k.stream), trailerGroup, printable(k.name)), format, args...)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errNoGroup), errors.Is(err, errGroupDeleted):
		return refuseGroup(codes.NotFound, exceptionGroupMissing, "Subscription group %s on stream %s does not exist.", k.name, k.stream)
	case errors.Is(err, errGroupExists):
		return refuseGroup(codes.AlreadyExists, exceptionGroupExists, "Subscription group %s on stream %s exists.", k.name, k.stream)
	case errors.Is(err, errTooManyConsumers):
		return refuseGroup(codes.FailedPrecondition, exceptionGroupFull, "Maximum subscriptions reached for subscription group %s on stream %s.", k.name, k.stream)
	case errors.Is(err, errGroupUpdated):
		return refuseGroup(codes.Canceled, exceptionGroupDropped, "Subscription group %s on stream %s was dropped.", k.name, k.stream)
	case errors.As(err, &bad):
		return refuse(codes.Internal,
			metadata.Pairs(exceptionKey, exceptionGroupFailed, trailerStream, printable(k.stream), trailerGroup, printable(k.name), trailerReason, printable(bad.reason)),
			"Subscription group %s on stream %s failed: '%s'", k.name, k.stream, bad.reason)
	default:
		return engineError("Persistent subscription", k.stream, err)
	}
}

// streamOption is where requests say which stream a group is of.
type streamOption interface {
	GetStreamIdentifier() *shared.StreamIdentifier
	GetAll() *shared.Empty
	GetGroupName() string
}

func keyOfRequest(o streamOption) (groupKey, error) {
	if o.GetAll() != nil {
		return groupKey{allStream, o.GetGroupName()}, nil
	}
	name, err := groupStream(o.GetStreamIdentifier())
	return groupKey{name, o.GetGroupName()}, err
}

// groupStream is a stream that can have groups.
func groupStream(id *shared.StreamIdentifier) (string, error) {
	name, err := streamName(id)
	if err == nil && name == allStream {
		return "", invalid("a persistent subscription to $all is asked for by the option for it")
	}
	return name, err
}

// settings are those of a create or an update request.
type groupSettings interface {
	GetResolveLinks() bool
	GetExtraStatistics() bool
	GetMaxRetryCount() int32
	GetMinCheckpointCount() int32
	GetMaxCheckpointCount() int32
	GetMaxSubscriberCount() int32
	GetLiveBufferSize() int32
	GetReadBatchSize() int32
	GetHistoryBufferSize() int32
	GetMessageTimeoutTicks() int64
	GetMessageTimeoutMs() int32
	GetCheckpointAfterTicks() int64
	GetCheckpointAfterMs() int32
	GetRevision() uint64
}

func configOf(k groupKey, s groupSettings, strategy string) groupConfig {
	milliseconds := func(ms int32, ticks int64) int32 {
		return cmp.Or(ms, int32(min(ticks/netTicks, math.MaxInt32)))
	}
	return groupConfig{
		Stream: k.stream, Group: k.name, ResolveLinks: s.GetResolveLinks(), ExtraStatistics: s.GetExtraStatistics(),
		MaxRetries: s.GetMaxRetryCount(), HistoryBuffer: s.GetHistoryBufferSize(), LiveBuffer: s.GetLiveBufferSize(), ReadBatch: s.GetReadBatchSize(),
		MinCheckpoint: s.GetMinCheckpointCount(), MaxCheckpoint: s.GetMaxCheckpointCount(), MaxSubscribers: s.GetMaxSubscriberCount(),
		MessageTimeoutMS: milliseconds(s.GetMessageTimeoutMs(), s.GetMessageTimeoutTicks()),
		CheckpointMS:     milliseconds(s.GetCheckpointAfterMs(), s.GetCheckpointAfterTicks()),
		Strategy:         strategy,
	}
}

// startOption is where a group of a stream begins.
type startOption interface {
	GetRevision() uint64
	GetStart() *shared.Empty
	GetEnd() *shared.Empty
}

func (c *groupConfig) startAt(o startOption) {
	switch {
	case o.GetEnd() != nil:
		c.Start = startEnd
	case o.GetStart() != nil:
		c.Start = "0"
	default:
		c.startAtRevision(o.GetRevision())
	}
}

func (c *groupConfig) startAtRevision(revision uint64) {
	if c.Start, c.Next = fmt.Sprint(revision), revision; revision > math.MaxInt64 {
		c.Start, c.Next = startEnd, 0 // as clients without an End write it
	}
}

// positioned is a position of create or update, which are two types.
type positioned interface {
	GetCommitPosition() uint64
	GetPreparePosition() uint64
}

func (c *groupConfig) startAtPosition(start, end *shared.Empty, p positioned) error {
	commit, prepare := p.GetCommitPosition(), p.GetPreparePosition()
	switch {
	case end != nil || commit == math.MaxUint64:
		c.Start = startEnd
	case start != nil:
		c.Start = "C:0/P:0"
	case prepare > commit:
		return &invalidGroup{"Invalid Start From position: prepare position must be less than or equal to the commit position."}
	default:
		// Unlike a plain subscription: with the event there.
		c.Start, c.Next = fmt.Sprintf("C:%d/P:%d", commit, prepare), commit
	}
	return nil
}

// Create makes a group.
func (s *groupService) Create(ctx context.Context, req *persistent.CreateReq) (*persistent.CreateResp, error) {
	if err := s.allow(ctx, opManageGroups, anyStream); err != nil {
		return nil, err
	}
	o := req.GetOptions()
	if o.GetSettings() == nil {
		return nil, invalid("the settings of the persistent subscription are missing")
	}
	strategy := cmp.Or(o.GetSettings().GetConsumerStrategy(), o.GetSettings().GetNamedConsumerStrategy().String())
	k := groupKey{allStream, o.GetGroupName()}
	c := configOf(k, o.GetSettings(), strategy)
	var err error
	switch of := o.GetStreamOption().(type) {
	case *persistent.CreateReq_Options_All:
		if err = c.startAtPosition(of.All.GetStart(), of.All.GetEnd(), of.All.GetPosition()); err == nil {
			c.Filter, err = filterOf(of.All)
		}
	case *persistent.CreateReq_Options_Stream:
		c.Stream, err = groupStream(of.Stream.GetStreamIdentifier())
		c.startAt(of.Stream)
	default: // clients from before 21.10 say it there
		c.Stream, err = groupStream(o.GetStreamIdentifier())
		c.startAtRevision(o.GetSettings().GetRevision())
	}
	if err == nil {
		err = s.groups.create(ctx, c)
	}
	if err != nil {
		return nil, groupError(c.key(), err)
	}
	return &persistent.CreateResp{}, nil
}

func filterOf(o *persistent.CreateReq_AllOptions) (*groupFilter, error) {
	by := o.GetFilter()
	if by == nil {
		return nil, nil
	}
	f := &groupFilter{ByType: by.GetEventType() != nil}
	e := by.GetStreamIdentifier()
	if f.ByType {
		e = by.GetEventType()
	}
	if e == nil {
		return nil, invalid("a filter is by stream name or by event type; this one is by neither")
	}
	f.Regex, f.Prefixes = e.GetRegex(), e.GetPrefix()
	_, err := f.compile()
	return f, err
}

// Update gives a group other settings and lets its consumers go.
func (s *groupService) Update(ctx context.Context, req *persistent.UpdateReq) (*persistent.UpdateResp, error) {
	if err := s.allow(ctx, opManageGroups, anyStream); err != nil {
		return nil, err
	}
	o := req.GetOptions()
	if o.GetSettings() == nil {
		return nil, invalid("the settings of the persistent subscription are missing")
	}
	c := configOf(groupKey{allStream, o.GetGroupName()}, o.GetSettings(), o.GetSettings().GetNamedConsumerStrategy().String())
	var err error
	switch of := o.GetStreamOption().(type) {
	case *persistent.UpdateReq_Options_All:
		err = c.startAtPosition(of.All.GetStart(), of.All.GetEnd(), of.All.GetPosition())
	case *persistent.UpdateReq_Options_Stream:
		c.Stream, err = groupStream(of.Stream.GetStreamIdentifier())
		c.startAt(of.Stream)
	default:
		c.Stream, err = groupStream(o.GetStreamIdentifier())
		c.startAtRevision(o.GetSettings().GetRevision())
	}
	if err == nil {
		err = s.groups.update(ctx, c)
	}
	if err != nil {
		return nil, groupError(c.key(), err)
	}
	return &persistent.UpdateResp{}, nil
}

// Delete forgets a group.
func (s *groupService) Delete(ctx context.Context, req *persistent.DeleteReq) (*persistent.DeleteResp, error) {
	if err := s.allow(ctx, opManageGroups, anyStream); err != nil {
		return nil, err
	}
	k, err := keyOfRequest(req.GetOptions())
	if err == nil {
		err = s.groups.delete(ctx, k)
	}
	if err != nil {
		return nil, groupError(k, err)
	}
	return &persistent.DeleteResp{}, nil
}

// ReplayParked gives parked messages out again.
func (s *groupService) ReplayParked(ctx context.Context, req *persistent.ReplayParkedReq) (*persistent.ReplayParkedResp, error) {
	if err := s.allow(ctx, opManageGroups, anyStream); err != nil {
		return nil, err
	}
	o := req.GetOptions()
	stopAt := uint64(math.MaxUint64)
	if at, ok := o.GetStopAtOption().(*persistent.ReplayParkedReq_Options_StopAt); ok {
		if at.StopAt < 0 {
			return nil, invalid("stop_at is %d; it must not be negative", at.StopAt)
		}
		stopAt = uint64(at.StopAt)
	}
	k, err := keyOfRequest(o)
	var g *group
	if err == nil {
		g, err = s.groups.get(k)
	}
	if err == nil {
		err = g.replay(stopAt, nil)
	}
	if err != nil {
		return nil, groupError(k, err)
	}
	return &persistent.ReplayParkedResp{}, nil
}

// RestartSubsystem lets every group begin anew from what it kept.
func (s *groupService) RestartSubsystem(ctx context.Context, _ *shared.Empty) (*shared.Empty, error) {
	if err := s.allow(ctx, opAdmin, anyStream); err != nil {
		return nil, err
	}
	if err := s.groups.restart(); err != nil {
		return nil, engineError("RestartSubsystem", groupConfigStream, err)
	}
	return &shared.Empty{}, nil
}

// GetInfo tells how a group is.
func (s *groupService) GetInfo(ctx context.Context, req *persistent.GetInfoReq) (*persistent.GetInfoResp, error) {
	if err := s.allow(ctx, opGroupInfo, anyStream); err != nil {
		return nil, err
	}
	k, err := keyOfRequest(req.GetOptions())
	var g *group
	if err == nil {
		g, err = s.groups.get(k)
	}
	if err != nil {
		return nil, groupError(k, err)
	}
	return &persistent.GetInfoResp{SubscriptionInfo: infoMessage(g.info())}, nil
}

// List tells of the groups of a stream, or of all.
func (s *groupService) List(ctx context.Context, req *persistent.ListReq) (*persistent.ListResp, error) {
	if err := s.allow(ctx, opGroupInfo, anyStream); err != nil {
		return nil, err
	}
	stream := anyStream
	if of := req.GetOptions().GetListForStream(); of != nil {
		stream = allStream
		if of.GetAll() == nil {
			var err error
			if stream, err = groupStream(of.GetStream()); err != nil {
				return nil, err
			}
		}
	}
	found := s.groups.list(stream)
	if len(found) == 0 && stream != anyStream {
		return nil, groupError(groupKey{stream, ""}, errNoGroup)
	}
	resp := &persistent.ListResp{}
	for _, g := range found {
		resp.Subscriptions = append(resp.Subscriptions, infoMessage(g.info()))
	}
	return resp, nil
}

func infoMessage(i groupInfo) *persistent.SubscriptionInfo {
	c := &i.config
	m := &persistent.SubscriptionInfo{
		EventSource: c.Stream, GroupName: c.Group, Status: i.status,
		AveragePerSecond: int32(i.rate), TotalItems: i.total, CountSinceLastMeasurement: i.sinceLast,
		LastCheckpointedEventPosition: i.checkpoint, LastKnownEventPosition: i.known,
		ResolveLinkTos: c.ResolveLinks, StartFrom: c.startFrom(), MessageTimeoutMilliseconds: c.MessageTimeoutMS,
		ExtraStatistics: c.ExtraStatistics, MaxRetryCount: c.MaxRetries, LiveBufferSize: c.LiveBuffer, BufferSize: c.HistoryBuffer,
		ReadBatchSize: c.ReadBatch, CheckPointAfterMilliseconds: c.CheckpointMS, MinCheckPointCount: c.MinCheckpoint, MaxCheckPointCount: c.MaxCheckpoint,
		ReadBufferCount: int32(i.waiting), RetryBufferCount: int32(i.retrying), TotalInFlightMessages: int32(i.inFlight),
		OutstandingMessagesCount: int32(i.out), NamedConsumerStrategy: c.Strategy, MaxSubscriberCount: c.MaxSubscribers, ParkedMessageCount: int64(i.parked),
	}
	for _, con := range i.consumers {
		info := &persistent.SubscriptionInfo_ConnectionInfo{
			From: con.from, Username: con.user, ConnectionName: con.name, AverageItemsPerSecond: int32(con.rate), TotalItems: con.total,
			CountSinceLastMeasurement: con.sinceLast, AvailableSlots: int32(con.slots), InFlightMessages: int32(con.held),
		}
		for _, x := range con.measurements {
			info.ObservedMeasurements = append(info.ObservedMeasurements, &persistent.SubscriptionInfo_Measurement{Key: x.name, Value: x.value})
		}
		m.Connections = append(m.Connections, info)
	}
	return m
}
