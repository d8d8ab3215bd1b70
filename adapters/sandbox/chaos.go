package sandbox

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// WebhookChaos is what goes wrong with webhooks on purpose, drawn from Seed: the
// rates say how often an event meets it.
type WebhookChaos struct {
	Seed      uint64
	Duplicate Rate          // is delivered twice
	Twin      Rate          // is told by two events with ids of their own
	Reorder   Rate          // comes after the one that follows it
	Lose      Rate          // is never delivered; GET /v1/events?delivery_success=false knows it
	Forge     Rate          // comes first with a signature of another secret
	Old       Rate          // comes first as another API version writes it
	Delay     time.Duration // and how long each is on the way, at most
}

// ParseWebhookChaos reads "duplicate=5%", "delay=30s", …, each once.
func ParseWebhookChaos(list []string, seed uint64) (WebhookChaos, error) {
	c := WebhookChaos{Seed: seed}
	rates := map[string]*Rate{"duplicate": &c.Duplicate, "twin": &c.Twin, "reorder": &c.Reorder, "lose": &c.Lose, "forge": &c.Forge, "old": &c.Old}
	seen := map[string]bool{}
	for _, one := range list {
		name, value, _ := strings.Cut(one, "=")
		if seen[name] {
			return c, fmt.Errorf("%s is given twice", name)
		}
		seen[name] = true
		var err error
		switch rate := rates[name]; {
		case name == "delay":
			if c.Delay, err = time.ParseDuration(value); err == nil && (c.Delay < 0 || c.Delay > maxDelay) {
				err = fmt.Errorf("it can be up to %s", maxDelay)
			}
		case rate == nil:
			return c, fmt.Errorf("nothing called %q can go wrong with a webhook: there are delay, %s", name, strings.Join(slices.Sorted(maps.Keys(rates)), ", "))
		default:
			*rate, err = ParseRate(value)
		}
		if err != nil {
			return c, fmt.Errorf("webhook chaos %s: %w", name, err)
		}
	}
	return c, nil
}

const (
	// maxDelay is how long Stripe tries to deliver a webhook.
	maxDelay = 72 * time.Hour
	// reorderWait is how long an event waits for another one to overtake it.
	reorderWait = 2 * time.Second
	// oldVersion is the API version that [WebhookChaos.Old] pretends.
	oldVersion = "2020-08-27"
)

// fate is what happens to one delivery.
type fate struct {
	twice, late, lost, forged, old bool
	delay                          time.Duration
}

// chaos draws fates.
type chaos struct {
	WebhookChaos
	mu  sync.Mutex
	rng *rand.Rand
}

func newChaos(c WebhookChaos) *chaos {
	return &chaos{WebhookChaos: c, rng: rand.New(rand.NewPCG(c.Seed, uint64(len("webhooks"))))}
}

func (c *chaos) draw() fate {
	c.mu.Lock()
	defer c.mu.Unlock()
	happens := func(r Rate) bool { return c.rng.IntN(always10k) < int(r) }
	f := fate{twice: happens(c.Duplicate), late: happens(c.Reorder), lost: happens(c.Lose), forged: happens(c.Forge), old: happens(c.Old)}
	if c.Delay > 0 {
		f.delay = time.Duration(c.rng.Int64N(int64(c.Delay)))
	}
	return f
}

// twin tells whether an event gets a second one.
func (c *chaos) twin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rng.IntN(always10k) < int(c.Twin)
}
