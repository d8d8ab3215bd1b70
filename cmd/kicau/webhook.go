package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"kicau/adapters/stripe"
)

type webhookCmd struct {
	Ensure webhookEnsure `cmd:"" help:"Have Stripe send to an address what Kicau listens to."`
	List   webhookList   `cmd:"" help:"List what is registered."`
}

// atStripe is a command that asks a Stripe account and nothing else: it needs no
// data directory.
type atStripe struct {
	Sandbox string `help:"Address of a 'kicau stripe-sandbox' to ask in place of Stripe." placeholder:"URL"`
}

// client of the account that --stripe-key is of.
func (a atStripe) client(g *Global) (*stripe.Client, error) {
	if a.Sandbox == "" && g.StripeKey == "" {
		return nil, usageError{errors.New("give --stripe-key, whose account it is about, or --sandbox; the sandbox that 'kicau serve' has built in needs no registration")}
	}
	o := stripe.Options{SecretKey: g.StripeKey, BaseURL: a.Sandbox, Logger: g.logger()}
	if a.Sandbox != "" {
		o.SecretKey = cmp.Or(o.SecretKey, sandboxKey)
	}
	client, err := stripe.New(o)
	if err != nil {
		return nil, usageError{err}
	}
	return client, nil
}

type webhookEnsure struct {
	atStripe
	URL string `name:"url" required:"" help:"Where Stripe reaches this shop: https, or this machine. 'kicau serve' listens at /webhooks/stripe of --listen." placeholder:"URL"`
}

func (webhookEnsure) Help() string {
	return `Makes the webhook endpoint at Stripe, with the events that Kicau listens to and API version
2023-10-16; one that is registered at that address gets those events, and is switched on. Given
again, it changes nothing.

The signing secret is printed when the endpoint is made, and never again: give it to 'kicau serve'
as KICAU_STRIPE_WEBHOOK_SECRET. That of an endpoint that there was is in Stripe's Dashboard.

Examples:
  kicau webhook ensure --url https://shop.example/webhooks/stripe
  kicau webhook ensure --url http://127.0.0.1:8080/webhooks/stripe --sandbox http://127.0.0.1:12111 --output json`
}

func (c *webhookEnsure) Run(ctx context.Context, g *Global) error {
	client, err := c.client(g)
	if err != nil {
		return err
	}
	defer client.Close()
	e, err := client.EnsureWebhook(ctx, c.URL)
	if err != nil {
		return err
	}
	return g.say(e, "%s", ensuredText(e))
}

const webhookPath = "/webhooks/stripe"

func ensuredText(e stripe.Ensured) string {
	var b strings.Builder
	fmt.Fprintf(&b, "webhook %s at %s: %s, %d events, API version %s", e.ID, e.URL, e.Change, len(e.Events), cmp.Or(e.APIVersion, "of the account"))
	if u, err := url.Parse(e.URL); err == nil && u.Path != webhookPath {
		fmt.Fprintf(&b, "\n'kicau serve' listens at %s: what is in front of it has to pass %s on to there", webhookPath, cmp.Or(u.Path, "/"))
	}
	if e.Secret != "" {
		fmt.Fprintf(&b, "\nIts signing secret, which is shown this once; 'kicau serve' needs it:\n  export KICAU_STRIPE_WEBHOOK_SECRET=%s", e.Secret)
	}
	return b.String()
}

type webhookList struct{ atStripe }

func (webhookList) Help() string { return "Example:\n  kicau webhook list --output json" }

func (c *webhookList) Run(ctx context.Context, g *Global) error {
	client, err := c.client(g)
	if err != nil {
		return err
	}
	defer client.Close()
	none := true
	for e, err := range client.Webhooks(ctx) {
		if err != nil {
			return err
		}
		none = false
		text := fmt.Sprintf("%s  %s  %s  API version %s  %d events", e.ID, e.Status, e.URL, cmp.Or(e.APIVersion, "of the account"), len(e.Events))
		if len(e.Lacks) > 0 {
			text += "\n  lacks " + strings.Join(e.Lacks, ", ")
		}
		if err := g.say(e, "%s", text); err != nil {
			return err
		}
	}
	if none && !g.json() {
		fmt.Fprintln(g.stdout, "no webhooks")
	}
	return nil
}
