package node

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/google/uuid"
	"google.golang.org/grpc/metadata"
)

// protocolVersion is the EventStoreDB whose protocol is spoken. Digits only: the
// Go client closes for good on a suffix it cannot read as numbers.
const protocolVersion = "24.10.0"

// defaultPort is EventStoreDB's, for an authority without one.
const defaultPort = 2113

// features answers what this server can do. Names are lower case, as clients
// compare them. Only what exists is named: clients choose their way by it (the
// Node client appends through BatchAppend when that is named).
type features struct {
	serverfeatures.UnimplementedServerFeaturesServer
}

func (features) GetSupportedMethods(context.Context, *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	const (
		service = "event_store.client.streams.streams"
		groups  = "event_store.client.persistent_subscriptions.persistentsubscriptions"
	)
	both := []string{"stream", "all"}
	return &serverfeatures.SupportedMethods{
		EventStoreServerVersion: protocolVersion,
		Methods: []*serverfeatures.SupportedMethod{
			{ServiceName: service, MethodName: "read", Features: []string{"position", "events"}},
			{ServiceName: service, MethodName: "append"},
			{ServiceName: service, MethodName: "batchappend", Features: []string{"deadline_duration"}},
			{ServiceName: service, MethodName: "delete"},
			{ServiceName: service, MethodName: "tombstone"},
			{ServiceName: groups, MethodName: "create", Features: both},
			{ServiceName: groups, MethodName: "update", Features: both},
			{ServiceName: groups, MethodName: "delete", Features: both},
			{ServiceName: groups, MethodName: "read", Features: both},
			{ServiceName: groups, MethodName: "getinfo", Features: both},
			{ServiceName: groups, MethodName: "list", Features: both},
			{ServiceName: groups, MethodName: "replayparked", Features: both},
			{ServiceName: groups, MethodName: "restartsubsystem", Features: both},
		},
	}, nil
}

// gossiper tells clients that discover a cluster that it has one node, its
// leader. They then connect to the address given here, so it must be one that
// they can reach: the one they came to, unless told otherwise.
type gossiper struct {
	gossip.UnimplementedGossipServer
	id        uuid.UUID
	advertise string
}

func (g *gossiper) Read(ctx context.Context, _ *shared.Empty) (*gossip.ClusterInfo, error) {
	address := g.advertise
	if md, ok := metadata.FromIncomingContext(ctx); ok && address == "" {
		for _, authority := range md.Get(":authority") {
			address = authority
		}
	}
	host, port, err := hostPort(address)
	if err != nil {
		return nil, invalid("cannot tell where this node is: %v; set the address to advertise", err)
	}
	return &gossip.ClusterInfo{Members: []*gossip.MemberInfo{{
		InstanceId:   structuredID(g.id),
		TimeStamp:    ticks(time.Now()),
		State:        gossip.MemberInfo_Leader,
		IsAlive:      true,
		HttpEndPoint: &gossip.EndPoint{Address: host, Port: port},
	}}}, nil
}

// info answers GET /info as EventStoreDB does (InfoController.cs), which test
// containers and user interfaces ask.
func (s *Server) info(w http.ResponseWriter, _ *http.Request) {
	type authentication struct {
		Type       string            `json:"type"`
		Properties map[string]string `json:"properties"`
	}
	answer := struct {
		DBVersion      string          `json:"dbVersion"`
		ESVersion      string          `json:"esVersion"`
		State          string          `json:"state"`
		Features       map[string]bool `json:"features"`
		Authentication authentication  `json:"authentication"`
	}{
		DBVersion: protocolVersion, ESVersion: protocolVersion, State: "leader",
		Features:       map[string]bool{"projections": false, "userManagement": false, "atomPub": false},
		Authentication: authentication{Type: "internal", Properties: map[string]string{}},
	}
	if s.calls.users == nil {
		answer.Authentication.Type = "insecure"
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		s.opts.Logger.Debug("a request for /info was not answered", "error", err)
	}
}

func checkAdvertise(address string) error {
	if address == "" {
		return nil
	}
	if _, _, err := hostPort(address); err != nil {
		return fmt.Errorf("address to advertise: %w", err)
	}
	return nil
}

func hostPort(address string) (string, uint32, error) {
	host, p, err := net.SplitHostPort(address)
	if err != nil {
		host, p, err = net.SplitHostPort(fmt.Sprintf("%s:%d", address, defaultPort))
	}
	if err != nil {
		return "", 0, err
	}
	port, err := strconv.ParseUint(p, 10, 16)
	if err != nil || host == "" || port == 0 {
		return "", 0, fmt.Errorf("%q is not host:port", address)
	}
	return host, uint32(port), nil
}

// ticks is t as .NET counts: units of 100 ns since the Unix epoch.
func ticks(t time.Time) int64 { return t.UnixNano() / 100 }
