package node

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kicau/adapters/command"
)

// administered is a node that is served, and its operator.
func administered(t *testing.T) (*Node, *Server, *Admin) {
	t.Helper()
	n := openNode(t, Options{Dir: filepath.Join(t.TempDir(), "events")})
	s := NewServer(n, ServerOptions{Logger: quiet})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	a, err := NewAdmin("esdb://"+s.Addr()+"?tls=false", "", "")
	if err != nil {
		t.Fatal(err)
	}
	return n, s, a
}

func write(t *testing.T, n *Node, stream string, events int) {
	t.Helper()
	if _, err := n.engine.append(t.Context(), stream, expectAny, someEvents(events)); err != nil {
		t.Fatal(err)
	}
}

// TestAdminBackup: a backup of a node that is served, asked for over HTTP.
func TestAdminBackup(t *testing.T) {
	n, _, a := administered(t)
	write(t, n, "a", 500)
	dir := filepath.Join(t.TempDir(), "copy")
	var done, total uint64
	m, err := a.BackUpTo(t.Context(), dir, func(_ Unit, d, of uint64) { done, total = d, of })
	if err != nil {
		t.Fatal(err)
	}
	if m.Log != n.ID() || m.Events != 500 {
		t.Errorf("manifest: %+v", m)
	}
	if done == 0 || done != total {
		t.Errorf("progress ended at %d of %d bytes", done, total)
	}
	if v, err := VerifyBackup(t.Context(), Options{Dir: dir, Logger: quiet}, nil); err != nil || v.Events != 500 {
		t.Errorf("verified: %+v, %v", v, err)
	}
	if _, err := a.BackUpTo(t.Context(), filepath.Join(dir, "checkpoint"), nil); err == nil {
		t.Error("a backup went into a file")
	}
}

// TestAdminBackupCutOff: when the node stops in the middle of a backup, who
// receives it is told, and what came is no backup.
func TestAdminBackupCutOff(t *testing.T) {
	n, s, a := administered(t)
	for range 24 { // more than connections buffer
		e := someEvents(1)
		e[0].Data = make([]byte, command.MaxAppendBytes-100)
		if _, err := rand.Read(e[0].Data); err != nil { // it is compressed
			t.Fatal(err)
		}
		if _, err := n.engine.append(t.Context(), "a", expectAny, e); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := a.ask(t.Context(), http.MethodGet, "/admin/backup", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	<-s.calls.stopping.Done()
	dir := filepath.Join(t.TempDir(), "copy")
	if _, err := ReceiveBackup(t.Context(), resp.Body, dir, nil); !errors.Is(err, ErrBadBackup) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("received: %v", err)
	}
	if _, err := OpenBackup(Options{Dir: dir, Logger: quiet}); !errors.Is(err, ErrBadBackup) {
		t.Errorf("opened: %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(n.store.Dir, backupLeading+"*")); err != nil || len(left) > 0 {
		t.Errorf("the server was closed before the backup had tidied up: %v, %v", left, err)
	}
}

// TestAdminVerify: progress, the outcome, and damage.
func TestAdminVerify(t *testing.T) {
	n, _, a := administered(t)
	write(t, n, "a", 10)
	v, err := a.Verify(t.Context(), nil)
	if want := (Verified{Log: n.ID(), Events: 10, Root: v.Root}); err != nil || v != want || len(v.Root) != 64 {
		t.Errorf("%+v, %v", v, err)
	}
	if err := n.store.db.Set(appendRootKey(nil, 10), make([]byte, rootLen), nil); err != nil {
		t.Fatal(err)
	}
	_, err = a.Verify(t.Context(), nil)
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "position 10") {
		t.Errorf("a damaged log: %v", err)
	}
}

// TestAdminScavenge: first what it would do, then that.
func TestAdminScavenge(t *testing.T) {
	n, _, a := administered(t)
	write(t, n, "a", 10)
	describe(t, n.store, "a", `{"$maxCount":4}`)
	for _, dry := range []bool{true, false} {
		told := ScavengeReport{}
		r, err := a.Scavenge(t.Context(), ScavengeOptions{DryRun: dry, Progress: func(p ScavengeReport) { told = p }})
		if err != nil || r.Streams != 1 || r.Events != 6 || r.Bytes == 0 || r.DryRun != dry || told != r {
			t.Errorf("%+v, told %+v, %v", r, told, err)
		}
	}
	if r, err := a.Scavenge(t.Context(), ScavengeOptions{}); err != nil || r != (ScavengeReport{}) {
		t.Errorf("again: %+v, %v", r, err)
	}
	n.scavenging.Store(true)
	if _, err := a.Scavenge(t.Context(), ScavengeOptions{}); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "under way") {
		t.Errorf("two at once: %v", err)
	}
}

