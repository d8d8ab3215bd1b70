package node

import (
	"testing"

	"github.com/google/uuid"
)

func event1(data string) proposed {
	return proposed{ID: uuid.New(), Type: "T", ContentType: jsonContent, Data: []byte(data), Metadata: []byte("m")}
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		s, err := openStore(Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		a, err := s.append(t.Context(), "a", int64(i-1), []proposed{event1("{}")})
		if err != nil || a.Revision != int64(i) || a.Position != uint64(i+1) {
			t.Fatal(a, err)
		}
		n := 0
		for r, err := range s.readStream(t.Context(), "a", false, 0) {
			if err != nil || r.Revision != uint64(n) || string(r.Data) != "{}" {
				t.Fatal(r, err)
			}
			n++
		}
		for r, err := range s.readAll(t.Context(), true, ^uint64(0)) {
			if err != nil || r.Revision != uint64(n-1) {
				t.Fatal(r, err)
			}
			n--
		}
		if st, err := s.state("a"); err != nil || st != (streamState{Exists: true, Last: int64(i)}) {
			t.Fatal(st, err)
		}
		if err := s.verify(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
	}
}
