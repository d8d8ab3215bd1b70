package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
)

// remote is a server as a target, reached through official clients.
type remote struct {
	url      string
	patience time.Duration // bounds a call: the official client can wait for a connection whatever its context says
	answers  func()        // called after each request; may be nil

	mu      sync.Mutex
	clients []*esdb.Client
	turn    int
}

var errHangs = errors.New("the official client does not come back")

// call calls f with a client, and gets a new one when that one is of no use any
// more: it closes itself for good when it did not find the server for a second.
func (r *remote) call(ctx context.Context, f func(context.Context, *esdb.Client) error) error {
	r.mu.Lock()
	r.turn = (r.turn + 1) % len(r.clients)
	turn, client := r.turn, r.clients[r.turn]
	r.mu.Unlock()
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil { // one that is closed meanwhile
				done <- fmt.Errorf("the official client panicked: %v", p)
			}
		}()
		done <- f(ctx, client)
	}()
	var err error
	select {
	case err = <-done:
	case <-time.After(r.patience):
		err = errHangs
	}
	var e *esdb.Error
	if err == errHangs || errors.As(err, &e) && e.Code() == esdb.ErrorCodeConnectionClosed {
		r.replace(turn, client)
	}
	if r.answers != nil {
		r.answers()
	}
	return err
}

func (r *remote) replace(turn int, broken *esdb.Client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.clients[turn] == broken {
		r.clients[turn] = r.connect()
	}
}

func (r *remote) connect() *esdb.Client {
	conf, err := esdb.ParseConnectionString(r.url)
	if err != nil {
		panic(err)
	}
	conf.Logger = esdb.NoopLogging()
	client, err := esdb.NewClient(conf)
	if err != nil {
		panic(err)
	}
	return client
}

// dial makes so many connections.
func (r *remote) dial(connections int) {
	for range connections {
		r.clients = append(r.clients, r.connect())
	}
}

// redial does not wait until the clients find out by themselves that the server
// is another one.
func (r *remote) redial() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, c := range r.clients {
		r.clients[i] = r.connect()
		c.Close()
	}
}

func (r *remote) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.clients {
		c.Close()
	}
}

func revisionFor(expect int64) esdb.ExpectedRevision {
	switch expect {
	case expectAny:
		return esdb.Any{}
	case expectNoStream:
		return esdb.NoStream{}
	case expectExists:
		return esdb.StreamExists{}
	default:
		return esdb.Revision(uint64(expect))
	}
}

func dataFor(e proposed) esdb.EventData {
	data := esdb.EventData{EventID: e.ID, EventType: e.Type, ContentType: esdb.ContentTypeBinary, Data: e.Data, Metadata: e.Metadata}
	if e.ContentType == jsonContent {
		data.ContentType = esdb.ContentTypeJson
	}
	return data
}

func (r *remote) append(ctx context.Context, stream string, expect int64, events []proposed) (at appended, err error) {
	data := make([]esdb.EventData, len(events))
	for i, e := range events {
		data[i] = dataFor(e)
	}
	err = r.call(ctx, func(ctx context.Context, c *esdb.Client) error {
		result, err := c.AppendToStream(ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: revisionFor(expect)}, data...)
		if err == nil {
			at = appended{int64(result.NextExpectedVersion), result.CommitPosition}
		}
		return err
	})
	if err != nil {
		at = appended{}
	}
	return at, conflictOf(stream, expect, err)
}

// conflictOf reads a conflict out of the client's error, which has the revision
// only in words.
func conflictOf(stream string, expect int64, err error) error {
	var e *esdb.Error
	if !errors.As(err, &e) || e.Code() != esdb.ErrorCodeWrongExpectedVersion {
		return err
	}
	_, got, _ := strings.Cut(e.Err().Error(), "but got '")
	wrong := &wrongRevision{Stream: stream, Expected: expect, Actual: -1}
	if got != "no_stream'" {
		if _, err := fmt.Sscanf(got, "%d'", &wrong.Actual); err != nil {
			return fmt.Errorf("a conflict that says nothing: %w", e)
		}
	}
	return wrong
}

func (r *remote) read(ctx context.Context, stream string, o esdb.ReadStreamOptions, count uint64, f func(*esdb.RecordedEvent)) error {
	return r.call(ctx, func(ctx context.Context, c *esdb.Client) error {
		events, err := c.ReadStream(ctx, stream, o, count)
		if err != nil {
			return err
		}
		defer events.Close()
		for {
			e, err := events.Recv()
			var none *esdb.Error
			if errors.Is(err, io.EOF) || errors.As(err, &none) && none.Code() == esdb.ErrorCodeResourceNotFound {
				return nil
			}
			if err != nil {
				return err
			}
			f(e.Event)
		}
	})
}

func (r *remote) last(ctx context.Context, stream string) (int64, error) {
	last := int64(-1)
	err := r.read(ctx, stream, esdb.ReadStreamOptions{Direction: esdb.Backwards, From: esdb.End{}}, 1, func(e *esdb.RecordedEvent) {
		last = int64(e.EventNumber)
	})
	return last, err
}

func (r *remote) all(ctx context.Context, stream string) (ids []uuid.UUID, err error) {
	err = r.read(ctx, stream, esdb.ReadStreamOptions{From: esdb.Start{}}, math.MaxInt64, func(e *esdb.RecordedEvent) {
		ids = append(ids, e.EventID)
	})
	return ids, err
}
