package stripe

import (
	"context"
	"iter"
	"time"

	stripego "github.com/stripe/stripe-go/v76"
)

// NewsLife is how long Stripe lists what happened
// (https://docs.stripe.com/api/events/list).
const NewsLife = 30 * 24 * time.Hour

// News is what happened at Stripe from since on, newest first: the notices that
// were sent to webhooks, or should have been. What is older than [NewsLife] is
// not told any more. It is read as [Client.Movements] is.
func (c *Client) News(ctx context.Context, since time.Time) iter.Seq2[Notice, error] {
	rows := listed(c, "/v1/events", &stripego.EventListParams{ListParams: page(ctx), CreatedRange: between(since, time.Time{})}, maxBooks,
		func(e *stripego.Event) string { return e.ID })
	return told(rows, "events", func(e *stripego.Event) (Notice, error) { return noticeOf(e), nil })
}
