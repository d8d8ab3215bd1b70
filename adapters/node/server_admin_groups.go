package node

import (
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/event"
)

// groupLine is a persistent subscription as the administration tells of it.
type groupLine struct {
	Stream    string `json:"stream"` // "": the whole log
	Group     string `json:"group"`
	Seen      string `json:"seen"`
	Unsettled int    `json:"unsettled"`
	Parked    int    `json:"parked"`
	Consumers int    `json:"consumers"`
}

// parkedLine is a parked event. Event is left out when it is not there any more.
type parkedLine struct {
	Number uint64     `json:"number"`
	Reason string     `json:"reason"`
	At     time.Time  `json:"at"`
	Event  *eventLine `json:"event,omitempty"`
}

// eventLine carries data and metadata as bytes: they need not be JSON.
type eventLine struct {
	ID         uuid.UUID `json:"id"`
	Type       string    `json:"type"`
	Stream     string    `json:"stream"`
	Revision   uint64    `json:"revision"`
	Position   string    `json:"position"`
	RecordedAt time.Time `json:"recordedAt"`
	Data       []byte    `json:"data"`
	Metadata   []byte    `json:"metadata"`
}

func parkedLineOf(p command.ParkedEvent) parkedLine {
	l := parkedLine{Number: p.Number, Reason: p.Reason, At: p.At}
	if e := p.Event; e.Type != "" {
		l.Event = &eventLine{e.ID, e.Type, e.Stream, e.Revision, e.Position.String(), e.RecordedAt, e.Data, e.Metadata}
	}
	return l
}

func (l parkedLine) parked() (command.ParkedEvent, error) {
	p := command.ParkedEvent{Number: l.Number, Reason: l.Reason, At: l.At}
	if l.Event == nil {
		return p, nil
	}
	at, err := event.ParsePosition(l.Event.Position)
	p.Event = event.Recorded{ID: l.Event.ID, Type: l.Event.Type, Stream: l.Event.Stream, Revision: l.Event.Revision, Position: at,
		RecordedAt: l.Event.RecordedAt, Data: l.Event.Data, Metadata: l.Event.Metadata}
	return p, err
}

func (a *administration) groups(w http.ResponseWriter, r *http.Request) error {
	infos, err := a.node.GroupList(r.Context())
	if err != nil {
		return err
	}
	out, err := newLines(w)
	if err != nil {
		return err
	}
	for _, i := range infos {
		l := groupLine{i.Group.Stream, i.Group.Name, i.Seen.String(), i.Unsettled, i.Parked, i.Consumers}
		if err := out.send(line{Item: l}); err != nil {
			return nil // nobody reads
		}
	}
	return out.end(struct{}{}, nil)
}

func (a *administration) parked(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	g, err := groupOf(q.Get("stream"), q.Get("group"))
	if err != nil {
		return err
	}
	out, err := newLines(w)
	if err != nil {
		return err
	}
	for p, err := range a.node.Groups().Parked(r.Context(), g) {
		if err != nil {
			return out.end(nil, err)
		}
		if err := out.send(line{Item: parkedLineOf(p)}); err != nil {
			return nil // nobody reads
		}
	}
	return out.end(struct{}{}, nil)
}

// groupOf is a group as requests name it: "$all" is the whole log, too.
func groupOf(stream, name string) (command.Group, error) {
	if name == "" {
		return command.Group{}, fmt.Errorf("%w: no group is named", errBadRequest)
	}
	if stream == allStream {
		stream = ""
	}
	return command.Group{Stream: stream, Name: name}, nil
}

// selection names parked events of a group.
type selection struct {
	Stream  string   `json:"stream"`
	Group   string   `json:"group"`
	Numbers []uint64 `json:"numbers"`
	All     bool     `json:"all,omitempty"`
}

// selected reads a selection. Nothing named is not everything.
func selected(r *http.Request) (command.Group, selection, error) {
	var s selection
	if err := readBody(r, &s); err != nil {
		return command.Group{}, s, err
	}
	if s.All != (len(s.Numbers) == 0) {
		return command.Group{}, s, fmt.Errorf("%w: name numbers, or all, and not both", errBadRequest)
	}
	g, err := groupOf(s.Stream, s.Group)
	return g, s, err
}

func (a *administration) replay(w http.ResponseWriter, r *http.Request) error {
	g, s, err := selected(r)
	if err != nil {
		return err
	}
	return done(w, func() error { return a.node.Groups().ReplayParked(r.Context(), g, s.Numbers...) })
}

func (a *administration) drop(w http.ResponseWriter, r *http.Request) error {
	g, s, err := selected(r)
	if err != nil {
		return err
	}
	if s.All {
		return fmt.Errorf("%w: name what is to be dropped by its number", errBadRequest)
	}
	return done(w, func() error { return a.node.Groups().DropParked(r.Context(), g, s.Numbers...) })
}

// done does something, and answers that it was done and no more.
func done(w http.ResponseWriter, do func() error) error {
	out, err := newLines(w)
	if err != nil {
		return err
	}
	return out.end(struct{}{}, do())
}
