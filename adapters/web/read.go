package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"kicau/domain/privacy"
)

// Bounds of bodies, in bytes.
const (
	maxJSON   = 256 << 10 // an order with as many lines as one may have
	maxForm   = 32 << 10
	maxNotice = 1 << 20
	maxDepth  = 8 // of JSON in JSON
)

const idempotencyKey = "Idempotency-Key"

// Bounds of an idempotency key. It must not be guessed: who knows it knows the
// order.
const (
	minKey = 16
	maxKey = 255
)

// readBody reads a whole body, bounded.
func readBody(w http.ResponseWriter, r *http.Request, bound int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bound))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, errTooLarge.because(fmt.Sprintf("is larger than %d bytes", bound))
	case err != nil:
		return nil, errMalformed.because("broke off")
	}
	return body, nil
}

func takes(r *http.Request, mediaType string) error {
	given, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || given != mediaType || (params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8")) {
		return errMediaType.because("must be " + mediaType + " in UTF-8")
	}
	return nil
}

// readJSON reads a body into v, strictly: one value, no field that v does not
// have, no name twice. Its errors repeat nothing of the body.
func readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	if err := takes(r, "application/json"); err != nil {
		return err
	}
	body, err := readBody(w, r, maxJSON)
	if err != nil {
		return err
	}
	if err := inspect(body); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	err = dec.Decode(v)
	var mistyped *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &mistyped):
		return errMalformed.in(mistyped.Field).because("holds a value of the wrong type, or out of range")
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		return errMalformed.because("holds a field that is not known here")
	}
	return errMalformed.because("is not the JSON that is expected here")
}

// inspect goes over JSON before anything else does: no card number in any name,
// text or number, no name twice, one value.
func inspect(body []byte) error {
	if !utf8.Valid(body) {
		return errMalformed.because("is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	err := inspectValue(dec, "", 0)
	if err == nil {
		if _, end := dec.Token(); end != io.EOF {
			err = errMalformed.because("holds more than one JSON value")
		}
	}
	if errors.Is(err, errBroken) {
		// Cut off or garbled: what could not be told apart is looked at whole.
		if err := privacy.RefuseCardNumber("", string(body)); err != nil {
			return err
		}
		return errMalformed.because("is not JSON")
	}
	return err
}

var errBroken = errors.New("not JSON")

func inspectValue(dec *json.Decoder, field string, depth int) error {
	if depth > maxDepth {
		return errBroken
	}
	token, err := dec.Token()
	if err != nil {
		return errBroken
	}
	switch t := token.(type) {
	case string:
		return privacy.RefuseCardNumber(field, t)
	case json.Number:
		return privacy.RefuseCardNumber(field, t.String())
	case json.Delim:
		if t == '{' {
			err = inspectObject(dec, field, depth)
		} else {
			for i := 0; err == nil && dec.More(); i++ {
				err = inspectValue(dec, fmt.Sprintf("%s[%d]", field, i), depth+1)
			}
		}
		if err != nil {
			return err
		}
		if _, err := dec.Token(); err != nil { // the closing bracket
			return errBroken
		}
	}
	return nil
}

func inspectObject(dec *json.Decoder, field string, depth int) error {
	seen := map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		name, isName := token.(string)
		if err != nil || !isName {
			return errBroken
		}
		if err := privacy.RefuseCardNumber(field, name); err != nil {
			return err
		}
		if seen[name] {
			return errMalformed.in(field).because("holds a name twice")
		}
		seen[name] = true
		inner := name
		if field != "" {
			inner = field + "." + name
		}
		if err := inspectValue(dec, inner, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// readForm reads the fields of a form that a page posted. A field that holds a
// card number comes back empty and is named in the error, so that the form can be
// shown again with the rest.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	if err := takes(r, "application/x-www-form-urlencoded"); err != nil {
		return nil, err
	}
	body, err := readBody(w, r, maxForm)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || !utf8.ValidString(strings.Join(flat(form), "")) {
		return nil, errMalformed.because("is not a form in UTF-8")
	}
	var refused error
	for name, values := range form {
		if err := privacy.RefuseCardNumber("form", name); err != nil {
			return nil, err
		}
		for _, text := range values {
			if err := privacy.RefuseCardNumber(name, text); err != nil {
				refused = err
				form.Del(name)
			}
		}
	}
	return form, refused
}

func flat(form url.Values) []string {
	var all []string
	for name, values := range form {
		all = append(append(all, name), values...)
	}
	return all
}

// keyOf is the request's idempotency key, if it has one.
func keyOf(r *http.Request) (string, error) {
	given := r.Header.Values(idempotencyKey)
	if len(given) == 0 {
		return "", nil
	}
	key := given[0]
	if len(given) > 1 || len(key) < minKey || len(key) > maxKey || strings.ContainsFunc(key, func(c rune) bool { return c < '!' || c > '~' }) {
		return "", errIdempotencyKey
	}
	return key, nil
}

// idIn is the id in a path; false when it is not one.
func idIn(r *http.Request) (uuid.UUID, bool) {
	id, err := uuid.Parse(r.PathValue("id"))
	return id, err == nil
}
