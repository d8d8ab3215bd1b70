package stripe

import (
	"net/http"

	stripego "github.com/stripe/stripe-go/v76"
)

// SetTransport answers a client's requests without a network.
func SetTransport(c *Client, t http.RoundTripper) {
	c.backend.(*stripego.BackendImplementation).HTTPClient.Transport = t
}

// PaceOf is the bound of requests per second that options mean.
func PaceOf(o Options) int { return requestsPerSecond(o) }
