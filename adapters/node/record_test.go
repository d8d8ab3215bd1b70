package node

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"
)

func stored(stream string, revision uint64, created int64, p proposed) []byte {
	b := make([]byte, recordLen(stream, &p))
	putRecord(b, stream, revision, created, &p)
	return b
}

// TestRecordFormat: what was written once is read for ever.
func TestRecordFormat(t *testing.T) {
	created := time.Date(2026, 1, 2, 3, 4, 5, 678_900, time.UTC)
	p := proposed{ID: uuid.UUID{1, 2, 3}, Type: "Type", ContentType: jsonContent, Data: []byte(`{}`), Metadata: []byte(`[]`)}
	b := stored("stream", 258, ticksOf(created), p)
	want := "\x01\x01" +
		"\x00\x3e\xc9\xb5\x9f\x01\x9b\x05" +
		"\x00\x00\x00\x00\x00\x00\x01\x02" +
		"\x01\x02\x03" + string(make([]byte, 13)) +
		"\x06stream" + "\x04Type" + "\x02{}" + "[]"
	if string(b) != want {
		t.Fatalf("stored as\n%q, want\n%q", b, want)
	}
	got, err := readRecord(7, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := (record{
		Position: 7, Stream: "stream", Revision: 258, ID: p.ID, Type: "Type", ContentType: jsonContent,
		Created: created, Data: p.Data, Metadata: p.Metadata,
	}); !reflect.DeepEqual(got, want) {
		t.Fatalf("read\n%+v, want\n%+v", got, want)
	}
}

// FuzzRecord: any bytes are read or refused; what was read is written back as
// something that reads the same.
func FuzzRecord(f *testing.F) {
	f.Add(stored("stream", 3, 12345, proposed{ID: uuid.UUID{1}, Type: "T", ContentType: jsonContent, Data: []byte("{}"), Metadata: []byte("m")}))
	f.Add(stored("", 0, 0, proposed{}))
	f.Add(stored("s", tombstoneRevision, -1, proposed{Data: make([]byte, 300)}))
	f.Add([]byte{})
	f.Add(append(make([]byte, recordFixedLen), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1))
	f.Add(append([]byte{recordFormat}, make([]byte, recordFixedLen+3)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		r, err := readRecord(1, b, new(names))
		if !bytes.Equal(b, before) {
			t.Fatal("reading changed the bytes")
		}
		if err != nil {
			return
		}
		again := stored(r.Stream, r.Revision, ticksOf(r.Created), proposed{
			ID: r.ID, Type: r.Type, ContentType: r.ContentType, Data: r.Data, Metadata: r.Metadata,
		})
		r2, err := readRecord(1, again, nil)
		if err != nil || !reflect.DeepEqual(r, r2) {
			t.Fatalf("%+v, then %+v, %v", r, r2, err)
		}
	})
}
