// Package messaging is a Watermill Publisher and Subscriber over an event
// store: an append-only log of streams behind [command.Log], the embedded node
// or an EventStoreDB cluster. It can be used without the rest of Kicau.
//
// # Topics
//
// One publishes to a stream and subscribes to a stream, to categories of
// streams or to everything:
//
//	order-123             the stream of that name (to publish and to subscribe)
//	category:order,offer  every stream whose name begins with order- or offer-
//	$all                  every stream but those of the system
//
// [PublisherConfig].Stream and [SubscriberConfig].Topic put other rules in the
// place of these.
//
// # Publishing
//
// The messages of one Publish call to a stream are appended as one: all or
// none, durable when Publish returns. The id of an event is the message's UUID,
// or follows from it when it is not a UUID, so publishing the same messages
// again is publishing the same events again. What the stream must look like is
// said with [ExpectRevision]; if it does not, Publish returns a
// [*command.WrongRevision] and nothing was written. With an expected revision a
// Publish that failed for any other reason can be repeated until it succeeds
// (say, by Watermill's Retry middleware) and is done once. Without one it may
// be done twice.
//
// The payload is the event's data. Event stores keep JSON; a payload that is
// not JSON is wrapped, and a Subscriber unwraps it. Metadata is kept as a JSON
// object, with Watermill's correlation_id also under $correlationId, the name
// by which EventStoreDB knows it.
//
// # Subscribing
//
// A subscription begins where the consumer's checkpoint is, reads what is there
// and then what comes, for ever, in the order of the log. It hands over one
// message at a time: the next after the Ack of the one before. A Nack brings
// the same message again after a pause. When the log is out of reach the
// subscription tries again, after a pause, from the last message that was
// acked. So a consumer that keeps its checkpoint together with what it derives
// from the messages, in one transaction, sees each message's effect once,
// whatever breaks.
//
// A message is one event, or, with [SubscriberConfig].Pages, a page of up to
// [command.MaxPageEvents] consecutive events: one hop through a Router, one
// transaction and one ack a page instead of one an event.
//
// There are no consumer groups: every subscription gets every message. To share
// work between processes, use a competing subscription of the event store.
package messaging
