package command

import "kicau/domain/event"

// Stored is an event as a log keeps it: of any stream, the log's own too, and of
// any content. Whoever moves logs needs that; others use a [Log].
type Stored struct {
	event.Recorded
	JSON bool // the data was declared to be JSON, otherwise octets
}
