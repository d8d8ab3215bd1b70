package sandbox

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
)

// maxEndpoints is Stripe's (https://stripe.com/docs/webhooks).
const maxEndpoints = 16

// hookEndpoint is where events are sent that the API has registered.
type hookEndpoint struct {
	ID          string
	Created     int64
	URL         string
	Secret      string
	Events      []string // types, or "*"
	Connect     bool     `json:",omitempty"` // of what happens to connected accounts, and of nothing else
	Disabled    bool     `json:",omitempty"`
	Description string   `json:",omitempty"`
	Metadata    map[string]string
}

// endpointEntry is an endpoint in the journal, or that it is gone.
type endpointEntry struct {
	hookEndpoint
	Deleted bool `json:",omitempty"`
}

// hookOf is how far an event has come on its way to an endpoint.
func (ev *event) hookOf(endpoint string) hook {
	if endpoint == "" {
		return ev.Hook
	}
	return ev.Hooks[endpoint]
}

// with is ev with another hook; ev itself is never written to.
func (ev *event) with(endpoint string, h hook) event {
	c := *ev
	if endpoint == "" {
		c.Hook = h
	} else {
		c.Hooks = maps.Clone(c.Hooks)
		c.Hooks[endpoint] = h
	}
	return c
}

// undelivered are the parcels of an event that are still to be delivered.
func (ev *event) undelivered() (out []parcel) {
	if ev.Hook == pending {
		out = append(out, parcel{event: ev.ID})
	}
	for _, endpoint := range slices.Sorted(maps.Keys(ev.Hooks)) {
		if ev.Hooks[endpoint] == pending {
			out = append(out, parcel{ev.ID, endpoint})
		}
	}
	return out
}

// outstanding counts the endpoints that have not got an event.
func (ev *event) outstanding() (n int) {
	if ev.Hook == pending || ev.Hook == abandoned {
		n++
	}
	for _, h := range ev.Hooks {
		if h != delivered {
			n++
		}
	}
	return n
}

// address says to which endpoints of the API a new event goes.
func (t *tx) address(ev *event) {
	for we := range t.endpoints.all() {
		if we.Disabled || we.Connect != (ev.Account != "") || !matches(we.Events, ev.Type) {
			continue
		}
		if ev.Hooks == nil {
			ev.Hooks = map[string]hook{}
		}
		ev.Hooks[we.ID] = pending
	}
}

// parcels are the deliveries of all events that t has put.
func (t *tx) parcels() (out []parcel) {
	if len(t.deliver) == 0 && t.endpoints.len() == 0 {
		return nil
	}
	for _, e := range t.entries {
		if e.Event != nil {
			out = append(out, e.Event.undelivered()...)
		}
	}
	return out
}

// endpointChange is what create and update have in common.
func (p *params) endpointChange() func(*hookEndpoint) {
	at := p.word("url")
	if u, err := url.Parse(at); at != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		p.fail(refuse("url_invalid", "Not a valid URL").on("url"))
	}
	types := p.list("enabled_events")
	description, described := p.text("description", maxText)
	metadata, clear := p.metadata()
	disabled, given := p.boolean("disabled")
	return func(we *hookEndpoint) {
		if at != "" {
			we.URL = at
		}
		if types != nil {
			we.Events = types
		}
		if described {
			we.Description = description
		}
		if given {
			we.Disabled = disabled
		}
		we.Metadata = changed(we.Metadata, metadata, clear)
	}
}

// createEndpoint: POST /v1/webhook_endpoints. Its secret is shown this once.
func createEndpoint(p *params, _ string) op {
	p.required("url")
	if len(p.list("enabled_events")) == 0 {
		p.fail(missing("enabled_events"))
	}
	p.choice("api_version", APIVersion, APIVersion)
	connect, _ := p.boolean("connect")
	change := p.endpointChange()
	return func(t *tx) (any, *apiError) {
		if t.endpoints.len() >= maxEndpoints {
			return nil, refuse("", "You have reached the maximum of %d test webhook endpoints.", maxEndpoints)
		}
		we := hookEndpoint{ID: t.newID("we"), Created: t.now.Unix(), Secret: t.newID("whsec"), Connect: connect}
		change(&we)
		t.put(entry{Endpoint: &endpointEntry{hookEndpoint: we}})
		w := endpointWireOf(&we)
		w.Secret = we.Secret
		return w, nil
	}
}

// endpointAt is the endpoint of a request's path.
func (t *tx) endpointAt(id string) (hookEndpoint, *apiError) {
	if we := t.endpoints.get(id); we != nil {
		return *we, nil
	}
	return hookEndpoint{}, noSuch(http.StatusNotFound, "webhook endpoint", id, "webhook_endpoint")
}

// retrieveEndpoint: GET /v1/webhook_endpoints/{id}
func retrieveEndpoint(_ *params, id string) op {
	return func(t *tx) (any, *apiError) {
		we, err := t.endpointAt(id)
		if err != nil {
			return nil, err
		}
		return endpointWireOf(&we), nil
	}
}

// updateEndpoint: POST /v1/webhook_endpoints/{id}
func updateEndpoint(p *params, id string) op {
	change := p.endpointChange()
	return func(t *tx) (any, *apiError) {
		we, err := t.endpointAt(id)
		if err != nil {
			return nil, err
		}
		change(&we)
		t.put(entry{Endpoint: &endpointEntry{hookEndpoint: we}})
		return endpointWireOf(&we), nil
	}
}

// deleteEndpoint: DELETE /v1/webhook_endpoints/{id}
func deleteEndpoint(_ *params, id string) op {
	return func(t *tx) (any, *apiError) {
		we, err := t.endpointAt(id)
		if err != nil {
			return nil, err
		}
		t.put(entry{Endpoint: &endpointEntry{hookEndpoint: we, Deleted: true}})
		return deletedWire{we.ID, "webhook_endpoint", true}, nil
	}
}

// deletedWire is what is left of an object that was deleted.
type deletedWire struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Deleted bool   `json:"deleted"`
}

// listEndpoints: GET /v1/webhook_endpoints
func listEndpoints(p *params, _ string) op {
	pg := p.paging("webhook_endpoint")
	return func(t *tx) (any, *apiError) {
		return page(&t.endpoints, t.endpoints.order, pg, "/v1/webhook_endpoints",
			func(*hookEndpoint) bool { return true },
			func(we *hookEndpoint) int64 { return we.Created },
			func(we *hookEndpoint) any { return endpointWireOf(we) })
	}
}

type endpointWire struct {
	ID          string            `json:"id"`
	Object      string            `json:"object"`
	APIVersion  any               `json:"api_version"`
	Application any               `json:"application"`
	Created     int64             `json:"created"`
	Description any               `json:"description"`
	Events      []string          `json:"enabled_events"`
	Livemode    bool              `json:"livemode"`
	Metadata    map[string]string `json:"metadata"`
	Secret      string            `json:"secret,omitempty"`
	Status      string            `json:"status"`
	URL         string            `json:"url"`
}

func endpointWireOf(we *hookEndpoint) *endpointWire {
	w := &endpointWire{ID: we.ID, Object: "webhook_endpoint", APIVersion: APIVersion, Created: we.Created, Description: null(we.Description),
		Events: we.Events, Metadata: metadataOf(we.Metadata), Status: "enabled", URL: we.URL}
	if we.Disabled {
		w.Status = "disabled"
	}
	return w
}
