package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/projections"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // some clients compress, and EventStoreDB lets them
	"google.golang.org/grpc/keepalive"
)

// Bounds of the server.
const (
	// maxRequestBytes is what the official clients take from a server, and what
	// this one takes from them: an append that is too large must be received to
	// be refused in EventStoreDB's words.
	maxRequestBytes = 17 << 20
	// maxCallsPerConnection bounds the calls at once on one connection; more
	// wait at the client (HTTP/2 SETTINGS_MAX_CONCURRENT_STREAMS).
	maxCallsPerConnection = 1024
	// closeGrace is how long Close waits for calls that are under way.
	closeGrace = 5 * time.Second
	// keepaliveEvery is how often a silent client is asked whether it lives;
	// keepaliveTimeout how long it may take to answer.
	keepaliveEvery   = 10 * time.Second
	keepaliveTimeout = 10 * time.Second
	// pingFloor is the shortest interval between a client's pings. Clients ping
	// each 10 s, idle ones too; a server that minds closes their connection
	// with ENHANCE_YOUR_CALM.
	pingFloor = 5 * time.Second
	// httpTimeout bounds a request over HTTP/1.1.
	httpTimeout = 5 * time.Second
)

// ServerOptions say where a node is served.
type ServerOptions struct {
	// Listen is the address to listen on, "127.0.0.1:0" (any free port) when
	// empty. Beyond this machine the node listens only with TLS and with users,
	// among them one of $admins with a password.
	Listen string
	// Advertise is the host:port that clients with esdb+discover:// are told to
	// connect to. When empty it is the address they already came to.
	Advertise string
	// Users is the users file (see [WriteUsers]). Without one everyone may do
	// everything.
	Users string
	// TLSCert and TLSKey are files in PEM: a certificate with those that lead to
	// its authority, and its key. Without them connections are plain, and official
	// clients leave the password out then.
	TLSCert, TLSKey string
	// Logger is slog's default when nil.
	Logger *slog.Logger
}

// Server serves a node over EventStoreDB's gRPC protocol, so that any
// EventStoreDB client in any language can use it, and GET /health/live, /info and
// /metrics over HTTP/1.1 on the same port.
//
// It serves streams (append, batch append, read, subscribe, delete, tombstone)
// and persistent subscriptions. The system's projections are always on; those of
// one's own, users and operations are not there, are not advertised, and answer
// UNIMPLEMENTED.
type Server struct {
	opts  ServerOptions
	grpc  *grpc.Server
	http  *http.Server
	calls *service
	admin *administration // nil without a node

	mu       sync.Mutex
	splitter *splitter
	closed   bool
	serving  sync.WaitGroup
}

// NewServer prepares to serve n. The node stays its owner's: close the server
// first, then the node.
func NewServer(n *Node, o ServerOptions) *Server {
	s := newServer(n.engine, n.groups, o)
	s.calls.meters.registry.MustRegister(n.store.meters.collectors...)
	s.http.Handler = s.withAdmin(n, s.http.Handler)
	return s
}

func newServer(e engine, gs *groups, o ServerOptions) *Server {
	o.Listen = cmp.Or(o.Listen, "127.0.0.1:0")
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	ctx, stop := context.WithCancelCause(context.Background())
	meters := newCallMeters()
	calls := &service{engine: e, meters: meters, stopping: ctx, stop: stop}
	s := &Server{
		opts:  o,
		calls: calls,
		grpc: grpc.NewServer(
			grpc.ForceServerCodecV2(frameCodec{}),
			grpc.ChainUnaryInterceptor(meters.unary, trailUnary, calls.identifyUnary),
			grpc.ChainStreamInterceptor(meters.stream, trailStream, calls.identifyStream),
			grpc.MaxRecvMsgSize(maxRequestBytes),
			grpc.MaxConcurrentStreams(maxCallsPerConnection),
			grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingFloor, PermitWithoutStream: true}),
			grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveEvery, Timeout: keepaliveTimeout}),
		),
		http: &http.Server{
			ReadTimeout:  httpTimeout,
			WriteTimeout: httpTimeout,
			ErrorLog:     slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
		},
	}
	s.http.Handler = s.handler()
	streams.RegisterStreamsServer(s.grpc, s.calls)
	persistent.RegisterPersistentSubscriptionsServer(s.grpc, &groupService{service: s.calls, groups: gs})
	projections.RegisterProjectionsServer(s.grpc, &projector{calls: s.calls})
	serverfeatures.RegisterServerFeaturesServer(s.grpc, features{})
	gossip.RegisterGossipServer(s.grpc, &gossiper{id: uuid.New(), advertise: o.Advertise})
	return s
}

