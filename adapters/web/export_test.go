package web

import (
	"context"
	"net"
	"net/http"
	"time"
)

// Routes are the patterns that are served.
func (s *Server) Routes() []string {
	var all []string
	for _, r := range s.routes() {
		all = append(all, r.pattern)
	}
	return all
}

// Answer is the status and the code that an error is answered with.
func (s *Server) Answer(err error) (status int, code string) {
	p := s.problemOf(&http.Request{Method: "GET"}, err)
	return p.Status, p.Code
}

// Occupy takes up the room for a kind of request until the function is called.
func (s *Server) Occupy(what string) (leave func()) {
	room := map[string]chan struct{}{"requests": s.underWay, "watching": s.watching, "notices": s.noticing}[what]
	for range cap(room) {
		room <- struct{}{}
	}
	return func() {
		for range cap(room) {
			<-room
		}
	}
}

// TakeTurn has a request under a key in flight until the function is called, and
// others wait for so long.
func (s *Server) TakeTurn(key string, wait time.Duration) (done func(), err error) {
	s.turns.wait = wait
	return s.turns.take(context.Background(), orderID(key))
}

var (
	Inspect  = inspect
	PhotoURL = photoURL
)

// Fresh are connections that have not asked for anything yet.
type Fresh struct{ f fresh }

func (f *Fresh) Note(c net.Conn, s http.ConnState) { f.f.note(c, s) }
func (f *Fresh) Close()                            { f.f.close() }
