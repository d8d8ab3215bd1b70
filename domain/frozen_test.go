package domain_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"kicau/domain"
	"kicau/domain/buyer"
	"kicau/domain/event"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/privacy"
	"kicau/domain/shop"
)

var update = flag.Bool("update", false, "write the frozen examples that are missing; those that exist never change")

// frozenDir holds one example of every event type and version as it stands in
// logs. What was written once is read for ever: a file there is never edited
// and never deleted. A new version adds a file, and keeps the line of the old
// one below, with the value that its upcasters make of it.
const frozenDir = "testdata/events"

var (
	noon   = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	later  = time.Date(2026, 11, 26, 12, 30, 15, 123456789, time.UTC)
	units  = int64(10)
	potter = uuid.MustParse("5a5a5a5a-0000-4000-8000-000000000001")
	ann    = uuid.MustParse("b0b0b0b0-0000-4000-8000-000000000002")
	mugs   = uuid.MustParse("0ffe0ffe-0000-4000-8000-000000000003")
	first  = uuid.MustParse("01234567-0000-4000-8000-000000000004")
	refund = uuid.MustParse("0ef0ef0e-0000-4000-8000-000000000005")
	sealed = &privacy.Sealed{Subject: ann, Key: "k1", Algorithm: privacy.Algorithm, Nonce: []byte("nonce"), Ciphertext: []byte{0xff, 0x00, 0x7f}}
	made   = order.Allocation{Goods: 3000, Shipping: 300, Tax: 660, Fee: 287}
)

