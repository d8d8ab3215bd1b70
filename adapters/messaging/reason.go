package messaging

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill/message"
)

// maxReason bounds the text that is kept with a parked event, in bytes.
const maxReason = 2 << 10

// KeepReason is a Router middleware: it tells a [GroupSubscriber] with which
// error, or panic, a handler failed, which Watermill's Nack does not. Add it
// first, so that it sees what the others make of an error. To messages of other
// subscribers it does nothing.
func KeepReason(h message.HandlerFunc) message.HandlerFunc {
	return func(m *message.Message) ([]*message.Message, error) {
		defer func() {
			if v := recover(); v != nil {
				keep(m, fmt.Errorf("the handler panicked: %v", v))
				panic(v) // the Router logs it, with its stack, and nacks
			}
		}()
		produced, err := h(m)
		keep(m, err)
		return produced, err
	}
}

// Nack nacks a message of a [GroupSubscriber] and says why, for those who use
// it without a Router.
func Nack(m *message.Message, reason error) bool {
	keep(m, reason)
	return m.Nack()
}

// Permanent marks an error that trying again will not help: the message is
// parked at once. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// IsPermanent tells whether an error was marked with [Permanent].
func IsPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p)
}

type permanentError struct{ error }

func (p *permanentError) Unwrap() error { return p.error }

// verdict is where the reason of a nack is left for the subscriber. It is in
// the message's context, which middlewares hand on.
type verdict struct{ reason atomic.Pointer[error] }

type verdictKey struct{}

func withVerdict(ctx context.Context) (context.Context, *verdict) {
	v := &verdict{}
	return context.WithValue(ctx, verdictKey{}, v), v
}

func keep(m *message.Message, err error) {
	if v, ok := m.Context().Value(verdictKey{}).(*verdict); ok && err != nil {
		v.reason.Store(&err)
	}
}

// err is the reason of a nack, nil if nobody said.
func (v *verdict) err() error {
	if p := v.reason.Load(); p != nil {
		return *p
	}
	return nil
}

const unsaid = "the message was nacked and nobody said why: add messaging.KeepReason to the Router"

// reasonText is what is kept of a reason.
func reasonText(err error) string {
	if err == nil {
		return unsaid
	}
	text := err.Error()
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}
