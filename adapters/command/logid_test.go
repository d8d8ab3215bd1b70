package command_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain"
	"kicau/domain/event"
)

func (s *scene) identity(proposed int) (uuid.UUID, error) {
	return command.LogID(s.Context(), s.wire, domain.Events, id(proposed), time.Now())
}

// Many ask at once what log this is, each with an identity in mind.
func TestALogHasOneIdentity(t *testing.T) {
	for name, faults := range map[string][]fault{
		"all goes well":   nil,
		"failed":          {lostBefore, lostBefore},
		"failed but done": {lostAfter},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, s *scene) {
				s.wire.meet(faults...)
				type answer struct {
					id  uuid.UUID
					err error
				}
				const askers = 20
				answers := make(chan answer, askers)
				for n := range askers {
					go func() {
						id, err := s.identity(n + 1)
						answers <- answer{id, err}
					}()
				}
				first := <-answers
				for range askers - 1 {
					if a := <-answers; a != first {
						t.Fatalf("one was told %v, another %v", first, a)
					}
				}
				s.ok(first.err)
				if later, err := s.identity(99); err != nil || later != first.id {
					t.Fatalf("later it is %s, %v; it was %s", later, err, first.id)
				}
				s.happened(event.LogStream, event.LogStarted{})
			})
		})
	}
}

func TestALogThatCannotBeWrittenGetsNoIdentity(t *testing.T) {
	for name, c := range map[string]struct {
		fault fault
		want  error
	}{
		"read-only":          {failing(command.ErrReadOnly), command.ErrReadOnly},
		"answers never come": {lostBefore, command.ErrUnknownOutcome},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, s *scene) {
				s.wire.rest = c.fault
				_, err := s.identity(1)
				s.wants(err, c.want)
				s.happened(event.LogStream)
			})
		})
	}
}
