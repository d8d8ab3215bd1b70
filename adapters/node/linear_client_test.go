package node

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// restarting is a node with a server that is closed and opened again on the same
// log, at the same address.
type restarting struct {
	*testing.T
	fs     *vfs.MemFS
	node   *Node
	server *Server
	listen string
}

func (r *restarting) start() {
	r.Helper()
	var err error
	if r.node, err = Open(Options{Dir: "data", Logger: quiet, fs: slowSync(r.fs)}); err != nil {
		r.Fatal(err)
	}
	r.server = NewServer(r.node, ServerOptions{Listen: r.listen, Logger: quiet})
	if err := r.server.Start(); err != nil {
		r.Fatal(err)
	}
	r.listen = r.server.Addr()
}

func (r *restarting) close() {
	r.Helper()
	if err := errors.Join(r.server.Close(), r.node.Close()); err != nil {
		r.Fatal(err)
	}
}

// crash cuts all connections, so that nobody is answered any more, and then the
// power.
func (r *restarting) crash(rng *rand.Rand) {
	r.Helper()
	r.server.grpc.Stop()
	after := r.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 25 * rng.IntN(5), RNG: rng})
	r.close()
	r.fs = after
}

// TestLinearizableThroughClients: the same through the protocol, while the node
// is closed, crashes, and comes back.
func TestLinearizableThroughClients(t *testing.T) {
	for round := range longer {
		const clients, each, restarts = 12, 60, 4
		rng := rand.New(rand.NewPCG(uint64(round), 99))
		node := &restarting{T: t, fs: vfs.NewCrashableMem()}
		node.start()
		// Requests are counted, and after so many it is time.
		var requests atomic.Int64
		due := make(chan struct{}, restarts)
		target := &remote{url: "esdb://" + node.listen + "?tls=false", patience: 20 * time.Second, answers: func() {
			if n := requests.Add(1); n%(clients*each/(restarts+1)) == 0 && n < clients*each {
				due <- struct{}{}
			}
		}}
		target.dial(4)
		o := observe(target, uint64(round), 3)
		var asking sync.WaitGroup
		asking.Go(func() { o.clients(clients, each) })
		for n := range restarts {
			<-due
			if n%2 == 0 {
				node.crash(rng)
			} else {
				node.close()
			}
			node.start()
		}
		asking.Wait()
		o.mustBeLinear(t, node.node.engine)
		target.close()
		node.close()
	}
}
