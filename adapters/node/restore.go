package node

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"
)

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
