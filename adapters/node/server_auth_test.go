package node

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// testCert makes a certificate of its own authority for this machine.
func testCert(t testing.TB) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kicau test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "node.crt"), filepath.Join(dir, "node.key")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// secured is a node with users behind TLS. The raw client says nobody's name.
type secured struct {
	*served
	users string
	cert  string
}

func secure(t *testing.T) *secured {
	users := []User{testUser("root", "password", AdminGroup), testUser("ops", "password", OpsGroup),
		testUser("anna", "pass:w@rd/ü?", "sales"), testUser("bert", "password")}
	s := &secured{served: &served{T: t, node: openTest(t)}, users: writeUsers(t, users...)}
	cert, key := testCert(t)
	s.cert = cert
	s.server = NewServer(s.node, ServerOptions{Users: s.users, TLSCert: cert, TLSKey: key, Logger: quiet})
	s.must(s.server.Start())
	t.Cleanup(func() { s.must(s.server.Close()) })
	conn, err := grpc.NewClient(s.server.Addr(), grpc.WithTransportCredentials(credentials.NewTLS(s.trust())))
	s.must(err)
	t.Cleanup(func() { conn.Close() })
	s.conn, s.raw = conn, streams.NewStreamsClient(conn)
	return s
}

// trust is what a client of TLS needs.
func (s *secured) trust() *tls.Config {
	s.Helper()
	pem, err := os.ReadFile(s.cert)
	s.must(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: pool}
}

// as is the official client of a user; "" is anonymous.
func (s *secured) as(name, password string) *esdb.Client {
	s.Helper()
	u := url.URL{Scheme: "esdb", Host: s.server.Addr(), RawQuery: url.Values{"tls": {"true"}, "tlsCaFile": {s.cert}}.Encode()}
	if name != "" {
		u.User = url.UserPassword(name, password)
	}
	return officialClient(s.T, u.String())
}

func (s *secured) asUser(ctx context.Context, name, password string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", basic(name, password))
}

func wantCode(t *testing.T, what string, err error, want esdb.ErrorCode) {
	t.Helper()
	var e *esdb.Error
	switch {
	case want == 0 && err == nil:
	case !errors.As(err, &e) || e.Code() != want:
		t.Errorf("%s: got %v, want code %v", what, err, want)
	}
}

