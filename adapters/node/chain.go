package node

import (
	"crypto/sha256"

	"github.com/google/uuid"
)

// root commits to a log's id and to the bytes of its first events in order:
// root(0) = SHA-256(log id), root(n) = SHA-256(root(n-1) ‖ SHA-256(event n)).
type root [rootLen]byte

func firstRoot(log uuid.UUID) root { return sha256.Sum256(log[:]) }

// next is the root after one more event.
func (r root) next(stored []byte) root {
	var pair [2 * rootLen]byte
	copy(pair[:], r[:])
	leaf := leafOf(stored)
	copy(pair[rootLen:], leaf[:])
	return sha256.Sum256(pair[:])
}

// leafOf is what a stored event stands in the chain with: its hash, also after a
// scavenge took away what it said.
func leafOf(stored []byte) root {
	if len(stored) > rootLen && stored[0] == emptiedFormat {
		return root(stored[len(stored)-rootLen:])
	}
	return sha256.Sum256(stored)
}
