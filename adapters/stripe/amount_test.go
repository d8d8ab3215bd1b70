package stripe

import (
	"strings"
	"testing"

	stripego "github.com/stripe/stripe-go/v76"
	"pgregory.net/rapid"

	"kicau/domain/money"
)

// The examples are Stripe's own where it gives some,
// https://docs.stripe.com/currencies#minor-units.
func TestAmountsAsStripeCountsThem(t *testing.T) {
	for _, c := range []struct {
		price    string
		currency money.Currency
		stripe   int64
	}{
		{"10.00", "USD", 1000},
		{"0.01", "GBP", 1},
		{"150000.00", "IDR", 15000000},
		{"175.00", "HUF", 17500},
		{"800.45", "TWD", 80045},
		{"10", "JPY", 10},
		{"500", "KRW", 500},
		{"9900", "CLP", 9900},
		{"12000", "VND", 12000},
		{"5", "ISK", 500},
		{"5", "UGX", 500},
		{"4500.00", "MGA", 4500},
		{"5.120", "KWD", 5120},
		{"5.130", "BHD", 5130},
		{"0.010", "TND", 10},
	} {
		m, err := money.Parse(c.price, c.currency)
		if err != nil {
			t.Fatal(err)
		}
		if got, f := toStripe(m, c.currency); f != nil || got != c.stripe {
			t.Errorf("%s %s is %d at Stripe (%+v), want %d", c.price, c.currency, got, f, c.stripe)
		}
		if back, err := fromStripe(c.stripe, stripego.Currency(strings.ToLower(string(c.currency)))); err != nil || back != m {
			t.Errorf("Stripe's %d %s is %d minor units (%v), want %d", c.stripe, c.currency, back, err, m)
		}
	}
}

func TestAmountsThatStripeCannotMove(t *testing.T) {
	for _, c := range []struct {
		minor    money.Minor
		currency money.Currency
		code     string
	}{
		{5124, "KWD", "amount-too-fine"},
		{1, "TND", "amount-too-fine"},
		{450050, "MGA", "amount-too-fine"},
		{0, "USD", "amount-out-of-range"},
		{-1, "USD", "amount-out-of-range"},
		{money.Max + 1, "USD", "amount-out-of-range"},
		{100, "LYD", "currency-unsupported"},
		{100, "CLF", "currency-unsupported"},
		{100, "UYI", "currency-unsupported"},
		{100, "", "currency-unsupported"},
	} {
		if n, f := toStripe(c.minor, c.currency); f == nil || f.code != c.code || f.kind != final {
			t.Errorf("%d %s is %d at Stripe (%+v), want %s", c.minor, c.currency, n, f, c.code)
		}
	}
}

func TestAmountsThatStripeCannotMean(t *testing.T) {
	for _, c := range []struct {
		stripe   int64
		currency stripego.Currency
	}{{501, "isk"}, {-1, "usd"}, {int64(money.Max) + 1, "usd"}, {int64(money.Max), "mga"}, {1 << 62, "mga"}, {5, "xau"}, {5, ""}} {
		if m, err := fromStripe(c.stripe, c.currency); err == nil {
			t.Errorf("Stripe's %d %s is %d minor units, want an error", c.stripe, c.currency, m)
		}
	}
}

func TestFeesAreRoundedToTheMinorUnit(t *testing.T) {
	for _, c := range []struct {
		stripe   int64
		currency stripego.Currency
		minor    money.Minor
	}{
		{59, "usd", 59}, {345, "isk", 3}, {350, "isk", 4}, {349, "ugx", 3}, {-350, "isk", -4}, {-349, "isk", -3},
		{3, "mga", 300}, {0, "jpy", 0}, {7, "kwd", 7},
	} {
		if m, err := roundedFromStripe(c.stripe, c.currency); err != nil || m != c.minor {
			t.Errorf("a fee of Stripe's %d %s is %d minor units (%v), want %d", c.stripe, c.currency, m, err, c.minor)
		}
	}
	if m, err := roundedFromStripe(1<<62, "mga"); err == nil {
		t.Errorf("a fee of 2⁶² MGA is %d minor units, want an error", m)
	}
}

func TestScaleRoundsHalfAwayFromZero(t *testing.T) {
	for _, c := range [][4]int64{{1, 1, 2, 1}, {-1, 1, 2, -1}, {1, 1, 3, 0}, {2, 1, 3, 1}, {-2, 1, 3, -1}, {7, 3, 2, 11}, {1 << 62, 4, 8, 1 << 61}} {
		if got := scale(c[0], c[1], c[2]); got.Int64() != c[3] {
			t.Errorf("%d × %d ÷ %d = %s, want %d", c[0], c[1], c[2], got, c[3])
		}
	}
}

// What is sent is what comes back, to the minor unit, in every currency.
func TestAmountsComeBack(t *testing.T) {
	currencies := money.Currencies()
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom(currencies).Draw(t, "currency")
		m := money.Minor(rapid.Int64Range(1, int64(money.Max)).Draw(t, "minor"))
		n, f := toStripe(m, c)
		if f != nil {
			return
		}
		back, err := fromStripe(n, stripego.Currency(strings.ToLower(string(c))))
		if n > int64(money.Max) {
			return // Stripe takes eight digits
		}
		if err != nil || back != m {
			t.Fatalf("%d minor units of %s are %d at Stripe and come back as %d (%v)", m, c, n, back, err)
		}
	})
}
