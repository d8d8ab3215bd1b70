package messaging_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"kicau/adapters/command"
	"kicau/adapters/messaging"
	"kicau/adapters/node"
	"kicau/domain/event"
)

// Publish events to two streams and let a Router follow both, from the start.
func Example() {
	dir, err := os.MkdirTemp("", "messaging-example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := node.Open(node.Options{Dir: dir}) // or a client of an EventStoreDB cluster
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	publisher := messaging.NewPublisher(store.Log(), messaging.PublisherConfig{})
	publish := func(stream, eventType, data string) {
		m := message.NewMessage(watermill.NewUUID(), []byte(data))
		m.Metadata.Set(messaging.EventType, eventType)
		if err := publisher.Publish(stream, m); err != nil {
			log.Fatal(err)
		}
	}
	publish("order-1", "OrderPlaced", `{"total":4200}`)
	publish("offer-7", "OfferTweeted", `{"text":"Buy me"}`)
	publish("order-1", "OrderShipped", `{}`)

	router, err := message.NewRouter(message.RouterConfig{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	subscriber := messaging.NewSubscriber(store.Log(), messaging.SubscriberConfig{})
	seen := 0
	router.AddNoPublisherHandler("print", "category:order,offer", subscriber, func(m *message.Message) error {
		fmt.Println(m.Metadata.Get(messaging.EventStream), m.Metadata.Get(messaging.EventType), string(m.Payload))
		if seen++; seen == 3 {
			go router.Close()
		}
		return nil
	})
	if err := router.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// order-1 OrderPlaced {"total":4200}
	// offer-7 OfferTweeted {"text":"Buy me"}
	// order-1 OrderShipped {}
}

// A read model keeps its checkpoint with what it derives, and takes a page of
// events at a time.
func ExampleSubscriberConfig_pages() {
	store, cleanUp := exampleStore()
	defer cleanUp()
	publisher := messaging.NewPublisher(store.Log(), messaging.PublisherConfig{})
	for _, total := range []string{`10`, `20`, `30`} {
		if err := publisher.Publish("order-1", message.NewMessage(watermill.NewUUID(), []byte(total))); err != nil {
			log.Fatal(err)
		}
	}

	var model struct { // in earnest a database; changed in one transaction
		revenue    int
		checkpoint event.Position
	}
	subscriber := messaging.NewSubscriber(store.Log(), messaging.SubscriberConfig{
		Pages: true,
		From:  func(context.Context, string) (event.Position, error) { return model.checkpoint, nil },
	})
	defer subscriber.Close()
	pages, err := subscriber.Subscribe(context.Background(), "$all")
	if err != nil {
		log.Fatal(err)
	}
	for m := range pages {
		page, _ := messaging.PageOf(m)
		for _, e := range page.Events {
			var total int
			if err := json.Unmarshal(e.Data, &total); err != nil {
				log.Fatal(err)
			}
			model.revenue += total
		}
		model.checkpoint = page.Last
		m.Ack() // only now
		if page.Live {
			break
		}
	}
	fmt.Println("revenue", model.revenue)
	// Output:
	// revenue 60
}

// Append only if nobody else has.
func ExampleExpectRevision() {
	store, cleanUp := exampleStore()
	defer cleanUp()
	publisher := messaging.NewPublisher(store.Log(), messaging.PublisherConfig{})
	for _, buyer := range []string{`"ann"`, `"bob"`} {
		m := message.NewMessage(watermill.NewUUID(), []byte(buyer))
		messaging.ExpectRevision(m, command.NoStream)
		err := publisher.Publish("ticket-1", m)
		var wrong *command.WrongRevision
		switch {
		case errors.As(err, &wrong):
			fmt.Println(buyer, "is too late: the stream is at", wrong.Actual)
		case err != nil:
			log.Fatal(err)
		default:
			fmt.Println(buyer, "has the ticket")
		}
	}
	// Output:
	// "ann" has the ticket
	// "bob" is too late: the stream is at revision 0
}

func exampleStore() (*node.Node, func()) {
	dir, err := os.MkdirTemp("", "messaging-example")
	if err != nil {
		log.Fatal(err)
	}
	store, err := node.Open(node.Options{Dir: dir})
	if err != nil {
		log.Fatal(err)
	}
	return store, func() {
		store.Close()
		os.RemoveAll(dir)
	}
}
