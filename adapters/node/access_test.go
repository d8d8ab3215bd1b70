package node

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func contextFor(t testing.TB, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

// guarded is a service with users, and a context for each of them.
type guarded struct {
	*service
	t  testing.TB
	as map[string]context.Context
}

func guard(t testing.TB) *guarded {
	path := writeUsers(t, testUser("root", "password", AdminGroup), testUser("ops", "password", OpsGroup),
		testUser("anna", "password", "sales"), testUser("bert", "password"))
	u, err := openUsers(path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	store := openMem(t, vfs.NewMem())
	t.Cleanup(func() { closeStore(t, store) })
	g := &guarded{service: &service{engine: store, users: u}, t: t, as: map[string]context.Context{"nobody": t.Context()}}
	for name, l := range u.roll.Load().by {
		g.as[name] = context.WithValue(t.Context(), callerKey{}, l)
	}
	return g
}

func (g *guarded) write(stream, typ, data string) {
	g.t.Helper()
	_, err := g.engine.append(g.t.Context(), stream, expectAny, []proposed{{ID: uuid.New(), Type: typ, ContentType: jsonContent, Data: []byte(data)}})
	if err != nil {
		g.t.Fatal(err)
	}
}

var operationNames = map[operation]string{
	opRead: "read", opWrite: "write", opDelete: "delete", opConsume: "consume",
	opManageGroups: "manage", opGroupInfo: "info", opAdmin: "admin",
}

// who returns the users that may do something, in order.
func (g *guarded) who(op operation, stream string) string {
	g.t.Helper()
	var may []string
	for _, name := range slices.Sorted(maps.Keys(g.as)) {
		err := g.allow(g.as[name], op, stream)
		switch {
		case err == nil:
			may = append(may, name)
		case status.Code(err) != codes.PermissionDenied || !refusedAs(err, exceptionAccessDenied):
			g.t.Errorf("%s %s of %s: got %v, want access-denied", name, operationNames[op], stream, err)
		case stream != "" && !strings.Contains(err.Error(), stream):
			g.t.Errorf("%q does not name %s", err, stream)
		}
	}
	return strings.Join(may, " ")
}

const (
	allUsers = "anna bert ops root"
	onlyRoot = "root"
)

// TestAccess is the table of what each user may do under each access list.
func TestAccess(t *testing.T) {
	type row struct{ read, write, del, metaRead, metaWrite string }
	everything := row{allUsers, allUsers, allUsers, allUsers, allUsers}
	closed := row{onlyRoot, onlyRoot, onlyRoot, onlyRoot, onlyRoot}
	for _, c := range []struct {
		what, stream, metadata, settings string
		want                             row
	}{
		{"a user stream", "order-1", "", "", everything},
		{"a system stream", "$stats", "", "", closed},
		{"$all", "$all", "", "", closed},
		{"an index stream", "$ce-order", "", "", closed},
		{"metadata without a list", "order-1", `{"$maxCount":3}`, "", everything},
		{"an empty list", "order-1", `{"$acl":{}}`, "", everything},
		{"a list of null", "order-1", `{"$acl":null}`, "", everything},
		{"metadata that is no JSON", "order-1", `nonsense`, "", everything},
		{"metadata that is no object", "order-1", `[{"$acl":{"$r":[]}}]`, "", everything},
		{"a list of a system stream without roles", "$stats", `{"$acl":{}}`, "", closed},
		{"a user and a group", "order-1", `{"$acl":{"$r":"anna","$w":["sales","bert"]}}`, "",
			row{"anna root", "anna bert root", allUsers, allUsers, allUsers}},
		{"every key", "order-1", `{"$acl":{"$r":"bert","$w":"anna","$d":["$ops"],"$mr":["anna","bert"],"$mw":"sales"}}`, "",
			row{"bert root", "anna root", "ops root", "anna bert root", "anna root"}},
		{"nobody", "order-1", `{"$acl":{"$r":[],"$w":"$admins"}}`, "", row{onlyRoot, onlyRoot, allUsers, allUsers, allUsers}},
		{"null says nothing", "order-1", `{"$acl":{"$r":null,"$w":"anna"}}`, "", row{allUsers, "anna root", allUsers, allUsers, allUsers}},
		{"$all as a role", "$stats", `{"$acl":{"$r":"$all"}}`, "", row{allUsers, onlyRoot, onlyRoot, onlyRoot, onlyRoot}},
		{"$all for a user", "$all", `{"$acl":{"$r":["anna"]}}`, "", row{"anna root", onlyRoot, onlyRoot, onlyRoot, onlyRoot}},
		{"a role of the wrong kind", "order-1", `{"$acl":{"$r":5,"$w":"anna"}}`, "", closed},
		{"a list of the wrong kind", "order-1", `{"$acl":["anna"]}`, "", closed},
		{"as user streams", "$stats", `{"$acl":"$userStreamAcl"}`, "", everything},
		{"as system streams", "order-1", `{"$acl":"$systemStreamAcl"}`, "", closed},
		{"as nothing", "order-1", `{"$acl":"$nonsense"}`, "", closed},

		{"settings of user streams", "order-1", "", `{"$userStreamAcl":{"$r":"sales","$d":"$admins"}}`,
			row{"anna root", allUsers, onlyRoot, allUsers, allUsers}},
		{"settings of user streams elsewhere", "$stats", "", `{"$userStreamAcl":{"$r":"sales"}}`, closed},
		{"settings of system streams", "$ce-order", "", `{"$systemStreamAcl":{"$r":["sales","bert"]}}`,
			row{"anna bert root", onlyRoot, onlyRoot, onlyRoot, onlyRoot}},
		{"a list before the settings", "order-1", `{"$acl":{"$r":"bert"}}`, `{"$userStreamAcl":{"$r":"anna","$w":"anna"}}`,
			row{"bert root", "anna root", allUsers, allUsers, allUsers}},
		{"as system streams, with settings", "order-1", `{"$acl":"$systemStreamAcl"}`, `{"$systemStreamAcl":{"$r":"anna"}}`,
			row{"anna root", onlyRoot, onlyRoot, onlyRoot, onlyRoot}},
		{"broken settings", "order-1", "", `nonsense`, everything},
		{"settings of the wrong kind", "order-1", "", `{"$userStreamAcl":7}`, closed},
	} {
		t.Run(strings.ReplaceAll(c.what, " ", "-"), func(t *testing.T) {
			g := guard(t)
			if c.metadata != "" {
				g.write(metastreamOf(c.stream), "$metadata", `{"$acl":{"$r":"ops"}}`)
				g.write(metastreamOf(c.stream), "$metadata", c.metadata)
			}
			if c.settings != "" {
				g.write(settingsStream, "$settings", c.settings)
			}
			got := row{g.who(opRead, c.stream), g.who(opWrite, c.stream), g.who(opDelete, c.stream),
				g.who(opRead, metastreamOf(c.stream)), g.who(opWrite, metastreamOf(c.stream))}
			if got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
			if consume := g.who(opConsume, c.stream); consume != c.want.read {
				t.Errorf("%s may consume, %s may read", consume, c.want.read)
			}
			for op, want := range map[operation]string{opManageGroups: "ops root", opAdmin: "ops root", opGroupInfo: allUsers} {
				if got := g.who(op, c.stream); got != want {
					t.Errorf("%s may %s, want %s", got, operationNames[op], want)
				}
			}
			if got := g.who(opDelete, metastreamOf(c.stream)); got != onlyRoot {
				t.Errorf("%s may delete a metastream", got)
			}
		})
	}
}

func TestAccessWithoutUsers(t *testing.T) {
	s := &service{} // an engine would be asked in vain
	for op := range operationNames {
		if err := s.allow(t.Context(), op, "$all"); err != nil {
			t.Error(err)
		}
	}
	if n := testing.AllocsPerRun(100, func() { _ = s.allow(context.Background(), opWrite, "order-1") }); n != 0 {
		t.Errorf("it costs %v allocations", n)
	}
}

// TestAccessChanges: a list holds as soon as the append of it is answered, and
// what was remembered before is not used.
func TestAccessChanges(t *testing.T) {
	g := guard(t)
	for i := range 20 {
		for _, c := range []struct{ stream, typ, data, want string }{
			{"$$order-1", "$metadata", `{"$acl":{"$r":"anna"}}`, "anna root"},
			{"$$order-1", "$metadata", `{}`, allUsers},
			{"$settings", "$settings", `{"$userStreamAcl":{"$r":"bert"}}`, "bert root"},
			{"$settings", "$settings", `{}`, allUsers},
		} {
			if g.write(c.stream, c.typ, c.data); g.who(opRead, "order-1") != c.want {
				t.Fatalf("%d: after %s in %s %s may read, want %s", i, c.data, c.stream, g.who(opRead, "order-1"), c.want)
			}
		}
		g.write("order-1", "E", "{}")
	}
	if g.lists.streams.young == nil || g.lists.settings == nil {
		t.Error("nothing was remembered")
	}
	since := g.lists.since
	if g.write("order-1", "E", "{}"); g.engine.accessLists() != since {
		t.Error("an ordinary append made the access lists be read again")
	}
}

// BenchmarkAllow is what access costs each call of a user who is no admin: to a
// stream asked for before, and to one that was not.
func BenchmarkAllow(b *testing.B) {
	for what, streams := range map[string]int{"known": 1, "new": 1 << 30} {
		b.Run(what, func(b *testing.B) {
			g := guard(b)
			for i := range 1000 {
				g.write(fmt.Sprint("order-", i), "E", "{}")
			}
			g.write(settingsStream, "$settings", `{"$userStreamAcl":{"$w":"sales"}}`)
			for i := 0; b.Loop(); i++ {
				if err := g.allow(g.as["anna"], opWrite, fmt.Sprint("order-", i%streams)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
