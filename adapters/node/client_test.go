package node_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"kicau/adapters/node"
)

// Programs written with the official Go client, as its documentation writes
// them. They know nothing of the node but its address; those in testdata/nodejs
// do the same with the client for Node.js.

// program is one of them.
type program struct {
	*testing.T
	*esdb.Client
	ctx        context.Context
	connection string
}

// serve starts a node and returns how clients connect to it.
func serve(t *testing.T) (connection string) {
	t.Helper()
	n, err := node.Open(node.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s := node.NewServer(n, node.ServerOptions{})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), n.Close()); err != nil {
			t.Error(err)
		}
	})
	return "esdb://" + s.Addr() + "?tls=false"
}

func newProgram(t *testing.T) *program {
	t.Helper()
	connection := serve(t)
	settings, err := esdb.ParseConnectionString(connection)
	if err != nil {
		t.Fatal(err)
	}
	settings.Logger = esdb.NoopLogging()
	client, err := esdb.NewClient(settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // so that nothing is waited for in vain
	t.Cleanup(cancel)
	return &program{t, client, ctx, connection}
}

func (p *program) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

// wantError compares an error with the client's own name for it.
func (p *program) wantError(what string, err error, want esdb.ErrorCode) {
	p.Helper()
	var got *esdb.Error
	if !errors.As(err, &got) || got.Code() != want {
		p.Errorf("%s: got %v, want code %d", what, err, want)
	}
}

func placed(n int) []esdb.EventData {
	events := make([]esdb.EventData, n)
	for i := range events {
		events[i] = esdb.EventData{EventID: uuid.New(), EventType: "placed", ContentType: esdb.ContentTypeJson, Data: []byte(`{"n":1}`)}
	}
	return events
}

func idsOf(events []esdb.EventData) (ids []uuid.UUID) {
	for _, e := range events {
		ids = append(ids, e.EventID)
	}
	return ids
}

// append writes n events, whatever the revision, and returns their ids.
func (p *program) append(stream string, n int) []uuid.UUID {
	p.Helper()
	events := placed(n)
	_, err := p.AppendToStream(p.ctx, stream, esdb.AppendToStreamOptions{}, events...)
	p.must(err)
	return idsOf(events)
}

// collect reads to the end.
func (p *program) collect(r *esdb.ReadStream, err error) ([]*esdb.ResolvedEvent, error) {
	p.Helper()
	p.must(err)
	defer r.Close()
	var all []*esdb.ResolvedEvent
	for {
		e, err := r.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, e)
	}
}

// read returns the ids of the events read, of links when they are such.
func (p *program) read(r *esdb.ReadStream, err error) (ids []uuid.UUID) {
	p.Helper()
	all, err := p.collect(r, err)
	p.must(err)
	for _, e := range all {
		ids = append(ids, e.OriginalEvent().EventID)
	}
	return ids
}

// take receives n events of a subscription; ok sees what else comes.
func (p *program) take(s *esdb.Subscription, n int, also func(*esdb.SubscriptionEvent)) (ids []uuid.UUID) {
	p.Helper()
	for len(ids) < n {
		e := s.Recv()
		switch {
		case e.EventAppeared != nil:
			ids = append(ids, e.EventAppeared.OriginalEvent().EventID)
		case e.SubscriptionDropped != nil:
			p.Fatalf("the subscription ended: %v", e.SubscriptionDropped.Error)
		case also != nil:
			also(e)
		}
	}
	return ids
}
