package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"

	"kicau/adapters/command"
)

// Options of the embedded event store. Only Dir is required.
type Options struct {
	// Dir holds everything: the log in Dir/log and its checkpoint in
	// Dir/checkpoint. It is created when it is not there. Back up and restore
	// it as a whole.
	Dir string
	// Logger gets what an operator should know. Default: slog.Default().
	Logger *slog.Logger
	// Reserve is the free space in bytes below which the log takes no events.
	// Default: DefaultReserve.
	Reserve uint64

	readOnly bool // see OpenReadOnly
	unlocked bool // and OpenBackup
	overlaid bool // what Pebble writes is in memory only

	fs         vfs.FS           // default: the operating system's
	now        func() time.Time // default: time.Now
	flushAfter int              // default: flushAfter
	lapBytes   int              // default: lapBytes
}

func (o *Options) setDefaults() error {
	if o.Dir == "" {
		return errors.New("open the log: no directory was named")
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Reserve == 0 {
		o.Reserve = DefaultReserve
	}
	if o.flushAfter == 0 {
		o.flushAfter = flushAfter
	}
	if o.lapBytes == 0 {
		o.lapBytes = lapBytes
	}
	if o.fs == nil {
		o.fs = vfs.Default
	}
	if o.now == nil {
		o.now = time.Now
	}
	return nil
}

// Pebble's sizes. A memtable is also the size of a write-ahead log file, and so
// what is replayed at a start.
const (
	memtableSize  = 32 << 20
	memtables     = 4
	blockCache    = 192 << 20 // the memtables count as part of it
	blockSize     = 32 << 10  // events are read in runs
	bloomBits     = 10
	maxOpenFiles  = 500
	formatOfStore = 1 // of the keys (keys.go) and records (record.go)
)

// store is the engine on Pebble.
type store struct {
	Options
	db  *pebble.DB
	id  uuid.UUID
	tip tip
	// postings is the index behind the index streams.
	postings *postings
	// listsSince is described at engine.accessLists.
	listsSince atomic.Uint64
	// damaged is set when Pebble found a block that is not what was written.
	damaged atomic.Bool
	queue   chan *submission
	meters  *meters
	// writing is held while Pebble's write-ahead log is written, and while it is
	// copied.
	writing sync.Mutex

	// admission is held for reading while a request is put into the queue, and
	// for writing to close the queue.
	admission sync.RWMutex
	closing   bool
	// reading is held for reading while Pebble is read, and for writing to
	// close it.
	reading sync.RWMutex
	gone    bool

	committed chan struct{} // closed when the committer has answered everybody
	closeOnce func() error
}

var _ engine = (*store)(nil)

// openStore opens the log in a directory, or makes a new one there. It refuses
// a log that is not what its checkpoint promised: see ErrDamaged.
func openStore(o Options) (*store, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	s, err := openFiles(o)
	if errors.Is(err, errUnwritten) {
		o.overlaid = true
		s, err = openFiles(o)
	}
	return s, err
}

func openFiles(o Options) (_ *store, err error) {
	dir, checkpointPath := o.fs.PathJoin(o.Dir, "log"), o.fs.PathJoin(o.Dir, "checkpoint")
	if o.unlocked {
		o.fs = unlockedFS{o.fs}
	}
	if o.readOnly {
		if _, err := o.fs.Stat(dir); err != nil {
			return nil, fmt.Errorf("open the log in %s: there is none: %w", o.Dir, err)
		}
	} else if err := makeDir(o.fs, dir); err != nil {
		return nil, fmt.Errorf("open the log in %s: make the directory: %w", o.Dir, err)
	}
	lock, err := pebble.LockDirectory(dir, o.fs)
	if err != nil {
		return nil, fmt.Errorf("open the log in %s: it cannot be locked: another process has it open (stop that one, or name another directory), or it may not be written: %w", o.Dir, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Close())
		}
	}()
	if !o.readOnly {
		if err := removeBackups(o.fs, o.Dir); err != nil {
			return nil, fmt.Errorf("open the log in %s: remove what a backup left behind: %w", o.Dir, err)
		}
	}
	s := &store{
		Options:   o,
		queue:     make(chan *submission, maxWaiting),
		committed: make(chan struct{}),
	}
	s.meters = newMeters(s)
	s.tip.closed = make(chan struct{})
	var db *pebble.DB
	err = s.crashOnly(func() (err error) { db, err = pebble.Open(dir, s.pebbleOptions(lock)); return err })
	if err != nil {
		return nil, fmt.Errorf("open the log in %s: if a file is missing, restore a verified copy of the whole directory: %w", o.Dir, damage(err))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	s.db = db
	end, file, err := s.recover(checkpointPath)
	if err != nil {
		return nil, damage(err)
	}
	s.tip.position.Store(end.size)
	s.postings = newPostings(s)
	if err := s.postings.recoverIndex(end.size); err != nil {
		s.postings.close()
		return nil, errors.Join(damage(err), file.close())
	}
	s.closeOnce = sync.OnceValue(func() error { return s.shutdown(file, lock) })
	if o.readOnly {
		close(s.committed)
		return s, nil
	}
	c := newCommitter(s, end, file)
	go c.run()
	return s, nil
}

func (s *store) pebbleOptions(lock *pebble.Lock) *pebble.Options {
	fs := s.fs
	if s.overlaid {
		fs = newOverlay(fs)
	}
	p := &pebble.Options{
		FS:            orderedFS{fs},
		ReadOnly:      s.readOnly && !s.overlaid,
		Lock:          lock,
		Logger:        pebbleLogger{s.Logger},
		EventListener: &pebble.EventListener{DataCorruption: s.foundDamage},
		// Not the default: only newer formats of the write-ahead log can tell
		// damage from a torn write (they carry synced offsets).
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                memtableSize,
		MemTableStopWritesThreshold: memtables,
		CacheSize:                   blockCache,
		MaxOpenFiles:                maxOpenFiles,
		// They would be lost, and may be large.
		DisableAutomaticCompactions: s.overlaid,
	}
	for i := range p.Levels {
		p.Levels[i].BlockSize = blockSize
		p.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBits)
	}
	// The fastest to read back, and in a log reading is what counts.
	p.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionFastest })
	// Each kind of key gets tables of its own. Events and roots are only ever
	// added at the end, so their tables never overlap and compactions move them
	// from level to level instead of writing them again.
	p.Experimental.SpanPolicyFunc = func(start []byte) (pebble.SpanPolicy, []byte, error) {
		if len(start) == 0 {
			return pebble.SpanPolicy{}, nil, nil
		}
		return pebble.SpanPolicy{}, []byte{start[0] + 1}, nil
	}
	return p
}

