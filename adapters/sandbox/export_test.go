package sandbox

import (
	"maps"
	"slices"
)

// Endpoints are the patterns of all that is served of Stripe's API.
func Endpoints() []string { return slices.Sorted(maps.Keys(endpoints)) }

// Late tells which of the first n webhooks chaos reorders.
func Late(c WebhookChaos, n int) (late []bool) {
	k := newChaos(c)
	for range n {
		late = append(late, k.draw().late)
	}
	return late
}
