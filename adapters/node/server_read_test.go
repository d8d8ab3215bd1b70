package node

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// Requests are built from their parts, as the protocol does.

type (
	readOptions = streams.ReadReq_Options
	expression  = streams.ReadReq_Options_FilterOptions_Expression
)

var none = &shared.Empty{}

func count(n uint64) func(*readOptions) {
	return func(o *readOptions) { o.CountOption = &streams.ReadReq_Options_Count{Count: n} }
}

func subscription(o *readOptions) {
	o.CountOption = &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}}
}

func backwards(o *readOptions)    { o.ReadDirection = streams.ReadReq_Options_Backwards }
func resolveLinks(o *readOptions) { o.ResolveLinks = true }
func stringIDs(o *readOptions) {
	o.UuidOption = &streams.ReadReq_Options_UUIDOption{Content: &streams.ReadReq_Options_UUIDOption_String_{String_: none}}
}

func compatibility(o *readOptions) {
	o.ControlOption = &streams.ReadReq_Options_ControlOption{Compatibility: 1}
}

func filtered(f *streams.ReadReq_Options_FilterOptions) func(*readOptions) {
	return func(o *readOptions) { o.FilterOption = &streams.ReadReq_Options_Filter{Filter: f} }
}

func byStream(e *expression) *streams.ReadReq_Options_FilterOptions {
	return &streams.ReadReq_Options_FilterOptions{
		Filter:                       &streams.ReadReq_Options_FilterOptions_StreamIdentifier{StreamIdentifier: e},
		Window:                       &streams.ReadReq_Options_FilterOptions_Max{Max: 10},
		CheckpointIntervalMultiplier: 2,
	}
}

func byType(e *expression) *streams.ReadReq_Options_FilterOptions {
	return &streams.ReadReq_Options_FilterOptions{
		Filter:                       &streams.ReadReq_Options_FilterOptions_EventType{EventType: e},
		Window:                       &streams.ReadReq_Options_FilterOptions_Count{Count: none},
		CheckpointIntervalMultiplier: 1,
	}
}

func readRequest(parts ...func(*readOptions)) *streams.ReadReq {
	o := &readOptions{
		FilterOption: &streams.ReadReq_Options_NoFilter{NoFilter: none},
		UuidOption:   &streams.ReadReq_Options_UUIDOption{Content: &streams.ReadReq_Options_UUIDOption_Structured{Structured: none}},
	}
	for _, p := range parts {
		if p != nil {
			p(o)
		}
	}
	return &streams.ReadReq{Options: o}
}

// readAll and readStream are requests from a place: fromStart, fromEnd or at.
func readAll(how func(*readOptions), from *place, more ...func(*readOptions)) *streams.ReadReq {
	return readRequest(append(more, how, func(o *readOptions) { o.StreamOption = &streams.ReadReq_Options_All{All: from.all()} })...)
}

func readStream(stream string, how func(*readOptions), from *place, more ...func(*readOptions)) *streams.ReadReq {
	return readRequest(append(more, how, func(o *readOptions) {
		o.StreamOption = &streams.ReadReq_Options_Stream{Stream: from.stream(stream)}
	})...)
}

type place struct{ n uint64 }

var fromStart, fromEnd = &place{}, &place{}

func at(n uint64) *place { return &place{n} }

func (p *place) all() *streams.ReadReq_Options_AllOptions {
	o := &streams.ReadReq_Options_AllOptions{}
	switch p {
	case fromStart:
		o.AllOption = &streams.ReadReq_Options_AllOptions_Start{Start: none}
	case fromEnd:
		o.AllOption = &streams.ReadReq_Options_AllOptions_End{End: none}
	default:
		o.AllOption = &streams.ReadReq_Options_AllOptions_Position{
			Position: &streams.ReadReq_Options_Position{CommitPosition: p.n, PreparePosition: p.n}}
	}
	return o
}

