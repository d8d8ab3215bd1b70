package node

import (
	"context"
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
)

// Read serves the nine legal forms of a read: of a stream or of $all, so many
// events or as a subscription, forwards or (counted) backwards, filtered or not
// ($all only).
func (s *service) Read(req *streams.ReadReq, out streams.Streams_ReadServer) error {
	o := req.GetOptions()
	if o == nil {
		return invalid("the options of the read are missing")
	}
	if o.GetUuidOption() == nil {
		return invalid("`uuidOption` is a required argument")
	}
	w := &frames{out: out, stringIDs: o.GetUuidOption().GetString_() != nil}
	ctx, cancel := context.WithCancelCause(out.Context())
	defer cancel(nil)
	defer context.AfterFunc(s.stopping, func() { cancel(errStopping) })()

	name, err := s.read(ctx, o, w)
	s.meters.sent.Add(w.counted())
	if err != nil && ctx.Err() != nil && out.Context().Err() == nil {
		return context.Cause(ctx) // it is the server that stops
	}
	return engineError("Read", name, err)
}

func (s *service) read(ctx context.Context, o *streams.ReadReq_Options, w *frames) (name string, err error) {
	var (
		byFilter, filtered = o.GetFilterOption().(*streams.ReadReq_Options_Filter)
		_, unfiltered      = o.GetFilterOption().(*streams.ReadReq_Options_NoFilter)
		count, counted     = o.GetCountOption().(*streams.ReadReq_Options_Count)
		_, subscription    = o.GetCountOption().(*streams.ReadReq_Options_Subscription)
		backwards          = o.GetReadDirection() == streams.ReadReq_Options_Backwards
	)
	illegal := invalid("The combination of %T, %T, %v, %T is invalid.",
		o.GetStreamOption(), o.GetCountOption(), o.GetReadDirection(), o.GetFilterOption())
	if !filtered && !unfiltered || !counted && !subscription || subscription && backwards {
		return "", illegal
	}
	r := reading{service: s, ctx: ctx, w: w, resolve: o.GetResolveLinks(), backwards: backwards}
	if counted {
		r.count = count.Count
	}
	switch of := o.GetStreamOption().(type) {
	case *streams.ReadReq_Options_Stream:
		if filtered {
			return "", illegal
		}
		name, err := streamName(of.Stream.GetStreamIdentifier())
		if err != nil {
			return "", err
		}
		if err := r.allow(ctx, opRead, name); err != nil {
			return name, err
		}
		defer r.meters.began(name, subscription)()
		if subscription {
			return name, r.subscribeToStream(name, of.Stream)
		}
		return name, r.countStream(name, of.Stream, o.GetControlOption().GetCompatibility())
	case *streams.ReadReq_Options_All:
		if err := r.allow(ctx, opRead, allStream); err != nil {
			return allStream, err
		}
		if filtered {
			if r.filter, err = parseFilter(byFilter.Filter, subscription); err != nil {
				return allStream, err
			}
		}
		defer r.meters.began(allStream, subscription)()
		if subscription {
			return allStream, r.subscribeToAll(of.All)
		}
		return allStream, r.countAll(of.All)
	default:
		return "", illegal
	}
}

// reading is one call of Read under way.
type reading struct {
	*service
	ctx       context.Context
	w         *frames
	filter    *filter // nil: everything passes
	resolve   bool
	backwards bool
	count     uint64 // events of a counted read
}

