package event

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

var someMetadata = []metadata{
	{Actor: "saga", OccurredAt: time.Date(2026, 11, 23, 12, 0, 0, 123456789, time.UTC), Version: 1},
	{Correlation: uuid.New(), Causation: uuid.New(), Command: uuid.New(), Digest: "9f2c", Actor: "web", OccurredAt: time.Unix(0, 0).UTC(), Version: 12},
	{Command: uuid.New(), Actor: "Größe \"<&>\" \\ \u2028", OccurredAt: time.Unix(1, 0).UTC(), Version: 999_999_999},
	{Actor: "a\tb", OccurredAt: time.Unix(1, 0).In(time.FixedZone("", 3600)), Version: -3},
}

// same: read by hand and by encoding/json, metadata are the same or the same
// failure.
func same(t *testing.T, b []byte) {
	t.Helper()
	var want metadata
	failure := json.Unmarshal(b, &want)
	got, err := readMetadata(b)
	if (failure == nil) != (err == nil) || failure != nil && failure.Error() != err.Error() {
		t.Errorf("%s\n%v, not %v", b, err, failure)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s\n%s", b, diff)
	}
}

func TestMetadataAreReadAsJSON(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, m := range someMetadata {
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		same(t, b)
		for cut := range len(b) {
			same(t, b[:cut])
		}
		for range 5000 { // something else in it
			other := append([]byte{}, b...)
			for range 1 + rng.IntN(3) {
				other[rng.IntN(len(other))] = `09azAZ"\{}:,. -$`[rng.IntN(16)]
			}
			same(t, other)
		}
	}
	for _, b := range []string{``, `{}`, `null`, `{"schemaVersion":2,"actor":"x"}`,
		`{"$correlationId":"00000000-0000-0000-0000-000000000000","$causationId":"00000000-0000-0000-0000-000000000000","commandId":"00000000-0000-0000-0000-000000000000","actor":"a","occurredAt":"2026-11-23T12:00:00Z","schemaVersion":01}`} {
		same(t, []byte(b))
	}
}

func BenchmarkMetadata(b *testing.B) {
	body, err := json.Marshal(someMetadata[1])
	if err != nil {
		b.Fatal(err)
	}
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			if _, err := readMetadata(body); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("by_json", func(b *testing.B) {
		for b.Loop() {
			var m metadata
			if err := json.Unmarshal(body, &m); err != nil {
				b.Fatal(err)
			}
		}
	})
}
