package messaging

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/event"
)

// scriptedLog is a log whose subscriptions do what a test says. It lives in a
// synctest bubble, which no real log does.
type scriptedLog struct {
	command.Log // everything else panics
	subscribe   func(ctx context.Context, call int, after event.Position, yield func(command.Page, error) bool)

	mu    sync.Mutex
	calls []event.Position // where each subscription began
}

func (l *scriptedLog) Subscribe(ctx context.Context, after event.Position, _ command.Filter) iter.Seq2[command.Page, error] {
	return func(yield func(command.Page, error) bool) {
		l.mu.Lock()
		call := len(l.calls)
		l.calls = append(l.calls, after)
		l.mu.Unlock()
		l.subscribe(ctx, call, after, yield)
	}
}

func (l *scriptedLog) began() []event.Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]event.Position{}, l.calls...)
}

// pages yields these pages, each event at its position, and then waits for the
// context.
func pages(ps ...command.Page) *scriptedLog {
	return &scriptedLog{subscribe: func(ctx context.Context, _ int, after event.Position, yield func(command.Page, error) bool) {
		for _, p := range ps {
			if p.Last.Compare(after) > 0 && !yield(p, nil) {
				return
			}
		}
		<-ctx.Done()
		yield(command.Page{}, ctx.Err())
	}}
}

// page of the events at these positions.
func page(last uint64, positions ...uint64) command.Page {
	p := command.Page{Last: event.At(last)}
	for _, n := range positions {
		p.Events = append(p.Events, recorded(n))
	}
	return p
}

func recorded(n uint64) event.Recorded {
	return event.Recorded{
		ID: uuid.NewSHA1(uuid.Nil, fmt.Append(nil, n)), Type: "Counted", Stream: "count-1", Revision: n - 1, Position: event.At(n),
		RecordedAt: time.Unix(int64(n), 0).UTC(), Data: fmt.Append(nil, n), Metadata: []byte(`{"$correlationId":"c","actor":"test","schemaVersion":1}`),
	}
}

var errLost = errors.New("connection lost")

// appendLog remembers what is appended.
type appendLog struct {
	command.Log
	mu      sync.Mutex
	appends []appended
	answer  func(ctx context.Context, stream string) error
}

type appended struct {
	stream string
	expect command.Expect
	events []event.Proposed
}

func (l *appendLog) Append(ctx context.Context, stream string, expect command.Expect, events []event.Proposed) (command.Appended, error) {
	l.mu.Lock()
	l.appends = append(l.appends, appended{stream, expect, events})
	l.mu.Unlock()
	if l.answer != nil {
		return command.Appended{}, l.answer(ctx, stream)
	}
	return command.Appended{}, nil
}
