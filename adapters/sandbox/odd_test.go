package sandbox

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// What a client writes that is no UTF-8 is told in a webhook as it is shown: two
// names can become one.
func TestOddMetadata(t *testing.T) {
	s := New(Options{SecretKey: "sk_test_odd", Seed: 1})
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	form := url.Values{"amount": {"1000"}, "currency": {"gbp"}, "metadata[\xff]": {"1"}, "metadata[\xfe]": {"2"}, "metadata[<&>]": {"3"}}
	r, err := http.NewRequest(http.MethodPost, localURL+"/v1/payment_intents", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer sk_test_odd")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if res, err := s.Transport().RoundTrip(r); err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(res, err)
	}
	told := 0
	for ev := range s.state.events.all() {
		var w struct {
			Type string
			Data struct {
				Object struct{ Metadata map[string]string }
			}
		}
		if err := json.Unmarshal(webhookOf(ev), &w); err != nil {
			t.Fatal(err)
		}
		if m := w.Data.Object.Metadata; w.Type != "payment_intent.created" || len(m) != 2 || m["<&>"] != "3" || m["\ufffd"] == "" {
			t.Errorf("%s with %q", w.Type, m)
		}
		told++
	}
	if told != 1 {
		t.Errorf("%d events, want 1", told)
	}
}
