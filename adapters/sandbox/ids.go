package sandbox

import (
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"sync"
)

// ids makes object ids of Stripe's form, a prefix and random letters.
type ids struct {
	mu  sync.Mutex
	rng *rand.ChaCha8
}

// newIDs draws from seed, or from the system's randomness when it is 0. boot
// counts the starts on the same directory, so that a seeded sandbox does not
// repeat its ids after a restart.
func newIDs(seed, boot uint64) *ids {
	var key [32]byte
	if seed == 0 {
		crand.Read(key[:]) // never fails: crypto/rand crashes the program instead
	} else {
		var b [16]byte
		binary.BigEndian.PutUint64(b[:8], seed)
		binary.BigEndian.PutUint64(b[8:], boot)
		key = sha256.Sum256(b[:])
	}
	return &ids{rng: rand.NewChaCha8(key)}
}

const (
	idAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	idLetters  = 24 // as many as Stripe's ids have
)

// next is a new id: prefix, "_" and [idLetters] letters.
func (g *ids) next(prefix string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := make([]byte, 0, len(prefix)+1+idLetters)
	b = append(append(b, prefix...), '_')
	for len(b) < cap(b) {
		for n, bits := g.rng.Uint64(), 0; bits < 60 && len(b) < cap(b); bits += 6 {
			if i := int(n >> bits & 63); i < len(idAlphabet) { // 62 and 63 are drawn again: no letter is likelier
				b = append(b, idAlphabet[i])
			}
		}
	}
	return string(b)
}
