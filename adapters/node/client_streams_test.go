package node_test

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
)

const all = math.MaxUint64

func TestGoClientAppends(t *testing.T) {
	p := newProgram(t)
	appendAt := func(stream string, expected esdb.ExpectedRevision, events ...esdb.EventData) (*esdb.WriteResult, error) {
		return p.AppendToStream(p.ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: expected}, events...)
	}
	for i, expected := range []esdb.ExpectedRevision{esdb.NoStream{}, esdb.Revision(0), esdb.StreamExists{}, esdb.Any{}, nil} {
		done, err := appendAt("orders", expected, placed(1)...)
		p.must(err)
		if done.NextExpectedVersion != uint64(i) || done.CommitPosition != uint64(i+1) || done.PreparePosition != done.CommitPosition {
			t.Errorf("append %d expecting %v: %+v", i, expected, done)
		}
	}
	for _, expected := range []esdb.ExpectedRevision{esdb.NoStream{}, esdb.Revision(3), esdb.Revision(5)} {
		_, err := appendAt("orders", expected, placed(1)...)
		p.wantError(fmt.Sprintf("expecting %v", expected), err, esdb.ErrorCodeWrongExpectedVersion)
	}
	_, err := appendAt("nothing", esdb.StreamExists{}, placed(1)...)
	p.wantError("expecting a stream that is not there", err, esdb.ErrorCodeWrongExpectedVersion)

	for _, expected := range []esdb.ExpectedRevision{esdb.NoStream{}, esdb.Any{}} {
		stream, batch := fmt.Sprintf("again-%T", expected), placed(3)
		first, err := appendAt(stream, expected, batch...)
		p.must(err)
		p.append(stream, 2)
		again, err := appendAt(stream, expected, batch...)
		p.must(err)
		if *again != *first {
			t.Errorf("said again expecting %v: %+v, the first time %+v", expected, again, first)
		}
		if n := len(p.read(p.ReadStream(p.ctx, stream, esdb.ReadStreamOptions{}, all))); n != 5 {
			t.Errorf("said again expecting %v: the stream has %d events, want 5", expected, n)
		}
	}

	_, err = appendAt("large", nil, esdb.EventData{EventType: "large", Data: make([]byte, 1<<20)})
	if err == nil || !strings.Contains(err.Error(), "Maximum Append Size of 1048576 Exceeded") { // the client has no code for it
		t.Errorf("an append that is too large: got %v", err)
	}
	_, err = appendAt("large", esdb.NoStream{}, esdb.EventData{EventType: "large", Data: make([]byte, 1<<20-10)})
	p.must(err)

	json := esdb.EventData{EventID: uuid.New(), EventType: "größe", ContentType: esdb.ContentTypeJson, Data: []byte(`{"a":"☕"}`), Metadata: []byte(`{"$correlationId":"c"}`)}
	binary := esdb.EventData{EventID: uuid.New(), EventType: "raw", ContentType: esdb.ContentTypeBinary, Data: []byte{0, 255}, Metadata: []byte{1}}
	_, err = appendAt("content", nil, json, binary)
	p.must(err)
	got, err := p.collect(p.ReadStream(p.ctx, "content", esdb.ReadStreamOptions{}, all))
	p.must(err)
	for i, want := range []esdb.EventData{json, binary} {
		e := got[i].Event
		type0 := map[esdb.ContentType]string{esdb.ContentTypeJson: "application/json", esdb.ContentTypeBinary: "application/octet-stream"}[want.ContentType]
		if e.EventID != want.EventID || e.EventType != want.EventType || e.ContentType != type0 || string(e.Data) != string(want.Data) || string(e.UserMetadata) != string(want.Metadata) {
			t.Errorf("appended %+v, read %+v", want, e)
		}
		if since := time.Since(e.CreatedDate); since < 0 || since > time.Minute {
			t.Errorf("created %v ago", since)
		}
	}
}

