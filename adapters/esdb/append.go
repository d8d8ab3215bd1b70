package esdb

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"kicau/adapters/command"
	"kicau/domain/event"
)

// appendPatience bounds an append, waiting for a connection included. An append
// that takes longer has an unknown outcome.
const appendPatience = 10 * time.Second

// Append is described at [command.Log].
func (l *Log) Append(ctx context.Context, stream string, expect command.Expect, events []event.Proposed) (command.Appended, error) {
	fail := func(err error) (command.Appended, error) {
		return command.Appended{}, fmt.Errorf("append to stream %s: %w", stream, err)
	}
	data := make([]esdb.EventData, len(events))
	for i, e := range events {
		data[i] = esdb.EventData{EventID: e.ID, EventType: e.Type, ContentType: esdb.ContentTypeJson, Data: e.Data, Metadata: e.Metadata}
	}
	err := checkData(data)
	switch {
	case err != nil:
		return fail(err)
	case isSystem(stream):
		return fail(errors.New("names that start with $ are the server's own"))
	case expect < command.Any:
		return fail(fmt.Errorf("%d is no revision to expect", int64(expect)))
	}
	at, err := l.append(ctx, stream, expect, data)
	if err != nil {
		return fail(err)
	}
	return at, nil
}

func (l *Log) append(ctx context.Context, stream string, expect command.Expect, data []esdb.EventData) (at command.Appended, err error) {
	ctx, done, err := l.begin(ctx, appendPatience)
	if err != nil {
		return at, err
	}
	defer done()
	result, err := call(ctx, l.connection(), func(ctx context.Context, c *esdb.Client) (*esdb.WriteResult, error) {
		return c.AppendToStream(ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: expectedRevision(expect)}, data...)
	})
	if err != nil {
		return at, appendError(stream, expect, err)
	}
	if err := believe(result, expect, len(data)); err != nil {
		return at, fmt.Errorf("%w: %w", command.ErrUnknownOutcome, err)
	}
	return command.Appended{
		Revision: result.NextExpectedVersion,
		Position: event.Position{Commit: result.CommitPosition, Prepare: result.PreparePosition},
	}, nil
}

// checkData refuses what cannot be appended. Without an id the client would
// invent one, and sending the append again would append it again.
func checkData(events []esdb.EventData) error {
	if len(events) == 0 {
		return errors.New("no events")
	}
	size := 0
	for i, e := range events {
		if e.EventID == uuid.Nil || e.EventType == "" {
			return fmt.Errorf("event %d has no id or no type", i)
		}
		size += len(e.Data) + len(e.Metadata) + 2*len(e.EventType)
	}
	if size > command.MaxAppendBytes {
		// Found out here: told by the server in the middle of sending, the
		// client loses the reason.
		return fmt.Errorf("%w: %d bytes, at most %d are taken", command.ErrTooLarge, size, command.MaxAppendBytes)
	}
	return nil
}

func expectedRevision(e command.Expect) esdb.ExpectedRevision {
	switch e {
	case command.Any:
		return esdb.Any{}
	case command.NoStream:
		return esdb.NoStream{}
	default:
		return esdb.Revision(uint64(e))
	}
}

// believe checks that a success says where the events are. The client makes one
// without position out of an answer that says nothing.
func believe(r *esdb.WriteResult, expect command.Expect, n int) error {
	last := int64(r.NextExpectedVersion)
	switch {
	case r.CommitPosition == 0 && r.PreparePosition == 0:
		return errors.New("the answer has no position")
	case expect >= 0 && last != int64(expect)+int64(n):
		return fmt.Errorf("%d events after revision %d ended at revision %d", n, int64(expect), last)
	case last < int64(n)-1: // a stream that was deleted goes on where it ended
		return fmt.Errorf("%d events ended at revision %d", n, last)
	}
	return nil
}

// The one error that EventStoreDB has no name for, as the node marks it.
const (
	errorDomain    = "kicau"
	readOnlyReason = "READ_ONLY"
)

// appendError sorts what the client reports: refusals of the server, of which
// it is certain that nothing was written, and everything else.
func appendError(stream string, expect command.Expect, err error) error {
	var e *esdb.Error
	if errors.As(err, &e) {
		switch e.Code() {
		case esdb.ErrorCodeWrongExpectedVersion:
			if actual, ok := actualRevision(e); ok {
				return &command.WrongRevision{Stream: stream, Expected: expect, Actual: actual}
			}
		case esdb.ErrorCodeStreamDeleted:
			return fmt.Errorf("%w: %w", command.ErrStreamDeleted, err)
		}
	}
	if errors.Is(err, command.ErrClosed) {
		return fmt.Errorf("%w: %w", command.ErrUnknownOutcome, err)
	}
	if st, ok := status.FromError(err); ok {
		switch {
		case st.Code() == codes.ResourceExhausted && readOnly(st):
			return fmt.Errorf("%w: %w", command.ErrReadOnly, err)
		case st.Code() == codes.InvalidArgument && strings.Contains(st.Message(), "Maximum Append Size"):
			return fmt.Errorf("%w: %w", command.ErrTooLarge, err)
		}
	}
	return fmt.Errorf("%w: %w", command.ErrUnknownOutcome, err)
}

func readOnly(st *status.Status) bool {
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.Domain == errorDomain && info.Reason == readOnlyReason {
			return true
		}
	}
	return false
}

// conflict is how the client words a conflict, the only place where it says at
// which revision the stream is (client.go, AppendToStream).
var conflict = regexp.MustCompile(`expecting '[^']*' but got '(no_stream|[0-9]+)'`)

func actualRevision(e *esdb.Error) (command.Expect, bool) {
	m := conflict.FindStringSubmatch(e.Error())
	if m == nil {
		return 0, false
	}
	if m[1] == "no_stream" {
		return command.NoStream, true
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	return command.Expect(n), err == nil
}
