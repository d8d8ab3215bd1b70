package history

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/domain/privacy"
	"kicau/domain/refusal"
	"kicau/domain/shop"
)

// Line is a line of a file of commands. Which fields it has depends on Do; see
// docs/import.md. Names are the writer's own, or UUIDs.
type Line struct {
	At time.Time `json:"at"`
	Do string    `json:"do"`

	Shop  string `json:"shop,omitempty"`
	Offer string `json:"offer,omitempty"`
	Order string `json:"order,omitempty"`
	Buyer string `json:"buyer,omitempty"`

	Name           string            `json:"name,omitempty"`
	Handle         string            `json:"handle,omitempty"`
	Currency       string            `json:"currency,omitempty"`
	FeeBasisPoints money.BasisPoints `json:"feeBasisPoints,omitempty"`
	FeeFixed       json.Number       `json:"feeFixed,omitempty"`
	ValidFrom      *time.Time        `json:"validFrom,omitempty"`
	Taxes          []shop.Tax        `json:"taxes,omitempty"`
	HoldHours      int64             `json:"holdHours,omitempty"`

	Text          string      `json:"text,omitempty"`
	SKU           string      `json:"sku,omitempty"`
	Title         string      `json:"title,omitempty"`
	Description   string      `json:"description,omitempty"`
	Photo         string      `json:"photo,omitempty"`
	Price         json.Number `json:"price,omitempty"`
	Stock         *int64      `json:"stock,omitempty"`
	LimitPerBuyer int64       `json:"limitPerBuyer,omitempty"`
	OpensAt       *time.Time  `json:"opensAt,omitempty"`
	ClosesAt      *time.Time  `json:"closesAt,omitempty"`
	Related       []string    `json:"related,omitempty"`
	Restock       string      `json:"restock,omitempty"`
	Add           int64       `json:"add,omitempty"`

	Lines        []OrderLine  `json:"lines,omitempty"`
	Jurisdiction string       `json:"jurisdiction,omitempty"`
	Shipping     *json.Number `json:"shipping,omitempty"`
	Processor    string       `json:"processor,omitempty"`

	Units        []order.Units `json:"units,omitempty"`
	Carrier      string        `json:"carrier,omitempty"`
	Tracking     string        `json:"tracking,omitempty"`
	Refund       string        `json:"refund,omitempty"`
	Amount       json.Number   `json:"amount,omitempty"`
	KeepShipping bool          `json:"keepShipping,omitempty"`
	Adjustment   string        `json:"adjustment,omitempty"`
	Kind         string        `json:"kind,omitempty"`
	Reason       string        `json:"reason,omitempty"`
}

// OrderLine of place-order.
type OrderLine struct {
	Offer    string       `json:"offer"`
	Quantity int64        `json:"quantity"`
	Price    *json.Number `json:"price,omitempty"`
}

// verb is what a line can ask for, with the fields that it has besides at and
// do. A field of another verb is refused, since somebody meant something by it.
type verb struct {
	fields string
	make   func(*Importer, Line) (Item, error)
}

var verbs = map[string]verb{
	"onboard-shop": {"shop name handle currency feeBasisPoints feeFixed shipping taxes holdHours", (*Importer).onboardShop},
	"change-fees":  {"shop validFrom feeBasisPoints feeFixed", (*Importer).changeFees},
	"adjust-shop":  {"shop adjustment kind amount reason", (*Importer).adjustShop},
	"tweet-offer":  {"offer shop text sku title description photo currency price stock limitPerBuyer opensAt closesAt related", (*Importer).tweetOffer},
	"reprice":      {"offer price", (*Importer).reprice},
	"restock":      {"offer restock add", (*Importer).restock},
	"withdraw":     {"offer reason", (*Importer).withdraw},
	"place-order":  {"order buyer lines jurisdiction shipping processor", (*Importer).placeOrder},
	"ship-order":   {"order units carrier tracking", (*Importer).shipOrder},
	"cancel-order": {"order reason", (*Importer).cancelOrder},
	"refund-order": {"order refund units amount keepShipping reason", (*Importer).refundOrder},
}

// Commands are what a line can ask for.
func Commands() []string { return slices.Sorted(maps.Keys(verbs)) }

// Times that a line may name: what follows from them can be written down too.
var (
	Earliest = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)
	Latest   = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC) // exclusive
)

// Refusals of lines.
var (
	ErrDamaged        = &refusal.Refusal{Kind: refusal.Invalid, Code: "damaged-line", Subject: "the line", Reason: "is not a command"}
	ErrUnknownCommand = &refusal.Refusal{Kind: refusal.Invalid, Code: "unknown-command", Field: "do", Subject: "the line",
		Reason: "asks for something that an import does not know", Remedy: "see docs/import.md"}
	ErrUnknownField = &refusal.Refusal{Kind: refusal.Invalid, Code: "unknown-field", Subject: "the line", Remedy: "see docs/import.md"}
	ErrNoTime       = &refusal.Refusal{Kind: refusal.Invalid, Code: "no-time", Field: "at", Subject: "the line", Reason: "does not say when", Remedy: "give a time such as 2026-11-23T09:00:00Z"}
	ErrTimeRange    = &refusal.Refusal{Kind: refusal.Invalid, Code: "time-out-of-range", Subject: "the time", Reason: "is not within the years 1900 to 2199"}
	ErrTimeOrder    = &refusal.Refusal{Kind: refusal.Invalid, Code: "not-in-time-order", Field: "at", Subject: "the line",
		Reason: "is older than a line before it", Remedy: "sort the file by time"}
	ErrEventsTooLarge = &refusal.Refusal{Kind: refusal.Invalid, Code: "events-too-large", Subject: "the line",
		Reason: "makes events that are too large together for the log, which takes 1 MiB", Remedy: "shorten its texts, or the titles of its offers"}
	ErrNameless  = &refusal.Refusal{Kind: refusal.Invalid, Code: "no-name", Subject: "the line", Reason: "does not name it"}
	ErrProcessor = &refusal.Refusal{Kind: refusal.Invalid, Code: "processor-asks-nobody", Field: "processor", Subject: "the order",
		Reason: "names stripe, but a history is of payments that others took", Remedy: "name who took it, or leave the field out"}
)

