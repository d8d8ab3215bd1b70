// Package messaging is a Watermill Publisher and two Subscribers over an event
// store: an append-only log of streams behind [command.Log] and
// [command.Groups], the embedded node or an EventStoreDB cluster. It can be used
// without the rest of Kicau.
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
// [PublisherConfig].Stream and the Topic of a subscriber's configuration put
// other rules in the place of these.
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
// # Two ways to subscribe
//
// A [Subscriber] follows the log: every subscription gets every message, in
// order, and the consumer keeps its place itself. It is for what is derived
// from the log: read models, caches, exports.
//
// A [GroupSubscriber] takes part in a consumer group, which the event store
// calls a persistent subscription: the subscriptions of a group share the
// messages, and the event store keeps the place, gives out again what failed
// and parks what will never succeed. It is for what acts on the world: pay,
// mail, call. Acting again may happen, so it must do no harm.
//
// In both a message is handed over with a context that ends with its Ack or
// Nack, and [EventOf] gives the event that it stands for.
//
// # Following the log
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
// # Taking part in a group
//
// A group is made by its first subscription and stays, with the settings it was
// made with, until it is deleted in the event store. It begins with the first
// event there is, unless [GroupConfig].FromEnd. There may be
// [GroupConfig].InFlight messages of a subscription at work at once: with 1, and
// one subscription, they come in order; more come in the order of the log, too,
// but are done when they are done.
//
// What becomes of a message:
//
//	Ack                 it is done and does not come again
//	Nack                it comes again after a pause, longer each time
//	after MaxRetries    it is parked, with the reason
//	a permanent error   it is parked at once, with the reason
//	a panic             as a Nack, with the panic as the reason
//	neither in time     after MessageTimeout its context ends and it comes again,
//	                    maybe to another process, even if it is still at work here
//	Close, or a crash   what was not acked comes again, to others at once
//
// Nothing is skipped. For reasons, add [KeepReason] to the Router, before its
// other middlewares: Watermill's Nack does not say why. [Permanent] marks an
// error that trying again will not help. An operator finds the parked messages
// in the group that [GroupSubscriber.Group] names, and can replay them. A link
// whose event was deleted is acked and logged, and handed to nobody.
//
// Close, which a Router calls when it is closed, takes no new messages and lets
// those in flight finish, for at most [GroupConfig].Drain. The end of the
// context that was given to Subscribe, or to Router.Run, ends the contexts of
// messages in flight as well, as Watermill has it; their acks are still heard.
//
// When the connection is lost it is taken up again, after a pause, for as long
// as it takes. An ack that was lost with it is not known to the event store: the
// message comes again.
package messaging