// TestOfficialClientOverTLS: the official Go client as the users that there are,
// and as those that there are not.
func TestOfficialClientOverTLS(t *testing.T) {
	s := secure(t)
	ctx := s.waitFor()
	append := func(c *esdb.Client, stream string) error {
		_, err := c.AppendToStream(ctx, stream, esdb.AppendToStreamOptions{}, esdb.EventData{EventType: "E"})
		return err
	}
	read := func(c *esdb.Client, stream string) error {
		r, err := c.ReadStream(ctx, stream, esdb.ReadStreamOptions{}, 10)
		if err != nil {
			return err
		}
		defer r.Close()
		for err == nil {
			_, err = r.Recv()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	readAll := func(c *esdb.Client) error {
		r, err := c.ReadAll(ctx, esdb.ReadAllOptions{}, 1)
		if err == nil {
			_, err = r.Recv()
			r.Close()
		}
		return err
	}
	root, anna, bert := s.as("root", "password"), s.as("anna", "pass:w@rd/ü?"), s.as("bert", "password")
	nobody := s.as("", "")
	wantCode(t, "anna appends", append(anna, "order-1"), 0)
	wantCode(t, "bert reads it", read(bert, "order-1"), 0)
	wantCode(t, "root reads $all", readAll(root), 0)
	wantCode(t, "anna reads $all", readAll(anna), esdb.ErrorCodeAccessDenied)
	wantCode(t, "nobody appends", append(nobody, "order-1"), esdb.ErrorCodeAccessDenied)
	wantCode(t, "nobody reads", read(nobody, "order-1"), esdb.ErrorCodeAccessDenied)

	acl := esdb.Acl{}
	acl.AddWriteRoles("sales")
	acl.AddReadRoles("anna", "$ops")
	meta := esdb.StreamMetadata{}
	meta.SetAcl(acl)
	_, err := anna.SetStreamMetadata(ctx, "order-1", esdb.AppendToStreamOptions{}, meta)
	s.must(err)
	wantCode(t, "bert appends", append(bert, "order-1"), esdb.ErrorCodeAccessDenied)
	wantCode(t, "bert reads", read(bert, "order-1"), esdb.ErrorCodeAccessDenied)
	wantCode(t, "anna appends", append(anna, "order-1"), 0)
	wantCode(t, "ops reads", read(s.as("ops", "password"), "order-1"), 0)
	// GetStreamMetadata of this client cannot read lists of roles.
	wantCode(t, "bert reads the list, which leaves that to everybody", read(bert, "$$order-1"), 0)
	_, err = bert.DeleteStream(ctx, "order-1", esdb.DeleteStreamOptions{})
	wantCode(t, "bert deletes, likewise", err, 0)

	// A user named with one call is who makes it.
	_, err = nobody.AppendToStream(ctx, "order-2", esdb.AppendToStreamOptions{
		Authenticated: &esdb.Credentials{Login: "bert", Password: "password"}}, esdb.EventData{EventType: "E"})
	wantCode(t, "bert appends through nobody's connection", err, 0)

	groups := func(c *esdb.Client) error {
		return c.CreatePersistentSubscription(ctx, "order-2", "shipping", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}})
	}
	wantCode(t, "anna makes a group", groups(anna), esdb.ErrorCodeAccessDenied)
	wantCode(t, "ops makes a group", groups(s.as("ops", "password")), 0)
	_, err = anna.GetPersistentSubscriptionInfo(ctx, "order-2", "shipping", esdb.GetPersistentSubscriptionOptions{})
	wantCode(t, "anna looks at a group", err, 0)
	sub, err := bert.SubscribeToPersistentSubscription(ctx, "order-2", "shipping", esdb.SubscribeToPersistentSubscriptionOptions{})
	s.must(err)
	if e := sub.Recv(); e.EventAppeared == nil {
		t.Errorf("bert is sent %+v", e)
	}
	s.must(sub.Close())

	// The server says that the password is wrong when the client says hello.
	wrong := s.as("anna", "wrong password")
	wantCode(t, "a wrong password", append(wrong, "order-2"), esdb.ErrorCodeUnauthenticated)

	unverified := officialClient(t, "esdb://bert:password@"+s.server.Addr()+"?tls=true&tlsVerifyCert=false")
	wantCode(t, "without verifying the certificate", append(unverified, "order-3"), 0)
	owner := officialClient(t, s.server.OwnerURL())
	wantCode(t, "the owner", readAll(owner), 0)
	_, port, err := net.SplitHostPort(s.server.Addr())
	s.must(err)
	discovering := officialClient(t, "esdb+discover://bert:password@localhost:"+port+"?tls=true&tlsCaFile="+url.QueryEscape(s.cert))
	wantCode(t, "a client that discovers", append(discovering, "order-3"), 0)
}

// TestWrongCredentials: whatever the call, a wrong password is no anonymous
// user. Who says no name may find the server and nothing else.
func TestWrongCredentials(t *testing.T) {
	s := secure(t)
	ctx := s.waitFor()
	finder := gossip.NewGossipClient(s.conn)
	if _, err := finder.Read(ctx, &shared.Empty{}); err != nil {
		t.Errorf("nobody cannot find the server: %v", err)
	}
	for what, ctx := range map[string]context.Context{
		"wrong password": s.asUser(ctx, "anna", "wrong"),
		"not Basic":      metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer x"),
		"two users":      s.asUser(s.asUser(ctx, "bert", "password"), "bert", "password"),
	} {
		if _, err := finder.Read(ctx, &shared.Empty{}); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s: unary got %v", what, err)
		}
		read, err := s.raw.Read(ctx, readAll(count(1), fromStart, nil))
		if err == nil {
			_, err = read.Recv()
		}
		if status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s: stream got %v", what, err)
		}
	}
}

