// Package esdb is the log on EventStoreDB (or KurrentDB), through the official
// Go client: the production adapter of [command.Log], and the only door to that
// client.
//
// The client, version 4.2, needs watching:
//
//   - It closes for good after one discovery that failed (impl.go,
//     connectionStateMachine), so a server that restarts slowly would end it.
//     [connection] replaces it.
//   - Asking it for its connection takes no context, so a call can hang past
//     its deadline; some frames and a Close at the wrong moment make it panic.
//     Every use of it is a call of its own, which is given up when its time is
//     over and whose panic is caught: see [call].
//   - An event whose time of creation is no number makes it end the process
//     (protobuf_utils.go). A codec stands in between: see codec.go, which
//     registers it with gRPC for the whole program.
//   - It gives up on an append after its deadline and calls an answer without a
//     result a success. Append believes only an answer that says where the
//     events are; everything else is [command.ErrUnknownOutcome].
//   - Errors in the middle of a subscription come as gRPC has them; a persistent
//     subscription may not be used by two goroutines, and closing it loses the
//     answers that are on the way. [consumer] answers from one goroutine, in the
//     background, and says good-bye first.
//   - It does not send its "requires-leader" header, so a follower may answer
//     a read with old news. That is safe as long as whatever is decided on a
//     read is appended at the revision that was read.
//   - Without TLS it leaves out user and password, and says nothing; Open does.
//
// TestHazards shows each on the bare client, and what becomes of it here.
//
// It needs EventStoreDB 23.10 or newer, the first to say when a subscription
// has caught up (EventStore#3899).
package esdb

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"kicau/adapters/command"
)

// Options say which EventStoreDB to use.
type Options struct {
	// URL is EventStoreDB's connection string, such as
	// "esdb://admin:changeit@host:2113" or "esdb+discover://cluster:2113".
	// The discovery settings in it are overruled: looking again is done here.
	URL string
	// Connections is how many connections are used in turn; 1 when 0. One
	// carries thousands of appends a second; more help when a single one keeps
	// a processor busy.
	Connections int
	// Logger is slog's default when nil.
	Logger *slog.Logger
}

// maxConnections bounds Options.Connections.
const maxConnections = 64

// closeGrace is how long Close waits for calls to end after it cancelled them.
const closeGrace = 5 * time.Second

// Log is a [command.Log] on EventStoreDB, with its persistent subscriptions.
type Log struct {
	connections []*connection
	next        atomic.Uint64
	closed      context.Context
	close       context.CancelCauseFunc
	patience    time.Duration // with a silent server in the middle of a read
}

var _ command.Log = (*Log)(nil)

// Open prepares a log. It connects when the log is first used, and again
// whenever it must: a server that is down makes calls wait, not Open fail.
func Open(o Options) (*Log, error) {
	if o.Connections < 0 || o.Connections > maxConnections {
		return nil, fmt.Errorf("open EventStoreDB: %d connections, want 1 to %d", o.Connections, maxConnections)
	}
	logger := o.Logger
	if logger == nil {
		logger = slog.Default()
	}
	conf, err := esdb.ParseConnectionString(o.URL)
	if err != nil {
		return nil, fmt.Errorf("open EventStoreDB: connection string: %w", err)
	}
	if err := conf.Validate(); err != nil {
		return nil, fmt.Errorf("open EventStoreDB: connection string: %w", err)
	}
	conf.MaxDiscoverAttempts = discoveryAttempts
	conf.DiscoveryInterval = int(discoveryInterval / time.Millisecond)
	conf.Logger = func(level esdb.LogLevel, format string, args ...any) {
		logger.Debug("EventStoreDB client: "+strings.TrimSpace(fmt.Sprintf(format, args...)), "level", level)
	}
	if conf.DisableTLS && conf.Username != "" {
		logger.Warn("the EventStoreDB client does not send its user's name and password without TLS", "address", conf.Address)
	}
	l := &Log{patience: readPatience}
	l.closed, l.close = context.WithCancelCause(context.Background())
	for range cmp.Or(o.Connections, 1) {
		l.connections = append(l.connections, &connection{conf: *conf, logger: logger})
	}
	return l, nil
}

// Close ends what is under way and lets go of the connections. An append that
// it interrupts has an unknown outcome.
func (l *Log) Close() error {
	l.close(command.ErrClosed)
	deadline := time.Now().Add(closeGrace)
	for _, c := range l.connections {
		c.close(time.Until(deadline))
	}
	return nil
}

// connection takes turns.
func (l *Log) connection() *connection {
	return l.connections[l.next.Add(1)%uint64(len(l.connections))]
}

// begin gives a call its context: done when the caller's is, when the log is
// closed, or after patience, if that is not 0.
func (l *Log) begin(ctx context.Context, patience time.Duration) (context.Context, context.CancelFunc, error) {
	if l.closed.Err() != nil {
		return nil, nil, command.ErrClosed
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.closed, func() { cancel(command.ErrClosed) })
	done := func() { stop(); cancel(nil) }
	if patience > 0 {
		timed, expire := context.WithTimeout(ctx, patience)
		return timed, func() { expire(); done() }, nil
	}
	return ctx, done, nil
}
