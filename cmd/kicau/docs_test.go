package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/uuid"

	"kicau/domain"
	"kicau/domain/event"
)

var update = flag.Bool("update", false, "write docs/events.md, docs/cli.md and what is made of docs/money.md anew, instead of comparing them")

const (
	top  = "../.."
	docs = top + "/docs"
	note = "<!-- Made from the sources; renew it with: go test ./cmd/kicau -run Reference -update -->\n\n"
)

// same compares a generated page with the one in docs.
func same(t *testing.T, page, want string) {
	t.Helper()
	file := filepath.Join(docs, page)
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(string(got), "\n"), strings.Split(want, "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		is, should := lineOf(gotLines, i), lineOf(wantLines, i)
		if is != should {
			t.Fatalf("%s:%d is behind the sources; renew it with: go test ./cmd/kicau -run Reference -update\n is:     %s\n should: %s", page, i+1, is, should)
		}
	}
}

func lineOf(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(the end)"
}

// The events, from the registry, the Go types and their comments.

func TestEventReference(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Events\n\n" + note)
	b.WriteString("Every event type that Kicau reads and writes. Amounts of money are whole numbers in the minor unit of the currency of their stream (pence for GBP, yen for JPY). A field that may be absent is left out of the JSON when it says nothing.\n\nThe life of a purchase, as the log tells it:\n\n")
	tour := readSource(t, "domain")
	_, life, found := strings.Cut(tour.doc, "as the log tells it:\n")
	if !found {
		t.Fatal("domain/doc.go no longer tells the life of a purchase")
	}
	b.WriteString("```\n" + unindent(life) + "```\n\n")

	b.WriteString("## What every event carries\n\nBeside its type and data, in the metadata:\n\n")
	metadataTable(t, &b)
	b.WriteString("\nThe id of an event is a UUID that follows from the id of its command and its place among the events of that command (version 5), so a command sent again proposes the same events again. Stream, revision, position and the time of recording are the log's own.\n\nAn event of a type, field or version that this program does not know is never guessed at: a command on its stream is refused, and a read model parks it.\n")

	r := &reference{sources: map[string]*source{}, told: map[reflect.Type]bool{}}
	byPackage := map[string][]reflect.Type{}
	for _, name := range domain.Events.Names() {
		typ := bodyOf(t, name)
		byPackage[typ.PkgPath()] = append(byPackage[typ.PkgPath()], typ)
	}
	for _, prefix := range domain.Prefixes {
		for pkg, types := range byPackage {
			src := r.source(t, pkg)
			if src.prefix() != prefix {
				continue
			}
			delete(byPackage, pkg)
			stream := prefix + "<uuid>"
			if pkg == reflect.TypeFor[event.LogStarted]().PkgPath() {
				stream = event.LogStream
			}
			fmt.Fprintf(&b, "\n## Stream `%s`\n", stream)
			if pkg != reflect.TypeFor[event.LogStarted]().PkgPath() {
				fmt.Fprintf(&b, "\n%s", src.introduction())
			}
			slices.SortFunc(types, func(x, y reflect.Type) int { return int(src.place[x.Name()] - src.place[y.Name()]) })
			for _, typ := range types {
				r.event(t, &b, typ)
			}
		}
	}
	for pkg := range byPackage {
		t.Errorf("the events of %s stand in no stream of domain.Prefixes", pkg)
	}
	b.WriteString("\n## Parts\n\nObjects that events are made of.\n")
	for len(r.parts) > 0 {
		part := r.parts[0]
		r.parts = r.parts[1:]
		src := r.source(t, part.PkgPath())
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n", part.Name(), sentence(part.Name(), src.comments[part.Name()]))
		r.table(t, &b, part)
	}
	same(t, "events.md", b.String())
}

// bodyOf decodes an empty event to learn the Go type of a registered name.
func bodyOf(t *testing.T, name string) reflect.Type {
	t.Helper()
	e, err := domain.Events.Decode(event.Recorded{Type: name, Data: []byte("{}"),
		Metadata: fmt.Appendf(nil, `{"schemaVersion":%d}`, domain.Events.Version(name))})
	if err != nil {
		t.Fatal(err)
	}
	return reflect.TypeOf(e.Body)
}

// reference collects what the page has still to tell.
type reference struct {
	sources map[string]*source
	parts   []reflect.Type
	told    map[reflect.Type]bool
}

func (r *reference) source(t *testing.T, pkg string) *source {
	if r.sources[pkg] == nil {
		r.sources[pkg] = readSource(t, strings.TrimPrefix(pkg, "kicau/"))
	}
	return r.sources[pkg]
}

