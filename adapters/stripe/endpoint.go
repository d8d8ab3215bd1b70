package stripe

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"

	stripego "github.com/stripe/stripe-go/v76"
)

// news are the events that a webhook is sent: those that name a payment of ours,
// after which it has to be read again (see noticeOf). What else happens at Stripe
// nobody here would listen to; payouts are read by the reconciliation.
var news = []stripego.EventType{
	stripego.EventTypePaymentIntentAmountCapturableUpdated, stripego.EventTypePaymentIntentCanceled,
	stripego.EventTypePaymentIntentPaymentFailed, stripego.EventTypePaymentIntentRequiresAction, stripego.EventTypePaymentIntentSucceeded,
	stripego.EventTypeChargeExpired, stripego.EventTypeChargeRefunded, stripego.EventTypeChargeRefundUpdated,
	stripego.EventTypeRefundCreated, stripego.EventTypeRefundUpdated,
	stripego.EventTypeChargeDisputeCreated, stripego.EventTypeChargeDisputeUpdated, stripego.EventTypeChargeDisputeClosed,
	stripego.EventTypeChargeDisputeFundsWithdrawn, stripego.EventTypeChargeDisputeFundsReinstated,
	stripego.EventTypeRadarEarlyFraudWarningCreated, stripego.EventTypeRadarEarlyFraudWarningUpdated,
}

// Bounds of a registration.
const (
	maxEndpoints = pageSize // Stripe allows sixteen
	// maxReplaced is how often in a day an endpoint may be deleted and made again.
	maxReplaced = 5
)

// Endpoint is a webhook that is registered at Stripe.
type Endpoint struct {
	ID         string   `json:"id"`
	URL        string   `json:"url"`
	Status     string   `json:"status"`     // enabled or disabled
	APIVersion string   `json:"apiVersion"` // empty: the account's own
	Events     []string `json:"events"`
	// Lacks are the events that Kicau has to hear of and that it is not sent.
	Lacks []string `json:"lacks,omitempty"`
}

// Ensured is what became of a registration.
type Ensured struct {
	Endpoint
	Change Change `json:"change"`
	// Secret of the endpoint, when it was made; nobody tells it again.
	Secret string `json:"secret,omitempty"`
}

// Change of an endpoint.
type Change string

// Changes.
const (
	Created   Change = "created"
	Updated   Change = "updated"
	Unchanged Change = "unchanged"
)

// EnsureWebhook has Stripe send our news, and no more, to a URL. Where that is
// registered, the endpoint is kept, with its secret: only other events and being
// switched off are changed. Its API version cannot be; a notice of any version is
// understood (see [Webhook]). The secret is told only when the endpoint is made;
// that of one that there was is in Stripe's Dashboard. When the answer to a
// registration is lost, the endpoint is found the next time, and its secret has
// to be copied from there as well.
func (c *Client) EnsureWebhook(ctx context.Context, address string) (Ensured, error) {
	if err := checkHook(address); err != nil {
		return Ensured{}, err
	}
	there, f := seekUpTo(c, "/v1/webhook_endpoints", &stripego.WebhookEndpointListParams{ListParams: page(ctx)}, maxEndpoints,
		func(e *hook) (string, bool) { return e.ID, e.URL == address })
	if f != nil {
		return Ensured{}, fmt.Errorf("list the webhooks at Stripe: %s", f.reason)
	}
	if there != nil {
		return c.mendWebhook(ctx, there)
	}
	return c.newWebhook(ctx, address)
}

// Webhooks that are registered at Stripe, newest first.
func (c *Client) Webhooks(ctx context.Context) iter.Seq2[Endpoint, error] {
	rows := listed(c, "/v1/webhook_endpoints", &stripego.WebhookEndpointListParams{ListParams: page(ctx)}, maxEndpoints,
		func(e *hook) string { return e.ID })
	return told(rows, "the webhooks", func(e *hook) (Endpoint, error) { return endpointOf(e), nil })
}

