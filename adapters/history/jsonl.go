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

// maxWindow bounds the memory for reading a zstd file, in bytes.
const maxWindow = 1 << 30

// Uncompressed reads plain text, gzip or zstd, by the first bytes.
func Uncompressed(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 1<<16)
	magic, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("the gzip header: %w", err)
		}
		return z, nil
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		// Without concurrency it has no goroutines that somebody must end.
		d, err := zstd.NewReader(b, zstd.WithDecoderMaxMemory(maxWindow), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, fmt.Errorf("the zstd header: %w", err)
		}
		return d, nil
	}
	return b, nil
}

// JSONLines are the items of a file of commands, one a line; see docs/import.md.
// Empty lines are no lines, but have a number.
func (im *Importer) JSONLines(r io.Reader) iter.Seq2[Item, error] {
	return instants(im.lines(r))
}

func (im *Importer) lines(r io.Reader) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		in := bufio.NewReaderSize(r, 1<<16)
		var latest time.Time
		for n := int64(1); ; n++ {
			line, tooLong, err := readLine(in)
			if err != nil && !errors.Is(err, io.EOF) {
				yield(Item{}, fmt.Errorf("the input breaks off at line %d: %w; the lines before it are imported, so mend the file and import it again", n, err))
				return
			}
			if text := bytes.TrimSpace(line); tooLong || len(text) > 0 {
				item := Item{Bad: ErrDamaged.Because("is longer than %d bytes", MaxLine)}
				if !tooLong {
					item = im.item(text, &latest)
				}
				item.Lines, item.size = []Place{{Line: n}}, len(line)
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
		if len(line)+len(bytes.TrimSuffix(part, []byte("\n"))) > MaxLine {
			tooLong = true
		}
		if tooLong {
			line = nil
		} else {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, tooLong, err
		}
	}
}
