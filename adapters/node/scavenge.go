package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"kicau/adapters/command"
)

// A scavenge frees the space of events that no reader of their stream can see
// any more: truncated ($tb), beyond $maxCount, older than $maxAge, of a deleted
// stream, old metadata. From then on they are not in $all either. What is left
// of such an event is that it was there, and the hash of what it said: positions
// stay dense, links stay numbered, and the chain of roots can still be verified.
//
// Nothing that is written meanwhile can bring such an event back: metadata that
// shows more than before shows what is left.

// ScavengeOptions of a scavenge.
type ScavengeOptions struct {
	// DryRun counts what would be freed and frees nothing.
	DryRun bool
	// Progress is told how far it is, after each step.
	Progress func(ScavengeReport)
}

// ScavengeReport is what a scavenge did, or in a dry run would do.
type ScavengeReport struct {
	Streams uint64 `json:"streams"` // that had events to free
	Events  uint64 `json:"events"`
	Bytes   uint64 `json:"bytes"` // as stored, before compression
	DryRun  bool   `json:"dryRun"`
}

// Bounds of a scavenge.
const (
	scavengeRun     = 1024      // events emptied in one batch
	compactionStep  = 1 << 17   // positions whose space is freed at once
	scavengeReserve = 128 << 20 // free space in bytes that freeing space takes for a while
)

// ErrScavenging: one scavenge at a time.
var ErrScavenging = errors.New("a scavenge is under way already")

// Scavenge frees the space of events that nobody can read in their stream any
// more. It may be interrupted; the next one goes on. Reads and appends go on
// meanwhile.
func (n *Node) Scavenge(ctx context.Context, o ScavengeOptions) (ScavengeReport, error) {
	if !n.scavenging.CompareAndSwap(false, true) {
		return ScavengeReport{}, ErrScavenging
	}
	defer n.scavenging.Store(false)
	if n.store.damaged.Load() {
		return ScavengeReport{}, fmt.Errorf("%w: %w", command.ErrReadOnly, ErrDamaged)
	}
	s := &scavenge{store: n.store, ctx: ctx, options: o, report: ScavengeReport{DryRun: o.DryRun}, first: math.MaxUint64}
	if err := s.run(); err != nil {
		return s.report, fmt.Errorf("scavenge after %d events: %w", s.report.Events, err)
	}
	return s.report, nil
}

type scavenge struct {
	*store
	ctx         context.Context
	options     ScavengeOptions
	report      ScavengeReport
	upTo        uint64 // events beyond it are for the next scavenge
	first, last uint64 // positions that were emptied
}

func (s *scavenge) run() error {
	if err := s.room(); err != nil {
		return err
	}
	// An event that was emptied does not tell any more in which index streams it
	// stands: that must be safe before.
	err := s.read(func() (err error) { s.upTo, err = s.postings.settle(); return err })
	if err != nil {
		return err
	}
	s.upTo = min(s.upTo, s.head()) // readers rely on it: upToDate
	for stream, err := range s.candidates() {
		if err == nil {
			err = s.stream(stream)
		}
		if err != nil {
			return err
		}
	}
	if s.options.DryRun || s.report.Events == 0 {
		return nil
	}
	return s.compact()
}

// room refuses to begin what may need more space than there is before it frees
// any.
func (s *scavenge) room() error {
	usage, err := s.fs.GetDiskUsage(s.Dir)
	if err == nil && usage.AvailBytes < scavengeReserve {
		return fmt.Errorf("%w: freeing space takes up to %d bytes for a while, the disk has %d", command.ErrReadOnly, int64(scavengeReserve), usage.AvailBytes)
	}
	return nil // a file system that cannot tell is none of a real disk
}

// candidates yields the streams that may have something to free: those with
// metadata, their metastreams, and those that were closed for good.
func (s *scavenge) candidates() func(func(string, error) bool) {
	return func(yield func(string, error) bool) {
		for name, err := range s.metastreams() {
			if err != nil {
				yield("", err)
				return
			}
			original, _ := originalOf(name)
			if !yield(name, nil) || !yield(original, nil) {
				return
			}
		}
		for number := uint64(0); ; number += scavengeRun {
			var at []entry
			err := s.read(func() error {
				return s.postings.list(posted{kind: postTombstones}, s.upTo, func(l *listing) (err error) {
					at, err = l.entries(nil, number, math.MaxUint64, false, scavengeRun)
					return err
				})
			})
			for _, e := range at {
				var closed string
				if err == nil {
					closed, err = s.closedStream(e.position)
				}
				if err != nil {
					break
				}
				if closed != "" && !yield(closed, nil) {
					return
				}
			}
			if err != nil {
				yield("", err)
			}
			if err != nil || len(at) < scavengeRun {
				return
			}
		}
	}
}

