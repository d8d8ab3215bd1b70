package stripe

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"

	stripego "github.com/stripe/stripe-go/v76"
)

// news are the events that a webhook is sent: those after which something of ours
// may have to be read again.
var news = []stripego.EventType{
	stripego.EventTypePaymentIntentAmountCapturableUpdated, stripego.EventTypePaymentIntentCanceled,
	stripego.EventTypePaymentIntentPaymentFailed, stripego.EventTypePaymentIntentRequiresAction, stripego.EventTypePaymentIntentSucceeded,
	stripego.EventTypeChargeExpired, stripego.EventTypeChargeRefunded, stripego.EventTypeChargeRefundUpdated,
	stripego.EventTypeRefundCreated, stripego.EventTypeRefundUpdated,
	stripego.EventTypeChargeDisputeCreated, stripego.EventTypeChargeDisputeUpdated, stripego.EventTypeChargeDisputeClosed,
	stripego.EventTypeChargeDisputeFundsWithdrawn, stripego.EventTypeChargeDisputeFundsReinstated,
	stripego.EventTypeRadarEarlyFraudWarningCreated, stripego.EventTypeRadarEarlyFraudWarningUpdated,
	stripego.EventTypeTransferReversed,
	stripego.EventTypePayoutCreated, stripego.EventTypePayoutUpdated, stripego.EventTypePayoutPaid,
	stripego.EventTypePayoutFailed, stripego.EventTypePayoutCanceled,
}

// Bounds of a registration.
const (
	maxEndpoints = pageSize // Stripe allows sixteen
	// maxReplaced is how often in a day an endpoint may be deleted and made again.
	maxReplaced = 5
)

// EnsureWebhook has Stripe send our news to a URL. Where that is registered, it is
// left as it is, but for events that it lacks and for being switched off. The
// secret is told only when the endpoint is made; that of one that there was is in
// Stripe's Dashboard. When the answer to a registration is lost, the endpoint is
// found the next time, and its secret has to be copied from there as well.
func (c *Client) EnsureWebhook(ctx context.Context, address string) (secret string, created bool, err error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		return "", false, fmt.Errorf("register a webhook: %q is not an address; write it like https://shop.example/webhooks/stripe", address)
	}
	there, f := seekUpTo(c, "/v1/webhook_endpoints", &stripego.WebhookEndpointListParams{ListParams: page(ctx)}, maxEndpoints,
		func(e *stripego.WebhookEndpoint) (string, bool) { return e.ID, e.URL == address })
	if f != nil {
		return "", false, fmt.Errorf("list the webhooks at Stripe: %s", f.reason)
	}
	if there != nil {
		return "", false, c.mendWebhook(ctx, there)
	}
	secret, err = c.newWebhook(ctx, address)
	return secret, err == nil, err
}

// newWebhook makes an endpoint. Within a day Stripe answers the same key with the
// endpoint that was made under it, though it may have been deleted since: then
// the next key is taken.
func (c *Client) newWebhook(ctx context.Context, address string) (string, error) {
	sum := sha256.Sum256([]byte(address))
	for n := range maxReplaced {
		e, err := c.endpoints.New(&stripego.WebhookEndpointParams{
			Params:        keyed(ctx, fmt.Sprintf("v1:webhook:%s:%d", hex.EncodeToString(sum[:]), n+1)),
			URL:           &address,
			EnabledEvents: wanted(nil),
			APIVersion:    stripego.String(stripego.APIVersion),
			Description:   stripego.String("Kicau"),
		})
		if err != nil {
			return "", fmt.Errorf("register %s as a webhook at Stripe: %s", address, failureOf(err).reason)
		}
		if e.LastResponse.Header.Get("Idempotent-Replayed") == "true" {
			_, err := c.endpoints.Get(e.ID, &stripego.WebhookEndpointParams{Params: params(ctx)})
			if err != nil && failureOf(err).nothingLikeThat {
				continue
			}
			if err != nil {
				return "", fmt.Errorf("read webhook %s at Stripe: %s", short(e.ID), failureOf(err).reason)
			}
		}
		if e.Secret == "" {
			return "", errors.New("register a webhook at Stripe: the answer holds no secret; copy it from the Dashboard")
		}
		return e.Secret, nil
	}
	return "", fmt.Errorf("register %s as a webhook at Stripe: it was made and deleted %d times today; make it in the Dashboard, or try tomorrow", address, maxReplaced)
}

// mendWebhook switches an endpoint on, with the events that it lacks beside those
// that somebody else wants. What is written is the whole of it, so that its key is
// only a name for this one request.
func (c *Client) mendWebhook(ctx context.Context, e *stripego.WebhookEndpoint) error {
	events := wanted(e.EnabledEvents)
	if e.Status == "enabled" && len(events) == len(e.EnabledEvents) {
		return nil
	}
	_, err := c.endpoints.Update(e.ID, &stripego.WebhookEndpointParams{
		Params:        keyed(ctx, fmt.Sprintf("v1:webhook:%s:%d", e.ID, c.now().UnixNano())),
		EnabledEvents: events, Disabled: stripego.Bool(false)})
	if err != nil {
		return fmt.Errorf("mend webhook %s at Stripe: %s", short(e.ID), failureOf(err).reason)
	}
	return nil
}

// wanted are the events that there are, and those that ought to be.
func wanted(there []string) []*string {
	if slices.Contains(there, "*") {
		return stripego.StringSlice(there)
	}
	for _, n := range news {
		if !slices.Contains(there, string(n)) {
			there = append(there[:len(there):len(there)], string(n))
		}
	}
	return stripego.StringSlice(there)
}
