package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

type serveCmd struct {
	Listen           string `default:"127.0.0.1:8080" help:"Address of pages, API and webhooks; loopback only." env:"KICAU_LISTEN"`
	EventStoreListen string `name:"eventstore-listen" default:"127.0.0.1:2113" help:"Address of the event store for EventStoreDB clients. Beyond this machine only with TLS and with users, one of $admins among them." env:"KICAU_EVENTSTORE_LISTEN"`
	SandboxListen    string `default:"127.0.0.1:0" help:"Address of the payment sandbox." env:"KICAU_SANDBOX_LISTEN"`

	Store storeFlags `embed:"" prefix:"eventstore-" envprefix:"KICAU_EVENTSTORE_"`
}

func (serveCmd) Help() string {
	return `Example:
  kicau serve --data ./kicau-data
Then open the address it prints. Stop it with Ctrl-C: what is under way is finished first.`
}

func (c *serveCmd) Run(ctx context.Context, g *Global) error {
	d, err := g.serveDesk(ctx, c)
	if err != nil {
		return err
	}
	return errors.Join(d.serve(ctx, g), d.close())
}

func (g *Global) serveDesk(ctx context.Context, c *serveCmd) (*desk, error) {
	n := need{engine: true, web: c.Listen, eventStore: c.EventStoreListen, store: c.Store, sandbox: c.SandboxListen}
	if g.EventStore != "" {
		n.eventStore = ""
	}
	if c.Store.Users != "" && c.Store.TLSCert == "" {
		return nil, usageError{errors.New("--eventstore-users needs --eventstore-tls-cert and --eventstore-tls-key: other commands reach the event store through EventStoreDB's client, which sends passwords over TLS only")}
	}
	return g.open(ctx, n)
}

// serving is what `serve` prints when it is up.
type serving struct {
	Web        string `json:"web"`
	EventStore string `json:"eventstore"`
	Sandbox    string `json:"sandbox,omitempty"`
	Data       string `json:"data"`
}

// serve says where, and stays until it is told to stop or cannot go on.
func (d *desk) serve(ctx context.Context, g *Global) error {
	s := serving{Web: d.engine.web.URL(), EventStore: g.EventStore, Data: g.Data}
	if d.engine.sandbox != nil {
		s.Sandbox = d.engine.sandbox.URL()
	}
	word := runningFile{Web: s.Web, EventStore: s.EventStore, Sandbox: s.Sandbox, Saga: d.engine.group.Name}
	if d.engine.store != nil {
		s.EventStore, word.EventStore = d.engine.store.URL(), d.engine.store.OwnerURL()
	}
	if err := leaveWord(g.Data, word); err != nil {
		return err
	}
	defer os.Remove(runningPath(g.Data))
	text := "serving %[1]s\n  timeline and API   %[2]s\n  event store        %[3]s"
	if s.Sandbox != "" {
		text += "\n  payment sandbox    %[4]s (no money moves)"
	}
	if err := g.say(s, text+"\nStop with Ctrl-C.", s.Data, s.Web, s.EventStore, s.Sandbox); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-d.engine.failed:
		return err
	}
}

// leaveWord tells other commands how to reach this process.
func leaveWord(dir string, r runningFile) error {
	r.PID = os.Getpid()
	return leaveFile(runningPath(dir), r)
}

// leaveFile puts word for others in a file, whole or not at all.
func leaveFile(path string, word any) error {
	b, err := json.Marshal(word)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return fmt.Errorf("leave word for others: %w", err)
	}
	return os.Rename(path+".new", path)
}
