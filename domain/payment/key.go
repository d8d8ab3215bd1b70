package payment

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"kicau/domain/order"
)

// key is the idempotency key of the order's next call.
func key(s *order.State, step order.Step) string {
	return fmt.Sprintf("v1:%s:%s:%d", s.Placed.Order, step, s.Payment.Calls+1)
}

// OrderOf is the order that made a call with the key; false: the key is none of
// ours.
func OrderOf(key string) (uuid.UUID, bool) {
	id, _, ok := parseKey(key)
	return id, ok
}

// Answered tells whether the call with the key was made for the order and has its
// answer in the log.
func Answered(s order.State, key string) bool {
	id, call, ok := parseKey(key)
	p := s.Payment
	return ok && id == s.Placed.Order && call <= p.Calls && (p.Pending == nil || p.Pending.Key != key)
}

func parseKey(key string) (of uuid.UUID, call int, ok bool) {
	parts := strings.Split(key, ":")
	if len(parts) != 4 || parts[0] != "v1" {
		return uuid.Nil, 0, false
	}
	of, badOrder := uuid.Parse(parts[1])
	call, badCall := strconv.Atoi(parts[3])
	return of, call, badOrder == nil && badCall == nil && call > 0
}
