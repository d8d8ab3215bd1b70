package sandbox

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxAmount is the largest charge, eight digits (stripe-go's comment on amount).
const maxAmount = 99_999_999

// supported are the presentment currencies of https://stripe.com/docs/currencies.
var supported = strings.Fields(`usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd
	bwp byn bzd cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd hkd
	hnl hrk htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk
	mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd
	scr sek sgd shp sle sos srd std szl thb tjs tnd top try ttd twd tzs uah ugx uyu uzs vnd vuv wst xaf xcd xof xpf yer
	zar zmw`)

// minimum amounts of a charge, https://stripe.com/docs/currencies#minimum-and-maximum-charge-amounts.
// Stripe converts the currencies that are not listed; here they have the
// commonest minimum, [otherMinimum].
var minimum = map[string]int64{
	"aed": 200, "bgn": 100, "czk": 1500, "dkk": 250, "gbp": 30, "hkd": 400, "huf": 17500, "mxn": 1000, "myr": 200,
	"nok": 300, "pln": 200, "ron": 200, "sek": 300, "thb": 1000,
}

const otherMinimum = 50

var (
	zeroDecimal  = strings.Fields("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf")
	threeDecimal = strings.Fields("bhd jod kwd omr tnd")
	// Without decimals, and with two at Stripe, "for backwards compatibility"
	// (https://stripe.com/docs/currencies#special-cases).
	twoZeros = strings.Fields("isk ugx")
	// Paid out without decimals; charged with two.
	wholePayouts = strings.Fields("huf twd isk ugx")
	symbols      = map[string]string{"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}
)

func (p *params) currency() string {
	c := strings.ToLower(p.required("currency"))
	if c != "" && !slices.Contains(supported, c) {
		p.fail(refuse("", "Invalid currency: %s. Stripe currently supports these currencies: %s", c, strings.Join(supported, ", ")).on("currency"))
	}
	return c
}

// checkAmount refuses an amount that cannot be charged.
func checkAmount(amount int64, currency string) *apiError {
	low := int64(otherMinimum)
	if m, ok := minimum[currency]; ok {
		low = m
	}
	switch {
	case amount < 1:
		return refuse("parameter_invalid_integer", "This value must be greater than or equal to 1.").on("amount")
	case amount < low:
		return refuse("amount_too_small", "Amount must be at least %s %s", display(low, currency), currency).on("amount")
	case amount > maxAmount:
		return refuse("amount_too_large", "Amount must be no more than %s %s", display(maxAmount, currency), currency).on("amount")
	}
	return checkStep(amount, stepOf(currency), currency, "amount")
}

// stepOf is what the amounts of a currency that cards carry are multiples of.
func stepOf(currency string) int64 {
	switch {
	case slices.Contains(threeDecimal, currency):
		return 10
	case slices.Contains(twoZeros, currency):
		return 100
	}
	return 1
}

// payoutStepOf is what the amounts of a currency that banks take are multiples of.
func payoutStepOf(currency string) int64 {
	if slices.Contains(wholePayouts, currency) {
		return 100
	}
	return 1
}

// checkStep refuses an amount that cannot be moved in its currency.
func checkStep(amount, step int64, currency, param string) *apiError {
	over := amount % step
	if over == 0 {
		return nil
	}
	return refuse("parameter_invalid_integer", "Invalid amount: %d. Amounts in %s must be multiples of %d, such as %d.", amount, currency, step, cmp.Or(amount-over, step)).on(param)
}

// display writes minor units for people: "$25.00".
func display(amount int64, currency string) string {
	sign := ""
	if amount < 0 {
		sign, amount = "-", -amount
	}
	sign += symbols[currency]
	switch {
	case slices.Contains(zeroDecimal, currency):
		return fmt.Sprintf("%s%d", sign, amount)
	case slices.Contains(threeDecimal, currency):
		return fmt.Sprintf("%s%d.%03d", sign, amount/1000, amount%1000)
	default:
		return fmt.Sprintf("%s%d.%02d", sign, amount/100, amount%100)
	}
}
