package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"kicau/adapters/node"
)

// nodeCmd is the event store alone, and what belongs to it.
type nodeCmd struct {
	Serve nodeServeCmd `cmd:"" default:"withargs" help:"Run the event store alone, for EventStoreDB clients. (The word serve can be left out.)"`
	User  nodeUserCmd  `cmd:"" help:"Who may use an event store."`
	nodeOps
}

// storeFlags say how an event store is served.
type storeFlags struct {
	Users     string `type:"path" placeholder:"FILE" help:"Users file of the event store; see kicau node user. Without one everybody who reaches it may do everything." env:"USERS"`
	TLSCert   string `name:"tls-cert" type:"path" placeholder:"FILE" help:"Certificate of the event store in PEM, with those that lead to its authority." env:"TLS_CERT"`
	TLSKey    string `name:"tls-key" type:"path" placeholder:"FILE" help:"Key of the certificate in PEM." env:"TLS_KEY"`
	Advertise string `placeholder:"HOST:PORT" help:"Where clients that discover a cluster (esdb+discover://) are told to connect; by default where they came to." env:"ADVERTISE"`
}

func (f storeFlags) options(listen string, logger *slog.Logger) node.ServerOptions {
	return node.ServerOptions{Listen: listen, Advertise: f.Advertise, Users: f.Users, TLSCert: f.TLSCert, TLSKey: f.TLSKey, Logger: logger}
}

// security says in a sentence who can do what.
func (f storeFlags) security() string {
	switch {
	case f.Users == "" && f.TLSCert != "":
		return "TLS, but no users: everybody on this machine may do everything"
	case f.Users == "":
		return "none: everybody on this machine may do everything"
	case f.TLSCert == "":
		return "users of " + f.Users + "; in the clear, so official clients, which send passwords over TLS only, cannot log in"
	default:
		return "TLS, users of " + f.Users
	}
}

type nodeServeCmd struct {
	Listen   string `default:"127.0.0.1:2113" help:"Address to listen on. Beyond this machine only with TLS and with users, one of $admins among them." env:"KICAU_NODE_LISTEN"`
	Insecure bool   `help:"Say that neither users nor TLS are wanted, on this machine only. It is so without this word, too." env:"KICAU_NODE_INSECURE"`

	storeFlags `embed:"" envprefix:"KICAU_NODE_"`
}

func (nodeServeCmd) Help() string {
	return `It serves EventStoreDB's gRPC protocol, and over HTTP on the same port /health/live, /info
and /metrics (Prometheus; with users, for any of them). The events are in DIR/events of
--data, where kicau serve finds them, too.

Examples:
  kicau node --data ./kicau-data
  kicau node user add admin --group '$admins' --users users.json
  kicau node --listen 0.0.0.0:2113 --users users.json --tls-cert node.crt --tls-key node.key
Stop it with Ctrl-C or SIGTERM: what is under way is finished first.`
}

// servingNode is what `kicau node` prints when it is up.
type servingNode struct {
	EventStore string `json:"eventstore"`
	Address    string `json:"address"`
	Data       string `json:"data"`
	Log        string `json:"log"`
	Events     uint64 `json:"events"`
	TLS        bool   `json:"tls"`
	Users      string `json:"users,omitempty"`
	Security   string `json:"security"`
}

func (c *nodeServeCmd) Run(ctx context.Context, g *Global) (err error) {
	if g.EventStore != "" {
		return usageError{errors.New("a node is an event store of its own: leave --eventstore out")}
	}
	if c.Insecure && (c.Users != "" || c.TLSCert != "" || c.TLSKey != "") {
		return usageError{errors.New("--insecure means neither users nor TLS: leave it out, or --users, --tls-cert and --tls-key")}
	}
	if err := os.MkdirAll(g.Data, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	d := &desk{}
	defer func() { err = errors.Join(err, d.close()) }()
	served, err := d.enter(ctx, g.Data)
	if err != nil {
		return err
	}
	if served != nil {
		return served.refuse(g.Data)
	}
	logger := g.serverLogger()
	n, err := node.Open(node.Options{Dir: filepath.Join(g.Data, "events"), Logger: logger})
	if err != nil {
		return err
	}
	d.onClose(n.Close)
	server := node.NewServer(n, c.options(c.Listen, logger))
	if err := server.Start(); err != nil {
		return err
	}
	d.onClose(server.Close)
	if err := leaveWord(g.Data, runningFile{EventStore: server.OwnerURL()}); err != nil {
		return err
	}
	defer os.Remove(runningPath(g.Data))
	s := servingNode{EventStore: server.URL(), Address: server.Addr(), Data: g.Data, Log: n.ID().String(), Events: n.Head().Commit,
		TLS: c.TLSCert != "", Users: c.Users, Security: c.security()}
	err = g.say(s, "serving the event store of %s\n  clients     %s\n  log         %s, %d events\n  security    %s\nStop with Ctrl-C.",
		s.Data, s.EventStore, s.Log, s.Events, s.Security)
	if err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// serverLogger is for what runs until it is stopped: it tells of what an
// operator may want to know later, too.
func (g *Global) serverLogger() *slog.Logger {
	o := &slog.HandlerOptions{Level: slog.LevelInfo}
	if g.Verbose {
		o.Level = slog.LevelDebug
	}
	if g.json() {
		return slog.New(slog.NewJSONHandler(g.stderr, o))
	}
	return slog.New(slog.NewTextHandler(g.stderr, o))
}
