package esdb

import (
	"context"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"kicau/adapters/command"
	"kicau/domain/event"
)

// searchWindow is how many events the server looks at between two checkpoints:
// a subscription that lets little through moves on at least so often.
const searchWindow = 4096

// userStreams leaves out system streams. It is the official clients' own
// expression, only of the stream's name and not of the event's type.
const userStreams = `^[^\$].*`

// Subscribe is described at [command.Log].
func (l *Log) Subscribe(ctx context.Context, after event.Position, filter command.Filter) iter.Seq2[command.Page, error] {
	return func(yield func(command.Page, error) bool) {
		f, err := l.open(ctx, func(ctx context.Context, c *esdb.Client) (source, error) {
			return subscribed(c.SubscribeToAll(ctx, subscription(after, filter)))
		})
		if err == nil {
			defer f.close()
			p := pager{filter: filter, page: command.Page{Last: after}, told: after, yield: yield}
			err = p.run(f)
		}
		if err != nil {
			yield(command.Page{}, fmt.Errorf("subscription after %s: %w", after, err))
		}
	}
}

// subscription asks the server to leave out what it can. The protocol filters
// by stream or by type, not both; the rest is left out here.
func subscription(after event.Position, filter command.Filter) esdb.SubscribeToAllOptions {
	o := esdb.SubscribeToAllOptions{
		From:               esdb.Start{},
		MaxSearchWindow:    searchWindow,
		CheckpointInterval: 1,
		Filter:             &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Regex: userStreams},
	}
	if !after.IsStart() {
		o.From = esdb.Position(after)
	}
	prefixes := slices.DeleteFunc(slices.Clone(filter.StreamPrefixes), isSystem)
	switch {
	case len(prefixes) > 0 && !slices.Contains(prefixes, ""):
		o.Filter = &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: prefixes}
	case len(filter.Types) > 0 && !slices.Contains(filter.Types, ""):
		o.Filter = &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Prefixes: filter.Types}
	}
	return o
}

// subscribed is a subscription of the client as a source.
func subscribed(s *esdb.Subscription, err error) (source, error) {
	if err != nil {
		return source{}, err
	}
	return source{
		next: func() (item, error) {
			for {
				switch e := s.Recv(); {
				case e.SubscriptionDropped != nil:
					if err := e.SubscriptionDropped.Error; err != io.EOF {
						return item{}, err
					}
					return item{}, io.ErrUnexpectedEOF // a subscription has no end
				case e.EventAppeared != nil:
					return item{event: recorded(e.EventAppeared)}, nil
				case e.CheckPointReached != nil:
					if e.CheckPointReached.Commit > math.MaxInt64 {
						continue // "before the log" as some servers write it (EventStore#4892)
					}
					return item{checkpoint: event.Position(*e.CheckPointReached)}, nil
				case e.CaughtUp != nil:
					return item{caughtUp: true}, nil
				}
			}
		},
		close: func() { _ = s.Close() }, // never fails
	}, nil
}

// pager makes pages of what a subscription receives: full ones while there is
// history, since more is sure to come, and what there is once it is live.
type pager struct {
	filter command.Filter
	page   command.Page   // being filled
	told   event.Position // Last of the page before
	yield  func(command.Page, error) bool
}

// run ends with the feed's error, or nil when the consumer wants no more.
func (p *pager) run(f *feed) error {
	var items []item
	for {
		var err error
		if items, err = f.take(items, 0); err != nil {
			return err
		}
		for i := range items {
			wanted, err := p.add(&items[i])
			if !wanted || err != nil {
				return err
			}
		}
		if p.page.Live && !p.flush() {
			return nil
		}
	}
}

func (p *pager) add(it *item) (wanted bool, err error) {
	switch {
	case it.caughtUp:
		// History in its own pages, then the mark, even if nothing is new.
		if p.page.Live {
			return true, nil
		}
		if !p.flush() {
			return false, nil
		}
		p.page.Live = true
		return p.hand(), nil
	case !it.checkpoint.IsStart():
		// May be of an event that has come, or older (EventStore#3697). Its two
		// numbers belong together: the first alone can be that of an event
		// still to come (EventStore#4970).
		if it.checkpoint.Compare(p.page.Last) > 0 {
			p.page.Last = it.checkpoint
		}
		return p.flush(), nil
	default:
		if err := follows(command.Forwards, p.page.Last, it.event.Position); err != nil {
			return false, err
		}
		p.page.Last = it.event.Position
		if passes(p.filter, &it.event.Recorded) {
			p.page.Events = append(p.page.Events, it.event.Recorded)
		}
		return len(p.page.Events) < command.MaxPageEvents || p.flush(), nil
	}
}

// flush hands over what has been gathered, if it says anything new.
func (p *pager) flush() bool { return p.page.Last == p.told || p.hand() }

func (p *pager) hand() bool {
	page := p.page
	p.told = page.Last
	p.page.Events = nil
	return p.yield(page, nil)
}