func endpointOf(e *hook) Endpoint {
	at := Endpoint{ID: e.ID, URL: e.URL, Status: e.Status, APIVersion: e.APIVersion, Events: append([]string{}, e.EnabledEvents...)}
	if !slices.Contains(at.Events, "*") {
		for _, n := range news {
			if !slices.Contains(at.Events, string(n)) {
				at.Lacks = append(at.Lacks, string(n))
			}
		}
	}
	return at
}

// checkHook refuses an address at which news could be read on the way, or that
// is none.
func checkHook(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.Fragment != "" {
		return fmt.Errorf("register a webhook: %q is not an address; write it like https://shop.example/webhooks/stripe", address)
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return fmt.Errorf("register a webhook: %s would be reached over a network in the clear; use https", u.Host)
	}
	return nil
}

// newWebhook makes an endpoint. Within a day Stripe answers the same key with the
// endpoint that was made under it, though it may have been deleted since: then
// the next key is taken.
func (c *Client) newWebhook(ctx context.Context, address string) (Ensured, error) {
	events := wanted()
	// The key is that of the whole request: with other events it is another one.
	sum := sha256.Sum256([]byte(strings.Join(append(events, address), " ")))
	for n := range maxReplaced {
		e := &hook{}
		err := c.call(http.MethodPost, "/v1/webhook_endpoints", &stripego.WebhookEndpointParams{
			Params:        keyed(ctx, fmt.Sprintf("v1:webhook:%s:%d", hex.EncodeToString(sum[:]), n+1)),
			URL:           &address,
			EnabledEvents: stripego.StringSlice(events),
			APIVersion:    stripego.String(stripego.APIVersion),
			Description:   stripego.String("Kicau"),
		}, e)
		if err != nil {
			return Ensured{}, fmt.Errorf("register %s as a webhook at Stripe: %s", address, failureOf(err).reason)
		}
		if e.Repeated {
			err := c.call(http.MethodGet, pathOf(e), &stripego.WebhookEndpointParams{Params: params(ctx)}, &hook{})
			if err != nil && failureOf(err).nothingLikeThat {
				continue
			}
			if err != nil {
				return Ensured{}, fmt.Errorf("read webhook %s at Stripe: %s", short(e.ID), failureOf(err).reason)
			}
		}
		if e.Secret == "" {
			return Ensured{}, errors.New("register a webhook at Stripe: the answer holds no secret; copy it from the Dashboard")
		}
		return Ensured{endpointOf(e), Created, e.Secret}, nil
	}
	return Ensured{}, fmt.Errorf("register %s as a webhook at Stripe: it was made and deleted %d times today; make it in the Dashboard, or try tomorrow", address, maxReplaced)
}

// mendWebhook switches an endpoint on, with our events. What is written is the
// whole of it, so that its key is only a name for this one request.
func (c *Client) mendWebhook(ctx context.Context, e *hook) (Ensured, error) {
	events := wanted()
	if e.Status == "enabled" && slices.Equal(slices.Sorted(slices.Values(e.EnabledEvents)), events) {
		return Ensured{Endpoint: endpointOf(e), Change: Unchanged}, nil
	}
	now := &hook{}
	err := c.call(http.MethodPost, pathOf(e), &stripego.WebhookEndpointParams{
		Params:        keyed(ctx, fmt.Sprintf("v1:webhook:%s:%d", e.ID, c.now().UnixNano())),
		EnabledEvents: stripego.StringSlice(events), Disabled: stripego.Bool(false)}, now)
	if err != nil {
		return Ensured{}, fmt.Errorf("mend webhook %s at Stripe: %s", short(e.ID), failureOf(err).reason)
	}
	return Ensured{Endpoint: endpointOf(now), Change: Updated}, nil
}

func pathOf(e *hook) string { return stripego.FormatURLPath("/v1/webhook_endpoints/%s", e.ID) }

// wanted are the names of our news, sorted.
func wanted() []string {
	names := make([]string, len(news))
	for i, n := range news {
		names[i] = string(n)
	}
	slices.Sort(names)
	return names
}
