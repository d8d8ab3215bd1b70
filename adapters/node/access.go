package node

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"sync"
)

// operation is what somebody wants to do, as far as access to it is checked.
type operation int

const (
	opRead         operation = iota // events of a stream, or of $all
	opWrite                         // append to a stream
	opDelete                        // delete or tombstone a stream
	opMetaRead                      // what opRead of a metastream is
	opMetaWrite                     // what opWrite of a metastream is
	opManageGroups                  // create, update, delete, replay persistent subscriptions
	opGroupInfo                     // list persistent subscriptions and look at them
	opConsume                       // take part in a persistent subscription of a stream
	opAdmin                         // scavenge, backup, verify, restart of a subsystem
)

// allow checks that the caller of a call may do something to a stream (any
// stream name, $all and metastreams included; "" for operations without one).
// It is EventStoreDB's policy as it is unless configured otherwise
// (LegacyPolicySelectorFactory.cs, LegacyStreamPermissionAssertion.cs):
// who is not known may touch no stream, $admins may do everything, and
// everybody else what the stream's access list says. The target of a link that
// is resolved is not checked.
//
// What the list says holds from the moment it was written, and a user who was
// removed or disabled is refused at once, in the middle of a long call too.
func (s *service) allow(ctx context.Context, op operation, stream string) error {
	if s.users == nil {
		return nil
	}
	l := callerOf(ctx)
	if l == nil {
		return accessDenied(stream, "it needs a user name and a password, and the call has none (official clients send them over TLS only)")
	}
	if l = s.users.still(l); l == nil {
		return accessDenied(stream, "the user was removed, disabled, or given another password")
	}
	switch {
	case l.administers(), op == opGroupInfo:
		return nil
	case op == opManageGroups, op == opAdmin:
		if l.operates() {
			return nil
		}
		return accessDenied(stream, "it needs the group "+OpsGroup+" or "+AdminGroup)
	}
	if op == opConsume {
		op = opRead
	}
	roles, err := s.rolesOf(ctx, op, stream)
	if err != nil {
		return engineError("Access", stream, err)
	}
	if !l.is(roles) {
		return accessDenied(stream, "the stream's access list does not name user "+l.Name)
	}
	return nil
}

// rolesOf returns who may do something to a stream, beside $admins.
func (s *service) rolesOf(ctx context.Context, op operation, stream string) (roles, error) {
	original, isMeta := originalOf(stream)
	if isMeta {
		stream = original
		switch op {
		case opRead:
			op = opMetaRead
		case opWrite:
			op = opMetaWrite
		default:
			return nil, nil // a metastream is not deleted
		}
	}
	list, settings, err := s.lists.of(ctx, s.engine, stream)
	if err != nil {
		return nil, err
	}
	if list.roles[op] != nil {
		return list.roles[op], nil
	}
	system := strings.HasPrefix(stream, "$")
	if list.like != "" {
		system = list.like == likeSystemStreams
	}
	switch {
	case system:
		return settings.System.roles[op], nil
	case settings.User.roles[op] != nil:
		return settings.User.roles[op], nil
	default:
		return roles{everyone}, nil
	}
}

// settingsStream holds the access lists of streams without one of their own.
const settingsStream = "$settings"

// holdsAccess tells whether events of a stream can change who may do what.
func holdsAccess(stream string) bool {
	return strings.HasPrefix(stream, "$$") || stream == settingsStream
}

// maxLists is half of how many streams' access lists are remembered.
const maxLists = 1 << 14

// accessLists remembers what it read: looking up two streams would cost more
// than half of what an append does.
type accessLists struct {
	mu       sync.Mutex
	since    uint64 // engine.accessLists when it began to remember
	streams  recent[string, *acl]
	settings *accessSettings // nil: not read
}

// accessSettings is what $settings says.
type accessSettings struct {
	User   acl `json:"$userStreamAcl"`
	System acl `json:"$systemStreamAcl"`
}

// noList is the list of a stream that has none.
var noList acl

// of returns the access list of a stream and the settings.
func (a *accessLists) of(ctx context.Context, e engine, stream string) (*acl, *accessSettings, error) {
	now := e.accessLists() // before anything is read
	a.mu.Lock()
	if a.since != now || a.streams.max == 0 {
		a.since, a.settings, a.streams = now, nil, recent[string, *acl]{max: maxLists}
	}
	list, _ := a.streams.get(stream)
	settings := a.settings
	a.mu.Unlock()
	if list != nil && settings != nil {
		return list, settings, nil
	}

	var metadata struct {
		ACL *acl `json:"$acl"`
	}
	var read accessSettings
	err := newestJSON(ctx, e, metastreamOf(stream), &metadata)
	if err == nil && settings == nil {
		settings, err = &read, newestJSON(ctx, e, settingsStream, &read)
	}
	if err != nil {
		return nil, nil, err
	}
	if list = metadata.ACL; list == nil {
		list = &noList
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.since == now {
		a.streams.put(stream, list)
		a.settings = settings
	}
	return list, settings, nil
}

// newestJSON reads the newest event of a stream, and leaves v as it is when
// there is none or it is not a JSON object.
func newestJSON(ctx context.Context, e engine, stream string, v any) error {
	for r, err := range e.readStream(ctx, stream, true, math.MaxUint64) {
		if err != nil {
			return fmt.Errorf("look up access: %w", err)
		}
		_ = json.Unmarshal(r.Data, v)
		break
	}
	return nil
}

// What clients write in place of an access list to mean the one of all user
// streams, or of all system streams.
const (
	likeUserStreams   = "$userStreamAcl"
	likeSystemStreams = "$systemStreamAcl"
)

// acl is an access list: who may do what, nil where it does not say.
type acl struct {
	roles [opMetaWrite + 1]roles
	like  string // likeUserStreams, likeSystemStreams or neither
}

// UnmarshalJSON understands nothing wrong: a list that is not one lets nobody
// in but $admins, who can repair it. (EventStoreDB takes no notice of the whole
// metadata then, and lets everybody in.)
func (a *acl) UnmarshalJSON(data []byte) error {
	var like string
	if json.Unmarshal(data, &like) == nil && (like == likeUserStreams || like == likeSystemStreams) {
		*a = acl{like: like}
		return nil
	}
	var said struct {
		Read      roles `json:"$r"`
		Write     roles `json:"$w"`
		Delete    roles `json:"$d"`
		MetaRead  roles `json:"$mr"`
		MetaWrite roles `json:"$mw"`
	}
	if err := json.Unmarshal(data, &said); err != nil {
		said.Read, said.Write, said.Delete, said.MetaRead, said.MetaWrite = roles{}, roles{}, roles{}, roles{}, roles{}
	}
	*a = acl{roles: [...]roles{opRead: said.Read, opWrite: said.Write, opDelete: said.Delete, opMetaRead: said.MetaRead, opMetaWrite: said.MetaWrite}}
	return nil
}

// roles are names of users and groups: one, or a list.
type roles []string

func (r *roles) UnmarshalJSON(data []byte) error {
	var one string
	if string(data) == "null" {
		return nil // not said
	}
	if json.Unmarshal(data, &one) == nil {
		*r = roles{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(r))
}
