package money_test

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"kicau/domain/money"
)

func TestParseAndFormat(t *testing.T) {
	for _, c := range []struct {
		text     string
		currency money.Currency
		minor    money.Minor
		again    string
	}{
		{"12.50", "GBP", 1250, "12.50 GBP"},
		{"12.5", "GBP", 1250, "12.50 GBP"},
		{"12.500", "GBP", 1250, "12.50 GBP"},
		{"0.01", "GBP", 1, "0.01 GBP"},
		{"-0.07", "EUR", -7, "-0.07 EUR"},
		{"150000", "IDR", 15000000, "150000.00 IDR"},
		{"980", "JPY", 980, "980 JPY"},
		{"980.0", "JPY", 980, "980 JPY"},
		{"5.124", "KWD", 5124, "5.124 KWD"},
		{"1.2345", "CLF", 12345, "1.2345 CLF"},
	} {
		got, err := money.Parse(c.text, c.currency)
		if err != nil || got != c.minor {
			t.Errorf("Parse(%s %s) = %d, %v; want %d", c.text, c.currency, got, err, c.minor)
		}
		if s := money.Format(c.minor, c.currency); s != c.again {
			t.Errorf("Format(%d %s) = %q, want %q", c.minor, c.currency, s, c.again)
		}
	}
}

func TestRefusedAmounts(t *testing.T) {
	for _, c := range []struct {
		text     string
		currency money.Currency
		want     error
	}{
		{"12.505", "GBP", money.ErrTooFine},
		{"0.5", "JPY", money.ErrTooFine},
		{"", "GBP", money.ErrNotANumber},
		{"-", "GBP", money.ErrNotANumber},
		{"1.", "GBP", money.ErrNotANumber},
		{".5", "GBP", money.ErrNotANumber},
		{"1e3", "GBP", money.ErrNotANumber},
		{"+1", "GBP", money.ErrNotANumber},
		{"1,000", "GBP", money.ErrNotANumber},
		{"90071992547409.92", "GBP", money.ErrOverflow},
		{"99999999999999999999", "JPY", money.ErrOverflow},
	} {
		if _, err := money.Parse(c.text, c.currency); !errors.Is(err, c.want) {
			t.Errorf("Parse(%q %s): %v, want %v", c.text, c.currency, err, c.want)
		}
	}
}

func TestCurrencies(t *testing.T) {
	if n := len(money.Currencies()); n != 165 {
		t.Errorf("%d currencies have a minor unit, ISO 4217 has 165", n)
	}
	for code, exponent := range map[string]int{"GBP": 2, "IDR": 2, "JPY": 0, "KWD": 3, "CLF": 4, "ISK": 0, "MGA": 2} {
		c, err := money.ParseCurrency(code)
		if err != nil || c.Exponent() != exponent {
			t.Errorf("%s: exponent %d, %v; want %d", code, c.Exponent(), err, exponent)
		}
	}
	for code, want := range map[string]error{
		"XXZ": money.ErrUnknownCurrency, "gbp": money.ErrUnknownCurrency, "": money.ErrUnknownCurrency,
		"XAU": money.ErrNoMinorUnit, "XXX": money.ErrNoMinorUnit,
	} {
		if _, err := money.ParseCurrency(code); !errors.Is(err, want) {
			t.Errorf("ParseCurrency(%q): %v, want %v", code, err, want)
		}
	}
}

func TestArithmeticRefusesToOverflow(t *testing.T) {
	for name, err := range map[string]error{
		"sum":         second(money.Sum(money.Max, 1)),
		"sum below":   second(money.Sum(-money.Max, -1)),
		"sum wraps":   second(money.Sum(1<<62, 1<<62)),
		"times":       second(money.Times(money.Max, 2)),
		"times wraps": second(money.Times(1<<40, 1<<40)),
		"times by −1": second(money.Times(1, -1)),
		"share":       second(money.Share(money.Max, 20000, 1)),
		"share wraps": second(money.Share(money.Max, 1<<62, 1)),
		"share of −1": second(money.Share(-1, 1, 1)),
		"share by −1": second(money.Share(1, -1, 1)),
	} {
		if !errors.Is(err, money.ErrOverflow) {
			t.Errorf("%s: %v, want an overflow", name, err)
		}
	}
}

func second(_ money.Minor, err error) error { return err }

