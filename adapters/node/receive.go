package node

import (
	"archive/tar"
	"context"
	"crypto/sha256"
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
