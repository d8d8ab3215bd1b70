package event_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"kicau/domain/event"
)

// Weighed is a made-up event of three versions: version 1 had the weight in
// whole kilograms, version 2 in grams, version 3 says who weighed.
type Weighed struct {
	Grams int    `json:"grams"`
	By    string `json:"by"`
}

func (Weighed) EventType() string { return "ParcelWeighed" }

func toGrams(old json.RawMessage) (json.RawMessage, error) {
	var v1 struct {
		Kilograms int `json:"kilograms"`
	}
	if err := json.Unmarshal(old, &v1); err != nil {
		return nil, err
	}
	if v1.Kilograms < 0 {
		return nil, errors.New("a weight below nothing")
	}
	return json.Marshal(map[string]int{"grams": 1000 * v1.Kilograms})
}

func byTheShop(old json.RawMessage) (json.RawMessage, error) {
	var v2 map[string]any
	if err := json.Unmarshal(old, &v2); err != nil {
		return nil, err
	}
	v2["by"] = "shop"
	return json.Marshal(v2)
}

type Sealed struct {
	Seal string `json:"seal"`
}

func (Sealed) EventType() string { return "ParcelSealed" }

var parcels = event.NewRegistry([]event.Type{event.Of[Weighed](toGrams, byTheShop)}, []event.Type{event.Of[Sealed]()})

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// recorded is what the log gives back of a body written in a version.
func recorded(typ string, version int, body string) event.Recorded {
	return event.Recorded{
		ID: uuid.UUID{1}, Type: typ, Stream: "parcel-1", Revision: 3, Position: event.At(7), RecordedAt: noon,
		Data: []byte(body),
		Metadata: fmt.Appendf(nil, `{"$correlationId":"01000000-0000-0000-0000-000000000000","$causationId":"02000000-0000-0000-0000-000000000000",`+
			`"commandId":"03000000-0000-0000-0000-000000000000","actor":"shop","occurredAt":"2026-11-23T12:00:00Z","schemaVersion":%d}`, version),
	}
}

func TestOldVersionsAreReadAsTheNewest(t *testing.T) {
	for _, c := range []struct {
		version int
		body    string
		want    Weighed
	}{
		{1, `{"kilograms":2}`, Weighed{2000, "shop"}},
		{2, `{"grams":2500}`, Weighed{2500, "shop"}},
		{3, `{"grams":2501,"by":"carrier"}`, Weighed{2501, "carrier"}},
		{3, ` {"grams":2501,"by":"carrier"} `, Weighed{2501, "carrier"}},
	} {
		rec := recorded("ParcelWeighed", c.version, c.body)
		got, err := parcels.Decode(rec)
		if err != nil {
			t.Errorf("version %d: %v", c.version, err)
			continue
		}
		want := event.Event{
			Recorded: rec,
			Meta: event.Meta{Correlation: uuid.UUID{1}, Causation: uuid.UUID{2}, Command: uuid.UUID{3},
				Actor: "shop", OccurredAt: noon},
			Version: c.version,
			Body:    c.want,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("version %d (-want +got):\n%s", c.version, diff)
		}
		if string(rec.Data) != c.body {
			t.Errorf("version %d: reading changed what was stored to %s", c.version, rec.Data)
		}
	}
}

func TestWhatIsNotKnownIsRefused(t *testing.T) {
	for name, rec := range map[string]event.Recorded{
		"an unknown type":                 recorded("ParcelLost", 1, `{}`),
		"no type":                         recorded("", 1, `{}`),
		"a future version":                recorded("ParcelWeighed", 4, `{"grams":1,"by":"shop"}`),
		"version 0":                       recorded("ParcelWeighed", 0, `{"grams":1,"by":"shop"}`),
		"an unknown field":                recorded("ParcelWeighed", 3, `{"grams":1,"by":"shop","colour":"red"}`),
		"a field twice":                   recorded("ParcelWeighed", 3, `{"grams":1,"grams":2,"by":"shop"}`),
		"a field in another case":         recorded("ParcelWeighed", 3, `{"Grams":1,"by":"shop"}`),
		"text that is not UTF-8":          recorded("ParcelSealed", 1, "{\"seal\":\"\xff\"}"),
		"a field of an older version":     recorded("ParcelWeighed", 3, `{"kilograms":1,"by":"shop"}`),
		"a newer field in an old version": recorded("ParcelWeighed", 2, `{"grams":1,"ounces":3}`),
		"a value of another kind":         recorded("ParcelWeighed", 3, `{"grams":"1","by":"shop"}`),
		"no body":                         recorded("ParcelSealed", 1, ``),
		"null":                            recorded("ParcelSealed", 1, `null`),
		"a list":                          recorded("ParcelSealed", 1, `[]`),
		"no JSON":                         recorded("ParcelSealed", 1, `{"seal":`),
		"two values":                      recorded("ParcelSealed", 1, `{"seal":"a"}{"seal":"b"}`),
		"something behind the value":      recorded("ParcelSealed", 1, `{"seal":"a"} x`),
	} {
		got, err := parcels.Decode(rec)
		if !errors.Is(err, event.ErrUnknownType) {
			t.Errorf("%s: %v, %v", name, got.Body, err)
		} else if !strings.Contains(err.Error(), "parcel-1") || !strings.Contains(err.Error(), "C:7/P:7") {
			t.Errorf("%s: the error does not say where: %v", name, err)
		}
	}
}

