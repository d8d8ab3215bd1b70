package sandbox_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// spec is Stripe's own description of its API (OpenAPI), as stripe-mock has it.
type spec struct {
	Info struct {
		Version string `json:"version"`
	} `json:"info"`
	Paths      map[string]map[string]*operation `json:"paths"`
	Components struct {
		Schemas map[string]*schema `json:"schemas"`
	} `json:"components"`
}

// operation is a method on a path.
type operation struct {
	Responses map[string]struct {
		Content map[string]struct {
			Schema *schema `json:"schema"`
		} `json:"content"`
	} `json:"responses"`
}

func (o *operation) answer(kind string) *schema {
	return o.Responses[kind].Content["application/json"].Schema
}

// schema is what a JSON value must be, in the part of JSON Schema that Stripe
// uses.
type schema struct {
	Ref        string             `json:"$ref"`
	Type       string             `json:"type"`
	Nullable   bool               `json:"nullable"`
	AnyOf      []*schema          `json:"anyOf"`
	Enum       []any              `json:"enum"`
	Loose      bool               `json:"x-stripeBypassValidation"` // the enum is not complete
	Properties map[string]*schema `json:"properties"`
	Required   []string           `json:"required"`
	Additional json.RawMessage    `json:"additionalProperties"`
	Items      *schema            `json:"items"`
	MaxLength  int                `json:"maxLength"`
	Pattern    string             `json:"pattern"`
}

func readSpec(t *testing.T, path string) *spec {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := &spec{}
	if err := json.Unmarshal(raw, s); err != nil {
		t.Fatal(err)
	}
	return s
}

// operation finds what a request asks for: of two paths that fit, the one with
// fewer parameters.
func (s *spec) operation(method, path string) *operation {
	best, wild := (*operation)(nil), 0
	for template, methods := range s.Paths {
		o := methods[strings.ToLower(method)]
		if n := strings.Count(template, "{"); o != nil && fits(template, path) && (best == nil || n < wild) {
			best, wild = o, n
		}
	}
	return best
}

// fits tells whether a path is of a template, such as /v1/refunds/{refund}.
func fits(template, path string) bool {
	want, have := strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(have) {
		return false
	}
	for i, w := range want {
		if w != have[i] && !strings.HasPrefix(w, "{") {
			return false
		}
	}
	return true
}

// check says what of v is not as a schema wants it.
func (s *spec) check(sc *schema, v any, at string) (wrong []string) {
	if sc == nil {
		return nil
	}
	if name, ok := strings.CutPrefix(sc.Ref, "#/components/schemas/"); ok {
		return s.check(s.Components.Schemas[name], v, at)
	}
	if v == nil {
		if !sc.Nullable && len(sc.AnyOf) == 0 {
			return []string{at + " is null"}
		}
		if !sc.Nullable {
			return s.checkAny(sc, v, at)
		}
		return nil
	}
	if len(sc.AnyOf) > 0 {
		return s.checkAny(sc, v, at)
	}
	if len(sc.Enum) > 0 && !sc.Loose && !slices.Contains(sc.Enum, v) {
		return []string{fmt.Sprintf("%s is %v, not one of %v", at, v, sc.Enum)}
	}
	switch v := v.(type) {
	case map[string]any:
		if sc.Type != "object" {
			return []string{at + " is an object, want " + sc.Type}
		}
		return s.checkObject(sc, v, at)
	case []any:
		if sc.Type != "array" {
			return []string{at + " is an array, want " + sc.Type}
		}
		for _, e := range v {
			wrong = append(wrong, s.check(sc.Items, e, at+"[]")...)
		}
	case string:
		switch {
		case sc.Type != "string":
			wrong = append(wrong, at+" is a string, want "+sc.Type)
		case sc.MaxLength > 0 && utf8.RuneCountInString(v) > sc.MaxLength:
			wrong = append(wrong, at+" is too long")
		case sc.Pattern != "" && !regexp.MustCompile(sc.Pattern).MatchString(v):
			wrong = append(wrong, at+" is "+v+", which does not match "+sc.Pattern)
		}
	case float64:
		if sc.Type != "integer" && sc.Type != "number" || sc.Type == "integer" && v != float64(int64(v)) {
			wrong = append(wrong, at+" is a number, want "+sc.Type)
		}
	case bool:
		if sc.Type != "boolean" {
			wrong = append(wrong, at+" is a boolean, want "+sc.Type)
		}
	}
	return wrong
}

