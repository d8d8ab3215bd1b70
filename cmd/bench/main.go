// Command bench measures Kicau and prints a table: each figure beside the limit
// that was measured in the same run. It runs the benchmarks that live beside the
// code, and the binary itself for what only a whole process can show.
//
// Usage: go run ./cmd/bench -kicau bin/kicau [-json] [-uci DIR]
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
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
const runs = 3

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
	uci := flag.String("uci", "", "directory of the UCI Online Retail data set, to import it")
	flag.Parse()
	if err := measure(*kicau, *uci, *asJSON); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func measure(kicau, uci string, asJSON bool) error {
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
	if err := benchmarks(out); err != nil {
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

// benchmarks of the packages, and which is whose limit.
func benchmarks(out func(figure) error) error {
	node, err := goBench("./adapters/node", "Append1|Append64|RawGroupCommit1|RawGroupCommit64|AppendClient64|AppendClientLimit64", "2s")
	if err != nil {
		return err
	}
	rebuild, err := goBench("./cmd/kicau", "Rebuild", "3x")
	if err != nil {
		return err
	}
	for _, f := range []figure{
		{Name: "append_1", Value: node["Append1"], Limit: node["RawGroupCommit1"], What: "a file written and synced, one writer"},
		{Name: "append_64", Value: node["Append64"], Limit: node["RawGroupCommit64"], What: "a file written and synced in groups, 64 writers"},
		{Name: "append_client_64", Value: node["AppendClient64"], Limit: node["AppendClientLimit64"], What: "the same protocol over such a file"},
		{Name: "rebuild", Value: rebuild["Rebuild/runner"], Limit: rebuild["Rebuild/by_hand"], What: "a loop written by hand for these views"},
	} {
		f.Unit = "events/s"
		if f.Value == 0 || f.Limit == 0 {
			return fmt.Errorf("%s: the benchmark or its limit printed no figure", f.Name)
		}
		if err := out(f); err != nil {
			return err
		}
	}
	return nil
}

// goBench runs benchmarks and returns the median of their events/s.
func goBench(pkg, pattern, time string) (map[string]float64, error) {
	cmd := exec.Command("go", "test", "-run", "^$", "-bench", "^Benchmark("+pattern+")$", "-benchtime", time, "-count", strconv.Itoa(runs), pkg)
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, text)
	}
	all := map[string][]float64{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		for i, unit := range fields {
			if unit != "events/s" || !strings.HasPrefix(fields[0], "Benchmark") {
				continue
			}
			name := strings.TrimPrefix(fields[0], "Benchmark")
			if cut := strings.LastIndex(name, "-"); cut > 0 {
				name = name[:cut] // the number of processors
			}
			v, err := strconv.ParseFloat(fields[i-1], 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", lines.Text(), err)
			}
			all[name] = append(all[name], v)
		}
	}
	median := map[string]float64{}
	for name, vs := range all {
		slices.Sort(vs)
		median[name] = vs[len(vs)/2]
	}
	return median, nil
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
