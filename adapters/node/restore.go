package node

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Bounds of a backup that is read.
const (
	maxBackupFiles   = 1 << 20
	maxManifestBytes = 256 << 20
)

// ErrBadBackup: it is not a whole backup. Use another one.
var ErrBadBackup = errors.New("this is not a whole backup")

func badBackup(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrBadBackup, fmt.Errorf(format, args...))
}

// backupFileName is what a file of a backup can be called.
var backupFileName = regexp.MustCompile(`^(log/[A-Za-z0-9][A-Za-z0-9._-]*|checkpoint)$`)

// ReceiveBackup reads what [Node.Backup] writes into the directory dir, which it
// makes. The files are synced, and are those that were sent; whether those make
// a log only [VerifyBackup] tells. progress is in bytes. What came before an
// error stays in dir, without a manifest.
func ReceiveBackup(ctx context.Context, r io.Reader, dir string, progress Progress) (Manifest, error) {
	m, err := receiveBackup(ctx, vfs.Default, r, dir, progress)
	if err != nil {
		return Manifest{}, fmt.Errorf("receive a backup into %s: %w", dir, err)
	}
	return m, nil
}

func receiveBackup(ctx context.Context, fs vfs.FS, r io.Reader, dir string, progress Progress) (m Manifest, err error) {
	if err := makeDir(fs, fs.PathJoin(dir, "log")); err != nil {
		return m, err
	}
	var (
		in    = tar.NewReader(r)
		files []ManifestFile
		b     []byte
		put   = putter{ctx: ctx, fs: fs, dir: dir, progress: progress, buf: make([]byte, copyBuffer)}
	)
	for {
		h, err := in.Next()
		switch {
		case errors.Is(err, io.EOF) && b == nil:
			return m, badBackup("it was cut off: the manifest is missing")
		case errors.Is(err, io.EOF):
			return m, put.manifest(b)
		case err != nil:
			return m, badBackup("read the stream: %w", err)
		case b != nil:
			return m, badBackup("%q comes after the manifest", h.Name)
		case h.Name == manifestName && h.Size <= maxManifestBytes:
			if b, err = io.ReadAll(in); err != nil {
				return m, badBackup("read the manifest: %w", err)
			}
			if m, err = parseManifest(b); err != nil {
				return m, err
			}
			if !slices.Equal(m.Files, files) {
				return m, badBackup("its files are not those of its manifest")
			}
		case !backupFileName.MatchString(h.Name) || !plainFile(h) || len(files) == maxBackupFiles:
			return m, badBackup("no file of a backup: %q", h.Name)
		default:
			if n, err := strconv.ParseUint(h.PAXRecords[backupBytes], 10, 63); err == nil {
				put.total = n
			}
			sum, err := put.file(h.Name, in)
			if err != nil {
				return m, err
			}
			files = append(files, ManifestFile{Name: h.Name, Bytes: h.Size, SHA256: sum})
		}
	}
}

// plainFile: neither a link, nor a file with holes, which could be of any size.
func plainFile(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return false
		}
	}
	return h.Typeflag == tar.TypeReg
}

// putter writes the files of a backup.
type putter struct {
	ctx         context.Context
	fs          vfs.FS
	dir         string
	progress    Progress
	done, total uint64 // bytes
	buf         []byte
}

