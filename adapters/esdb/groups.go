package esdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"kicau/adapters/command"
	"kicau/domain/event"
)

const (
	// groupPatience bounds making, deleting and asking about a group, waiting
	// for a connection included.
	groupPatience = 10 * time.Second
	// The server keeps the place of a group at least so often while it moves:
	// what it forgets in a crash comes again.
	placeKeptAfter = time.Second
	placeKeptEvery = 1000 // events
	// The server reads for a group so many events at a time and holds so many.
	groupRead = 100
	groupHold = 1000
)

var _ command.Groups = (*Log)(nil)

// EnsureGroup is described at [command.Groups].
func (l *Log) EnsureGroup(ctx context.Context, g command.Group, s command.GroupSettings) error {
	settings, err := groupSettings(g, s)
	if err != nil {
		return fmt.Errorf("make group %s: %w", g, err)
	}
	filter, err := groupFilter(g, s.Filter)
	if err != nil {
		return fmt.Errorf("make group %s: %w", g, err)
	}
	err = l.group(ctx, g, func(ctx context.Context, c *esdb.Client) error {
		// Left out, the client begins at the end.
		if g.Stream != "" {
			o := esdb.PersistentStreamSubscriptionOptions{Settings: &settings, StartFrom: esdb.Start{}}
			if s.FromEnd {
				o.StartFrom = esdb.End{}
			}
			return c.CreatePersistentSubscription(ctx, g.Stream, g.Name, o)
		}
		o := esdb.PersistentAllSubscriptionOptions{Settings: &settings, StartFrom: esdb.Start{}, Filter: filter, MaxSearchWindow: searchWindow}
		if s.FromEnd {
			o.StartFrom = esdb.End{}
		}
		return c.CreatePersistentSubscriptionToAll(ctx, g.Name, o)
	})
	var e *esdb.Error
	if errors.As(err, &e) && e.Code() == esdb.ErrorCodeResourceAlreadyExists {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make group %s: %w", g, err)
	}
	return nil
}

func groupSettings(g command.Group, s command.GroupSettings) (esdb.PersistentSubscriptionSettings, error) {
	o := esdb.SubscriptionSettingsDefault()
	if s.MessageTimeout == 0 {
		s.MessageTimeout = command.DefaultMessageTimeout
	}
	if s.MaxRetries == 0 {
		s.MaxRetries = command.MaxGroupRetries
	}
	ms := s.MessageTimeout.Milliseconds()
	switch {
	case ms < 1 || ms > math.MaxInt32:
		return o, fmt.Errorf("the message timeout is %v, want %v to %v", s.MessageTimeout, time.Millisecond, math.MaxInt32*time.Millisecond)
	case s.MaxRetries < 0 || s.MaxRetries > command.MaxGroupRetries:
		return o, fmt.Errorf("at most %d retries, want 0 to %d", s.MaxRetries, command.MaxGroupRetries)
	}
	o.ResolveLinkTos = isSystem(g.Stream) // only there links are a means, elsewhere they are events
	o.MessageTimeout, o.MaxRetryCount = int32(ms), int32(s.MaxRetries)
	o.CheckpointAfter, o.CheckpointLowerBound, o.CheckpointUpperBound = int32(placeKeptAfter.Milliseconds()), 1, placeKeptEvery
	o.ReadBatchSize, o.HistoryBufferSize, o.LiveBufferSize = groupRead, groupHold, groupHold
	if s.Ordered {
		o.ConsumerStrategyName = esdb.ConsumerStrategyDispatchToSingle
	}
	return o, nil
}

// groupFilter is what the server filters by. Types are compared exactly, for
// which the protocol has only expressions.
func groupFilter(g command.Group, f command.Filter) (*esdb.SubscriptionFilter, error) {
	byStream, byType := len(f.StreamPrefixes) > 0, len(f.Types) > 0
	switch {
	case g.Stream != "" && (byStream || byType):
		return nil, errors.New("a group of one stream has no filter")
	case byStream && byType:
		return nil, errors.New("a group filters by stream or by type, not by both")
	case slices.ContainsFunc(f.StreamPrefixes, isSystem):
		return nil, errors.New("names that start with $ are the server's own")
	case byType:
		types := make([]string, len(f.Types))
		for i, t := range f.Types {
			types[i] = regexp.QuoteMeta(t)
		}
		return &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Regex: `^(?:` + strings.Join(types, "|") + `)\z`}, nil
	case byStream && !slices.Contains(f.StreamPrefixes, ""):
		return &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: f.StreamPrefixes}, nil
	default:
		return &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Regex: userStreams}, nil
	}
}

// DeleteGroup is described at [command.Groups]. EventStoreDB deletes the stream
// of the parked events with the group.
func (l *Log) DeleteGroup(ctx context.Context, g command.Group) error {
	err := l.group(ctx, g, func(ctx context.Context, c *esdb.Client) error {
		if g.Stream == "" {
			return c.DeletePersistentSubscriptionToAll(ctx, g.Name, esdb.DeletePersistentSubscriptionOptions{})
		}
		return c.DeletePersistentSubscription(ctx, g.Stream, g.Name, esdb.DeletePersistentSubscriptionOptions{})
	})
	if err != nil {
		return fmt.Errorf("delete group %s: %w", g, err)
	}
	return nil
}

