package esdb

import (
	"context"
	"sync"
	"time"
)

// openPatience bounds the time until a read, a subscription or a consumer has
// begun.
const openPatience = 10 * time.Second

// session is a use of a client that lasts: a read, a subscription, a consumer
// of a group. It runs in the background until its context ends or the server
// has no more.
type session struct {
	ctx    context.Context
	cancel context.CancelFunc
	conn   *connection
	client *client
	opened chan struct{} // closed when the server has begun to answer
	ended  chan struct{} // closed when nothing more is received

	mu  sync.Mutex
	err error // why it ended
}

// start runs receive and returns when it has closed s.opened. life bounds the
// session, connecting until then. end is told why it ended by a panic.
func (s *session) start(life, connecting context.Context, l *Log, receive func() error, end func(error)) error {
	var err error
	if s.ctx, s.cancel, err = l.begin(life, 0); err != nil {
		return err
	}
	s.conn, s.opened, s.ended = l.connection(), make(chan struct{}), make(chan struct{})
	connecting, giveUp := context.WithCancelCause(connecting)
	defer giveUp(nil)
	defer context.AfterFunc(s.ctx, func() { giveUp(context.Cause(s.ctx)) })()
	patience, stop := context.WithTimeout(connecting, openPatience)
	defer stop()
	if s.client, err = s.conn.acquire(patience); err != nil {
		s.cancel()
		return err
	}
	s.conn.start(s.client, s.ended, receive, end)
	select {
	case <-s.opened:
		return nil
	case <-s.ended:
		select {
		case <-s.opened: // and all received by now
			return nil
		default:
		}
		err := s.reason()
		s.close()
		return err
	case <-patience.Done():
		s.close()
		return context.Cause(patience)
	}
}

// fail keeps the first reason for the end. A context that is done is the better
// reason.
func (s *session) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	if s.err = err; s.ctx.Err() != nil {
		s.err = context.Cause(s.ctx)
	}
}

// reason is why the session ended.
func (s *session) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		return context.Cause(s.ctx)
	}
	return s.err
}

// close may be called at any time; what is being received ends soon after.
func (s *session) close() {
	s.cancel()
	select {
	case <-s.ended:
	default:
		s.conn.watch(s.client, s.ended)
	}
}
