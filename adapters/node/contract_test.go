package node

import (
	"testing"

	"kicau/adapters/command"
	"kicau/adapters/command/logtest"
)

// TestContract: in process, the node is a command.Log.
func TestContract(t *testing.T) {
	logtest.Run(t, func(t *testing.T) command.Log { return openTest(t).Log() })
}

// openTest opens a node in a directory of its own.
func openTest(t testing.TB) *Node {
	t.Helper()
	n, err := Open(Options{Dir: t.TempDir()})
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
