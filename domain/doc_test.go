package domain_test

import (
	"slices"
	"strings"
	"testing"

	"kicau/domain"
	"kicau/domain/buyer"
	"kicau/domain/event"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/payout"
	"kicau/domain/reconcile"
	"kicau/domain/shop"
)

// Who reads by prefix reads every stream of Kicau's, each under one prefix.
func TestPrefixesCoverTheStreams(t *testing.T) {
	used := map[string]bool{}
	for _, stream := range []string{shop.Stream(potter), offer.Stream(mugs), order.Stream(first), buyer.Stream(ann), payout.Stream("po_1"), reconcile.Stream("acct_1"), event.LogStream} {
		i := slices.IndexFunc(domain.Prefixes, func(p string) bool { return strings.HasPrefix(stream, p) })
		if i < 0 {
			t.Errorf("%s has none of the prefixes %q", stream, domain.Prefixes)
			continue
		}
		used[domain.Prefixes[i]] = true
	}
	if len(used) != len(domain.Prefixes) {
		t.Errorf("of the prefixes %q only %v are used", domain.Prefixes, used)
	}
}