func TestWhatCannotBeUpcastIsAnError(t *testing.T) {
	_, err := parcels.Decode(recorded("ParcelWeighed", 1, `{"kilograms":-1}`))
	if err == nil || !strings.Contains(err.Error(), "upcast ParcelWeighed from version 1 at C:7/P:7 of parcel-1: a weight below nothing") {
		t.Errorf("got %v", err)
	}
	_, err = parcels.Decode(recorded("ParcelWeighed", 2, `7`))
	if err == nil || !strings.Contains(err.Error(), "upcast ParcelWeighed from version 2") {
		t.Errorf("got %v", err)
	}
}

func TestMetadataThatCannotBeRead(t *testing.T) {
	for _, meta := range []string{``, `[]`, `{"commandId":"me"}`, `{"occurredAt":"noon"}`} {
		rec := recorded("ParcelSealed", 1, `{"seal":"a"}`)
		rec.Metadata = []byte(meta)
		if got, err := parcels.Decode(rec); err == nil || !strings.Contains(err.Error(), "metadata of ParcelSealed at C:7/P:7 of parcel-1") {
			t.Errorf("metadata %q: %v, %v", meta, got.Body, err)
		}
	}
	// What others add to the metadata, as EventStoreDB does, is let be.
	rec := recorded("ParcelSealed", 1, `{"seal":"a"}`)
	rec.Metadata = bytes.Replace(rec.Metadata, []byte("{"), []byte(`{"$maxAge":3,`), 1)
	if _, err := parcels.Decode(rec); err != nil {
		t.Error(err)
	}
}

func TestEncode(t *testing.T) {
	m := event.Meta{Correlation: uuid.UUID{1}, Causation: uuid.UUID{2}, Command: uuid.UUID{3}, Actor: "shop",
		OccurredAt: noon.In(time.FixedZone("WIB", 7*3600))}
	p, err := parcels.Encode(m, 2, Weighed{5, "shop"})
	if err != nil {
		t.Fatal(err)
	}
	want := recorded("ParcelWeighed", 3, `{"grams":5,"by":"shop"}`)
	if p.ID != event.ID(m.Command, 2) || p.Type != want.Type || !bytes.Equal(p.Data, want.Data) || !bytes.Equal(p.Metadata, want.Metadata) {
		t.Errorf("encoded as %s %s\n%s\n%s", p.ID, p.Type, p.Data, p.Metadata)
	}
}

// A command that is remembered by its id leaves its digest with its events;
// events from before there were digests have none, and are read (above).
func TestTheDigestOfACommand(t *testing.T) {
	m := event.Meta{Command: uuid.UUID{3}, Digest: "00112233445566778899aabbccddeeff", Actor: "shop", OccurredAt: noon}
	p, err := parcels.Encode(m, 0, Weighed{5, "shop"})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"$correlationId":"00000000-0000-0000-0000-000000000000","$causationId":"00000000-0000-0000-0000-000000000000",` +
		`"commandId":"03000000-0000-0000-0000-000000000000","commandDigest":"00112233445566778899aabbccddeeff",` +
		`"actor":"shop","occurredAt":"2026-11-23T12:00:00Z","schemaVersion":3}`
	if string(p.Metadata) != want {
		t.Errorf("the metadata are\n%s, want\n%s", p.Metadata, want)
	}
	got, err := parcels.Decode(event.Recorded{ID: p.ID, Type: p.Type, Data: p.Data, Metadata: p.Metadata})
	if err != nil || got.Meta != m {
		t.Errorf("read as %+v, %v", got.Meta, err)
	}
}

type Unregistered struct{}

func (Unregistered) EventType() string { return "ParcelForgotten" }

func TestWhatCannotBeEncoded(t *testing.T) {
	if _, err := parcels.Encode(event.Meta{}, 0, Unregistered{}); err == nil || !strings.Contains(err.Error(), `"ParcelForgotten" is not registered`) {
		t.Errorf("an unregistered type: %v", err)
	}
	if _, err := parcels.Encode(event.Meta{OccurredAt: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}, 0, Sealed{}); err == nil || !strings.Contains(err.Error(), "encode metadata of ParcelSealed") {
		t.Errorf("a time beyond RFC 3339: %v", err)
	}
}

func TestARegistryKnowsItsTypes(t *testing.T) {
	if names := parcels.Names(); !slices.Equal(names, []string{"ParcelSealed", "ParcelWeighed"}) {
		t.Errorf("names %v", names)
	}
	for name, want := range map[string]int{"ParcelWeighed": 3, "ParcelSealed": 1, "ParcelLost": 0} {
		if got := parcels.Version(name); got != want || parcels.Knows(name) != (want > 0) {
			t.Errorf("%s: version %d, known %v; want %d", name, got, parcels.Knows(name), want)
		}
	}
}

func TestATypeRegisteredTwiceIsADefect(t *testing.T) {
	defer func() {
		if r := recover(); !reflect.DeepEqual(r, "event type registered twice: ParcelSealed") {
			t.Errorf("recovered %v", r)
		}
	}()
	event.NewRegistry([]event.Type{event.Of[Sealed]()}, []event.Type{event.Of[Sealed]()})
}
