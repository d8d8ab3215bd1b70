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

// TestGroupsContract: in process, its persistent subscriptions are
// command.Groups.
func TestGroupsContract(t *testing.T) {
	logtest.RunGroups(t, func(t *testing.T) logtest.Grouped {
		dir := t.TempDir()
		n := openIn(t, dir)
		return logtest.Grouped{Log: n.Log(), Groups: n.Groups(), ByNumber: true, Restart: func() (command.Log, command.Groups) {
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
			n := openIn(t, dir)
			return n.Log(), n.Groups()
		}}
	})
}

// openTest opens a node in a directory of its own.
func openTest(t testing.TB) *Node {
	t.Helper()
	return openIn(t, t.TempDir())
}

func openIn(t testing.TB, dir string) *Node {
	t.Helper()
	n, err := Open(Options{Dir: dir})
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
