package event_test

import (
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"kicau/domain/event"
)

// Ids are part of what is stored: were these to change, a retry across an
// upgrade would append twice.
func TestIDsNeverChange(t *testing.T) {
	command := uuid.MustParse("11111111-2222-3333-4444-555555555555")
	for _, c := range []struct {
		got  uuid.UUID
		want string
	}{
		{event.ID(command, 0), "2a05e515-bfb1-5cc5-a9c6-26d879e38dc6"},
		{event.ID(command, 1), "e3155d7f-561d-5a73-9043-26a9df8905cf"},
		{event.ID(command, 10), "66a09cc6-7143-5f99-ac00-6d398322e9cc"},
		{event.NameID("offer", "10002"), "9bbe9c68-ce4d-588f-b1e3-036a938429c6"},
	} {
		if c.got.String() != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
		if c.got.Version() != 5 || c.got.Variant() != uuid.RFC4122 {
			t.Errorf("%s is not a name-based id of RFC 9562", c.got)
		}
	}
}

func TestIDsFollowFromTheirNames(t *testing.T) {
	seen := map[uuid.UUID]string{}
	for name, id := range map[string]uuid.UUID{
		"command 1, event 0":  event.ID(uuid.UUID{1}, 0),
		"command 1, event 1":  event.ID(uuid.UUID{1}, 1),
		"command 1, event 11": event.ID(uuid.UUID{1}, 11),
		"command 2, event 1":  event.ID(uuid.UUID{2}, 1),
		"offer 1":             event.NameID("offer", "1"),
		"shop 1":              event.NameID("shop", "1"),
		"offers of nothing":   event.NameID("offer1", ""),
	} {
		if other, twice := seen[id]; twice {
			t.Errorf("%s and %s have the same id", name, other)
		}
		seen[id] = name
	}
	command := uuid.UUID{1}
	if event.ID(command, 0) != event.ID(command, 0) || command != (uuid.UUID{1}) {
		t.Error("said twice, the id is another, or the command's id was changed")
	}
}

func TestPositionsAreOrdered(t *testing.T) {
	inOrder := []event.Position{{}, {Commit: 0, Prepare: 1}, {Commit: 1, Prepare: 0}, event.At(1), {Commit: 1, Prepare: 2}, event.At(2), event.At(^uint64(0))}
	for i, p := range inOrder {
		for j, q := range inOrder {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := p.Compare(q); got != want {
				t.Errorf("%s compared with %s: %d, want %d", p, q, got, want)
			}
		}
		if p.IsStart() != (i == 0) {
			t.Errorf("%s is the start: %v", p, p.IsStart())
		}
	}
}

func TestPositionsAreWrittenAndRead(t *testing.T) {
	if s := (event.Position{Commit: 12, Prepare: 7}).String(); s != "C:12/P:7" {
		t.Errorf("written as %s", s)
	}
	rapid.Check(t, func(t *rapid.T) {
		p := event.Position{Commit: rapid.Uint64().Draw(t, "commit"), Prepare: rapid.Uint64().Draw(t, "prepare")}
		if got, err := event.ParsePosition(p.String()); err != nil || got != p {
			t.Fatalf("%s was read as %s, %v", p, got, err)
		}
	})
	for _, bad := range []string{
		"", "12", "C:1", "P:1", "C:1/P:", "C:/P:1", "C:1/C:1", "P:1/C:1", "C:-1/P:1", "C:+1/P:1", "C:1/P:1/P:1",
		"C:1/P:1 ", " C:1/P:1", "C:1,P:1", "c:1/p:1", "C:0x1/P:1", "C:18446744073709551616/P:1",
	} {
		if p, err := event.ParsePosition(bad); err == nil || p != (event.Position{}) {
			t.Errorf("%q was read as %s, %v", bad, p, err)
		}
	}
}

func FuzzParsePosition(f *testing.F) {
	for _, s := range []string{"C:0/P:0", "C:12/P:7", "C:18446744073709551615/P:1", "C:1/P:x", "/", "C:/P:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := event.ParsePosition(s)
		if err != nil {
			return
		}
		if again, err := event.ParsePosition(p.String()); err != nil || again != p {
			t.Errorf("%q is %s, which is read as %s, %v", s, p, again, err)
		}
	})
}
