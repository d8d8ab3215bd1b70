package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"kicau/adapters/command"
	"kicau/adapters/esdb"
	"kicau/adapters/node"
)

// parkedCmd is about events that a persistent subscription gave up.
type parkedCmd struct {
	List   parkedListCmd   `cmd:"" default:"withargs" help:"What is parked, by whom, when and why. (The word list can be left out.)"`
	Show   parkedShowCmd   `cmd:"" help:"One parked event with all it says."`
	Replay parkedReplayCmd `cmd:"" help:"Give parked events to the consumers again."`
	Drop   parkedDropCmd   `cmd:"" help:"Forget parked events that nobody will deal with."`
}

// parkedFlags say which persistent subscription is meant.
type parkedFlags struct {
	nodeFlags
	Group  string `help:"Name of the persistent subscription. Default: the only one that has parked something." placeholder:"NAME"`
	Stream string `help:"Its stream; $all is the whole log." placeholder:"STREAM"`
}

// parkedDoor is what deals with parked events: a node here or elsewhere, or an
// EventStoreDB.
type parkedDoor interface {
	GroupList(context.Context) ([]command.GroupInfo, error)
	Parked(context.Context, command.Group) iter.Seq2[command.ParkedEvent, error]
	ReplayParked(context.Context, command.Group, ...uint64) error
	DropParked(context.Context, command.Group, ...uint64) error
}

// nodeDoor is a node in this process, which has the directory to itself.
type nodeDoor struct {
	*node.Node
	command.Groups
}

// ReplayParked has nobody to give events to.
func (nodeDoor) ReplayParked(context.Context, command.Group, ...uint64) error {
	return errors.New("the event store is not being served, so there is no consumer to give events to: start kicau serve or kicau node, then replay")
}

// clusterDoor is an EventStoreDB.
type clusterDoor struct{ command.Groups }

// GroupList is not in the port: what a cluster has is other programs', too.
func (clusterDoor) GroupList(context.Context) ([]command.GroupInfo, error) {
	return nil, usageError{errors.New("name the persistent subscription of the EventStoreDB with --group, and with --stream if it is not of $all")}
}

// door opens what deals with parked events. Call what it returns when done.
func (f parkedFlags) door(ctx context.Context, g *Global) (parkedDoor, func(), error) {
	if g.EventStore != "" && f.Node != "" {
		return nil, nil, usageError{errors.New("--node is a kicau node, --eventstore an EventStoreDB: name one of them")}
	}
	if g.EventStore != "" {
		l, err := esdb.Open(esdb.Options{URL: g.EventStore, Logger: g.logger()})
		if err != nil {
			return nil, nil, err
		}
		return clusterDoor{l}, func() { l.Close() }, nil
	}
	s, err := g.eventStore(ctx, f.nodeFlags)
	if err != nil {
		return nil, nil, err
	}
	done := func() { s.desk.done(g) }
	if s.admin != nil {
		return s.admin, done, nil
	}
	n, err := s.open(g)
	if err != nil {
		done()
		return nil, nil, err
	}
	return nodeDoor{n, n.Groups()}, done, nil
}

// groups that are meant, in order: the one that is named, or all that have parked
// something.
func (f parkedFlags) groups(ctx context.Context, door parkedDoor) ([]command.Group, error) {
	stream := strings.TrimPrefix(f.Stream, "$all")
	_, cluster := door.(clusterDoor)
	if f.Group != "" && (cluster || f.Stream != "") {
		return []command.Group{{Stream: stream, Name: f.Group}}, nil
	}
	all, err := door.GroupList(ctx)
	if err != nil {
		return nil, err
	}
	var found []command.Group
	known := false
	for _, i := range all {
		named := (f.Group == "" || f.Group == i.Group.Name) && (f.Stream == "" || stream == i.Group.Stream)
		known = known || named
		if named && i.Parked > 0 {
			found = append(found, i.Group)
		}
	}
	if !known && f.Group != "" {
		return nil, fmt.Errorf("persistent subscription %q: %w", f.Group, command.ErrNoGroup)
	}
	return found, nil
}

// group is the only one that is meant.
func (f parkedFlags) group(ctx context.Context, door parkedDoor) (command.Group, error) {
	groups, err := f.groups(ctx, door)
	switch {
	case err != nil:
		return command.Group{}, err
	case len(groups) == 0:
		return command.Group{}, errors.New("nothing is parked")
	case len(groups) > 1:
		return command.Group{}, usageError{fmt.Errorf("%d persistent subscriptions have parked something, such as %s: say which with --group and --stream", len(groups), groups[0])}
	}
	return groups[0], nil
}

// parkedLine is a parked event as printed in JSON. Event is left out when it is
// not there any more.
type parkedLine struct {
	Group  string     `json:"group"`
	Stream string     `json:"stream"`
	Number uint64     `json:"number"`
	At     time.Time  `json:"at"`
	Reason string     `json:"reason"`
	Event  *eventLine `json:"event,omitempty"`
}

