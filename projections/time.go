package projections

import "time"

// TimeLayout is how rows write times: UTC, of one width, so that text order is
// time order.
const TimeLayout = "2006-01-02T15:04:05.000000000Z"

// Time writes t for a row.
func Time(t time.Time) string { return t.UTC().Format(TimeLayout) }
