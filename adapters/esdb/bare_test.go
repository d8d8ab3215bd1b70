package esdb

import (
	"errors"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// TestHazards shows what the official client does that one has to know, and what
// becomes of it here. If the first half of one fails, a newer client does better:
// see what can be taken out.
func TestHazards(t *testing.T) {
	for _, h := range []struct {
		name       string
		bare, ours func(*testing.T)
	}{
		{"closes for good after one failed discovery", closesForGood, outlivesDiscovery},
		{"a call waits past its deadline", waitsPastDeadline, keepsDeadlines},
		{"a call waits for ever and Close makes it panic", closePanics, closesInPeace},
		{"a read panics on an unknown frame", readPanics, readSurvives},
		{"a read waits for a silent server for ever", readWaitsForEver, readGivesUp},
		{"requires-leader is not sent", leaderNotAskedFor, staleReadsDoNoHarm},
		{"a refusal while an append is being sent is lost", refusalLost, refusalUnknown},
		{"an answer that is late looks like a refusal", lateLooksRefused, lateIsUnknown},
		{"an answer without a result is a success", nothingIsSuccess, nothingIsUnknown},
		{"an event without an id gets another each time", randomIDs, idsAreNeeded},
		{"an append that is said again with the defaults is done again", doneTwice, doneOnce},
		{"a consumer panics on an unknown frame", consumerPanics, consumerSurvives},
		{"an event created at no time ends the process", endsTheProcess, survivesNoTime},
		{"errors of subscriptions come raw", rawErrors, errorsAreTold},
		{"stream metadata is read from its start", metadataFromStart, metadataIsNewest},
		{"a group begins at the end unless told, and an update means the start", groupStarts, groupStartsAsTold},
		{"user and password are left out without TLS", credentialsLeftOut, credentialsWarned},
	} {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			t.Run("the bare client", h.bare)
			t.Run("ours", h.ours)
		})
	}
}

func code(err error) esdb.ErrorCode {
	var e *esdb.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return -1
}