func TestGoClientReads(t *testing.T) {
	p := newProgram(t)
	a := p.append("a", 60)
	b := p.append("b", 40)
	both := slices.Concat(a, b)
	reversed := func(ids []uuid.UUID) []uuid.UUID {
		ids = slices.Clone(ids)
		slices.Reverse(ids)
		return ids
	}
	at := func(position uint64) esdb.Position { return esdb.Position{Commit: position, Prepare: position} }
	for what, c := range map[string]struct{ got, want []uuid.UUID }{
		"a stream":                   {p.read(p.ReadStream(p.ctx, "a", esdb.ReadStreamOptions{}, all)), a},
		"some of it":                 {p.read(p.ReadStream(p.ctx, "a", esdb.ReadStreamOptions{From: esdb.Start{}}, 10)), a[:10]},
		"from a revision":            {p.read(p.ReadStream(p.ctx, "a", esdb.ReadStreamOptions{From: esdb.Revision(50)}, 20)), a[50:]},
		"backwards":                  {p.read(p.ReadStream(p.ctx, "a", esdb.ReadStreamOptions{From: esdb.End{}, Direction: esdb.Backwards}, all)), reversed(a)},
		"backwards, from a revision": {p.read(p.ReadStream(p.ctx, "a", esdb.ReadStreamOptions{From: esdb.Revision(9), Direction: esdb.Backwards}, 5)), reversed(a[5:10])},
		"all":                        {p.read(p.ReadAll(p.ctx, esdb.ReadAllOptions{}, all)), both},
		"all, from a position":       {p.read(p.ReadAll(p.ctx, esdb.ReadAllOptions{From: at(50)}, 20)), both[49:69]},
		"all, backwards":             {p.read(p.ReadAll(p.ctx, esdb.ReadAllOptions{From: esdb.End{}, Direction: esdb.Backwards}, all)), reversed(both)},
		"all, backwards from":        {p.read(p.ReadAll(p.ctx, esdb.ReadAllOptions{From: at(50), Direction: esdb.Backwards}, 20)), reversed(both[29:49])},
		"all, some of it":            {p.read(p.ReadAll(p.ctx, esdb.ReadAllOptions{From: esdb.Start{}}, 3)), both[:3]},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: got %d events, want %d: %v", what, len(c.got), len(c.want), c.got)
		}
	}
	_, err := p.collect(p.ReadStream(p.ctx, "missing", esdb.ReadStreamOptions{}, 1))
	p.wantError("a stream that is not there", err, esdb.ErrorCodeResourceNotFound)

	link := func(data string) esdb.EventData {
		return esdb.EventData{EventID: uuid.New(), EventType: "$>", Data: []byte(data)}
	}
	links := []esdb.EventData{link("3@a"), link("99@a")}
	_, err = p.AppendToStream(p.ctx, "index", esdb.AppendToStreamOptions{}, links...)
	p.must(err)
	got, err := p.collect(p.ReadStream(p.ctx, "index", esdb.ReadStreamOptions{ResolveLinkTos: true}, all))
	p.must(err)
	if got[0].Event.EventID != a[3] || got[0].Link.EventID != links[0].EventID || got[1].Event != nil || got[1].Link.EventID != links[1].EventID {
		t.Errorf("resolved %+v and %+v", got[0], got[1])
	}
}

