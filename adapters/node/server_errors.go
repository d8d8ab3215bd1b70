package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"kicau/adapters/command"
)

// EventStoreDB tells clients what went wrong by trailers: "exception" names
// the error, others carry its particulars (Constants.cs and RpcExceptions.cs of
// the server). Clients look at the trailers first and at the code after.
const (
	exceptionKey            = "exception"
	exceptionAccessDenied   = "access-denied"
	exceptionStreamDeleted  = "stream-deleted"
	exceptionWrongVersion   = "wrong-expected-version"
	exceptionAppendTooLarge = "maximum-append-size-exceeded"
	exceptionMetadata       = "missing-required-metadata-property"

	trailerStream         = "stream-name"
	trailerExpected       = "expected-version"
	trailerActual         = "actual-version"
	trailerMaxAppend      = "maximum-append-size"
	trailerNeededMetadata = "required-metadata-properties"
)

// ReadOnlyReason and ErrorDomain mark, in a google.rpc.ErrorInfo, the one error
// that EventStoreDB has no name for: the disk is full, nothing was written. The
// code is RESOURCE_EXHAUSTED, which gRPC gives for exactly this ("perhaps the
// entire file system is out of space").
const (
	ErrorDomain    = "kicau"
	ReadOnlyReason = "READ_ONLY"
)

// refused is an error of the protocol: a status, and trailers that say more.
type refused struct {
	status  *status.Status
	trailer metadata.MD
}

func (r *refused) Error() string              { return r.status.Message() }
func (r *refused) GRPCStatus() *status.Status { return r.status }

func refuse(code codes.Code, trailer metadata.MD, format string, args ...any) error {
	return &refused{status.Newf(code, format, args...), trailer}
}

func invalid(format string, args ...any) error {
	return refuse(codes.InvalidArgument, nil, format, args...)
}

// accessDenied refuses what the caller may not do; stream is "" where it is not
// about one.
func accessDenied(stream, why string) error {
	return refuse(codes.PermissionDenied, metadata.Pairs(exceptionKey, exceptionAccessDenied),
		"Access to %s is denied: %s.", cmp.Or(stream, "this operation"), why)
}

func deletedStream(stream string) error {
	return refuse(codes.FailedPrecondition,
		metadata.Pairs(exceptionKey, exceptionStreamDeleted, trailerStream, printable(stream)),
		"Event stream '%s' is deleted.", stream)
}

func wrongExpectedVersion(operation string, w *wrongRevision) error {
	return refuse(codes.FailedPrecondition,
		metadata.Pairs(exceptionKey, exceptionWrongVersion,
			trailerStream, printable(w.Stream),
			trailerExpected, strconv.FormatInt(w.Expected, 10),
			trailerActual, strconv.FormatInt(w.Actual, 10)),
		"%s failed due to WrongExpectedVersion. Stream: %s, Expected version: %d, Actual version: %d",
		operation, w.Stream, w.Expected, w.Actual)
}

func appendTooLarge() error {
	return refuse(codes.InvalidArgument,
		metadata.Pairs(exceptionKey, exceptionAppendTooLarge, trailerMaxAppend, strconv.Itoa(command.MaxAppendBytes)),
		"Maximum Append Size of %d Exceeded.", command.MaxAppendBytes)
}

func metadataMissing(property string) error {
	return refuse(codes.InvalidArgument,
		metadata.Pairs(exceptionKey, exceptionMetadata, trailerNeededMetadata, "type,content-type"),
		"Required Metadata Property '%s' is missing", property)
}

func readOnly() error {
	st := status.New(codes.ResourceExhausted, "The log is read-only until its disk has room; nothing was written.")
	if detailed, err := st.WithDetails(&errdetails.ErrorInfo{Reason: ReadOnlyReason, Domain: ErrorDomain}); err == nil {
		st = detailed
	}
	return &refused{status: st}
}

// engineError says in the protocol's words what the engine answered. What it
// does not know stays an internal error: the outcome is for the client to find
// out, by sending the same again.
func engineError(operation, stream string, err error) error {
	var (
		known *refused
		wrong *wrongRevision
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known
	case errors.As(err, &wrong):
		return wrongExpectedVersion(operation, wrong)
	case errors.Is(err, command.ErrStreamDeleted):
		return deletedStream(stream)
	case errors.Is(err, command.ErrTooLarge):
		return appendTooLarge()
	case errors.Is(err, command.ErrReadOnly):
		return readOnly()
	case errors.Is(err, command.ErrClosed):
		return errStopping
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	default:
		if _, isStatus := status.FromError(err); isStatus {
			return err // from the transport
		}
		return refuse(codes.Internal, nil, "%s of %s: %v", operation, stream, err)
	}
}

// errStopping ends every call when the server closes. Unavailable makes clients
// look for the server anew.
var errStopping = refuse(codes.Unavailable, nil, "The server is shutting down.")

// printable makes a stream name fit for a trailer, whose values are printable
// ASCII: other names are percent-encoded whole.
func printable(name string) string {
	for i := range len(name) {
		if name[i] < ' ' || name[i] > '~' {
			return url.PathEscape(name)
		}
	}
	return name
}

// Interceptors that send the trailers of a refusal.

func trailUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	resp, err := handle(ctx, req)
	var r *refused
	if errors.As(err, &r) {
		if terr := grpc.SetTrailer(ctx, r.trailer); terr != nil {
			return nil, fmt.Errorf("set trailer: %w", terr)
		}
	}
	return resp, err
}

func trailStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	err := handle(srv, stream)
	if err != nil && info.IsClientStream && !info.IsServerStream {
		hearOut(stream)
	}
	var r *refused
	if errors.As(err, &r) {
		stream.SetTrailer(r.trailer)
	}
	return err
}

// Bounds of what is received of an append that was refused already.
const (
	hearOutBytes = 2 * maxRequestBytes
	hearOutTime  = 2 * time.Second
)

// hearOut receives the rest of an append. A client that is refused while it still
// sends may only see that its stream has ended: the Go client does, and then says
// neither what was wrong nor that nothing was written.
func hearOut(stream grpc.ServerStream) {
	heard := make(chan struct{})
	go func() { // ends with the call at the latest
		defer close(heard)
		for bytes := 0; bytes < hearOutBytes; {
			var m streams.AppendReq
			if stream.RecvMsg(&m) != nil {
				return
			}
			bytes += proto.Size(&m)
		}
	}()
	select {
	case <-heard:
	case <-time.After(hearOutTime):
	}
}
