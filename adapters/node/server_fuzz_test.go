package node

import (
	"fmt"
	"regexp"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
)

// FuzzParseLink: what is read as a link is one, and says where it points.
func FuzzParseLink(f *testing.F) {
	for _, seed := range []string{"0@a", "12@order-1@x", "@", "1@", "-1@a", "+1@a", "9223372036854775808@a", "a", ""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		revision, stream, ok := parseLink(data)
		if !ok {
			return
		}
		again, name, ok := parseLink(fmt.Appendf(nil, "%d@%s", revision, stream))
		if !ok || again != revision || name != stream || stream == "" {
			t.Errorf("%q is read as %d of %q, and that as %d of %q", data, revision, stream, again, name)
		}
	})
}

// FuzzUserOnly: the expressions known by sight mean what RE2 says they mean.
func FuzzUserOnly(f *testing.F) {
	for _, seed := range []string{"", "$", "$all", "order-1", "\n", "\n$", "ß", "\xff$", " $x"} {
		f.Add(seed)
	}
	compiled := map[string]*regexp.Regexp{}
	for expr := range userOnly {
		compiled[expr] = regexp.MustCompile(expr)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for expr, re := range compiled {
			known, err := parseExpression(&expression{Regex: expr})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := known(s); err != nil || got != re.MatchString(s) {
				t.Errorf("%q on %q: %v, %v, RE2 says %v", expr, s, got, err, re.MatchString(s))
			}
		}
	})
}

// FuzzParseID: an id in either form comes back as it was.
func FuzzParseID(f *testing.F) {
	f.Add("00000000-0000-0000-0000-000000000001", int64(0), int64(1))
	f.Add("", int64(-1), int64(-1))
	f.Fuzz(func(t *testing.T, text string, high, low int64) {
		id, err := parseID(&shared.UUID{Value: &shared.UUID_Structured_{
			Structured: &shared.UUID_Structured{MostSignificantBits: high, LeastSignificantBits: low}}})
		if back := structuredID(id).GetStructured(); err != nil || back.MostSignificantBits != high || back.LeastSignificantBits != low {
			t.Errorf("%d %d became %v, %v", high, low, id, err)
		}
		if id, err := parseID(&shared.UUID{Value: &shared.UUID_String_{String_: text}}); err == nil {
			if again, err := parseID(&shared.UUID{Value: &shared.UUID_String_{String_: id.String()}}); err != nil || again != id {
				t.Errorf("%q became %v and then %v, %v", text, id, again, err)
			}
		}
	})
}