// Start listens and returns when clients can connect.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return errors.New("the server was closed; make a new one")
	case s.splitter != nil:
		return fmt.Errorf("the server already listens on %s", s.splitter.Addr())
	}
	if err := checkAdvertise(s.opts.Advertise); err != nil {
		return err
	}
	if err := s.listen(); err != nil {
		return fmt.Errorf("start the node's server: %w", err)
	}
	s.run("accept", s.splitter.run)
	s.run("gRPC", func() error { return s.grpc.Serve(s.splitter.grpc) })
	s.run("HTTP", func() error { return s.http.Serve(s.splitter.http) })
	return nil
}

func (s *Server) listen() (err error) {
	if s.opts.Users != "" {
		if s.calls.users, err = openUsers(s.opts.Users, s.opts.Logger); err != nil {
			return err
		}
	}
	config, err := s.opts.tlsConfig()
	if err != nil {
		return err
	}
	l, err := s.opts.listen(s.calls.users)
	if err != nil {
		return err
	}
	s.splitter = newSplitter(l, config, s.opts.Logger)
	return nil
}

func (s *Server) run(what string, serve func() error) {
	s.serving.Go(func() {
		if err := serve(); err != nil && s.calls.stopping.Err() == nil {
			s.opts.Logger.Error("node server stopped", "part", what, "error", err)
		}
	})
}

// Addr is the host:port the server listens on, "" before Start.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.splitter == nil {
		return ""
	}
	return s.splitter.Addr().String()
}

// URL is a connection string for clients on this machine, "" before Start. With
// users it still needs a name and a password.
func (s *Server) URL() string { return s.url(nil, "") }

// OwnerURL is one for whoever runs the node, on this machine: with users it
// holds a password with which everything may be done, for as long as this
// server lives. Keep it as safe as the node's files.
func (s *Server) OwnerURL() string {
	var owner *url.Userinfo
	if s.calls.users != nil {
		owner = url.UserPassword(ownerName, s.calls.users.ownerSecret)
	}
	verify := ""
	if s.opts.TLSCert != "" {
		// A certificate is made out to the name that others know the node by;
		// here nobody can come in between.
		verify = "&tlsVerifyCert=false"
	}
	return s.url(owner, verify)
}

func (s *Server) url(user *url.Userinfo, more string) string {
	address := s.Addr()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	u := url.URL{Scheme: "esdb", User: user, Host: address, RawQuery: fmt.Sprintf("tls=%t", s.opts.TLSCert != "") + more}
	return u.String()
}

// Close takes no new calls, ends subscriptions, lets appends and reads under
// way finish for at most closeGrace, and then cuts what is left. It may be
// called twice.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.calls.stop(errStopping)
	if s.splitter == nil {
		return nil
	}
	err := s.splitter.Close()
	graceful := make(chan struct{})
	go func() {
		defer close(graceful)
		s.grpc.GracefulStop()
	}()
	select {
	case <-graceful:
	case <-time.After(closeGrace):
		s.grpc.Stop()
		<-graceful
	}
	err = errors.Join(err, s.http.Close())
	s.serving.Wait()
	s.admin.close()
	return err
}

// handler answers over HTTP/1.1. Anybody may ask whether the node lives and
// what it is, as with EventStoreDB; its metrics are for users.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health/live", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /info", s.info)
	mux.Handle("GET /metrics", s.authenticated(anyUser, s.calls.meters.handler(s.opts.Logger)))
	return mux
}
