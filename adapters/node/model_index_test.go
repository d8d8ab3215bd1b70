package node

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// What index streams hold, as a fold over the model's events. The rules are
// those of EventStoreDB's projections, said in other words than in
// postings_names.go.

func isModelIndex(name string) bool {
	for _, prefix := range []string{"$ce-", "$et-", "$bc-", "$category-", "$streams"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// indexesOf lists the index streams that an event stands in.
func indexesOf(r record) (names []string) {
	about, meta := strings.CutPrefix(r.Stream, "$$")
	if strings.HasPrefix(about, "$") {
		return nil
	}
	first := r.Revision == 0
	deletes := r.Type == tombstoneType ||
		meta && r.Type == metadataEventType && readModelMetadata(r.Data).truncateBefore == tombstoneRevision
	if category, _, dash := strings.Cut(about, "-"); dash && category != "" {
		if !meta || deletes {
			names = append(names, "$ce-"+category)
		}
		if !meta && first {
			names = append(names, "$category-"+category)
		}
	}
	switch {
	case deletes:
		names = append(names, "$et-$deleted")
	case r.Type != linkType:
		names = append(names, "$et-"+r.Type)
	}
	if first {
		names = append(names, "$streams")
	}
	var metadata map[string]any
	if json.Unmarshal(r.Metadata, &metadata) == nil {
		if id, ok := metadata["$correlationId"].(string); ok && id != "" {
			names = append(names, "$bc-"+id)
		}
	}
	return names
}

// links are the events of an index stream. In which ones an event stands was
// settled when it was written; a scavenge changes nothing of that.
func (m *model) links(name string) (links []record) {
	for i, r := range m.log {
		if slices.Contains(m.indexes[i], name) {
			links = append(links, linkOf(name, uint64(len(links)), r))
		}
	}
	return links
}

func linkOf(name string, number uint64, r record) record {
	link := record{
		Position: r.Position, Stream: name, Revision: number, Type: linkType, ContentType: octetContent, Created: r.Created,
		ID:       uuid.NewSHA1(linkIDs, fmt.Appendf(nil, "%d@%s", number, name)),
		Data:     fmt.Appendf(nil, "%d@%s", r.Revision, r.Stream),
		Metadata: fmt.Appendf(nil, `{"$c":%d,"$p":%[1]d,"$o":"%s","$causedBy":"%s"}`, r.Position, r.Stream, r.ID),
	}
	switch {
	case strings.HasPrefix(name, "$category-"):
		link.Type, link.Data, link.Metadata = "$@", []byte(r.Stream), nil
	case name == "$streams":
	case r.Type == linkType && !r.emptied && len(r.Data) > 0: // what the link says, as long as it says it
		link.Data = r.Data
	case name == "$et-$deleted":
		link.Data = fmt.Appendf(nil, "%d@%s", r.Revision, strings.TrimPrefix(r.Stream, "$$"))
	}
	return link
}