func (p *putter) file(name string, r io.Reader) (sum string, err error) {
	f, err := p.fs.Create(p.fs.PathJoin(p.dir, name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := sha256.New()
	// The file comes last: it may spoil what it is given (vfs.File).
	if _, err := io.CopyBuffer(io.MultiWriter(h, p, f), whileWanted{p.ctx, r}, p.buf); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return sumOf(h), f.Sync()
}

// Write counts.
func (p *putter) Write(b []byte) (int, error) {
	p.done += uint64(len(b))
	p.progress.tell(Bytes, p.done, max(p.done, p.total))
	return len(b), nil
}

// manifest comes last: with it the backup is whole.
func (p *putter) manifest(b []byte) error {
	if err := syncDir(p.fs, p.fs.PathJoin(p.dir, "log")); err != nil {
		return err
	}
	f, err := p.fs.Create(p.fs.PathJoin(p.dir, manifestName), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return syncDir(p.fs, p.dir)
}

func parseManifest(b []byte) (m Manifest, err error) {
	if err := json.Unmarshal(b, &m); err != nil {
		return m, badBackup("its manifest: %w", err)
	}
	if m.Format != backupFormat {
		return m, badBackup("its manifest has format %d, this program knows %d", m.Format, backupFormat)
	}
	if len(m.Files) > maxBackupFiles {
		return m, badBackup("its manifest lists %d files, more than %d", len(m.Files), maxBackupFiles)
	}
	listed := map[string]bool{}
	for _, f := range m.Files {
		if !backupFileName.MatchString(f.Name) || listed[f.Name] {
			return m, badBackup("its manifest lists %q, which is no file of a backup, or is listed before", f.Name)
		}
		listed[f.Name] = true
	}
	return m, nil
}

func readManifest(fs vfs.FS, dir string) (m Manifest, err error) {
	f, err := fs.Open(fs.PathJoin(dir, manifestName))
	if notExist(err) {
		return m, badBackup("%s has no %s", dir, manifestName)
	}
	if err != nil {
		return m, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxManifestBytes))
	if err = errors.Join(err, f.Close()); err != nil {
		return m, err
	}
	return parseManifest(b)
}

// OpenBackup is [OpenReadOnly] for a backup, which may be where nobody can
// write. That its files are whole says only [VerifyBackup].
func OpenBackup(o Options) (*Node, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	if _, err := readManifest(o.fs, o.Dir); err != nil {
		return nil, err
	}
	o.unlocked = true
	return OpenReadOnly(o)
}

// VerifyBackup reads the backup in o.Dir from end to end: each file is what its
// manifest says, together they open as the log that the manifest names, and that
// log is what was written.
func VerifyBackup(ctx context.Context, o Options, progress Progress) (Verified, error) {
	if err := o.setDefaults(); err != nil {
		return Verified{}, err
	}
	m, err := readManifest(o.fs, o.Dir)
	if err != nil {
		return Verified{}, err
	}
	if err := onlyListed(o.fs, o.Dir, m); err != nil {
		return Verified{}, err
	}
	sizes := uint64(0)
	for _, f := range m.Files {
		sizes += uint64(f.Bytes)
	}
	read := putter{ctx: ctx, fs: o.fs, progress: progress, total: sizes, buf: make([]byte, copyBuffer)}
	for _, f := range m.Files {
		sum, err := sendFile(ctx, o.fs, o.fs.PathJoin(o.Dir, f.Name), &read, read.buf)
		if notExist(err) {
			return Verified{}, badBackup("%s is missing", f.Name)
		}
		if err != nil {
			return Verified{}, err
		}
		if sum != f.SHA256 {
			return Verified{}, badBackup("%s is not what was written", f.Name)
		}
	}
	n, err := OpenBackup(o)
	if err != nil {
		return Verified{}, err
	}
	v, err := n.verifyPromise(ctx, m, progress)
	return v, errors.Join(err, n.Close())
}

// onlyListed refuses a backup with files that are not in its manifest: Pebble
// would take them for its own.
func onlyListed(fs vfs.FS, dir string, m Manifest) error {
	names, err := listFiles(fs, dir)
	if err != nil {
		return badBackup("%w", err)
	}
	listed := map[string]bool{}
	for _, f := range m.Files {
		listed[f.Name] = true
	}
	for _, name := range names {
		if !listed[name] {
			return badBackup("%s is not in its manifest", name)
		}
	}
	return nil
}

// verifyPromise verifies a log and that it is the one of a manifest.
func (n *Node) verifyPromise(ctx context.Context, m Manifest, progress Progress) (Verified, error) {
	if n.ID() != m.Log {
		return Verified{}, badBackup("its manifest is of log %s, its files are of log %s", m.Log, n.ID())
	}
	v, err := n.VerifyAll(ctx, progress)
	if err != nil {
		return v, err
	}
	if v.Events < m.Events {
		return v, badBackup("its manifest promises %d events, its log has %d", m.Events, v.Events)
	}
	var promised root
	err = n.store.read(func() (err error) { promised, err = n.store.rootAt(m.Events); return err })
	if err == nil && hex.EncodeToString(promised[:]) != m.Root {
		err = badBackup("its manifest is of other events (root %s, the log's is %x)", m.Root, promised)
	}
	return v, err
}

// Restore makes o.Dir a copy of a backup, which it verifies on the way. The
// directory must not be there, or be empty. It appears when the copy is whole;
// until then there is only o.Dir.part, which a later restore removes.
func Restore(ctx context.Context, backup string, o Options, progress Progress) (v Verified, err error) {
	if err := o.setDefaults(); err != nil {
		return v, err
	}
	err = appear(o.fs, o.Dir, "a restore does not replace an event store; move it away first", func(part string) (err error) {
		restored := o
		restored.Dir = part
		v, err = restoreInto(ctx, backup, restored, progress)
		return err
	})
	if err != nil {
		return Verified{}, fmt.Errorf("restore %s to %s: %w", backup, o.Dir, err)
	}
	return v, nil
}

// restoreInto copies the files of a backup, comparing each with the manifest,
// and opens and verifies what came of it.
func restoreInto(ctx context.Context, backup string, o Options, progress Progress) (v Verified, err error) {
	m, err := readManifest(o.fs, backup)
	if err != nil {
		return v, err
	}
	if err := onlyListed(o.fs, backup, m); err != nil {
		return v, err
	}
	if err := makeDir(o.fs, o.fs.PathJoin(o.Dir, "log")); err != nil {
		return v, err
	}
	put := putter{ctx: ctx, fs: o.fs, dir: o.Dir, progress: progress, buf: make([]byte, copyBuffer)}
	for _, f := range m.Files {
		put.total += uint64(f.Bytes)
	}
	for _, f := range m.Files {
		in, err := o.fs.Open(o.fs.PathJoin(backup, f.Name), vfs.SequentialReadsOption)
		if notExist(err) {
			return v, badBackup("%s is missing", f.Name)
		}
		if err != nil {
			return v, err
		}
		sum, err := put.file(f.Name, in)
		if err = errors.Join(err, in.Close()); err != nil {
			return v, err
		}
		if sum != f.SHA256 {
			return v, badBackup("%s is not what was written", f.Name)
		}
	}
	if err := errors.Join(syncDir(o.fs, o.fs.PathJoin(o.Dir, "log")), syncDir(o.fs, o.Dir)); err != nil {
		return v, err
	}
	n, err := OpenReadOnly(o)
	if err != nil {
		return v, err
	}
	v, err = n.verifyPromise(ctx, m, progress)
	return v, errors.Join(err, n.Close())
}
