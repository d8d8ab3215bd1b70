package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/projections"
)

// A view's table is CREATE TABLE name (key TEXT PRIMARY KEY, data TEXT). It was
// measured, 1000 rows of 500 bytes a commit, random keys, two indexes:
//
//   - rowid tables are twice as fast as WITHOUT ROWID ones, as SQLite's manual
//     says of rows of more than a twentieth of a page (sqlite.org/withoutrowid.html);
//   - indexes on json_extract(data, …) cost the same as indexes on virtual
//     generated columns and as columns filled in by us, and keep the table as
//     plain as it is;
//   - data is TEXT: JSON functions take a BLOB for JSONB.
//
// Text compares byte by byte (collation BINARY, SQLite's own default).

var metaTables = fmt.Sprintf(`
CREATE TABLE checkpoints (
	table_name TEXT PRIMARY KEY NOT NULL,
	log_id     TEXT NOT NULL,    -- the log that the rows were folded from
	commit_at  INTEGER NOT NULL, -- position in the log: everything up to it is in the rows
	prepare_at INTEGER NOT NULL,
	events     INTEGER NOT NULL, -- considered so far
	indexes    TEXT NOT NULL     -- JSON: the lists of fields that queries may use
) WITHOUT ROWID;
CREATE TABLE parked (
	table_name TEXT NOT NULL,
	commit_at  INTEGER NOT NULL,
	prepare_at INTEGER NOT NULL,
	stream     TEXT NOT NULL,
	event_id   TEXT NOT NULL,
	event_type TEXT NOT NULL,
	reason     TEXT NOT NULL,
	PRIMARY KEY (table_name, commit_at, prepare_at)
) WITHOUT ROWID;
PRAGMA application_id = %d;
PRAGMA user_version = %d;
`, applicationID, formatVersion)

// Names are put into SQL as they are, so they are held to what needs no
// quoting anywhere. Tables have small letters only: SQL takes Orders and orders
// for the same table, checkpoints do not. 63 bytes is PostgreSQL's bound.
var (
	tableName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)
	fieldName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)
)

func checkTable(name string) error {
	reserved := name == "checkpoints" || name == "parked" || strings.HasPrefix(name, "sqlite_")
	if !tableName.MatchString(name) || reserved {
		return fmt.Errorf("view table %q: a name is 1 to 63 small letters, digits and underscores, begins with a letter, and is not checkpoints, parked or sqlite_…", name)
	}
	return nil
}

func checkField(name string) error {
	if !fieldName.MatchString(name) {
		return fmt.Errorf("field %q: the name of a field to query by is 1 to 63 letters, digits and underscores and does not begin with a digit", name)
	}
	return nil
}

// field is the SQL for a top-level JSON field. An index is used only where the
// query says exactly what the index says. The name has passed checkField.
func field(name string) string { return "json_extract(data,'$." + name + "')" }

// Prepare implements [projections.Store]. Indexes are made and removed until
// they are those of the schema; on a view that is already filled that takes a
// while.
func (d *DB) Prepare(ctx context.Context, s projections.Schema) (cp projections.Checkpoint, err error) {
	if err := checkTable(s.Table); err != nil {
		return cp, err
	}
	for _, fields := range s.Indexes {
		if len(fields) == 0 {
			return cp, fmt.Errorf("prepare view %s: an index without fields", s.Table)
		}
		for _, f := range fields {
			if err := checkField(f); err != nil {
				return cp, fmt.Errorf("prepare view %s: %w", s.Table, err)
			}
		}
	}
	err = d.write(ctx, func(tx *sql.Tx) error {
		var known [][]string
		cp, known, err = readView(ctx, tx, s.Table)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			if _, err := tx.Exec(`INSERT INTO checkpoints VALUES (?,?,0,0,0,'[]')`, s.Table, uuid.Nil.String()); err != nil {
				return err
			}
			if _, err := tx.Exec("CREATE TABLE " + s.Table + " (key TEXT PRIMARY KEY NOT NULL, data TEXT NOT NULL)"); err != nil {
				return err
			}
		case err != nil:
			return err
		}
		if slices.EqualFunc(known, s.Indexes, slices.Equal[[]string]) {
			return nil
		}
		d.log.InfoContext(ctx, "making the indexes of a view", "view", s.Table, "rows folded from events", cp.Events)
		return replaceIndexes(tx, s)
	})
	if err != nil {
		return projections.Checkpoint{}, fmt.Errorf("prepare view %s: %w", s.Table, explain(err))
	}
	return cp, nil
}

