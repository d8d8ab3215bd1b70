package node

import (
	"bytes"
	"context"
	"strconv"
)

// A link is an event of type "$>" whose data is "revision@stream": it stands
// for the event there. (EventStoreDB's system projections write them.)
const (
	linkType      = "$>"
	linkSeparator = "@"
)

// send writes a record that was read. When links are to be resolved and it is
// one, its target goes with it, or nothing when the target is gone. A link that
// cannot be read as one is an ordinary event.
func (r *reading) send(rec *record) error {
	if !r.resolve || rec.Type != linkType {
		return r.w.send(rec, rec, false)
	}
	revision, stream, ok := parseLink(rec.Data)
	if !ok {
		return r.w.send(rec, rec, false)
	}
	target, err := linkTarget(r.ctx, r.engine, stream, revision)
	if err != nil {
		return err
	}
	return r.w.send(rec, target, true)
}

func parseLink(data []byte) (revision uint64, stream string, ok bool) {
	number, name, found := bytes.Cut(data, []byte(linkSeparator))
	revision, err := strconv.ParseUint(string(number), 10, 63)
	return revision, string(name), found && err == nil && len(name) > 0
}

// linkTarget is the event a link points at, nil when it is not there any more.
func linkTarget(ctx context.Context, e engine, stream string, revision uint64) (*record, error) {
	st, err := e.state(stream)
	if err != nil || !st.Exists {
		return nil, err
	}
	for rec, err := range e.readStream(ctx, stream, false, revision) {
		if err != nil {
			return nil, err
		}
		if rec.Revision == revision {
			return &rec, nil
		}
		break
	}
	return nil, nil
}
