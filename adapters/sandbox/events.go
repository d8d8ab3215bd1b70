package sandbox

import (
	"fmt"
	"net/http"
	"path"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// retrieveEvent: GET /v1/events/{id}
func retrieveEvent(_ *params, id string) op {
	return func(t *tx) (any, *apiError) {
		ev := t.events.get(id)
		if ev == nil || ev.Account != t.connected() {
			return nil, noSuch(http.StatusNotFound, "event", id, "id")
		}
		return eventWireOf(ev), nil
	}
}

// listEvents: GET /v1/events, with the Stripe-Account header of a connected
// account's.
func listEvents(p *params, _ string) op {
	pg := p.paging("event")
	kinds := p.list("types")
	if kind := p.word("type"); kind != "" {
		kinds = append(kinds, kind)
	}
	success, filtered := p.boolean("delivery_success")
	return func(t *tx) (any, *apiError) {
		return page(&t.events, t.events.order, pg, "/v1/events",
			func(ev *event) bool {
				if ev.Account != t.connected() || filtered && success != (ev.outstanding() == 0) {
					return false
				}
				return len(kinds) == 0 || matches(kinds, ev.Type)
			},
			func(ev *event) int64 { return ev.Created },
			func(ev *event) any { return eventWireOf(ev) })
	}
}

// matches tells whether an event's type is one of kinds, which may end in a
// wildcard: "charge.*".
func matches(kinds []string, typ string) bool {
	return slices.ContainsFunc(kinds, func(kind string) bool {
		ok, err := path.Match(kind, typ)
		return ok && err == nil
	})
}

// Events are kept for as long as Stripe keeps them, but not more than maxEvents:
// then the oldest are forgotten, delivered or not. That bounds the queue of
// webhooks, too.
const (
	eventLifetime = 30 * 24 * time.Hour
	maxEvents     = 50_000
)

func (st *state) forgetEvents() {
	for ev := st.events.first(); ev != nil; ev = st.events.first() {
		if st.events.len() <= maxEvents && st.now.Unix()-ev.Created < int64(eventLifetime/time.Second) {
			return
		}
		st.events.dropFirst(ev.ID)
	}
}

type eventWire struct {
	ID         string `json:"id"`
	Object     string `json:"object"`
	Account    string `json:"account,omitempty"`
	APIVersion string `json:"api_version"`
	Created    int64  `json:"created"`
	Data       struct {
		Object jsontext.Value `json:"object"`
	} `json:"data"`
	Livemode bool `json:"livemode"`
	Pending  int  `json:"pending_webhooks"`
	Request  struct {
		ID  any `json:"id"`
		Key any `json:"idempotency_key"`
	} `json:"request"`
	Type string `json:"type"`
}

func eventWireOf(ev *event) *eventWire {
	w := &eventWire{ID: ev.ID, Object: "event", Account: ev.Account, APIVersion: APIVersion, Created: ev.Created, Type: ev.Type}
	w.Data.Object = jsontext.Value(ev.Object)
	w.Pending = ev.outstanding()
	w.Request.ID, w.Request.Key = null(ev.Request), null(ev.Key)
	return w
}

// asWritten lets an object through that encoding/json has written, whatever the
// names of its metadata.
var asWritten = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// webhookOf is what endpoints are sent of an event.
func webhookOf(ev *event) []byte {
	b, err := json.Marshal(eventWireOf(ev), asWritten) // encoding/json takes the object through twice
	if err != nil {
		panic(fmt.Sprintf("sandbox: event %s cannot be written as JSON: %v", ev.ID, err)) // a defect
	}
	return b
}
