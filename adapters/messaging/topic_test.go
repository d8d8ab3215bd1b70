package messaging

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kicau/adapters/command"
)

func TestTopics(t *testing.T) {
	prefixes := func(p ...string) command.Filter { return command.Filter{StreamPrefixes: p} }
	for topic, want := range map[string]struct {
		selection   *Selection // nil: cannot be subscribed to
		publishable bool
	}{
		"$all":                 {&Selection{}, false},
		"order-123":            {&Selection{Filter: prefixes("order-123"), Stream: "order-123"}, true},
		"orders":               {&Selection{Filter: prefixes("orders"), Stream: "orders"}, true},
		"category:order":       {&Selection{Filter: prefixes("order-")}, false},
		"category:order,offer": {&Selection{Filter: prefixes("order-", "offer-")}, false},
		"":                     {nil, false},
		"category:":            {nil, false},
		"category:order,":      {nil, false},
		"category:$stats":      {nil, false},
		"$stats":               {nil, false},
		"$all-1":               {nil, false},
	} {
		got, err := ParseTopic(topic)
		switch {
		case want.selection == nil && err == nil:
			t.Errorf("subscribe to %q: no error", topic)
		case want.selection != nil && err != nil:
			t.Errorf("subscribe to %q: %v", topic, err)
		case want.selection != nil && !cmp.Equal(got, *want.selection):
			t.Errorf("subscribe to %q: %s", topic, cmp.Diff(*want.selection, got))
		}
		stream, err := streamOfTopic(topic)
		if (err == nil) != want.publishable || err == nil && stream != topic {
			t.Errorf("publish to %q: %q, %v", topic, stream, err)
		}
	}
}