// append is described at engine.
func (s *store) append(ctx context.Context, stream string, expect int64, events []proposed) (appended, error) {
	return s.submit(ctx, &submission{kind: writeEvents, parts: []part{{stream, expect, events}}})
}

// begin is described at engine.
func (s *store) begin(ctx context.Context, stream string, expect int64, events []proposed) (func() (appended, error), error) {
	r := &submission{kind: writeEvents, parts: []part{{stream, expect, events}}}
	if err := s.hand(ctx, r); err != nil {
		return nil, err
	}
	return func() (appended, error) { return r.wait(ctx) }, nil
}

// appendAll is described at engine.
func (s *store) appendAll(ctx context.Context, parts []part) error {
	_, err := s.submit(ctx, &submission{kind: writeEvents, parts: parts})
	return err
}

// delete is described at engine.
func (s *store) delete(ctx context.Context, stream string, expect int64, tombstone bool) (uint64, error) {
	if _, meta := originalOf(stream); meta {
		return 0, fmt.Errorf("stream %s holds metadata: delete the stream that it describes", stream)
	}
	kind := softDelete
	if tombstone {
		kind = hardDelete
	}
	a, err := s.submit(ctx, &submission{kind: kind, parts: []part{{stream: stream, expect: expect}}})
	return a.Position, err
}

// submit hands a request to the committer and waits for its answer.
func (s *store) submit(ctx context.Context, r *submission) (appended, error) {
	if err := s.hand(ctx, r); err != nil {
		return appended{}, err
	}
	return r.wait(ctx)
}

func (s *store) hand(ctx context.Context, r *submission) error {
	if err := r.check(); err != nil {
		return err
	}
	r.answer = make(chan answer, 1)
	return s.enqueue(ctx, r)
}

func (r *submission) wait(ctx context.Context) (appended, error) {
	select {
	case a := <-r.answer:
		return a.at, a.err
	case <-ctx.Done():
		return appended{}, ctx.Err()
	}
}

