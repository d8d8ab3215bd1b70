package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"kicau/adapters/command"
)

// lines is an answer of JSON lines.
type lines struct {
	out    *patient
	enc    *json.Encoder
	told   time.Time // when progress was told last
	failed error     // nobody reads
}

func newLines(w http.ResponseWriter) (*lines, error) {
	p, err := patiently(w, "application/x-ndjson")
	return &lines{out: p, enc: json.NewEncoder(p)}, err
}

type progressLine struct {
	Unit  Unit   `json:"unit"`
	Done  uint64 `json:"done"`
	Total uint64 `json:"total"`
}

// line is one line of an answer; only one field is set.
type line struct {
	Progress any         `json:"progress,omitempty"`
	Item     any         `json:"item,omitempty"`
	Result   any         `json:"result,omitempty"`
	Error    *adminError `json:"error,omitempty"`
}

func (l *lines) send(v line) error {
	if l.failed == nil {
		l.failed = l.enc.Encode(v)
	}
	if l.failed == nil {
		l.failed = http.NewResponseController(l.out).Flush()
	}
	return l.failed
}

func (l *lines) progress(v any) {
	if time.Since(l.told) >= progressEvery {
		l.told = time.Now()
		_ = l.send(line{Progress: v}) // the request's context ends when nobody reads
	}
}

// end sends how it ended. What failed before anything was sent is answered as
// other requests are.
func (l *lines) end(result any, err error) error {
	if err != nil && !l.out.sent {
		return err
	}
	if err != nil {
		e := adminErrorOf(err)
		_ = l.send(line{Error: &e}) // when it cannot be sent there is nobody to tell
		return nil
	}
	_ = l.send(line{Result: result})
	return nil
}

// adminError is what is said of an error.
type adminError struct {
	Kind   string `json:"kind"`
	Reason string `json:"reason"`
}

// Errors of requests that have no other name.
var (
	errForbidden  = errors.New("refused")
	errBadRequest = errors.New("the request cannot be understood")
)

// adminKinds are the errors that the client knows again, with their status.
var adminKinds = []struct {
	kind   string
	status int
	err    error
}{
	{"busy", http.StatusConflict, ErrBusy},
	{"busy", http.StatusConflict, ErrScavenging},
	{"forbidden", http.StatusForbidden, errForbidden},
	{"bad-request", http.StatusBadRequest, errBadRequest},
	{"no-group", http.StatusNotFound, command.ErrNoGroup},
	{"not-supported", http.StatusNotImplemented, command.ErrNotSupported},
	{"read-only", http.StatusServiceUnavailable, command.ErrReadOnly},
	{"closed", http.StatusServiceUnavailable, command.ErrClosed},
	{"damaged", http.StatusInternalServerError, ErrDamaged},
}

func adminErrorOf(err error) adminError {
	for _, k := range adminKinds {
		if errors.Is(err, k.err) {
			return adminError{k.kind, err.Error()}
		}
	}
	return adminError{"failed", err.Error()}
}

func refuseAdmin(w http.ResponseWriter, err error) {
	e, status := adminErrorOf(err), http.StatusInternalServerError
	for _, k := range adminKinds {
		if k.kind == e.Kind {
			status = k.status
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(line{Error: &e}) // the other side is gone, or reads it
}

// readBody reads what a request says.
func readBody(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %w", errBadRequest, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows the JSON object", errBadRequest)
	}
	return nil
}