func TestGoClientSubscribes(t *testing.T) {
	p := newProgram(t)
	a := p.append("a", 50)
	_, err := p.SetStreamMetadata(p.ctx, "a", esdb.AppendToStreamOptions{}, esdb.StreamMetadata{}) // a system event, at 51
	p.must(err)
	b := p.append("b", 49)
	stream, err := p.SubscribeToStream(p.ctx, "a", esdb.SubscribeToStreamOptions{From: esdb.Revision(9)})
	p.must(err)
	later, err := p.SubscribeToStream(p.ctx, "later", esdb.SubscribeToStreamOptions{})
	p.must(err)
	log, err := p.SubscribeToAll(p.ctx, esdb.SubscribeToAllOptions{From: esdb.Position{Commit: 61, Prepare: 61}})
	p.must(err)
	filters := map[*esdb.SubscriptionFilter][]uuid.UUID{
		{Type: esdb.StreamFilterType, Prefixes: []string{"b", "x"}}: b,
		{Type: esdb.StreamFilterType, Regex: "^[ax]$"}:              a,
		{Type: esdb.EventFilterType, Prefixes: []string{"pla"}}:     slices.Concat(a, b),
		{Type: esdb.EventFilterType, Regex: `^(?!\$)`}:              slices.Concat(a, b),
		esdb.ExcludeSystemEventsFilter():                            slices.Concat(a, b),
	}
	for filter, want := range filters {
		checkpoints, caughtUp := uint64(0), false
		s, err := p.SubscribeToAll(p.ctx, esdb.SubscribeToAllOptions{From: esdb.Start{}, Filter: filter, MaxSearchWindow: 4, CheckpointInterval: 5})
		p.must(err)
		got := p.take(s, len(want), nil)
		for !caughtUp {
			e := s.Recv()
			if caughtUp = e.CaughtUp != nil; e.CheckPointReached != nil {
				checkpoints = e.CheckPointReached.Commit
			}
		}
		if !slices.Equal(got, want) || checkpoints != 100 {
			t.Errorf("filter %+v: got %d events and checkpoint %d, want %d and 100", filter, len(got), checkpoints, len(want))
		}
		p.must(s.Close())
	}

	caughtUp := 0
	if got := p.take(stream, 40, nil); !slices.Equal(got, a[10:]) {
		t.Errorf("after revision 9 got %d events", len(got))
	}
	live := p.append("a", 3)
	if got := p.take(stream, 3, func(e *esdb.SubscriptionEvent) { caughtUp++ }); !slices.Equal(got, live) || caughtUp != 1 {
		t.Errorf("live: got %v and caught up %d times", got, caughtUp)
	}
	first := p.append("later", 1)
	if got := p.take(later, 1, nil); !slices.Equal(got, first) {
		t.Errorf("a stream that was not there: got %v, want %v", got, first)
	}
	if got, want := p.take(log, 43, nil), slices.Concat(b[10:], live, first); !slices.Equal(got, want) {
		t.Errorf("all after position 61: got %d events, want %d", len(got), len(want))
	}
	_, err = p.TombstoneStream(p.ctx, "a", esdb.TombstoneStreamOptions{})
	p.must(err)
	p.take(stream, 1, nil) // the tombstone
	if e := stream.Recv(); e.SubscriptionDropped == nil {
		t.Errorf("after the end of the stream came %+v", e)
	}
}

func TestGoClientDeletes(t *testing.T) {
	p := newProgram(t)
	p.append("a", 3)
	_, err := p.DeleteStream(p.ctx, "a", esdb.DeleteStreamOptions{ExpectedRevision: esdb.Revision(7)})
	if err == nil || !strings.Contains(err.Error(), "Expected version: 7, Actual version: 2") { // the client has no code for it here
		t.Errorf("delete at another revision: got %v", err)
	}
	deleted, err := p.DeleteStream(p.ctx, "a", esdb.DeleteStreamOptions{ExpectedRevision: esdb.Revision(2)})
	p.must(err)
	if deleted.Position.Commit != 4 {
		t.Errorf("deleted at %+v, want 4", deleted)
	}
	_, err = p.collect(p.ReadStream(p.ctx, "a", esdb.ReadStreamOptions{}, 1))
	p.wantError("a deleted stream", err, esdb.ErrorCodeResourceNotFound)
	again, err := p.AppendToStream(p.ctx, "a", esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, placed(2)...)
	p.must(err)
	if got := p.read(p.ReadStream(p.ctx, "a", esdb.ReadStreamOptions{}, all)); again.NextExpectedVersion != 4 || len(got) != 2 {
		t.Errorf("after its deletion the stream goes on to %d with %d events", again.NextExpectedVersion, len(got))
	}
	gone, err := p.TombstoneStream(p.ctx, "a", esdb.TombstoneStreamOptions{ExpectedRevision: esdb.StreamExists{}})
	p.must(err)
	if gone.Position.Commit == 0 {
		t.Errorf("tombstoned at %+v", gone)
	}
	_, err = p.collect(p.ReadStream(p.ctx, "a", esdb.ReadStreamOptions{}, 1))
	p.wantError("read of a tombstoned stream", err, esdb.ErrorCodeStreamDeleted)
	_, err = p.AppendToStream(p.ctx, "a", esdb.AppendToStreamOptions{}, placed(1)...)
	p.wantError("append to a tombstoned stream", err, esdb.ErrorCodeStreamDeleted)
	_, err = p.DeleteStream(p.ctx, "a", esdb.DeleteStreamOptions{})
	p.wantError("delete of a tombstoned stream", err, esdb.ErrorCodeStreamDeleted)
}

