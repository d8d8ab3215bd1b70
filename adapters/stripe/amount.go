package stripe

import (
	"fmt"
	"math/big"
	"strings"

	stripego "github.com/stripe/stripe-go/v76"

	"kicau/domain/money"
)

// A unit says how Stripe counts a currency: its amount is minor units × times ÷
// per, and a multiple of step. Both times and per are 1 where Stripe agrees with
// ISO 4217.
type unit struct{ times, per, step int64 }

// units of every currency whose unit at Stripe is documented,
// https://docs.stripe.com/currencies#minor-units. A currency that is not here
// cannot be charged in: what its amounts would mean is not known. Whether Stripe
// takes one that is here depends on the account, and Stripe says.
var units = func() map[money.Currency]unit {
	all := map[money.Currency]unit{}
	for _, c := range money.Currencies() {
		if c.Exponent() == 2 {
			all[c] = unit{1, 1, 1}
		}
	}
	set := func(codes string, u unit) {
		for c := range strings.FieldsSeq(codes) {
			all[money.Currency(c)] = u
		}
	}
	set("BIF CLP DJF GNF JPY KMF KRW PYG RWF VND VUV XAF XOF XPF", unit{1, 1, 1})
	// No decimals at Stripe; ISO 4217 counts the ariary in hundredths, though
	// nobody can pay one (it is divided into five iraimbilanja).
	set("MGA", unit{1, 100, 1})
	// No decimals in life, two in the API, "for backwards compatibility".
	set("ISK UGX", unit{100, 1, 1})
	// Three decimals, the last of which the card networks do not carry.
	set("BHD JOD KWD OMR TND", unit{1, 1, 10})
	return all
}()

// toStripe is an amount as Stripe counts it, or why there is none. Nothing is
// rounded here: the buyer agreed to the amount.
func toStripe(m money.Minor, c money.Currency) (int64, *failure) {
	u, ok := units[c]
	switch {
	case !ok:
		return 0, refused("currency-unsupported", fmt.Sprintf("%s has no amounts at Stripe", c))
	case m <= 0 || m > money.Max:
		return 0, refused("amount-out-of-range", fmt.Sprintf("%s cannot be moved", money.Format(m, c)))
	}
	n := int64(m)
	if n%u.per != 0 || n/u.per*u.times%u.step != 0 {
		return 0, refused("amount-too-fine", fmt.Sprintf("%s is finer than Stripe can move", money.Format(m, c)))
	}
	return n / u.per * u.times, nil
}

// fromStripe is an amount that Stripe says, exactly.
func fromStripe(n int64, currency stripego.Currency) (money.Minor, error) {
	u, err := unitOf(currency)
	if err != nil {
		return 0, err
	}
	m := n / u.times * u.per
	if n < 0 || n > int64(money.Max) || m > int64(money.Max) || n%u.times != 0 {
		return 0, fmt.Errorf("an amount of %d %s is none in minor units", n, currency)
	}
	return money.Minor(m), nil
}

// roundedFromStripe is an amount that Stripe says and may count more finely than the
// currency is, as a fee of 3.45 ISK and whatever such a fee is in; it is then rounded to
// the nearest minor unit, half away from zero.
func roundedFromStripe(n int64, currency stripego.Currency) (money.Minor, error) {
	u, err := unitOf(currency)
	if err != nil {
		return 0, err
	}
	if m := scale(n, u.per, u.times); m.IsInt64() && m.Int64() <= int64(money.Max) && m.Int64() >= -int64(money.Max) {
		return money.Minor(m.Int64()), nil
	}
	return 0, fmt.Errorf("an amount of %d %s is none in minor units", n, currency)
}

// restOf is what was rounded off an amount that Stripe says: hundredths of a minor unit.
func restOf(n int64, m money.Minor, currency stripego.Currency) int64 {
	if u, err := unitOf(currency); err == nil && u.times == 100 && u.per == 1 {
		return n - 100*int64(m)
	}
	return 0
}

func unitOf(currency stripego.Currency) (unit, error) {
	u, ok := units[money.Currency(strings.ToUpper(string(currency)))]
	if !ok {
		return unit{}, fmt.Errorf("%q is not a currency with known amounts at Stripe", currency)
	}
	return u, nil
}

// scale is n × times ÷ per, rounded to the nearest, half away from zero. per is
// positive.
func scale(n, times, per int64) *big.Int {
	x := new(big.Int).Mul(big.NewInt(n), big.NewInt(times))
	half := big.NewInt(per / 2)
	if x.Sign() < 0 {
		half.Neg(half)
	}
	// For an odd per, half is rounded down: no remainder of an odd divisor is
	// exactly one half.
	return x.Quo(x.Add(x, half), big.NewInt(per))
}