func parkedLineOf(g command.Group, p command.ParkedEvent) parkedLine {
	l := parkedLine{Group: g.Name, Stream: streamOf(g), Number: p.Number, At: p.At, Reason: p.Reason}
	if e := p.Event; e.Type != "" {
		l.Event = &eventLine{e.Position.String(), e.Stream, e.Revision, e.Type, e.ID.String(), e.RecordedAt, asJSON(e.Data), asJSON(e.Metadata)}
	}
	return l
}

func streamOf(g command.Group) string {
	if g.Stream == "" {
		return "$all"
	}
	return g.Stream
}

// asJSON is data in a JSON object: as it is, or else as a string in base64.
func asJSON(data []byte) json.RawMessage {
	if json.Valid(data) {
		return data
	}
	b, err := json.Marshal(data)
	if err != nil {
		panic(err) // bytes are always fit for JSON
	}
	return b
}

// parkedText is a parked event in a line.
func parkedText(g command.Group, p command.ParkedEvent) string {
	what := "(the event is not there any more)"
	if e := p.Event; e.Type != "" {
		what = fmt.Sprintf("%d@%s  %s", e.Revision, e.Stream, e.Type)
	}
	return fmt.Sprintf("%s  %5d  %s  %s  %s", g, p.Number, p.At.Format(time.DateTime), what, firstLines(p.Reason))
}

// firstLines puts a reason of several lines in one.
func firstLines(reason string) string {
	return strings.Join(strings.FieldsFunc(reason, func(r rune) bool { return r == '\n' || r == '\r' }), " · ")
}

type parkedListCmd struct{ parkedFlags }

func (parkedListCmd) Help() string {
	return `A persistent subscription parks an event that its consumers give up: they said so, or did not
answer as often as it retries. The rest goes on. The payment saga is such a consumer. (What
read models parked is listed by kicau events --parked.)

Examples:
  kicau parked
  kicau parked list --group ship --stream orders --output json
  kicau parked list --eventstore 'esdb://admin:…@es1:2113' --group ship`
}

func (c *parkedListCmd) Run(ctx context.Context, g *Global) error {
	door, done, err := c.door(ctx, g)
	if err != nil {
		return err
	}
	defer done()
	groups, err := c.groups(ctx, door)
	if err != nil {
		return err
	}
	listed := 0
	for _, group := range groups {
		for p, err := range door.Parked(ctx, group) {
			if err != nil {
				return err
			}
			if err := g.say(parkedLineOf(group, p), "%s", parkedText(group, p)); err != nil {
				return err
			}
			listed++
		}
	}
	if listed == 0 && !g.json() {
		_, err = fmt.Fprintln(g.stdout, "nothing is parked")
	}
	return err
}

type parkedShowCmd struct {
	parkedFlags
	Number uint64 `arg:"" help:"The number that the list gives."`
}

func (parkedShowCmd) Help() string {
	return `Example:
  kicau parked show 7 --group ship --stream orders`
}

func (c *parkedShowCmd) Run(ctx context.Context, g *Global) error {
	door, done, err := c.door(ctx, g)
	if err != nil {
		return err
	}
	defer done()
	group, err := c.group(ctx, door)
	if err != nil {
		return err
	}
	found, err := find(ctx, door, group, []uint64{c.Number})
	if err != nil {
		return err
	}
	p := found[0]
	text := fmt.Sprintf("parked    %d by %s\n  at        %s\n  reason    %s", p.Number, group, p.At.Format(time.RFC3339), strings.ReplaceAll(p.Reason, "\n", "\n            "))
	if e := p.Event; e.Type != "" {
		text += fmt.Sprintf("\n  event     %s\n  place     %d@%s, %s\n  id        %s\n  recorded  %s\n  data      %s\n  metadata  %s",
			e.Type, e.Revision, e.Stream, e.Position, e.ID, e.RecordedAt.Format(time.RFC3339), readable(e.Data), readable(e.Metadata))
	} else {
		text += "\n  The event is not there any more."
	}
	return g.say(parkedLineOf(group, p), "%s", text)
}

// readable is data for a person: JSON as it is, other bytes quoted.
func readable(data []byte) string {
	if json.Valid(data) {
		return string(data)
	}
	return strconv.Quote(string(data))
}

// find looks up parked events by their numbers. All must be there.
func find(ctx context.Context, door parkedDoor, group command.Group, numbers []uint64) ([]command.ParkedEvent, error) {
	var found []command.ParkedEvent
	for p, err := range door.Parked(ctx, group) {
		if err != nil {
			return nil, err
		}
		if slices.Contains(numbers, p.Number) {
			found = append(found, p)
		}
	}
	for _, n := range numbers {
		if !slices.ContainsFunc(found, func(p command.ParkedEvent) bool { return p.Number == n }) {
			return nil, fmt.Errorf("persistent subscription %s has nothing parked with number %d", group, n)
		}
	}
	return found, nil
}
