package domain_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"kicau/domain"
	"kicau/domain/buyer"
	"kicau/domain/event"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/payout"
	"kicau/domain/reconcile"
	"kicau/domain/shop"
)

// stored is e as the log gives it back: encoded, decoded, nothing else.
func stored(t failer, e event.Data) event.Data {
	t.Helper()
	p, err := domain.Events.Encode(frozenMeta, 0, e)
	if err != nil {
		t.Fatalf("encode %T: %v", e, err)
	}
	got, err := domain.Events.Decode(event.Recorded{ID: p.ID, Type: p.Type, Data: p.Data, Metadata: p.Metadata})
	if err != nil {
		t.Fatalf("decode %s: %v", p.Data, err)
	}
	return got.Body
}

// failer is a test or a try of a property.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// anything draws values of any event type: every field any value of its type
// that JSON can hold. A list is drawn with elements or not at all: an empty one
// is read back as none.
var anything = rapid.MakeConfig{
	Types: map[reflect.Type]*rapid.Generator[any]{
		reflect.TypeFor[time.Time](): rapid.Custom(func(t *rapid.T) any {
			return time.Unix(rapid.Int64Range(-62167219200, 253402300799).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds")).UTC()
		}),
		reflect.TypeFor[uuid.UUID](): rapid.Custom(func(t *rapid.T) any {
			return uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "uuid"))
		}),
		reflect.TypeFor[[]byte](): rapid.SliceOf(rapid.Byte()).AsAny(),
	},
}

// roundTrip is the law for one type.
func roundTrip[D event.Data](t *testing.T) {
	t.Run(fmt.Sprintf("%T", *new(D)), rapid.MakeCheck(func(t *rapid.T) {
		want := orNil(reflect.ValueOf(rapid.MakeCustom[D](anything).Draw(t, "event"))).Interface()
		// Exactly: a time is read in the location it was written in, too.
		if got := stored(t, want.(D)); !reflect.DeepEqual(want, any(got)) {
			t.Fatalf("(-written +read):\n%s", cmp.Diff(want, any(got)))
		}
	}))
}

// orNil makes lists without elements none, which is what JSON makes of those
// that are left out; bytes stay.
func orNil(v reflect.Value) reflect.Value {
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	switch {
	case v.Type() == reflect.TypeFor[time.Time]() || v.Type() == reflect.TypeFor[[]byte]():
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			c.Field(i).Set(orNil(v.Field(i)))
		}
	case v.Kind() == reflect.Slice && v.Len() == 0:
		c.SetZero()
	}
	return c
}

var roundTrips = []func(*testing.T){
	roundTrip[event.LogStarted],
	roundTrip[shop.Onboarded], roundTrip[shop.FeesChanged], roundTrip[shop.Adjusted],
	roundTrip[offer.Tweeted], roundTrip[offer.Repriced], roundTrip[offer.Restocked],
	roundTrip[offer.Withdrawn], roundTrip[offer.StockHeld], roundTrip[offer.StockReleased],
	roundTrip[offer.StockSold],
	roundTrip[order.Placed], roundTrip[order.Shipped], roundTrip[order.Cancelled],
	roundTrip[order.Expired], roundTrip[order.RefundAgreed], roundTrip[order.AuthorisationRequested],
	roundTrip[order.ActionRequired], roundTrip[order.Authorised], roundTrip[order.Declined],
	roundTrip[order.VoidRequested], roundTrip[order.Voided], roundTrip[order.CaptureRequested],
	roundTrip[order.Captured], roundTrip[order.CaptureFailed], roundTrip[order.RefundRequested],
	roundTrip[order.Refunded], roundTrip[order.RefundFailed], roundTrip[order.SettlementRequested],
	roundTrip[order.Settled], roundTrip[order.SettlementFailed], roundTrip[order.OutcomeUnknown],
	roundTrip[buyer.Registered], roundTrip[buyer.Erased],
	roundTrip[shop.SettlementChanged], roundTrip[shop.DebtCarried], roundTrip[shop.DebtNetted], roundTrip[shop.DebtWrittenOff], roundTrip[shop.PaidOutside],
	roundTrip[order.MethodGiven], roundTrip[order.Delivered], roundTrip[order.Expiring], roundTrip[order.Earned],
	roundTrip[order.RefundPending], roundTrip[order.RefundReturned], roundTrip[order.FraudWarned],
	roundTrip[order.NettingRequested], roundTrip[order.Released], roundTrip[order.ReserveReleased], roundTrip[order.ReversalRequested], roundTrip[order.Reversed], roundTrip[order.DebtCarried],
	roundTrip[order.DisputeOpened], roundTrip[order.DisputeEscalated], roundTrip[order.DisputeWithdrawn], roundTrip[order.DisputeAnswered],
	roundTrip[order.ContestRequested], roundTrip[order.Contested], roundTrip[order.ContestFailed], roundTrip[order.DisputeConceded],
	roundTrip[order.AcceptRequested], roundTrip[order.DisputeCharged], roundTrip[order.DisputeReinstated], roundTrip[order.DisputeClosed],
	roundTrip[order.DisputeReallocated],
	roundTrip[payout.Sent], roundTrip[payout.Paid], roundTrip[payout.Failed],
	roundTrip[reconcile.BecameAvailable], roundTrip[reconcile.Charged], roundTrip[reconcile.BreakFound], roundTrip[reconcile.BreakResolved],
	roundTrip[reconcile.RunCompleted],
}

func TestEveryEventIsReadAsWritten(t *testing.T) {
	for _, test := range roundTrips {
		test(t)
	}
	if n := len(domain.Events.Names()); len(roundTrips) != n {
		t.Errorf("%d of %d types are looked at: add a line to roundTrips", len(roundTrips), n)
	}
}

// The life of an order, folded as it happened, is its life read from the log.
func TestFoldingTheLogIsFoldingWhatHappened(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := live(t)
		fresh, read := order.Decider.Initial(), order.Decider.Initial()
		for i, e := range l.log {
			fresh, read = order.Decider.Evolve(fresh, e), order.Decider.Evolve(read, stored(t, e))
			if diff := cmp.Diff(fresh, read); diff != "" {
				t.Fatalf("after event %d, %s (-happened +read):\n%s", i, e.EventType(), diff)
			}
		}
	})
}

// Whatever bytes stand in a log, reading them ends in an event or an error; and
// an event that was read is written and read again as itself.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(frozenDir, "*.json"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no examples: %v", err)
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		var ex file
		if err := json.Unmarshal(raw, &ex); err != nil {
			f.Fatal(err)
		}
		f.Add(ex.Type, []byte(ex.Data), []byte(ex.Metadata))
	}
	f.Add("LogStarted", []byte(`null`), []byte(`{"schemaVersion":1}`))
	f.Add("LogStarted", []byte(`{}`), []byte(`null`))
	f.Add("OrderPlaced", []byte(`{"lines":[{}],"contact":{}}`), []byte(`{"schemaVersion":1}`))
	f.Fuzz(func(t *testing.T, typ string, data, metadata []byte) {
		e, err := domain.Events.Decode(event.Recorded{Type: typ, Data: data, Metadata: metadata})
		if err != nil {
			if e.Body != nil {
				t.Errorf("refused, yet %v", e.Body)
			}
			return
		}
		if e.Body.EventType() != typ || e.Version < 1 || e.Version > domain.Events.Version(typ) {
			t.Errorf("%s is read as version %d of %s", typ, e.Version, e.Body.EventType())
		}
		if diff := cmp.Diff(e.Body, stored(t, e.Body)); diff != "" {
			t.Errorf("(-read +read again):\n%s", diff)
		}
	})
}