func (p *place) stream(name string) *streams.ReadReq_Options_StreamOptions {
	o := &streams.ReadReq_Options_StreamOptions{StreamIdentifier: identifier(name)}
	switch p {
	case fromStart:
		o.RevisionOption = &streams.ReadReq_Options_StreamOptions_Start{Start: none}
	case fromEnd:
		o.RevisionOption = &streams.ReadReq_Options_StreamOptions_End{End: none}
	default:
		o.RevisionOption = &streams.ReadReq_Options_StreamOptions_Revision{Revision: p.n}
	}
	return o
}

// write appends n events to a stream, behind the server's back.
func (s *served) write(stream, typ string, n int) (ids []uuid.UUID) {
	s.Helper()
	events := make([]proposed, n)
	for i := range events {
		events[i] = proposed{ID: uuid.New(), Type: typ, ContentType: jsonContent, Data: fmt.Appendf(nil, `{"n":%d}`, i)}
		ids = append(ids, events[i].ID)
	}
	_, err := s.node.engine.append(s.waitFor(), stream, expectAny, events)
	s.must(err)
	return ids
}

// receive reads a counted read to its end.
func (s *served) receive(req *streams.ReadReq) ([]*streams.ReadResp, metadata.MD, error) {
	s.Helper()
	stream, err := s.raw.Read(s.waitFor(), req)
	s.must(err)
	var got []*streams.ReadResp
	for {
		resp, err := stream.Recv()
		if err == io.EOF {
			return got, stream.Trailer(), nil
		}
		if err != nil {
			return got, stream.Trailer(), err
		}
		got = append(got, resp)
	}
}

func idsRead(s *served, resps []*streams.ReadResp) (ids []uuid.UUID) {
	for _, r := range resps {
		if r.GetEvent() == nil {
			s.Fatalf("got %v among the events", r)
		}
		id, err := parseID(r.GetEvent().GetEvent().GetId())
		s.must(err)
		ids = append(ids, id)
	}
	return ids
}

func (s *served) wantRead(what string, req *streams.ReadReq, want []uuid.UUID) {
	s.Helper()
	got, _, err := s.receive(req)
	if err != nil {
		s.Fatalf("%s: %v", what, err)
	}
	if ids := idsRead(s, got); !slices.Equal(ids, want) {
		s.Errorf("%s: got %v, want %v", what, ids, want)
	}
}

func TestReadCounted(t *testing.T) {
	s := serve(t)
	a := s.write("a", "A", 5)              // positions 1–5
	b := s.write("b", "B", 3)              // 6–8
	a = append(a, s.write("a", "B", 2)...) // 9–10
	all := slices.Concat(a[:5], b, a[5:])
	back := slices.Clone(all)
	slices.Reverse(back)
	backA := slices.Clone(a)
	slices.Reverse(backA)
	const many = 1000
	for what, c := range map[string]struct {
		req  *streams.ReadReq
		want []uuid.UUID
	}{
		"stream":                           {readStream("a", count(many), fromStart), a},
		"stream, some":                     {readStream("a", count(2), at(1)), a[1:3]},
		"stream, string ids":               {readStream("a", count(many), fromStart, stringIDs), a},
		"stream from its end":              {readStream("a", count(many), fromEnd), nil},
		"stream beyond its end":            {readStream("a", count(many), at(7)), nil},
		"stream, none":                     {readStream("a", count(0), fromStart), nil},
		"stream backwards":                 {readStream("a", count(many), fromEnd, backwards), backA},
		"stream backwards from a revision": {readStream("a", count(2), at(4), backwards), backA[2:4]},
		"stream backwards from its start":  {readStream("a", count(many), fromStart, backwards), backA[6:]},
		"all":                              {readAll(count(many), fromStart), all},
		"all from a position, inclusive":   {readAll(count(3), at(4)), all[3:6]},
		"all from its end":                 {readAll(count(many), fromEnd), nil},
		"all backwards":                    {readAll(count(many), fromEnd, backwards), back},
		"all backwards, exclusive":         {readAll(count(many), at(4), backwards), back[7:]},
		"all backwards from its start":     {readAll(count(many), fromStart, backwards), nil},
		"all by stream prefix":             {readAll(count(many), fromStart, filtered(byStream(&expression{Prefix: []string{"x", "b"}}))), b},
		"all by stream regex":              {readAll(count(many), fromStart, filtered(byStream(&expression{Regex: "^[ac]$", Prefix: []string{"b"}}))), a},
		"all by type prefix":               {readAll(count(2), fromStart, filtered(byType(&expression{Prefix: []string{"B"}}))), b[:2]},
		"all by type regex, backwards":     {readAll(count(4), fromEnd, backwards, filtered(byType(&expression{Regex: "B|C"}))), []uuid.UUID{a[6], a[5], b[2], b[1]}},
		"all without system events":        {readAll(count(many), fromStart, filtered(byType(&expression{Regex: `^[^\$].*`}))), all},
	} {
		s.wantRead(what, c.req, c.want)
	}
}

