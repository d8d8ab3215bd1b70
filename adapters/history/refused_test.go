package history_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// refuses lines: the last one is rejected with a code for a field, and nothing
// is written for it; those before it are accepted.
func (s *scene) refuses(t *testing.T, code, field string, lines ...string) {
	t.Helper()
	last := len(lines) - 1
	s.accepts(t, lines[:last]...)
	before := len(s.records(t, nil))
	o := s.imports(t, lines[last])
	if len(o.Rejects) != 1 || o.Rejects[0].Code != code || o.Rejects[0].Field != field || o.Rejects[0].Reason == "" {
		t.Errorf("%.200s\nrejects %+v, want code %s, field %q", lines[last], o.Rejects, code, field)
	}
	if o.Events != 0 || o.Read != 1 || o.Rejected != 1 {
		t.Errorf("%.200s\n%+v", lines[last], o.Tally)
	}
	if after := s.records(t, nil); len(after) > before {
		t.Errorf("%.200s\nwrote %s", lines[last], after[before].Type)
	}
}

func TestLinesThatAreNoCommands(t *testing.T) {
	s := newScene(t)
	s.accepts(t, opening...)
	for text, want := range map[string][2]string{
		`{"at":"2011-01-04T10:00:00Z","do":"withdraw","offer":"mug"`:                   {"damaged-line", ""},
		`{"at":"2011-01-04T10:00:00Z","do":"withdraw","offer":"mug"}}`:                 {"damaged-line", ""},
		`{"at":"2011-01-04T10:00:00Z","do":"withdraw","offer":"mug"} {}`:               {"damaged-line", ""},
		`{"at":"2011-01-04T10:00:00Z","do":"withdraw","offer":"mug","offer":"poster"}`: {"damaged-line", ""},
		`["withdraw"]`: {"damaged-line", ""},
		`null`:         {"damaged-line", ""},
		"\x00\xff":     {"damaged-line", ""},
		`{"at":"2011-01-04T10:00:00Z","do":"withdraw","offer":7}`:                               {"damaged-line", ""},
		`{"at":"2011-01-04T10:00:00Z","do":"restock","offer":"poster","restock":"r","add":1.5}`: {"damaged-line", ""},
		`{"at":"2011-01-04T10:00:00Z","do":"reprice","offer":"mug","price":"twelve"}`:           {"damaged-line", ""},
		`{"at":"yesterday","do":"withdraw","offer":"mug"}`:                                      {"damaged-line", ""},
		`{}`: {"unknown-command", "do"},
		`{"at":"2011-01-04T10:00:00Z","do":"sell","offer":"mug"}`:                                                                                  {"unknown-command", "do"},
		`{"at":"2011-01-04T10:00:00Z","do":7,"offer":"mug"}`:                                                                                       {"unknown-command", "do"},
		`{"at":"2011-01-04T10:00:00Z","do":"withdraw","offer":"mug","colour":"blue"}`:                                                              {"unknown-field", "colour"},
		`{"at":"2011-01-04T10:00:00Z","do":"withdraw","Offer":"mug"}`:                                                                              {"unknown-field", "Offer"},
		`{"at":"2011-01-04T10:00:00Z","do":"refund-order","order":"o","refund":"r","price":5}`:                                                     {"unknown-field", "price"},
		`{"at":"2011-01-04T10:00:00Z","do":"place-order","order":"o","buyer":"b","lines":[{"sku":"mug"}]}`:                                         {"unknown-field", "sku"},
		`{"do":"withdraw","offer":"mug"}`:                                                                                                          {"no-time", "at"},
		`{"at":null,"do":"withdraw","offer":"mug"}`:                                                                                                {"no-time", "at"},
		`{"at":"1899-12-31T23:59:59Z","do":"withdraw","offer":"mug"}`:                                                                              {"time-out-of-range", "at"},
		`{"at":"2200-01-01T00:00:00Z","do":"withdraw","offer":"mug"}`:                                                                              {"time-out-of-range", "at"},
		`{"at":"2011-01-04T10:00:00Z","do":"change-fees","shop":"potter","validFrom":"9999-12-31T23:59:59-23:00"}`:                                 {"time-out-of-range", "validFrom"},
		`{"at":"2011-01-04T10:00:00Z","do":"tweet-offer","offer":"x","shop":"potter","title":"X","price":1,"opensAt":"9999-12-31T23:59:59-23:00"}`: {"time-out-of-range", "opensAt"},
		`{"at":"2011-01-04T10:00:00Z","do":"withdraw"}`:                                                                                            {"no-name", "offer"},
		`{"at":"2011-01-04T10:00:00Z","do":"restock","offer":"poster","add":1}`:                                                                    {"no-name", "restock"},
		`{"at":"2011-01-04T10:00:00Z","do":"place-order","order":"o"}`:                                                                             {"no-name", "buyer"},
		`{"at":"2011-01-04T10:00:00Z","do":"refund-order","order":"o"}`:                                                                            {"no-name", "refund"},
		`{"at":"2011-01-04T10:00:00Z","do":"adjust-shop","shop":"potter","amount":1}`:                                                              {"no-name", "adjustment"},
		`{"at":"2011-01-04T10:00:00Z","do":"onboard-shop","name":"X","currency":"GBP"}`:                                                            {"no-name", "shop"},
		`{"at":"2011-01-04T10:00:00Z","do":"change-fees"}`:                                                                                         {"no-name", "shop"},
		`{"at":"2011-01-04T10:00:00Z","do":"tweet-offer","offer":"x"}`:                                                                             {"no-name", "shop"},
		`{"at":"2011-01-04T10:00:00Z","do":"place-order","order":"o","buyer":"b","processor":"stripe"}`:                                            {"processor-asks-nobody", "processor"},
	} {
		t.Run(want[0], func(t *testing.T) { s.refuses(t, want[0], want[1], text) })
	}
}

