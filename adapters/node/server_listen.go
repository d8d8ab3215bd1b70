package node

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
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

// refuseNonLoopback keeps an event store without users and TLS from being
// served to others than this machine.
func refuseNonLoopback(address string) error {
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
	return fmt.Errorf("refusing to listen on %q: the node has no users and no TLS yet, so it serves this machine only; use 127.0.0.1, [::1] or localhost", address)
}

// listenLoopback listens on address, which must be of this machine only.
func listenLoopback(address string) (net.Listener, error) {
	if err := refuseNonLoopback(address); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := l.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		return nil, errors.Join(refuseNonLoopback(l.Addr().String()), l.Close())
	}
	return l, nil
}

// splitter accepts connections and hands each to one of two servers by its
// first bytes. A native grpc.Server is several times faster than gRPC's
// ServeHTTP, and this costs one read a connection.
type splitter struct {
	net.Listener
	grpc, http *handover
	undecided  chan struct{}

	mu     sync.Mutex
	open   map[net.Conn]struct{} // undecided connections
	closed bool
}

func newSplitter(l net.Listener) *splitter {
	return &splitter{
		Listener:  l,
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
	first := make([]byte, len(http2Preface))
	n, err := readFirst(conn, first)
	s.letGo(conn)
	if err != nil {
		conn.Close()
		return
	}
	began := &begunConn{Conn: conn, first: first[:n]}
	if string(first[:n]) == http2Preface {
		s.grpc.offer(began)
	} else {
		s.http.offer(began)
	}
}

// readFirst reads until the preface is certain or ruled out.
func readFirst(conn net.Conn, first []byte) (n int, err error) {
	if err := conn.SetReadDeadline(time.Now().Add(prefaceTimeout)); err != nil {
		return 0, err
	}
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
	return n, conn.SetReadDeadline(time.Time{})
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
