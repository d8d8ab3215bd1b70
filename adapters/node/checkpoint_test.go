package node

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
)

// testLap is a lap of four records with a little batch, after the first.
const testLap = 5 * recordBlock

// promising is a checkpoint's file and what was promised in it.
type promising struct {
	*testing.T
	fs   *vfs.MemFS
	file *checkpointFile
	end  checkpoint
}

func newPromising(t *testing.T) *promising {
	t.Helper()
	p := &promising{T: t, fs: vfs.NewCrashableMem(), end: checkpoint{log: uuid.New(), size: 7}}
	var err error
	if p.file, err = createCheckpointFile(p.fs, "checkpoint", testLap, p.end); err != nil {
		t.Fatal(err)
	}
	return p
}

// batch promises one more event, with a redo when there is room.
func (p *promising) batch() {
	p.Helper()
	p.end.size++
	p.end.root[0]++
	batch, promise := fmt.Appendf(nil, "batch %d", p.end.size), func() error { return p.file.promise(p.end) }
	if p.file.room(len(batch)) {
		promise = func() error { return p.file.write(redo{p.end, batch}) }
	}
	if err := promise(); err != nil {
		p.Fatal(err)
	}
}

func (p *promising) content() []byte { return []byte(readFile(p.T, p.fs, "checkpoint")) }

// check: a file promises what it should, and has all batches that Pebble may not
// have.
func (p *promising) check(what string, content []byte, want checkpoint) {
	p.Helper()
	got, ok := readPromised(content)
	if !ok || got.end != want {
		p.Fatalf("%s: %+v is promised, %v; want %+v", what, got.end, ok, want)
	}
	if n := got.end.size - got.synced.size; n != uint64(len(got.redo)) {
		p.Fatalf("%s: there are %d redos for %d events", what, len(got.redo), n)
	}
	for i, r := range got.redo {
		if size := got.synced.size + 1 + uint64(i); r.end.size != size || string(r.batch) != fmt.Sprint("batch ", size) {
			p.Fatalf("%s: redo %d is %q up to %d", what, i, r.batch, r.end.size)
		}
	}
}

// TestCheckpointTorn: a write of the checkpoint that was cut short, in either
// place or in both, costs nothing, whatever is left of it; with what it promises
// when it is whole in one. At every record of three laps.
func TestCheckpointTorn(t *testing.T) {
	p := newPromising(t)
	for range 13 {
		before, was := p.content(), p.end
		p.batch()
		after := p.content()
		var changed []int
		for b := 0; b < len(after); b += recordBlock {
			if !bytes.Equal(before[b:b+recordBlock], after[b:b+recordBlock]) {
				changed = append(changed, b)
			}
		}
		if len(changed) != 2 || changed[1]-changed[0] != 2*testLap {
			t.Fatalf("a record was written to %v", changed)
		}
		for cut := range recordLeast + len("batch 10") - 1 {
			for torn := range 4 {
				content, want := slices.Clone(after), p.end
				for i, at := range changed {
					if torn&(1<<i) != 0 {
						copy(content[at+cut:at+recordBlock], before[at+cut:])
					}
				}
				if torn == 3 && !bytes.Equal(content[changed[0]:][:recordLeast+10], after[changed[0]:][:recordLeast+10]) {
					want = was
				}
				p.check(fmt.Sprintf("%+v, place %b cut after %d bytes", p.end, torn, cut), content, want)
			}
		}
	}
	if err := p.file.close(); err != nil {
		t.Fatal(err)
	}
}

// TestCheckpointFlipped: no flipped bit takes back what was promised, or makes
// of it something else.
func TestCheckpointFlipped(t *testing.T) {
	p := newPromising(t)
	for range 13 {
		p.batch()
		content := p.content()
		for i := range content {
			if i%recordBlock > recordLeast+20 {
				continue
			}
			content[i] ^= 1 << (i % 8)
			p.check(fmt.Sprintf("%+v, byte %d flipped", p.end, i), content, p.end)
			content[i] ^= 1 << (i % 8)
		}
	}
	if err := p.file.close(); err != nil {
		t.Fatal(err)
	}
}

// TestCheckpointBlockLost: nor does a block that is gone.
func TestCheckpointBlockLost(t *testing.T) {
	p := newPromising(t)
	for range 13 {
		p.batch()
		for b := 0; b < lapPlaces*testLap; b += recordBlock {
			content := p.content()
			clear(content[b:][:recordBlock])
			p.check(fmt.Sprintf("%+v, block at %d lost", p.end, b), content, p.end)
		}
	}
	if err := p.file.close(); err != nil {
		t.Fatal(err)
	}
}

// TestRecordOfAnotherLap: bytes of a client which look like the next record are
// not read as one, wherever a lap ends before them.
func TestRecordOfAnotherLap(t *testing.T) {
	p := newPromising(t)
	p.batch()
	forged := appendRecord(nil, lapRecord{p.file.number + 1, uuid.New(), redo{checkpoint{log: p.end.log, size: 1 << 40}, []byte("forged")}})
	content := p.content()
	for _, at := range []int{p.file.at, p.file.at + 2*testLap} {
		copy(content[at:], forged)
	}
	p.check("with forged records", content, p.end)
	copy(content[p.file.at:], appendRecord(nil, lapRecord{p.file.number + 1, p.file.id, redo{checkpoint{log: p.end.log, size: p.end.size + 1}, []byte("batch 9")}}))
	p.check("the test can fail", content, checkpoint{log: p.end.log, size: p.end.size + 1})
	if err := p.file.close(); err != nil {
		t.Fatal(err)
	}
}

// FuzzCheckpointRecord: only what was written as a record is read as one.
func FuzzCheckpointRecord(f *testing.F) {
	for _, batch := range []string{"", "batch"} {
		f.Add(appendRecord(nil, lapRecord{9, uuid.UUID{1}, redo{checkpoint{log: uuid.UUID{1}, size: 5, root: root{2}}, []byte(batch)}}))
	}
	f.Add([]byte(recordMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, ok := readRecordOfLap(b)
		if again := appendRecord(nil, r); ok && !bytes.Equal(again[:recordLeast+len(r.batch)], b[:recordLeast+len(r.batch)]) {
			t.Fatalf("%x is read as %+v", b, r)
		}
		readPromised(b)
	})
}