// frozen is what each file is read as: "<type>.v<version>". Every field is set,
// so that none can be renamed or dropped unseen.
var frozen = map[string]event.Data{
	"LogStarted.v1": event.LogStarted{Log: first},

	"ShopOnboarded.v1": shop.Onboarded{Name: "Potter & Söhne", Handle: "@potter", Currency: "GBP", Account: "acct_shop", Platform: "acct", HoldHours: 72, Shipping: 350,
		Taxes: []shop.Tax{{Jurisdiction: "GB", BasisPoints: 2000}}, Fees: shop.Fees{ValidFrom: noon, BasisPoints: 900, Fixed: 20}},
	"ShopFeesChanged.v1": shop.FeesChanged{Fees: shop.Fees{ValidFrom: later, BasisPoints: 800, Fixed: 10}},
	"ShopAdjusted.v2":    shop.Adjusted{Adjustment: refund, Shop: potter, Kind: "bank charge", Currency: "GBP", Amount: -500, Reason: "returned transfer", Netted: true},
	"ShopAdjusted.v1":    shop.Adjusted{Adjustment: refund, Shop: potter, Kind: "bank charge", Currency: "GBP", Amount: -500, Reason: "returned transfer"},

	"OfferTweeted.v1": offer.Tweeted{Shop: potter, ShopName: "Potter & Söhne", Tweet: "Ten mugs <3 reply to buy ☕", SKU: "MUG-1", Title: "Mug",
		Description: "Blue", Photo: "https://example.com/mug.jpg?a=1&b=2", Currency: "GBP", Price: 1000, Stock: &units, LimitPerBuyer: 3,
		OpensAt: &noon, ClosesAt: &later, Related: []uuid.UUID{mugs}},
	"OfferRepriced.v1":      offer.Repriced{Price: 999},
	"OfferRestocked.v1":     offer.Restocked{Restock: refund, Added: 5},
	"OfferWithdrawn.v1":     offer.Withdrawn{Reason: "broken kiln"},
	"OfferStockHeld.v1":     offer.StockHeld{Order: first, Buyer: ann, Quantity: 3, ExpiresAt: later},
	"OfferStockReleased.v1": offer.StockReleased{Order: first, Quantity: 1, Reason: "not shipped", WasSold: true},
	"OfferStockSold.v1":     offer.StockSold{Order: first, Quantity: 3},

	"OrderPlaced.v1": order.Placed{Order: first, Shop: potter, Buyer: ann, Currency: "GBP",
		Lines:          []order.Line{{No: 1, Offer: mugs, Title: "Mug", Quantity: 3, UnitPrice: 1000, Allocation: made}},
		Allocation:     made,
		FeeBasisPoints: 900, FeeFixed: 17, TaxBasisPoints: 2000, Jurisdiction: "GB", HoldHours: 72, Destination: "acct_shop", Platform: "acct",
		Processor: "stripe", PaymentMethod: "pm_1", Held: []uuid.UUID{mugs}, StockHeldUntil: later, Contact: sealed, Reference: "A-17"},
	"OrderShipped.v1": order.Shipped{Units: []order.Units{{Line: 1, Quantity: 2}}, Rest: []order.Units{{Line: 1, Quantity: 1}},
		Offers: []order.OfferUnits{{Offer: mugs, Quantity: 2}}, Carrier: "post", Tracking: "RM1", Allocation: made},
	"OrderCancelled.v1":    order.Cancelled{Reason: "changed my mind"},
	"OrderExpired.v1":      order.Expired{Cause: order.Unpaid},
	"OrderRefundAgreed.v1": order.RefundAgreed{Refund: refund, Units: []order.Units{{Line: 1, Quantity: 1}}, Allocation: made, Reason: "broken"},

	"PaymentAuthorisationRequested.v1": order.AuthorisationRequested{Key: "v1:o:authorise:1", Account: "acct", Amount: 3960, PaymentMethod: "pm_1", At: noon},
	"PaymentActionRequired.v1":         order.ActionRequired{Intent: "pi_1", Action: "authenticate"},
	"PaymentAuthorised.v1": order.Authorised{Intent: "pi_1", Charge: "ch_1", Amount: 3960, Currency: "GBP", ExpiresAt: &later,
		Brand: "visa", Last4: "4242", Reference: "A-17"},
	"PaymentDeclined.v1":         order.Declined{Intent: "pi_1", Code: "card_declined", DeclineCode: "insufficient_funds"},
	"PaymentVoidRequested.v1":    order.VoidRequested{Key: "v1:o:void:2", Intent: "pi_1", At: noon},
	"PaymentVoided.v1":           order.Voided{Intent: "pi_1", Released: 3960, Currency: "GBP", Cause: "requested"},
	"PaymentCaptureRequested.v1": order.CaptureRequested{Key: "v1:o:capture:2", Intent: "pi_1", Amount: 3960, At: noon},
	"PaymentCaptured.v1": order.Captured{Intent: "pi_1", Charge: "ch_1", Transaction: "txn_1", Shop: potter, Processor: "stripe", Currency: "GBP",
		Jurisdiction: "GB", Amount: 3960, Authorised: 3961, Allocation: made, ProcessorFee: 75, SettleAfter: later},
	"PaymentCaptureFailed.v1":   order.CaptureFailed{Intent: "pi_1", Code: "charge_expired_for_capture", Reason: "too late"},
	"PaymentRefundRequested.v1": order.RefundRequested{Key: "v1:o:refund:3", Refund: refund, Intent: "pi_1", Amount: 3960, At: noon},
	"PaymentRefunded.v1": order.Refunded{Refund: refund, RefundID: "re_1", Transaction: "txn_2", Shop: potter, Processor: "stripe", Currency: "GBP",
		Jurisdiction: "GB", Amount: 3960, Allocation: made, Taken: order.Taken{FromPayable: 3000, FromReceivable: 13}},
	"PaymentRefundFailed.v1": order.RefundFailed{Refund: refund, Code: "expired_or_canceled_card", Reason: "the card is gone"},
	"SettlementRequested.v1": order.SettlementRequested{Key: "v1:o:settle:3", Destination: "acct_shop", Charge: "ch_1", Amount: 3000, Payable: 3013, Netted: 13, At: later},
	"SettlementPaid.v1":      order.Settled{Transfer: "tr_1", Shop: potter, Currency: "GBP", Amount: 3000, Payable: 3013, Netted: 13},
	"SettlementFailed.v1":    order.SettlementFailed{Code: "transfers_not_allowed", Reason: "the account is restricted", RetryAt: later},
	"PaymentOutcomeUnknown.v1": order.OutcomeUnknown{Step: order.Capture, Key: "v1:o:capture:2", Tries: 3, RetryAt: later,
		Reason: "timeout"},

	"BuyerRegistered.v1": buyer.Registered{Handle: sealed},
	"BuyerErased.v1":     buyer.Erased{LegalBasis: "GDPR 17(1)(b)"},
}

// file is an example on disk: what a log has of an event.
type file struct {
	ID       uuid.UUID       `json:"id"`
	Type     string          `json:"type"`
	Metadata json.RawMessage `json:"metadata"`
	Data     json.RawMessage `json:"data"`
}

var frozenMeta = event.Meta{
	Correlation: uuid.MustParse("c0c0c0c0-0000-4000-8000-00000000000a"),
	Causation:   uuid.MustParse("ca05ca05-0000-4000-8000-00000000000b"),
	Command:     uuid.MustParse("c03ac03a-0000-4000-8000-00000000000c"),
	Actor:       "shop",
	OccurredAt:  later,
}

func frozenName(typ string, version int) string { return fmt.Sprintf("%s.v%d", typ, version) }

// Every version of every type has an example, and no example is of nothing.
func TestEveryVersionIsFrozen(t *testing.T) {
	want := map[string]bool{}
	for _, typ := range domain.Events.Names() {
		for v := 1; v <= domain.Events.Version(typ); v++ {
			want[frozenName(typ, v)] = true
		}
	}
	for name := range want {
		if frozen[name] == nil {
			t.Errorf("%s has no example: give frozen a line for it, every field set", name)
		}
	}
	files, err := filepath.Glob(filepath.Join(frozenDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".json")
		if !want[name] || frozen[name] == nil {
			t.Errorf("%s is of a type or version that is not registered any more: what was written once is read for ever", f)
		}
	}
}

