package messaging

import (
	"fmt"
	"strings"

	"kicau/adapters/command"
)

// Selection is what a topic stands for when one subscribes to it.
type Selection struct {
	Filter command.Filter
	// Stream, when set, lets events of exactly this stream through. The filter
	// must let them through too.
	Stream string
}

// The words of the grammar of topics.
const (
	topicAll      = "$all"
	topicCategory = "category:"
)

// ParseTopic reads a topic to subscribe to as the package comment says.
func ParseTopic(topic string) (Selection, error) {
	if topic == topicAll {
		return Selection{}, nil
	}
	if names, ok := strings.CutPrefix(topic, topicCategory); ok {
		var s Selection
		for name := range strings.SplitSeq(names, ",") {
			if err := checkStream(name); err != nil {
				return Selection{}, fmt.Errorf("topic %q: category %w", topic, err)
			}
			s.Filter.StreamPrefixes = append(s.Filter.StreamPrefixes, name+"-")
		}
		return s, nil
	}
	if err := checkStream(topic); err != nil {
		return Selection{}, fmt.Errorf("topic %w: subscribe to a stream, %q or %q", err, topicCategory+"name,name", topicAll)
	}
	return Selection{Filter: command.Filter{StreamPrefixes: []string{topic}}, Stream: topic}, nil
}

// streamOfTopic reads a topic to publish to.
func streamOfTopic(topic string) (string, error) {
	if strings.HasPrefix(topic, topicCategory) {
		return "", fmt.Errorf("topic %q is a category: publish to one stream", topic)
	}
	if err := checkStream(topic); err != nil {
		return "", fmt.Errorf("topic %w: publish to a stream", err)
	}
	return topic, nil
}

// checkStream refuses names of streams that are not the user's to use.
func checkStream(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%q is empty", name)
	case strings.HasPrefix(name, "$"):
		return fmt.Errorf("%q is a name of the event store's own ($)", name)
	}
	return nil
}
