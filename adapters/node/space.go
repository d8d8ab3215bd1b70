package node

import (
	"errors"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// DefaultReserve is how much free space the log keeps: with less it takes no
// events. Pebble ends the process when a write fails, so the disk must never
// really be full: the reserve is room for memtables that are still to be
// flushed (memtables × memtableSize), their write-ahead logs, and compactions.
const DefaultReserve = 512 << 20

// The free space is looked at before a batch when that much was written, or
// that much time has passed, since it was last seen; and before every batch
// while there is too little, so that the log heals by itself.
const (
	spaceCheckBytes    = 4 << 20
	spaceCheckInterval = 100 * time.Millisecond
)

// space watches the free space of the log's disk. Only the committer uses it.
type space struct {
	fs      vfs.FS
	dir     string
	reserve uint64
	logger  *slog.Logger

	seen    time.Time // when the free space was last looked at
	written int       // since then
	full    bool
}

// room tells whether there is enough free space to write.
func (s *space) room() bool {
	if !s.full && s.written < spaceCheckBytes && time.Since(s.seen) < spaceCheckInterval {
		return true
	}
	usage, err := s.fs.GetDiskUsage(s.dir)
	if err != nil {
		if !errors.Is(err, vfs.ErrUnsupported) && s.seen.IsZero() {
			s.logger.Warn("cannot see the free space of the log's disk; a full disk will end the process", "dir", s.dir, "err", err)
		}
		usage.AvailBytes = s.reserve
	}
	s.seen, s.written = time.Now(), 0
	full := usage.AvailBytes < s.reserve
	if full != s.full {
		s.full = full
		if full {
			s.logger.Error("the disk of the log is full: reads go on, appends are refused until there is space",
				"dir", s.dir, "free", usage.AvailBytes, "reserve", s.reserve)
		} else {
			s.logger.Info("the disk of the log has space again: appends are taken", "dir", s.dir, "free", usage.AvailBytes)
		}
	}
	return !s.full
}
