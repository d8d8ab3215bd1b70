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

// A service on an event store: a group of workers charges cards, and a read
// model follows what they do.
func Example() {
	dir, err := os.MkdirTemp("", "messaging-example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := node.Open(node.Options{Dir: dir}) // or esdb.Open, a client of an EventStoreDB cluster
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	// Publish: the topic is the stream.
	publisher := messaging.NewPublisher(store.Log(), messaging.PublisherConfig{})
	for _, order := range []string{"order-1", "order-2"} {
		m := message.NewMessage(watermill.NewUUID(), []byte(`{"total":4200}`))
		m.Metadata.Set(messaging.EventType, "OrderPlaced")
		if err := publisher.Publish(order, m); err != nil {
			log.Fatal(err)
		}
	}

	router, err := message.NewRouter(message.RouterConfig{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	router.AddMiddleware(messaging.KeepReason) // first: so that parked messages say why

	// Act: eight orders at once in this process, and in each other one that has
	// the same group. What fails comes again, up to ten times; then it is parked.
	workers, err := messaging.NewGroupSubscriber(store.Groups(), messaging.GroupConfig{
		Name: "charge", InFlight: 8, MaxRetries: 10,
	})
	if err != nil {
		log.Fatal(err)
	}
	router.AddConsumerHandler("charge cards", "category:order", workers, func(m *message.Message) error {
		if m.Metadata.Get(messaging.EventType) != "OrderPlaced" {
			return nil
		}
		// Charge the card here, in a way that does no harm when it happens twice.
		charged := message.NewMessage("charged "+m.UUID, []byte(`{}`)) // and so the same message each time
		charged.Metadata.Set(messaging.EventType, "CardCharged")
		return publisher.Publish(m.Metadata.Get(messaging.EventStream), charged)
	})

	// Follow: everything, in the order in which it happened, from the start.
	follow := messaging.NewSubscriber(store.Log(), messaging.SubscriberConfig{})
	revenue := 0
	router.AddConsumerHandler("add up", "$all", follow, func(m *message.Message) error {
		if m.Metadata.Get(messaging.EventType) == "CardCharged" {
			if revenue += 4200; revenue == 8400 {
				go router.Close() // and let what is in flight finish
			}
		}
		return nil
	})
	if err := router.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Println("revenue", revenue)
	// Output:
	// revenue 8400
}

// What a group cannot deal with is parked with its reason, and can be replayed
// when the reason is gone.
func ExampleGroupSubscriber() {
	store, cleanUp := exampleStore()
	defer cleanUp()
	publisher := messaging.NewPublisher(store.Log(), messaging.PublisherConfig{})
	for _, letter := range []string{`"to Ann"`, `"to nobody"`, `"to Bob"`} {
		if err := publisher.Publish("letters", message.NewMessage(watermill.NewUUID(), []byte(letter))); err != nil {
			log.Fatal(err)
		}
	}

	nobodyHasMovedIn := false
	post := func(letter string) error {
		if letter == `"to nobody"` && !nobodyHasMovedIn {
			return messaging.Permanent(errors.New("unknown address")) // do not try again
		}
		fmt.Println("posted", letter)
		return nil
	}

	// Without InFlight there is one message at a time, in order.
	subscriber, err := messaging.NewGroupSubscriber(store.Groups(), messaging.GroupConfig{Name: "postman"})
	if err != nil {
		log.Fatal(err)
	}
	defer subscriber.Close()
	letters, err := subscriber.Subscribe(context.Background(), "letters")
	if err != nil {
		log.Fatal(err)
	}
	deliver := func(n int) {
		for range n {
			m := <-letters
			if err := post(string(m.Payload)); err != nil {
				messaging.Nack(m, err) // in a Router the KeepReason middleware does it
			} else {
				m.Ack()
			}
		}
	}
	deliver(3)

	// An operator looks at what is parked, and has it delivered again.
	group, err := subscriber.Group("letters")
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range waitForParked(store.Groups(), group) {
		fmt.Printf("parked %s: %q\n", p.Event.Data, p.Reason)
	}
	nobodyHasMovedIn = true
	if err := store.Groups().ReplayParked(context.Background(), group); err != nil {
		log.Fatal(err)
	}
	deliver(1)
	// Output:
	// posted "to Ann"
	// posted "to Bob"
	// parked "to nobody": "Client explicitly NAK'ed message.\nunknown address"
	// posted "to nobody"
}

// waitForParked waits until something is.
func waitForParked(groups command.Groups, g command.Group) (all []command.ParkedEvent) {
	for len(all) == 0 {
		for p, err := range groups.Parked(context.Background(), g) {
			if err != nil {
				log.Fatal(err)
			}
			all = append(all, p)
		}
	}
	return all
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
