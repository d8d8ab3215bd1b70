package node

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
)

// A backup is the directory of a log as it was at some moment, and a manifest:
//
//	log/…          Pebble's files
//	checkpoint     promises the events acknowledged when the backup began
//	manifest.json  which log that is, and the length and SHA-256 of each file
//
// On its way it is a tar stream with the manifest last, so one that was cut off
// has none.
const (
	manifestName  = "manifest.json"
	backupFormat  = 1
	backupLeading = "backup-" // of directories of backups being made, in Options.Dir
	// backupBytes is the key of a tar record (PAX) of the first file: how many
	// bytes all files have, for those who show progress.
	backupBytes = "KICAU.bytes"
	copyBuffer  = 1 << 20
)

// Manifest describes a backup. Who can change a backup can change its manifest:
// it tells damage from a whole copy, not a forger.
type Manifest struct {
	Format int            `json:"format"`
	Log    uuid.UUID      `json:"log"`
	Events uint64         `json:"events"` // that were acknowledged; the copy may hold some more
	Root   string         `json:"root"`   // over them, in hex
	Made   time.Time      `json:"made"`
	Files  []ManifestFile `json:"files"`
}

// ManifestFile is a file of a backup.
type ManifestFile struct {
	Name   string `json:"name"` // with slashes
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Backup writes a copy of the log to w while it goes on, for [ReceiveBackup].
// The copy holds every event that was acknowledged before, and perhaps some
// more. Appends wait for a moment (a few syncs of the disk) while Pebble's tables
// are linked and what is not in them is copied; after that the backup reads files
// that nobody changes.
func (n *Node) Backup(ctx context.Context, w io.Writer) error {
	if err := n.store.backup(ctx, w); err != nil {
		return fmt.Errorf("back up %s: %w", n.store.Dir, err)
	}
	return nil
}

// BackUpTo is a backup in the directory dir, see [ReceiveBackup].
func (n *Node) BackUpTo(ctx context.Context, dir string, progress Progress) (Manifest, error) {
	return n.store.backUpTo(ctx, dir, progress)
}

func (s *store) backUpTo(ctx context.Context, dir string, progress Progress) (Manifest, error) {
	r, w := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		err := s.backup(ctx, w)
		sent <- err
		w.CloseWithError(err)
	}()
	m, err := receiveBackup(ctx, s.fs, r, dir, progress)
	r.CloseWithError(err)
	if serr := <-sent; serr != nil {
		err = serr // it is the cause
	}
	if err != nil {
		return Manifest{}, fmt.Errorf("back up %s to %s: %w", s.Dir, dir, err)
	}
	return m, nil
}

func (s *store) backup(ctx context.Context, w io.Writer) (err error) {
	if s.damaged.Load() {
		return ErrDamaged // a copy would take the place of one that is whole
	}
	// First what is promised, then the copy. What comes in between is in the
	// copy without being promised, as after a crash.
	promised := checkpoint{log: s.id, size: s.head()}
	if err := s.read(func() (err error) { promised.root, err = s.rootAt(promised.size); return err }); err != nil {
		return err
	}
	m := Manifest{Format: backupFormat, Log: promised.log, Events: promised.size, Root: hex.EncodeToString(promised.root[:]), Made: s.now().UTC()}
	dir := s.Dir
	if !s.readOnly { // otherwise nobody changes its files
		dir = s.fs.PathJoin(s.Dir, backupLeading+uuid.NewString())
		defer func() { err = errors.Join(err, s.fs.RemoveAll(dir)) }()
		if err := s.read(func() error { return s.snapshot(dir, promised) }); err != nil {
			return err
		}
	}
	return sendBackup(ctx, s.fs, dir, m, w)
}

// snapshot makes dir hold the log as it is: tables are linked, the rest is
// copied.
func (s *store) snapshot(dir string, promised checkpoint) error {
	if err := makeDir(s.fs, dir); err != nil {
		return err
	}
	// So that next to nothing is left to copy while nobody can write.
	if err := s.crashOnly(s.db.Flush); err != nil {
		return err
	}
	if err := s.checkpointPebble(s.fs.PathJoin(dir, "log")); err != nil {
		return err
	}
	file, err := createCheckpointFile(s.fs, s.fs.PathJoin(dir, "checkpoint"), recordBlock, promised)
	return errors.Join(err, file.close())
}

// checkpointPebble copies Pebble's files while nothing is written to its
// write-ahead log. Pebble copies that file in pieces and writes over old ones
// (it recycles them), so a piece can be from before a write and the next one
// from after another: to the next reader that is a log with a hole.
func (s *store) checkpointPebble(dir string) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	sync := func(mark *pebble.Batch) error { return s.db.Apply(mark, pebble.Sync) }
	if err := s.syncLog(sync); err != nil { // what was begun is being written until then
		return err
	}
	return s.db.Checkpoint(dir)
}

// removeBackups removes what backups that were killed left behind.
func removeBackups(fs vfs.FS, dir string) error {
	names, err := fs.List(dir)
	for _, name := range names {
		if strings.HasPrefix(name, backupLeading) {
			err = errors.Join(err, fs.RemoveAll(fs.PathJoin(dir, name)))
		}
	}
	return err
}

// sendBackup writes the files of dir, and the manifest that describes them.
func sendBackup(ctx context.Context, fs vfs.FS, dir string, m Manifest, w io.Writer) error {
	total := int64(0)
	names, err := listFiles(fs, dir)
	for _, name := range names {
		info, serr := fs.Stat(fs.PathJoin(dir, name))
		if err = errors.Join(err, serr); err != nil {
			break
		}
		m.Files = append(m.Files, ManifestFile{Name: name, Bytes: info.Size()})
		total += info.Size()
	}
	if err != nil {
		return err
	}
	out := tar.NewWriter(w)
	buf := make([]byte, copyBuffer)
	for i := range m.Files {
		h := &tar.Header{Name: m.Files[i].Name, Size: m.Files[i].Bytes, Mode: 0o600, ModTime: m.Made, Format: tar.FormatPAX}
		if i == 0 {
			h.PAXRecords = map[string]string{backupBytes: strconv.FormatInt(total, 10)}
		}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if m.Files[i].SHA256, err = sendFile(ctx, fs, fs.PathJoin(dir, h.Name), out, buf); err != nil {
			return err
		}
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := out.WriteHeader(&tar.Header{Name: manifestName, Size: int64(len(b)), Mode: 0o600, ModTime: m.Made, Format: tar.FormatPAX}); err != nil {
		return err
	}
	if _, err := out.Write(b); err != nil {
		return err
	}
	return out.Close()
}

// listFiles lists the files of a log: those of log/ and the checkpoint. Pebble's
// LOCK holds nothing.
func listFiles(fs vfs.FS, dir string) ([]string, error) {
	in, err := fs.List(fs.PathJoin(dir, "log"))
	if err != nil {
		return nil, err
	}
	slices.Sort(in)
	names := make([]string, 0, len(in)+1)
	for _, name := range in {
		if name != "LOCK" {
			names = append(names, "log/"+name)
		}
	}
	return append(names, "checkpoint"), nil
}

func sendFile(ctx context.Context, fs vfs.FS, path string, w io.Writer, buf []byte) (sum string, err error) {
	f, err := fs.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.CopyBuffer(io.MultiWriter(h, w), whileWanted{ctx, f}, buf)
	return sumOf(h), errors.Join(err, f.Close())
}

func sumOf(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// whileWanted reads until the context is done.
type whileWanted struct {
	ctx context.Context
	io.Reader
}

func (r whileWanted) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(p)
}
