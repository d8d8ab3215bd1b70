package node

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Bounds of logging in.
const (
	// usersCheckInterval is how often at most the users file is looked at.
	usersCheckInterval = time.Second
	// verifiedFor is how long a password need not be hashed again. A change of
	// the users file ends it sooner.
	verifiedFor = 5 * time.Minute
	// maxVerified bounds the credentials that are remembered as right, and
	// likewise the users that are remembered for wrong ones.
	maxVerified = 1024
	// maxHashing bounds the passwords hashed at once, each 19 MiB and 30 ms of
	// a core; maxHashingWait bounds those that wait for it.
	maxHashing     = 2
	maxHashingWait = 256
	// After freeTries wrong passwords of a user from an address each further
	// try has to wait, a second at first, then twice as long each time.
	freeTries   = 5
	maxTryPause = 30 * time.Second
)

var (
	errWrongPassword = refuse(codes.Unauthenticated, nil, "The user name or the password is wrong.")
	errNotBasic      = refuse(codes.Unauthenticated, nil, "The authorization is not a user name and a password (Basic).")
	errTryLater      = refuse(codes.Unauthenticated, nil, "Too many wrong passwords for this user from this address; try again in %v at the latest.", maxTryPause)
	errLoginBusy     = refuse(codes.ResourceExhausted, nil, "Too many users log in at once; try again.")
)

// ownerName is nobody's in a users file, where names do not begin with $.
const ownerName = "$owner"

// users is who may log in: a users file, read again when it changes.
type users struct {
	path   string
	logger *slog.Logger
	now    func() time.Time

	roll      atomic.Pointer[roll]
	nextCheck atomic.Int64 // Unix nanoseconds
	checking  sync.Mutex

	// owner is who runs the node; see Server.OwnerURL.
	owner       *login
	ownerSecret string

	// Credentials are remembered by a hash under a key that leaves with the
	// process, so that no password is kept.
	key      [32]byte
	hashing  chan struct{}
	waiting  chan struct{}
	mu       sync.Mutex
	verified recent[[32]byte, verified]
	wrong    recent[attempt, wrongTries]
}

// roll is the users file as it was at some time.
type roll struct {
	file  os.FileInfo
	users []User
	by    map[string]*login
}

// login is a user with the parsed hash.
type login struct {
	User
	hash passwordHash
}

// verified is a user whose password was right.
type verified struct {
	user *login
	till time.Time
}

// attempt is who tries to log in as whom.
type attempt struct{ from, name string }

type wrongTries struct {
	count int
	next  time.Time // when the next one is heard
}

// openUsers reads a users file that must be there.
func openUsers(path string, logger *slog.Logger) (*users, error) {
	u := &users{
		path: path, logger: logger, now: time.Now,
		owner: &login{User: User{Name: ownerName, Groups: []string{AdminGroup}}}, ownerSecret: rand.Text(),
		verified: recent[[32]byte, verified]{max: maxVerified}, wrong: recent[attempt, wrongTries]{max: maxVerified},
		hashing: make(chan struct{}, maxHashing),
		waiting: make(chan struct{}, maxHashingWait),
	}
	if _, err := rand.Read(u.key[:]); err != nil {
		return nil, err
	}
	r, err := readRoll(path)
	if err != nil {
		return nil, err
	}
	if r.file.Mode().Perm()&0o077 != 0 {
		logger.Warn("others than its owner may read or change the users file", "file", path, "mode", r.file.Mode().Perm().String())
	}
	u.roll.Store(r)
	u.nextCheck.Store(u.now().Add(usersCheckInterval).UnixNano())
	return u, nil
}

func readRoll(path string) (*roll, error) {
	// Before it is read: a change in between shows at the next look.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	list, err := ReadUsers(path)
	if err != nil {
		return nil, err
	}
	r := &roll{file: info, users: list, by: make(map[string]*login, len(list))}
	for _, user := range list {
		l := &login{User: user}
		if user.Password != "" {
			if l.hash, err = parseHash(user.Password); err != nil {
				return nil, err
			}
		}
		r.by[user.Name] = l
	}
	return r, nil
}

// current is the users file as it is, at most usersCheckInterval old. A file
// that is broken or gone changes nothing and is said once.
func (u *users) current() *roll {
	now := u.now().UnixNano()
	if now < u.nextCheck.Load() || !u.checking.TryLock() {
		return u.roll.Load()
	}
	defer u.checking.Unlock()
	u.nextCheck.Store(now + int64(usersCheckInterval))
	old := u.roll.Load()
	info, err := os.Stat(u.path)
	if err == nil && sameFile(old.file, info) || err != nil && old.file == nil {
		return old
	}
	fresh, rerr := readRoll(u.path)
	if rerr != nil {
		u.logger.Error("the users file cannot be read; the users stay as they were", "file", u.path, "error", rerr)
		fresh = &roll{file: info, users: old.users, by: old.by}
	} else {
		u.logger.Info("the users file was read again", "file", u.path, "users", len(fresh.by))
	}
	u.roll.Store(fresh)
	return fresh
}

