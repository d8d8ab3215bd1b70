package web

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"kicau/domain/privacy"
)

// Bounds of requests.
const (
	// MaxRequests are answered at a time; more are told to come back.
	MaxRequests = 4096
	// requestTimeout bounds what a request waits for. A command that was sent to
	// the log by then is not recalled: its outcome is found by asking again.
	requestTimeout = 30 * time.Second
)

// route is one kind of request.
type route struct {
	pattern string
	serve   func(http.ResponseWriter, *http.Request) error
	shared  bool // the answer is everybody's; others must not be stored anywhere
}

func (s *Server) routes() []route {
	return []route{
		{"GET /{$}", s.showTimeline, true},
		{"GET /offers/{id}", s.showOffer, true},
		{"GET /offers/{id}/checkout", s.showCheckout, false},
		{"POST /offers/{id}/checkout", s.checkout, false},
		{"GET /orders/{id}", s.showOrder, false},
		{"GET /orders/{id}/pay", s.pay, false},
		{"GET /orders/{id}/return", s.comeBack, false},
		{"GET /style.css", s.asset, true},
		{"GET /icon.svg", s.asset, true},

		{"GET /v1/timeline", s.apiTimeline, true},
		{"GET /v1/offers/{id}", s.apiOffer, true},
		{"POST /v1/orders", s.apiBuy, false},
		{"GET /v1/orders/{id}", s.apiOrder, false},

		{"POST " + webhookPath, s.webhook, false},
		{"GET /health/live", s.live, false},
	}
}

// handler is what every request passes, from the outside in.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	for _, rt := range s.routes() {
		mux.HandleFunc(rt.pattern, func(w http.ResponseWriter, r *http.Request) {
			defer s.unbroken(w, r)
			if rt.shared {
				w.Header().Set("Cache-Control", "no-cache") // may be stored, must be asked for again
			}
			if err := rt.serve(w, r); err != nil {
				s.refuse(w, r, err)
			}
		})
	}
	sameOrigin := http.NewCrossOriginProtection()
	sameOrigin.SetDenyHandler(s.always(errCrossOrigin))

	h := s.inOurWords(mux)
	h = s.withoutCards(h)
	h = sameOrigin.Handler(h)
	h = s.atOurName(h)
	h = s.bounded(h)
	return headers(h)
}

func (s *Server) always(err error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.refuse(w, r, err) })
}

// policy lets a page load our style sheet and pictures, and nothing else. Forms
// go where formsTo says.
const policy = "default-src 'none'; style-src 'self'; img-src 'self' https: data:; base-uri 'none'; frame-ancestors 'none'; form-action "

func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy+"'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		// To others the address of an order must not be told: it opens the order.
		// ("no-referrer" would also blank the Origin of our own forms.)
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// bounded turns requests away when too many are under way, and ends each.
func (s *Server) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.underWay <- struct{}{}:
			defer func() { <-s.underWay }()
		default:
			s.refuse(w, r, errOverloaded)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// atOurName refuses requests for a host that is not this machine: a page from
// elsewhere whose name was pointed at 127.0.0.1 would else be of our origin (DNS
// rebinding). Webhooks may come through a tunnel; their signature is enough.
func (s *Server) atOurName(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !loopback(strings.Trim(host, "[]")) && r.URL.Path != webhookPath {
			s.refuse(w, r, errOtherHost)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// withoutCards refuses card numbers in an address and in the headers that are
// used. Bodies are looked at where they are read, see readJSON and readForm; a
// notice of the processor is signed and goes nowhere.
func (s *Server) withoutCards(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := cardInAddress(r); err != nil {
			s.refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func cardInAddress(r *http.Request) error {
	for part := range strings.SplitSeq(r.URL.Path, "/") {
		if err := privacy.RefuseCardNumber("path", part); err != nil {
			return err
		}
	}
	if err := privacy.RefuseCardNumber("query", r.URL.RawQuery); err != nil {
		return err
	}
	for key, values := range r.URL.Query() {
		for _, text := range append(values, key) {
			if err := privacy.RefuseCardNumber("query", text); err != nil {
				return err
			}
		}
	}
	for _, name := range []string{idempotencyKey, "Content-Type"} {
		for _, text := range r.Header.Values(name) {
			if err := privacy.RefuseCardNumber(name, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// inOurWords answers what no route is for as everything else that is refused.
func (s *Server) inOurWords(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		said := &muted{header: http.Header{}}
		h.ServeHTTP(said, r)
		if said.status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", said.header.Get("Allow"))
			s.refuse(w, r, errMethod)
			return
		}
		s.refuse(w, r, errNoPage)
	})
}

// muted keeps the status and headers of an answer, and drops the rest.
type muted struct {
	header http.Header
	status int
}

func (m *muted) Header() http.Header         { return m.header }
func (m *muted) Write(b []byte) (int, error) { return len(b), nil }
func (m *muted) WriteHeader(status int)      { m.status = status }

// unbroken answers a request that met a defect; the server goes on.
func (s *Server) unbroken(w http.ResponseWriter, r *http.Request) {
	switch p := recover(); p {
	case nil:
	case http.ErrAbortHandler:
		panic(p)
	default:
		s.refuse(w, r, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
	}
}
