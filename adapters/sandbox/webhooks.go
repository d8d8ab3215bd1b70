package sandbox

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Webhooks are sent after what they tell is on disk, at least once, in no
// promised order, and again after growing pauses when the endpoint does not
// answer 2xx (https://stripe.com/docs/webhooks). What was not delivered when
// the sandbox was closed is sent after the next start.
const (
	senders      = 8 // at the same time
	sendTimeout  = 10 * time.Second
	maxAttempts  = 16 // about half an hour in all; then the event stays undelivered
	firstPause   = 200 * time.Millisecond
	longestPause = 5 * time.Minute
	closeGrace   = 2 * time.Second
)

// parcel is an event on its way to an endpoint: "" is the one that was
// configured, see [Options.WebhookURL].
type parcel struct{ event, endpoint string }

// courier delivers events to endpoints. It holds parcels only, each once, in
// due, held, behind, unaddressed or pauses: [maxEvents] bounds them, and
// [maxEndpoints].
type courier struct {
	contents func(parcel) (body []byte, now time.Time, ok bool) // ok: still to be delivered
	address  func(endpoint string) (url, secret string)         // of one that the API made
	report   func(parcel, hook)                                 // what became of it
	log      func(msg string, args ...any)
	client   *http.Client
	chaos    *chaos

	mu          sync.Mutex
	changed     sync.Cond
	url, secret string // of the configured endpoint
	due         []parcel
	held        []parcel            // until others overtake them
	behind      map[parcel][]parcel // sent when the one that overtook them is
	unaddressed []parcel            // until an endpoint is configured
	pauses      map[parcel]*time.Timer
	attempts    map[parcel]int
	fates       map[parcel]fate
	closed      bool
	running     sync.WaitGroup
	stop        context.CancelFunc
}

func newCourier(c WebhookChaos) *courier {
	k := &courier{
		pauses: map[parcel]*time.Timer{}, attempts: map[parcel]int{}, fates: map[parcel]fate{}, behind: map[parcel][]parcel{}, chaos: newChaos(c),
		client: &http.Client{
			Timeout:       sendTimeout,
			Transport:     &http.Transport{MaxIdleConnsPerHost: senders, IdleConnTimeout: time.Minute},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // a redirect is a failure
		},
	}
	k.changed.L = &k.mu
	return k
}

func (c *courier) start() {
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	for range senders {
		c.running.Go(func() { c.deliver(ctx) })
	}
}

func (c *courier) setEndpoint(url, secret string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.url, c.secret = url, secret
	c.due, c.unaddressed = append(c.due, c.unaddressed...), nil
	c.changed.Broadcast()
}

func (c *courier) hasEndpoint() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.url != ""
}

// add takes new parcels, and draws what is to happen to them.
func (c *courier) add(parcels []parcel) {
	if len(parcels) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	for _, p := range parcels {
		f := c.chaos.draw()
		if f != (fate{}) {
			c.fates[p] = f
		}
		switch {
		case f.late:
			c.held = append(c.held, p)
			c.later(p, reorderWait+f.delay)
		case f.delay > 0:
			c.later(p, f.delay)
		default:
			c.due = append(c.due, p)
			if len(c.held) > 0 {
				c.behind[p] = c.held
			}
			for _, overtaken := range c.held {
				c.pauses[overtaken].Stop()
				delete(c.pauses, overtaken)
			}
			c.held = nil
		}
	}
	c.changed.Broadcast()
}

// later makes a parcel due after a pause. The caller holds mu.
func (c *courier) later(p parcel, pause time.Duration) {
	c.pauses[p] = time.AfterFunc(pause, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if _, waits := c.pauses[p]; !waits || c.closed {
			return // it was overtaken meanwhile
		}
		delete(c.pauses, p)
		c.held = slices.DeleteFunc(c.held, func(h parcel) bool { return h == p })
		c.due = append(c.due, p)
		c.changed.Broadcast()
	})
}

// next waits for a parcel that is due. It is false when the courier was closed.
func (c *courier) next() (p parcel, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.closed {
		if len(c.due) == 0 {
			c.changed.Wait()
			continue
		}
		p, c.due = c.due[0], c.due[1:]
		if p.endpoint != "" || c.url != "" {
			return p, true
		}
		c.unaddressed = append(c.unaddressed, p)
	}
	return parcel{}, false
}

// goal is where a parcel goes, with what it is signed, and what happens to it on
// the way. No url: its endpoint is gone.
func (c *courier) goal(p parcel) (url, secret string, f fate) {
	if p.endpoint != "" {
		url, secret = c.address(p.endpoint)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.endpoint == "" {
		url, secret = c.url, c.secret
	}
	return url, secret, c.fates[p]
}

func (c *courier) deliver(ctx context.Context) {
	for {
		p, ok := c.next()
		if !ok {
			return
		}
		body, now, ok := c.contents(p)
		url, secret, f := c.goal(p)
		if !ok || url == "" {
			c.forget(p)
			continue
		}
		if f.lost {
			c.forget(p)
			c.report(p, abandoned)
			continue
		}
		if f.forged {
			_ = c.send(ctx, url, "whsec_of_somebody_else", body, now)
		}
		if f.old {
			_ = c.send(ctx, url, secret, bytes.Replace(body, []byte(`"`+APIVersion+`"`), []byte(`"`+oldVersion+`"`), 1), now)
		}
		err := c.send(ctx, url, secret, body, now)
		if err == nil && f.twice {
			_ = c.send(ctx, url, secret, body, now)
		}
		c.letOvertaken(p)
		switch {
		case err == nil:
			c.forget(p)
			c.report(p, delivered)
		case ctx.Err() != nil: // closed meanwhile: it stays pending
			return
		case !c.again(p):
			c.log("sandbox: a webhook could not be delivered and is given up", "event", p.event, "attempts", maxAttempts, "error", err)
			c.forget(p)
			c.report(p, abandoned)
		}
	}
}

func (c *courier) send(ctx context.Context, url, secret string, body []byte, now time.Time) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
	req.Header.Set("Stripe-Signature", sign(body, secret, now))
	resp, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)) // so that the connection can be used again
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("the endpoint answered %s", resp.Status)
	}
	return nil
}

// sign is the Stripe-Signature header of a body sent at now
// (https://stripe.com/docs/webhooks/signatures).
func sign(body []byte, secret string, now time.Time) string {
	t := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(t + "."))
	mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// again makes a failed parcel due after a pause. It is false when that was the
// last attempt.
func (c *courier) again(p parcel) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attempts[p]++
	n := c.attempts[p]
	if n >= maxAttempts {
		return false
	}
	if !c.closed {
		pause := min(firstPause<<(n-1), longestPause)
		c.later(p, pause-rand.N(pause/4))
	}
	return true
}

// letOvertaken makes due what a parcel has overtaken.
func (c *courier) letOvertaken(p parcel) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.due = append(c.due, c.behind[p]...)
	delete(c.behind, p)
	c.changed.Broadcast()
}

func (c *courier) forget(p parcel) {
	c.letOvertaken(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.attempts, p)
	delete(c.fates, p)
}

// close stops delivering. What is under way has [closeGrace] to come to its end;
// then it is broken off, and sent again after the next start.
func (c *courier) close() {
	c.mu.Lock()
	c.closed = true
	for _, t := range c.pauses {
		t.Stop()
	}
	c.changed.Broadcast()
	c.mu.Unlock()
	grace := time.AfterFunc(closeGrace, c.stop)
	c.running.Wait()
	grace.Stop()
	c.stop()
	c.client.CloseIdleConnections()
}
