package command

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"kicau/domain/privacy"
)

// digestOf is a digest of what a command asks: the first 128 bits of the SHA-256
// of its type and its fields by name, in hexadecimal.
//
// Left out are
//   - the time of the command, its field At, wherever else it stands in it too:
//     a command given again is given later, and asks the same;
//   - sealed personal data: sealed again, it is other bytes. Unsealed it must not
//     go in either, names and addresses can be guessed and tried. So a purchase
//     given again with another address is answered as the first one was;
//   - fields that are zero: a field that is new tomorrow changes no digest of
//     today, and a command may be repeated across an upgrade.
//
// Everything else of a command stands in plain text in its events.
func digestOf(cmd any) string {
	v := reflect.ValueOf(cmd)
	w := writer{}
	if at := v.FieldByName("At"); at.IsValid() {
		w.at = at.Interface().(time.Time)
	}
	w.text.WriteString(v.Type().String())
	w.value(v)
	sum := sha256.Sum256([]byte(w.text.String()))
	return hex.EncodeToString(sum[:16])
}

// writer writes values so that two that differ are written differently.
type writer struct {
	at   time.Time
	text strings.Builder
}

var sealedType = reflect.TypeFor[privacy.Sealed]()

func (w *writer) value(v reflect.Value) {
	switch x := v.Interface().(type) {
	case time.Time:
		w.text.WriteString(x.UTC().Format(time.RFC3339Nano))
		return
	case uuid.UUID:
		w.text.WriteString(x.String())
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		w.text.WriteByte('&')
		if !v.IsNil() {
			w.value(v.Elem())
		}
	case reflect.Struct:
		w.fields(v)
	case reflect.Slice:
		w.text.WriteByte('[')
		for i := range v.Len() {
			w.value(v.Index(i))
			w.text.WriteByte(',')
		}
		w.text.WriteByte(']')
	case reflect.String:
		w.text.WriteString(strconv.Quote(v.String()))
	case reflect.Int, reflect.Int64:
		w.text.WriteString(strconv.FormatInt(v.Int(), 10))
	case reflect.Bool:
		w.text.WriteString(strconv.FormatBool(v.Bool()))
	default: // what no command has yet
		fmt.Fprintf(&w.text, "%v", v)
	}
}

func (w *writer) fields(v reflect.Value) {
	w.text.WriteByte('{')
	for _, f := range fieldsOf(v.Type()) {
		value := v.FieldByIndex(f.Index)
		if value.IsZero() || w.isLeftOut(value) {
			continue
		}
		w.text.WriteString(f.Name)
		w.text.WriteByte(':')
		w.value(value)
		w.text.WriteByte(',')
	}
	w.text.WriteByte('}')
}

// known are the fields of each type of struct there is in a command, by name.
var known sync.Map // of reflect.Type to []reflect.StructField

func fieldsOf(t reflect.Type) []reflect.StructField {
	if fields, ok := known.Load(t); ok {
		return fields.([]reflect.StructField)
	}
	// The fields of one that is embedded are visible by themselves.
	fields := slices.DeleteFunc(reflect.VisibleFields(t), func(f reflect.StructField) bool { return f.Anonymous || !f.IsExported() })
	slices.SortFunc(fields, func(a, b reflect.StructField) int { return strings.Compare(a.Name, b.Name) })
	known.Store(t, fields)
	return fields
}

func (w *writer) isLeftOut(v reflect.Value) bool {
	t := v.Type()
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == sealedType {
		return true
	}
	at, is := v.Interface().(time.Time)
	return is && at.Equal(w.at)
}
