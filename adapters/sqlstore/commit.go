package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"kicau/projections"
)

// Commit implements [projections.Store].
//
// One prepared statement, run once a row, was measured to be faster than
// statements of a hundred rows, and going past database/sql gained nothing: the
// time goes into SQLite's trees.
func (d *DB) Commit(ctx context.Context, batches ...projections.Batch) error {
	for _, b := range batches {
		if err := checkBatch(b); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
	}
	err := d.write(ctx, func(tx *sql.Tx) error {
		for _, b := range batches {
			if err := commitBatch(tx, b); err != nil {
				return fmt.Errorf("view %s: %w", b.Table, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("commit: %w", explain(err))
	}
	return nil
}

// checkBatch refuses what no correct projector sends.
func checkBatch(b projections.Batch) error {
	if err := checkTable(b.Table); err != nil {
		return err
	}
	switch {
	case b.To.Position.Compare(b.From.Position) < 0:
		return fmt.Errorf("view %s: a step back from %s to %s", b.Table, b.From.Position, b.To.Position)
	case b.From.Log != uuid.Nil && b.To.Log != b.From.Log:
		return fmt.Errorf("view %s: its rows were folded from log %s and cannot be continued with log %s: rebuild it", b.Table, b.From.Log, b.To.Log)
	case b.To.Events > math.MaxInt64:
		return fmt.Errorf("view %s: %d events are more than the store can count", b.Table, b.To.Events)
	}
	for _, r := range b.Rows {
		// What SQL cannot compare byte by byte everywhere.
		if !utf8.ValidString(r.Key) || strings.ContainsRune(r.Key, 0) {
			return fmt.Errorf("view %s: key %q is not UTF-8 text without zero bytes", b.Table, r.Key)
		}
		if r.Data == nil {
			return fmt.Errorf("view %s: row %q has no data", b.Table, r.Key)
		}
	}
	return nil
}

func commitBatch(tx *sql.Tx, b projections.Batch) error {
	// The checkpoint first: it is the fence. The write lock is held already, so
	// nobody can move it between here and the commit.
	if err := moveCheckpoint(tx, b); err != nil {
		return err
	}
	// Prepared and run without the context, which the transaction watches:
	// statements that did so too would start a goroutine each.
	put, err := tx.Prepare("INSERT INTO " + b.Table + " (key,data) VALUES (?,?) ON CONFLICT (key) DO UPDATE SET data=excluded.data")
	if err != nil {
		return err
	}
	defer put.Close()
	for _, r := range b.Rows {
		if _, err := put.Exec(r.Key, string(r.Data)); err != nil {
			return fmt.Errorf("row %q: %w", r.Key, err)
		}
	}
	for _, p := range b.Parked {
		if err := park(tx, b.Table, p); err != nil {
			return fmt.Errorf("park event %s: %w", p.EventID, err)
		}
	}
	return nil
}

func moveCheckpoint(tx *sql.Tx, b projections.Batch) error {
	fromC, fromP, err := position(b.From.Position)
	if err != nil {
		return err
	}
	toC, toP, err := position(b.To.Position)
	if err != nil {
		return err
	}
	res, err := tx.Exec(`UPDATE checkpoints SET log_id=?, commit_at=?, prepare_at=?, events=?
		WHERE table_name=? AND log_id=? AND commit_at=? AND prepare_at=?`,
		b.To.Log.String(), toC, toP, int64(b.To.Events), b.Table, b.From.Log.String(), fromC, fromP)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return fmt.Errorf("it is not at %s of log %s: %w", b.From.Position, b.From.Log, projections.ErrFenced)
}

func park(tx *sql.Tx, table string, p projections.Parked) error {
	commit, prepare, err := position(p.Position)
	if err != nil {
		return err
	}
	_, err = tx.Exec("INSERT INTO parked VALUES (?,?,?,?,?,?,?)",
		table, commit, prepare, p.Stream, p.EventID.String(), p.Type, p.Reason)
	return err
}

// write runs do in a transaction: all of it or nothing.
func (d *DB) write(ctx context.Context, do func(tx *sql.Tx) error) error {
	if d.writer == nil {
		return errors.New("the store was opened read-only")
	}
	tx, err := d.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after a commit it does nothing
	if err := do(tx); err != nil {
		if ctx.Err() != nil { // then the transaction was ended under do's feet
			return ctx.Err()
		}
		return err
	}
	// The commit point: before it nothing was written, after it everything was.
	return tx.Commit()
}
