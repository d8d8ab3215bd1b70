package stripe

import (
	"context"
	"fmt"

	stripego "github.com/stripe/stripe-go/v76"
	stripeaccount "github.com/stripe/stripe-go/v76/account"
)

// CreateAccount makes a connected account for a shop, under an idempotency key,
// and returns its id.
func (c *Client) CreateAccount(ctx context.Context, name, key string) (string, error) {
	accounts := stripeaccount.Client{B: c.backend, Key: c.key}
	a, err := accounts.New(&stripego.AccountParams{
		Params: withName(keyed(ctx, key), name),
		Type:   stripego.String(string(stripego.AccountTypeExpress)),
		Capabilities: &stripego.AccountCapabilitiesParams{
			Transfers: &stripego.AccountCapabilitiesTransfersParams{Requested: stripego.Bool(true)},
		},
	})
	if err != nil {
		f := failureOf(err)
		return "", fmt.Errorf("make a connected account for %q: %s (%s)", name, f.reason, f.code)
	}
	return a.ID, nil
}

func withName(p stripego.Params, name string) stripego.Params {
	p.AddMetadata("name", name)
	return p
}
