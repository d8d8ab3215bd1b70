package node

import "context"

// operation is what somebody wants to do, as far as access to it is checked.
type operation int

const (
	opRead         operation = iota // events of a stream, or of $all
	opWrite                         // append to a stream
	opDelete                        // delete or tombstone a stream
	opMetaRead                      // events of a stream's metastream
	opMetaWrite                     // append to a stream's metastream
	opManageGroups                  // create, update, delete, replay persistent subscriptions; info
	opConsume                       // take part in a persistent subscription of a stream
	opAdmin                         // scavenge, backup, verify, users
)

// allow checks that the caller of a call may do something to a stream (any
// stream name, $all included; "" for operations without one).
func (s *service) allow(context.Context, operation, string) error { return nil }