// countStream reads a stream up to where it ended when the read began, so that
// an append of several events is seen whole or not at all.
func (r *reading) countStream(name string, o *streams.ReadReq_Options_StreamOptions, compatibility uint32) error {
	st, err := r.engine.state(name)
	switch {
	case err != nil:
		return err
	case st.Tombstoned:
		return deletedStream(name)
	case !st.Exists:
		return r.w.streamNotFound(name)
	}
	from, err := countedRevision(o, r.backwards)
	if err != nil {
		return err
	}
	skips := r.count > 0 && !r.backwards && from < st.TruncateBefore && st.TruncateBefore-from >= min(r.count, pageOfCounts)
	if compatibility >= 1 && skips {
		if err := r.w.firstStreamPosition(st.TruncateBefore); err != nil {
			return err
		}
	}
	sent := uint64(0)
	if r.count > 0 {
		for rec, err := range r.engine.readStream(r.ctx, name, r.backwards, from) {
			if err != nil {
				return err
			}
			if !r.backwards && int64(rec.Revision) > st.Last {
				break
			}
			if err := r.send(&rec); err != nil {
				return err
			}
			if sent++; sent == r.count {
				break
			}
		}
	}
	if compatibility >= 1 {
		return r.streamPositions(st, from, sent > 0 || skips)
	}
	return nil
}

// pageOfCounts is how many revisions EventStoreDB looks at at once. When the
// first so many are hidden it says where the stream begins, and reads on there.
const pageOfCounts = 32

// streamPositions tells clients that asked for it where the stream goes on, when
// nothing was found, and where it ends. The Go client of version 4 does not ask
// and panics on either.
func (r *reading) streamPositions(st streamState, from uint64, told bool) error {
	if next := max(st.TruncateBefore, uint64(st.Last+1)); !r.backwards && !told && next != from {
		if err := r.w.firstStreamPosition(next); err != nil {
			return err
		}
	}
	if st.Last < 0 {
		return nil
	}
	return r.w.lastStreamPosition(uint64(st.Last))
}

// countAll reads $all up to where it ended when the read began.
func (r *reading) countAll(o *streams.ReadReq_Options_AllOptions) error {
	head := r.engine.head()
	from, err := countedPosition(o, r.backwards, head)
	if err != nil {
		return err
	}
	sent := uint64(0)
	if r.count == 0 {
		return nil
	}
	for rec, err := range r.engine.readAll(r.ctx, r.backwards, from) {
		if err != nil {
			return err
		}
		if rec.Position > head {
			break
		}
		passes, err := r.pass(&rec)
		if err != nil {
			return err
		}
		if !passes {
			continue
		}
		if err := r.send(&rec); err != nil {
			return err
		}
		if sent++; sent == r.count {
			break
		}
	}
	return nil
}

func countedRevision(o *streams.ReadReq_Options_StreamOptions, backwards bool) (uint64, error) {
	switch at := o.GetRevisionOption().(type) {
	case *streams.ReadReq_Options_StreamOptions_Revision:
		return at.Revision, nil
	case *streams.ReadReq_Options_StreamOptions_Start:
		return 0, nil
	case *streams.ReadReq_Options_StreamOptions_End:
		return math.MaxUint64, nil
	default:
		return 0, invalid("the revision to read from is missing")
	}
}

// countedPosition is where a counted read of $all begins in the engine's terms:
// forwards with the event at the position, backwards with the one before it.
func countedPosition(o *streams.ReadReq_Options_AllOptions, backwards bool, head uint64) (uint64, error) {
	switch at := o.GetAllOption().(type) {
	case *streams.ReadReq_Options_AllOptions_Start:
		return 0, nil
	case *streams.ReadReq_Options_AllOptions_End:
		return head + 1, nil
	case *streams.ReadReq_Options_AllOptions_Position:
		commit, prepare := at.Position.GetCommitPosition(), at.Position.GetPreparePosition()
		if commit == math.MaxUint64 {
			return head + 1, nil // the end, as clients without an End write it
		}
		if commit > head {
			return 0, beyondEnd(commit, head)
		}
		if prepare > commit {
			commit++ // between two events: the engine's two numbers are equal
		}
		return commit, nil
	default:
		return 0, invalid("the position to read from is missing")
	}
}

// beyondEnd refuses a position that this log never gave out: what is asked for
// belongs to another log, or this one lost its end. Silence would make the
// client miss whatever is appended up to that position.
func beyondEnd(position, head uint64) error {
	return invalid("Trying to read from an invalid position: %d is beyond the end of the log, %d. Is it a position of another log?", position, head)
}