// TestAdminOneAtATime: while one long thing is under way another is refused.
func TestAdminOneAtATime(t *testing.T) {
	_, s, a := administered(t)
	s.admin.long.Lock()
	if _, err := a.Verify(t.Context(), nil); !errors.Is(err, ErrBusy) {
		t.Errorf("verify: %v", err)
	}
	if _, err := a.BackUpTo(t.Context(), filepath.Join(t.TempDir(), "copy"), nil); !errors.Is(err, ErrBusy) {
		t.Errorf("backup: %v", err)
	}
	s.admin.long.Unlock()
	if _, err := a.Verify(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

// TestAdminParked: an operator sees what a group gave up, gives one back and
// drops another.
func TestAdminParked(t *testing.T) {
	n, _, a := administered(t)
	write(t, n, "orders", 4)
	g := command.Group{Stream: "orders", Name: "ship"}
	if err := n.Groups().EnsureGroup(t.Context(), g, command.GroupSettings{}); err != nil {
		t.Fatal(err)
	}
	c, err := n.Groups().Consume(t.Context(), g, 10)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		d, err := c.Next(t.Context())
		if err == nil {
			err = c.Park(d, "the address is missing")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	numbers := func() (all []uint64) {
		for p, err := range a.Parked(t.Context(), g) {
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(p.Reason, "the address is missing") || p.At.IsZero() || p.Event.Stream != "orders" || string(p.Event.Data) != `{"n":1}` {
				t.Errorf("parked: %+v", p)
			}
			all = append(all, p.Number)
		}
		return all
	}
	waitParked(t, a, g, 3)
	if got := numbers(); !slices.Equal(got, []uint64{0, 1, 2}) {
		t.Fatalf("parked: %v", got)
	}
	if err := a.DropParked(t.Context(), g, 1); err != nil {
		t.Fatal(err)
	}
	if got := numbers(); !slices.Equal(got, []uint64{0, 2}) {
		t.Fatalf("after a drop: %v", got)
	}
	for p := range a.Parked(t.Context(), g) {
		if p.Number != 0 {
			t.Error("a reader that had enough was given more")
		}
		break
	}
	if d, err := c.Next(t.Context()); err != nil || d.Event.Revision != 3 { // what was not parked
		t.Fatal(d, err)
	}
	if err := a.ReplayParked(t.Context(), g, 2); err != nil {
		t.Fatal(err)
	}
	d, err := c.Next(t.Context())
	if err != nil || d.Event.Revision != 2 {
		t.Fatalf("replayed: %+v, %v", d, err)
	}
	if err := a.ReplayParked(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	if d, err := c.Next(t.Context()); err != nil || d.Event.Revision != 0 {
		t.Fatalf("all the rest: %+v, %v", d, err)
	}
	for what, err := range map[string]error{
		"drop nothing":          a.DropParked(t.Context(), g),
		"drop what is not":      a.DropParked(t.Context(), g, 77),
		"replay what is not":    a.ReplayParked(t.Context(), g, 77),
		"without a group":       a.ReplayParked(t.Context(), command.Group{Stream: "orders"}),
		"drop of another group": a.DropParked(t.Context(), command.Group{Stream: "orders", Name: "none"}, 1),
	} {
		if err == nil {
			t.Errorf("%s: it was done", what)
		}
	}
	if err := a.ReplayParked(t.Context(), command.Group{Name: "none"}); !errors.Is(err, command.ErrNoGroup) {
		t.Errorf("no such group: %v", err)
	}
}

// waitParked waits until a group has parked so many: parking is not answered.
func waitParked(t *testing.T, a *Admin, g command.Group, want int) {
	t.Helper()
	for {
		all, err := a.GroupList(t.Context())
		if err != nil || len(all) != 1 || all[0].Group != g || all[0].Consumers != 1 {
			t.Fatalf("groups: %+v, %v", all, err)
		}
		if all[0].Parked == want {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestAdminRefuses what a page of somebody else makes a browser send, and what
// cannot be understood.
func TestAdminRefuses(t *testing.T) {
	_, s, _ := administered(t)
	for name, c := range map[string]struct {
		method, path, body, host string
		header                   [2]string
		want                     int
	}{
		"another origin":           {"POST", "/admin/verify", "", "", [2]string{"Origin", "https://evil.example"}, 403},
		"another site":             {"POST", "/admin/verify", "", "", [2]string{"Sec-Fetch-Site", "cross-site"}, 403},
		"reading from another one": {"GET", "/admin/backup", "", "", [2]string{"Sec-Fetch-Site", "cross-site"}, 403},
		"another name":             {"GET", "/admin/groups", "", "evil.example", [2]string{}, 403},
		"our name":                 {"GET", "/admin/groups", "", "localhost:2113", [2]string{}, 200},
		"another method":           {"GET", "/admin/verify", "", "", [2]string{}, 405},
		"no such thing":            {"GET", "/admin/users", "", "", [2]string{}, 404},
		"no group":                 {"GET", "/admin/parked", "", "", [2]string{}, 400},
		"a group that is not":      {"GET", "/admin/parked?group=x", "", "", [2]string{}, 404},
		"no JSON":                  {"POST", "/admin/parked/drop", "1", "", [2]string{}, 400},
		"neither all nor some":     {"POST", "/admin/parked/replay", `{"group":"x"}`, "", [2]string{}, 400},
		"both all and some":        {"POST", "/admin/parked/replay", `{"group":"x","all":true,"numbers":[1]}`, "", [2]string{}, 400},
		"drop all":                 {"POST", "/admin/parked/drop", `{"group":"x","all":true}`, "", [2]string{}, 400},
		"an unknown field":         {"POST", "/admin/parked/drop", `{"group":"x","number":1}`, "", [2]string{}, 400},
		"two objects":              {"POST", "/admin/parked/drop", `{"group":"x","numbers":[1]}{}`, "", [2]string{}, 400},
		"too much":                 {"POST", "/admin/parked/drop", `{"group":"` + strings.Repeat("x", maxAdminBody) + `"}`, "", [2]string{}, 400},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+s.Addr()+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = c.host
		if c.header[0] != "" {
			req.Header.Set(c.header[0], c.header[1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		said, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != c.want {
			t.Errorf("%s: %s %s", name, resp.Status, said)
		}
	}
}

// TestAdminAddress: what a node's address may be.
func TestAdminAddress(t *testing.T) {
	for address, want := range map[string]string{
		"http://127.0.0.1:2113":                  "http://127.0.0.1:2113",
		"https://node.example/":                  "https://node.example",
		"esdb://127.0.0.1:2113?tls=false":        "http://127.0.0.1:2113",
		"esdb://ops:secret@localhost?TLS=False":  "http://localhost:2113",
		"esdb://ops:secret@node.example:2113":    "https://node.example:2113",
		"kurrentdb://[::1]:2114/?tls=false":      "http://[::1]:2114",
		"esdb://ops:secret@h.example?tls=false":  "",
		"http://ops:secret@h.example":            "",
		"esdb://a:1,b:2":                         "",
		"esdb+discover://a:1":                    "",
		"127.0.0.1:2113":                         "",
		"":                                       "",
		"esdb://a:1?tlsCaFile=/there/is/no/such": "",
	} {
		a, err := NewAdmin(address, "", "")
		switch {
		case err == nil && a.String() != want:
			t.Errorf("%q is at %s, want %q", address, a, want)
		case err != nil && want != "":
			t.Errorf("%q: %v", address, err)
		case err != nil && strings.Contains(err.Error(), "secret"):
			t.Errorf("%q: the error tells the password: %v", address, err)
		}
	}
}

// TestAdminEnds when its caller does.
func TestAdminEnds(t *testing.T) {
	_, _, a := administered(t)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := a.Verify(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
