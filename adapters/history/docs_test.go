package history_test

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"kicau/adapters/history"
	"kicau/domain/order"
	"kicau/domain/shop"
)

func docs(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/import.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The document's example says what becomes of it.
func TestDocumentedExample(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```jsonl\n(.*?)\n```\n\nSix lines: five are accepted").FindAllStringSubmatch(docs(t), -1)
	if len(blocks) != 1 {
		t.Fatalf("docs/import.md has %d examples", len(blocks))
	}
	s := newScene(t)
	for range 2 {
		o := s.imports(t, strings.Split(blocks[0][1], "\n")...)
		equal(t, "accepted lines", o.accepted, []int64{1, 2, 3, 5, 6})
		equal(t, "sold out", o.SoldOut, 1)
	}
}

// Every command and every field of a line is documented, and the bounds are.
func TestEverythingIsDocumented(t *testing.T) {
	text := docs(t)
	for _, do := range history.Commands() {
		if !strings.Contains(text, "`"+do+"`: ") {
			t.Errorf("command %s is not documented", do)
		}
	}
	fields := 0
	for _, typ := range []reflect.Type{reflect.TypeFor[history.Line](), reflect.TypeFor[history.OrderLine](), reflect.TypeFor[order.Units](), reflect.TypeFor[shop.Tax]()} {
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			if fields++; !strings.Contains(text, "`"+name+"`") && !strings.Contains(text, `"`+name+`"`) {
				t.Errorf("field %s of %s is not documented", name, typ)
			}
		}
	}
	if fields < 40 {
		t.Errorf("%d fields were looked at", fields)
	}
	for _, bound := range []string{"1 MiB", "1 to 2,000", "1900 to 2199", "log-has-later"} {
		if !strings.Contains(text, bound) {
			t.Errorf("%s is not documented", bound)
		}
	}
}
