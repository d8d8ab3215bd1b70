// Package refusal is what a business "no" looks like everywhere in Kicau: in
// the CLI, over HTTP and in a rejects file of an import.
//
// A refusal is a value for the person who asked. It is not a conflict (look
// again and decide again), not an unknown outcome (find out) and not a defect
// (stop). Nothing was written when one is returned.
package refusal

import (
	"errors"
	"fmt"
)

// Kind says what sort of "no" it is; adapters map it to HTTP statuses and exit
// codes in one table each.
type Kind string

const (
	// Invalid: the command itself is wrong; sending it again never helps.
	Invalid Kind = "invalid"
	// Missing: what it speaks of does not exist.
	Missing Kind = "missing"
	// Rule: the business forbids it in the present state.
	Rule Kind = "rule"
	// Clash: the same id was used before with other content.
	Clash Kind = "clash"
)

// Refusal is one "no".
type Refusal struct {
	Kind    Kind   `json:"kind"`
	Code    string `json:"code"`            // for machines, kebab-case, named as the rule
	Field   string `json:"field,omitempty"` // the field of the command it is about
	Subject string `json:"subject"`         // what it is about: "offer 6f9…", "currency \"XXZ\""
	Reason  string `json:"reason"`          // one sentence
	Remedy  string `json:"remedy,omitempty"`
}

// Error is a sentence: subject, reason, remedy.
func (r *Refusal) Error() string {
	s := r.Subject + ": " + r.Reason
	if r.Field != "" {
		s = r.Field + ": " + s
	}
	if r.Remedy != "" {
		s += " (" + r.Remedy + ")"
	}
	return s
}

// Is makes refusals of the same code equal for errors.Is.
func (r *Refusal) Is(target error) bool {
	t, ok := target.(*Refusal)
	return ok && t.Code == r.Code
}

// About names the subject of a copy of r, formatted.
func (r *Refusal) About(format string, args ...any) *Refusal {
	c := *r
	c.Subject = fmt.Sprintf(format, args...)
	return &c
}

// In names the field of a copy of r.
func (r *Refusal) In(field string) *Refusal {
	c := *r
	c.Field = field
	return &c
}

// Because replaces the reason of a copy of r, formatted.
func (r *Refusal) Because(format string, args ...any) *Refusal {
	c := *r
	c.Reason = fmt.Sprintf(format, args...)
	return &c
}

// From finds the refusal in an error chain, nil when there is none.
func From(err error) *Refusal {
	var r *Refusal
	errors.As(err, &r)
	return r
}
