package node

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/crypto/argon2"
)

// Groups that EventStoreDB knows (SystemRoles.cs). All others are a node's own.
const (
	// AdminGroup may do everything.
	AdminGroup = "$admins"
	// OpsGroup may manage persistent subscriptions and run operations.
	OpsGroup = "$ops"

	// everyone, in a list of roles, is every user.
	everyone = "$all"
)

// Bounds of a users file.
const (
	maxUsersFile = 1 << 20 // bytes
	maxUserName  = 256     // bytes
	// minPassword is the shortest password in characters, the longest has
	// maxPassword bytes: it travels in a header of each call.
	minPassword = 8
	maxPassword = 1 << 10
)

// User is somebody who may use a node, as it stands in a users file.
type User struct {
	// Name has no colon, as HTTP's Basic authentication has none in it, and
	// does not begin with $, as the groups of the system do.
	Name   string   `json:"name"`
	Groups []string `json:"groups"`
	// Password is its Argon2id hash. Without one the user cannot log in.
	Password string `json:"password"`
	Disabled bool   `json:"disabled,omitempty"`
}

// SetPassword makes password the user's own.
func (u *User) SetPassword(password string) (err error) {
	switch {
	case !utf8.ValidString(password):
		return errors.New("a password is UTF-8 text")
	case utf8.RuneCountInString(password) < minPassword:
		return fmt.Errorf("a password has at least %d characters", minPassword)
	case len(password) > maxPassword:
		return fmt.Errorf("a password has at most %d bytes", maxPassword)
	}
	u.Password, err = hashPassword(password)
	return err
}

// checkUser says what is wrong with a user.
func checkUser(u User) error {
	switch {
	case u.Name == "" || len(u.Name) > maxUserName || !utf8.ValidString(u.Name):
		return fmt.Errorf("user %q: a name is text of 1 to %d bytes", u.Name, maxUserName)
	case strings.Contains(u.Name, ":") || strings.HasPrefix(u.Name, "$"):
		return fmt.Errorf("user %q: a name has no colon and does not begin with $", u.Name)
	case strings.ContainsFunc(u.Name, unicode.IsControl):
		return fmt.Errorf("user %q: a name has no control characters", u.Name)
	}
	for _, g := range u.Groups {
		if g == "" || strings.HasPrefix(g, "$") && g != AdminGroup && g != OpsGroup {
			return fmt.Errorf("user %q: %q is no group: the ones of the system are %s and %s, your own do not begin with $", u.Name, g, AdminGroup, OpsGroup)
		}
	}
	if u.Password != "" {
		if _, err := parseHash(u.Password); err != nil {
			return fmt.Errorf("user %q: %w", u.Name, err)
		}
	}
	return nil
}

type usersFile struct {
	Users []User `json:"users"`
}

// ReadUsers reads a users file. The error is os.ErrNotExist when there is none.
func ReadUsers(path string) ([]User, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("users file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxUsersFile+1))
	if err != nil {
		return nil, fmt.Errorf("users file %s: %w", path, err)
	}
	if len(data) > maxUsersFile {
		return nil, fmt.Errorf("users file %s: it has more than %d bytes", path, maxUsersFile)
	}
	return parseUsers(path, data)
}

func parseUsers(path string, data []byte) ([]User, error) {
	var file usersFile
	in := json.NewDecoder(bytes.NewReader(data))
	in.DisallowUnknownFields()
	if err := in.Decode(&file); err != nil {
		return nil, fmt.Errorf("users file %s: %w", path, err)
	}
	if _, err := in.Token(); err != io.EOF {
		return nil, fmt.Errorf("users file %s: there is more than one object in it", path)
	}
	return file.Users, checkUsers(path, file.Users)
}

func checkUsers(path string, users []User) error {
	names := map[string]bool{}
	for _, u := range users {
		if err := checkUser(u); err != nil {
			return fmt.Errorf("users file %s: %w", path, err)
		}
		if names[u.Name] {
			return fmt.Errorf("users file %s: user %q is in it twice", path, u.Name)
		}
		names[u.Name] = true
	}
	return nil
}

// WriteUsers replaces a users file, whole or not at all, readable by its owner
// only. A running node takes it over within a second.
func WriteUsers(path string, users []User) (err error) {
	if err := checkUsers(path, users); err != nil {
		return err
	}
	data, err := json.MarshalIndent(usersFile{Users: users}, "", "  ")
	if err != nil {
		return err
	}
	if len(data) >= maxUsersFile {
		return fmt.Errorf("users file %s: it would have more than %d bytes", path, maxUsersFile)
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write users file: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write users file %s: %w", path, err), os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(append(data, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(vfs.Default, dir)
}

// HasAdmin tells whether one of them can log in who may do everything. Without
// such a one a node listens on its own machine only.
func HasAdmin(users []User) bool {
	return slices.ContainsFunc(users, func(u User) bool {
		return !u.Disabled && u.Password != "" && slices.Contains(u.Groups, AdminGroup)
	})
}

// What a password costs to guess: OWASP's first recommendation for Argon2id,
// about 30 ms and 19 MiB a try.
const (
	argonMemory  = 19 << 10 // KiB
	argonTime    = 2
	argonThreads = 1
	argonSalt    = 16
	argonKey     = 32
)

// passwordHash is a password hashed with Argon2id (RFC 9106).
type passwordHash struct {
	memory, time uint32
	threads      uint8
	salt, key    []byte
}

// String is the hash in the PHC string format, which other programs read too.
func (h passwordHash) String() string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.threads, b64(h.salt), b64(h.key))
}

func hashPassword(password string) (string, error) {
	h := passwordHash{memory: argonMemory, time: argonTime, threads: argonThreads, salt: make([]byte, argonSalt)}
	if _, err := rand.Read(h.salt); err != nil {
		return "", err
	}
	h.key = argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, argonKey)
	return h.String(), nil
}

// matches tells whether this is the hash of password.
func (h passwordHash) matches(password string) bool {
	key := argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, uint32(len(h.key)))
	return subtle.ConstantTimeCompare(key, h.key) == 1
}

// parseHash reads a hash, whose costs are bounded: whoever logs in makes the
// node pay them.
func parseHash(s string) (passwordHash, error) {
	wrong := errors.New("its password is not an Argon2id hash such as $argon2id$v=19$m=19456,t=2,p=1$…$…")
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return passwordHash{}, wrong
	}
	var h passwordHash
	if n, err := fmt.Sscanf(parts[3]+"\n", "m=%d,t=%d,p=%d\n", &h.memory, &h.time, &h.threads); n != 3 || err != nil {
		return passwordHash{}, wrong
	}
	var saltErr, keyErr error
	h.salt, saltErr = base64.RawStdEncoding.DecodeString(parts[4])
	h.key, keyErr = base64.RawStdEncoding.DecodeString(parts[5])
	if saltErr != nil || keyErr != nil {
		return passwordHash{}, wrong
	}
	const maxMemory, maxTime, maxThreads = 1 << 20, 16, 16
	if h.memory < 8*uint32(h.threads) || h.memory > maxMemory || h.time < 1 || h.time > maxTime || h.threads < 1 || h.threads > maxThreads ||
		len(h.salt) < 8 || len(h.salt) > 64 || len(h.key) < 16 || len(h.key) > 64 {
		return passwordHash{}, fmt.Errorf("the costs of its password's hash are out of bounds (memory to %d KiB, time to %d, threads to %d)", maxMemory, maxTime, maxThreads)
	}
	return h, nil
}
