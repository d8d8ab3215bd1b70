package node

import (
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
)

// A filter of $all looks at a stream's name or an event's type, by a regular
// expression or by prefixes; the expression wins when both are given.
type filter struct {
	// passes fails with a refusal when the expression is too much for an event.
	passes func(stream, typ string) (bool, error)
	// interval is how many events a subscription looks at between checkpoints.
	interval uint64
}

const (
	// maxFilterBytes bounds a filter's expression or prefixes together: it is
	// run on every event.
	maxFilterBytes = 64 << 10
	// defaultWindow is EventStoreDB's when the client leaves it to the server.
	defaultWindow = 32
)

func parseFilter(o *streams.ReadReq_Options_FilterOptions, subscription bool) (*filter, error) {
	f := &filter{}
	switch by := o.GetFilter().(type) {
	case *streams.ReadReq_Options_FilterOptions_StreamIdentifier:
		match, err := parseExpression(by.StreamIdentifier)
		if err != nil {
			return nil, err
		}
		f.passes = func(stream, _ string) (bool, error) { return match(stream) }
	case *streams.ReadReq_Options_FilterOptions_EventType:
		match, err := parseExpression(by.EventType)
		if err != nil {
			return nil, err
		}
		f.passes = func(_, typ string) (bool, error) { return match(typ) }
	default:
		return nil, invalid("a filter is by stream name or by event type; this one is by neither")
	}
	switch w := o.GetWindow().(type) {
	case *streams.ReadReq_Options_FilterOptions_Max:
		f.interval = uint64(w.Max)
	case *streams.ReadReq_Options_FilterOptions_Count:
		f.interval = defaultWindow
	default:
		return nil, invalid("the window of the filter is missing")
	}
	if f.interval == 0 {
		return nil, invalid("the window of the filter is 0 events")
	}
	if subscription {
		if o.GetCheckpointIntervalMultiplier() == 0 {
			return nil, invalid("the checkpoint interval multiplier of the filter is 0")
		}
		f.interval *= uint64(o.GetCheckpointIntervalMultiplier())
	}
	return f, nil
}

func parseExpression(e *streams.ReadReq_Options_FilterOptions_Expression) (func(string) (bool, error), error) {
	size := len(e.GetRegex())
	for _, p := range e.GetPrefix() {
		size += len(p)
	}
	if size > maxFilterBytes {
		return nil, invalid("the filter has %d bytes, at most %d are allowed", size, maxFilterBytes)
	}
	if e.GetRegex() != "" {
		return parseRegex(e.GetRegex())
	}
	prefixes := e.GetPrefix()
	return func(s string) (bool, error) {
		for _, p := range prefixes {
			if strings.HasPrefix(s, p) {
				return true, nil
			}
		}
		return false, nil
	}, nil
}

// pass tells whether an event is sent; without a filter every one is.
func (r *reading) pass(rec *record) (bool, error) {
	if r.filter == nil {
		return true, nil
	}
	return r.filter.passes(rec.Stream, rec.Type)
}