// TestRevoked: a batch that is open for long is over for a user who is removed,
// and each of its appends is checked by itself. A subscription goes on.
func TestRevoked(t *testing.T) {
	s := secure(t)
	ctx := s.asUser(s.waitFor(), "bert", "password")
	batch, err := s.raw.BatchAppend(ctx)
	s.must(err)
	answer := func() *streams.BatchAppendResp {
		t.Helper()
		s.must(batch.Send(batchRequest("order-1", 1, true)))
		resp, err := batch.Recv()
		s.must(err)
		return resp
	}
	if resp := answer(); resp.GetSuccess() == nil {
		t.Fatalf("got %v", resp)
	}
	sub, err := s.raw.Read(ctx, readStream("order-1", subscription, fromStart))
	s.must(err)
	for caughtUp := false; !caughtUp; {
		resp, err := sub.Recv()
		s.must(err)
		caughtUp = resp.GetCaughtUp() != nil
	}
	s.must(WriteUsers(s.users, []User{testUser("root", "password", AdminGroup)}))
	s.server.calls.users.nextCheck.Store(0) // as if a second had passed
	resp := answer()
	if resp.GetError().GetCode() != int32(codes.PermissionDenied) || !resp.GetError().GetDetails()[0].MessageIs(&shared.AccessDenied{}) {
		t.Errorf("got %v, want access denied", resp)
	}
	root := s.asUser(s.waitFor(), "root", "password")
	stream, err := s.raw.Append(root)
	s.must(err)
	s.must(stream.Send(appendOptions("order-1", expectAny)))
	s.must(stream.Send(appendEvent()))
	_, err = stream.CloseAndRecv()
	s.must(err)
	if got, err := sub.Recv(); err != nil || got.GetEvent() == nil {
		t.Errorf("the subscription got %v, %v", got, err)
	}
}

// TestHTTPAccess: who may ask what over HTTP/1.1, with TLS and users.
func TestHTTPAccess(t *testing.T) {
	s := secure(t)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: s.trust()}}
	defer client.CloseIdleConnections()
	ask := func(path, name, password string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(s.waitFor(), "GET", "https://"+s.server.Addr()+path, nil)
		s.must(err)
		if name != "" {
			req.SetBasicAuth(name, password)
		}
		resp, err := client.Do(req)
		s.must(err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		s.must(err)
		if resp.StatusCode == http.StatusUnauthorized && !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("%s asks for %q", path, resp.Header.Get("WWW-Authenticate"))
		}
		return resp.StatusCode, string(body)
	}
	for _, c := range []struct {
		path, name, password string
		want                 int
	}{
		{"/health/live", "", "", http.StatusNoContent},
		{"/health/live", "bert", "wrong", http.StatusNoContent},
		{"/info", "", "", http.StatusOK},
		{"/metrics", "", "", http.StatusUnauthorized},
		{"/metrics", "bert", "wrong", http.StatusUnauthorized},
		{"/metrics", "bert", "password", http.StatusOK},
		{"/streams/order-1", "root", "password", http.StatusNotFound},
	} {
		if got, body := ask(c.path, c.name, c.password); got != c.want {
			t.Errorf("GET %s as %q: got %d %s, want %d", c.path, c.name, got, body, c.want)
		}
	}
	var info struct {
		ESVersion      string
		State          string
		Features       map[string]bool
		Authentication struct{ Type string }
	}
	_, body := ask("/info", "", "")
	s.must(json.Unmarshal([]byte(body), &info))
	if info.ESVersion != protocolVersion || info.State != "leader" || info.Authentication.Type != "internal" || len(info.Features) != 3 {
		t.Errorf("the node says it is %s", body)
	}

	// What the operations need: $ops or $admins.
	s.server.http.Handler.(*http.ServeMux).Handle("GET /test", s.server.authorized(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
	})))
	for user, want := range map[string]int{"root": http.StatusTeapot, "ops": http.StatusTeapot, "bert": http.StatusForbidden, "": http.StatusUnauthorized} {
		if got, body := ask("/test", user, "password"); got != want {
			t.Errorf("GET /test as %q: got %d %s, want %d", user, got, body, want)
		}
	}
	open := serve(t)
	open.server.http.Handler.(*http.ServeMux).Handle("GET /test", open.server.authorized(http.NotFoundHandler()))
	for path, want := range map[string]int{"/test": http.StatusNotFound, "/metrics": http.StatusOK, "/info": http.StatusOK} {
		resp, err := http.Get("http://" + open.server.Addr() + path)
		s.must(err)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("without users, GET %s: got %d, want %d", path, resp.StatusCode, want)
		}
	}
}