func (r *reference) event(t *testing.T, b *strings.Builder, typ reflect.Type) {
	name := reflect.Zero(typ).Interface().(event.Data).EventType()
	version := domain.Events.Version(name)
	says := sentence(typ.Name(), r.source(t, typ.PkgPath()).comments[typ.Name()])
	if says == "" {
		t.Errorf("%s has no comment that says when it is written", typ)
	}
	older := ""
	if version > 1 {
		older = " (older ones are read as this one)"
	}
	fmt.Fprintf(b, "\n### %s\n\nVersion %d%s. %s\n\n", name, version, older, says)
	r.table(t, b, typ)

	raw, err := os.ReadFile(fmt.Sprintf("%s/domain/testdata/events/%s.v%d.json", top, name, version))
	if err != nil {
		t.Fatal(err)
	}
	var frozen struct{ Data json.RawMessage }
	var data bytes.Buffer
	if err := errors.Join(json.Unmarshal(raw, &frozen), json.Indent(&data, frozen.Data, "", "  ")); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(b, "\n```json\n%s\n```\n", data.String())
}

func (r *reference) table(t *testing.T, b *strings.Builder, typ reflect.Type) {
	if typ.NumField() == 0 {
		b.WriteString("It has no fields.\n")
		return
	}
	b.WriteString("| field | type | meaning |\n|---|---|---|\n")
	r.rows(t, b, typ)
}

func (r *reference) rows(t *testing.T, b *strings.Builder, typ reflect.Type) {
	src := r.source(t, typ.PkgPath())
	for i := range typ.NumField() {
		f := typ.Field(i)
		if f.Anonymous {
			// The fields of an embedded struct stand among those around it.
			part := r.part(f.Type)
			for j := range f.Type.NumField() {
				inner := f.Type.Field(j)
				name, _ := jsonName(inner)
				fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, r.typeName(t, inner.Type), part)
			}
			continue
		}
		name, absent := jsonName(f)
		kind := r.typeName(t, f.Type)
		if absent {
			kind += ", may be absent"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, kind, meaning(f.Name, name, src.comments[typ.Name()+"."+f.Name]))
	}
}

// typeName says what a field holds.
func (r *reference) typeName(t *testing.T, typ reflect.Type) string {
	switch typ.String() {
	case "uuid.UUID":
		return "UUID"
	case "time.Time":
		return "time (RFC 3339)"
	case "money.Minor":
		return "amount, minor units"
	case "money.Currency":
		return "currency (ISO 4217)"
	case "money.BasisPoints":
		return "basis points (1/100 %)"
	case "[]uint8":
		return "bytes (base64)"
	}
	switch typ.Kind() {
	case reflect.Pointer:
		return r.typeName(t, typ.Elem())
	case reflect.Slice:
		return "list of " + r.typeName(t, typ.Elem())
	case reflect.Struct:
		return r.part(typ)
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "whole number"
	case reflect.String:
		if values := r.valuesOf(t, typ); len(values) > 0 {
			return "text: `" + strings.Join(values, "`, `") + "`"
		}
		return "text"
	}
	t.Fatalf("no words for the type %s: add it here", typ)
	return ""
}

func (r *reference) valuesOf(t *testing.T, typ reflect.Type) []string {
	if typ.PkgPath() == "" {
		return nil
	}
	return r.source(t, typ.PkgPath()).values[typ.Name()]
}

// part links to a struct and has it told at the end of the page.
func (r *reference) part(typ reflect.Type) string {
	if !r.told[typ] {
		r.told[typ] = true
		r.parts = append(r.parts, typ)
	}
	return fmt.Sprintf("[%s](#%s)", typ.Name(), strings.ToLower(typ.Name()))
}

func jsonName(f reflect.StructField) (name string, absent bool) {
	name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name, strings.HasPrefix(options, "omit")
}

