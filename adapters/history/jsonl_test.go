package history_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"kicau/adapters/history"
)

// Every line has its number, empty ones too.
func TestLineNumbers(t *testing.T) {
	s := newScene(t)
	long := strings.Repeat("x", history.MaxLine)
	o := s.imports(t, "", opening[0], "  \t", opening[1]+"\r", "junk", opening[2], "", "junk", strings.Repeat(" ", 3), long, "y"+long, " "+long,
		strings.Repeat(" ", history.MaxLine+1), strings.Repeat("junk\n\n", 2)+"\n")
	var numbers []int64
	for _, r := range o.Rejects {
		numbers = append(numbers, r.Line)
		if r.Code != "damaged-line" {
			t.Errorf("line %d: %s", r.Line, r.Code)
		}
		if tooLong := strings.Contains(r.Reason, "longer than"); tooLong != (r.Line >= 11 && r.Line <= 13) {
			t.Errorf("line %d: %s", r.Line, r.Reason)
		}
	}
	equal(t, "rejected lines", numbers, []int64{5, 8, 10, 11, 12, 13, 14, 16})
	equal(t, "accepted lines", o.accepted, []int64{2, 4, 6})
}

// The longest line that is taken.
func TestLongestLine(t *testing.T) {
	s := newScene(t)
	fill := func(n int) string {
		return strings.TrimSuffix(opening[0], "}") + strings.Repeat(" ", n-len(opening[0])) + "}"
	}
	s.accepts(t, fill(history.MaxLine))
	if o := s.imports(t, fill(history.MaxLine+1)+"\n"); o.Rejected != 1 {
		t.Errorf("a line of a byte more: %+v", o.Tally)
	}
}

func packed(t *testing.T, kind, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch kind {
	case "plain":
		return []byte(text)
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zstd":
		z, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		w = z
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestCompression(t *testing.T) {
	for _, kind := range []string{"plain", "gzip", "zstd"} {
		s := newScene(t)
		in, err := history.Uncompressed(bytes.NewReader(packed(t, kind, strings.Join(opening, "\n"))))
		if err != nil {
			t.Fatal(err)
		}
		if o := s.read(t.Context(), in); o.err != nil || o.Accepted != 3 {
			t.Errorf("%s: %+v, %v", kind, o.Tally, o.err)
		}
	}
	for _, short := range []string{"", "{", "\n"} {
		in, err := history.Uncompressed(strings.NewReader(short))
		if err != nil {
			t.Fatal(err)
		}
		if o := newScene(t).read(t.Context(), in); o.err != nil || o.Accepted != 0 {
			t.Errorf("%q: %+v, %v", short, o.Tally, o.err)
		}
	}
}

// A compressed file that was cut off: the lines that can be read are imported,
// and the error says where it ends.
func TestTruncatedFile(t *testing.T) {
	noise := rand.New(rand.NewPCG(1, 1))
	lines := slices.Clone(opening[:1])
	for n := range 600 {
		text := make([]byte, 500)
		for i := range text {
			text[i] = byte('a' + noise.IntN(26))
		}
		lines = append(lines, line(n, "tweet-offer", "offer", at(n), "shop", "potter", "title", "Mug", "price", 1, "description", string(text)))
	}
	for _, kind := range []string{"gzip", "zstd"} {
		whole := packed(t, kind, strings.Join(lines, "\n"))
		for _, cut := range []int{len(whole) * 2 / 3, len(whole) - 3} {
			s := newScene(t)
			in, err := history.Uncompressed(bytes.NewReader(whole[:cut]))
			if err != nil {
				t.Fatal(err)
			}
			o := s.read(t.Context(), in)
			if !errors.Is(o.err, io.ErrUnexpectedEOF) || !strings.Contains(o.err.Error(), "the input breaks off at line") {
				t.Errorf("%s cut at %d of %d: %v", kind, cut, len(whole), o.err)
			}
			if events := len(s.records(t, nil)); int(o.Accepted) != events || events < 100 || o.Rejected != 0 {
				t.Errorf("%s cut at %d of %d: %+v, and %d events", kind, cut, len(whole), o.Tally, events)
			}
			s.accepts(t, lines...)
			if events := len(s.records(t, nil)); events != len(lines) {
				t.Errorf("mended, %s has %d events, want %d", kind, events, len(lines))
			}
		}
		for cut := 4; cut < 12; cut++ { // in the header
			in, err := history.Uncompressed(bytes.NewReader(whole[:cut]))
			if err == nil {
				err = newScene(t).read(t.Context(), in).err
			}
			if err == nil || !strings.Contains(err.Error(), kind) && !strings.Contains(err.Error(), "the input breaks off at line 1") {
				t.Errorf("%s cut at %d: %v", kind, cut, err)
			}
		}
	}
}
