package node

import (
	"context"
	"fmt"
	"slices"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/projections"
	"google.golang.org/grpc/codes"
)

// projector is as much of EventStoreDB's Projections service as a program needs
// that reads index streams: it finds the five system projections running, may
// ask for them and switch them on. That is what they always are here, so nothing
// is changed by it. Projections of one's own are not there, and none is
// advertised; their calls answer UNIMPLEMENTED.
type projector struct {
	projections.UnimplementedProjectionsServer
	calls *service
}

// systemProjections are those that fill index streams in EventStoreDB.
var systemProjections = []string{"$by_category", "$by_correlation_id", "$by_event_type", "$stream_by_category", "$streams"}

func noProjection(name string) error {
	return refuse(codes.NotFound, nil, "Projection '%s' not found", name)
}

// Enable switches on what is on.
func (p *projector) Enable(ctx context.Context, req *projections.EnableReq) (*projections.EnableResp, error) {
	if err := p.calls.allow(ctx, opAdmin, ""); err != nil {
		return nil, err
	}
	if name := req.GetOptions().GetName(); !isSystemProjection(name) {
		return nil, noProjection(name)
	}
	return &projections.EnableResp{}, nil
}

// Disable refuses: an index stream that is not kept would have to be made again.
func (p *projector) Disable(ctx context.Context, req *projections.DisableReq) (*projections.DisableResp, error) {
	if err := p.calls.allow(ctx, opAdmin, ""); err != nil {
		return nil, err
	}
	name := req.GetOptions().GetName()
	if !isSystemProjection(name) {
		return nil, noProjection(name)
	}
	return nil, refuse(codes.FailedPrecondition, nil, "Projection '%s' cannot be stopped: this node always keeps its index streams.", name)
}

// Statistics tells of one, or of all that are continuous, which they are.
func (p *projector) Statistics(req *projections.StatisticsReq, out projections.Projections_StatisticsServer) error {
	if err := p.calls.allow(out.Context(), opGroupInfo, ""); err != nil {
		return err
	}
	var names []string
	switch of := req.GetOptions().GetMode().(type) {
	case *projections.StatisticsReq_Options_Name:
		if !isSystemProjection(of.Name) {
			return noProjection(of.Name)
		}
		names = []string{of.Name}
	case *projections.StatisticsReq_Options_All, *projections.StatisticsReq_Options_Continuous:
		names = systemProjections
	}
	position := fmt.Sprintf("C:%d/P:%d", p.calls.engine.head(), p.calls.engine.head())
	for _, name := range names {
		err := out.Send(&projections.StatisticsResp{Details: &projections.StatisticsResp_Details{
			Name: name, EffectiveName: name, Status: "Running", Mode: "Continuous", Progress: 100,
			Position: position, LastCheckpoint: position,
		}})
		if err != nil {
			return err
		}
	}
	return nil
}

func isSystemProjection(name string) bool { return slices.Contains(systemProjections, name) }