func metadataTable(t *testing.T, b *strings.Builder) {
	p, err := domain.Events.Encode(event.Meta{Digest: "d"}, 0, event.LogStarted{Log: uuid.Nil})
	if err != nil {
		t.Fatal(err)
	}
	src := readSource(t, "domain/event")
	written := map[string]any{}
	if err := json.Unmarshal(p.Metadata, &written); err != nil {
		t.Fatal(err)
	}
	b.WriteString("| name | meaning |\n|---|---|\n")
	causation := ""
	for _, f := range []struct{ name, comment string }{
		{"$correlationId", "Meta.Correlation"}, {"$causationId", "Meta.Causation"}, {"commandId", "Meta.Command"}, {"commandDigest", "Meta.Digest"},
		{"actor", "Meta.Actor"}, {"occurredAt", "Meta.OccurredAt"}, {"schemaVersion", "Event.Version"},
	} {
		if _, ok := written[f.name]; !ok {
			t.Errorf("metadata has no %s any more", f.name)
		}
		delete(written, f.name)
		_, field, _ := strings.Cut(f.comment, ".")
		says := meaning(field, f.name, src.comments[f.comment])
		switch field { // one comment tells both
		case "Correlation":
			says, causation, _ = strings.Cut(says, ", Causation ")
		case "Causation":
			says = "`" + f.name + "` " + causation
		}
		if len(says) <= len(f.name)+3 {
			t.Errorf("no comment says what %s is", f.name)
		}
		fmt.Fprintf(b, "| `%s` | %s |\n", f.name, says)
	}
	for name := range written {
		t.Errorf("metadata has %s, which this page does not tell", name)
	}
}

// source is what the comments of a package say.
type source struct {
	name     string
	doc      string
	comments map[string]string   // by Type, Type.Field, and type and value of a constant
	values   map[string][]string // constants of a named string type
	place    map[string]token.Pos
}

func readSource(t *testing.T, folder string) *source {
	t.Helper()
	s := &source{comments: map[string]string{}, values: map[string][]string{}, place: map[string]token.Pos{}}
	files, err := filepath.Glob(filepath.Join(top, folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(set, file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		s.name = f.Name.Name
		s.doc += f.Doc.Text()
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok {
				s.read(g)
			}
		}
	}
	if s.doc == "" {
		t.Fatalf("%s has no package comment", folder)
	}
	return s
}

func (s *source) read(g *ast.GenDecl) {
	for _, spec := range g.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			name := spec.Name.Name
			s.place[name] = spec.Pos()
			s.comments[name] = spec.Doc.Text()
			if spec.Doc == nil {
				s.comments[name] = g.Doc.Text()
			}
			if st, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range st.Fields.List {
					for _, n := range f.Names {
						s.comments[name+"."+n.Name] = f.Doc.Text() + f.Comment.Text()
					}
				}
			}
		case *ast.ValueSpec:
			if typ, ok := spec.Type.(*ast.Ident); ok && g.Tok == token.CONST {
				for _, v := range spec.Values {
					if l, ok := v.(*ast.BasicLit); ok && l.Kind == token.STRING {
						text, _ := strconv.Unquote(l.Value)
						s.values[typ.Name] = append(s.values[typ.Name], text)
						s.comments[typ.Name+" "+text] = spec.Comment.Text()
					}
				}
			}
		}
	}
}

// prefix of the package's streams: an aggregate is named as its category.
func (s *source) prefix() string {
	if s.name == "event" {
		return strings.TrimSuffix(event.LogStream, "log")
	}
	return s.name + "-"
}

// introduction is the package comment, for readers who do not see the code.
func (s *source) introduction() string {
	printer := new(comment.Printer)
	text := string(printer.Markdown(new(comment.Parser).Parse(docLink.ReplaceAllString(s.doc, "$1"))))
	return strings.Replace(text, "Package "+s.name+" is ", "The stream of ", 1)
}

var docLink = regexp.MustCompile(`\[([A-Za-z.]+)\]`)

// cell makes a comment fit into a table.
func cell(text string) string {
	text = docLink.ReplaceAllString(strings.Join(strings.Fields(text), " "), "$1")
	return strings.ReplaceAll(text, "|", "\\|")
}

var absentNil = regexp.MustCompile(`\bnil:`)

// meaning is the comment of a Go field, told of the JSON field.
func meaning(field, name, text string) string {
	text = absentNil.ReplaceAllString(cell(text), "absent:")
	if rest, ok := strings.CutPrefix(text, field+" "); ok {
		text = "`" + name + "` " + rest
	}
	return text
}

// sentence is a comment without the name that it begins with.
func sentence(name, text string) string {
	text = cell(text)
	if rest, ok := strings.CutPrefix(text, name+": "); ok {
		text = strings.ToUpper(rest[:1]) + rest[1:]
	}
	return text
}

func unindent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.Trim(text, "\n") + "\n") {
		b.WriteString(strings.TrimPrefix(line, "\t"))
	}
	return b.String()
}

// The command line, from its model.

