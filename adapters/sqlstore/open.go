// Package sqlstore keeps read models in SQLite: the only door to SQL.
//
// A view is a table of two columns, the row's key and its JSON, beside one
// table of checkpoints and one of parked events. Anybody may read it with any
// SQLite tool while it is written to.
//
// Its laws, those of [projections.Store]:
//   - a step of a view, its rows, its checkpoint and what it parked, is one
//     transaction;
//   - a step is taken only on the checkpoint it was folded on, whoever else has
//     the file open;
//   - a row comes back byte for byte.
//
// Trust: losing the file loses no fact, it is folded again from the log.
// Whoever can write to it can show users wrong numbers until the view is
// rebuilt, but decides nothing: no decision reads it.
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver named "sqlite", SQLite translated to Go

	"kicau/projections"
)

// Options of a store.
type Options struct {
	// Path of the database file. It is created if it is not there, readable by
	// its owner only; its directory must exist. SQLite keeps two more files
	// beside it, with -wal and -shm at the end of their names.
	Path string
	// ReadOnly opens an existing store for reading, while another process
	// writes to it or not. Every write fails.
	ReadOnly bool
	// Logger is told of what takes long; nil: nobody is.
	Logger *slog.Logger
}

// Bounds.
const (
	// maxReaders is how many reads run at a time; others wait for one to end.
	// A [DB.Dump] is one for as long as it is ranged over.
	maxReaders = 4
	// busyTimeout is how long a write waits for a writer in another process.
	busyTimeout = 10 * time.Second
	// writerCacheKiB and readerCacheKiB bound the page cache of a connection.
	writerCacheKiB = 64 << 10
	readerCacheKiB = 16 << 10
	// checkpointPages is how many pages of 4 KiB the write-ahead log gathers
	// before it is copied into the database file. Rows have random keys, so a
	// page is written many times in a replay: 16000 instead of SQLite's 1000
	// was measured to take 40% more rows a second, for 64 MiB of disk.
	checkpointPages = 16000
	walBytesKept    = checkpointPages * 4096
)

// What the header of the file says (PRAGMA application_id and user_version):
// that it is ours and how its tables are laid out.
const (
	applicationID = 0x6b696361 // "kica"
	formatVersion = 1
)

// DB is a [projections.Store] in one SQLite file.
type DB struct {
	path string
	log  *slog.Logger
	// One connection writes, in transactions that take the write lock at once
	// (BEGIN IMMEDIATE): a transaction that reads first and asks for the lock
	// later fails when another process wrote in between. Nil when read-only.
	writer  *sql.DB
	readers *sql.DB

	mu         sync.Mutex
	statements map[string]*sql.Stmt // of readers, see [DB.statement]
}

var _ projections.Store = (*DB)(nil)

// Open a store.
func Open(ctx context.Context, o Options) (_ *DB, err error) {
	if o.Path == "" {
		return nil, errors.New("open store: no path given")
	}
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	d := &DB{path: path, log: o.Logger, statements: map[string]*sql.Stmt{}}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	defer func() {
		if err != nil {
			d.Close()
			err = fmt.Errorf("open store %s: %w", path, explain(err))
		}
	}()
	if o.ReadOnly {
		if _, err := os.Stat(path); err != nil {
			return nil, err
		}
	} else {
		if err := createPrivate(path); err != nil {
			return nil, err
		}
		if d.writer, err = openPool(path, 1, false); err != nil {
			return nil, err
		}
		if err := d.initialise(ctx); err != nil {
			return nil, err
		}
	}
	if d.readers, err = openPool(path, maxReaders, true); err != nil {
		return nil, err
	}
	return d, d.inspect(ctx)
}

// Close waits for what is running and closes the files. The writer goes last:
// the last connection copies the write-ahead log into the database file, which
// a read-only one cannot do.
func (d *DB) Close() error {
	var errs []error
	for _, pool := range []*sql.DB{d.readers, d.writer} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	return errors.Join(errs...)
}

