package stripe

import (
	"net/http"
)

// SetTransport answers a client's requests without a network.
func SetTransport(c *Client, t http.RoundTripper) {
	c.calls.Transport = t
}

// Shapes, for tests that read the same into stripe-go's types.
type (
	PaymentIntent = paymentIntent
	LatestCharge  = latestCharge
	Charged       = charged
	Refund        = refund
	Moved         = moved
	Dispute       = dispute
	Warning       = warning
	PaidOut       = paidOut
	Customer      = customer
	Booked        = booked
	Event         = event
	Ref           = ref
	Source        = source
	Hook          = hook
	Balance       = balance
	Account       = account
)

// PaceOf is the bound of requests per second that options mean.
func PaceOf(o Options) int { return requestsPerSecond(o) }
