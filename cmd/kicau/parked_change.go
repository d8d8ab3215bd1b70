package main

import (
	"context"
	"errors"
	"fmt"

	"kicau/adapters/command"
	"kicau/domain/event"
)

// parkedChange is what replay and drop print.
type parkedChange struct {
	Group   string   `json:"group"`
	Stream  string   `json:"stream"`
	Numbers []uint64 `json:"numbers"`
	DryRun  bool     `json:"dryRun"`
}

func (g *Global) sayChange(group command.Group, found []command.ParkedEvent, dry bool, what string) error {
	out := parkedChange{group.Name, streamOf(group), []uint64{}, dry}
	text := fmt.Sprintf("%s: %d of %s", what, len(found), group)
	if dry {
		text = "nothing was done; " + text
	}
	for _, p := range found {
		out.Numbers = append(out.Numbers, p.Number)
		text += "\n" + parkedText(group, p)
	}
	return g.say(out, "%s", text)
}

type parkedReplayCmd struct {
	parkedFlags
	Numbers []uint64 `arg:"" optional:"" name:"number" help:"Numbers that the list gives."`
	All     bool     `help:"Everything that is parked. An EventStoreDB can do nothing else."`
	DryRun  bool     `help:"Say what would be replayed, and do nothing."`
}

func (parkedReplayCmd) Help() string {
	return `The events are given to the consumers as if they had just come. In a kicau node they stay
parked until a consumer has dealt with them; what is given up again is parked again.

Examples:
  kicau parked replay 7 9 --group ship --stream orders
  kicau parked replay --all --dry-run`
}

func (c *parkedReplayCmd) Run(ctx context.Context, g *Global) error {
	if c.All != (len(c.Numbers) == 0) {
		return usageError{errors.New("name numbers, or --all, and not both")}
	}
	door, done, err := c.door(ctx, g)
	if err != nil {
		return err
	}
	defer done()
	if _, cluster := door.(clusterDoor); cluster && !c.All {
		return usageError{fmt.Errorf("%w: it replays everything that is parked or nothing; use --all", command.ErrNotSupported)}
	}
	group, err := c.group(ctx, door)
	if err != nil {
		return err
	}
	found, err := c.selected(ctx, door, group)
	if err != nil {
		return err
	}
	if !c.DryRun && len(found) > 0 {
		if err := door.ReplayParked(ctx, group, c.Numbers...); err != nil {
			return err
		}
	}
	return g.sayChange(group, found, c.DryRun, "replayed")
}

func (c *parkedReplayCmd) selected(ctx context.Context, door parkedDoor, group command.Group) (found []command.ParkedEvent, err error) {
	if !c.All {
		return find(ctx, door, group, c.Numbers)
	}
	for p, err := range door.Parked(ctx, group) {
		if err != nil {
			return nil, err
		}
		p.Event = event.Recorded{Stream: p.Event.Stream, Revision: p.Event.Revision, Type: p.Event.Type} // what is printed
		found = append(found, p)
	}
	return found, nil
}

type parkedDropCmd struct {
	parkedFlags
	Numbers []uint64 `arg:"" name:"number" help:"Numbers that the list gives."`
	DryRun  bool     `help:"Say what would be dropped, and do nothing."`
}

func (parkedDropCmd) Help() string {
	return `The events stay in the log; only that they are parked is forgotten, and no consumer gets them
again. An EventStoreDB cannot do this.

Example:
  kicau parked drop 7 --group ship --stream orders --dry-run`
}

func (c *parkedDropCmd) Run(ctx context.Context, g *Global) error {
	door, done, err := c.door(ctx, g)
	if err != nil {
		return err
	}
	defer done()
	if _, cluster := door.(clusterDoor); cluster {
		return usageError{fmt.Errorf("%w: it keeps what is parked until it is replayed", command.ErrNotSupported)}
	}
	group, err := c.group(ctx, door)
	if err != nil {
		return err
	}
	found, err := find(ctx, door, group, c.Numbers)
	if err != nil {
		return err
	}
	if !c.DryRun {
		if err := door.DropParked(ctx, group, c.Numbers...); err != nil {
			return err
		}
	}
	return g.sayChange(group, found, c.DryRun, "dropped")
}