func TestReadSaysEverythingOfAnEvent(t *testing.T) {
	s := serve(t)
	id := uuid.New()
	_, err := s.node.engine.append(s.waitFor(), "a", expectNoStream, []proposed{
		{ID: id, Type: "T", ContentType: octetContent, Data: []byte{0, 1, 0xff}, Metadata: []byte("m")}})
	s.must(err)
	for rec, err := range s.node.engine.readAll(s.waitFor(), false, 1) {
		s.must(err)
		got, _, err := s.receive(readAll(count(1), fromStart))
		s.must(err)
		want := generated(&rec, false)
		if e := got[0].GetEvent(); e.GetEvent().String() != want.String() || e.GetCommitPosition() != 1 || e.GetLink() != nil {
			t.Errorf("got %v, want %v at 1", e, want)
		}
	}
}

func TestReadRefusesIllegalCombinations(t *testing.T) {
	s := serve(t)
	s.write("a", "A", 3)
	filter := filtered(byStream(&expression{Prefix: []string{"a"}}))
	window0, multiplier0, noWindow, noSubject := byStream(&expression{Regex: "a"}), byStream(&expression{Regex: "a"}), byType(&expression{Regex: "a"}), byType(&expression{})
	window0.Window = &streams.ReadReq_Options_FilterOptions_Max{Max: 0}
	multiplier0.CheckpointIntervalMultiplier = 0
	noWindow.Window, noSubject.Filter = nil, nil
	for what, req := range map[string]*streams.ReadReq{
		"no options":                  {},
		"nothing to read":             readRequest(count(1)),
		"no count":                    readAll(nil, fromStart),
		"no filter option":            readAll(count(1), fromStart, func(o *readOptions) { o.FilterOption = nil }),
		"no uuid option":              readAll(count(1), fromStart, func(o *readOptions) { o.UuidOption = nil }),
		"subscription backwards":      readAll(subscription, fromStart, backwards),
		"stream subscribed backwards": readStream("a", subscription, fromStart, backwards),
		"stream filtered":             readStream("a", count(1), fromStart, filter),
		"stream subscribed, filtered": readStream("a", subscription, fromStart, filter),
		"empty stream name":           readStream("", count(1), fromStart),
		"metadata of no stream":       readStream("$$", count(1), fromStart),
		"a name that is not UTF-8":    readStream("\xff", count(1), fromStart),
		"no place in the stream": readRequest(count(1), func(o *readOptions) {
			o.StreamOption = &streams.ReadReq_Options_Stream{Stream: &streams.ReadReq_Options_StreamOptions{StreamIdentifier: identifier("a")}}
		}),
		"no place in all": readRequest(count(1), func(o *readOptions) {
			o.StreamOption = &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{}}
		}),
		"no place to subscribe from": readRequest(subscription, func(o *readOptions) {
			o.StreamOption = &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{}}
		}),
		"a position beyond the end":    readAll(count(1), at(4)),
		"subscribed beyond the end":    readAll(subscription, at(4)),
		"a window of nothing":          readAll(count(1), fromStart, filtered(window0)),
		"a checkpoint interval of 0":   readAll(subscription, fromStart, filtered(multiplier0)),
		"a filter without a window":    readAll(count(1), fromStart, filtered(noWindow)),
		"a filter of nothing":          readAll(count(1), fromStart, filtered(noSubject)),
		"a regex that nobody can read": readAll(count(1), fromStart, filtered(byType(&expression{Regex: "(?!a"}))),
		"a filter that is too long":    readAll(count(1), fromStart, filtered(byType(&expression{Prefix: []string{strings.Repeat("a", maxFilterBytes+1)}}))),
	} {
		got, trailer, err := s.receive(req)
		s.wantRefusal(what, err, trailer, codes.InvalidArgument)
		if len(got) > 0 {
			t.Errorf("%s: got %v before the refusal", what, got)
		}
	}
}

