// Package privacy is what the domain knows of personal data: that it is sealed.
// A [Sealed] value is ciphertext under the key of one person; the keys are
// elsewhere (adapters/vault), and destroying a person's key erases everything
// sealed under it. Nothing decides on what is inside.
package privacy

import (
	"strings"

	"github.com/google/uuid"

	"kicau/domain/refusal"
)

// Sealed is personal data in an event: AES-256-GCM under a key of its subject.
// The additional data binds it to its place, so that it cannot be moved to
// another order or field; see [Place].
type Sealed struct {
	Subject    uuid.UUID `json:"subject"` // whose data it is: a buyer
	Key        string    `json:"key"`     // id of the key
	Algorithm  string    `json:"alg"`     // "A256GCM"
	Nonce      []byte    `json:"nonce"`
	Ciphertext []byte    `json:"ciphertext"`
}

// Algorithm of new sealed values.
const Algorithm = "A256GCM"

// Place is the additional data of a sealed value: the stream and the field that
// it belongs to.
func Place(stream, field string) string { return stream + "|" + field }

// Contact is what a [Sealed] contact holds once opened. It exists only on its
// way in and when a person who may see it asks; it is never part of an event.
type Contact struct {
	Name    string `json:"name,omitempty"`
	Email   string `json:"email,omitempty"`
	Address string `json:"address,omitempty"`
	Handle  string `json:"handle,omitempty"`
}

// ErrCardNumber refuses a text that holds a card number. The text itself is in
// no message.
var ErrCardNumber = &refusal.Refusal{Kind: refusal.Invalid, Code: "card-number",
	Subject: "the text given", Reason: "holds what looks like a card number, which must never enter Kicau",
	Remedy: "type cards on the payment processor's own page, or give its token (pm_…)"}

// RefuseCardNumber refuses text that holds 13 to 19 digits in a row, single
// spaces and dashes between them allowed, that pass the Luhn check (ISO/IEC
// 7812-1), as every card number does. UUIDs in the text are passed over: by
// chance their digits look like a card number now and then.
func RefuseCardNumber(field, text string) error {
	if HasCardNumber(text) {
		return ErrCardNumber.In(field)
	}
	return nil
}

// HasCardNumber is the test behind [RefuseCardNumber].
func HasCardNumber(text string) bool {
	if len(text) < 13 {
		return false
	}
	digits := make([]byte, 0, 64)
	for i := 0; i <= len(text); i++ {
		if len(digits) == 0 && uuidAt(text, i) {
			i += uuidLength - 1
			continue
		}
		switch {
		case i < len(text) && text[i] >= '0' && text[i] <= '9':
			digits = append(digits, text[i]-'0')
		case i < len(text) && (text[i] == ' ' || text[i] == '-') && len(digits) > 0 &&
			i+1 < len(text) && strings.IndexByte("0123456789", text[i+1]) >= 0:
			// a single separator inside a run
		default:
			if runHoldsCard(digits) {
				return true
			}
			digits = digits[:0]
		}
	}
	return false
}

const uuidLength = 36

// uuidAt tells whether a UUID in its usual form begins at text[i], and is not a
// part of something longer.
func uuidAt(text string, i int) bool {
	end := i + uuidLength
	if end > len(text) || text[min(i+8, len(text)-1)] != '-' || uuid.Validate(text[i:end]) != nil {
		return false
	}
	return (i == 0 || !isHex(text[i-1])) && (end == len(text) || !isHex(text[end]))
}

func isHex(c byte) bool { return strings.IndexByte("0123456789abcdefABCDEF", c) >= 0 }

// runHoldsCard looks for a card number in a run of digits: the whole run, or,
// in a longer one, any 13 to 19 of them in a row.
func runHoldsCard(digits []byte) bool {
	for start := 0; start+13 <= len(digits); start++ {
		for n := 13; n <= 19 && start+n <= len(digits); n++ {
			if digits[start] >= 2 && digits[start] <= 6 && luhn(digits[start:start+n]) && knownLength(digits[start:start+n]) {
				return true
			}
		}
	}
	return false
}

// knownLength keeps chance matches out of long runs: networks number their
// cards with these lengths (Amex 15, Diners 14, Visa 13/16/19, others 16–19).
func knownLength(d []byte) bool {
	switch len(d) {
	case 13:
		return d[0] == 4
	case 14:
		return d[0] == 3
	case 15:
		return d[0] == 3 && (d[1] == 4 || d[1] == 7)
	default:
		return true
	}
}

func luhn(digits []byte) bool {
	sum := 0
	for i := range digits {
		d := int(digits[len(digits)-1-i])
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}
