package node

import (
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
)

// A subscription reads on from where it is to the end of the log, and waits when
// there is nothing more. There is no other way for live events: whoever is slow
// just reads later, and there is no hand-over at which an event could be lost
// or seen twice.

// subscribeToAll sends the events after a position, for ever. With a filter it
// also says from time to time how far it has looked.
func (r *reading) subscribeToAll(o *streams.ReadReq_Options_AllOptions) error {
	last, err := r.subscribedPosition(o)
	if err != nil {
		return err
	}
	if err := r.w.confirm(uuid.New()); err != nil {
		return err
	}
	var considered, checkpoint uint64
	for live := false; ; {
		end := r.engine.head()
		for rec, err := range r.engine.readAll(r.ctx, false, last+1) {
			if err != nil {
				return err
			}
			last = rec.Position
			passes, err := r.pass(&rec)
			if err != nil {
				return err
			}
			if passes {
				if err := r.send(&rec); err != nil {
					return err
				}
			}
			if considered++; r.filter != nil && considered >= r.filter.interval {
				considered, checkpoint = 0, last
				if err := r.w.checkpoint(last); err != nil {
					return err
				}
			}
		}
		last = max(last, end) // the newest events may have been scavenged
		if !live {
			if r.filter != nil && last > checkpoint {
				considered, checkpoint = 0, last
				if err := r.w.checkpoint(last); err != nil {
					return err
				}
			}
			if err := r.w.caughtUp(); err != nil {
				return err
			}
			live = true
		}
		if err := r.wait(last); err != nil {
			return err
		}
	}
}

// subscribeToStream sends a stream's events after a revision, for ever, or
// until the stream is tombstoned. A stream that does not exist is waited for.
func (r *reading) subscribeToStream(name string, o *streams.ReadReq_Options_StreamOptions) error {
	st, err := r.engine.state(name)
	if err != nil {
		return err
	}
	next, err := subscribedRevision(o, st)
	if err != nil {
		return err
	}
	if err := r.w.confirm(uuid.New()); err != nil {
		return err
	}
	if st.Tombstoned {
		return deletedStream(name) // its events show to nobody who comes later
	}
	for live := false; ; {
		seen := r.engine.head() // before looking: what comes later wakes us
		if st, err = r.engine.state(name); err != nil {
			return err
		}
		if st.Tombstoned || st.Exists && st.Last >= 0 && uint64(st.Last) >= next {
			for rec, err := range r.engine.readStream(r.ctx, name, false, next) {
				if err != nil {
					return err
				}
				if err := r.send(&rec); err != nil {
					return err
				}
				next = rec.Revision + 1
			}
		}
		if st.Tombstoned {
			return deletedStream(name)
		}
		if !live {
			if err := r.w.caughtUp(); err != nil {
				return err
			}
			live = true
		}
		if err := r.wait(seen); err != nil {
			return err
		}
	}
}

// wait returns when the log is beyond a position.
func (r *reading) wait(position uint64) error {
	r.meters.sent.Add(r.w.counted())
	return r.engine.waitBeyond(r.ctx, position)
}

// subscribedPosition is the position after which a subscription begins.
func (r *reading) subscribedPosition(o *streams.ReadReq_Options_AllOptions) (uint64, error) {
	head := r.engine.head()
	switch at := o.GetAllOption().(type) {
	case *streams.ReadReq_Options_AllOptions_Start:
		return 0, nil
	case *streams.ReadReq_Options_AllOptions_End:
		return head, nil
	case *streams.ReadReq_Options_AllOptions_Position:
		commit, prepare := at.Position.GetCommitPosition(), at.Position.GetPreparePosition()
		if commit == math.MaxUint64 {
			return head, nil
		}
		if commit > head {
			return 0, beyondEnd(commit, head)
		}
		if prepare < commit {
			commit-- // between two events: the engine's two numbers are equal
		}
		return commit, nil
	default:
		return 0, invalid("the position to subscribe from is missing")
	}
}

// subscribedRevision is the revision of the first event of a subscription.
func subscribedRevision(o *streams.ReadReq_Options_StreamOptions, st streamState) (uint64, error) {
	switch at := o.GetRevisionOption().(type) {
	case *streams.ReadReq_Options_StreamOptions_Start:
		return 0, nil
	case *streams.ReadReq_Options_StreamOptions_End:
		return uint64(st.Last + 1), nil
	case *streams.ReadReq_Options_StreamOptions_Revision:
		if at.Revision >= math.MaxInt64 {
			return uint64(st.Last + 1), nil // the end, as clients without an End write it
		}
		return at.Revision + 1, nil
	default:
		return 0, invalid("the revision to subscribe from is missing")
	}
}
