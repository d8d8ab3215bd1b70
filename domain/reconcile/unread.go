package reconcile

import (
	"strings"
	"time"

	"kicau/domain/privacy"
)

// NotRead is a payment at the processor that a run wanted to read and could not, or a
// payout of the platform's that is shown otherwise than it was before.
type NotRead struct {
	Key              // [Payment] or [Payout]
	NewsAt time.Time // when something happened to it that this run heard of; zero: nothing
	Reason string    // in the words of what failed
}

// MaxUnread bounds the breaks about what cannot be read, which is what every run reads
// again. When there are more, most likely nothing can be read: then
// the news are not done with, and the next run hears them again.
const MaxUnread = 100

// MaxReason bounds why a payment cannot be read, in bytes.
const MaxReason = 300

// Unread are the payments that could not be read, the longest unread first: the
// next run is to read them again. Payouts are all read by every run.
func (s State) Unread() (intents []string) {
	for _, b := range s.Open.List() {
		if b.Class == Unread && b.Key.Kind == Payment {
			intents = append(intents, b.Key.Object)
		}
	}
	return intents
}

// unread are the breaks about what the run could not read; kept is false when
// there was no room for all. Those that a person has resolved need none.
func (s State) unread(c Run) (breaks []BreakFound, kept bool) {
	room, kept := MaxUnread, true
	for _, b := range s.Open {
		if b.Class == Unread {
			room--
		}
	}
	for _, p := range c.Unread {
		b := differ(Unread, p.Key, Movement{At: c.At}, 0, 0, reason(p.Reason))
		if _, open := s.Open[b.Break]; !open && (!s.knows(b) || s.newer(p, b)) {
			if room <= 0 {
				kept = false
				continue
			}
			room--
		}
		breaks = append(breaks, b)
	}
	return breaks, kept
}

// newer tells whether something has happened to what could not be read since a person
// explained why it need not be: rather, since it was found that it cannot.
func (s State) newer(p NotRead, b BreakFound) bool {
	r, told := s.Resolved[b.Break]
	return told && r.How != AgreesNow && p.NewsAt.After(r.Break.Since)
}

// reason as it may stand in an event.
func reason(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if privacy.HasCardNumber(s) {
		return "why is not kept, as a card number stands in it"
	}
	if len(s) <= MaxReason {
		return s
	}
	return strings.ToValidUTF8(s[:MaxReason], "") + "…" // without half a character
}
