package stripe

import (
	"context"
	"fmt"
	"net/http"

	stripego "github.com/stripe/stripe-go/v76"
)

// CreateAccount makes a connected account for a shop, under an idempotency key,
// and returns its id.
func (c *Client) CreateAccount(ctx context.Context, name, key string) (string, error) {
	a := &account{}
	err := c.call(http.MethodPost, "/v1/accounts", &stripego.AccountParams{
		Params: withName(keyed(ctx, key), name),
		Type:   stripego.String(string(stripego.AccountTypeExpress)),
		Capabilities: &stripego.AccountCapabilitiesParams{
			Transfers: &stripego.AccountCapabilitiesTransfersParams{Requested: stripego.Bool(true)},
		},
	}, a)
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
