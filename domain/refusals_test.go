package domain_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Every refusal of the domain says what it is about and why, has a code of its
// own in its package, and some test expects it.
func TestRefusals(t *testing.T) {
	for _, dir := range []string{"money", "privacy", "shop", "offer", "order", "buyer", "payout", "reconcile"} {
		said, tested := refusals(t, dir)
		if len(said) == 0 {
			t.Errorf("%s has no refusals: is it looked at at all?", dir)
		}
		codes := map[string]string{}
		for name, fields := range said {
			code := fields["Code"]
			if other, twice := codes[code]; twice {
				t.Errorf("%s: %s and %s have the code %q", dir, name, other, code)
			}
			codes[code] = name
			if !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(code) {
				t.Errorf("%s.%s: the code %q is not in kebab-case", dir, name, code)
			}
			if !regexp.MustCompile(`^(Invalid|Missing|Rule|Clash)$`).MatchString(fields["Kind"]) {
				t.Errorf("%s.%s is of kind %q", dir, name, fields["Kind"])
			}
			if fields["Reason"] == "" {
				t.Errorf("%s.%s gives no reason", dir, name)
			}
			if !tested[name] {
				t.Errorf("%s.%s is expected by no test", dir, name)
			}
		}
	}
}

// refusals reads the refusals of a package, and which of them its tests name.
func refusals(t *testing.T, dir string) (said map[string]map[string]string, tested map[string]bool) {
	said, tested = map[string]map[string]string{}, map[string]bool{}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				tested[n.Sel.Name] = tested[n.Sel.Name] || strings.HasSuffix(name, "_test.go")
			case *ast.ValueSpec:
				if fields := refusalOf(n); fields != nil {
					said[n.Names[0].Name] = fields
				}
			}
			return true
		})
	}
	return said, tested
}

// refusalOf is what a declaration "Err… = &refusal.Refusal{…}" says.
func refusalOf(n *ast.ValueSpec) map[string]string {
	if len(n.Values) != 1 {
		return nil
	}
	ref, ok := n.Values[0].(*ast.UnaryExpr)
	if !ok {
		return nil
	}
	lit, ok := ref.X.(*ast.CompositeLit)
	if !ok {
		return nil
	}
	if typ, ok := lit.Type.(*ast.SelectorExpr); !ok || typ.Sel.Name != "Refusal" {
		return nil
	}
	fields := map[string]string{}
	for _, el := range lit.Elts {
		kv := el.(*ast.KeyValueExpr)
		switch v := kv.Value.(type) {
		case *ast.BasicLit:
			fields[kv.Key.(*ast.Ident).Name], _ = strconv.Unquote(v.Value)
		case *ast.SelectorExpr:
			fields[kv.Key.(*ast.Ident).Name] = v.Sel.Name
		default:
			fields[kv.Key.(*ast.Ident).Name] = "computed"
		}
	}
	return fields
}
