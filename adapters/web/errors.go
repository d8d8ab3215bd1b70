package web

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"kicau/adapters/command"
	"kicau/domain/refusal"
)

// statuses of the kinds of refusals.
var statuses = map[refusal.Kind]int{
	refusal.Invalid: http.StatusUnprocessableEntity,
	refusal.Missing: http.StatusNotFound,
	refusal.Rule:    http.StatusConflict,
	refusal.Clash:   http.StatusUnprocessableEntity,
}

// RetryAfter is when a request is worth sending again that found us too busy, or
// itself under way.
const RetryAfter = 2 * time.Second

// problem is why a request was not answered as asked, in JSON and on a page.
type problem struct {
	Status  int    `json:"-"`
	Code    string `json:"code"`
	Field   string `json:"field,omitempty"`
	Subject string `json:"subject"`
	Reason  string `json:"reason"`
	Remedy  string `json:"remedy,omitempty"`
	// Incident is in the log beside the cause, when the cause is ours.
	Incident string `json:"incident,omitempty"`
}

func (p *problem) Error() string { return p.Subject + " " + p.Reason }

// in names the field of a copy of p.
func (p *problem) in(field string) *problem {
	c := *p
	c.Field = field
	return &c
}

// because replaces the reason of a copy of p.
func (p *problem) because(reason string) *problem {
	c := *p
	c.Reason = reason
	return &c
}

// What is wrong with a request before the business has seen it.
var (
	errNoPage = &problem{Status: http.StatusNotFound, Code: "not-found", Subject: "this address", Reason: "leads nowhere",
		Remedy: "start at the timeline"}
	errMethod = &problem{Status: http.StatusMethodNotAllowed, Code: "method-not-allowed", Subject: "this address", Reason: "does not take that method",
		Remedy: "see the Allow header"}
	errMalformed = &problem{Status: http.StatusBadRequest, Code: "malformed", Subject: "the request", Reason: "cannot be read"}
	errParameter = &problem{Status: http.StatusBadRequest, Code: "bad-parameter", Subject: "the parameter", Reason: "cannot be used"}
	errMediaType = &problem{Status: http.StatusUnsupportedMediaType, Code: "unsupported-media-type", Field: "Content-Type", Subject: "the body",
		Reason: "is of another type than is taken here"}
	errTooLarge = &problem{Status: http.StatusRequestEntityTooLarge, Code: "body-too-large", Subject: "the body", Reason: "is larger than is taken here"}
	errCursor   = &problem{Status: http.StatusBadRequest, Code: "bad-cursor", Field: "after", Subject: "the cursor",
		Reason: "is not one that was given out here", Remedy: "begin again without it"}
	errIdempotencyKey = &problem{Status: http.StatusBadRequest, Code: "bad-idempotency-key", Field: idempotencyKey, Subject: "the idempotency key",
		Reason: "must be 16 to 255 visible ASCII characters, given once", Remedy: "use a random UUID for each purchase"}
	errSignature   = &problem{Status: http.StatusBadRequest, Code: "bad-signature", Subject: "the notice", Reason: "is not authentic"}
	errCrossOrigin = &problem{Status: http.StatusForbidden, Code: "cross-origin", Subject: "the request", Reason: "was sent by a page of another site"}
	errOtherHost   = &problem{Status: http.StatusMisdirectedRequest, Code: "other-host", Subject: "the request", Reason: "is for another host than this machine",
		Remedy: "use 127.0.0.1 or localhost"}
	errOverloaded = &problem{Status: http.StatusServiceUnavailable, Code: "busy", Subject: "Kicau", Reason: "has too much to do right now",
		Remedy: "nothing was changed: try again in a moment"}
	errUnavailable = &problem{Status: http.StatusServiceUnavailable, Code: "unavailable", Subject: "the request", Reason: "could not be dealt with in time",
		Remedy: "try again in a moment; a purchase sent again with the same Idempotency-Key is made once"}
)

// problemOf finds the words for an error. What is not the caller's doing and
// not a matter of waiting is an incident: logged whole, answered with its id.
func (s *Server) problemOf(r *http.Request, err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	if no := refusal.From(err); no != nil {
		if status, known := statuses[no.Kind]; known {
			return &problem{Status: status, Code: no.Code, Field: no.Field, Subject: no.Subject, Reason: no.Reason, Remedy: no.Remedy}
		}
	}
	switch {
	case errors.Is(err, command.ErrBusy):
		return errOverloaded
	case errors.Is(err, command.ErrReadOnly), errors.Is(err, command.ErrUnknownOutcome), errors.Is(err, command.ErrClosed),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		s.o.Logger.Warn("web: a request could not be dealt with", "method", r.Method, "route", r.Pattern, "error", err)
		return errUnavailable
	}
	id := s.o.NewID().String()
	s.o.Logger.Error("web: a request failed", "incident", id, "method", r.Method, "route", r.Pattern, "error", err)
	return &problem{Status: http.StatusInternalServerError, Code: "internal", Subject: "the request", Reason: "failed for a reason that is ours",
		Remedy: "try again; if it stays so, tell us the incident", Incident: id}
}

// refuse answers a request with what stands in its way.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := s.problemOf(r, err)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if p.Status == http.StatusServiceUnavailable || p == errInFlight {
		h.Set("Retry-After", strconv.Itoa(int(RetryAfter/time.Second)))
	}
	if forPrograms(r) {
		writeJSON(w, p.Status, map[string]*problem{"error": p})
		return
	}
	s.page(w, p.Status, "problem.html", page{Title: cmp.Or(titles[p.Status], "That did not work"), Body: p})
}

// titles of pages that say no.
var titles = map[int]string{
	http.StatusNotFound:            "Not found",
	http.StatusConflict:            "That is not possible",
	http.StatusServiceUnavailable:  "One moment, please",
	http.StatusInternalServerError: "Something went wrong",
}

// Sentence is p for a person.
func (p *problem) Sentence() string { return sentence(p.Subject + " " + p.Reason) }

// Advice is what the person can do.
func (p *problem) Advice() string { return sentence(p.Remedy) }

func sentence(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

// forPrograms tells requests of programs, answered in JSON, from those of
// people.
func forPrograms(r *http.Request) bool {
	for _, prefix := range []string{"/v1/", "/webhooks/", "/health/"} {
		if strings.HasPrefix(r.URL.Path, prefix) {
			return true
		}
	}
	return false
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic("web: an answer that has no JSON: " + err.Error()) // a defect
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}