func TestReadOfStreamsThatAreNotThere(t *testing.T) {
	s := serve(t)
	s.write("deleted", "A", 3)
	_, err := s.node.engine.delete(s.waitFor(), "deleted", expectAny, false)
	s.must(err)
	for _, name := range []string{"missing", "deleted"} {
		for _, dir := range []func(*readOptions){nil, backwards, compatibility} {
			got, _, err := s.receive(readStream(name, count(5), fromStart, dir))
			s.must(err)
			if len(got) != 1 || string(got[0].GetStreamNotFound().GetStreamIdentifier().GetStreamName()) != name {
				t.Errorf("read of %s: got %v, want stream_not_found", name, got)
			}
		}
	}
	s.write("gone·für immer", "A", 3)
	_, err = s.node.engine.delete(s.waitFor(), "gone·für immer", expectAny, true)
	s.must(err)
	_, trailer, err := s.receive(readStream("gone·für immer", count(5), fromStart))
	s.wantRefusal("read of a tombstoned stream", err, trailer, codes.FailedPrecondition,
		exceptionKey, exceptionStreamDeleted, trailerStream, "gone%C2%B7f%C3%BCr%20immer")
}

// TestReadPositionsOnlyForThoseWhoAsk: the Go client of version 4 panics on the
// positions that others ask for.
func TestReadPositionsOnlyForThoseWhoAsk(t *testing.T) {
	s := serve(t)
	s.write("a", "A", 5)
	for what, c := range map[string]struct {
		req         *streams.ReadReq
		first, last bool
	}{
		"not asked":         {readStream("a", count(9), at(7)), false, false},
		"asked, empty":      {readStream("a", count(9), at(7), compatibility), true, true},
		"asked, found":      {readStream("a", count(1), fromStart, compatibility), false, true},
		"asked, backwards":  {readStream("a", count(9), fromEnd, backwards, compatibility), false, true},
		"asked, of the log": {readAll(count(9), fromStart, compatibility), false, false},
	} {
		got, _, err := s.receive(c.req)
		s.must(err)
		var first, last bool
		for _, r := range got {
			if f, ok := r.Content.(*streams.ReadResp_FirstStreamPosition); ok {
				if first = true; f.FirstStreamPosition != 5 {
					t.Errorf("%s: the stream goes on at %d, want 5", what, f.FirstStreamPosition)
				}
			}
			if l, ok := r.Content.(*streams.ReadResp_LastStreamPosition); ok {
				if last = true; l.LastStreamPosition != 4 {
					t.Errorf("%s: the stream ends at %d, want 4", what, l.LastStreamPosition)
				}
			}
		}
		if first != c.first || last != c.last {
			t.Errorf("%s: first position %v, last %v; want %v and %v", what, first, last, c.first, c.last)
		}
	}
}