// item makes a line of text runnable.
func (im *Importer) item(text []byte, latest *time.Time) Item {
	l, err := parse(text)
	if err == nil && l.At.Before(*latest) {
		err = ErrTimeOrder
	}
	if err != nil {
		return Item{Bad: err}
	}
	*latest = l.At
	return im.Item(l)
}

// Item makes a line runnable, or says why it is not.
func (im *Importer) Item(l Line) Item {
	v, ok := verbs[l.Do]
	if !ok {
		return Item{Bad: ErrUnknownCommand.About("%q", short(l.Do))}
	}
	item, err := v.make(im, l)
	if err != nil {
		return Item{Bad: err}
	}
	item.at = l.At
	run := item.Run
	item.Run = func(ctx context.Context) (int, error) {
		events, err := run(ctx)
		return events, l.named(err)
	}
	return item
}

// named puts the line's own name beside the id that a refusal is about: who wrote
// the line does not know the id.
func (l Line) named(err error) error {
	no := refusal.From(err)
	if no == nil {
		return err
	}
	names := [][2]string{{"shop", l.Shop}, {"offer", l.Offer}, {"order", l.Order}}
	for _, o := range l.Lines {
		names = append(names, [2]string{"offer", o.Offer})
	}
	for _, n := range names {
		kind, name := n[0], n[1]
		if given := id(kind, name).String(); name != "" && name != given && no.Subject == kind+" "+given {
			return no.About("%s %q (%s)", kind, short(name), given)
		}
	}
	return err
}

func parse(text []byte) (Line, error) {
	var l Line
	keys, do, err := scan(text)
	if err != nil {
		return l, err
	}
	v, ok := verbs[do]
	if !ok {
		return l, ErrUnknownCommand.About("%q", short(do))
	}
	known := append(strings.Fields(v.fields), "at", "do")
	for _, k := range keys {
		if !slices.Contains(known, k) {
			return l, ErrUnknownField.In(short(k)).Because("has a field that %s has not", do)
		}
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&l); err != nil {
		if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return l, ErrUnknownField.In(short(strings.Trim(name, `"`))).Because("has a field that is not known there")
		}
		return l, ErrDamaged.Because("is not a command: %s", short(err.Error()))
	}
	if l.At.IsZero() {
		return l, ErrNoTime
	}
	l.At = l.At.UTC()
	return l, inRange(l)
}

func inRange(l Line) error {
	for _, f := range []struct {
		name string
		at   *time.Time
	}{{"at", &l.At}, {"validFrom", l.ValidFrom}, {"opensAt", l.OpensAt}, {"closesAt", l.ClosesAt}} {
		if f.at != nil && (f.at.Before(Earliest) || !f.at.Before(Latest)) {
			return ErrTimeRange.In(f.name)
		}
	}
	return nil
}

// scan goes over a line before anything else reads it, so that no message can
// quote a card number: every name, string and number of it, in whatever place.
// It tells the names of the fields and what the line asks for.
func scan(text []byte) (keys []string, do string, err error) {
	var whole json.RawMessage
	if err := json.Unmarshal(text, &whole); err != nil {
		if privacy.HasCardNumber(string(text)) {
			return nil, "", privacy.ErrCardNumber
		}
		return nil, "", ErrDamaged.Because("is not JSON: %v", err)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	depth, key, named := 0, "", false // named: key names the value that comes
	for {
		t, err := dec.Token()
		if err != nil {
			return keys, do, nil // the end: it is valid JSON
		}
		if err := privacy.RefuseCardNumber("", fmt.Sprint(t)); err != nil {
			return nil, "", err
		}
		if depth == 0 && t != json.Delim('{') {
			return nil, "", ErrDamaged.Because("is not a JSON object")
		}
		name, isText := t.(string)
		switch {
		case t == json.Delim('}') || t == json.Delim(']'):
			depth--
		case depth == 1 && !named:
			if slices.Contains(keys, name) {
				return nil, "", ErrDamaged.Because("has the field %q twice", short(name))
			}
			key, named = name, true
			keys = append(keys, name)
			continue
		case depth == 1 && key == "do" && isText:
			do = name
		}
		if t == json.Delim('{') || t == json.Delim('[') {
			depth++
		}
		if depth == 1 {
			named = false
		}
	}
}

// maxQuoted bounds what a refusal quotes of a line, in bytes.
const maxQuoted = 200

func short(s string) string {
	if len(s) <= maxQuoted {
		return s
	}
	return strings.ToValidUTF8(s[:maxQuoted], "") + "…"
}
