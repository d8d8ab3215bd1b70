package esdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
)

func readPanics(t *testing.T) {
	o := &oddServer{frames: func(send func(*streams.ReadResp)) error { send(caughtUp); return nil }}
	c := bareClient(t, plain(o.start(t)))
	r, err := c.ReadStream(waitFor(t), "s", esdb.ReadStreamOptions{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var p *panicError
	if err := protect(func() error { _, err := r.Recv(); return err }); !errors.As(err, &p) {
		t.Errorf("got %v, want a panic", err)
	}
}

// readSurvives: the frame is an error, and the next read is as good as any.
func readSurvives(t *testing.T) {
	ctx := waitFor(t)
	var odd atomic.Bool
	odd.Store(true)
	l := startOdd(t, &oddServer{frames: func(send func(*streams.ReadResp)) error {
		if send(frameOf(1)); odd.Load() {
			send(caughtUp)
		}
		return nil
	}})
	var p *panicError
	if err := reads(ctx, l)["ReadStream"](); !errors.As(err, &p) {
		t.Errorf("got %v, want the panic as an error", err)
	}
	odd.Store(false)
	if err := reads(ctx, l)["ReadStream"](); err != nil {
		t.Errorf("the read after: %v", err)
	}
}

func readWaitsForEver(t *testing.T) {
	o := &oddServer{frames: func(send func(*streams.ReadResp)) error { send(frameOf(1)); return nil }}
	c := bareClient(t, plain(o.start(t)))
	r, err := c.ReadStream(context.Background(), "s", esdb.ReadStreamOptions{}, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Recv(); err != nil {
		t.Fatal(err)
	}
	const long = 365 * 24 * time.Hour
	if at, ok := o.calls()[0].Deadline(); ok && time.Until(at) < long {
		t.Errorf("a read has a deadline in %v", time.Until(at))
	}
}

func readGivesUp(t *testing.T) {
	l := startOdd(t, &oddServer{silent: true, frames: func(send func(*streams.ReadResp)) error { send(frameOf(1)); return nil }})
	l.patience = 50 * time.Millisecond
	if err := reads(waitFor(t), l)["ReadStream"](); !errors.Is(err, errSilent) {
		t.Errorf("got %v, want to be told that the server is silent", err)
	}
}

// exitWord makes the test binary a program that uses the bare client, in which
// nothing stands between it and the server whose address follows.
const exitWord = "read-with-the-bare-client"

func TestMain(m *testing.M) {
	if len(os.Args) != 3 || os.Args[1] != exitWord {
		os.Exit(m.Run())
	}
	encoding.RegisterCodecV2(encoding.GetCodecV2(proto.Name).(carefulCodec).CodecV2)
	conf, err := esdb.ParseConnectionString(plain(os.Args[2]))
	if err == nil {
		conf.Logger = esdb.NoopLogging()
		var c *esdb.Client
		if c, err = esdb.NewClient(conf); err == nil {
			var r *esdb.ReadStream
			if r, err = c.ReadStream(context.Background(), "s", esdb.ReadStreamOptions{}, 1); err == nil {
				_, err = r.Recv()
			}
		}
	}
	fmt.Println("still here:", err)
}

// yesterday is no time of creation.
func yesterday() *streams.ReadResp {
	odd := frameOf(1)
	odd.GetEvent().GetEvent().Metadata["created"] = "yesterday"
	return odd
}

// noTime is a server of subscriptions to events that were created at no time.
func noTime() *oddServer {
	return &oddServer{
		frames: func(send func(*streams.ReadResp)) error { send(confirmed); send(yesterday()); return nil },
		deliver: func(s persistent.PersistentSubscriptions_ReadServer) error {
			return s.Send(deliveryOf(""))
		},
	}
}

func endsTheProcess(t *testing.T) {
	o := &oddServer{frames: func(send func(*streams.ReadResp)) error { send(yesterday()); return nil }}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(waitFor(t), exe, exitWord, o.start(t)).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(out), "yesterday") || strings.Contains(string(out), "still here") {
		t.Errorf("got %v, %s; want the process to end over the event", err, out)
	}
}

func survivesNoTime(t *testing.T) {
	ctx := waitFor(t)
	l := startOdd(t, noTime())
	uses := uses(ctx, l)
	for _, name := range []string{"ReadAll", "Subscribe"} {
		if err := uses[name](); err == nil || !strings.Contains(err.Error(), `"yesterday"`) {
			t.Errorf("%s: got %v, want to be told of the event", name, err)
		}
	}
	if _, err := nextOf(ctx, l); err == nil || !strings.Contains(err.Error(), "created at") {
		t.Errorf("consume: got %v, want to be told of the event", err)
	}
}

func metadataFromStart(t *testing.T) {
	o := &oddServer{frames: func(func(*streams.ReadResp)) error { return nil }}
	if _, err := bareClient(t, plain(o.start(t))).GetStreamMetadata(waitFor(t), "s", esdb.ReadStreamOptions{}); err != nil {
		t.Fatal(err)
	}
	var asked *streams.ReadReq_Options
	o.note(func() { asked = o.reads[0].GetOptions() })
	if asked.GetReadDirection() != streams.ReadReq_Options_Forwards || asked.GetStream().GetStart() == nil || asked.GetCount() != 1 {
		t.Errorf("asked %v, want the first event", asked)
	}
}

// metadataIsNewest: nothing here asks for metadata. Our node gives the newest to
// who does.
func metadataIsNewest(t *testing.T) {
	ctx := waitFor(t)
	c := bareClient(t, plain(startNode(t).Addr()))
	for _, count := range []uint64{7, 8} {
		var m esdb.StreamMetadata
		m.SetMaxCount(count)
		if _, err := c.SetStreamMetadata(ctx, "s", esdb.AppendToStreamOptions{}, m); err != nil {
			t.Fatal(err)
		}
	}
	m, err := c.GetStreamMetadata(ctx, "s", esdb.ReadStreamOptions{})
	if err != nil || m.MaxCount() == nil || *m.MaxCount() != 8 {
		t.Errorf("got %+v, %v, want the newest", m, err)
	}
}
