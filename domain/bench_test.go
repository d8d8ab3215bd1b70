package domain_test

import (
	"maps"
	"slices"
	"testing"

	"kicau/domain"
	"kicau/domain/event"
)

// Every frozen event of a newest version is read once, as a replay does.
func BenchmarkDecode(b *testing.B) {
	var log []event.Recorded
	bytes := 0
	for _, name := range slices.Sorted(maps.Keys(frozen)) {
		p, err := domain.Events.Encode(frozenMeta, 0, frozen[name])
		if err != nil {
			b.Fatal(err)
		}
		log = append(log, event.Recorded{ID: p.ID, Type: p.Type, Data: p.Data, Metadata: p.Metadata})
		bytes += len(p.Data) + len(p.Metadata)
	}
	b.SetBytes(int64(bytes))
	for b.Loop() {
		for _, rec := range log {
			if _, err := domain.Events.Decode(rec); err != nil {
				b.Fatal(err)
			}
		}
	}
}
