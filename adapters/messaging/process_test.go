package messaging_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"kicau/adapters/node"
)

// The test binary is also a node in a process of its own, which can be killed,
// and the command by which Watermill's tests ask for that.
const (
	serveWord   = "serve-a-node"   // directory, address
	restartWord = "restart-a-node" // control address
)

func TestMain(m *testing.M) {
	var err error
	switch {
	case len(os.Args) == 4 && os.Args[1] == serveWord:
		err = serveNode(os.Args[2], os.Args[3])
	case len(os.Args) == 3 && os.Args[1] == restartWord:
		err = askForRestart(os.Args[2])
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serveNode serves a node until the parent is gone, or kills it.
func serveNode(dir, addr string) error {
	quiet := slog.New(slog.DiscardHandler)
	n, err := node.Open(node.Options{Dir: dir, Logger: quiet})
	if err != nil {
		return err
	}
	s := node.NewServer(n, node.ServerOptions{Listen: addr, Logger: quiet})
	if err := s.Start(); err != nil {
		return err
	}
	fmt.Println(s.Addr())
	io.Copy(io.Discard, os.Stdin)
	return nil
}

func askForRestart(control string) error {
	c, err := net.Dial("tcp", control)
	if err != nil {
		return err
	}
	defer c.Close()
	answer, err := io.ReadAll(c)
	if err != nil || len(answer) > 0 {
		return fmt.Errorf("the node was not restarted: %v %s", err, answer)
	}
	return nil
}

// process is a node in a process of its own.
type process struct {
	t       *testing.T
	dir     string
	addr    string
	control net.Listener

	mu    sync.Mutex
	cmd   *exec.Cmd
	alive io.Closer
}

func startProcess(t *testing.T) *process {
	control, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, dir: t.TempDir(), addr: "127.0.0.1:0", control: control}
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	go p.obey()
	t.Cleanup(func() {
		control.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.kill()
	})
	return p
}

func (p *process) start() error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	p.cmd = exec.Command(exe, serveWord, p.dir, p.addr)
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if p.alive, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	p.addr = strings.TrimSpace(line)
	return err
}

// kill gives it no time to put anything in order.
func (p *process) kill() {
	p.cmd.Process.Kill()
	p.alive.Close()
	p.cmd.Wait()
}

func (p *process) obey() {
	for {
		c, err := p.control.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.kill()
		if err := p.start(); err != nil {
			p.t.Errorf("start the node again: %v", err)
			fmt.Fprint(c, err)
		}
		p.mu.Unlock()
		c.Close()
	}
}

func (p *process) restartCommand() []string {
	exe, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	return []string{exe, restartWord, p.control.Addr().String()}
}

// returned makes up for a race in Watermill's TestReconnect: it counts a message
// as published some time after Publish has returned, and fails if the message
// was received before that. So here a message is received some time after its
// Publish has returned.
type returned struct{ published sync.Map } // UUIDs, each to a *moment

type moment struct {
	once sync.Once
	come chan struct{}
	at   time.Time
}

const someTime = 500 * time.Millisecond

func (r *returned) of(m *message.Message) *moment {
	x, _ := r.published.LoadOrStore(m.UUID, &moment{come: make(chan struct{})})
	return x.(*moment)
}

type slowPublisher struct {
	message.Publisher
	*returned
}

func (r *returned) publisher(p message.Publisher) message.Publisher { return slowPublisher{p, r} }

func (p slowPublisher) Publish(topic string, ms ...*message.Message) error {
	err := p.Publisher.Publish(topic, ms...)
	for _, m := range ms {
		if at := p.of(m); err == nil {
			at.once.Do(func() {
				at.at = time.Now()
				close(at.come)
			})
		}
	}
	return err
}

type slowSubscriber struct {
	message.Subscriber
	*returned
}

func (r *returned) subscriber(s message.Subscriber) message.Subscriber { return slowSubscriber{s, r} }

func (s slowSubscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	in, err := s.Subscriber.Subscribe(ctx, topic)
	if err != nil {
		return nil, err
	}
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		for m := range in {
			if s.wait(m) {
				out <- m
			}
		}
	}()
	return out, nil
}

// wait returns false when the message is of no use any more.
func (s slowSubscriber) wait(m *message.Message) bool {
	published := s.of(m)
	select {
	case <-published.come:
	case <-m.Context().Done():
		return false
	}
	select {
	case <-time.After(time.Until(published.at.Add(someTime))):
		return true
	case <-m.Context().Done():
		return false
	}
}