func (s *store) enqueue(ctx context.Context, r *submission) error {
	s.admission.RLock()
	defer s.admission.RUnlock()
	if s.closing {
		return command.ErrClosed
	}
	if s.readOnly {
		return fmt.Errorf("%w: %s was opened for reading", command.ErrReadOnly, s.Dir)
	}
	select {
	case s.queue <- r:
		return nil
	default:
	}
	select {
	case s.queue <- r:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *store) head() uint64 { return s.tip.position.Load() }

func (s *store) accessLists() uint64 { return s.listsSince.Load() }

func (s *store) waitBeyond(ctx context.Context, position uint64) error {
	return s.tip.waitBeyond(ctx, position)
}

// close answers what waits, refuses what comes, and closes the files. It may be
// called more than once.
func (s *store) close() error { return s.closeOnce() }

func (s *store) shutdown(file *checkpointFile, lock *pebble.Lock) error {
	s.admission.Lock()
	s.closing = true
	close(s.queue)
	s.admission.Unlock()
	<-s.committed
	s.postings.close()
	close(s.tip.closed)
	s.reading.Lock()
	s.gone = true
	s.reading.Unlock()
	return errors.Join(s.db.Close(), file.close(), lock.Close())
}

// apply writes a batch. Everything that is written goes through here or through
// applyNoWait.
func (s *store) apply(batch *pebble.Batch, o *pebble.WriteOptions) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.crashOnly(func() error { return s.db.Apply(batch, o) })
}

// crashOnly runs something in which Pebble may panic because a write failed:
// where it goes over to another write-ahead log (DB.rotateWAL) or manifest
// (atomicfs.Marker.Move). Whoever called may recover, as net/http does, and the
// log would go on without. In the committer, and in Pebble's own goroutines, a
// panic ends the process as well.
func (s *store) crashOnly(f func() error) error {
	defer func() {
		if p := recover(); p != nil {
			fatal(s.Logger, "the log cannot be written; the process ends", "dir", s.Dir, "err", p, "stack", string(debug.Stack()))
		}
	}()
	return f()
}

// applyNoWait writes a batch and begins to sync it; batch.SyncWait waits for it.
func (s *store) applyNoWait(batch *pebble.Batch) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.db.ApplyNoSyncWait(batch, pebble.Sync)
}

// syncLog returns when everything that was written before is synced; apply is
// applyNoWait, or of Pebble while writing is held.
func (s *store) syncLog(apply func(*pebble.Batch) error) error {
	mark := s.db.NewBatch()
	return errors.Join(mark.LogData(nil, nil), apply(mark), mark.SyncWait(), mark.Close())
}

// foundDamage is called by Pebble for each block that it cannot read back.
// Readers of that block get an error; what is intact can still be read. Events
// are no longer taken: they would be lost with the log when a copy is restored.
func (s *store) foundDamage(info pebble.DataCorruptionInfo) {
	if s.damaged.CompareAndSwap(false, true) {
		s.Logger.Error("the log is damaged: it takes no events any more; restore a verified copy of its whole directory",
			"dir", s.Dir, "file", info.Path, "err", info.Details.Error())
	}
}

// damage marks what Pebble says of damage as ErrDamaged.
func damage(err error) error {
	if pebble.IsCorruptionError(err) && !errors.Is(err, ErrDamaged) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// read runs f while Pebble is certainly open. f must not wait for anybody.
func (s *store) read(f func() error) error {
	s.reading.RLock()
	defer s.reading.RUnlock()
	if s.gone {
		return command.ErrClosed
	}
	return damage(f())
}

// fatal ends the process. After a failed write or sync nobody knows what is on
// the disk, and asking again would be told lies (Rebello et al., "Can
// Applications Recover from fsync Failures?", USENIX ATC 2020): the next start
// finds out.
func fatal(logger *slog.Logger, msg string, args ...any) {
	logger.Error(msg, args...)
	os.Exit(1)
}

// pebbleLogger passes on what Pebble says. Pebble relies on Fatalf not to
// return.
type pebbleLogger struct{ *slog.Logger }

func (l pebbleLogger) Infof(format string, args ...any) {
	if l.Enabled(context.Background(), slog.LevelDebug) {
		l.Debug(fmt.Sprintf(format, args...))
	}
}
func (l pebbleLogger) Errorf(format string, args ...any) { l.Error(fmt.Sprintf(format, args...)) }
func (l pebbleLogger) Fatalf(format string, args ...any) {
	fatal(l.Logger, "the log cannot be written; the process ends: "+fmt.Sprintf(format, args...))
}
