package node

import (
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/dlclark/regexp2/v2"
)

// The regular expressions of EventStoreDB's filters are .NET's. Where RE2 means
// the same it is used, as it is fast and its time is linear; everything else
// (look-around, back references, …) goes to an engine made after .NET's, which
// backtracks and so needs bounds.
const (
	// regexTimeout bounds one match. One that takes longer ends the read.
	regexTimeout = 100 * time.Millisecond
	// regexStack bounds the memory of one match, in integers.
	regexStack = 100_000
)

// userOnly are the regular expressions by which the official clients leave out
// system events or streams. They are compared with every event of the log, so
// they are worth knowing by sight.
var userOnly = map[string]bool{`^[^\$].*`: true, `^[^$].*`: true, `^[^$]`: true}

// parseRegex returns what tells whether a text has a match.
func parseRegex(expr string) (func(string) (bool, error), error) {
	if userOnly[expr] {
		return func(s string) (bool, error) { return s != "" && s[0] != '$', nil }, nil
	}
	linear, lerr := regexp.Compile(expr)
	dotnet, derr := regexp2.Compile(expr, regexp2.None, regexp2.OptionMaxBacktrackingStackSize(regexStack))
	if derr != nil && lerr != nil {
		return nil, invalid("the filter's regular expression: %v", derr)
	}
	if derr != nil {
		return func(s string) (bool, error) { return linear.MatchString(s), nil }, nil
	}
	dotnet.MatchTimeout = regexTimeout
	if lerr != nil || onlyDotnet(expr) {
		linear = nil
	}
	return func(s string) (bool, error) {
		if linear != nil && sameToBoth(s) {
			return linear.MatchString(s), nil
		}
		found, err := dotnet.MatchString(s)
		switch {
		case errors.Is(err, regexp2.ErrBacktrackingStackLimit):
			return false, invalid("the filter's regular expression %q needs more than %d steps back on %.100q; make it simpler", expr, regexStack, s)
		case err != nil: // there is no other but the timeout
			return false, invalid("the filter's regular expression %q takes longer than %v on %.100q; make it simpler", expr, regexTimeout, s)
		}
		return found, nil
	}, nil
}

// onlyDotnet tells expressions that both engines read, but perhaps each in its
// own way: a class without another, [a-z-[aeiou]]; a class named as POSIX does;
// a{00}, which RE2 takes literally.
func onlyDotnet(expr string) bool {
	for _, odd := range []string{"-[", "[:", "{0", ",0"} {
		if strings.Contains(expr, odd) {
			return true
		}
	}
	return false
}

// sameToBoth tells texts on which the engines agree: printable ASCII. Of others
// \w, \d, \s and \b take in more to .NET, and $ matches before a last line feed.
func sameToBoth(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
