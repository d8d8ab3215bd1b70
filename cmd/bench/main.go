// Command bench measures Kicau and prints a table: each figure beside the limit
// that was measured in the same run. It runs the benchmarks that live beside the
// code, and the binary itself for what only a whole process can show.
//
// Usage: go run ./cmd/bench -kicau bin/kicau [-json] [-quick] [-uci DIR]
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
)

// runs of each benchmark; the median counts.
const runs = 5

// figure is one line of the output. Ratio is Value / Limit.
type figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Limit float64 `json:"limit,omitempty"`
	Ratio float64 `json:"ratio,omitempty"`
	What  string  `json:"-"` // what the limit is
}

func main() {
	kicau := flag.String("kicau", "bin/kicau", "the binary to measure")
	asJSON := flag.Bool("json", false, "print one JSON object a line")
	quick := flag.Bool("quick", false, "leave out what takes minutes: the log of ten million events")
	uci := flag.String("uci", "", "directory of the UCI Online Retail data set, to import it")
	flag.Parse()
	if err := measure(*kicau, *uci, *asJSON, *quick); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func measure(kicau, uci string, asJSON, quick bool) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight|tabwriter.DiscardEmptyColumns)
	if !asJSON {
		fmt.Fprintln(w, "name\tvalue\tunit\tlimit\tratio\tlimit is\t")
	}
	out := func(f figure) error {
		if f.Limit != 0 {
			f.Ratio = f.Value / f.Limit
		}
		if asJSON {
			return json.NewEncoder(os.Stdout).Encode(f)
		}
		limit := "\t\t"
		if f.Limit != 0 {
			limit = fmt.Sprintf("%.0f\t%.2f\t", f.Limit, f.Ratio)
		}
		value := fmt.Sprintf("%.0f", f.Value)
		if f.Value < 100 {
			value = fmt.Sprintf("%.2f", f.Value)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s%s\t\n", f.Name, value, f.Unit, limit, f.What)
		return nil
	}
	if err := benchmarks(quick, out); err != nil {
		return err
	}
	if err := demo(kicau, out); err != nil {
		return err
	}
	if uci != "" {
		if err := importUCI(kicau, uci, out); err != nil {
			return err
		}
	}
	return w.Flush()
}

// benchmarks of the packages, and which is whose limit. With quick, the ones that
// take minutes are left out.
func benchmarks(quick bool, out func(figure) error) error {
	node := results{}
	for _, b := range []struct {
		pattern, time string
		slow          bool
	}{
		{"Append1|Append64|RawGroupCommit1|RawGroupCommit64|AppendClient64|AppendClientLimit64", "1s", false},
		{"ReadAll|ReadAllLimit|ReadAllClient|ReadAllClientLimit", "3x", false},
		{"Subscribe100|Subscribe100Limit", "1x", false},
		{"Open10M", "3x", true},
	} {
		if b.slow && quick {
			continue
		}
		if err := node.run("./adapters/node", b.pattern, b.time); err != nil {
			return err
		}
	}
	rebuild := results{}
	if err := rebuild.run("./cmd/kicau", "Rebuild", "3x"); err != nil {
		return err
	}
	const perSecond = "events/s"
	for _, f := range []figure{
		{Name: "append_1", Value: node["Append1"][perSecond], Limit: node["RawGroupCommit1"][perSecond], What: "a file written and synced, one writer"},
		{Name: "append_64", Value: node["Append64"][perSecond], Limit: node["RawGroupCommit64"][perSecond], What: "a file written and synced in groups, 64 writers"},
		{Name: "append_client_64", Value: node["AppendClient64"][perSecond], Limit: node["AppendClientLimit64"][perSecond], What: "the same protocol over such a file"},
		{Name: "read_all", Value: node["ReadAll"][perSecond], Limit: node["ReadAllLimit"][perSecond], What: "the same events cut from a file"},
		{Name: "read_all_client", Value: node["ReadAllClient"][perSecond], Limit: node["ReadAllClientLimit"][perSecond], What: "the same messages sent from memory"},
		{Name: "subscribe_100", Value: node["Subscribe100"][perSecond], Limit: node["Subscribe100Limit"][perSecond], What: "the same messages sent from memory to 100 clients"},
		{Name: "rebuild", Value: rebuild["Rebuild/runner"][perSecond], Limit: rebuild["Rebuild/by_hand"][perSecond], What: "a loop written by hand for these views"},
	} {
		f.Unit = perSecond
		if f.Value == 0 || f.Limit == 0 {
			return fmt.Errorf("%s: the benchmark or its limit printed no figure", f.Name)
		}
		if err := out(f); err != nil {
			return err
		}
	}
	if err := orders(out); err != nil || quick {
		return err
	}
	open := node["Open10M"]
	return errors.Join(
		out(figure{Name: "open_10m", Value: open["s/open"], Unit: "s"}),
		out(figure{Name: "open_10m_memory", Value: open["MiB"], Unit: "MiB"}),
		out(figure{Name: "open_10m_space", Value: open["B/event"], Unit: "B/event"}))
}

