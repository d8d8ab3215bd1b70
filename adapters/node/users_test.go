package node

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// testUser has a password whose hash costs next to nothing.
func testUser(name, password string, groups ...string) User {
	h := passwordHash{memory: 8, time: 1, threads: 1, salt: []byte("salt of " + name)}
	h.key = argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, argonKey)
	return User{Name: name, Groups: groups, Password: h.String()}
}

func writeUsers(t testing.TB, users ...User) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "users.json")
	if err := WriteUsers(path, users); err != nil {
		t.Fatal(err)
	}
	return path
}

func basic(name, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
}

func TestUsersFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.json")
	if _, err := ReadUsers(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v of a file that is not there", err)
	}
	anna := User{Name: "Anna Ünal", Groups: []string{AdminGroup, "sales"}}
	if err := anna.SetPassword("correct horse"); err != nil {
		t.Fatal(err)
	}
	want := []User{anna, {Name: "bot", Disabled: true}}
	for range 2 {
		if err := WriteUsers(path, want); err != nil {
			t.Fatal(err)
		}
	}
	got, err := ReadUsers(path)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the file has mode %v, %v", info.Mode(), err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("in its directory are %v, %v", entries, err)
	}
	if data, err := os.ReadFile(path); err != nil || strings.Contains(string(data), "horse") {
		t.Errorf("the file holds a password: %s, %v", data, err)
	}
	hash, err := parseHash(got[0].Password)
	if err != nil || !hash.matches("correct horse") || hash.matches("Correct horse") || hash.matches("") {
		t.Errorf("the hash %s does not tell the password, %v", got[0].Password, err)
	}
	if err := WriteUsers(path, []User{anna, anna}); err == nil {
		t.Error("a user was written twice")
	}
	if again, err := ReadUsers(path); err != nil || len(again) != 2 {
		t.Errorf("what could not be written changed the file: %v, %v", again, err)
	}
}

func TestUsersFileRefuses(t *testing.T) {
	good := testUser("a", "password").Password
	for what, content := range map[string]string{
		"no JSON":          `users: a`,
		"two objects":      `{"users":[]}{}`,
		"a field too many": `{"users":[{"name":"a","group":"$admins"}]}`,
		"no name":          `{"users":[{"password":"` + good + `"}]}`,
		"a colon":          `{"users":[{"name":"a:b"}]}`,
		"a dollar":         `{"users":[{"name":"$owner"}]}`,
		"a control":        `{"users":[{"name":"a\nb"}]}`,
		"a long name":      `{"users":[{"name":"` + strings.Repeat("a", maxUserName+1) + `"}]}`,
		"twice":            `{"users":[{"name":"a"},{"name":"a"}]}`,
		"$all as group":    `{"users":[{"name":"a","groups":["$all"]}]}`,
		"an empty group":   `{"users":[{"name":"a","groups":[""]}]}`,
		"a clear password": `{"users":[{"name":"a","password":"changeit"}]}`,
		"another hash":     `{"users":[{"name":"a","password":"` + strings.Replace(good, "argon2id", "argon2i", 1) + `"}]}`,
		"another version":  `{"users":[{"name":"a","password":"` + strings.Replace(good, "v=19", "v=16", 1) + `"}]}`,
		"no costs":         `{"users":[{"name":"a","password":"` + strings.Replace(good, "m=8,t=1,p=1", "m=8", 1) + `"}]}`,
		"more costs":       `{"users":[{"name":"a","password":"` + strings.Replace(good, "p=1", "p=1,q=1", 1) + `"}]}`,
		"high costs":       `{"users":[{"name":"a","password":"` + strings.Replace(good, "m=8", "m=9999999", 1) + `"}]}`,
		"no rounds":        `{"users":[{"name":"a","password":"` + strings.Replace(good, "t=1", "t=0", 1) + `"}]}`,
		"a broken key":     `{"users":[{"name":"a","password":"` + good + `!"}]}`,
		"too large":        `{"users":[]}` + strings.Repeat(" ", maxUsersFile),
	} {
		path := filepath.Join(t.TempDir(), "users.json")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if users, err := ReadUsers(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, %v", what, users, err)
		}
	}
	var u User
	for _, password := range []string{"", "1234567", strings.Repeat("x", maxPassword+1), "not UTF-8 \xff"} {
		if err := u.SetPassword(password); err == nil || u.Password != "" {
			t.Errorf("%q is a password", password)
		}
	}
}

func TestLogIn(t *testing.T) {
	off := testUser("off", "password1")
	off.Disabled = true
	u, _ := openTestUsers(t, testUser("anna", "pass:word", "sales"), off, User{Name: "none"})
	l, err := u.logIn(t.Context(), basic("anna", "pass:word"), "here")
	if err != nil || l.Name != "anna" || !l.is(roles{"sales"}) {
		t.Fatalf("got %+v, %v", l, err)
	}
	if _, err := u.logIn(t.Context(), strings.Replace(basic("anna", "pass:word"), "Basic", "basic", 1), "here"); err != nil {
		t.Errorf("the scheme was compared by case: %v", err)
	}
	for _, header := range []string{
		basic("anna", "wrong"), basic("anna", ""), basic("Anna", "pass:word"), basic("off", "password1"), basic("none", ""),
		basic("", ""), basic(ownerName, ""), basic(ownerName, "wrong"), "Basic", "Basic !", "Bearer " + basic("anna", "pass:word")[6:],
		basic("anna", strings.Repeat("x", 5000)), "Basic " + base64.StdEncoding.EncodeToString([]byte("anna")),
	} {
		if l, err := u.logIn(t.Context(), header, "here"); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s: got %+v, %v", header, l, err)
		}
	}
	if l, err := u.logIn(t.Context(), basic(ownerName, u.ownerSecret), "here"); err != nil || !l.administers() || u.still(l) != l {
		t.Errorf("the owner is %+v, %v", l, err)
	}
}

