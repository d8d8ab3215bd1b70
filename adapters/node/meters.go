package node

import (
	"errors"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kicau/adapters/command"
)

// What an operator can watch, in Prometheus' words: names begin with
// kicau_node_, times are in seconds, sizes in bytes.

const meterPrefix = "kicau_node_"

// outcome is what came of a request to write.
type outcome int

const (
	outcomeWritten   outcome = iota
	outcomeUnchanged         // said again, or nothing to write
	outcomeConflict          // the stream was elsewhere than expected
	outcomeDeleted           // the stream is tombstoned
	outcomeReadOnly          // the disk is full, or the log is damaged
	outcomeFailed
	outcomes
)

var outcomeNames = [outcomes]string{"written", "unchanged", "conflict", "deleted", "read_only", "failed"}

var kindNames = [...]string{writeEvents: "append", softDelete: "delete", hardDelete: "tombstone"}

func outcomeOf(wrote bool, err error) outcome {
	var wrong *wrongRevision
	switch {
	case err == nil && wrote:
		return outcomeWritten
	case err == nil:
		return outcomeUnchanged
	case errors.As(err, &wrong):
		return outcomeConflict
	case errors.Is(err, command.ErrStreamDeleted):
		return outcomeDeleted
	case errors.Is(err, command.ErrReadOnly):
		return outcomeReadOnly
	default:
		return outcomeFailed
	}
}

// tally is what one batch adds to the meters; it is counted without them, so
// that a request costs nothing.
type tally struct {
	requests [len(kindNames)][outcomes]int
	offered  [outcomes]int // events of appends
	bytes    int           // of the events written
	events   uint64        // written, metadata of deletes included
	sync     time.Duration // of Pebble's write-ahead log; zero: it was not synced
}

func (t *tally) add(r *submission, o outcome) {
	t.requests[r.kind][o]++
	t.offered[o] += r.count
	if o == outcomeWritten {
		t.bytes += r.size
	}
}

// meters are a store's.
type meters struct {
	requests   [len(kindNames)][outcomes]prometheus.Counter
	offered    [outcomes]prometheus.Counter
	bytes      prometheus.Counter
	batch      prometheus.Histogram
	sync       prometheus.Histogram
	checkpoint prometheus.Histogram
	collectors []prometheus.Collector
}

func newMeters(s *store) *meters {
	requests := counters("writes_total", "Requests to write, by kind and by what came of them.", "kind", "outcome")
	offered := counters("append_events_total", "Events of appends, by what came of the append.", "outcome")
	m := &meters{
		bytes: prometheus.NewCounter(prometheus.CounterOpts{Name: meterPrefix + "append_bytes_total",
			Help: "Data, metadata and type names of the events that appends have written."}),
		batch: histogram("batch_events", "Events that one sync has made durable, metadata of deletes included.", 1, 14),
		sync: histogram("log_sync_seconds", "Syncing the write-ahead log: for a batch too large to be kept in the checkpoint, or when a lap of that is full.",
			0.0001, 15),
		checkpoint: histogram("checkpoint_sync_seconds", "Making a batch durable and promising it, in one sync or after that of the log; only then are appends answered.",
			0.0001, 15),
	}
	for o, outcome := range outcomeNames {
		m.offered[o] = offered.WithLabelValues(outcome)
		for k, kind := range kindNames {
			m.requests[k][o] = requests.WithLabelValues(kind, outcome)
		}
	}
	free := func() float64 {
		usage, err := s.fs.GetDiskUsage(s.Dir)
		if err != nil {
			return math.NaN()
		}
		return float64(usage.AvailBytes)
	}
	damaged := func() float64 { return oneIf(s.damaged.Load()) }
	m.collectors = []prometheus.Collector{
		requests, offered, m.bytes, m.batch, m.sync, m.checkpoint,
		gauge("head_position", "Position of the newest event, which is how many there are.", func() float64 { return float64(s.head()) }),
		gauge("log_bytes", "Size of the log's files.", s.diskBytes),
		gauge("disk_free_bytes", "Free space of the log's disk.", free),
		gauge("disk_reserve_bytes", "With less free space than this the log takes no events.", func() float64 { return float64(s.Reserve) }),
		gauge("read_only", "1 when the log takes no events: its disk is full, or it is damaged.", func() float64 {
			return oneIf(s.damaged.Load() || free() < float64(s.Reserve))
		}),
		gauge("damaged", "1 when something in the log was found to be not what was written.", damaged),
	}
	return m
}

// finished counts a batch that was promised and published.
func (m *meters) finished(t *tally, promised time.Duration) {
	for k := range t.requests {
		for o, n := range t.requests[k] {
			add(m.requests[k][o], n)
		}
	}
	for o, n := range t.offered {
		add(m.offered[o], n)
	}
	if t.events > 0 {
		add(m.bytes, t.bytes)
		m.batch.Observe(float64(t.events))
		if t.sync > 0 {
			m.sync.Observe(t.sync.Seconds())
		}
		m.checkpoint.Observe(promised.Seconds())
	}
}

func add(c prometheus.Counter, n int) {
	if n > 0 {
		c.Add(float64(n))
	}
}

func (s *store) diskBytes() float64 {
	bytes := math.NaN()
	_ = s.read(func() error { // closed: unknown
		bytes = float64(s.db.Metrics().DiskSpaceUsage())
		return nil
	})
	return bytes
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: meterPrefix + name, Help: help}, labels)
}

func gauge(name, help string, f func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: meterPrefix + name, Help: help}, f)
}

// histogram has n buckets, each twice as wide as the one before.
func histogram(name, help string, first float64, n int) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: meterPrefix + name, Help: help, Buckets: prometheus.ExponentialBuckets(first, 2, n)})
}
