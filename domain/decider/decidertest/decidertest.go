// Package decidertest says tests of deciders the way the business does:
//
//	decidertest.For(t, offer.Decider).
//		Given(tweeted(10)).
//		When(offer.HoldStock{…}).
//		Then(offer.StockHeld{…})
//
// Then decides the same command a second time on what came of it and expects
// nothing: whatever is said twice happens once.
package decidertest

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kicau/domain/decider"
	"kicau/domain/event"
)

// Story is one test.
type Story[S, C any] struct {
	t       *testing.T
	decider decider.Decider[S, C]
	given   []event.Data
	command C
}

// For starts a story.
func For[S, C any](t *testing.T, d decider.Decider[S, C]) *Story[S, C] {
	t.Helper()
	return &Story[S, C]{t: t, decider: d}
}

// Given what happened so far.
func (s *Story[S, C]) Given(events ...event.Data) *Story[S, C] {
	s.given = append(s.given, events...)
	return s
}

// When somebody asks.
func (s *Story[S, C]) When(c C) *Story[S, C] {
	s.command = c
	return s
}

// Then exactly this happens, and the second time nothing.
func (s *Story[S, C]) Then(want ...event.Data) {
	s.t.Helper()
	got, err := s.decide(s.given)
	if err != nil {
		s.t.Fatalf("refused: %v", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Fatalf("other events than expected (-want +got):\n%s", diff)
	}
	again, err := s.decide(append(append([]event.Data{}, s.given...), got...))
	if err != nil || len(again) != 0 {
		s.t.Fatalf("said twice, it happened twice: %v, %v", again, err)
	}
}

// ThenNothing happens: it is in effect already, or does not matter.
func (s *Story[S, C]) ThenNothing() {
	s.t.Helper()
	got, err := s.decide(s.given)
	if err != nil || len(got) != 0 {
		s.t.Fatalf("got %v, %v; want nothing", got, err)
	}
}

// ThenRefused with this refusal.
func (s *Story[S, C]) ThenRefused(want error) {
	s.t.Helper()
	got, err := s.decide(s.given)
	if !errors.Is(err, want) {
		s.t.Fatalf("got %v, %v; want the refusal %v", got, err, want)
	}
	if len(got) != 0 {
		s.t.Fatalf("refused, yet events: %v", got)
	}
}

func (s *Story[S, C]) decide(given []event.Data) ([]event.Data, error) {
	return s.decider.Decide(decider.Fold(s.decider, given...), s.command)
}
