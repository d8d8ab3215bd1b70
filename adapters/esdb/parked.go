package esdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"kicau/adapters/command"
)

// parkedStream is where the server keeps the links to a group's parked events.
func parkedStream(g command.Group) string { return "$persistentsubscription-" + g.String() + "-parked" }

// parkedAs is the metadata of such a link. What is zero is left out.
type parkedAs struct {
	Added  time.Time `json:"added"`
	Reason string    `json:"reason"`
}

// Parked is described at [command.Groups]. The stream is the administrators'.
func (l *Log) Parked(ctx context.Context, g command.Group) iter.Seq2[command.ParkedEvent, error] {
	return func(yield func(command.ParkedEvent, error) bool) {
		f, err := l.open(ctx, func(ctx context.Context, c *esdb.Client) (source, error) {
			return parkedSource(c.ReadStream(ctx, parkedStream(g), esdb.ReadStreamOptions{ResolveLinkTos: true}, math.MaxInt64))
		})
		if err != nil {
			yield(command.ParkedEvent{}, fmt.Errorf("read the parked events of group %s: %w", g, err))
			return
		}
		defer f.close()
		for it, err := range f.all() {
			var e *esdb.Error
			if errors.As(err, &e) && (e.Code() == esdb.ErrorCodeResourceNotFound || e.Code() == esdb.ErrorCodeStreamDeleted) {
				if _, err := l.GroupInfo(ctx, g); err != nil {
					yield(command.ParkedEvent{}, err)
				}
				return
			}
			if err != nil {
				yield(command.ParkedEvent{}, fmt.Errorf("read the parked events of group %s: %w", g, err))
				return
			}
			if !yield(it.parked, nil) {
				return
			}
		}
	}
}

func parkedSource(r *esdb.ReadStream, err error) (source, error) {
	return readAs(r, err, func(e *esdb.ResolvedEvent) item { return item{parked: parked(e)} })
}

func parked(e *esdb.ResolvedEvent) command.ParkedEvent {
	link := e.OriginalEvent()
	p := command.ParkedEvent{Number: link.EventNumber, At: link.CreatedDate.UTC()}
	var as parkedAs
	if err := json.Unmarshal(link.UserMetadata, &as); err != nil {
		p.Reason = fmt.Sprintf("unknown: %v", err) // put there by hand
	} else if p.Reason = as.Reason; !as.Added.IsZero() {
		p.At = as.Added.UTC()
	}
	if e.Event != nil && e.Link != nil {
		p.Event = recordedEvent(e.Event)
	}
	return p
}
