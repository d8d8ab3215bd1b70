package history

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/klauspost/compress/zstd"
)

// MaxLine bounds a line of a file of commands, in bytes.
const MaxLine = 1 << 20

// Uncompressed reads plain text, gzip or zstd, by the first bytes.
func Uncompressed(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 1<<16)
	magic, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		return gzip.NewReader(b)
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		d, err := zstd.NewReader(b, zstd.WithDecoderMaxMemory(1<<30))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return b, nil
}

// JSONLines are the items of a file of commands, one a line; see docs/import.md.
// Empty lines are skipped but counted.
func (im *Importer) JSONLines(r io.Reader) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		in := bufio.NewReaderSize(r, 1<<16)
		var latest time.Time
		for n := int64(1); ; n++ {
			line, tooLong, err := readLine(in)
			if err != nil && !errors.Is(err, io.EOF) {
				yield(Item{}, fmt.Errorf("the input breaks off at line %d: %w; the lines before it are imported, so mend the file and import it again", n, err))
				return
			}
			if len(line) == 0 && errors.Is(err, io.EOF) {
				return
			}
			if text := bytes.TrimSpace(line); len(text) > 0 {
				item := Item{Bad: ErrDamaged.Because("is longer than %d bytes", MaxLine)}
				if !tooLong {
					item = im.item(text, &latest)
				}
				item.Lines = []Place{{Line: n, Units: int64(len(line)) + 1}}
				if !yield(item, nil) {
					return
				}
			}
			if errors.Is(err, io.EOF) {
				return
			}
		}
	}
}

// readLine reads up to the next newline; of a line beyond MaxLine it keeps
// nothing.
func readLine(in *bufio.Reader) (line []byte, tooLong bool, err error) {
	for {
		part, err := in.ReadSlice('\n')
		if !tooLong && len(line)+len(part) <= MaxLine {
			line = append(line, part...)
		} else {
			tooLong, line = true, line[:min(1, len(line))]
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		return bytes.TrimSuffix(line, []byte("\n")), tooLong, err
	}
}