func sameFile(a, b os.FileInfo) bool {
	return a != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// still returns what a user who logged in earlier is now, nil when that is not
// allowed any more: removed, disabled, or with another password.
func (u *users) still(l *login) *login {
	if l == u.owner {
		return l
	}
	now := u.current().by[l.Name]
	if now == nil || now.Disabled || now.Password != l.Password {
		return nil
	}
	return now
}

// logIn finds out who sends an authorization header. from is the address that
// it came from.
func (u *users) logIn(ctx context.Context, header, from string) (*login, error) {
	mac := hmac.New(sha256.New, u.key[:])
	mac.Write([]byte(header))
	id := [32]byte(mac.Sum(nil))
	if l := u.known(id); l != nil {
		return l, nil
	}
	name, password, ok := basicCredentials(header)
	if !ok {
		return nil, errNotBasic
	}
	if name == ownerName && subtle.ConstantTimeCompare([]byte(password), []byte(u.ownerSecret)) == 1 {
		return u.owner, nil
	}
	by := attempt{from, name}
	if u.mustWait(by) {
		return nil, errTryLater
	}
	if err := u.enter(ctx); err != nil {
		return nil, err
	}
	defer u.leave()
	if l := u.known(id); l != nil {
		return l, nil // another call was faster
	}
	if u.mustWait(by) {
		return nil, errTryLater
	}
	// Who is unknown or disabled costs as much as the others, so that the time
	// does not tell.
	l := u.current().by[name]
	if l == nil || l.Disabled || l.Password == "" {
		nobody.matches(password)
		l = nil
	} else if !l.hash.matches(password) {
		l = nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if l == nil {
		tries, _ := u.wrong.get(by)
		tries.failed(u.now())
		u.wrong.put(by, tries)
		if tries.count == freeTries+1 {
			u.logger.Warn("many wrong passwords: further tries are slowed down", "user", name, "from", from)
		}
		return nil, errWrongPassword
	}
	u.wrong.forget(by)
	u.verified.put(id, verified{l, u.now().Add(verifiedFor)})
	return l, nil
}

// nobody is checked in place of a user that does not exist.
var nobody = passwordHash{memory: argonMemory, time: argonTime, threads: argonThreads, salt: make([]byte, argonSalt), key: make([]byte, argonKey)}

func (u *users) known(id [32]byte) *login {
	u.mu.Lock()
	v, ok := u.verified.get(id)
	u.mu.Unlock()
	if !ok || !u.now().Before(v.till) {
		return nil
	}
	return u.still(v.user)
}

func (u *users) mustWait(by attempt) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	tries, ok := u.wrong.get(by)
	return ok && u.now().Before(tries.next)
}

func (t *wrongTries) failed(now time.Time) {
	t.count++
	if over := t.count - freeTries; over > 0 {
		t.next = now.Add(min(time.Second<<min(over-1, 10), maxTryPause))
	}
}

// enter waits for its turn to hash.
func (u *users) enter(ctx context.Context) error {
	select {
	case u.waiting <- struct{}{}:
	default:
		return errLoginBusy
	}
	defer func() { <-u.waiting }()
	select {
	case u.hashing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

func (u *users) leave() { <-u.hashing }

// basicCredentials reads "Basic base64(name:password)" (RFC 7617).
func basicCredentials(header string) (name, password string, ok bool) {
	scheme, encoded, found := strings.Cut(header, " ")
	if !found || !strings.EqualFold(scheme, "Basic") || len(encoded) > 2*(maxUserName+1+maxPassword) {
		return "", "", false
	}
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(decoded), ":")
}

// recent remembers at most 2×max things. When it has max new ones, it forgets
// those that were not asked for since it last did so.
type recent[K comparable, V any] struct {
	max        int
	young, old map[K]V
}

func (r *recent[K, V]) get(k K) (V, bool) {
	if v, ok := r.young[k]; ok {
		return v, true
	}
	v, ok := r.old[k]
	if ok {
		r.put(k, v)
	}
	return v, ok
}

func (r *recent[K, V]) put(k K, v V) {
	if r.young == nil || len(r.young) >= r.max {
		r.young, r.old = make(map[K]V), r.young
	}
	r.young[k] = v
}

func (r *recent[K, V]) forget(k K) {
	delete(r.young, k)
	delete(r.old, k)
}
