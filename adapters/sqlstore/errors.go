package sqlstore

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// remedies say what to do about the results of SQLite that its user can do
// something about (sqlite.org/rescode.html). None of them means that a
// transaction was half done.
var remedies = map[int]string{
	sqlite3.SQLITE_BUSY:     fmt.Sprintf("another process has been writing for more than %s: see which one, or try again", busyTimeout),
	sqlite3.SQLITE_FULL:     "nothing was written: make room, then try again",
	sqlite3.SQLITE_READONLY: "the file may not be written: see its owner and mode, and whether the store was opened read-only",
	sqlite3.SQLITE_CANTOPEN: "the file could not be opened: see that it and its directory are there and may be written",
	sqlite3.SQLITE_IOERR:    "the disk gave an error: see the system's log",
	sqlite3.SQLITE_CORRUPT:  "the file is damaged: remove it and fold the log again",
	sqlite3.SQLITE_NOTADB:   "the file is not an SQLite database: give another path",
}

// explain adds the remedy to an error of SQLite.
func explain(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	if remedy, ok := remedies[e.Code()&0xff]; ok { // the low byte is the primary code
		return fmt.Errorf("%w: %s", err, remedy)
	}
	return err
}
