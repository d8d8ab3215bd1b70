package node

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// meters returns what a scrape says, by name with labels.
func (s *served) meters() map[string]string {
	s.Helper()
	w := httptest.NewRecorder()
	s.server.http.Handler.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != http.StatusOK {
		s.Fatalf("GET /metrics: %d: %s", w.Code, w.Body)
	}
	got := map[string]string{}
	for line := range strings.Lines(w.Body.String()) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && !strings.HasPrefix(name, "#") {
			got[strings.TrimPrefix(name, meterPrefix)] = value
		}
	}
	return got
}

func (s *served) wantMeters(what string, want map[string]string) {
	s.Helper()
	got := s.meters()
	for name, value := range want {
		if got[name] != value {
			s.Errorf("%s: %s is %q, want %s", what, name, got[name], value)
		}
	}
}

// TestMeters: what was done shows, once each.
func TestMeters(t *testing.T) {
	s := serve(t)
	s.wantMeters("at first", map[string]string{
		`writes_total{kind="append",outcome="written"}`: "0", `writes_total{kind="tombstone",outcome="failed"}`: "0",
		"head_position": "0", "damaged": "0", "read_only": "0", "log_sync_seconds_count": "0",
		"disk_reserve_bytes": "5.36870912e+08",
	})
	twice := []*streams.AppendReq{appendOptions("a", expectNoStream), appendEvent(), appendEvent()}
	for range 2 { // the second time nothing is written
		_, _, err := s.append(twice...)
		s.must(err)
	}
	_, _, err := s.append(appendOptions("a", 7), appendEvent()) // a conflict
	s.must(err)
	_, err = s.raw.Tombstone(s.waitFor(), &streams.TombstoneReq{Options: &streams.TombstoneReq_Options{
		StreamIdentifier: identifier("b"), ExpectedStreamRevision: &streams.TombstoneReq_Options_Any{Any: none}}})
	s.must(err)
	if _, _, err := s.append(appendOptions("b", expectAny), appendEvent()); status.Code(err) != codes.FailedPrecondition {
		t.Fatal(err)
	}
	_, _, err = s.receive(readStream("a", count(10), fromStart))
	s.must(err)
	sub, err := s.raw.Read(s.waitFor(), readAll(subscription, fromStart))
	s.must(err)
	for caughtUp := false; !caughtUp; {
		resp, err := sub.Recv()
		s.must(err)
		caughtUp = resp.GetCaughtUp() != nil
	}
	const call = `calls_total{code="%s",method="/event_store.client.streams.Streams/%s"}`
	s.wantMeters("afterwards", map[string]string{
		`writes_total{kind="append",outcome="written"}`:    "1",
		`writes_total{kind="append",outcome="unchanged"}`:  "1",
		`writes_total{kind="append",outcome="conflict"}`:   "1",
		`writes_total{kind="append",outcome="deleted"}`:    "1",
		`writes_total{kind="tombstone",outcome="written"}`: "1",
		`append_events_total{outcome="written"}`:           "2",
		`append_events_total{outcome="conflict"}`:          "1",
		`append_bytes_total`:                               "8", // {} and the type T, twice
		`batch_events_sum`:                                 "3",
		`log_sync_seconds_count`:                           "0",
		`checkpoint_sync_seconds_count`:                    "2",
		`head_position`:                                    "3",
		`reads_total{kind="counted",of="stream"}`:          "1",
		`reads_total{kind="subscription",of="all"}`:        "1",
		`subscriptions_open{of="all"}`:                     "1",
		fmt.Sprintf(call, "OK", "Append"):                  "3",
		fmt.Sprintf(call, "FailedPrecondition", "Append"):  "1",
		fmt.Sprintf(call, "OK", "Read"):                    "1",
	})
	for name, value := range s.meters() {
		if (name == "disk_free_bytes" || name == "log_bytes" || strings.HasPrefix(name, "go_build_info")) && (value == "0" || value == "NaN") {
			t.Errorf("%s is %s", name, value)
		}
	}
	s.must(s.server.Close())
	s.wantMeters("when it was closed", map[string]string{
		`subscriptions_open{of="all"}`:           "0",
		`read_events_total`:                      "5",
		fmt.Sprintf(call, "Unavailable", "Read"): "1",
	})
}

// TestMetersOfTrouble: what keeps a log from taking events shows.
func TestMetersOfTrouble(t *testing.T) {
	s := serve(t)
	s.node.store.Reserve = 1 << 62
	s.wantMeters("with too little space", map[string]string{"read_only": "1", "damaged": "0"})
	s.node.store.Reserve = 1
	s.node.store.damaged.Store(true)
	s.wantMeters("damaged", map[string]string{"read_only": "1", "damaged": "1"})
}
