package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The import rules are the law of the tree. A folder may import what its row
// says and nothing else; the first row that matches holds. Tests may import
// anything outside domain.
type rule struct {
	folder string   // path or path/...
	own    []string // of this module
	std    []string // nil: all of it
	others []string // vendors, by prefix
}

// pureStd is what the domain may use of the standard library.
var pureStd = []string{
	"bytes", "cmp", "encoding/json", "errors", "fmt", "io", "iter", "maps", "math/bits", "slices", "strconv", "strings", "time",
}

const (
	uuidModule      = "github.com/google/uuid"
	watermillModule = "github.com/ThreeDotsLabs/watermill"
	jsonModule      = "github.com/go-json-experiment/json"
)

var rules = []rule{
	{folder: "domain/money", own: []string{"domain/refusal"}, std: pureStd},
	{folder: "domain/refusal", std: pureStd},
	{folder: "domain/privacy", own: []string{"domain/refusal"}, std: pureStd, others: []string{uuidModule}},
	{folder: "domain/event", std: pureStd, others: []string{uuidModule, jsonModule}},
	{folder: "domain/decider", own: []string{"domain/event"}, std: pureStd},
	{folder: "domain/decider/decidertest", own: []string{"domain/event", "domain/decider"}, std: append([]string{"testing"}, pureStd...), others: []string{"github.com/google/go-cmp/cmp"}},
	{folder: "domain/shop", own: aggregate(), std: pureStd, others: []string{uuidModule}},
	{folder: "domain/offer", own: aggregate(), std: pureStd, others: []string{uuidModule}},
	{folder: "domain/order", own: aggregate(), std: pureStd, others: []string{uuidModule}},
	{folder: "domain/buyer", own: aggregate(), std: pureStd, others: []string{uuidModule}},
	{folder: "domain/payment", own: aggregate("domain/order"), std: pureStd, others: []string{uuidModule}},
	{folder: "domain/payout", own: aggregate(), std: pureStd, others: []string{uuidModule}},
	{folder: "domain/reconcile", own: aggregate(), std: pureStd, others: []string{uuidModule}},
	{folder: "domain/ledger", own: aggregate("domain/order", "domain/shop", "domain/payout", "domain/reconcile"), std: pureStd, others: []string{uuidModule}},
	{folder: "domain/oracle", own: []string{"domain/..."}, std: pureStd, others: []string{uuidModule}},
	{folder: "domain", own: []string{"domain/..."}, std: pureStd},

	{folder: "projections", own: []string{"domain/event"}, others: []string{uuidModule, jsonModule, watermillModule}},
	{folder: "projections/...", own: []string{"domain/...", "projections"}, others: []string{uuidModule}},

	{folder: "adapters/command", own: []string{"domain/..."}, others: []string{uuidModule}},
	{folder: "adapters/command/logtest", own: []string{"domain/...", "adapters/command"}, others: []string{uuidModule, "pgregory.net/rapid"}},
	adapter("node", "github.com/cockroachdb/pebble/v2", "google.golang.org/", "golang.org/x/sys", "golang.org/x/crypto/", "github.com/prometheus/client_golang/",
		"github.com/EventStore/EventStore-Client-Go/v4/protos/", "github.com/dlclark/regexp2", jsonModule),
	adapter("esdb", "github.com/EventStore/EventStore-Client-Go/v4/", "google.golang.org/"),
	adapter("messaging", watermillModule, jsonModule),
	adapter("react", watermillModule),
	adapter("stripe", "github.com/stripe/stripe-go/v76", jsonModule),
	adapter("sandbox", jsonModule),
	adapter("sqlstore", "modernc.org/sqlite"),
	{folder: "adapters/sqlstore/storetest", own: []string{"domain/...", "projections/..."}, others: []string{uuidModule, "pgregory.net/rapid", "github.com/google/go-cmp/"}},
	adapter("vault"),
	adapter("history", "github.com/klauspost/compress/"),
	adapter("web"),
	// The simulator puts the parts together as the program does, over a log and a
	// network of its own.
	{folder: "adapters/sim", own: []string{"domain/...", "projections/...", "adapters/command", "adapters/react", "adapters/sandbox", "adapters/stripe"}, others: []string{uuidModule}},

	{folder: "cmd/...", own: []string{"domain/...", "projections/...", "adapters/..."}, others: []string{""}},
}

func aggregate(more ...string) []string {
	return append([]string{"domain/decider", "domain/event", "domain/money", "domain/privacy", "domain/refusal"}, more...)
}

// adapter may import the domain, the projections and the ports, and its own
// vendors; never a sibling.
func adapter(name string, vendors ...string) rule {
	return rule{folder: "adapters/" + name, own: []string{"domain/...", "projections/...", "adapters/command"}, others: append(vendors, uuidModule)}
}

func matches(pattern, folder string) bool {
	prefix, below := strings.CutSuffix(pattern, "/...")
	return folder == prefix || (below && strings.HasPrefix(folder, prefix+"/"))
}