func TestShareRoundsHalfUp(t *testing.T) {
	for _, c := range []struct {
		of   money.Minor
		bp   money.BasisPoints
		want money.Minor
	}{{1000, 1000, 100}, {999, 1000, 100}, {994, 1000, 99}, {995, 1000, 100}, {1, 4999, 0}, {1, 5000, 1}, {0, 900, 0},
		{money.Max, 10000, money.Max}, {money.Max, 9999, 9006298534815517}, {9007199254740990, 5000, 4503599627370495}} {
		if got, err := money.Share(c.of, c.bp, 1); err != nil || got != c.want {
			t.Errorf("%d basis points of %d = %d, %v; want %d", c.bp, c.of, got, err, c.want)
		}
	}
}

// A card carries no third decimal: 5% of 1.230 KWD are 0.060 KWD.
func TestWholeSteps(t *testing.T) {
	step := money.Currency("KWD").Step()
	if share, err := money.Share(1230, 500, step); err != nil || share != 60 {
		t.Errorf("the share is %d, %v", share, err)
	}
	if share, err := money.Share(1300, 500, step); err != nil || share != 70 {
		t.Errorf("the share is %d, %v", share, err)
	}
	if parts := money.Split(100, []money.Minor{1, 1, 1}, step); !slices.Equal(parts, []money.Minor{40, 30, 30}) {
		t.Errorf("the parts are %v", parts)
	}
	if parts := money.Split(105, []money.Minor{1, 1, 1}, step); !slices.Equal(parts, []money.Minor{40, 35, 30}) {
		t.Errorf("the parts are %v", parts)
	}
	if got := money.UpTo(105, 2, 3, step); got != 70 {
		t.Errorf("two of three pieces are %d", got)
	}
	if money.Currency("GBP").Step() != 1 || money.Currency("JPY").Step() != 1 || money.Currency("CLF").Step() != 1 {
		t.Error("cards carry every minor unit of other currencies")
	}
}

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		total   money.Minor
		weights []money.Minor
		want    []money.Minor
	}{
		{100, []money.Minor{1, 1, 1}, []money.Minor{34, 33, 33}},
		{100, []money.Minor{1, 2, 3}, []money.Minor{17, 33, 50}},
		{5, []money.Minor{0, 0}, []money.Minor{5, 0}},
		{0, []money.Minor{3, 4}, []money.Minor{0, 0}},
		{money.Max, []money.Minor{money.Max, money.Max}, []money.Minor{money.Max/2 + 1, money.Max / 2}},
	} {
		got := money.Split(c.total, c.weights, 1)
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("Split(%d, %v) = %v, want %v", c.total, c.weights, got, c.want)
				break
			}
		}
	}
}

func TestPartsAddUp(t *testing.T) {
	amount := rapid.Int64Range(0, int64(money.Max))
	rapid.Check(t, func(t *rapid.T) {
		total := money.Minor(amount.Draw(t, "total"))
		weights := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) money.Minor {
			return money.Minor(amount.Draw(t, "weight"))
		}), 1, 20).Draw(t, "weights")
		sum := money.Minor(0)
		step := rapid.SampledFrom([]money.Minor{1, 10}).Draw(t, "step")
		broken := 0
		for _, p := range money.Split(total, weights, step) {
			if p < 0 {
				t.Fatalf("negative part %d", p)
			}
			if p%step != 0 {
				broken++
			}
			sum += p
		}
		if broken > 1 || broken == 1 && total%step == 0 {
			t.Fatalf("%d parts of %d are no whole steps of %d", broken, total, step)
		}
		if sum != total {
			t.Fatalf("parts add up to %d, not %d", sum, total)
		}
	})
}

func TestStepsTakeTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := money.Minor(rapid.Int64Range(0, int64(money.Max)).Draw(t, "total"))
		count := rapid.Int64Range(1, 1000).Draw(t, "count")
		step := rapid.SampledFrom([]money.Minor{1, 10}).Draw(t, "step")
		taken, done := money.Minor(0), int64(0)
		for done < count {
			k := rapid.Int64Range(1, count-done).Draw(t, "step")
			took := money.UpTo(total, done+k, count, step) - money.UpTo(total, done, count, step)
			if took < 0 || took%step != 0 && done+k < count {
				t.Fatalf("%d pieces take %d", k, took)
			}
			taken += took
			done += k
		}
		if taken != total {
			t.Fatalf("steps took %d of %d", taken, total)
		}
	})
}