// TestReadTellsWhatItSkips: those who ask learn before the events where a stream
// begins whose first page is hidden.
func TestReadTellsWhatItSkips(t *testing.T) {
	s := serve(t)
	s.write("a", "A", 43)
	_, err := s.node.engine.append(s.waitFor(), "$$a", expectNoStream,
		[]proposed{{ID: uuid.New(), Type: "$metadata", ContentType: jsonContent, Data: []byte(`{"$tb":40}`)}})
	s.must(err)
	for what, c := range map[string]struct {
		req  *streams.ReadReq
		want string
	}{
		"a page":              {readStream("a", count(2), fromStart, compatibility), "first 40, event 40, event 41, last 42"},
		"up to its beginning": {readStream("a", count(2), at(38), compatibility), "first 40, event 40, event 41, last 42"},
		"less than a page":    {readStream("a", count(2), at(39), compatibility), "event 40, event 41, last 42"},
		"32 of more":          {readStream("a", count(99), at(8), compatibility), "first 40, event 40, event 41, event 42, last 42"},
		"less than 32":        {readStream("a", count(99), at(9), compatibility), "event 40, event 41, event 42, last 42"},
		"not asked":           {readStream("a", count(1), fromStart), "event 40"},
	} {
		got, _, err := s.receive(c.req)
		s.must(err)
		var said []string
		for _, r := range got {
			switch x := r.Content.(type) {
			case *streams.ReadResp_Event:
				said = append(said, fmt.Sprint("event ", x.Event.GetEvent().GetStreamRevision()))
			case *streams.ReadResp_FirstStreamPosition:
				said = append(said, fmt.Sprint("first ", x.FirstStreamPosition))
			case *streams.ReadResp_LastStreamPosition:
				said = append(said, fmt.Sprint("last ", x.LastStreamPosition))
			}
		}
		if text := strings.Join(said, ", "); text != c.want {
			t.Errorf("%s: got %s, want %s", what, text, c.want)
		}
	}
}

func TestReadResolvesLinks(t *testing.T) {
	s := serve(t)
	target := s.write("orders", "A", 3)
	s.write("dead", "A", 1)
	_, err := s.node.engine.delete(s.waitFor(), "dead", expectAny, true)
	s.must(err)
	var links []proposed
	for _, data := range []string{"2@orders", "0@orders", "9@orders", "0@nowhere", "0@dead", "orders", "x@orders", "-1@orders", "1@"} {
		links = append(links, proposed{ID: uuid.New(), Type: "$>", ContentType: octetContent, Data: []byte(data)})
	}
	_, err = s.node.engine.append(s.waitFor(), "index", expectNoStream, links)
	s.must(err)
	got, _, err := s.receive(readStream("index", count(100), fromStart, resolveLinks))
	s.must(err)
	for i, want := range []struct {
		event  uuid.UUID // Nil: gone
		isLink bool
	}{
		{target[2], true}, {target[0], true}, {uuid.Nil, true}, {uuid.Nil, true}, {uuid.Nil, true},
		{links[5].ID, false}, {links[6].ID, false}, {links[7].ID, false}, {links[8].ID, false},
	} {
		e := got[i].GetEvent()
		var event uuid.UUID
		if e.GetEvent() != nil {
			event, err = parseID(e.GetEvent().GetId())
			s.must(err)
		}
		if event != want.event || (e.GetLink() != nil) != want.isLink {
			t.Errorf("%s: got event %v and link %v, want event %v, a link: %v", links[i].Data, event, e.GetLink(), want.event, want.isLink)
		}
		if e.GetLink() != nil && (e.GetLink().GetStreamRevision() != uint64(i) || e.GetCommitPosition() != e.GetLink().GetCommitPosition()) {
			t.Errorf("%s: the position %d is not the link's: %v", links[i].Data, e.GetCommitPosition(), e.GetLink())
		}
	}
	unresolved, _, err := s.receive(readStream("index", count(1), fromStart))
	s.must(err)
	if ids := idsRead(s, unresolved); ids[0] != links[0].ID {
		t.Errorf("unasked, the link was resolved")
	}
}