// ReplayParked is described at [command.Groups].
func (l *Log) ReplayParked(ctx context.Context, g command.Group, numbers ...uint64) error {
	if len(numbers) > 0 {
		return fmt.Errorf("replay %d parked events of group %s: %w: it replays all or none", len(numbers), g, command.ErrNotSupported)
	}
	err := l.group(ctx, g, func(ctx context.Context, c *esdb.Client) error {
		if g.Stream == "" {
			return c.ReplayParkedMessagesToAll(ctx, g.Name, esdb.ReplayParkedMessagesOptions{})
		}
		return c.ReplayParkedMessages(ctx, g.Stream, g.Name, esdb.ReplayParkedMessagesOptions{})
	})
	if err != nil {
		return fmt.Errorf("replay the parked events of group %s: %w", g, err)
	}
	return nil
}

// DropParked is described at [command.Groups].
func (l *Log) DropParked(_ context.Context, g command.Group, _ ...uint64) error {
	return fmt.Errorf("drop parked events of group %s: %w", g, command.ErrNotSupported)
}

// GroupInfo is described at [command.Groups].
func (l *Log) GroupInfo(ctx context.Context, g command.Group) (command.GroupInfo, error) {
	out := command.GroupInfo{Group: g}
	err := l.group(ctx, g, func(ctx context.Context, c *esdb.Client) error {
		info, err := groupInfo(ctx, c, g)
		if err != nil {
			return err
		}
		out.Consumers, out.Parked = len(info.Connections), int(info.Stats.ParkedMessagesCount)
		out.Unsettled = unsettled(info)
		if out.Seen = seen(info.Stats); g.Stream != "" && info.Stats.LastKnownEventRevision != nil {
			out.Seen, err = positionOf(ctx, c, g.Stream, *info.Stats.LastKnownEventRevision)
		}
		return err
	})
	if err != nil {
		return command.GroupInfo{}, fmt.Errorf("ask about group %s: %w", g, err)
	}
	return out, nil
}

func groupInfo(ctx context.Context, c *esdb.Client, g command.Group) (*esdb.PersistentSubscriptionInfo, error) {
	if g.Stream == "" {
		return c.GetPersistentSubscriptionInfoToAll(ctx, g.Name, esdb.GetPersistentSubscriptionOptions{})
	}
	return c.GetPersistentSubscriptionInfo(ctx, g.Stream, g.Name, esdb.GetPersistentSubscriptionOptions{})
}

// unsettled adds up where a group holds events. Once it is live, its live buffer
// is a copy of the newest events, waiting or not.
func unsettled(info *esdb.PersistentSubscriptionInfo) int {
	n := info.Stats.OutstandingMessagesCount + info.Stats.ReadBufferCount + info.Stats.RetryBufferCount
	if !strings.Contains(info.Status, "Live") {
		n += info.Stats.LiveBufferCount
	}
	return int(n)
}

// seen is how far a group of the whole log is. Events that its filter left out
// show only in the checkpoint.
func seen(s *esdb.PersistentSubscriptionStats) event.Position {
	var p event.Position
	for _, known := range []*esdb.Position{s.LastKnownPosition, s.LastCheckpointedPosition} {
		if known != nil && event.Position(*known).Compare(p) > 0 {
			p = event.Position(*known)
		}
	}
	return p
}

// positionOf an event in the log, zero when it is not there any more.
func positionOf(ctx context.Context, c *esdb.Client, stream string, revision uint64) (event.Position, error) {
	r, err := c.ReadStream(ctx, stream, esdb.ReadStreamOptions{From: esdb.Revision(revision)}, 1)
	if err != nil {
		return event.Position{}, err
	}
	defer r.Close()
	e, err := r.Recv()
	var missing *esdb.Error
	if errors.Is(err, io.EOF) || errors.As(err, &missing) &&
		(missing.Code() == esdb.ErrorCodeResourceNotFound || missing.Code() == esdb.ErrorCodeStreamDeleted) {
		return event.Position{}, nil
	}
	if err != nil {
		return event.Position{}, err
	}
	return event.Position(e.OriginalEvent().Position), nil
}

// group calls the server about a group.
func (l *Log) group(ctx context.Context, g command.Group, f func(context.Context, *esdb.Client) error) error {
	ctx, done, err := l.begin(ctx, groupPatience)
	if err != nil {
		return err
	}
	defer done()
	_, err = call(ctx, l.connection(), func(ctx context.Context, c *esdb.Client) (struct{}, error) { return struct{}{}, f(ctx, c) })
	return groupError(g, err)
}

func groupError(g command.Group, err error) error {
	var e *esdb.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() {
	case esdb.ErrorCodeResourceNotFound:
		return fmt.Errorf("%w: %w", command.NoGroup(g), err)
	case esdb.ErrorCodeUnsupportedFeature:
		return fmt.Errorf("%w: %w", command.ErrNotSupported, err)
	default:
		return err
	}
}
