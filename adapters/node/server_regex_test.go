package node

import (
	"regexp"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/dlclark/regexp2/v2"
	"google.golang.org/grpc/codes"

	"kicau/adapters/command"
)

// TestRegexIsDotnet: an expression means what it means to EventStoreDB, whether
// RE2 can read it or not.
func TestRegexIsDotnet(t *testing.T) {
	for _, c := range []struct {
		expr, text string
		want       bool
	}{
		{`^order-\d+$`, "order-12", true},
		{`^order-\d+$`, "order-12x", false},
		{`^(?!\$)`, "order", true}, // look ahead
		{`^(?!\$)`, "$stats", false},
		{`(?<!pre)view`, "preview", false}, // and behind
		{`(?<!pre)view`, "overview", true},
		{`^(\w+)-\1$`, "a-a", true}, // back reference
		{`^(\w+)-\1$`, "a-b", false},
		{`^(?<name>a)\k<name>$`, "aa", true},
		{`^(?>a*)ab`, "aaab", false}, // atomic group
		{`^\w+$`, "größe", true},     // classes of all of Unicode
		{`^\d$`, "٣", true},
		{`^[\d]$`, "٣", true},
		{`\bß`, "aß", false},
		{`^a$`, "a\n", true}, // $ is before a last line feed too
		{`^a$`, "a\nb", false},
		{`^a\Z`, "a\n", true},
		{`^a\z`, "a\n", false},
		{`^[a-z-[aeiou]]+$`, "xyz", true}, // a class without another
		{`^[a-z-[aeiou]]+$`, "abc", false},
		{`^[[:alpha:]]+$`, "b", false}, // no class of POSIX: one of [:alph and ]
		{`(?i)^ORDER`, "Order-1", true},
		{`(?x) ^ a  b $ # words`, "ab", true},
		{`^a{1001}$`, strings.Repeat("a", 1001), true}, // more than RE2 counts to
		{`\Qa.b\E`, "a.b", true},                       // RE2's own
		{`\Qa.b\E`, "axb", false},
	} {
		match, err := parseRegex(c.expr)
		if err != nil {
			t.Errorf("%s: %v", c.expr, err)
			continue
		}
		if got, err := match(c.text); err != nil || got != c.want {
			t.Errorf("%s on %q: got %v, %v, want %v", c.expr, c.text, got, err, c.want)
		}
	}
}

// TestRegexThatIsTooMuch: it ends the read, named, behind what was sent before
// it; others do not notice.
func TestRegexThatIsTooMuch(t *testing.T) {
	s := serve(t)
	fine := s.write("a", "fine", 1)
	s.write("a", strings.Repeat("a", 50)+"!", 1)
	s.write("a", "fine", 1)
	forever := filtered(byType(&expression{Regex: `^(?=f)fine|^(?=a)(a|aa|(a|aa)+)+$`}))
	for what, req := range map[string]*streams.ReadReq{
		"counted":    readAll(count(10), fromStart, forever),
		"subscribed": readAll(subscription, fromStart, forever),
	} {
		got, trailer, err := s.receive(req)
		s.wantRefusal(what, err, trailer, codes.InvalidArgument)
		if err == nil || !strings.Contains(err.Error(), "takes longer than 100ms") {
			t.Errorf("%s: got %v, want what took too long", what, err)
		}
		if len(got) == 0 || idsRead(s, got[len(got)-1:])[0] != fine[0] {
			t.Errorf("%s: got %v, want the event before", what, got)
		}
	}
	s.write("a", strings.Repeat("ab", 100_000), 1)
	_, trailer, err := s.receive(readAll(count(10), fromStart, filtered(byType(&expression{Regex: `^(?=a)(?:a|b|ab)*$(?<!b)`}))))
	s.wantRefusal("a deep one", err, trailer, codes.InvalidArgument)
	if err == nil || !strings.Contains(err.Error(), "steps back") {
		t.Errorf("a deep one: got %v, want that it needs too much memory", err)
	}
}

// TestGroupParksWhatItsFilterCannotJudge, and goes on.
func TestGroupParksWhatItsFilterCannotJudge(t *testing.T) {
	s := serve(t)
	s.write("a", strings.Repeat("a", 50)+"!", 1)
	fine := s.write("a", "fine", 1)
	s.must(s.client.CreatePersistentSubscriptionToAll(s.waitFor(), "g", esdb.PersistentAllSubscriptionOptions{StartFrom: esdb.Start{},
		Filter: &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Regex: `^fine|^(?=a)(a|aa|(a|aa)+)+$`}}))
	c := s.consume(allStream, "g", 10)
	if e := c.next(); e.Event.Event.EventID != fine[0] {
		t.Errorf("got %v, want the event that passes", e.Event.Event)
	}
	s.infoUntil(allStream, "g", func(i *esdb.PersistentSubscriptionInfo) bool { return i.Stats.ParkedMessagesCount == 1 })
	for p, err := range s.node.Groups().Parked(s.waitFor(), command.Group{Name: "g"}) {
		s.must(err)
		if !strings.Contains(p.Reason, "takes longer than") {
			t.Errorf("parked because %q", p.Reason)
		}
	}
}

// FuzzRegex: where RE2 is used, .NET's engine says the same.
func FuzzRegex(f *testing.F) {
	for _, seed := range [][2]string{
		{`^order-\d+$`, "order-12"}, {`a|b*?[^c-e]`, "ace"}, {`(?i)\bA\W`, "-a "}, {`(a(b)?){2,3}`, "abab"}, {`[\s\S]\x41\.`, "xA."},
		{`^(?:(?s).|\n)*?$`, ""}, {`\pL[[:word:]]`, "a"}, {`(?m)^a$|\Ab\z`, "b"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, expr, text string) {
		if len(expr) > 100 || len(text) > 100 || onlyDotnet(expr) || !sameToBoth(text) {
			return
		}
		linear, lerr := regexp.Compile(expr)
		dotnet, derr := regexp2.Compile(expr, regexp2.None, regexp2.OptionMaxBacktrackingStackSize(regexStack))
		if lerr != nil || derr != nil {
			return
		}
		dotnet.MatchTimeout = regexTimeout
		want, err := dotnet.MatchString(text)
		if err == nil && linear.MatchString(text) != want {
			t.Errorf("%q on %q: RE2 says %v, .NET %v", expr, text, !want, want)
		}
	})
}
