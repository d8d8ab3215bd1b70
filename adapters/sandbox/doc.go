// Package sandbox is Stripe without Stripe: an HTTP server that speaks the part
// of Stripe's API (version 2023-10-16) that Kicau uses, and remembers. A client
// library is pointed at it by its base URL and cannot tell the difference.
//
// Its laws:
//   - nothing is answered, and no webhook is sent, before everything the answer
//     says is on disk (when a directory is given);
//   - an idempotency key is saved together with what its request did, in one
//     write: after a crash there are both or neither;
//   - every movement of money is a balance transaction of the platform or of a
//     connected account, between two of them one of each, posted to a double-entry
//     book that sums to zero; a balance is the sum of its balance transactions
//     (see [Server.Verify]);
//   - a refused request changes nothing; a declined card is not a refusal but an
//     outcome, and is recorded like one;
//   - time is [Options.Now] or [Options.Clock] and nothing else: an authorisation
//     runs out, funds become available and a key is forgotten when the clock says
//     so, each in its own time and in the order of time; without a virtual clock
//     nobody has to ask for it. Only webhooks are real: when they are signed under
//     a virtual clock, and the pauses between attempts;
//   - what goes wrong on purpose ([Options.Faults], [Options.WebhookChaos]) is
//     drawn from a seed, and never changes what was answered or recorded.
//
// What it does not serve, it refuses by name: an unknown path is a 404, an
// unknown parameter is parameter_unknown, another API version is an error.
//
// From the outside in: server.go (life), api.go (a request), idempotency.go,
// params.go and expand.go (what is asked), intents.go, confirm.go, capture.go,
// refunds.go, disputes.go, transfers.go, payouts.go, setups.go … (what is done),
// clock.go and alarms.go (what happens by itself), wire.go (what is answered),
// state.go, book.go and journal.go (what is remembered), endpoints.go, webhooks.go
// and pages.go (who is told, and who is asked to pay), faults.go and chaos.go
// (what goes wrong), local.go (all of it in one process, without a network).
// docs/stripe-sandbox.md tells users what is served.
//
// Trust: the journal holds client secrets and saved answers, so it is readable
// by its owner only. Whoever changes it changes what the sandbox believes about
// play money; no real money and no real card ever enters: only the card numbers
// that Stripe publishes for testing are accepted, and of those only brand, last
// four digits, expiry and a fingerprint are kept.
package sandbox