func TestGoClientMetadata(t *testing.T) {
	p := newProgram(t)
	ids := p.append("a", 10)
	_, err := p.GetStreamMetadata(p.ctx, "a", esdb.ReadStreamOptions{})
	p.wantError("a stream without metadata", err, esdb.ErrorCodeResourceNotFound)
	acl := esdb.Acl{}
	acl.AddReadRoles("reader") // of several roles the client cannot read what it wrote
	acl.AddWriteRoles("writer")
	acl.AddDeleteRoles("$admins")
	acl.AddMetaReadRoles("$all")
	acl.AddMetaWriteRoles("$admins")
	meta := esdb.StreamMetadata{}
	meta.SetMaxCount(17)
	meta.SetMaxAge(time.Hour)
	meta.SetTruncateBefore(3)
	meta.SetCacheControl(time.Minute)
	meta.SetAcl(acl)
	meta.AddCustomProperty("owner", "somebody")
	set := func(m esdb.StreamMetadata) {
		t.Helper()
		_, err := p.SetStreamMetadata(p.ctx, "a", esdb.AppendToStreamOptions{}, m)
		p.must(err)
	}
	set(esdb.StreamMetadata{})
	set(meta)
	got, err := p.GetStreamMetadata(p.ctx, "a", esdb.ReadStreamOptions{})
	p.must(err)
	if !reflect.DeepEqual(*got, meta) {
		t.Errorf("set %+v, got %+v", meta, got)
	}
	for what, c := range map[string]struct {
		set  func(*esdb.StreamMetadata)
		want []uuid.UUID
	}{
		"$maxCount":         {func(m *esdb.StreamMetadata) { m.SetMaxCount(4) }, ids[6:]},
		"$tb":               {func(m *esdb.StreamMetadata) { m.SetTruncateBefore(9) }, ids[9:]},
		"$tb beyond":        {func(m *esdb.StreamMetadata) { m.SetTruncateBefore(99) }, nil},
		"$maxAge of an age": {func(m *esdb.StreamMetadata) { m.SetMaxAge(time.Hour) }, ids},
	} {
		m := esdb.StreamMetadata{}
		c.set(&m)
		set(m)
		if got := p.read(p.ReadStream(p.ctx, "a", esdb.ReadStreamOptions{}, all)); !slices.Equal(got, c.want) {
			t.Errorf("%s: read %d events, want %d", what, len(got), len(c.want))
		}
	}
}

// TestGoClientReadsIndexStreams: as the documentation has it, a program switches
// the system's projections on first.
func TestGoClientReadsIndexStreams(t *testing.T) {
	p := newProgram(t)
	settings, err := esdb.ParseConnectionString(p.connection)
	p.must(err)
	settings.Logger = esdb.NoopLogging()
	projections, err := esdb.NewProjectionClient(settings)
	p.must(err)
	defer projections.Close()
	p.must(projections.Enable(p.ctx, "$by_category", esdb.GenericProjectionOptions{}))
	status, err := projections.GetStatus(p.ctx, "$by_category", esdb.GenericProjectionOptions{})
	p.must(err)
	every, err := projections.ListAll(p.ctx, esdb.GenericProjectionOptions{})
	p.must(err)
	if status.Name != "$by_category" || status.Status != "Running" || len(every) != 5 {
		t.Errorf("the projection is %+v, of %d", status, len(every))
	}
	if err := projections.Enable(p.ctx, "mine", esdb.GenericProjectionOptions{}); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("a projection that is not there: got %v", err)
	}
	if err := projections.Disable(p.ctx, "$by_category", esdb.GenericProjectionOptions{}); err == nil {
		t.Error("a projection that is always on was switched off")
	}
	if err := projections.Create(p.ctx, "mine", "fromAll()", esdb.CreateProjectionOptions{}); err == nil {
		t.Error("a projection of one's own was made")
	}

	ids := slices.Concat(p.append("order-1", 2), p.append("order-2", 1))
	p.append("offer-1", 1)
	for _, stream := range []string{"$ce-order", "$et-placed"} {
		got, err := p.collect(p.ReadStream(p.ctx, stream, esdb.ReadStreamOptions{ResolveLinkTos: true}, 3))
		p.must(err)
		for i, e := range got {
			if e.Event.EventID != ids[i] || e.Link.StreamID != stream || e.Link.EventNumber != uint64(i) {
				t.Errorf("%s has at %d event %+v by link %+v", stream, i, e.Event, e.Link)
			}
		}
	}
}
