package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/adapters/node"
	"kicau/domain/event"
)

// cli runs a command line in this process.
func cli(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// wantCLI runs a command line that must end so and print that, on stdout or, when
// it fails, on stderr.
func wantCLI(t *testing.T, code int, want string, args ...string) string {
	t.Helper()
	got, stdout, stderr := cli(t, args...)
	said := stdout
	if code != exitDone {
		said = stderr
	}
	if got != code || !strings.Contains(said, want) {
		t.Errorf("kicau %s: %d\n%s%s\nwant %d and %q", strings.Join(args, " "), got, stdout, stderr, code, want)
	}
	return stdout
}

// park makes a group of a stream park its first events, and returns a consumer
// of what comes next.
func park(t *testing.T, n *node.Node, g command.Group, reasons ...string) command.Consumer {
	t.Helper()
	if err := n.Groups().EnsureGroup(t.Context(), g, command.GroupSettings{}); err != nil {
		t.Fatal(err)
	}
	c, err := n.Groups().Consume(t.Context(), g, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, why := range reasons {
		d, err := c.Next(t.Context())
		if err == nil {
			err = c.Park(d, why)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for {
		i, err := n.Groups().GroupInfo(t.Context(), g)
		if err != nil {
			t.Fatal(err)
		}
		if i.Parked == len(reasons) {
			return c
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestParked: an operator lists, shows, replays and drops what was parked, of a
// node that is being served and of one that is not.
func TestParked(t *testing.T) {
	data := t.TempDir()
	n, err := node.Open(node.Options{Dir: eventStoreDir(data)})
	if err != nil {
		t.Fatal(err)
	}
	for _, stream := range []string{"orders", "invoices"} {
		var events []event.Proposed
		for range 5 {
			events = append(events, event.Proposed{ID: uuid.New(), Type: "Placed", Data: []byte(`{"of":"` + stream + `"}`), Metadata: []byte("{}")})
		}
		if _, err := n.Log().Append(t.Context(), stream, command.NoStream, events); err != nil {
			t.Fatal(err)
		}
	}
	server := node.NewServer(n, node.ServerOptions{})
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	url := "http://" + server.Addr()
	at := func(args ...string) []string { return append(args, "--node", url) }

	wantCLI(t, exitDone, "nothing is parked", at("parked")...)
	wantCLI(t, exitFailed, "no such group", at("parked", "--group", "ship")...)
	wantCLI(t, exitFailed, "nothing is parked", at("parked", "show", "0")...)
	orders := park(t, n, command.Group{Stream: "orders", Name: "ship"}, "the address is missing\nand the name", "weighs too much", "fell off")
	wantCLI(t, exitDone, "orders::ship      1  ", at("parked")...)
	listed := wantCLI(t, exitDone, "0@orders  Placed  ", at("parked", "list", "--group", "ship")...)
	if strings.Count(listed, "\n") != 3 || !strings.Contains(listed, "the address is missing · and the name") {
		t.Errorf("listed: %s", listed)
	}
	var lines []parkedLine
	for _, l := range strings.Split(strings.TrimSpace(wantCLI(t, exitDone, "", at("parked", "-o", "json")...)), "\n") {
		var p parkedLine
		if err := json.Unmarshal([]byte(l), &p); err != nil {
			t.Fatalf("%v: %s", err, l)
		}
		lines = append(lines, p)
	}
	if p := lines[1]; len(lines) != 3 || p.Number != 1 || p.Stream != "orders" || p.Group != "ship" || !strings.Contains(p.Reason, "weighs too much") || time.Since(p.At) > time.Minute ||
		p.Event == nil || p.Event.Revision != 1 || string(p.Event.Data) != `{"of":"orders"}` {
		t.Errorf("in JSON: %+v", lines)
	}
	wantCLI(t, exitDone, `data      {"of":"orders"}`, at("parked", "show", "2")...)
	wantCLI(t, exitFailed, "nothing parked with number 9", at("parked", "show", "9")...)

	wantCLI(t, exitUsage, "name numbers, or --all", at("parked", "replay")...)
	wantCLI(t, exitUsage, "name numbers, or --all", at("parked", "replay", "1", "--all")...)
	wantCLI(t, exitDone, "nothing was done; replayed: 3 of orders::ship", at("parked", "replay", "--all", "--dry-run")...)
	wantCLI(t, exitFailed, "nothing parked with number 9", at("parked", "replay", "1", "9")...)
	for next := range 2 { // what was never parked comes first
		if d, err := orders.Next(t.Context()); err != nil || d.Event.Revision != uint64(3+next) {
			t.Fatal(d, err)
		}
	}
	wantCLI(t, exitDone, `"numbers":[1],"dryRun":false`, at("parked", "replay", "1", "-o", "json")...)
	if d, err := orders.Next(t.Context()); err != nil || d.Event.Revision != 1 {
		t.Fatal(d, err)
	}
	wantCLI(t, exitDone, "nothing was done; dropped: 1 of orders::ship", at("parked", "drop", "2", "--dry-run")...)
	wantCLI(t, exitDone, "dropped: 1 of orders::ship", at("parked", "drop", "2")...)
	wantCLI(t, exitFailed, "nothing parked with number 2", at("parked", "show", "2")...)
	wantCLI(t, exitUsage, "", at("parked", "drop")...)

	// With two groups it must be said which is meant.
	park(t, n, command.Group{Name: "all of it"}, "no")
	wantCLI(t, exitDone, "$all::all of it      0  ", at("parked")...)
	wantCLI(t, exitUsage, "2 persistent subscriptions have parked something", at("parked", "drop", "0")...)
	wantCLI(t, exitDone, "dropped: 1 of $all::all of it", at("parked", "drop", "0", "--stream", "$all")...)

	// The same node as any EventStoreDB is seen: by its clients' protocol.
	as := func(args ...string) []string {
		return append(args, "--eventstore", "esdb://"+server.Addr()+"?tls=false")
	}
	wantCLI(t, exitUsage, "name the persistent subscription", as("parked")...)
	wantCLI(t, exitDone, "0@orders  Placed  ", as("parked", "--group", "ship", "--stream", "orders")...)
	wantCLI(t, exitDone, `data      {"of":"orders"}`, as("parked", "show", "0", "--group", "ship", "--stream", "orders")...)
	wantCLI(t, exitFailed, "no such group", as("parked", "--group", "ship")...) // of $all
	wantCLI(t, exitUsage, "this event store cannot do that: it replays everything", as("parked", "replay", "0", "--group", "ship", "--stream", "orders")...)
	wantCLI(t, exitUsage, "this event store cannot do that: it keeps what is parked", as("parked", "drop", "0", "--group", "ship", "--stream", "orders")...)
	wantCLI(t, exitUsage, "name one of them", as(at("parked")...)...)
	// Its clients still see what was dropped or is being replayed; it does not come again.
	wantCLI(t, exitDone, "replayed: 3 of orders::ship", as("parked", "replay", "--all", "--group", "ship", "--stream", "orders")...)
	if d, err := orders.Next(t.Context()); err != nil || d.Event.Revision != 0 {
		t.Fatal(d, err)
	}

	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	wantCLI(t, exitFailed, "ask the node", at("parked")...)

	// The same directory, served by nobody. What was being replayed is parked.
	wantCLI(t, exitDone, "weighs too much", "parked", "--data", data)
	wantCLI(t, exitFailed, "start kicau serve", "parked", "replay", "--all", "--data", data)
	wantCLI(t, exitDone, "dropped: 1", "parked", "drop", "0", "--data", data)
	wantCLI(t, exitFailed, "there is no event store", "parked", "--data", filepath.Join(data, "nowhere"))
}