// hold makes every further hashing of a password wait.
func (u *users) hold(t *testing.T) (release func()) {
	for range maxHashing {
		if err := u.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		for range maxHashing {
			u.leave()
		}
	}
}

func openTestUsers(t *testing.T, list ...User) (u *users, path string) {
	path = writeUsers(t, list...)
	u, err := openUsers(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return u, path
}

func TestLogInIsRemembered(t *testing.T) {
	u, _ := openTestUsers(t, testUser("anna", "password"))
	at := time.Now()
	u.now = func() time.Time { return at }
	logIn := func() error {
		ctx, cancel := contextFor(t, 50*time.Millisecond)
		defer cancel()
		_, err := u.logIn(ctx, basic("anna", "password"), "here")
		return err
	}
	if err := logIn(); err != nil {
		t.Fatal(err)
	}
	release := u.hold(t)
	if err := logIn(); err != nil {
		t.Errorf("a password was hashed again: %v", err)
	}
	at = at.Add(verifiedFor)
	if err := logIn(); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a password was not hashed again after %v: %v", verifiedFor, err)
	}
	release()
	if err := logIn(); err != nil {
		t.Error(err)
	}
	for i := range 3 * maxVerified {
		u.verified.put([32]byte{1, byte(i), byte(i >> 8)}, verified{})
	}
	if n := len(u.verified.young) + len(u.verified.old); n > 2*maxVerified {
		t.Errorf("%d credentials are remembered", n)
	}
}

func TestWrongPasswordsAreSlowedDown(t *testing.T) {
	u, _ := openTestUsers(t, testUser("anna", "password"))
	at := time.Now()
	u.now = func() time.Time { return at }
	try := func(password, from string) error {
		u.verified = recent[[32]byte, verified]{max: maxVerified}
		_, err := u.logIn(t.Context(), basic("anna", password), from)
		return err
	}
	for range freeTries {
		if err := try("wrong", "there"); err != errWrongPassword {
			t.Fatal(err)
		}
	}
	for pause := time.Second; pause <= 2*maxTryPause; pause *= 2 {
		if err := try("wrong", "there"); err != errWrongPassword {
			t.Fatalf("a pause of less than %v: %v", pause, err)
		}
		at = at.Add(min(pause, maxTryPause) - 1)
		if err := try("password", "there"); err != errTryLater {
			t.Fatalf("a try before %v were over: %v", min(pause, maxTryPause), err)
		}
		if err := try("password", "here"); err != nil {
			t.Fatalf("from another address: %v", err)
		}
		at = at.Add(1)
	}
	if err := try("password", "there"); err != nil {
		t.Errorf("after the pause: %v", err)
	}
	if err := try("wrong", "there"); err != errWrongPassword {
		t.Errorf("a right password did not end it: %v", err)
	}
}

func TestLogInsWaitInABoundedLine(t *testing.T) {
	u, _ := openTestUsers(t, testUser("anna", "password"))
	for range maxHashingWait {
		u.waiting <- struct{}{}
	}
	if _, err := u.logIn(t.Context(), basic("anna", "password"), "here"); err != errLoginBusy {
		t.Errorf("got %v", err)
	}
}

func TestUsersFileIsReadAgain(t *testing.T) {
	anna := testUser("anna", "password", "sales")
	u, path := openTestUsers(t, anna)
	at := time.Now()
	u.now = func() time.Time { return at }
	later := func() { at = at.Add(usersCheckInterval) }
	logIn := func(password string) *login {
		t.Helper()
		l, err := u.logIn(t.Context(), basic("anna", password), "here")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	change := func(list ...User) {
		t.Helper()
		if err := WriteUsers(path, list); err != nil {
			t.Fatal(err)
		}
	}
	l := logIn("password")
	anna.Groups = []string{"buying"}
	change(anna)
	if u.still(l) != l {
		t.Error("the file was looked at again at once")
	}
	later()
	if now := u.still(l); now == nil || !now.is(roles{"buying"}) || now.is(roles{"sales"}) {
		t.Errorf("anna is %+v", now)
	}
	if now := logIn("password"); !now.is(roles{"buying"}) {
		t.Errorf("anna logs in as %+v", now)
	}

	for _, broken := range []func() error{
		func() error { return os.WriteFile(path, []byte("{"), 0o600) },
		func() error { return os.Remove(path) },
	} {
		if err := broken(); err != nil {
			t.Fatal(err)
		}
		later()
		if u.still(l) == nil {
			t.Error("a broken file removed its users")
		}
		logIn("password")
	}

	change(testUser("anna", "another password"))
	later()
	if u.still(l) != nil {
		t.Error("who logged in with a password that has changed is still let in")
	}
	if _, err := u.logIn(t.Context(), basic("anna", "password"), "here"); err != errWrongPassword {
		t.Errorf("the old password: %v", err)
	}
	l = logIn("another password")
	off := testUser("anna", "another password")
	off.Disabled = true
	change(off)
	later()
	if u.still(l) != nil {
		t.Error("a disabled user is still let in")
	}
	if _, err := u.logIn(t.Context(), basic("anna", "another password"), "here"); err != errWrongPassword {
		t.Errorf("a disabled user: %v", err)
	}
	change()
	later()
	if u.still(l) != nil {
		t.Error("a removed user is still let in")
	}
}