func commandLine(t *testing.T) (*kong.Kong, *bool) {
	t.Helper()
	said := false // --help or --version was given, and answered
	k, err := kong.New(&CLI{}, kong.Name("kicau"), kong.Writers(io.Discard, io.Discard),
		kong.Exit(func(int) { said = true }), kong.Vars{"version": "test"})
	if err != nil {
		t.Fatal(err)
	}
	return k, &said
}

func TestCommandLineReference(t *testing.T) {
	k, _ := commandLine(t)
	var b strings.Builder
	b.WriteString("# Command line\n\n" + note)
	fmt.Fprintf(&b, "Exit codes: %d done, %d refused or failed, %d wrong command line. What a command prints goes to stdout, everything else to stderr. With `--output json` a refusal on stderr is JSON, too.\n\n", exitDone, exitFailed, exitUsage)
	b.WriteString("An id is a UUID; times are written like `2026-12-01T18:00:00Z`, amounts like `12.50` in the currency of the shop. In the examples `…` stands for the rest of an id.\n\n")
	leaves := k.Model.Leaves(true)
	for _, c := range leaves {
		name := c.FullPath()
		fmt.Fprintf(&b, "- [`%s`](#%s): %s\n", name, strings.ReplaceAll(name, " ", "-"), c.Help)
	}
	b.WriteString("\n## Flags of every command\n\n")
	flagTable(&b, k.Model.Flags)
	for _, c := range leaves {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n```\n%s\n```\n\n%s", c.FullPath(), c.Help, strings.TrimSpace("kicau "+c.Summary()), examples(c.Detail))
		if !strings.Contains(c.Detail, "Example") {
			t.Errorf("%s has no example", c.FullPath())
		}
		if len(c.Positional) > 0 {
			b.WriteString("\n| argument | meaning |\n|---|---|\n")
			for _, a := range c.Positional {
				fmt.Fprintf(&b, "| `%s` | %s |\n", a.Summary(), cell(a.Help))
			}
		}
		if len(c.Flags) > 0 {
			b.WriteString("\n")
			flagTable(&b, c.Flags)
		}
	}
	same(t, "cli.md", b.String())
}

