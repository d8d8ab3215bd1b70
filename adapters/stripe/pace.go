package stripe

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Requests per second when [Options.RequestsPerSecond] names none: with the
// burst of a quarter more they stay within what Stripe lets through, 100 with a
// live key and 25 with one for tests (https://docs.stripe.com/rate-limits), and
// leave nothing over only in the first second. The limit belongs to the account:
// several processes with one have to share it. To one endpoint, which is a method
// and a path whatever the id in it, Stripe lets 25 through with either key: a
// quarter of the whole, and so is ours.
const (
	LiveRequestsPerSecond = 80
	TestRequestsPerSecond = 20
)

// requestsPerSecond of a client; 0: as many as there are.
func requestsPerSecond(o Options) int {
	switch {
	case o.RequestsPerSecond != 0:
		return o.RequestsPerSecond
	case o.BaseURL != "" || o.Transport != nil:
		return 0
	case strings.Contains(o.SecretKey, "_live_"):
		return LiveRequestsPerSecond
	}
	return TestRequestsPerSecond
}

// paces are that of all requests and that of each endpoint.
type paces struct {
	all         *pace
	perEndpoint int

	mu        sync.Mutex
	endpoints map[string]*pace
}

// maxPaced bounds the endpoints that have a pace of their own; some thirty are used.
const maxPaced = 256

// newPaces is nil for a rate of 0, which lets everything through.
func newPaces(perSecond int) *paces {
	if perSecond == 0 {
		return nil
	}
	each := max(perSecond/4, min(perSecond, TestRequestsPerSecond))
	return &paces{all: newPace(perSecond), perEndpoint: each, endpoints: map[string]*pace{}}
}

func (p *paces) wait(r *http.Request) error {
	if p == nil {
		return nil
	}
	if err := p.of(callOf(r.Method, r.URL.Path)).wait(r.Context()); err != nil {
		return err
	}
	return p.all.wait(r.Context())
}

func (p *paces) of(endpoint string) *pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	own, ok := p.endpoints[endpoint]
	if !ok && len(p.endpoints) < maxPaced {
		own = newPace(p.perEndpoint)
		p.endpoints[endpoint] = own
	}
	return own
}

// callOf is a request without the ids in its path: those have digits or capitals.
func callOf(method, path string) string {
	parts := strings.Split(strings.TrimPrefix(path, "/v1"), "/")
	for i, part := range parts {
		if strings.Trim(part, "abcdefghijklmnopqrstuvwxyz_") != "" {
			parts[i] = "*"
		}
	}
	return method + strings.Join(parts, "/")
}

// pace lets requests through at a rate. Those that come faster wait their turn,
// in order, for no longer than their own time is: who could not be sent in time
// is refused at once, which bounds the queue by the time that requests have.
type pace struct {
	every time.Duration // between two requests
	burst time.Duration // how much of that may have been saved up

	mu   sync.Mutex
	next time.Time // when the next request goes, had it come in time
}

func newPace(perSecond int) *pace {
	every := time.Second / time.Duration(perSecond)
	return &pace{every: every, burst: max(time.Second/4, every) - every}
}

// errTooFast: the request was not sent.
var errTooFast = errors.New("more requests wait for their turn than can be sent in the time that this one has (Options.RequestsPerSecond)")

func (p *pace) wait(ctx context.Context) error {
	if p == nil {
		return nil
	}
	turn, err := p.turn(ctx, time.Now())
	if err != nil || turn <= 0 {
		return err
	}
	timer := time.NewTimer(turn)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err() // its turn passes unused
	}
}

// turn is how long a request waits that comes now.
func (p *pace) turn(ctx context.Context, now time.Time) (time.Duration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.next
	if saved := now.Add(-p.burst); at.Before(saved) {
		at = saved
	}
	if end, limited := ctx.Deadline(); limited && at.After(end) {
		return 0, errTooFast
	}
	p.next = at.Add(p.every)
	return at.Sub(now), nil
}
