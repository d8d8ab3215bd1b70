package sandbox

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of metadata, in characters, https://stripe.com/docs/api/metadata.
const (
	maxMetadataKeys  = 50
	maxMetadataKey   = 40
	maxMetadataValue = 500
)

// params reads a request's parameters. The first thing that is wrong with them
// is kept; reading goes on with zero values, and [params.done] reports it.
// Nested a[b][c] is simply the name "a[b][c]".
type params struct {
	values url.Values
	used   map[string]bool
	sub    string // the {sub} of the path: an object of the one that {id} names
	err    *apiError
}

func newParams(v url.Values) *params { return &params{values: v, used: map[string]bool{}} }

func (p *params) fail(e *apiError) {
	if p.err == nil {
		p.err = e
	}
}

// done is the first thing wrong with the parameters: a bad one, or one that
// nobody asked for.
func (p *params) done() *apiError {
	if p.err != nil {
		return p.err
	}
	for _, name := range slices.Sorted(maps.Keys(p.values)) {
		if !p.used[name] {
			return refuse("parameter_unknown", "Received unknown parameter: %s", name).on(name)
		}
	}
	return nil
}

// raw is the value given last for name.
func (p *params) raw(name string) (string, bool) {
	v, given := p.values[name]
	if !given {
		return "", false
	}
	p.used[name] = true
	return v[len(v)-1], true
}

// text is "" when it was not given, or given empty to unset it. It has at most max
// characters.
func (p *params) text(name string, max int) (string, bool) {
	s, given := p.raw(name)
	if utf8.RuneCountInString(s) > max {
		p.fail(refuse("", "Invalid string: %.20s…; must be at most %d characters", s, max).on(name))
	}
	return s, given
}

// word is a text that cannot be unset: an id, a choice.
func (p *params) word(name string) string {
	s, given := p.text(name, maxText)
	if given && s == "" {
		p.fail(refuse("parameter_invalid_empty", "You passed an empty string for '%[1]s'. We assume empty values are an attempt to unset a parameter; however '%[1]s' cannot be unset. You should remove '%[1]s' from your request or supply a non-empty value.", name).on(name))
	}
	return s
}

// maxText bounds, in characters, every text parameter that has no bound of its own.
const maxText = 5000

func (p *params) required(name string) string {
	s := p.word(name)
	if s == "" {
		p.fail(missing(name))
	}
	return s
}

func (p *params) choice(name, otherwise string, choices ...string) string {
	s := p.word(name)
	if s == "" {
		return otherwise
	}
	if !slices.Contains(choices, s) {
		p.fail(refuse("", "Invalid %s: must be one of %s", name, oneOf(choices)).on(name))
	}
	return s
}

func (p *params) integer(name string) (int64, bool) {
	s, given := p.raw(name)
	if !given {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		p.fail(refuse("parameter_invalid_integer", "Invalid integer: %s", s).on(name))
	}
	return n, true
}

// positive is an optional integer from 1.
func (p *params) positive(name string) (int64, bool) {
	n, given := p.integer(name)
	if given && n < 1 {
		p.fail(refuse("parameter_invalid_integer", "This value must be greater than or equal to 1.").on(name))
	}
	return n, given
}

func (p *params) boolean(name string) (value, given bool) {
	s, given := p.raw(name)
	switch {
	case !given || s == "false":
	case s == "true":
		value = true
	default:
		p.fail(refuse("", "Invalid boolean: %s", s).on(name))
	}
	return value, given
}

// list reads name[], name[0], name[1], … in the order of their indices.
func (p *params) list(name string) []string {
	type item struct {
		index int
		value string
	}
	var items []item
	for key, values := range p.values {
		inner, ok := strings.CutPrefix(key, name+"[")
		inner, end := strings.CutSuffix(inner, "]")
		if !ok || !end {
			continue
		}
		i, err := strconv.Atoi(inner)
		if inner != "" && err != nil {
			continue // not an index: left to be unknown
		}
		p.used[key] = true
		for _, v := range values {
			items = append(items, item{i, v})
		}
	}
	slices.SortStableFunc(items, func(a, b item) int { return a.index - b.index })
	var out []string
	for _, it := range items {
		out = append(out, it.value)
	}
	return out
}

// metadata reads what is to change: a key with an empty value is to be removed.
// clear is set when metadata itself was given empty, which removes all.
func (p *params) metadata() (change map[string]string, clear bool) {
	if s, given := p.raw("metadata"); given {
		if s != "" {
			p.fail(refuse("", "Invalid object").on("metadata"))
		}
		return nil, true
	}
	for key := range p.values {
		name, ok := strings.CutPrefix(key, "metadata[")
		name, end := strings.CutSuffix(name, "]")
		if !ok || !end || name == "" {
			continue
		}
		value, _ := p.raw(key)
		if utf8.RuneCountInString(name) > maxMetadataKey {
			p.fail(refuse("", "Metadata keys must be under %d characters: %s", maxMetadataKey, name).on("metadata"))
		}
		if utf8.RuneCountInString(value) > maxMetadataValue {
			p.fail(refuse("", "Metadata values can have up to %d characters: %s", maxMetadataValue, name).on("metadata"))
		}
		if change == nil {
			change = map[string]string{}
		}
		change[name] = value
	}
	if len(change) > maxMetadataKeys {
		p.fail(refuse("", "You can only set up to %d metadata keys.", maxMetadataKeys).on("metadata"))
	}
	return change, false
}

// changed is old with the change applied; old itself is never written to.
func changed(old, change map[string]string, clear bool) map[string]string {
	out := map[string]string{}
	if !clear {
		maps.Copy(out, old)
	}
	for k, v := range change {
		if v == "" {
			delete(out, k)
		} else {
			out[k] = v
		}
	}
	return out
}
