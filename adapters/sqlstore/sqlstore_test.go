package sqlstore

import (
	"path/filepath"
	"testing"

	"kicau/adapters/sqlstore/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Open {
		path := filepath.Join(t.TempDir(), "read models.db")
		return func(t *testing.T) storetest.Store { return open(t, path) }
	})
}

func open(t testing.TB, path string) *DB {
	t.Helper()
	d, err := Open(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}
