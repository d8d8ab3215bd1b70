package node

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// http2Preface is how an HTTP/2 client with prior knowledge begins (RFC 9113
// §3.4); a gRPC client on a plain connection always does. Its first bytes are
// enough to tell it from HTTP/1.1: no HTTP/1.1 method starts with "PRI ".
const http2Preface = "PRI "

const (
	// prefaceTimeout bounds how long a new connection may stay silent.
	prefaceTimeout = 10 * time.Second
	// maxUndecided bounds the connections that have not yet said what they
	// speak; more wait in the kernel's accept queue.
	maxUndecided = 256
	// acceptPause is how long to wait after a connection could not be accepted.
	acceptPause = 50 * time.Millisecond
)

// refuseOpen keeps a node from being served beyond this machine to whoever
// comes, or in the clear.
func (o *ServerOptions) refuseOpen(address string, users *users) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("listen address %q: %w", address, err)
	}
	if host == "localhost" {
		return nil // what it resolves to is checked once it listens
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsLoopback() {
		return nil
	}
	var missing []string
	if o.TLSCert == "" {
		missing = append(missing, "TLS (a certificate and its key)")
	}
	switch {
	case users == nil:
		missing = append(missing, "users (a users file)")
	case !HasAdmin(users.roll.Load().users):
		missing = append(missing, "an enabled user of the group "+AdminGroup+" with a password")
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("refusing to listen on %q, beyond this machine, without %s; or listen on 127.0.0.1, [::1] or localhost", address, strings.Join(missing, " and without "))
}

// listen opens the address, if it may be served.
func (o *ServerOptions) listen(users *users) (net.Listener, error) {
	if err := o.refuseOpen(o.Listen, users); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, err
	}
	if err := o.refuseOpen(l.Addr().String(), users); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// What TLS clients choose by ALPN: gRPC is HTTP/2 (RFC 7301, RFC 9113 §3.2).
const (
	protocolHTTP2 = "h2"
	protocolHTTP1 = "http/1.1"
)

// notTLS answers who does not begin with TLS. gRPC clients show that they were
// answered in HTTP/1.1.
const notTLS = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\n" +
	"This is a TLS port: use https, and tls=true in the connection string of a client.\n"

// tlsConfig is nil without a certificate.
func (o *ServerOptions) tlsConfig() (*tls.Config, error) {
	if o.TLSCert == "" && o.TLSKey == "" {
		return nil, nil
	}
	if o.TLSCert == "" || o.TLSKey == "" {
		return nil, errors.New("TLS needs both a certificate and its key")
	}
	cert, err := tls.LoadX509KeyPair(o.TLSCert, o.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("TLS certificate %s with key %s: %w", o.TLSCert, o.TLSKey, err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{cert},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{protocolHTTP2, protocolHTTP1},
	}, nil
}

// splitter accepts connections and hands each to one of two servers: by what
// the client chose when it set up TLS, or else by its first bytes. A native
// grpc.Server is several times faster than gRPC's ServeHTTP, and this costs one
// read a connection.
type splitter struct {
	net.Listener
	tls        *tls.Config // nil: plain
	logger     *slog.Logger
	grpc, http *handover
	undecided  chan struct{}

	mu     sync.Mutex
	open   map[net.Conn]struct{} // undecided connections
	closed bool
}

func newSplitter(l net.Listener, tls *tls.Config, logger *slog.Logger) *splitter {
	return &splitter{
		Listener:  l,
		tls:       tls,
		logger:    logger,
		grpc:      newHandover(l.Addr()),
		http:      newHandover(l.Addr()),
		undecided: make(chan struct{}, maxUndecided),
		open:      map[net.Conn]struct{}{},
	}
}

// run accepts until the listener is closed. Any other failure passes (no file
// descriptor is free), so it tries again.
func (s *splitter) run() error {
	for {
		s.undecided <- struct{}{}
		conn, err := s.Accept()
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil {
			<-s.undecided
			time.Sleep(acceptPause)
			continue
		}
		go func() {
			s.decide(conn)
			<-s.undecided
		}()
	}
}

func (s *splitter) decide(conn net.Conn) {
	if !s.hold(conn) {
		conn.Close()
		return
	}
	began, to, err := s.begin(conn)
	s.letGo(conn)
	if err != nil {
		s.logger.Debug("a connection did not begin", "from", conn.RemoteAddr().String(), "error", err)
		conn.Close()
		return
	}
	to.offer(began)
}

// begin sets up TLS and finds out which server a connection is for.
func (s *splitter) begin(conn net.Conn) (net.Conn, *handover, error) {
	if err := conn.SetDeadline(time.Now().Add(prefaceTimeout)); err != nil {
		return nil, nil, err
	}
	if s.tls != nil {
		t := tls.Server(conn, s.tls)
		if err := t.Handshake(); err != nil {
			var plain tls.RecordHeaderError
			if errors.As(err, &plain) && plain.Conn != nil {
				_, _ = io.WriteString(plain.Conn, notTLS) // who does not read it learns nothing
			}
			return nil, nil, err
		}
		conn = t
		switch t.ConnectionState().NegotiatedProtocol {
		case protocolHTTP2:
			return conn, s.grpc, conn.SetDeadline(time.Time{})
		case protocolHTTP1:
			return conn, s.http, conn.SetDeadline(time.Time{})
		}
	}
	first := make([]byte, len(http2Preface))
	n, err := readFirst(conn, first)
	if err != nil {
		return nil, nil, err
	}
	to := s.http
	if string(first[:n]) == http2Preface {
		to = s.grpc
	}
	return &begunConn{Conn: conn, first: first[:n]}, to, conn.SetDeadline(time.Time{})
}

// readFirst reads until the preface is certain or ruled out.
func readFirst(conn net.Conn, first []byte) (n int, err error) {
	for n < len(first) {
		m, err := conn.Read(first[n:])
		n += m
		if err != nil {
			return n, err
		}
		if !bytes.HasPrefix([]byte(http2Preface), first[:n]) {
			break
		}
	}
	return n, nil
}

func (s *splitter) hold(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.open[conn] = struct{}{}
	}
	return !s.closed
}

func (s *splitter) letGo(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, conn)
}

// Close stops accepting and drops the connections that are undecided. Those
// handed over belong to their servers.
func (s *splitter) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for conn := range s.open {
		conn.Close()
	}
	return s.Listener.Close()
}

// handover is the listener of one of the two servers.
type handover struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newHandover(addr net.Addr) *handover {
	return &handover{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

func (h *handover) offer(conn net.Conn) {
	select {
	case h.conns <- conn:
	case <-h.done:
		conn.Close()
	}
}

func (h *handover) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

func (h *handover) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

func (h *handover) Addr() net.Addr { return h.addr }

// begunConn gives back the bytes that were read to decide.
type begunConn struct {
	net.Conn
	first []byte
}

func (c *begunConn) Read(p []byte) (int, error) {
	if len(c.first) > 0 {
		n := copy(p, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}
