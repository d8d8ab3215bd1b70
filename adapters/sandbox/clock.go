package sandbox

import (
	"fmt"
	"sync"
	"time"
)

// Clock is a time that stands still until it is told to move: authorisations run
// out, funds become available and banks decide when somebody says so.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// NewClock stands at a time, to the second.
func NewClock(at time.Time) *Clock { return &Clock{at: at.UTC().Truncate(time.Second)} }

// Now is where the clock stands.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *Clock) set(at int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = time.Unix(at, 0).UTC()
}

// windClock puts a virtual clock where the directory left it. A real one that is
// behind is refused: time does not go backwards.
func (s *Server) windClock(t *tx) error {
	was := s.state.clock
	if c := s.opts.Clock; c == nil {
		if now := s.opts.Now(); now.Unix() < was {
			return fmt.Errorf("the virtual clock of this directory was moved on to %s, which is still to come: start it with a virtual clock again, or on another directory", time.Unix(was, 0).UTC().Format(time.RFC3339))
		}
	} else if was != 0 {
		c.set(was)
	} else {
		at := c.Now().Unix()
		t.put(entry{Clock: &at})
	}
	return nil
}

// sentAt is the time at which a webhook is signed.
func (s *Server) sentAt() time.Time {
	if s.opts.Clock != nil {
		return time.Now()
	}
	return s.opts.Now()
}

// until lets time pass up to now, with all that happens on the way, each thing
// in its own time.
func (t *tx) until(now time.Time) {
	for at := t.nextDue(); at != 0 && at < now.Unix(); at = t.nextDue() {
		t.happen(time.Unix(at, 0).UTC())
	}
	t.happen(now)
}

// happen lets happen what is due at a time, and nothing has been due before.
func (t *tx) happen(at time.Time) {
	midnight := t.payday()
	t.now = at
	t.forgetKeys()
	t.forgetEvents()
	if t.book.settle(t.now) {
		t.emit("balance.available", t.balanceWire(t.header.Account))
	}
	t.payWaiting()
	t.expire()
	t.ring()
	if midnight != 0 && midnight <= at.Unix() {
		t.payDaily()
	}
}

// nextDue is when something happens next that nobody asks for, in seconds since
// 1970: an authorisation runs out, funds become available, a refund ends, a bank
// decides, accounts are paid. 0: never.
func (st *state) nextDue() (at int64) {
	if len(st.holds) > 0 {
		at = st.holds[0].until
	}
	sooner := func(other int64) {
		if other != 0 && (at == 0 || other < at) {
			at = other
		}
	}
	if len(st.alarms) > 0 {
		sooner(st.alarms[0].at)
	}
	if len(st.book.waiting) > 0 {
		sooner(st.book.waiting[0].AvailableOn)
	}
	sooner(st.payday())
	return at
}

// timekeeper lets happen on the real clock what is due, when it is due: nobody has
// to ask. The zero one does nothing.
type timekeeper struct {
	due     chan int64 // what is due next, the latest word of it; nil: nobody waits
	stop    chan struct{}
	stopped chan struct{}
}

// It looks at the clock once a longestSleep, for that may be set, or the machine
// may sleep; and not oftener than once a shortestSleep, however much is due.
const (
	longestSleep  = time.Minute
	shortestSleep = 10 * time.Millisecond
)

func (k *timekeeper) start(s *Server) {
	k.due, k.stop, k.stopped = make(chan int64, 1), make(chan struct{}), make(chan struct{})
	k.due <- s.state.nextDue()
	go func() {
		defer close(k.stopped)
		defer func() {
			if cause := recover(); cause != nil { // requests are told, see perform
				s.log.Error("sandbox: a defect; nothing is served any more", "cause", cause)
			}
		}()
		k.run(s)
	}()
}

// expect tells what is due next. The caller holds [Server.mu].
func (k *timekeeper) expect(at int64) {
	if k.due == nil {
		return
	}
	select {
	case <-k.due: // an older word
	default:
	}
	k.due <- at
}

func (k *timekeeper) run(s *Server) {
	for at := int64(0); ; {
		var due <-chan time.Time
		if at != 0 {
			due = time.After(min(max(time.Unix(at, 0).Sub(s.opts.Now()), shortestSleep), longestSleep))
		}
		select {
		case <-k.stop:
			return
		case at = <-k.due:
		case <-due:
			if time.Unix(at, 0).After(s.opts.Now()) {
				continue
			}
			s.Tick()
			select {
			case at = <-k.due:
			default: // a request is putting a newer word in its place, or nothing is served any more
				at = 0
			}
		}
	}
}

// close returns when nothing happens by itself any more.
func (k *timekeeper) close() {
	if k.stop != nil {
		close(k.stop)
		<-k.stopped
	}
}

// clockPath is the sandbox's own and below it nothing goes wrong on purpose:
// who moves the clock must know that it has moved.
const clockPath = "/v1/test_helpers/clock"

// maxAdvance bounds one step of a virtual clock: every deadline of the sandbox
// lies within it.
const maxAdvance = 5 * 365 * 24 * time.Hour

// advanceClock: POST /v1/test_helpers/clock/advance, which is the sandbox's own.
// It moves a virtual clock by seconds, or to a time, and answers when everything
// that was due on the way has happened.
func (s *Server) advanceClock(p *params, _ string) op {
	by, relative := p.positive("seconds")
	to, absolute := p.positive("to")
	if relative == absolute {
		p.fail(refuse("parameter_missing", "Exactly one of the following params must be provided for this request: seconds or to."))
	}
	return func(t *tx) (any, *apiError) {
		if s.opts.Clock == nil {
			return nil, refuse("", "This sandbox runs on the real clock, which cannot be moved. Start it with a virtual one (kicau stripe-sandbox --clock virtual).")
		}
		now := t.now.Unix()
		if relative {
			to = now + min(by, int64(maxAdvance/time.Second)+1)
		}
		switch {
		case to < now:
			return nil, refuse("", "The clock stands at %d: it does not go back to %d.", now, to).on("to")
		case to-now > int64(maxAdvance/time.Second):
			return nil, refuse("", "The clock can be moved by at most %d seconds at a time.", int64(maxAdvance/time.Second))
		}
		request := t.request
		t.request = ""
		t.until(time.Unix(to, 0).UTC())
		t.request = request
		s.opts.Clock.set(to)
		t.put(entry{Clock: &to})
		return t.clockWire(true), nil
	}
}

// retrieveClock: GET /v1/test_helpers/clock
func (s *Server) retrieveClock(*params, string) op {
	return func(t *tx) (any, *apiError) { return t.clockWire(s.opts.Clock != nil), nil }
}

type clockWire struct {
	Object  string `json:"object"`
	Now     int64  `json:"now"`
	NextDue any    `json:"next_due"` // when something happens by itself
	Virtual bool   `json:"virtual"`
}

func (st *state) clockWire(virtual bool) *clockWire {
	return &clockWire{Object: "sandbox.clock", Now: st.now.Unix(), NextDue: null(st.nextDue()), Virtual: virtual}
}
