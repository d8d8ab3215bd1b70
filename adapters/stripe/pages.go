package stripe

import (
	"context"
	"fmt"
	"iter"
	"net/http"

	stripego "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/form"
)

// pageSize is Stripe's most.
const pageSize = 100

func page(ctx context.Context) stripego.ListParams {
	return stripego.ListParams{Context: ctx, Limit: stripego.Int64(pageSize)}
}

// listed pages through a list, newest first, at most so many objects of it; a
// page is asked for when the one before is used up. A failure is the last thing
// that it yields. (stripe-go's own iterator panics on an empty page that promises
// more.)
func listed[T any](c *Client, path string, p stripego.ListParamsContainer, most int, id func(*T) string) iter.Seq2[*T, *failure] {
	return func(yield func(*T, *failure) bool) {
		for range most / pageSize {
			var list struct {
				HasMore bool `json:"has_more"`
				Data    []*T `json:"data"`
			}
			query := &form.Values{}
			form.AppendTo(query, p)
			if err := c.send(http.MethodGet, path, query, p.GetListParams().GetParams(), &list); err != nil {
				yield(nil, failureOf(err))
				return
			}
			last := ""
			for _, x := range list.Data {
				if x == nil {
					continue
				}
				last = id(x)
				if !yield(x, nil) {
					return
				}
			}
			if !list.HasMore {
				return
			}
			if last == "" {
				yield(nil, &failure{reason: "Stripe's answer promises a page that it does not tell the way to"})
				return
			}
			p.GetListParams().StartingAfter = &last
		}
		yield(nil, tooMany(most))
	}
}

// tooMany is the failure of a list that would take too long.
func tooMany(most int) *failure {
	return &failure{reason: fmt.Sprintf("Stripe lists more than %d objects, which is as far as is looked", most), endless: true}
}
