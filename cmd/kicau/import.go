package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"time"

	"kicau/adapters/history"
)

type importCmd struct {
	Files   []string `arg:"" name:"file" help:"JSON Lines, plain, gzip or zstd; - is stdin. With --from, the directory of the data set."`
	From    string   `help:"Read a known data set instead: uci-online-retail." enum:",uci-online-retail" default:""`
	Rejects string   `help:"Where rejected lines go. Default: rejects.jsonl in the data directory." type:"path" placeholder:"FILE"`
}

func (importCmd) Help() string {
	return `One dated command a line, in time order; docs/import.md has the format. Importing a
file again adds nothing, so an interrupted import is simply run again. A rejected line is
an outcome and no failure; when all lines were rejected the command ends with 1.

Examples:
  kicau import history.jsonl.zst
  zcat orders.jsonl.gz | kicau import -
  kicau import --from uci-online-retail DIR`
}

// imported is what an import prints.
type imported struct {
	Read           int64     `json:"read"`
	Accepted       int64     `json:"accepted"`
	Rejected       int64     `json:"rejected"`
	Invoices       *accounts `json:"invoices,omitempty"`
	EventsAppended int64     `json:"eventsAppended"`
	Rejects        string    `json:"rejects,omitempty"`
	summary
}

// accounts of invoices: accepted are those of which a line became events.
type accounts struct {
	Read     int64 `json:"read"`
	Accepted int64 `json:"accepted"`
	Rejected int64 `json:"rejected"`
}

func (c *importCmd) Run(ctx context.Context, g *Global) error {
	start := time.Now()
	if c.Rejects == "" {
		c.Rejects = filepath.Join(g.Data, "rejects.jsonl")
	}
	if err := c.checkFiles(); err != nil {
		return err
	}
	d, err := g.open(ctx, need{engine: true})
	if err != nil {
		return err
	}
	defer d.done(g)
	out, err := c.run(ctx, g, d)
	if err != nil {
		return err
	}
	if err := d.caughtUp(ctx); err != nil {
		return err
	}
	if out.summary, err = d.summarise(ctx, everything); err != nil {
		return err
	}
	out.Orders.SoldOut = out.soldOut
	out.Seconds = time.Since(start).Seconds()
	if err := g.say(out.imported, "%s", out.text()); err != nil {
		return err
	}
	if out.Rejected > 0 && out.Accepted == 0 {
		return fmt.Errorf("every line was rejected: the reasons are in %s, the format is in docs/import.md", out.Rejects)
	}
	return nil
}

// inProgress is an import and what it counts on the way.
type inProgress struct {
	imported
	soldOut int64
}

// checkFiles looks at every input before anything is written: it must be there,
// and must not be where the rejects go.
func (c *importCmd) checkFiles() error {
	rejects, _ := os.Stat(c.Rejects)
	for _, name := range c.Files {
		if name == "-" || c.From != "" {
			continue
		}
		in, err := os.Stat(name)
		if err != nil {
			return err
		}
		if rejects != nil && os.SameFile(in, rejects) {
			return usageError{fmt.Errorf("%s is where rejected lines go: copy it first, or give another --rejects", name)}
		}
	}
	return nil
}

func (c *importCmd) run(ctx context.Context, g *Global, d *desk) (*inProgress, error) {
	out := &inProgress{}
	out.Rejects = c.Rejects
	f, err := os.Create(c.Rejects + ".new") // the last import's rejects stay until these are whole
	if err != nil {
		return out, fmt.Errorf("write the rejects: %w", err)
	}
	w := bufio.NewWriter(f)
	enc := json.NewEncoder(w)

	im := history.NewImporter(d.commands, d.vault)
	if c.From != "" {
		err = c.uci(ctx, g, im, enc, out)
	} else {
		for _, name := range c.Files {
			if err = c.file(ctx, g, im, name, enc, out); err != nil {
				break
			}
		}
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("interrupted after %d lines, which are imported; run it again to finish", out.Read)
	}
	return out, errors.Join(err, w.Flush(), f.Close(), os.Rename(f.Name(), c.Rejects))
}

func (c *importCmd) file(ctx context.Context, g *Global, im *history.Importer, name string, enc *json.Encoder, out *inProgress) error {
	in, size := g.stdin, int64(-1)
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
		if info, err := f.Stat(); err == nil {
			size = info.Size()
		}
	}
	// The bar counts bytes of the file as it is, compressed or not.
	bar := g.progress(size, "importing "+name, "bytes", true)
	defer bar.done()
	// Nothing is read here: whoever reads may be waiting for somebody to type.
	items := func(yield func(history.Item, error) bool) {
		plain, err := history.Uncompressed(&counting{in, bar})
		if err != nil {
			yield(history.Item{}, err)
			return
		}
		im.JSONLines(plain)(yield)
	}
	of := ""
	if len(c.Files) > 1 {
		of = name
	}
	if err := out.take(ctx, items, of, enc, func(history.Item, bool) {}); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// counting moves a progress bar by what is read.
type counting struct {
	r   io.Reader
	bar *progress
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.bar.add(int64(n))
	return n, err
}

func (c *importCmd) uci(ctx context.Context, g *Global, im *history.Importer, enc *json.Encoder, out *inProgress) error {
	if len(c.Files) != 1 {
		return usageError{errors.New("--from takes one directory")}
	}
	data, err := history.OpenUCI(c.Files[0])
	if err != nil {
		return err
	}
	bar := g.progress(data.Lines, "importing", "lines", false)
	defer bar.done()
	accepted := map[string]bool{}
	err = out.take(ctx, im.UCIItems(data), "", enc, func(item history.Item, ok bool) {
		bar.add(int64(len(item.Lines)))
		for _, l := range item.Lines {
			accepted[l.Invoice] = accepted[l.Invoice] || ok
		}
	})
	out.Invoices = &accounts{}
	for _, ok := range accepted {
		out.Invoices.Read++
		if ok {
			out.Invoices.Accepted++
		} else {
			out.Invoices.Rejected++
		}
	}
	return err
}

// rejected is a line of the rejects.
type rejected struct {
	File string `json:"file,omitempty"` // when there are several
	history.Reject
}

func (out *inProgress) take(ctx context.Context, items iter.Seq2[history.Item, error], file string, enc *json.Encoder, done func(history.Item, bool)) error {
	t, err := history.Run(ctx, items, func(r history.Reject) error { return enc.Encode(rejected{file, r}) }, done)
	out.Read += t.Read
	out.Accepted += t.Accepted
	out.Rejected += t.Rejected
	out.EventsAppended += t.Events
	out.soldOut += t.SoldOut
	return err
}

func (out *inProgress) text() string {
	text := fmt.Sprintf("%d lines read: %d accepted, %d rejected", out.Read, out.Accepted, out.Rejected)
	if out.Rejected > 0 {
		text += " (reasons in " + out.Rejects + ")"
	}
	if out.Invoices != nil {
		text += fmt.Sprintf("\n%d invoices read: %d accepted, %d rejected", out.Invoices.Read, out.Invoices.Accepted, out.Invoices.Rejected)
	}
	return text + fmt.Sprintf("\n%d events appended in %.1f s\n%s", out.EventsAppended, out.Seconds, out.summary.text())
}
