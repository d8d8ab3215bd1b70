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
	EventStoreListen string `name:"eventstore-listen" default:"127.0.0.1:2113" help:"Address of the event store for EventStoreDB clients; loopback only." env:"KICAU_EVENTSTORE_LISTEN"`
	SandboxListen    string `default:"127.0.0.1:0" help:"Address of the payment sandbox." env:"KICAU_SANDBOX_LISTEN"`
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
	n := need{engine: true, web: c.Listen, eventStore: c.EventStoreListen, sandbox: c.SandboxListen}
	if g.EventStore != "" {
		n.eventStore = ""
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
	if d.engine.store != nil {
		s.EventStore = "esdb://" + d.engine.store.Addr() + "?tls=false"
	}
	if d.engine.sandbox != nil {
		s.Sandbox = d.engine.sandbox.URL()
	}
	if err := leaveWord(g.Data, s); err != nil {
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
func leaveWord(dir string, s serving) error {
	b, err := json.Marshal(runningFile{PID: os.Getpid(), Web: s.Web, EventStore: s.EventStore, Sandbox: s.Sandbox})
	if err != nil {
		return err
	}
	tmp := runningPath(dir) + ".new"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return fmt.Errorf("leave word for other commands: %w", err)
	}
	return os.Rename(tmp, runningPath(dir))
}
