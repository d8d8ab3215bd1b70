package event

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// metadata is the JSON stored beside the body. $-names are EventStoreDB's own.
type metadata struct {
	Correlation uuid.UUID `json:"$correlationId"`
	Causation   uuid.UUID `json:"$causationId"`
	Command     uuid.UUID `json:"commandId"`
	Digest      string    `json:"commandDigest,omitempty"`
	Actor       string    `json:"actor"`
	OccurredAt  time.Time `json:"occurredAt"`
	Version     int       `json:"schemaVersion"`
}

// readMetadata reads what stands beside a body. Every replay reads it for every
// event, so what [Registry.Encode] writes is read without reflection, six times as
// fast; anything else is left to encoding/json, which gives the same answer.
func readMetadata(b []byte) (m metadata, err error) {
	r := fields{rest: b, ok: true}
	r.uuid(`{"$correlationId":"`, &m.Correlation)
	r.uuid(`","$causationId":"`, &m.Causation)
	r.uuid(`","commandId":"`, &m.Command)
	if bytes.HasPrefix(r.rest, []byte(`","commandDigest":"`)) {
		m.Digest = string(r.text(`","commandDigest":"`))
	}
	m.Actor = string(r.text(`","actor":"`))
	r.time(`","occurredAt":`, &m.OccurredAt)
	m.Version = r.number(`,"schemaVersion":`)
	if r.ok && string(r.rest) == "}" {
		return m, nil
	}
	m = metadata{}
	return m, json.Unmarshal(b, &m)
}

// fields cuts one field after the other off an object whose names and order are
// known. ok is false from the first on that is anything else.
type fields struct {
	rest []byte
	ok   bool
}

func (r *fields) skip(prefix string) {
	if r.ok = r.ok && bytes.HasPrefix(r.rest, []byte(prefix)); r.ok {
		r.rest = r.rest[len(prefix):]
	}
}

// text is a string up to its closing quote, which it leaves. It must be plain: what
// has to be unescaped, or might not be UTF-8, is not.
func (r *fields) text(prefix string) []byte {
	r.skip(prefix)
	for i, c := range r.rest {
		if c == '"' && r.ok {
			text := r.rest[:i]
			r.rest = r.rest[i:]
			return text
		}
		if c < ' ' || c == '\\' || c > '~' {
			break
		}
	}
	r.ok = false
	return nil
}

func (r *fields) uuid(prefix string, id *uuid.UUID) {
	text := r.text(prefix)
	if r.ok {
		r.ok = id.UnmarshalText(text) == nil
	}
}

// time takes the quotes, too: that is what the time is read with.
func (r *fields) time(prefix string, t *time.Time) {
	r.skip(prefix)
	from := r.rest
	text := r.text(`"`)
	if r.ok {
		r.ok = t.UnmarshalJSON(from[:len(text)+2]) == nil
		r.rest = r.rest[1:]
	}
}

func (r *fields) number(prefix string) (n int) {
	r.skip(prefix)
	digits := 0
	for digits < len(r.rest) && digits < 9 && '0' <= r.rest[digits] && r.rest[digits] <= '9' {
		n = 10*n + int(r.rest[digits]-'0')
		digits++
	}
	r.ok = r.ok && n > 0 && r.rest[0] != '0'
	if r.ok {
		r.rest = r.rest[digits:]
	}
	return n
}