// check says what is wrong with the imports of a file.
func check(folder, source string) []string {
	f, err := parser.ParseFile(token.NewFileSet(), "x.go", source, 0)
	if err != nil {
		return []string{err.Error()}
	}
	i := slices.IndexFunc(rules, func(r rule) bool { return matches(r.folder, folder) })
	if i < 0 {
		return []string{"folder " + folder + " has no rule"}
	}
	var wrong []string
	for _, imp := range f.Imports {
		p, _ := strconv.Unquote(imp.Path.Value)
		if !rules[i].allows(p) {
			wrong = append(wrong, folder+" must not import "+p)
		}
	}
	if strings.HasPrefix(folder, "domain") && folder != "domain/decider/decidertest" {
		wrong = append(wrong, impure(folder, f)...)
	}
	return wrong
}

func (r rule) allows(imported string) bool {
	if own, ok := strings.CutPrefix(imported, "kicau/"); ok {
		return slices.ContainsFunc(r.own, func(p string) bool { return matches(p, own) })
	}
	if !strings.Contains(strings.Split(imported, "/")[0], ".") {
		return r.std == nil || slices.Contains(r.std, imported)
	}
	return slices.ContainsFunc(r.others, func(v string) bool { return strings.HasPrefix(imported, v) })
}

// impure finds what pure code must not have: goroutines, channels, floats, the
// clock, random ids.
func impure(folder string, f *ast.File) (wrong []string) {
	banned := map[string]bool{
		"time.Now": true, "time.Since": true, "time.Until": true, "time.After": true, "time.Sleep": true, "time.NewTimer": true, "time.NewTicker": true, "time.Tick": true, "time.AfterFunc": true,
		"uuid.New": true, "uuid.NewString": true, "uuid.NewRandom": true, "uuid.NewV6": true, "uuid.NewV7": true, "uuid.NewUUID": true,
	}
	ast.Inspect(f, func(n ast.Node) bool {
		what := ""
		switch n := n.(type) {
		case *ast.GoStmt:
			what = "a goroutine"
		case *ast.SelectStmt:
			what = "a select"
		case *ast.ChanType:
			what = "a channel"
		case *ast.Ident:
			if n.Name == "float64" || n.Name == "float32" {
				what = "a float"
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && banned[x.Name+"."+n.Sel.Name] {
				what = x.Name + "." + n.Sel.Name
			}
		}
		if what != "" {
			wrong = append(wrong, folder+" is pure, yet has "+what)
		}
		return true
	})
	return wrong
}

func TestImportRules(t *testing.T) {
	err := filepath.WalkDir("../..", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && file != "../.." {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		folder, err := filepath.Rel("../..", filepath.Dir(file))
		if err != nil {
			return err
		}
		source, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for _, w := range check(filepath.ToSlash(folder), string(source)) {
			t.Errorf("%s: %s", path.Base(file), w)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A law that cannot be broken is not tested: each of these must be caught.
func TestImportRulesCatch(t *testing.T) {
	for _, c := range []struct{ folder, code string }{
		{"domain/order", `import "os"`},
		{"domain/order", `import "context"`},
		{"domain/order", `import "kicau/domain/offer"`},
		{"domain/offer", `import "kicau/adapters/command"`},
		{"domain/money", `var rate float64`},
		{"domain/shop", `import "time"; var now = time.Now()`},
		{"domain/shop", `import "github.com/google/uuid"; var id = uuid.New()`},
		{"domain/payment", `func f() { go f() }`},
		{"domain/payment", `var c chan int`},
		{"projections/order", `import "kicau/projections/timeline"`},
		{"projections/order", `import "github.com/ThreeDotsLabs/watermill"`},
		{"adapters/node", `import "kicau/adapters/esdb"`},
		{"adapters/web", `import "github.com/stripe/stripe-go/v76"`},
		{"adapters/stripe", `import "modernc.org/sqlite"`},
		{"adapters/esdb", `import "github.com/cockroachdb/pebble/v2"`},
		{"adapters/unheard", `import "fmt"`},
	} {
		if len(check(c.folder, "package x\n"+c.code)) == 0 {
			t.Errorf("%s: %s was let through", c.folder, c.code)
		}
	}
}

// The modules that end up in the binary stand in a list, so that a new one
// shows in the diff. Renew it with: make deps
func TestModulesOfTheBinary(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := strings.Fields(string(out))
	slices.Sort(modules)
	got := strings.Join(slices.Compact(modules), "\n") + "\n"
	want, err := os.ReadFile("testdata/modules.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the binary's modules changed; if that is meant, run `make deps` and say why in docs/dependencies.md\n got:\n%s\nwant:\n%s", got, want)
	}
}

func TestNothingElseAtTheTop(t *testing.T) {
	allowed := []string{"domain", "projections", "adapters", "cmd", "docs", "go.mod", "go.sum", "Makefile", "README.md", "CHANGELOG.md", "LICENSE"}
	built := []string{"bin", "kicau-data"} // ignored by git
	entries, err := os.ReadDir("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if n := e.Name(); !strings.HasPrefix(n, ".") && !slices.Contains(allowed, n) && !slices.Contains(built, n) {
			t.Errorf("%s does not belong at the top of the tree", n)
		}
	}
}
