package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"kicau/adapters/command"
)

// The operator's side of a node that is being served, over HTTP/1.1 on the port
// of its clients. Its client is [Admin].
//
//	GET  /admin/backup          a tar stream, see backup.go
//	POST /admin/verify          progress and outcome, JSON a line
//	POST /admin/scavenge        {"dryRun"}: likewise
//	GET  /admin/groups          persistent subscriptions, JSON a line
//	GET  /admin/parked          ?stream=&group=: parked events, JSON a line
//	POST /admin/parked/replay   {"stream","group","numbers"} or {…,"all":true}
//	POST /admin/parked/drop     {"stream","group","numbers"}
//
// No stream means the whole log. What goes wrong is {"error":{"kind","reason"}},
// as the answer when nothing was sent yet, else as its last line.

// Bounds of the administration.
const (
	// maxAdminBody bounds what a request may say, in bytes.
	maxAdminBody = 1 << 20
	// adminStall is how long somebody who is sent something long may take over a
	// piece of it.
	adminStall = time.Minute
	// progressEvery is how often progress is told.
	progressEvery = 200 * time.Millisecond
)

// backupErrorTrailer tells why a backup was cut off.
const backupErrorTrailer = "Kicau-Error"

// ErrBusy: the node does one long thing at a time. Try again later.
var ErrBusy = errors.New("the node is busy with another backup, verification or scavenge")

// administration answers what an operator asks of a node.
type administration struct {
	node   *Node
	server *Server
	long   sync.Mutex // held by the one long operation
}

// close waits until the long operation, which the server has told to stop, has
// ended. No other begins.
func (a *administration) close() {
	if a != nil {
		a.long.Lock()
	}
}

// withAdmin puts the administration of n before what else is served.
func (s *Server) withAdmin(n *Node, next http.Handler) http.Handler {
	a := &administration{node: n, server: s}
	s.admin = a
	mux := http.NewServeMux()
	for pattern, serve := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /admin/backup":         a.alone(a.backup),
		"POST /admin/verify":        a.alone(a.verify),
		"POST /admin/scavenge":      a.alone(a.scavenge),
		"GET /admin/groups":         a.groups,
		"GET /admin/parked":         a.parked,
		"POST /admin/parked/replay": a.replay,
		"POST /admin/parked/drop":   a.drop,
	} {
		mux.Handle(pattern, a.answered(serve))
	}
	all := http.NewServeMux()
	all.Handle("/admin/", a.atOurName(notFromElsewhere(s.authorized(mux))))
	all.Handle("/", next)
	return all
}

// atOurName refuses plain requests for a host that is not this machine, nor the
// one that is advertised: a page from elsewhere whose name was pointed at this
// address would else be of our origin (DNS rebinding). With TLS, the certificate
// has tied the name to this server.
func (a *administration) atOurName(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil && !isLoopbackHost(hostOnly(r.Host)) && !strings.EqualFold(hostOnly(r.Host), hostOnly(a.server.opts.Advertise)) {
			refuseAdmin(w, fmt.Errorf("%w: this node is not at %q", errForbidden, r.Host))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func hostOnly(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return strings.Trim(address, "[]")
}

func isLoopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// notFromElsewhere refuses what a browser sends on behalf of a page of another
// origin, be it only to read: a backup is work, too.
func notFromElsewhere(next http.Handler) http.Handler {
	sameOrigin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		changing := *r
		changing.Method = http.MethodPost
		if err := sameOrigin.Check(&changing); err != nil {
			refuseAdmin(w, fmt.Errorf("%w: %w", errForbidden, err))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// answered bounds a request by the server's life and answers its error.
func (a *administration) answered(serve func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancelCause(r.Context())
		defer cancel(nil)
		defer context.AfterFunc(a.server.calls.stopping, func() { cancel(command.ErrClosed) })()
		r.Body = http.MaxBytesReader(w, r.Body, maxAdminBody)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if err := serve(w, r.WithContext(ctx)); err != nil {
			refuseAdmin(w, err)
		}
	})
}

// alone does one long thing at a time, for as long as it takes.
func (a *administration) alone(serve func(http.ResponseWriter, *http.Request) error) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		if !a.long.TryLock() {
			return ErrBusy
		}
		defer a.long.Unlock()
		return serve(w, r)
	}
}

// patient answers for as long as it takes, and gives the other side adminStall for
// each piece that is sent.
type patient struct {
	http.ResponseWriter
	sent bool
}

// patiently begins an answer; what the request says has been read. The server's
// time-out for requests would end their context later, too.
func patiently(w http.ResponseWriter, contentType string) (*patient, error) {
	w.Header().Set("Content-Type", contentType)
	return &patient{ResponseWriter: w}, http.NewResponseController(w).SetReadDeadline(time.Time{})
}

func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func (p *patient) Write(b []byte) (int, error) {
	if err := http.NewResponseController(p.ResponseWriter).SetWriteDeadline(time.Now().Add(adminStall)); err != nil {
		return 0, err
	}
	p.sent = true
	return p.ResponseWriter.Write(b)
}

func (a *administration) backup(w http.ResponseWriter, r *http.Request) error {
	out, err := patiently(w, "application/x-tar")
	if err == nil {
		err = a.node.Backup(r.Context(), out)
	}
	if err == nil || !out.sent {
		return err
	}
	// What was sent has no manifest, so nobody takes it for a backup.
	a.server.opts.Logger.Error("a backup was cut off", "error", err)
	w.Header().Set(http.TrailerPrefix+backupErrorTrailer, strings.ReplaceAll(err.Error(), "\n", "; "))
	return nil
}

func (a *administration) verify(w http.ResponseWriter, r *http.Request) error {
	out, err := newLines(w)
	if err != nil {
		return err
	}
	v, err := a.node.VerifyAll(r.Context(), func(unit Unit, done, total uint64) { out.progress(progressLine{unit, done, total}) })
	return out.end(v, err)
}

// scavengeAsked is what a request for a scavenge says.
type scavengeAsked struct {
	DryRun bool `json:"dryRun"`
}

func (a *administration) scavenge(w http.ResponseWriter, r *http.Request) error {
	var asked scavengeAsked
	if err := readBody(r, &asked); err != nil {
		return err
	}
	out, err := newLines(w)
	if err != nil {
		return err
	}
	report, err := a.node.Scavenge(r.Context(), ScavengeOptions{DryRun: asked.DryRun, Progress: func(p ScavengeReport) { out.progress(p) }})
	return out.end(report, err)
}
