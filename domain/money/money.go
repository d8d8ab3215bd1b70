// Package money is integer money: amounts in the minor unit of an ISO 4217
// currency, and the little arithmetic that commerce needs of them.
//
// Its laws:
//   - no float, no rounding that is not named;
//   - an amount beyond [Max] is a refusal, never a wrap-around;
//   - parts of a split add up to the whole, to the last minor unit.
package money

import (
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"kicau/domain/refusal"
)

// Minor is an amount in minor units of a currency that stands beside it: pence
// for GBP, yen for JPY, fils (1/1000 dinar) for KWD.
type Minor int64

// Max is the largest amount, either sign: the largest integer that every JSON
// reader keeps exact (RFC 7493, section 2.2).
const Max Minor = 1<<53 - 1

// Refusals of this package.
var (
	ErrUnknownCurrency = &refusal.Refusal{Kind: refusal.Invalid, Code: "unknown-currency", Field: "currency",
		Reason: "is not a currency of ISO 4217", Remedy: "use an alphabetic code such as GBP, IDR or JPY"}
	ErrNoMinorUnit = &refusal.Refusal{Kind: refusal.Invalid, Code: "no-minor-unit", Field: "currency",
		Reason: "has no minor unit in ISO 4217, so nothing can be priced in it"}
	ErrTooFine = &refusal.Refusal{Kind: refusal.Invalid, Code: "finer-than-minor-unit", Field: "amount",
		Reason: "is finer than the minor unit of the currency"}
	ErrNotANumber = &refusal.Refusal{Kind: refusal.Invalid, Code: "not-an-amount", Field: "amount",
		Reason: "is not a decimal amount", Remedy: "write it like 12.50"}
	ErrOverflow = &refusal.Refusal{Kind: refusal.Invalid, Code: "amount-overflow", Field: "amount", Subject: "amount",
		Reason: fmt.Sprintf("is larger than %d minor units", int64(Max))}
)

// Currency is an alphabetic code of ISO 4217 that has a minor unit. Make one
// with [ParseCurrency]; the zero value is none.
type Currency string

const noMinorUnit = -1

var exponentOf = func() map[Currency]int {
	m := map[Currency]int{}
	for e, codes := range exponents {
		for c := range strings.FieldsSeq(codes) {
			m[Currency(c)] = e
		}
	}
	return m
}()

// ParseCurrency accepts a code in capital letters.
func ParseCurrency(code string) (Currency, error) {
	e, ok := exponentOf[Currency(code)]
	switch {
	case !ok:
		return "", ErrUnknownCurrency.About("currency %q", code)
	case e == noMinorUnit:
		return "", ErrNoMinorUnit.About("currency %q", code)
	}
	return Currency(code), nil
}

// Currencies lists every usable code in alphabetical order.
func Currencies() []Currency {
	var all []Currency
	for c, e := range exponentOf {
		if e != noMinorUnit {
			all = append(all, c)
		}
	}
	slices.Sort(all)
	return all
}

// Exponent is the number of digits behind the point: 2 for GBP, 0 for JPY.
func (c Currency) Exponent() int { return exponentOf[c] }

// Step is the smallest difference between two amounts that cards carry: of three
// decimals the last one is always 0
// (https://docs.stripe.com/currencies#three-decimal).
func (c Currency) Step() Minor {
	if c.Exponent() == 3 {
		return 10
	}
	return 1
}

// Parse reads a decimal amount, such as "-12.50", into minor units of c.
// Trailing zeros beyond the minor unit are allowed, other digits are not.
func Parse(s string, c Currency) (Minor, error) {
	digits, negative := strings.CutPrefix(s, "-")
	whole, fraction, point := strings.Cut(digits, ".")
	if whole == "" || (point && fraction == "") || strings.Trim(whole+fraction, "0123456789") != "" {
		return 0, ErrNotANumber.About("amount %q", s)
	}
	exp := c.Exponent()
	if len(fraction) > exp {
		if strings.Trim(fraction[exp:], "0") != "" {
			return 0, ErrTooFine.About("amount %s %s", s, c)
		}
		fraction = fraction[:exp]
	}
	n, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", exp-len(fraction)), 10, 64)
	if err != nil || Minor(n) > Max {
		return 0, ErrOverflow.About("amount %s %s", s, c)
	}
	if negative {
		n = -n
	}
	return Minor(n), nil
}