const (
	visa   = "4242424242424242"
	nested = "6011000990139424" // of 16 digits, as in a number of 19
)

// No card number comes into the log, and none comes out in a message, wherever
// in a line it stands.
func TestCardNumbers(t *testing.T) {
	s := newScene(t)
	s.accepts(t, opening...)
	before := len(s.records(t, nil))
	for _, text := range []string{
		line(1, "withdraw", "offer", "mug", "reason", "card "+visa),
		line(1, "withdraw", "offer", "mug", "reason", "4242-4242-4242-4242, 4242 4242 4242 4242"),
		line(1, "withdraw", "offer", visa),
		line(1, visa),
		line(1, "withdraw", "offer", "mug", visa, "x"),
		line(1, "withdraw", "offer", "mug", "card", json.RawMessage(visa)),
		line(1, "restock", "offer", "poster", "restock", "r", "add", json.RawMessage(visa)),
		line(1, "restock", "offer", "poster", "restock", "r", "add", json.RawMessage(nested+"000")),
		line(1, "restock", "offer", "poster", "restock", "r", "add", json.RawMessage(visa+".5")),
		line(1, "reprice", "offer", "mug", "price", visa),
		line(1, "reprice", "offer", "mug", "price", "x"+visa),
		line(1, "place-order", "order", "o", "buyer", visa, "lines", list(ask("mug", 1))),
		line(1, "place-order", "order", "o", "buyer", "b", "lines", list(`{"offer":"mug","quantity":1,"price":"`+visa+`"}`)),
		line(1, "place-order", "order", "o", "buyer", "b", "lines", list(`{"offer":"mug","quantity":1,"`+visa+`":1}`)),
		line(1, "place-order", "order", "o", "buyer", "b", "lines", list(`{"offer":"mug","quantity":1,"card":[[{"is":{"this":`+visa+`}}]]}`)),
		`{"at":"` + visa + `","do":"withdraw","offer":"mug"}`,
		`{"at":"2011-01-04T10:00:00Z","do":"withdraw","offer":"\u00342424242424242\u00342"}`,
		`{"at":"2011-01-04T10:00:00Z","do":"withdraw","offer":"mug","reason":"` + visa,
		`{"at":"2011-01-04T10:00:00Z","do":"withdraw","offer":"mug","reason":` + visa + `x}`,
		`card: ` + visa,
		visa,
		`"` + visa + `"`,
	} {
		o := s.imports(t, text)
		if len(o.Rejects) != 1 || o.Rejects[0].Code != "card-number" {
			t.Errorf("%s\nrejects %+v", text, o.Rejects)
		}
		said, err := json.Marshal(o.Rejects)
		if err != nil {
			t.Fatal(err)
		}
		for _, digits := range []string{"4242", "6011"} {
			if strings.Contains(string(said), digits) {
				t.Errorf("%s\nis told as %s", text, said)
			}
		}
		if after := len(s.records(t, nil)); after > before {
			t.Errorf("%s\nwrote %d events", text, after-before)
		}
	}
}

// A name that is a UUID is no card number, whatever its digits.
func TestUUIDsAreNoCardNumbers(t *testing.T) {
	s := newScene(t)
	mug := "42424242-4242-4242-8000-000000000000"
	s.accepts(t, opening[0], line(0, "tweet-offer", "offer", mug, "shop", "potter", "title", "Mug", "price", 1), place(1, "first", ask(mug, 1)))
	if got, want := s.types(t, "offer-"+mug), "OfferTweeted"; got != want {
		t.Errorf("the stream of the offer has %q, want %q", got, want)
	}
}
