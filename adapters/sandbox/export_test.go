package sandbox

import (
	"maps"
	"slices"
)

// Endpoints are the patterns of all that is served of Stripe's API.
func Endpoints() []string { return slices.Sorted(maps.Keys(endpoints)) }
