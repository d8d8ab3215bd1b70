package esdb

import (
	"context"
	"fmt"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"kicau/adapters/command"
)

// AppendStored appends events that another log kept, to any stream, its metadata
// ("$$…") too. Rules and errors are those of Append; their positions and times
// are made anew.
func (l *Log) AppendStored(ctx context.Context, stream string, expect command.Expect, events []command.Stored) (command.Appended, error) {
	data := make([]esdb.EventData, len(events))
	for i, e := range events {
		content := esdb.ContentTypeBinary
		if e.JSON {
			content = esdb.ContentTypeJson
		}
		data[i] = esdb.EventData{EventID: e.ID, EventType: e.Type, ContentType: content, Data: e.Data, Metadata: e.Metadata}
	}
	err := checkData(data)
	var at command.Appended
	if err == nil {
		at, err = l.append(ctx, stream, expect, data)
	}
	if err != nil {
		return command.Appended{}, fmt.Errorf("append to stream %s: %w", stream, err)
	}
	return at, nil
}

// Tombstone deletes a stream for good, whatever it is at. It is an
// ErrStreamDeleted if that was done before, and an ErrUnknownOutcome if nobody
// knows: say it again.
func (l *Log) Tombstone(ctx context.Context, stream string) error {
	ctx, done, err := l.begin(ctx, appendPatience)
	if err != nil {
		return err
	}
	defer done()
	_, err = call(ctx, l.connection(), func(ctx context.Context, c *esdb.Client) (*esdb.DeleteResult, error) {
		return c.TombstoneStream(ctx, stream, esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}})
	})
	if err != nil {
		return fmt.Errorf("delete stream %s for good: %w", stream, appendError(stream, command.Any, err))
	}
	return nil
}