// closedStream is the stream whose tombstone is at a position, "" when it has a
// metastream and so came before: a dry run must not count it twice.
func (s *scavenge) closedStream(position uint64) (name string, err error) {
	err = s.read(func() error {
		r, err := s.event(position)
		if err != nil {
			return err
		}
		return s.withIndex(func(x *index) error {
			_, described, err := x.at(metastreamOf(r.Stream), 0)
			if !described {
				name = r.Stream
			}
			return err
		})
	})
	return name, err
}

// metastreams yields the names of all metastreams. Keys are ordered by the length
// of the name first.
func (s *scavenge) metastreams() func(func(string, error) bool) {
	return func(yield func(string, error) bool) {
		for length := len("$$") + 1; length <= maxStreamName; length++ {
			from := binary.BigEndian.AppendUint16([]byte{streamKind}, uint16(length))
			end := append(append([]byte{}, from...), "$%"...) // '%' follows '$'
			from = append(from, "$$"...)
			for {
				name := ""
				err := s.read(func() error {
					return s.withIndex(func(x *index) error {
						if x.it.SeekGE(from) && string(x.it.Key()) < string(end) {
							name = string(x.it.Key()[3 : 3+length])
						}
						return x.it.Error()
					})
				})
				if err == nil && name == "" {
					break
				}
				if !yield(name, err) || err != nil {
					return
				}
				from = appendIndexKey(from[:0], name, math.MaxUint64)
			}
		}
	}
}

// hidden are the events of a stream that nobody can see: those with a smaller
// revision than before, whatever their age, and those from before oldest.
type hidden struct {
	before uint64
	oldest time.Time
}

// stream frees what can be freed of one stream.
func (s *scavenge) stream(name string) error {
	before := s.report.Events
	for from := uint64(0); ; {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		var entries []entry
		var hidden hidden
		err := s.read(func() error {
			return s.withIndex(func(x *index) error {
				v, err := s.view(x, name, s.upTo)
				if err != nil {
					return err
				}
				hidden.before = v.TruncateBefore
				if v.Tombstoned {
					hidden.before = tombstoneRevision // all but the tombstone
				}
				to := hidden.before
				if v.maxAge > 0 {
					to, hidden.oldest = max(to, uint64(v.Last+1)), s.now().Add(-v.maxAge)
				}
				entries, err = x.between(nil, name, from, to, false, scavengeRun)
				return err
			})
		})
		if err != nil {
			return err
		}
		done, err := s.empty(entries, hidden)
		if err != nil {
			return err
		}
		if done || len(entries) < scavengeRun {
			break
		}
		from = entries[len(entries)-1].revision + 1
	}
	if s.report.Events > before {
		s.report.Streams++
		if s.options.Progress != nil {
			s.options.Progress(s.report)
		}
	}
	return nil
}

// empty replaces events by what is left of them, if they are hidden; done tells
// that one was not, and so none after it.
func (s *scavenge) empty(entries []entry, hidden hidden) (done bool, err error) {
	err = s.read(func() (err error) {
		batch := s.db.NewBatch()
		defer func() { err = errors.Join(err, batch.Close()) }()
		for _, e := range entries {
			if e.position > s.upTo {
				continue
			}
			freed, young, err := s.emptyOne(batch, e, hidden)
			if err != nil {
				return err
			}
			if done = young; done {
				break
			}
			if freed > 0 {
				s.report.Events++
				s.report.Bytes += uint64(freed)
				s.first, s.last = min(s.first, e.position), max(s.last, e.position)
			}
		}
		if batch.Empty() || s.options.DryRun {
			return nil
		}
		// Not synced: what a crash takes back is done by the next scavenge.
		return s.apply(batch, pebble.NoSync)
	})
	return done, err
}

func (s *scavenge) emptyOne(batch *pebble.Batch, e entry, hidden hidden) (freed int, young bool, err error) {
	key := appendEventKey(nil, e.position)
	stored, closer, err := s.db.Get(key)
	if err != nil {
		return 0, false, fmt.Errorf("%w: event at position %d: %w", ErrDamaged, e.position, err)
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	r, err := readRecord(e.position, stored, nil)
	if err != nil || r.emptied {
		return 0, false, err
	}
	if e.revision >= hidden.before && !r.Created.Before(hidden.oldest) {
		return 0, true, nil
	}
	left, err := emptied(stored)
	if err != nil {
		return 0, false, err
	}
	return max(1, len(stored)-len(left)), false, batch.Set(key, left, nil)
}

// compact makes Pebble let go of what was replaced.
func (s *scavenge) compact() error {
	for at := s.first; at <= s.last; at += compactionStep {
		if err := s.room(); err != nil {
			return err
		}
		end := min(at+compactionStep, s.last+1)
		err := s.read(func() error {
			return s.crashOnly(func() error {
				return s.db.Compact(s.ctx, appendEventKey(nil, at), appendEventKey(nil, end), false)
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}
