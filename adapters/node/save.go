package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Backuper is where backups come from: a [Node], or an [Admin] of one.
type Backuper interface {
	BackUpTo(ctx context.Context, dir string, progress Progress) (Manifest, error)
}

// SaveBackup makes o.Dir a backup, verified. The directory must not be there, or
// be empty. It appears when the backup is whole; until then there is only
// o.Dir.part, which a later backup of that name begins anew.
func SaveBackup(ctx context.Context, from Backuper, o Options, progress Progress) (m Manifest, v Verified, err error) {
	if err := o.setDefaults(); err != nil {
		return m, v, err
	}
	err = appear(o.fs, o.Dir, "a backup does not replace what is there; name another directory", func(part string) (err error) {
		if m, err = from.BackUpTo(ctx, part, progress); err != nil {
			return err
		}
		copied := o
		copied.Dir = part
		v, err = VerifyBackup(ctx, copied, progress)
		return err
	})
	if err != nil {
		return Manifest{}, Verified{}, fmt.Errorf("save a backup as %s: %w", o.Dir, err)
	}
	return m, v, nil
}

// appear makes a directory as a whole: fill is given another one, which takes
// its name when all of it is there and synced. One process at a time fills it.
func appear(fs vfs.FS, dir, occupied string, fill func(part string) error) (err error) {
	if names, err := fs.List(dir); err == nil && len(names) > 0 {
		return errors.New("the directory is not empty: " + occupied)
	} else if err != nil && !notExist(err) {
		return err
	}
	part := dir + ".part"
	if err := makeDir(fs, part); err != nil {
		return err
	}
	const lockName = "LOCK"
	lock, err := fs.Lock(fs.PathJoin(part, lockName))
	if err != nil {
		return fmt.Errorf("lock %s: somebody else is making it: %w", part, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, fs.RemoveAll(part))
		}
		err = errors.Join(err, lock.Close())
	}()
	left, err := fs.List(part)
	for _, name := range left {
		if name != lockName {
			err = errors.Join(err, fs.RemoveAll(fs.PathJoin(part, name)))
		}
	}
	if err != nil {
		return err
	}
	if err := fill(part); err != nil {
		return err
	}
	if err := errors.Join(fs.Remove(fs.PathJoin(part, lockName)), syncDir(fs, part)); err != nil {
		return err
	}
	if err := fs.Remove(dir); err != nil && !notExist(err) {
		return err
	}
	// COMMIT POINT. Before this there is nothing of that name, after it all of it.
	if err := fs.Rename(part, dir); err != nil {
		return err
	}
	return syncDir(fs, fs.PathDir(dir))
}