// orders are bought and simulated: from placed to captured, with the processor
// in process and over HTTP, and the share of the time in each part.
func orders(out func(figure) error) error {
	saga, sim := results{}, results{}
	if err := saga.run("./cmd/kicau", "Saga|SagaHTTP", "3s"); err != nil {
		return err
	}
	if err := sim.run("./adapters/sim", "Seed|Seeds", "20x"); err != nil {
		return err
	}
	for _, b := range []struct{ bench, name string }{{"Saga", "saga"}, {"SagaHTTP", "saga_http"}} {
		got := saga[b.bench]
		if got["orders/s"] == 0 {
			return fmt.Errorf("%s: the benchmark printed no figure", b.name)
		}
		if err := errors.Join(
			out(figure{Name: b.name, Value: got["orders/s"], Unit: "orders/s"}),
			out(figure{Name: b.name + "_appends", Value: got["appends/order"], Unit: "appends/order"}),
			out(figure{Name: b.name + "_processor", Value: got["%processor"], Unit: "% of an order's time"}),
			out(figure{Name: b.name + "_log", Value: got["%log"], Unit: "% of an order's time"}),
			out(figure{Name: b.name + "_rest", Value: got["%rest"], Unit: "% of an order's time"}),
		); err != nil {
			return err
		}
	}
	return errors.Join(
		out(figure{Name: "sim_seed", Value: sim["Seed"]["ns/op"] / 1e9, Unit: "s"}),
		out(figure{Name: "sim_seeds", Value: sim["Seeds"]["ns/op"] / 1e9, Unit: "s/seed, on all cores"}))
}

// results are the medians of benchmarks, by name and unit.
type results map[string]map[string]float64

// run benchmarks several times, each beside its limit: a disk that others use,
// too, is not the same from one minute to the next.
func (r results) run(pkg, pattern, time string) error {
	all := map[string]map[string][]float64{}
	for range runsOf(pattern) {
		if err := once(all, pkg, pattern, time); err != nil {
			return err
		}
	}
	for name, units := range all {
		r[name] = map[string]float64{}
		for unit, vs := range units {
			slices.Sort(vs)
			r[name][unit] = vs[len(vs)/2]
		}
	}
	return nil
}

func once(all map[string]map[string][]float64, pkg, pattern, time string) error {
	cmd := exec.Command("go", "test", "-run", "^$", "-bench", "^Benchmark("+pattern+")$", "-benchtime", time, "-timeout", "30m", pkg)
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, text)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(fields[0], "Benchmark")
		if cut := strings.LastIndex(name, "-"); cut > 0 {
			name = name[:cut] // the number of processors
		}
		if all[name] == nil {
			all[name] = map[string][]float64{}
		}
		for i := 2; i+1 < len(fields); i += 2 {
			v, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return fmt.Errorf("%s: %w", lines.Text(), err)
			}
			all[name][fields[i+1]] = append(all[name][fields[i+1]], v)
		}
	}
	return nil
}

// runsOf a benchmark: the log of ten million events is made once.
func runsOf(pattern string) int {
	if pattern == "Open10M" {
		return 1
	}
	return runs
}

// demo plays the demo as a process of its own.
func demo(kicau string, out func(figure) error) error {
	var seconds []float64
	for range runs {
		dir, err := os.MkdirTemp("", "kicau-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		var printed struct{ Seconds float64 }
		if _, err := runJSON(&printed, kicau, "demo", "--data", dir, "--output", "json"); err != nil {
			return err
		}
		seconds = append(seconds, printed.Seconds)
	}
	slices.Sort(seconds)
	return out(figure{Name: "demo", Value: seconds[len(seconds)/2], Unit: "s"})
}

// importUCI imports the data set into a fresh directory.
func importUCI(kicau, uci string, out func(figure) error) error {
	dir, err := os.MkdirTemp("", "kicau-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var printed struct{ Seconds float64 }
	rss, err := runJSON(&printed, kicau, "import", "--data", dir, "--output", "json", "--from", "uci-online-retail", uci)
	if err != nil {
		return err
	}
	if err := out(figure{Name: "import_uci", Value: printed.Seconds, Unit: "s"}); err != nil {
		return err
	}
	return out(figure{Name: "import_uci_memory", Value: float64(rss) / 1024, Unit: "MiB"})
}

// runJSON runs a command, decodes what it prints, and says how much memory it
// took at most, in KiB.
func runJSON(v any, name string, args ...string) (rssKiB int64, err error) {
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		rssKiB = int64(usage.Maxrss) // KiB on Linux
	}
	return rssKiB, json.Unmarshal(text, v)
}
