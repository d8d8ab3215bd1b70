package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// served is a node with its server and every way to talk to it.
type served struct {
	*testing.T
	node   *Node
	server *Server
	conn   *grpc.ClientConn
	raw    streams.StreamsClient
	client *esdb.Client
}

func serve(t *testing.T) *served {
	s := &served{T: t, node: openTest(t)}
	s.server = NewServer(s.node, ServerOptions{})
	if err := s.server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.must(s.server.Close()) })
	s.conn = dial(t, s.server.Addr())
	s.raw = streams.NewStreamsClient(s.conn)
	s.client = officialClient(t, "esdb://"+s.server.Addr()+"?tls=false")
	return s
}

func dial(t testing.TB, addr string) *grpc.ClientConn {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func officialClient(t testing.TB, url string) *esdb.Client {
	conf, err := esdb.ParseConnectionString(url)
	if err != nil {
		t.Fatal(err)
	}
	conf.Logger = esdb.NoopLogging()
	client, err := esdb.NewClient(conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func (s *served) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// waitFor bounds what a test waits for; it fails when nothing comes.
func (s *served) waitFor() context.Context {
	ctx, cancel := context.WithTimeout(s.Context(), 30*time.Second)
	s.Cleanup(cancel)
	return ctx
}

// wantRefusal compares an error with the protocol's: its code and trailers.
func (s *served) wantRefusal(what string, err error, trailer metadata.MD, code codes.Code, want ...string) {
	s.Helper()
	if status.Code(err) != code {
		s.Errorf("%s: got %v, want code %v", what, err, code)
	}
	for i := 0; i+1 < len(want); i += 2 {
		if got := trailer.Get(want[i]); len(got) != 1 || got[0] != want[i+1] {
			s.Errorf("%s: trailer %s is %q, want %q", what, want[i], got, want[i+1])
		}
	}
	if len(want) == 0 && len(trailer.Get(exceptionKey)) > 0 {
		s.Errorf("%s: trailers %v, want no exception", what, trailer)
	}
}

func TestServerTellsWhatItCan(t *testing.T) {
	s := serve(t)
	got, err := serverfeatures.NewServerFeaturesClient(s.conn).GetSupportedMethods(s.waitFor(), &shared.Empty{})
	s.must(err)
	var names []string
	for _, m := range got.Methods {
		names = append(names, fmt.Sprint(m.ServiceName, "/", m.MethodName, m.Features))
	}
	const p = "event_store.client.streams.streams/"
	want := []string{p + "read[position events]", p + "append[]", p + "batchappend[deadline_duration]", p + "delete[]", p + "tombstone[]"}
	for _, m := range []string{"create", "update", "delete", "read", "getinfo", "list", "replayparked", "restartsubsystem"} {
		want = append(want, "event_store.client.persistent_subscriptions.persistentsubscriptions/"+m+"[stream all]")
	}
	if strings.Join(names, " ") != strings.Join(want, " ") {
		t.Errorf("got %v, want %v", names, want)
	}
	version, err := s.client.GetServerVersion()
	s.must(err)
	if version.Major != 24 || version.Minor != 10 || version.Patch != 0 {
		t.Errorf("the Go client reads the version as %+v", version)
	}
}

func TestServerGossip(t *testing.T) {
	s := serve(t)
	read := func(conn *grpc.ClientConn) string {
		info, err := gossip.NewGossipClient(conn).Read(s.waitFor(), &shared.Empty{})
		s.must(err)
		if len(info.Members) != 1 || info.Members[0].State != gossip.MemberInfo_Leader || !info.Members[0].IsAlive {
			t.Fatalf("got %v, want one living leader", info)
		}
		return fmt.Sprint(info.Members[0].HttpEndPoint.Address, ":", info.Members[0].HttpEndPoint.Port)
	}
	if got := read(s.conn); got != s.server.Addr() {
		t.Errorf("told to come to %s, came to %s", got, s.server.Addr())
	}
	_, port, err := net.SplitHostPort(s.server.Addr())
	s.must(err)
	discovering := officialClient(t, "esdb+discover://localhost:"+port+"?tls=false")
	_, err = discovering.AppendToStream(s.waitFor(), "found", esdb.AppendToStreamOptions{}, esdb.EventData{EventType: "E"})
	s.must(err)

	told := NewServer(s.node, ServerOptions{Advertise: "shop.example:2113"})
	s.must(told.Start())
	defer told.Close()
	if got := read(dial(t, told.Addr())); got != "shop.example:2113" {
		t.Errorf("told to come to %s, want the address to advertise", got)
	}
}

// TestServerUncompresses what a client compressed, and answers in kind.
func TestServerUncompresses(t *testing.T) {
	s := serve(t)
	call, err := s.raw.BatchAppend(s.waitFor(), grpc.UseCompressor("gzip"))
	s.must(err)
	s.must(call.Send(batchRequest("a", 100, true)))
	resp, err := call.Recv()
	s.must(err)
	if resp.GetSuccess().GetCurrentRevision() != 99 {
		t.Errorf("got %v, want success at revision 99", resp)
	}
	read, err := s.raw.Read(s.waitFor(), readStream("a", count(100), fromStart), grpc.UseCompressor("gzip"))
	s.must(err)
	for i := range 100 {
		if _, err := read.Recv(); err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
	}
}

func TestServerHealth(t *testing.T) {
	s := serve(t)
	for path, want := range map[string]int{"/health/live": http.StatusNoContent, "/": http.StatusNotFound, "/streams/x": http.StatusNotFound} {
		resp, err := http.Get("http://" + s.server.Addr() + path)
		s.must(err)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("GET %s: got %d, want %d", path, resp.StatusCode, want)
		}
	}
	// A preface that comes in pieces, and one that only begins like one.
	for first, rest := range map[string]string{"P": "RI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "PUT": " / HTTP/1.1\r\nHost: x\r\n\r\n"} {
		conn, err := net.Dial("tcp", s.server.Addr())
		s.must(err)
		defer conn.Close()
		_, err = conn.Write([]byte(first))
		s.must(err)
		_, err = conn.Write([]byte(rest))
		s.must(err)
		s.must(conn.SetReadDeadline(time.Now().Add(30 * time.Second)))
		got, err := bufio.NewReader(conn).Peek(9)
		s.must(err)
		http1 := string(got) == "HTTP/1.1 "
		settings := got[3] == 4 // the type of an HTTP/2 frame
		if http1 != (first == "PUT") || settings != (first == "P") {
			t.Errorf("%q was answered %q", first+rest, got)
		}
	}
}

func TestServerStaysOnThisMachine(t *testing.T) {
	n := openTest(t)
	for _, listen := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:2113", "example.com:2113", "no port"} {
		s := NewServer(n, ServerOptions{Listen: listen})
		if err := s.Start(); err == nil {
			t.Errorf("listens on %q", listen)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := NewServer(n, ServerOptions{Advertise: "nowhere:port"}).Start(); err == nil {
		t.Error("advertises an address that is none")
	}
}

func TestServerLife(t *testing.T) {
	s := NewServer(openTest(t), ServerOptions{Listen: "localhost:0"})
	if s.Addr() != "" {
		t.Error("has an address before it listens")
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err == nil {
		t.Error("started twice")
	}
	taken := NewServer(openTest(t), ServerOptions{Listen: s.Addr()})
	if err := taken.Start(); err == nil {
		t.Error("two servers on one port")
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := s.Start(); err == nil {
		t.Error("started after it was closed")
	}
	if _, err := net.Dial("tcp", s.Addr()); err == nil {
		t.Error("still listens after it was closed")
	}
}

// TestServerCloseEndsWhatNeverEnds: a subscription, a batch, a connection that
// says nothing and a slow reader do not keep a server from closing.
func TestServerCloseEndsWhatNeverEnds(t *testing.T) {
	s := serve(t)
	ctx := s.waitFor()
	sub, err := s.raw.Read(ctx, readAll(subscription, fromStart, nil))
	s.must(err)
	batch, err := s.raw.BatchAppend(ctx)
	s.must(err)
	s.must(batch.Send(batchRequest("b", 1, true)))
	_, err = batch.Recv()
	s.must(err)
	silent, err := net.Dial("tcp", s.server.Addr())
	s.must(err)
	defer silent.Close()
	for caughtUp := false; !caughtUp; {
		resp, err := sub.Recv()
		s.must(err)
		caughtUp = resp.GetCaughtUp() != nil
	}
	s.must(s.server.Close())
	for err = nil; err == nil; _, err = sub.Recv() {
	}
	if status.Code(err) != codes.Unavailable {
		t.Errorf("the subscription ended with %v, want Unavailable", err)
	}
	if _, err := batch.Recv(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the batch ended with %v, want an error", err)
	}
}
