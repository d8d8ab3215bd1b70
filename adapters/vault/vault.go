// Package vault keeps the keys of personal data in files of its own, outside
// the log: a key a person. What is sealed under a key can be read as long as
// the key exists and by nobody afterwards, wherever copies of the log are.
//
// On trust: without this folder every name and address in the log is lost, and
// nothing else is; whoever reads it can read them all. Do not keep it in the
// same backups as the log, and do not keep backups of it for long: a restored
// key undoes an erasure.
//
// Many processes may use one folder. A key file is made in full and synced
// before it gets its name, so a crash leaves a key or none.
package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"kicau/domain/privacy"
	"kicau/domain/refusal"
)

// ErrErased: the person's key was destroyed.
var ErrErased = &refusal.Refusal{Kind: refusal.Rule, Code: "person-erased", Subject: "the person",
	Reason: "has been erased: the key is destroyed, and no new one is made"}

const keySize = 32 // bytes, AES-256

// Vault is an open folder of keys.
type Vault struct {
	dir   string
	index []byte // secret of pseudonyms
}

// Open the vault in dir, making it if it is not there.
func Open(dir string) (*Vault, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the vault: %w", err)
	}
	v := &Vault{dir: dir}
	index, err := v.key("index.key", true)
	if err != nil {
		return nil, fmt.Errorf("open the vault in %s: %w", dir, err)
	}
	v.index = index
	return v, nil
}

// Pseudonym is a keyed hash (HMAC-SHA-256) of what identifies a person: always
// the same in this vault, and a guess cannot be checked without it.
func (v *Vault) Pseudonym(identity string) ([]byte, error) {
	h := hmac.New(sha256.New, v.index)
	h.Write([]byte(identity))
	return h.Sum(nil), nil
}

// Seal plain under the subject's key, which is made the first time, for a place
// (privacy.Place). An erased subject is refused with ErrErased.
func (v *Vault) Seal(subject uuid.UUID, place string, plain []byte) (privacy.Sealed, error) {
	if v.erased(subject) {
		return privacy.Sealed{}, fmt.Errorf("seal data of %s: %w", subject, ErrErased)
	}
	aead, err := v.cipher(subject, true)
	if err != nil {
		return privacy.Sealed{}, fmt.Errorf("seal data of %s: %w", subject, err)
	}
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce)
	return privacy.Sealed{
		Subject: subject, Key: keyID(subject), Algorithm: privacy.Algorithm, Nonce: nonce,
		Ciphertext: aead.Seal(nil, nonce, plain, []byte(place)),
	}, nil
}

// Open what was sealed at a place. ErrErased when the key is gone.
func (v *Vault) Open(s privacy.Sealed, place string) ([]byte, error) {
	if s.Algorithm != privacy.Algorithm || s.Key != keyID(s.Subject) {
		return nil, fmt.Errorf("data of %s is sealed with %s under key %s, which this version does not know", s.Subject, s.Algorithm, s.Key)
	}
	aead, err := v.cipher(s.Subject, false)
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrErased
	}
	if err != nil {
		return nil, fmt.Errorf("open data of %s: %w", s.Subject, err)
	}
	if len(s.Nonce) != aead.NonceSize() {
		return nil, fmt.Errorf("open data of %s: the nonce has %d bytes, not %d", s.Subject, len(s.Nonce), aead.NonceSize())
	}
	plain, err := aead.Open(nil, s.Nonce, s.Ciphertext, []byte(place))
	if err != nil {
		return nil, fmt.Errorf("open data of %s at %s: it was changed, or moved here from another place", s.Subject, place)
	}
	return plain, nil
}

// Destroy the subject's key for good: overwritten, synced, removed. A mark
// stays, so that no new key is made for the subject. Destroying twice is
// destroying once.
func (v *Vault) Destroy(subject uuid.UUID) error {
	path := filepath.Join(v.dir, v.file(subject))
	// The mark first: a crash in between leaves a person who is being erased,
	// never one with a new key.
	if _, err := v.create(v.file(subject)+".erased", nil); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("erase %s: %w", subject, err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("erase %s: %w", subject, err)
	}
	_, err = f.Write(make([]byte, keySize))
	err = errors.Join(err, f.Sync(), f.Close(), os.Remove(path), syncDir(filepath.Dir(path)))
	if err != nil {
		return fmt.Errorf("erase %s: %w", subject, err)
	}
	return nil
}

func (v *Vault) erased(subject uuid.UUID) bool {
	_, err := os.Stat(filepath.Join(v.dir, v.file(subject)+".erased"))
	return err == nil
}

func keyID(subject uuid.UUID) string { return subject.String() + "/1" }

// file of a subject's key; 256 folders keep them short.
func (v *Vault) file(subject uuid.UUID) string {
	s := subject.String()
	return filepath.Join(s[:2], s+".key")
}

func (v *Vault) cipher(subject uuid.UUID, make bool) (cipher.AEAD, error) {
	key, err := v.key(v.file(subject), make)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// key reads a key file, made the first time if create is set.
func (v *Vault) key(name string, create bool) ([]byte, error) {
	for {
		key, err := os.ReadFile(filepath.Join(v.dir, name))
		if err == nil && len(key) != keySize {
			return nil, fmt.Errorf("key file %s has %d bytes, not %d: restore it from a copy", name, len(key), keySize)
		}
		if err == nil || !create || !errors.Is(err, fs.ErrNotExist) {
			return key, err
		}
		key = make([]byte, keySize)
		rand.Read(key)
		if key, err = v.create(name, key); err == nil {
			return key, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		// Another process was faster: read its key.
	}
}

// create writes a file in full and then gives it its name, which must be free.
func (v *Vault) create(name string, content []byte) ([]byte, error) {
	path := filepath.Join(v.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	if err := os.Link(f.Name(), path); err != nil { // refuses a name that exists
		return nil, err
	}
	return content, errors.Join(syncDir(filepath.Dir(path)), syncDir(v.dir))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
