package vault_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/uuid"

	"kicau/adapters/vault"
	"kicau/domain/privacy"
)

var (
	person = uuid.MustParse("4be0643f-1d98-573b-97cd-ca98a65347dd")
	place  = privacy.Place("order-1", "contact")
	secret = []byte("Ibu Sari, Jalan Melati 3, Bandung")
)

func open(t *testing.T, dir string) *vault.Vault {
	t.Helper()
	v, err := vault.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func seal(t *testing.T, v *vault.Vault) privacy.Sealed {
	t.Helper()
	s, err := v.Seal(person, place, secret)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSealedDataOpensAgain(t *testing.T) {
	dir := t.TempDir()
	s := seal(t, open(t, dir))
	if bytes.Contains(s.Ciphertext, []byte("Sari")) {
		t.Fatal("the name is readable")
	}
	got, err := open(t, dir).Open(s, place) // another process
	if err != nil || !bytes.Equal(got, secret) {
		t.Fatalf("opened %q, %v", got, err)
	}
}

func TestSealedDataStaysInItsPlace(t *testing.T) {
	v := open(t, t.TempDir())
	s := seal(t, v)
	if _, err := v.Open(s, privacy.Place("order-2", "contact")); err == nil {
		t.Error("opened in another order")
	}
	s.Ciphertext[0] ^= 1
	if _, err := v.Open(s, place); err == nil {
		t.Error("opened after a change")
	}
}

func TestErasedIsErased(t *testing.T) {
	dir := t.TempDir()
	v := open(t, dir)
	s := seal(t, v)
	for range 2 {
		if err := v.Destroy(person); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := v.Open(s, place); !errors.Is(err, vault.ErrErased) {
		t.Errorf("Open: %v, want ErrErased", err)
	}
	if _, err := v.Seal(person, place, secret); !errors.Is(err, vault.ErrErased) {
		t.Errorf("Seal: %v, want ErrErased: a new key would undo the erasure", err)
	}
	files := 0
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Base(path) != "index.key" {
			if b, _ := os.ReadFile(path); len(b) > 0 {
				files++
			}
		}
		return nil
	})
	if files > 0 {
		t.Errorf("%d files still have content", files)
	}
}

func TestOneKeyForManyProcesses(t *testing.T) {
	dir := t.TempDir()
	sealed := make([]privacy.Sealed, 16)
	var wg sync.WaitGroup
	for i := range sealed {
		wg.Go(func() { sealed[i] = seal(t, open(t, dir)) })
	}
	wg.Wait()
	for i, s := range sealed {
		if _, err := open(t, dir).Open(s, place); err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
}

func TestPseudonymsNeedTheVault(t *testing.T) {
	dir := t.TempDir()
	a, _ := open(t, dir).Pseudonym("@sari")
	b, _ := open(t, dir).Pseudonym("@sari")
	c, _ := open(t, t.TempDir()).Pseudonym("@sari")
	if !bytes.Equal(a, b) || bytes.Equal(a, c) {
		t.Error("a pseudonym must be the same in one vault and another in another")
	}
}
