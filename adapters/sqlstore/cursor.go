package sqlstore

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"

	"kicau/projections"
)

// cursor is a place in the order of a query: after the row with this key, which
// has this value in the field of the order. It is good for that order only.
type cursor struct {
	Table   string `json:"t"`
	OrderBy string `json:"o,omitempty"`
	Desc    bool   `json:"d,omitempty"`
	// Kind and Text are the value written down: JSON alone would turn a large
	// integer into a float.
	Kind string `json:"k,omitempty"`
	Text []byte `json:"v,omitempty"`
	Key  string `json:"key"`

	value any // nil, string, int64 or float64
}

// Kinds of values; none: the row does not have the field.
const (
	kindText    = "s"
	kindInteger = "i"
	kindReal    = "f"
)

func newCursor(table string, q projections.Query, value any, key string) *cursor {
	c := &cursor{Table: table, OrderBy: q.OrderBy, Desc: q.Desc, Key: key}
	switch v := value.(type) {
	case string:
		c.Kind, c.Text = kindText, []byte(v)
	case int64:
		c.Kind, c.Text = kindInteger, strconv.AppendInt(nil, v, 10)
	case float64:
		c.Kind, c.Text = kindReal, strconv.AppendFloat(nil, v, 'g', -1, 64)
	}
	return c
}

func (c *cursor) String() string {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings and bools always have a JSON
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// parseCursor reads what [cursor.String] wrote. It comes from outside, so it is
// not trusted: whatever it holds, it only ends up in parameters.
func parseCursor(s, table string, q projections.Query) (*cursor, error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return nil, projections.ErrCursor
	}
	var c cursor
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, projections.ErrCursor
	}
	if c.Table != table || c.OrderBy != q.OrderBy || c.Desc != q.Desc {
		return nil, fmt.Errorf("After belongs to another query (view %s ordered by %q, descending %t): begin at the first page", c.Table, c.OrderBy, c.Desc)
	}
	switch c.Kind {
	case "":
	case kindText:
		c.value = string(c.Text)
	case kindInteger:
		c.value, err = strconv.ParseInt(string(c.Text), 10, 64)
	case kindReal:
		c.value, err = strconv.ParseFloat(string(c.Text), 64)
	default:
		err = projections.ErrCursor
	}
	if err != nil {
		return nil, projections.ErrCursor
	}
	return &c, nil
}
