package web_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// reply is an answer, read whole.
type reply struct {
	status int
	header http.Header
	body   string
}

func (s *stack) send(method, path, body string, headers ...string) reply {
	s.t.Helper()
	return send(s.t, s.stay(), method, s.url+path, body, headers...)
}

// send a request; headers are names and values in turn.
func send(t *testing.T, c *http.Client, method, address, body string, headers ...string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	check(t, err)
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	res, err := c.Do(r)
	check(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	check(t, err)
	return reply{res.StatusCode, res.Header, string(text)}
}

func (s *stack) get(path string) reply { s.t.Helper(); return s.send("GET", path, "") }

func (s *stack) post(path, body string, headers ...string) reply {
	s.t.Helper()
	return s.send("POST", path, body, append([]string{"Content-Type", "application/json"}, headers...)...)
}

func (s *stack) submit(path string, form url.Values, headers ...string) reply {
	s.t.Helper()
	return s.send("POST", path, form.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)...)
}

func (r reply) is(t *testing.T, status int) reply {
	t.Helper()
	if r.status != status {
		t.Fatalf("answered %d, wanted %d: %s", r.status, status, r.body)
	}
	return r
}

// json is a field of the answer: "error.code", "lines", ….
func (r reply) json(t *testing.T, path string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		t.Fatalf("%v in %s", err, r.body)
	}
	for name := range strings.SplitSeq(path, ".") {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

func (r reply) says(t *testing.T, path string, want any) {
	t.Helper()
	if got := r.json(t, path); got != want {
		t.Errorf("%s is %v, wanted %v in %s", path, got, want, r.body)
	}
}

// typeCard on the sandbox's page and go back where it sends the buyer.
func (s *stack) typeCard(page, number string) reply {
	s.t.Helper()
	card := url.Values{"number": {number}, "expiry": {"12/40"}, "cvc": {"123"}}
	sent := send(s.t, s.stay(), "POST", page, card.Encode(), "Content-Type", "application/x-www-form-urlencoded").is(s.t, http.StatusSeeOther)
	back := sent.header.Get("Location")
	if !strings.HasPrefix(back, s.url+"/orders/") {
		s.t.Fatalf("the sandbox sends the buyer to %s", back)
	}
	return send(s.t, s.browse(), "GET", back, "")
}