func (s *spec) checkObject(sc *schema, v map[string]any, at string) (wrong []string) {
	for _, name := range sc.Required {
		if _, sent := v[name]; !sent {
			wrong = append(wrong, at+"."+name+" is not sent")
		}
	}
	var more *schema
	if len(sc.Additional) > 0 && sc.Additional[0] == '{' {
		more = &schema{}
		if err := json.Unmarshal(sc.Additional, more); err != nil {
			return []string{at + ": " + err.Error()}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v)) {
		p := sc.Properties[name]
		switch {
		case p != nil:
			wrong = append(wrong, s.check(p, v[name], at+"."+name)...)
		case more != nil:
			wrong = append(wrong, s.check(more, v[name], at+"."+name)...)
		case len(sc.Properties) > 0:
			wrong = append(wrong, at+"."+name+" is nothing that Stripe has")
		}
	}
	return wrong
}

// checkAny takes the alternative that fits best.
func (s *spec) checkAny(sc *schema, v any, at string) (wrong []string) {
	for i, one := range sc.AnyOf {
		w := s.check(one, v, at)
		if len(w) == 0 {
			return nil
		}
		if i == 0 || len(w) < len(wrong) {
			wrong = w
		}
	}
	return wrong
}

// absent says which fields of theirs are not in ours, at any depth.
func absent(ours, theirs any, at string) (out []string) {
	switch theirs := theirs.(type) {
	case map[string]any:
		o, ok := ours.(map[string]any)
		if !ok {
			return nil // expanded on one side, null on the other: the schema judges that
		}
		if kind, ok := theirs["object"].(string); ok && kind != "list" {
			if o["object"] != kind || o["deleted"] == true {
				return nil // one of several kinds
			}
			at = kind
		}
		for _, name := range slices.Sorted(maps.Keys(theirs)) {
			if _, sent := o[name]; !sent {
				out = append(out, at+"."+name)
				continue
			}
			out = append(out, absent(o[name], theirs[name], at+"."+name)...)
		}
	case []any:
		if o, ok := ours.([]any); ok && len(o) > 0 && len(theirs) > 0 {
			return absent(o[0], theirs[0], at+"[]")
		}
	}
	return out
}

// The check of answers catches what is wrong with them.
func TestSpecCatches(t *testing.T) {
	s := &spec{}
	err := json.Unmarshal([]byte(`{"components":{"schemas":{"thing":{"type":"object","required":["id"],"properties":{
		"id":{"type":"string","maxLength":5},"n":{"type":"integer"},"kind":{"type":"string","enum":["a","b"]},"when":{"type":"integer","nullable":true},
		"on":{"type":"boolean"},"parent":{"anyOf":[{"type":"string"},{"$ref":"#/components/schemas/thing"}]},"list":{"type":"array","items":{"type":"integer"}},
		"metadata":{"type":"object","additionalProperties":{"type":"string"}}}}}}}`), s)
	if err != nil {
		t.Fatal(err)
	}
	thing := &schema{Ref: "#/components/schemas/thing"}
	for answer, wrong := range map[string]string{
		`{"id":"x","n":1,"kind":"a","when":null,"on":true,"parent":"p","list":[1],"metadata":{"k":"v"}}`: "",
		`{"id":"x","parent":{"id":"y"}}`:       "",
		`{}`:                                   "x.id is not sent",
		`{"id":null}`:                          "x.id is null",
		`{"id":"123456"}`:                      "x.id is too long",
		`{"id":"x","n":1.5}`:                   "x.n is a number, want integer",
		`{"id":"x","n":"1"}`:                   "x.n is a string, want integer",
		`{"id":"x","kind":"c"}`:                "x.kind is c, not one of [a b]",
		`{"id":"x","more":1}`:                  "x.more is nothing that Stripe has",
		`{"id":"x","on":1}`:                    "x.on is a number, want boolean",
		`{"id":"x","list":["a"]}`:              "x.list[] is a string, want integer",
		`{"id":"x","list":{}}`:                 "x.list is an object, want array",
		`{"id":"x","parent":{"n":1}}`:          "x.parent is an object, want string",
		`{"id":"x","metadata":{"k":1}}`:        "x.metadata.k is a number, want string",
		`{"id":"x","parent":{"id":"toolong"}}`: "x.parent is an object, want string",
	} {
		var v any
		if err := json.Unmarshal([]byte(answer), &v); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(s.check(thing, v, "x"), "; "); got != wrong {
			t.Errorf("%s: %q, want %q", answer, got, wrong)
		}
	}
	got := absent(map[string]any{"a": map[string]any{}, "l": []any{map[string]any{}}}, map[string]any{"a": map[string]any{"b": 1}, "c": nil, "l": []any{map[string]any{"d": 1}}}, "x")
	if want := []string{"x.a.b", "x.c", "x.l[].d"}; !slices.Equal(got, want) {
		t.Errorf("absent: %q, want %q", got, want)
	}
}
