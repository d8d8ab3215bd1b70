package event

import "github.com/google/uuid"

// LogStream is the stream that gives a log its identity.
const LogStream = "kicau-log"

// LogStarted is the first event that Kicau writes to a log: its identity, to
// which read models are bound so that they are never continued from another
// log.
type LogStarted struct {
	Log uuid.UUID `json:"log"`
}

// EventType implements [Data].
func (LogStarted) EventType() string { return "LogStarted" }

// Own are the event types of this package.
var Own = []Type{Of[LogStarted]()}
