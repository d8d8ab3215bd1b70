package esdb

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"testing"
	"time"

	"kicau/adapters/command"
	"kicau/adapters/command/logtest"
	"kicau/adapters/node"
)

// TestContract runs the log's contract through the official client on a node
// over loopback, and on the server that KICAU_TEST_ESDB names, if it does.
func TestContract(t *testing.T) {
	t.Run("node", func(t *testing.T) {
		addr := startNode(t).Addr()
		logtest.Run(t, func(t *testing.T) command.Log { return openLog(t, Options{URL: plain(addr)}) })
	})
	t.Run("node, four connections", func(t *testing.T) {
		addr := startNode(t).Addr()
		logtest.Run(t, func(t *testing.T) command.Log { return openLog(t, Options{URL: plain(addr), Connections: 4}) })
	})
	if url := os.Getenv("KICAU_TEST_ESDB"); url != "" {
		t.Run("server", func(t *testing.T) {
			logtest.Run(t, func(t *testing.T) command.Log { return openLog(t, Options{URL: url}) })
		})
	}
}

// TestGroupsContract does the same for persistent subscriptions.
func TestGroupsContract(t *testing.T) {
	t.Run("node", func(t *testing.T) {
		logtest.RunGroups(t, func(t *testing.T) logtest.Grouped {
			dir := t.TempDir()
			n := openNode(t, dir)
			server := serve(t, n, "127.0.0.1:0")
			l := openLog(t, Options{URL: plain(server.Addr())})
			return logtest.Grouped{Log: l, Groups: l, Restart: func() (command.Log, command.Groups) {
				if err := errors.Join(server.Close(), n.Close()); err != nil {
					t.Fatal(err)
				}
				serve(t, openNode(t, dir), server.Addr())
				return l, l
			}}
		})
	})
	if url := os.Getenv("KICAU_TEST_ESDB"); url != "" {
		t.Run("server", func(t *testing.T) {
			logtest.RunGroups(t, func(t *testing.T) logtest.Grouped {
				l := openLog(t, Options{URL: url})
				return logtest.Grouped{Log: l, Groups: l}
			})
		})
	}
}

func plain(addr string) string { return "esdb://" + addr + "?tls=false" }

func openLog(t testing.TB, o Options) *Log {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// startNode serves a new node on any port.
func startNode(t testing.TB) *node.Server {
	t.Helper()
	return serve(t, openNode(t, t.TempDir()), "127.0.0.1:0")
}

func openNode(t testing.TB, dir string) *node.Node {
	t.Helper()
	n, err := node.Open(node.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func serve(t testing.TB, n *node.Node, listen string) *node.Server {
	t.Helper()
	s := node.NewServer(n, node.ServerOptions{Listen: listen, Logger: slog.New(slog.DiscardHandler)})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// waitFor bounds what a test waits for.
func waitFor(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}
