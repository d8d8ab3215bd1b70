//go:build nodejs

package node_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// npmPatience bounds what may take long on a slow network: fetching the clients.
const npmPatience = 4 * time.Minute

// TestNodeClients runs the programs in testdata/nodejs, written with the official
// clients for Node.js, each against a node of its own.
func TestNodeClients(t *testing.T) {
	dir := t.TempDir()
	var programs []string
	for _, pattern := range []string{"*.json", "*.mjs"} {
		files, err := filepath.Glob(filepath.Join("testdata", "nodejs", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Base(file)
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
			if match, _ := filepath.Match("*.test.mjs", name); match {
				programs = append(programs, name)
			}
		}
	}
	if len(programs) == 0 {
		t.Fatal("testdata/nodejs has no programs")
	}
	run := func(t *testing.T, env string, name string, args ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), npmPatience)
		defer cancel()
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), env)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, out)
		}
	}
	run(t, "CI=true", "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	for _, program := range programs {
		t.Run(program, func(t *testing.T) {
			run(t, "ESDB="+serve(t), "node", "--test", program)
		})
	}
}
