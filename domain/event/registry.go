package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	jsonv2 "github.com/go-json-experiment/json"
)

// Upcast rewrites the JSON body of one version of a type into the next.
type Upcast func(json.RawMessage) (json.RawMessage, error)

// Type is one registered event type: how its newest version is decoded and how
// older ones become it.
type Type struct {
	Name string
	// Version is the newest schema version, from 1. upcasts[i] turns version
	// i+1 into i+2.
	Version int
	upcasts []Upcast
	decode  func([]byte) (Data, error)
}

// strict reads a body with the second version of encoding/json, three times as fast
// as the first (BenchmarkDecode of package domain). It is stricter, too: a name that
// stands twice, in another case or is not known, and text that is no UTF-8, are
// refused, since two readers could take them for two things.
var strict = jsonv2.RejectUnknownMembers(true)

// Of registers D under its own type name. The schema version is one more than
// the number of upcasts.
func Of[D Data](upcasts ...Upcast) Type {
	var zero D
	return Type{
		Name:    zero.EventType(),
		Version: len(upcasts) + 1,
		upcasts: upcasts,
		decode: func(b []byte) (Data, error) {
			var d D
			if !bytes.HasPrefix(bytes.TrimLeft(b, " \t\r\n"), []byte("{")) {
				return nil, errors.New("the body is not a JSON object") // null would leave d zero
			}
			if err := jsonv2.Unmarshal(b, &d, strict); err != nil {
				return nil, err
			}
			return d, nil
		},
	}
}

// Registry knows every event type that this program can read and write.
type Registry struct{ types map[string]Type }

// NewRegistry collects types; a name given twice is a defect and panics.
func NewRegistry(groups ...[]Type) *Registry {
	r := &Registry{types: map[string]Type{}}
	for _, g := range groups {
		for _, t := range g {
			if _, twice := r.types[t.Name]; twice {
				panic("event type registered twice: " + t.Name)
			}
			r.types[t.Name] = t
		}
	}
	return r
}

// Names lists the registered type names in alphabetical order.
func (r *Registry) Names() []string { return slices.Sorted(maps.Keys(r.types)) }

// Version is the newest schema version of a type, 0 when it is unknown.
func (r *Registry) Version(name string) int { return r.types[name].Version }

// ErrUnknownType is an event whose type, field or version this program does
// not know: a newer program wrote it. It must be refused or parked.
var ErrUnknownType = errors.New("event not readable by this version of kicau")

// Encode makes the index-th event of a command ready to append.
func (r *Registry) Encode(m Meta, index int, d Data) (Proposed, error) {
	t, ok := r.types[d.EventType()]
	if !ok {
		return Proposed{}, fmt.Errorf("event type %q is not registered: add it to its package's Events", d.EventType())
	}
	body, err := json.Marshal(d)
	if err != nil {
		return Proposed{}, fmt.Errorf("encode %s: %w", t.Name, err)
	}
	meta, err := json.Marshal(metadata{m.Correlation, m.Causation, m.Command, m.Digest, m.Actor, m.OccurredAt.UTC(), t.Version})
	if err != nil {
		return Proposed{}, fmt.Errorf("encode metadata of %s: %w", t.Name, err)
	}
	return Proposed{ID: ID(m.Command, index), Type: t.Name, Data: body, Metadata: meta}, nil
}

// Decode reads a recorded event, upcasting an older version once.
func (r *Registry) Decode(rec Recorded) (Event, error) {
	t, ok := r.types[rec.Type]
	if !ok {
		return Event{}, fmt.Errorf("%w: type %q at %s of %s", ErrUnknownType, rec.Type, rec.Position, rec.Stream)
	}
	m, err := readMetadata(rec.Metadata)
	if err != nil {
		return Event{}, fmt.Errorf("metadata of %s at %s of %s: %w", rec.Type, rec.Position, rec.Stream, err)
	}
	if m.Version < 1 || m.Version > t.Version {
		return Event{}, fmt.Errorf("%w: %s version %d at %s of %s, known up to %d",
			ErrUnknownType, rec.Type, m.Version, rec.Position, rec.Stream, t.Version)
	}
	body := json.RawMessage(rec.Data)
	for v := m.Version; v < t.Version; v++ {
		if body, err = t.upcasts[v-1](body); err != nil {
			return Event{}, fmt.Errorf("upcast %s from version %d at %s of %s: %w", rec.Type, v, rec.Position, rec.Stream, err)
		}
	}
	d, err := t.decode(body)
	if err != nil {
		return Event{}, fmt.Errorf("%w: body of %s at %s of %s: %v", ErrUnknownType, rec.Type, rec.Position, rec.Stream, err)
	}
	return Event{
		Recorded: rec,
		Meta:     Meta{m.Correlation, m.Causation, m.Command, m.Digest, m.Actor, m.OccurredAt},
		Version:  m.Version,
		Body:     d,
	}, nil
}

// Knows tells whether the type is registered.
func (r *Registry) Knows(name string) bool { _, ok := r.types[name]; return ok }
