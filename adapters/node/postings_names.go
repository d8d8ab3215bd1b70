package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// Index streams are the streams of EventStoreDB's system projections: of a
// category, of a type, of a correlation id, of all streams. There they are made
// of link events that a projection appends once it is switched on; here they are
// read from an index (postings.go) that is there from the first event on, takes
// no places in the log and is never behind. A link's id follows from its stream
// and number, so it is the same for ever.
const (
	postCategory    = '1' // $ce-<category>: the events of its streams
	postType        = '2' // $et-<type>
	postCorrelation = '3' // $bc-<$correlationId>
	postStreams     = '4' // $category-<category>: its streams
	postAll         = '5' // $streams: all streams
	postTombstones  = '6' // no stream: where streams were closed for good, for scavenge
)

// posted names one index stream.
type posted struct {
	kind byte
	name string
}

const (
	prefixCategory    = "$ce-"
	prefixType        = "$et-"
	prefixCorrelation = "$bc-"
	prefixStreams     = "$category-"
	streamOfStreams   = "$streams"
	// deletedEvents is under which type deletions are found.
	deletedEvents = "$deleted"
	// streamReference is the type of events in $category- streams, whose data is
	// a stream's name.
	streamReference = "$@"
)

// indexStream tells whether a stream is one, and which.
func indexStream(stream string) (posted, bool) {
	if !isSystem(stream) {
		return posted{}, false
	}
	if stream == streamOfStreams {
		return posted{kind: postAll}, true
	}
	for _, p := range []struct {
		prefix string
		kind   byte
	}{{prefixCategory, postCategory}, {prefixType, postType}, {prefixCorrelation, postCorrelation}, {prefixStreams, postStreams}} {
		if name, ok := strings.CutPrefix(stream, p.prefix); ok && name != "" {
			return posted{p.kind, name}, true
		}
	}
	return posted{}, false
}

// categoryOf is a stream's name up to its first dash, "" when it has none.
// (EventStoreDB: StreamCategoryExtractorByFirstSeparator.)
func categoryOf(stream string) string {
	if i := strings.IndexByte(stream, '-'); i > 0 && stream[0] != '$' {
		return stream[:i]
	}
	return ""
}

// maxPostedName bounds a type or correlation id that has an index stream, in
// bytes: with its prefix it must be a stream's name.
const maxPostedName = maxStreamName - len(prefixStreams)

// filed is what the indexes ask of an event.
type filed struct {
	entry
	stream   string
	typ      string
	data     []byte
	metadata []byte
}

// file calls add for each index stream that an event stands in. The rules are
// those of EventStoreDB's projections: streams of the system have no place in
// them, but what happens to a user's stream has, also when it is written down in
// its metastream.
func (f *filed) file(to func(posted)) {
	add := func(p posted) {
		if len(p.name) <= maxPostedName {
			to(p)
		}
	}
	if f.revision == tombstoneRevision {
		add(posted{kind: postTombstones})
	}
	about, typ := f.stream, f.typ
	if original, ok := originalOf(f.stream); ok {
		about = original
		if f.typ == metadataEventType && f.deletes() {
			typ = deletedEvents
		}
	}
	if isSystem(about) {
		return
	}
	if f.revision == tombstoneRevision {
		typ = deletedEvents
	}
	if category := categoryOf(about); category != "" && (about == f.stream || typ == deletedEvents) {
		add(posted{postCategory, category})
		if f.revision == 0 && about == f.stream {
			add(posted{postStreams, category})
		}
	}
	if f.typ != linkType {
		add(posted{postType, typ})
	}
	if f.revision == 0 {
		add(posted{kind: postAll})
	}
	if id := correlationID(f.metadata); id != "" {
		add(posted{postCorrelation, id})
	}
}

// deletes tells whether a metadata event soft-deletes its stream. Most do not
// speak of it at all.
func (f *filed) deletes() bool {
	return bytes.Contains(f.data, []byte("$tb")) && parseMetadata(f.data).truncateBefore == tombstoneRevision
}

// linkIDs is the namespace of the ids of links in index streams.
var linkIDs = uuid.MustParse("5b1a6f0e-93a8-4b53-8d0b-2d696e646578")

// linkMetadata is where an index stream's link came from, under the names that
// EventStoreDB uses.
type linkMetadata struct {
	Commit   uint64 `json:"$c"`
	Prepare  uint64 `json:"$p"`
	Original string `json:"$o"`
	CausedBy string `json:"$causedBy"`
}

// linkTo makes the link with a number in an index stream that stands for r.
func linkTo(stream string, of posted, number uint64, r *record) record {
	link := record{
		Position: r.Position, Stream: stream, Revision: number, Type: linkType, ContentType: octetContent, Created: r.Created,
		ID: uuid.NewSHA1(linkIDs, fmt.Appendf(nil, "%d@%s", number, stream)),
	}
	switch {
	case of.kind == postStreams:
		link.Type, link.Data = streamReference, []byte(r.Stream)
		return link
	case r.Type == linkType && of.kind != postAll && len(r.Data) > 0:
		link.Data = r.Data
	case of == posted{postType, deletedEvents}:
		original, meta := originalOf(r.Stream)
		if !meta {
			original = r.Stream
		}
		link.Data = fmt.Appendf(nil, "%d%s%s", r.Revision, linkSeparator, original)
	default:
		link.Data = fmt.Appendf(nil, "%d%s%s", r.Revision, linkSeparator, r.Stream)
	}
	// A struct of numbers and strings is always JSON.
	link.Metadata, _ = json.Marshal(linkMetadata{r.Position, r.Position, r.Stream, r.ID.String()})
	return link
}