// TestTLS: what comes to a TLS port by other ways than HTTP/1.1 and gRPC choose.
func TestTLS(t *testing.T) {
	s := secure(t)
	deadline := time.Now().Add(30 * time.Second)

	resp, err := http.Get("http://" + s.server.Addr() + "/info")
	s.must(err)
	body, err := io.ReadAll(resp.Body)
	s.must(err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "TLS") {
		t.Errorf("in the clear: %d %s", resp.StatusCode, body)
	}

	// Without ALPN the first bytes tell.
	for first, want := range map[string]string{"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n": "HTTP/1.1 204", http2Preface + "* HTTP/2.0\r\n\r\nSM\r\n\r\n": "\x00\x00"} {
		conn, err := tls.Dial("tcp", s.server.Addr(), s.trust())
		s.must(err)
		defer conn.Close()
		s.must(conn.SetDeadline(deadline))
		_, err = conn.Write([]byte(first))
		s.must(err)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
			t.Errorf("%q was answered %q, %v", first, got, err)
		}
	}

	old := s.trust()
	old.MaxVersion = tls.VersionTLS11
	if conn, err := tls.Dial("tcp", s.server.Addr(), old); err == nil {
		conn.Close()
		t.Error("TLS 1.1 was taken")
	}
	other := s.trust()
	other.NextProtos = []string{"smtp"}
	if conn, err := tls.Dial("tcp", s.server.Addr(), other); err == nil {
		conn.Close()
		t.Error("a protocol that is not there was chosen")
	}
}

// TestServerNeedsSecurityBeyondThisMachine is the table of what must be there.
func TestServerNeedsSecurityBeyondThisMachine(t *testing.T) {
	n := openTest(t)
	cert, key := testCert(t)
	admin := testUser("root", "password", AdminGroup)
	off, none := admin, admin
	off.Disabled, none.Password = true, ""
	good := writeUsers(t, admin, testUser("anna", "password"))
	for _, c := range []struct {
		what string
		o    ServerOptions
		want string // in the error; "": it starts
	}{
		{"nothing", ServerOptions{}, "TLS"},
		{"TLS alone", ServerOptions{TLSCert: cert, TLSKey: key}, "users file"},
		{"users alone", ServerOptions{Users: good}, "TLS"},
		{"no admin", ServerOptions{TLSCert: cert, TLSKey: key, Users: writeUsers(t, testUser("anna", "password", OpsGroup))}, AdminGroup},
		{"a disabled admin", ServerOptions{TLSCert: cert, TLSKey: key, Users: writeUsers(t, off)}, AdminGroup},
		{"an admin without a password", ServerOptions{TLSCert: cert, TLSKey: key, Users: writeUsers(t, none)}, AdminGroup},
		{"a missing file", ServerOptions{TLSCert: cert, TLSKey: key, Users: good + "x"}, "users"},
		{"a certificate without its key", ServerOptions{TLSCert: cert, Users: good}, "key"},
		{"a key that is none", ServerOptions{TLSCert: cert, TLSKey: cert, Users: good}, cert},
		{"all", ServerOptions{TLSCert: cert, TLSKey: key, Users: good}, ""},
	} {
		for _, listen := range []string{"0.0.0.0:0", "[::]:0", ":0"} {
			c.o.Listen, c.o.Logger = listen, quiet
			err := startAndClose(t, n, c.o)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s on %s: got %v, want an error about %q", c.what, listen, err, c.want)
			}
		}
	}
	for what, o := range map[string]ServerOptions{
		"nothing": {}, "TLS": {TLSCert: cert, TLSKey: key}, "users": {Users: writeUsers(t)}, "both": {TLSCert: cert, TLSKey: key, Users: good},
	} {
		o.Logger = quiet
		if err := startAndClose(t, n, o); err != nil {
			t.Errorf("on this machine, with %s: %v", what, err)
		}
	}
}

func startAndClose(t *testing.T, n *Node, o ServerOptions) error {
	t.Helper()
	s := NewServer(n, o)
	err := s.Start()
	if cerr := s.Close(); cerr != nil {
		t.Error(cerr)
	}
	return err
}

