package node

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
)

// groupKey names a persistent subscription: a group of consumers of a stream, or
// of "$all".
type groupKey struct{ stream, name string }

func (k groupKey) String() string { return k.stream + "::" + k.name }

// Streams in which a group keeps what it must not forget; the names are
// EventStoreDB's. What is done about parked messages out of turn is our own.
func (k groupKey) checkpointStream() string { return groupStreams + k.String() + "-checkpoint" }
func (k groupKey) parkedStream() string     { return groupStreams + k.String() + "-parked" }
func (k groupKey) doneStream() string       { return groupStreams + k.String() + "-parked-done" }

const (
	groupStreams      = "$persistentsubscription-"
	groupConfigStream = "$persistentSubscriptionConfig"
	groupConfigType   = "$PersistentConfig"
	checkpointType    = "$SubscriptionCheckpoint"
	doneType          = "$ParkedMessagesDone"
)

// Consumer strategies, by the protocol's names.
const (
	dispatchToSingle    = "DispatchToSingle"
	roundRobin          = "RoundRobin"
	pinned              = "Pinned"
	pinnedByCorrelation = "PinnedByCorrelation"
)

// groupConfig is what a group was made with. Counts are of messages.
type groupConfig struct {
	Stream string       `json:"stream"`
	Group  string       `json:"group"`
	Filter *groupFilter `json:"filter,omitempty"`
	// Start is what was asked for, as the protocol writes it: "0", "-1" (the
	// end), a revision or C:x/P:y. Next is what it meant when the group was made:
	// the first revision or position to consider. So a group that starts at the
	// end and is restarted before its first checkpoint misses nothing.
	Start string `json:"startFrom"`
	Next  uint64 `json:"next"`

	ResolveLinks     bool   `json:"resolveLinkTos"`
	ExtraStatistics  bool   `json:"extraStatistics"`
	MaxRetries       int32  `json:"maxRetryCount"`
	HistoryBuffer    int32  `json:"historyBufferSize"`
	LiveBuffer       int32  `json:"liveBufferSize"`
	ReadBatch        int32  `json:"readBatchSize"`
	MinCheckpoint    int32  `json:"minCheckPointCount"`
	MaxCheckpoint    int32  `json:"maxCheckPointCount"`
	MaxSubscribers   int32  `json:"maxSubscriberCount"` // 0: no bound of its own
	MessageTimeoutMS int32  `json:"messageTimeout"`     // 0: never
	CheckpointMS     int32  `json:"checkPointAfter"`
	Strategy         string `json:"namedConsumerStrategy"`
}

// groupFilter is the filter of a group of $all, as it is kept.
type groupFilter struct {
	ByType   bool     `json:"byType,omitempty"` // else by stream
	Regex    string   `json:"regex,omitempty"`
	Prefixes []string `json:"prefixes,omitempty"`
}

// compile makes the filter that the group applies; without one all pass.
func (f *groupFilter) compile() (func(stream, typ string) (bool, error), error) {
	if f == nil {
		return func(string, string) (bool, error) { return true, nil }, nil
	}
	match, err := parseExpression(&streams.ReadReq_Options_FilterOptions_Expression{Regex: f.Regex, Prefix: f.Prefixes})
	if err != nil {
		return nil, err
	}
	if f.ByType {
		return func(_, typ string) (bool, error) { return match(typ) }, nil
	}
	return func(stream, _ string) (bool, error) { return match(stream) }, nil
}

// Bounds of a group, whatever its settings say.
const (
	maxGroupBuffer    = 1 << 16 // messages read ahead
	maxConsumers      = 1024    // of one group
	maxConsumerBuffer = 1 << 14 // messages with one consumer
	maxGroups         = 4096    // of a node
)

func (c *groupConfig) key() groupKey { return groupKey{c.Stream, c.Group} }

func (c *groupConfig) all() bool { return c.Stream == allStream }

func (c *groupConfig) messageTimeout() time.Duration {
	return time.Duration(c.MessageTimeoutMS) * time.Millisecond
}

