// Package web is what readers and buyers see of Kicau: server-rendered pages
// that need no JavaScript, the JSON API under /v1, and the door through which
// the payment processor tells its news.
//
// Its laws:
//   - no card number comes in: a request that holds one anywhere is refused
//     before anything else looks at it;
//   - no log line holds what a request said; an error that is not the caller's
//     is answered with an opaque id, and logged with it;
//   - GET changes nothing but what the processor says anyway;
//   - a purchase can be sent again: its order's id follows from the request;
//   - whoever knows the id of an order sees it, and nobody can guess one. What is
//     shown holds no personal data.
//
// From the outside in: server.go (life), routes.go (what every request passes),
// errors.go (every "no"), read.go (what is taken in), buy.go (a purchase, for
// both faces), api.go and webhook.go (JSON), pages.go, show.go and pages/ (HTML).
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/event"
	"kicau/projections"
)

// DefaultListen is where a server listens unless told otherwise.
const DefaultListen = "127.0.0.1:8080"

// Bounds of a connection. An answer may take as long as a log that is in trouble
// lets a command wait, see requestTimeout.
const (
	headerTimeout  = 5 * time.Second
	readTimeout    = 15 * time.Second
	writeTimeout   = 60 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10
	closeTimeout   = 10 * time.Second // for requests under way
)

// Options of a server. All but Listen, Now, NewID, Sandbox and Logger are
// needed.
type Options struct {
	// Listen is a loopback address with a port; 0 means any. Default:
	// [DefaultListen].
	Listen   string
	Commands *command.Commands
	Vault    command.Vault
	Payments command.Payments
	Store    projections.Store // the views "timeline" and "orders"
	// Wait until a view ("timeline" or "orders") has come to a position of the
	// log, or the context ends.
	Wait func(ctx context.Context, view string, p event.Position) error
	// Notice that something happened to a payment intent, or to a charge, at the
	// processor, by a request with the idempotency key, if any. When it returns
	// nil, what the processor says of it is in the log, or it is none of ours.
	Notice func(ctx context.Context, about, key string, cause uuid.UUID) error
	// VerifyWebhook says which payment intent an authentic notice is about, or
	// which charge when it names no intent; none when it is about something
	// else. An error refuses the notice.
	VerifyWebhook func(body []byte, signatureHeader string) (about, key string, err error)
	NewID         func() uuid.UUID // default: random
	Now           func() time.Time // default: time.Now
	Sandbox       bool             // say on every page that no real money moves
	Logger        *slog.Logger     // default: slog.Default()
}

// Server is New, Start, URL, Close. Its methods may be called from many
// goroutines.
type Server struct {
	o         Options
	http      *http.Server
	listener  net.Listener
	served    chan struct{} // closed when http has returned
	underWay  chan struct{} // one for each request being answered
	watching  chan struct{} // one for each request that waits for its order to move
	noticing  chan struct{} // one for each notice being looked into
	turns     turns         // of requests under the same key
	fresh     fresh
	closeOnce sync.Once
	closed    error
}

// New makes a server; it does nothing before Start.
func New(o Options) (*Server, error) {
	if o.Listen == "" {
		o.Listen = DefaultListen
	}
	if host, _, err := net.SplitHostPort(o.Listen); err != nil || !loopback(host) {
		return nil, fmt.Errorf("web: cannot listen at %q: the address must be a loopback one with a port, such as %s, since whoever reaches it may buy", o.Listen, DefaultListen)
	}
	for name, missing := range map[string]bool{
		"Commands": o.Commands == nil, "Vault": o.Vault == nil, "Payments": o.Payments == nil, "Store": o.Store == nil,
		"Wait": o.Wait == nil, "Notice": o.Notice == nil, "VerifyWebhook": o.VerifyWebhook == nil,
	} {
		if missing {
			return nil, fmt.Errorf("web: Options.%s is missing", name)
		}
	}
	if o.NewID == nil {
		o.NewID = uuid.New
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &Server{o: o, served: make(chan struct{}), underWay: make(chan struct{}, MaxRequests),
		watching: make(chan struct{}, MaxWatching), noticing: make(chan struct{}, MaxNotices),
		turns: turns{wait: MaxTurnWait, taken: map[uuid.UUID]chan struct{}{}}}
	s.http = &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ConnState: s.fresh.note,
		ErrorLog:  slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn),
	}
	return s, nil
}

// Start listens and serves. It is called once; after it has failed there is
// nothing to close.
func (s *Server) Start() error {
	l, err := net.Listen("tcp", s.o.Listen)
	if err != nil {
		return fmt.Errorf("web: %w; is another one running, or something else at that port?", err)
	}
	s.listener = l
	go func() {
		defer close(s.served)
		if err := s.http.Serve(l); err != http.ErrServerClosed {
			s.o.Logger.Error("web: no longer serving", "error", err)
		}
	}()
	return nil
}

// URL is where the pages are, "http://127.0.0.1:8080", once started.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() }

// Close takes no more requests, ends those under way within a bound, and stops.
// It may be called more than once.
func (s *Server) Close() error {
	s.closeOnce.Do(func() {
		if s.listener == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		s.fresh.close()
		if err := s.http.Shutdown(ctx); err != nil {
			s.closed = errors.Join(fmt.Errorf("web: requests were cut off: %w", err), s.http.Close())
		}
		<-s.served
	})
	return s.closed
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// fresh are the connections that have not asked for anything yet. Browsers open
// some ahead, and Shutdown would wait five seconds for what never comes
// (golang.org/issue/22682).
type fresh struct {
	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]bool
}

func (f *fresh) note(c net.Conn, state http.ConnState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case state != http.StateNew:
		delete(f.conns, c)
	case f.closed:
		c.Close()
	default:
		if f.conns == nil {
			f.conns = map[net.Conn]bool{}
		}
		f.conns[c] = true
	}
}

func (f *fresh) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for c := range f.conns {
		c.Close()
	}
}