func TestFrozenEvents(t *testing.T) {
	for name, want := range frozen {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(frozenDir, name+".json")
			raw, err := os.ReadFile(path)
			// An older version has not the fields that a newer one brought.
			newest := name == frozenName(want.EventType(), domain.Events.Version(want.EventType()))
			if path := unset(reflect.ValueOf(want), want.EventType()); path != "" && newest {
				t.Errorf("the example leaves %s unset", path)
			}
			if errors.Is(err, fs.ErrNotExist) && *update && newest {
				raw, err = write(t, path, want), nil
			}
			if err != nil {
				t.Fatalf("%v (run with -update to freeze a new version)", err)
			}
			var f file
			if err := json.Unmarshal(raw, &f); err != nil {
				t.Fatal(err)
			}
			rec := event.Recorded{ID: f.ID, Type: f.Type, Stream: "frozen-1", Position: event.At(1), RecordedAt: noon, Data: f.Data, Metadata: f.Metadata}
			got, err := domain.Events.Decode(rec)
			if err != nil {
				t.Fatalf("%s cannot be read any more: %v", path, err)
			}
			if diff := cmp.Diff(want, got.Body); diff != "" {
				t.Errorf("%s is read as something else (-want +got):\n%s", path, diff)
			}
			if diff := cmp.Diff(frozenMeta, got.Meta); diff != "" {
				t.Errorf("its metadata are read as something else (-want +got):\n%s", diff)
			}
			if name != frozenName(f.Type, got.Version) {
				t.Errorf("%s is %s", path, frozenName(f.Type, got.Version))
			}
			if newest {
				again(t, f, want)
			}
		})
	}
}

// again writes the example anew: byte for byte what was frozen.
func again(t *testing.T, f file, d event.Data) {
	p, err := domain.Events.Encode(frozenMeta, 0, d)
	if err != nil {
		t.Fatal(err)
	}
	if p.ID != f.ID || p.Type != f.Type {
		t.Errorf("written today it is %s %s, frozen it was %s %s", p.Type, p.ID, f.Type, f.ID)
	}
	if was := compact(t, f.Data); !bytes.Equal(p.Data, was) {
		t.Errorf("written today the body is\n%s\nfrozen it was\n%s", p.Data, was)
	}
	if was := compact(t, f.Metadata); !bytes.Equal(p.Metadata, was) {
		t.Errorf("written today the metadata are\n%s\nfrozen they were\n%s", p.Metadata, was)
	}
}

func write(t *testing.T, path string, d event.Data) []byte {
	p, err := domain.Events.Encode(frozenMeta, 0, d)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.MarshalIndent(file{p.ID, p.Type, p.Metadata, p.Data}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	raw = append(raw, '\n')
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644) // never over an existing one
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(raw)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return raw
}

func compact(t *testing.T, raw []byte) []byte {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// unset finds a field that holds its zero value.
func unset(v reflect.Value, path string) string {
	switch {
	case v.IsZero():
		return path
	case v.Type() == reflect.TypeFor[time.Time](), v.Type() == reflect.TypeFor[uuid.UUID](), v.Type() == reflect.TypeFor[[]byte]():
		return ""
	case v.Kind() == reflect.Pointer:
		return unset(v.Elem(), path)
	case v.Kind() == reflect.Slice:
		if v.Len() == 0 {
			return path
		}
		return unset(v.Index(0), path+"[0]")
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if found := unset(v.Field(i), path+"."+v.Type().Field(i).Name); found != "" {
				return found
			}
		}
	}
	return ""
}

func TestUnsetFieldsAreFound(t *testing.T) {
	placed := frozen["OrderPlaced.v2"].(order.Placed)
	noLine, noContact, freeLine := placed, placed, placed
	noLine.Lines = []order.Line{}
	noContact.Contact = &privacy.Sealed{Subject: ann, Key: "k1"}
	freeLine.Lines = []order.Line{{No: 1, Offer: mugs, Title: "Mug", Quantity: 3, UnitPrice: 1000}}
	for _, c := range []struct {
		of   event.Data
		want string
	}{
		{placed, ""},
		{order.Cancelled{}, "x"},
		{noLine, "x.Lines"},
		{freeLine, "x.Lines[0].Allocation"},
		{noContact, "x.Contact.Algorithm"},
		{shop.FeesChanged{Fees: shop.Fees{BasisPoints: 1, Fixed: 1, Minimum: 1, Cap: 1}}, "x.Fees.ValidFrom"},
	} {
		if got := unset(reflect.ValueOf(c.of), "x"); got != c.want {
			t.Errorf("found %q, want %q", got, c.want)
		}
	}
}
