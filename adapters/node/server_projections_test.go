package node

import (
	"context"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/projections"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Programs that use the service are in client_streams_test.go and
// testdata/nodejs; here is who may.
func TestProjectionsAccess(t *testing.T) {
	g := guard(t)
	p := &projector{calls: g.service}
	for _, name := range []string{"$by_category", "mine"} {
		enable := func(ctx context.Context) error {
			_, err := p.Enable(ctx, &projections.EnableReq{Options: &projections.EnableReq_Options{Name: name}})
			return err
		}
		disable := func(ctx context.Context) error {
			_, err := p.Disable(ctx, &projections.DisableReq{Options: &projections.DisableReq_Options{Name: name}})
			return err
		}
		known := map[bool]codes.Code{true: codes.OK, false: codes.NotFound}[name == "$by_category"]
		kept := map[bool]codes.Code{true: codes.FailedPrecondition, false: codes.NotFound}[name == "$by_category"]
		for who, ctx := range g.as {
			wantEnable, wantDisable := known, kept
			if who != "root" && who != "ops" {
				wantEnable, wantDisable = codes.PermissionDenied, codes.PermissionDenied
			}
			if got := status.Code(enable(ctx)); got != wantEnable {
				t.Errorf("%s enables %s: got %v, want %v", who, name, got, wantEnable)
			}
			if got := status.Code(disable(ctx)); got != wantDisable {
				t.Errorf("%s disables %s: got %v, want %v", who, name, got, wantDisable)
			}
		}
	}
}

func TestProjectionsAreNotToldToStrangers(t *testing.T) {
	s := secure(t)
	all := &projections.StatisticsReq{Options: &projections.StatisticsReq_Options{Mode: &projections.StatisticsReq_Options_All{All: none}}}
	for name, want := range map[string]codes.Code{"": codes.PermissionDenied, "bert": codes.OK} {
		ctx := s.waitFor()
		if name != "" {
			ctx = s.asUser(ctx, name, "password")
		}
		call, err := projections.NewProjectionsClient(s.conn).Statistics(ctx, all)
		s.must(err)
		if _, err = call.Recv(); status.Code(err) != want {
			t.Errorf("%q asks for all projections: got %v, want %v", name, err, want)
		}
	}
}
