// Package event is the envelope of a fact: what every event of the log carries
// whatever it says, how it is written as JSON, and how old versions are read.
//
// Its laws:
//   - an event never changes and is never deleted;
//   - its id follows from the command that caused it and from what it says, so
//     a retry of the same command proposes the same event again (see [ID]);
//   - what was written once is read for ever: a registered type keeps an
//     upcaster for each older version (see [Registry]);
//   - an unknown type, field or future version is refused, never guessed.
package event

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Data is what an event says: a struct whose JSON is the event's body.
type Data interface {
	// EventType is the name in the log, past tense with the aggregate in front,
	// such as "OrderPlaced". It never changes once an event of it was written.
	EventType() string
}

// Meta is what an event carries besides what it says.
type Meta struct {
	// Correlation is shared by everything that followed from one outside
	// request, Causation is the command or event that caused this one.
	Correlation uuid.UUID
	Causation   uuid.UUID
	// Command is the id of the command that decided the event.
	Command uuid.UUID
	// Digest is of what the command asked, so that the same id with other content
	// is noticed: 32 hexadecimal digits, empty when the command is not remembered
	// by its id. It says nothing that the log does not say anyway.
	Digest string
	// Actor says who asked: "buyer", "shop", "saga", "import", "deadline", ….
	// It is a role, never a person's name.
	Actor string
	// OccurredAt is when it happened in the business (UTC). The log's own time,
	// [Recorded.RecordedAt], is when it was written down.
	OccurredAt time.Time
}

// Proposed is an event ready to be appended: encoded, with its final id.
type Proposed struct {
	ID       uuid.UUID
	Type     string
	Data     []byte // JSON
	Metadata []byte // JSON
}

// Recorded is an event as the log gives it back.
type Recorded struct {
	ID         uuid.UUID
	Type       string
	Stream     string
	Revision   uint64 // in its stream, dense from 0
	Position   Position
	RecordedAt time.Time // UTC, the log's clock; never decreases with Position
	Data       []byte
	Metadata   []byte
}

// Position is a place in the whole log. Positions strictly increase in log
// order; how far apart they are means nothing. The zero Position is before the
// first event.
//
// Two numbers, because EventStoreDB has two; elsewhere they are equal.
type Position struct {
	Commit  uint64
	Prepare uint64
}

// At is the position whose two numbers are both n.
func At(n uint64) Position { return Position{n, n} }

// Compare orders positions as the log does.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Commit, q.Commit), cmp.Compare(p.Prepare, q.Prepare))
}

// IsStart tells whether p is before the first event.
func (p Position) IsStart() bool { return p == Position{} }

// String writes p as EventStoreDB does, "C:12/P:12".
func (p Position) String() string { return fmt.Sprintf("C:%d/P:%d", p.Commit, p.Prepare) }

// ParsePosition reads what [Position.String] wrote.
func ParsePosition(s string) (Position, error) {
	c, p, ok := strings.Cut(s, "/")
	c, okC := strings.CutPrefix(c, "C:")
	p, okP := strings.CutPrefix(p, "P:")
	if !ok || !okC || !okP {
		return Position{}, fmt.Errorf("position %q is not of the form C:n/P:n", s)
	}
	commit, errC := strconv.ParseUint(c, 10, 64)
	prepare, errP := strconv.ParseUint(p, 10, 64)
	if errC != nil || errP != nil {
		return Position{}, fmt.Errorf("position %q is not of the form C:n/P:n", s)
	}
	return Position{commit, prepare}, nil
}

// Event is a decoded event: envelope and what it says.
type Event struct {
	Recorded
	Meta
	Version int // the schema version it was written in
	Body    Data
}

// ids is the namespace of all deterministic ids of Kicau.
var ids = uuid.MustParse("6b1c41a5-5d5e-4b1b-9d0a-6b6963617500")

// ID is the id of the index-th event decided by a command: the same command
// proposes the same ids however often it is decided again. Whoever appends adds
// what the event says to it (adapters/command), so that one command with two
// contents is two proposals.
func ID(command uuid.UUID, index int) uuid.UUID {
	return uuid.NewSHA1(ids, append(command[:], strconv.Itoa(index)...))
}

// NameID is the id that a name has in one kind of thing: ("offer", "10002")
// always gives the same id. Used where ids must follow from outside names, as
// in an import. It hides nothing: never give it personal data.
func NameID(kind, name string) uuid.UUID {
	return uuid.NewSHA1(ids, []byte(kind+"\x00"+name))
}