// createPrivate makes the file for its owner only, if it is not there.
func createPrivate(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// openPool makes a pool of connections to the file.
//
// synchronous=NORMAL: in WAL mode the file is consistent after a power cut,
// rows and checkpoint together, but the newest commits may be gone
// (sqlite.org/pragma.html#pragma_synchronous). For a read model that is enough:
// the checkpoint says what is missing and the log has it. The end of the
// process, however sudden, loses nothing. FULL would cost an fsync a commit.
func openPool(path string, conns int, readOnly bool) (*sql.DB, error) {
	cache := writerCacheKiB
	q := url.Values{}
	if readOnly {
		cache = readerCacheKiB
		q.Set("mode", "ro")
	} else {
		q.Set("_txlock", "immediate")
	}
	// A double-quoted word is a name and never a string, and no statement may
	// write to SQLite's own tables.
	q.Set("_dqs", "0")
	q.Set("_defensive", "1")
	q.Set("_error_rc", "1")
	for _, p := range []string{
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()),
		"synchronous(NORMAL)",
		fmt.Sprintf("cache_size(-%d)", cache),
		fmt.Sprintf("wal_autocheckpoint(%d)", checkpointPages),
		fmt.Sprintf("journal_size_limit(%d)", walBytesKept),
		"temp_store(MEMORY)",
		"trusted_schema(OFF)",
	} {
		q.Add("_pragma", p)
	}
	slashed := filepath.ToSlash(path)
	if !strings.HasPrefix(slashed, "/") { // file:///C:/…, see sqlite.org/uri.html
		slashed = "/" + slashed
	}
	dsn := url.URL{Scheme: "file", Path: slashed, RawQuery: q.Encode()}
	pool, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	return pool, nil
}

// initialise makes a new file a store. A file of somebody else's is left alone.
func (d *DB) initialise(ctx context.Context) error {
	var version string
	if err := d.writer.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); err != nil {
		return err
	}
	if err := checkVersion(version); err != nil {
		return err
	}
	err := d.write(ctx, func(tx *sql.Tx) error {
		var tables int
		if err := tx.QueryRow("SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
			return err
		}
		if tables > 0 {
			return checkIdentity(ctx, tx)
		}
		_, err := tx.Exec(metaTables)
		return err
	})
	if err != nil {
		return err
	}
	// Only after it is known to be ours: the mode is kept in the file.
	var mode string
	if err := d.writer.QueryRowContext(ctx, "PRAGMA journal_mode=WAL").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("the file system gives journal mode %q, the store needs wal: put it on a local disk", mode)
	}
	return nil
}

// inspect checks what a reader sees.
func (d *DB) inspect(ctx context.Context) error {
	var version string
	if err := d.readers.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); err != nil {
		return err
	}
	if err := checkVersion(version); err != nil {
		return err
	}
	return checkIdentity(ctx, d.readers)
}

type queryRower interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func checkIdentity(ctx context.Context, q queryRower) error {
	var id, format int64
	if err := q.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return err
	}
	if err := q.QueryRowContext(ctx, "PRAGMA user_version").Scan(&format); err != nil {
		return err
	}
	if id != applicationID {
		return errors.New("it is an SQLite database, but not a store of read models: give another path")
	}
	if format != formatVersion {
		return fmt.Errorf("its tables are in format %d, this program knows %d: use the program that wrote it, or remove the file and fold the log again", format, formatVersion)
	}
	return nil
}

// checkVersion refuses an SQLite that can corrupt a write-ahead log. Two
// connections, one writing and one checkpointing, could do that in every
// version from 3.7.0 to 3.51.2 (the "WAL-reset bug", sqlite.org/wal.html, fixed
// in 3.51.3); 3.52.0 was withdrawn.
func checkVersion(v string) error {
	parts := strings.Split(v, ".")
	var n [3]int
	ok := len(parts) == len(n)
	for i := range n {
		if ok {
			var err error
			n[i], err = strconv.Atoi(parts[i])
			ok = err == nil
		}
	}
	switch {
	case !ok:
		return fmt.Errorf("SQLite calls its version %q, which is not three numbers", v)
	case n[0] != 3, n[1] < 51, n[1] == 51 && n[2] < 3, n == [3]int{3, 52, 0}:
		return fmt.Errorf("SQLite %s may corrupt the file (the WAL-reset bug): build with 3.51.3 or newer, but not 3.52.0", v)
	}
	return nil
}

// Check reads the whole file and says whether SQLite finds it sound. It takes
// as long as reading the file does.
func (d *DB) Check(ctx context.Context) error {
	var verdict string
	err := d.readers.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict)
	if err == nil && verdict != "ok" {
		err = errors.New(verdict)
	}
	if err != nil {
		return fmt.Errorf("check store %s: %w: remove the file and fold the log again", d.path, err)
	}
	return nil
}