func (c *groupConfig) checkpointAfter() time.Duration {
	return time.Duration(c.CheckpointMS) * time.Millisecond
}

// buffer is how many messages are read ahead.
func (c *groupConfig) buffer() int { return int(min(c.HistoryBuffer, maxGroupBuffer)) }

func (c *groupConfig) consumers() int {
	return min(int(cmp.Or(c.MaxSubscribers, maxConsumers)), maxConsumers)
}

// check says what is wrong with the settings, in words for the client.
func (c *groupConfig) check() error {
	if c.Group == "" {
		return fmt.Errorf("a group needs a name")
	}
	for _, n := range []struct {
		name  string
		value int32
	}{
		{"max retry count", c.MaxRetries}, {"history buffer size", c.HistoryBuffer}, {"live buffer size", c.LiveBuffer},
		{"read batch size", c.ReadBatch}, {"min checkpoint count", c.MinCheckpoint}, {"max checkpoint count", c.MaxCheckpoint},
		{"max subscriber count", c.MaxSubscribers}, {"message timeout", c.MessageTimeoutMS}, {"checkpoint after", c.CheckpointMS},
	} {
		if n.value < 0 {
			return fmt.Errorf("%s is %d; it must not be negative", n.name, n.value)
		}
	}
	switch {
	case c.ReadBatch == 0 || c.HistoryBuffer == 0 || c.LiveBuffer == 0:
		return fmt.Errorf("read batch size, history buffer size and live buffer size must be greater than 0")
	case c.ReadBatch >= c.HistoryBuffer:
		return fmt.Errorf("read batch size (%d) must be smaller than the history buffer size (%d)", c.ReadBatch, c.HistoryBuffer)
	case c.Strategy != dispatchToSingle && c.Strategy != roundRobin && c.Strategy != pinned && c.Strategy != pinnedByCorrelation:
		return fmt.Errorf("Consumer strategy %s does not exist.", c.Strategy)
	}
	return nil
}

// startFrom is Start as clients read it: of $all it is always a position.
func (c *groupConfig) startFrom() string {
	switch {
	case c.all() && c.Start == startEnd:
		return "C:-1/P:-1"
	case c.all() && c.Start == "0":
		return "C:0/P:0"
	default:
		return c.Start
	}
}

// formatPlace writes how far a group is as the protocol does; next is the first
// revision or position not considered, 0 when there is nothing to say.
func (c *groupConfig) formatPlace(next uint64) string {
	switch {
	case next == 0:
		return ""
	case c.all():
		return fmt.Sprintf("C:%d/P:%d", next-1, next-1)
	default:
		return fmt.Sprint(next - 1)
	}
}

// parsePlace reads what formatPlace wrote, and nothing else.
func (c *groupConfig) parsePlace(text string) (next uint64, err error) {
	var commit, prepare uint64
	if c.all() {
		_, err = fmt.Sscanf(text, "C:%d/P:%d", &commit, &prepare)
	} else {
		_, err = fmt.Sscanf(text, "%d", &commit)
	}
	if err != nil || commit == math.MaxUint64 || c.formatPlace(commit+1) != text {
		return 0, fmt.Errorf("%w: checkpoint %q of group %s cannot be read", ErrDamaged, text, c.key())
	}
	return commit + 1, nil
}

// groupConfigs is the event in which all groups are kept.
type groupConfigs struct {
	Version string        `json:"version"`
	Updated time.Time     `json:"updated"`
	Entries []groupConfig `json:"entries"`
}

// groupConfigVersion is the format of groupConfigs.
const groupConfigVersion = "kicau-1"

func parseGroupConfigs(data []byte) ([]groupConfig, error) {
	var c groupConfigs
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("%w: stream %s: %w", ErrDamaged, groupConfigStream, err)
	}
	if c.Version != groupConfigVersion {
		return nil, fmt.Errorf("stream %s is of version %q, this program knows %q: open the log with a newer one", groupConfigStream, c.Version, groupConfigVersion)
	}
	return c.Entries, nil
}
