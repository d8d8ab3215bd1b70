package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/projections"
	orderview "kicau/projections/order"
	"kicau/projections/timeline"
)

// MaxRelated bounds the offers shown beside one.
const MaxRelated = 12

// newest offers first, after a cursor.
func (s *Server) newest(ctx context.Context, after string, limit int) ([]timeline.Row, string, error) {
	q := projections.Query{OrderBy: "tweetedAt", Desc: true, After: after, Limit: limit}
	rows, next, err := projections.Rows(ctx, s.o.Store, timeline.Projection, q)
	if err != nil && after != "" && ctx.Err() == nil {
		// A cursor comes from outside. If the same query does without it, it is
		// the cursor that is wrong.
		q.After, q.Limit = "", 1
		if _, _, without := projections.Rows(ctx, s.o.Store, timeline.Projection, q); without == nil {
			return nil, "", errCursor
		}
	}
	return rows, next, err
}

// offerIn is the offer that a path names.
func (s *Server) offerIn(r *http.Request) (timeline.Row, error) {
	id, ok := idIn(r)
	if !ok {
		return timeline.Row{}, offer.ErrNotTweeted
	}
	row, found, err := projections.Get(r.Context(), s.o.Store, timeline.Projection, id.String())
	if err == nil && !found {
		err = offer.ErrNotTweeted.About("offer %s", id)
	}
	return row, err
}

// orderIn is the order that a path names.
func (s *Server) orderIn(r *http.Request) (orderview.Row, uuid.UUID, error) {
	id, ok := idIn(r)
	if !ok {
		return orderview.Row{}, id, order.ErrNotPlaced
	}
	row, found, err := s.order(r.Context(), id)
	if err == nil && !found {
		err = order.ErrNotPlaced.About("order %s", id)
	}
	return row, id, err
}

// related are the offers that an offer names, in its order, as far as they are
// there.
func (s *Server) related(ctx context.Context, r timeline.Row) ([]timeline.Row, error) {
	ids := r.Related[:min(len(r.Related), MaxRelated)]
	if len(ids) == 0 {
		return nil, nil
	}
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = id.String()
	}
	loaded, err := s.o.Store.Load(ctx, timeline.Projection.Table(), keys)
	if err != nil {
		return nil, err
	}
	byKey := make(map[string][]byte, len(loaded))
	for _, l := range loaded {
		byKey[l.Key] = l.Data
	}
	var rows []timeline.Row
	for _, key := range keys {
		data, ok := byKey[key]
		if !ok {
			continue
		}
		var row timeline.Row
		if err := json.Unmarshal(data, &row); err != nil {
			return nil, fmt.Errorf("row %q of the timeline: %w", key, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// saleState says whether an offer can be bought.
type saleState string

const (
	onSale    saleState = "open"
	notYet    saleState = "not-open"
	closed    saleState = "closed"
	soldOut   saleState = "sold-out"
	withdrawn saleState = "withdrawn"
)

// stateOf asks in the order in which a purchase would be refused.
func stateOf(r timeline.Row, at time.Time) saleState {
	now := projections.Time(at)
	switch {
	case r.Withdrawn:
		return withdrawn
	case r.OpensAt != "" && now < r.OpensAt:
		return notYet
	case r.ClosesAt != "" && now >= r.ClosesAt:
		return closed
	case r.SoldOut:
		return soldOut
	}
	return onSale
}

// photoURL is a photo's address if it is one that a page may load: over https,
// or of our own. Else nothing.
func photoURL(raw string) string {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.User != nil || strings.Contains(raw, `\`):
		return ""
	case u.Scheme == "https" && u.Host != "":
		return u.String()
	case u.Scheme == "" && u.Host == "" && strings.HasPrefix(u.Path, "/") && !strings.HasPrefix(raw, "//"):
		return u.String()
	}
	return ""
}