// replaceIndexes drops the indexes of a view and makes those of the schema.
// Their names say nothing and are used once, so that a table that takes the
// place of another can bring its own along.
func replaceIndexes(tx *sql.Tx, s projections.Schema) error {
	old, err := strs(tx, "SELECT name FROM sqlite_schema WHERE type='index' AND tbl_name=? AND sql IS NOT NULL", s.Table)
	if err != nil {
		return err
	}
	for _, name := range old {
		if _, err := tx.Exec("DROP INDEX " + name); err != nil {
			return err
		}
	}
	for _, fields := range s.Indexes {
		var cols strings.Builder
		for _, f := range fields {
			cols.WriteString(field(f) + ",")
		}
		name := "by_" + strings.ReplaceAll(uuid.NewString(), "-", "")
		// The key comes last: it is the second half of every order.
		if _, err := tx.Exec("CREATE INDEX " + name + " ON " + s.Table + " (" + cols.String() + "key)"); err != nil {
			return err
		}
	}
	indexes, err := json.Marshal(s.Indexes)
	if err != nil {
		return err
	}
	if s.Indexes == nil {
		indexes = []byte("[]")
	}
	_, err = tx.Exec("UPDATE checkpoints SET indexes=? WHERE table_name=?", string(indexes), s.Table)
	return err
}

// Drop implements [projections.Store]. A view that is not there is dropped
// already. The file does not shrink; what is written next fills the room.
func (d *DB) Drop(ctx context.Context, table string) error {
	if err := checkTable(table); err != nil {
		return err
	}
	err := d.write(ctx, func(tx *sql.Tx) error { return drop(tx, table) })
	if err != nil {
		return fmt.Errorf("drop view %s: %w", table, explain(err))
	}
	return nil
}

func drop(tx *sql.Tx, table string) error {
	if _, err := tx.Exec("DROP TABLE IF EXISTS " + table); err != nil {
		return err
	}
	for _, meta := range []string{"checkpoints", "parked"} {
		if _, err := tx.Exec("DELETE FROM "+meta+" WHERE table_name=?", table); err != nil {
			return err
		}
	}
	return nil
}

// Promote implements [projections.Store]. It renames, so it takes no longer for
// a large view than for a small one, but for taking down the old one.
func (d *DB) Promote(ctx context.Context, from, to string) error {
	if err := errors.Join(checkTable(from), checkTable(to)); err != nil {
		return err
	}
	if from == to {
		return fmt.Errorf("promote view %s to itself", from)
	}
	err := d.write(ctx, func(tx *sql.Tx) error {
		if _, _, err := readView(ctx, tx, from); errors.Is(err, sql.ErrNoRows) {
			return unknownView(from)
		} else if err != nil {
			return err
		}
		if err := drop(tx, to); err != nil {
			return err
		}
		if _, err := tx.Exec("ALTER TABLE " + from + " RENAME TO " + to); err != nil { // takes its indexes along
			return err
		}
		for _, meta := range []string{"checkpoints", "parked"} {
			if _, err := tx.Exec("UPDATE "+meta+" SET table_name=? WHERE table_name=?", to, from); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("promote view %s to %s: %w", from, to, explain(err))
	}
	return nil
}

func unknownView(table string) error {
	return fmt.Errorf("the store has no view %s: it has not been projected yet, or another version of it has", table)
}

// readView reads what is kept of a view besides its rows; sql.ErrNoRows when
// there is no such view.
func readView(ctx context.Context, q queryRower, table string) (cp projections.Checkpoint, indexes [][]string, err error) {
	var log, fields string
	var commit, prepare, events int64
	err = q.QueryRowContext(ctx, "SELECT log_id,commit_at,prepare_at,events,indexes FROM checkpoints WHERE table_name=?", table).
		Scan(&log, &commit, &prepare, &events, &fields)
	if err != nil {
		return cp, nil, err
	}
	cp.Position = event.Position{Commit: uint64(commit), Prepare: uint64(prepare)}
	cp.Events = uint64(events)
	if cp.Log, err = uuid.Parse(log); err != nil {
		return cp, nil, fmt.Errorf("checkpoint of %s: log id %q: %w", table, log, err)
	}
	if err := json.Unmarshal([]byte(fields), &indexes); err != nil {
		return cp, nil, fmt.Errorf("checkpoint of %s: indexes: %w", table, err)
	}
	return cp, indexes, nil
}

// position gives the two numbers of a position as SQL integers, which have one
// bit less. EventStoreDB's positions are signed in its files, so they fit.
func position(p event.Position) (commit, prepare int64, err error) {
	if p.Commit > math.MaxInt64 || p.Prepare > math.MaxInt64 {
		return 0, 0, fmt.Errorf("position %s is beyond what the store can hold (%d)", p, int64(math.MaxInt64))
	}
	return int64(p.Commit), int64(p.Prepare), nil
}

// strs runs a query of one text column.
func strs(tx *sql.Tx, query string, args ...any) (out []string, err error) {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}