// Format writes m as people do: Format(1250, "GBP") is "12.50 GBP".
func Format(m Minor, c Currency) string {
	exp := c.Exponent()
	sign, n := "", m
	if n < 0 {
		sign, n = "-", -n
	}
	s := strconv.FormatInt(int64(n), 10)
	if exp > 0 {
		if len(s) <= exp {
			s = strings.Repeat("0", exp+1-len(s)) + s
		}
		s = s[:len(s)-exp] + "." + s[len(s)-exp:]
	}
	return sign + s + " " + string(c)
}

// Sum adds amounts of one currency.
func Sum(amounts ...Minor) (Minor, error) {
	var total Minor
	for _, a := range amounts {
		// Each side is within ±2⁵³ when checked, so int64 cannot wrap.
		if a > Max || a < -Max {
			return 0, ErrOverflow
		}
		if total += a; total > Max || total < -Max {
			return 0, ErrOverflow
		}
	}
	return total, nil
}

// Times is unit × quantity; neither may be negative.
func Times(unit Minor, quantity int64) (Minor, error) {
	hi, lo := bits.Mul64(uint64(unit), uint64(quantity))
	if unit < 0 || quantity < 0 || hi != 0 || lo > uint64(Max) {
		return 0, ErrOverflow
	}
	return Minor(lo), nil
}

// BasisPoints is a share in 1/10,000.
type BasisPoints int64

// Share is b of m in whole steps, rounded half up (away from zero at exactly one
// half); m and b are not negative, a step is at least 1.
func Share(m Minor, b BasisPoints, step Minor) (Minor, error) {
	whole := 10000 * uint64(step)
	hi, lo := bits.Mul64(uint64(m), uint64(b))
	lo, carry := bits.Add64(lo, whole/2, 0)
	hi += carry
	if m < 0 || b < 0 || hi >= whole { // q would not fit in 64 bits
		return 0, ErrOverflow
	}
	q, _ := bits.Div64(hi, lo, whole)
	if q > uint64(Max/step) {
		return 0, ErrOverflow
	}
	return Minor(q) * step, nil
}

// Split divides total in proportion to weights by largest remainder (Hamilton's
// method): every part is its exact share rounded down to whole steps, and what is
// left goes, one step each, to the largest remainders, the earlier first among
// equals; what of total is less than a step goes last. The parts add up to total.
// If all weights are zero the first part takes everything. Neither total nor a
// weight may be negative, and there must be a weight; anything else is a defect
// and panics.
func Split(total Minor, weights []Minor, step Minor) []Minor {
	parts := make([]Minor, len(weights))
	var sum uint64
	for _, w := range weights {
		if w < 0 || w > Max {
			panic("money: a weight is negative or too large")
		}
		sum += uint64(w)
	}
	if total < 0 || total > Max || len(weights) == 0 {
		panic("money: split of a negative amount or into nothing")
	}
	if sum == 0 {
		parts[0] = total
		return parts
	}
	type rest struct {
		index     int
		remainder uint64
	}
	rests := make([]rest, len(weights))
	left := total
	for i, w := range weights {
		hi, lo := bits.Mul64(uint64(total), uint64(w))
		q, r := bits.Div64(hi, lo, sum*uint64(step)) // hi < sum, since total·w/sum ≤ total < 2⁶⁴
		parts[i] = Minor(q) * step
		left -= parts[i]
		rests[i] = rest{i, r}
	}
	slices.SortStableFunc(rests, func(a, b rest) int {
		switch {
		case a.remainder > b.remainder:
			return -1
		case a.remainder < b.remainder:
			return 1
		}
		return 0
	})
	for i := 0; left > 0; i++ {
		more := min(step, left)
		parts[rests[i].index] += more
		left -= more
	}
	return parts
}

// UpTo is what belongs to the first n of count equal pieces of total, rounded
// down to whole steps; to all of them belongs all. Taking UpTo(n+k) − UpTo(n) for the next k pieces shares total out in any
// number of steps, and the last step takes the remainder.
func UpTo(total Minor, n, count int64, step Minor) Minor {
	if total < 0 || n < 0 || n > count || count <= 0 {
		panic("money: pieces out of range")
	}
	if n == count {
		return total
	}
	hi, lo := bits.Mul64(uint64(total), uint64(n))
	q, _ := bits.Div64(hi, lo, uint64(count)) // below total
	return Minor(q) / step * step
}
