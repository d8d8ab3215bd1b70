package main

import (
	"crypto/rand"
	"encoding/base64"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/adapters/node"
	"kicau/domain/event"
)

// fillStore makes so many appends of 50 events to a stream of the event store in a data directory.
func fillStore(t *testing.T, data, stream string, appends int) {
	t.Helper()
	n, err := node.Open(node.Options{Dir: eventStoreDir(data)})
	if err != nil {
		t.Fatal(err)
	}
	for range appends {
		batch := make([]event.Proposed, 50)
		for i := range batch {
			b := make([]byte, 3000)
			if _, err := rand.Read(b); err != nil {
				t.Fatal(err)
			}
			batch[i] = event.Proposed{ID: uuid.New(), Type: "Filled", Data: []byte(`"` + base64.StdEncoding.EncodeToString(b) + `"`), Metadata: []byte("{}")}
		}
		if _, err := n.Log().Append(t.Context(), stream, command.Any, batch); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestBackupKilled kills backups and restores with SIGKILL at random moments:
// what then has the name that was asked for is whole, and running it again
// helps.
func TestBackupKilled(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	fillStore(t, data, "filled", 40)
	saved, restored := filepath.Join(dir, "saved"), filepath.Join(dir, "restored")
	// The restore comes second: it is of the backup that was made at last.
	for _, c := range []struct {
		name   string
		args   []string
		made   string
		verify []string
	}{
		{"backup", []string{"node", "backup", "--data", data, "--to", saved}, saved, []string{"node", "verify", "--backup", saved}},
		{"restore", []string{"node", "restore", "--data", restored, "--from", saved}, eventStoreDir(restored), []string{"node", "verify", "--data", restored}},
	} {
		span, died := 300*time.Millisecond, 0
		for range 6 {
			if err := os.RemoveAll(c.made); err != nil {
				t.Fatal(err)
			}
			cmd := kicau(c.args...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(mathrand.N(span)) // anywhere in a run
			_ = cmd.Process.Kill()
			if cmd.Wait() == nil {
				span = span * 2 / 3 // it had finished: runs are shorter than was thought
				continue
			}
			died++
			if _, err := os.Stat(c.made); err != nil {
				continue
			}
			if out, err := kicau(c.verify...).CombinedOutput(); err != nil {
				t.Fatalf("killed, the %s is there but %v\n%s", c.name, err, out)
			}
		}
		if died == 0 {
			t.Errorf("each %s had finished before it was killed", c.name)
		}
		if err := os.RemoveAll(c.made); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{c.args, c.verify} {
			if out, err := kicau(args...).CombinedOutput(); err != nil {
				t.Fatalf("after kills: kicau %v: %v\n%s", args, err, out)
			}
		}
	}
}
