//go:build !linux

package node

import "github.com/cockroachdb/pebble/v2/vfs"

// walFile is a file of Pebble's write-ahead log; see wal_linux.go.
type walFile struct{ vfs.File }