func flagTable(b *strings.Builder, flags []*kong.Flag) {
	b.WriteString("| flag | default | environment | meaning |\n|---|---|---|---|\n")
	for _, f := range flags {
		if f.Hidden {
			continue
		}
		name := "--" + f.Name
		switch {
		case f.IsBool():
		case f.PlaceHolder != "":
			name += "=" + f.PlaceHolder
		case f.Enum != "":
			name += "=" + strings.ReplaceAll(strings.Trim(f.Enum, ","), ",", "|")
		case f.Target.CanInt() && f.Target.Type().PkgPath() == "":
			name += "=N"
		case f.Target.Kind() == reflect.String:
			name += "=TEXT"
		default:
			name += "=" + strings.ToUpper(f.Target.Type().Name())
		}
		says := cell(f.Help)
		if f.IsSlice() {
			says += " May be given more than once."
		}
		if f.Short != 0 {
			name = fmt.Sprintf("-%c, %s", f.Short, name)
		}
		standard := ""
		switch {
		case f.Required:
			standard = "required"
		case f.HasDefault && f.Default != "":
			standard = "`" + f.Default + "`"
		}
		env := ""
		if len(f.Envs) > 0 {
			env = "`" + strings.Join(f.Envs, "`, `") + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", strings.ReplaceAll(name, "|", "\\|"), standard, env, says)
	}
}

// examples makes blocks of the indented lines of a help text.
func examples(text string) string {
	var b strings.Builder
	inside := false
	for line := range strings.Lines(strings.TrimSpace(text) + "\n") {
		code, indented := strings.CutPrefix(line, "  ")
		if indented != inside {
			if indented {
				b.WriteString("\n```sh\n")
			} else {
				b.WriteString("```\n\n")
			}
			inside = indented
		}
		b.WriteString(code)
	}
	if inside {
		b.WriteString("```\n")
	}
	return b.String()
}

// What the pages say that can be checked.

// pages are the README and its siblings, and everything in docs, by path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	read := func(file string) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.ToSlash(file)] = string(text)
	}
	tops, err := filepath.Glob(filepath.Join(top, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range tops {
		read(file)
	}
	err = filepath.WalkDir(docs, func(file string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(file, ".md") {
			read(file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var (
	fence   = regexp.MustCompile("(?ms)^```.*?^```[ ]*$")
	link    = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	noSlug  = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
	scheme  = regexp.MustCompile(`^[a-z]+:`)
)

// anchors of a page, as GitHub makes them of its headings.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, h := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		slug := strings.ReplaceAll(noSlug.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-")
		for n := 1; all[slug]; n++ {
			slug = fmt.Sprintf("%s-%d", strings.TrimSuffix(slug, fmt.Sprintf("-%d", n-1)), n)
		}
		all[slug] = true
	}
	return all
}

// broken says which links of a page lead nowhere.
func broken(all map[string]string, page string) (wrong []string) {
	for _, l := range link.FindAllStringSubmatch(fence.ReplaceAllString(all[page], ""), -1) {
		if scheme.MatchString(l[1]) {
			continue
		}
		name, fragment, _ := strings.Cut(l[1], "#")
		target := page
		if name != "" {
			target = path.Join(path.Dir(page), name)
			if _, err := os.Stat(target); err != nil {
				wrong = append(wrong, l[1])
				continue
			}
		}
		if fragment != "" && !anchors(all[target])[fragment] {
			wrong = append(wrong, l[1])
		}
	}
	return wrong
}

func TestLinks(t *testing.T) {
	all := pages(t)
	for page := range all {
		for _, l := range broken(all, page) {
			t.Errorf("%s: the link to %s leads nowhere", page, l)
		}
	}
	planted := docs + "/planted.md"
	all[planted] = "# A b\n[x](#a-b) [y](start.md) [z](https://example.org/nowhere) [1](#b) [2](none.md) [3](start.md#none)\n"
	if got, want := broken(all, planted), []string{"#b", "none.md", "start.md#none"}; !slices.Equal(got, want) {
		t.Errorf("of planted links %q were caught, want %q", got, want)
	}
}

var shell = regexp.MustCompile("(?ms)^```sh\n(.*?)^```")

// commands are the words of every kicau command in the sh blocks of a page.
func commands(text string) (all [][]string) {
	for _, block := range shell.FindAllStringSubmatch(text, -1) {
		for line := range strings.Lines(strings.ReplaceAll(block[1], "\\\n", " ")) {
			words := shellWords(strings.TrimSpace(line))
			if len(words) > 0 && path.Base(words[0]) == "kicau" {
				all = append(all, words[1:])
			}
		}
	}
	return all
}

// shellWords splits a simple command as a shell does, up to the first operator
// or comment.
func shellWords(line string) (words []string) {
	word, quote, open := strings.Builder{}, rune(0), false
	end := func() {
		if open {
			words = append(words, word.String())
		}
		word.Reset()
		open = false
	}
	for _, c := range line {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '"' || c == '\'':
			quote, open = c, true
		case c == ' ' || c == '\t':
			end()
		case strings.ContainsRune("|&;<>", c), c == '#' && !open:
			end()
			return words
		default:
			word.WriteRune(c)
			open = true
		}
	}
	end()
	return words
}

func TestCommandsInPages(t *testing.T) {
	parse := func(words []string) error {
		k, said := commandLine(t)
		_, err := k.Parse(words)
		if *said {
			return nil
		}
		return err
	}
	seen := 0
	for page, text := range pages(t) {
		for _, words := range commands(text) {
			seen++
			if err := parse(words); err != nil {
				t.Errorf("%s: kicau %s: %v", page, strings.Join(words, " "), err)
			}
		}
	}
	if seen == 0 {
		t.Error("the pages hold no commands")
	}
	for _, bad := range []string{"kicau bogus", "bin/kicau orders --limit many", "kicau buy --name \"a b\" | cat", "kicau timeline \\\n  --nonsense"} {
		planted := commands("```sh\n" + bad + "\n```\n")
		if len(planted) != 1 || parse(planted[0]) == nil {
			t.Errorf("the planted command %q was let through: %q", bad, planted)
		}
	}
}

// docs/dependencies.md has a line for every module that is imported, and no
// others.
func TestDependenciesAreExplained(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join(top, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	direct := map[string]bool{}
	for line := range strings.Lines(string(mod)) {
		if f := strings.Fields(line); len(f) == 2 && strings.HasPrefix(line, "\t") {
			direct[f[0]] = true
		}
	}
	text, err := os.ReadFile(filepath.Join(docs, "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		if !direct[m[1]] {
			t.Errorf("docs/dependencies.md explains %s, which go.mod does not require directly", m[1])
		}
		delete(direct, m[1])
	}
	for m := range direct {
		t.Errorf("docs/dependencies.md does not say why %s is needed", m)
	}
}
