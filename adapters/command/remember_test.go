package command

import (
	"encoding/binary"
	"testing"

	"github.com/google/uuid"

	"kicau/domain"
	"kicau/domain/offer"
)

// What is remembered of commands is bounded over all streams; the stream used
// last keeps all of its own, so that it need not be read again every time.
func TestHowManyCommandsAreRemembered(t *testing.T) {
	h := NewHandler(nil, domain.Events, offer.Decider)
	with := func(stream string, commands int) *folded[offer.State] {
		f := &folded[offer.State]{stream: stream, next: 1, commands: map[uuid.UUID]uint64{}}
		for n := range commands {
			var id uuid.UUID
			binary.BigEndian.PutUint32(id[:], uint32(n))
			f.commands[id] = uint64(n)
		}
		return f
	}
	holds := func(when string, ids int, streams ...string) {
		t.Helper()
		if len(h.cached) != len(streams) || h.ids != ids {
			t.Fatalf("%s: %d streams and %d ids, want %d and %d", when, len(h.cached), h.ids, len(streams), ids)
		}
		for _, s := range streams {
			if _, ok := h.cached[s]; !ok {
				t.Errorf("%s: %s is gone", when, s)
			}
		}
	}
	h.keep(with("a", MaxCachedCommands-2))
	h.keep(with("b", 2))
	holds("as many as may be", MaxCachedCommands, "a", "b")
	h.keep(h.take("a"))
	holds("taken and kept", MaxCachedCommands, "a", "b")
	h.keep(with("c", 1))
	holds("one too many: the oldest goes", MaxCachedCommands-1, "a", "c")
	h.keep(with("d", MaxCachedCommands+1))
	holds("more than there may be, in the last one", MaxCachedCommands+1, "d")
	h.keep(with("e", 0))
	holds("and then another", 0, "e")
}
