package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/term"

	"kicau/adapters/node"
)

// nodeUserCmd keeps a users file. A node that runs takes over what changes.
type nodeUserCmd struct {
	Add     userAddCmd     `cmd:"" help:"Let somebody use an event store."`
	Passwd  userPasswdCmd  `cmd:"" help:"Give a user another password."`
	Disable userDisableCmd `cmd:"" help:"Keep a user out, until enabled again."`
	Enable  userEnableCmd  `cmd:"" help:"Let a disabled user in again."`
	Remove  userRemoveCmd  `cmd:"" help:"Forget a user."`
	List    userListCmd    `cmd:"" help:"Show the users and their groups."`
}

// usersFlag is the file that all of them work on.
type usersFlag struct {
	File string `name:"users" required:"" type:"path" placeholder:"FILE" help:"Users file: JSON, for its owner's eyes only, passwords as Argon2id hashes." env:"KICAU_NODE_USERS"`
}

// named is a user on the command line.
type named struct {
	Name string `arg:"" help:"Name of the user. No colon in it, no $ in front."`
}

// passwordFlag is where a password comes from: never from the command line,
// which every user of the machine can read.
type passwordFlag struct {
	Stdin bool `name:"password-stdin" help:"Read the password from the first line of the input. Otherwise it is asked for, on a terminal."`
}

type userAddCmd struct {
	usersFlag
	named
	passwordFlag
	Group []string `placeholder:"GROUP" help:"Group of the user: $admins (may do everything), $ops (manages persistent subscriptions, runs operations) or one of your own, for the access lists of streams."`
}

func (userAddCmd) Help() string {
	return `The file is made when there is none. A node that runs takes the user in within a second.

Examples:
  kicau node user add admin --group '$admins' --users users.json
  kicau node user add anna --group sales --group '$ops' --users users.json --password-stdin < password`
}

func (c *userAddCmd) Run(ctx context.Context, g *Global) error {
	return c.change(ctx, g, func(users []node.User) ([]node.User, error) {
		if indexOf(users, c.Name) >= 0 {
			return nil, fmt.Errorf("user %q is in %s already", c.Name, c.File)
		}
		u := node.User{Name: c.Name, Groups: c.Group}
		if err := c.ask(g, &u); err != nil {
			return nil, err
		}
		return append(users, u), nil
	}, "added")
}

type userPasswdCmd struct {
	usersFlag
	named
	passwordFlag
}

func (userPasswdCmd) Help() string {
	return `Whoever is logged in with the old password is refused from then on; subscriptions that are
open go on until they end.

Example:
  kicau node user passwd anna --users users.json`
}

func (c *userPasswdCmd) Run(ctx context.Context, g *Global) error {
	return c.changeUser(ctx, g, c.Name, func(u *node.User) error { return c.ask(g, u) }, "has another password")
}

type userDisableCmd struct {
	usersFlag
	named
}

func (userDisableCmd) Help() string {
	return "Example:\n  kicau node user disable anna --users users.json"
}

func (c *userDisableCmd) Run(ctx context.Context, g *Global) error {
	return c.changeUser(ctx, g, c.Name, func(u *node.User) error { u.Disabled = true; return nil }, "disabled")
}

type userEnableCmd struct {
	usersFlag
	named
}

func (userEnableCmd) Help() string {
	return "Example:\n  kicau node user enable anna --users users.json"
}

func (c *userEnableCmd) Run(ctx context.Context, g *Global) error {
	return c.changeUser(ctx, g, c.Name, func(u *node.User) error { u.Disabled = false; return nil }, "enabled")
}

type userRemoveCmd struct {
	usersFlag
	named
}

func (userRemoveCmd) Help() string {
	return "Example:\n  kicau node user remove anna --users users.json"
}

func (c *userRemoveCmd) Run(ctx context.Context, g *Global) error {
	return c.change(ctx, g, func(users []node.User) ([]node.User, error) {
		i := indexOf(users, c.Name)
		if i < 0 {
			return nil, fmt.Errorf("there is no user %q in %s", c.Name, c.File)
		}
		return slices.Delete(users, i, i+1), nil
	}, "removed")
}

type userListCmd struct{ usersFlag }

func (userListCmd) Help() string {
	return "Example:\n  kicau node user list --users users.json"
}

// userLine is a user as printed in JSON.
type userLine struct {
	Name     string   `json:"name"`
	Groups   []string `json:"groups"`
	Password bool     `json:"password"` // there is one
	Disabled bool     `json:"disabled"`
}

func (c *userListCmd) Run(g *Global) error {
	users, err := node.ReadUsers(c.File)
	if err != nil {
		return err
	}
	for _, u := range users {
		line := userLine{u.Name, append([]string{}, u.Groups...), u.Password != "", u.Disabled}
		state := ""
		switch {
		case u.Disabled:
			state = "  (disabled)"
		case u.Password == "":
			state = "  (no password)"
		}
		if err := g.say(line, "%-20s  %s%s", u.Name, strings.Join(u.Groups, " "), state); err != nil {
			return err
		}
	}
	return nil
}

func indexOf(users []node.User, name string) int {
	return slices.IndexFunc(users, func(u node.User) bool { return u.Name == name })
}

// changeUser changes one user who is there.
func (f usersFlag) changeUser(ctx context.Context, g *Global, name string, how func(*node.User) error, done string) error {
	return f.change(ctx, g, func(users []node.User) ([]node.User, error) {
		i := indexOf(users, name)
		if i < 0 {
			return nil, fmt.Errorf("there is no user %q in %s", name, f.File)
		}
		return users, how(&users[i])
	}, done)
}

// change rewrites the file; nobody else does meanwhile.
func (f usersFlag) change(ctx context.Context, g *Global, how func([]node.User) ([]node.User, error), done string) (err error) {
	lock := flock.New(f.File + ".lock")
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	if _, err := lock.TryLockContext(ctx, 50*time.Millisecond); err != nil {
		return fmt.Errorf("lock the users file %s: %w", f.File, err)
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	users, err := node.ReadUsers(f.File)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	had := node.HasAdmin(users)
	if users, err = how(users); err != nil {
		return err
	}
	if err := node.WriteUsers(f.File, users); err != nil {
		return err
	}
	if had && !node.HasAdmin(users) {
		fmt.Fprintf(g.stderr, "kicau: nobody of %s is left who can log in: beyond this machine a node will not start with these users\n", node.AdminGroup)
	}
	return g.say(map[string]string{"users": f.File, "done": done}, "%s: %s", f.File, done)
}

// ask sets the password of a user.
func (f passwordFlag) ask(g *Global, u *node.User) error {
	if f.Stdin {
		line, err := bufio.NewReader(io.LimitReader(g.stdin, 1<<12)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the password: %w", err)
		}
		return u.SetPassword(strings.TrimRight(line, "\r\n"))
	}
	in, ok := g.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return usageError{errors.New("the input is no terminal: give the password with --password-stdin")}
	}
	var said [2]string
	for i, prompt := range []string{"Password of " + u.Name + ": ", "Once more: "} {
		fmt.Fprint(g.stderr, prompt)
		b, err := term.ReadPassword(int(in.Fd()))
		fmt.Fprintln(g.stderr)
		if err != nil {
			return fmt.Errorf("read the password: %w", err)
		}
		said[i] = string(b)
	}
	if said[0] != said[1] {
		return errors.New("the two passwords differ")
	}
	return u.SetPassword(said[0])
}
