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

// courier delivers events to the endpoint. It holds ids only, each once, in due
// or in pauses: [maxEvents] bounds them.
type courier struct {
	event  func(id string) (body []byte, now time.Time, ok bool) // ok: still to be delivered
	report func(id string, h hook)                               // what became of it
	log    func(msg string, args ...any)
	client *http.Client

	mu          sync.Mutex
	changed     sync.Cond
	url, secret string
	due         []string
	pauses      map[string]*time.Timer
	attempts    map[string]int
	closed      bool
	running     sync.WaitGroup
	stop        context.CancelFunc
}

func newCourier() *courier {
	c := &courier{
		pauses: map[string]*time.Timer{}, attempts: map[string]int{},
		client: &http.Client{
			Timeout:       sendTimeout,
			Transport:     &http.Transport{MaxIdleConnsPerHost: senders, IdleConnTimeout: time.Minute},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // a redirect is a failure
		},
	}
	c.changed.L = &c.mu
	return c
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
	c.changed.Broadcast()
}

func (c *courier) hasEndpoint() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.url != ""
}

// add makes events due.
func (c *courier) add(ids []string) {
	if len(ids) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.due = append(c.due, ids...)
	c.changed.Broadcast()
}

// next waits for a due event and an endpoint. It is empty when the courier was
// closed.
func (c *courier) next() (id, url, secret string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.closed && (len(c.due) == 0 || c.url == "") {
		c.changed.Wait()
	}
	if c.closed {
		return "", "", ""
	}
	id = c.due[0]
	c.due = c.due[1:]
	return id, c.url, c.secret
}

func (c *courier) deliver(ctx context.Context) {
	for {
		id, url, secret := c.next()
		if id == "" {
			return
		}
		body, now, ok := c.event(id)
		if !ok {
			c.forget(id)
			continue
		}
		err := c.send(ctx, url, secret, body, now)
		switch {
		case err == nil:
			c.forget(id)
			c.report(id, delivered)
		case ctx.Err() != nil: // closed meanwhile: it stays pending
			return
		case !c.again(id):
			c.log("sandbox: a webhook could not be delivered and is given up", "event", id, "attempts", maxAttempts, "error", err)
			c.forget(id)
			c.report(id, abandoned)
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

// again makes a failed event due after a pause. It is false when that was the
// last attempt.
func (c *courier) again(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attempts[id]++
	n := c.attempts[id]
	if n >= maxAttempts {
		return false
	}
	if c.closed {
		return true
	}
	pause := min(firstPause<<(n-1), longestPause)
	pause -= rand.N(pause / 4)
	c.pauses[id] = time.AfterFunc(pause, func() { c.add([]string{id}) })
	return true
}

func (c *courier) forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.attempts, id)
	delete(c.pauses, id)
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