// TestUsersOverPlainConnections: on this machine users work without TLS, for
// clients that send their passwords so.
func TestUsersOverPlainConnections(t *testing.T) {
	n := openTest(t)
	server := NewServer(n, ServerOptions{Users: writeUsers(t, testUser("bert", "password")), Logger: quiet})
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if want := "esdb://" + server.Addr() + "?tls=false"; server.URL() != want {
		t.Errorf("it is at %s, want %s", server.URL(), want)
	}
	raw := streams.NewStreamsClient(dial(t, server.Addr()))
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", basic("bert", "password"))
	read, err := raw.Read(ctx, readStream("order-1", count(1), fromStart))
	if err == nil {
		_, err = read.Recv()
	}
	if err != nil {
		t.Error(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+server.Addr()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	owner, err := url.Parse(server.OwnerURL())
	if err != nil {
		t.Fatal(err)
	}
	secret, _ := owner.User.Password()
	req.SetBasicAuth(owner.User.Username(), secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("the owner got %v, %v", resp, err)
	}
	if err == nil {
		resp.Body.Close()
	}
}

// TestEveryCallIsChecked: who says no name is refused by each call that touches
// a stream or a group, with the trailer that clients look for.
func TestEveryCallIsChecked(t *testing.T) {
	s := secure(t)
	ctx := s.waitFor()
	of := &streams.DeleteReq_Options{StreamIdentifier: identifier("order-1"), ExpectedStreamRevision: &streams.DeleteReq_Options_Any{Any: none}}
	buried := &streams.TombstoneReq_Options{StreamIdentifier: identifier("order-1"), ExpectedStreamRevision: &streams.TombstoneReq_Options_Any{Any: none}}
	groups := persistent.NewPersistentSubscriptionsClient(s.conn)
	for what, call := range map[string]func(trailer grpc.CallOption) error{
		"delete": func(trailer grpc.CallOption) error {
			_, err := s.raw.Delete(ctx, &streams.DeleteReq{Options: of}, trailer)
			return err
		},
		"tombstone": func(trailer grpc.CallOption) error {
			_, err := s.raw.Tombstone(ctx, &streams.TombstoneReq{Options: buried}, trailer)
			return err
		},
		"make a group": func(trailer grpc.CallOption) error {
			_, err := groups.Create(ctx, &persistent.CreateReq{}, trailer)
			return err
		},
		"change a group": func(trailer grpc.CallOption) error {
			_, err := groups.Update(ctx, &persistent.UpdateReq{}, trailer)
			return err
		},
		"delete a group": func(trailer grpc.CallOption) error {
			_, err := groups.Delete(ctx, &persistent.DeleteReq{}, trailer)
			return err
		},
		"look at a group": func(trailer grpc.CallOption) error {
			_, err := groups.GetInfo(ctx, &persistent.GetInfoReq{}, trailer)
			return err
		},
		"list groups": func(trailer grpc.CallOption) error {
			_, err := groups.List(ctx, &persistent.ListReq{}, trailer)
			return err
		},
		"replay": func(trailer grpc.CallOption) error {
			_, err := groups.ReplayParked(ctx, &persistent.ReplayParkedReq{}, trailer)
			return err
		},
		"restart": func(trailer grpc.CallOption) error {
			_, err := groups.RestartSubsystem(ctx, &shared.Empty{}, trailer)
			return err
		},
		"consume": func(trailer grpc.CallOption) error {
			c, err := groups.Read(ctx, trailer)
			s.must(err)
			s.must(c.Send(&persistent.ReadReq{Content: &persistent.ReadReq_Options_{Options: &persistent.ReadReq_Options{
				StreamOption: &persistent.ReadReq_Options_StreamIdentifier{StreamIdentifier: identifier("order-1")}, GroupName: "g"}}}))
			_, err = c.Recv()
			return err
		},
	} {
		var trailer metadata.MD
		s.wantRefusal(what, call(grpc.Trailer(&trailer)), trailer, codes.PermissionDenied, exceptionKey, exceptionAccessDenied)
	}
	for what, req := range map[string]*streams.ReadReq{
		"a stream": readStream("order-1", count(1), fromStart), "$all": readAll(count(1), fromStart),
		"a subscription": readStream("order-1", subscription, fromStart), "a subscription to $all": readAll(subscription, fromStart),
	} {
		_, trailer, err := s.receive(req)
		s.wantRefusal(what, err, trailer, codes.PermissionDenied, exceptionKey, exceptionAccessDenied)
	}
	_, trailer, err := s.append(appendOptions("order-1", expectAny), appendEvent())
	s.wantRefusal("append", err, trailer, codes.PermissionDenied, exceptionKey, exceptionAccessDenied)
	for _, resp := range s.exchange(batchRequest("order-1", 1, true)) {
		if resp.GetError().GetCode() != int32(codes.PermissionDenied) {
			t.Errorf("a batch was answered %v", resp)
		}
	}
	if s.node.Head().Commit != 0 {
		t.Error("something was written")
	}
}
