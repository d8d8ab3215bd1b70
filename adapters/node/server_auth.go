package node

import (
	"context"
	"net"
	"net/http"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// Who makes a call is found out before it begins, by the user name and password
// that every call of a client carries (HTTP's Basic authentication). Wrong ones
// are refused whatever the call; a call without any is anonymous, and what it
// may do is little: find the server and ask what it can.
//
// A node without users asks nobody: everyone may do everything.

// callerKey is the context's key of the *login that makes a call.
type callerKey struct{}

// callerOf returns who makes a call, nil when that is not known.
func callerOf(ctx context.Context) *login {
	l, _ := ctx.Value(callerKey{}).(*login)
	return l
}

// identify puts the caller in the context of a call.
func (s *service) identify(ctx context.Context) (context.Context, error) {
	if s.users == nil {
		return ctx, nil
	}
	headers := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(headers) == 0 {
		return ctx, nil
	}
	if len(headers) > 1 {
		return ctx, errNotBasic
	}
	from := ""
	if p, ok := peer.FromContext(ctx); ok {
		from = hostOf(p.Addr.String())
	}
	l, err := s.users.logIn(ctx, headers[0], from)
	if err != nil {
		return ctx, err
	}
	return context.WithValue(ctx, callerKey{}, l), nil
}

func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}

func (s *service) identifyUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	ctx, err := s.identify(ctx)
	if err != nil {
		return nil, err
	}
	return handle(ctx, req)
}

func (s *service) identifyStream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	ctx, err := s.identify(stream.Context())
	if err != nil {
		return err
	}
	if ctx != stream.Context() {
		stream = &identifiedStream{stream, ctx}
	}
	return handle(srv, stream)
}

type identifiedStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *identifiedStream) Context() context.Context { return s.ctx }

// authorized lets a request through that comes from a member of $ops or
// $admins, and any request when the node has no users.
func (s *Server) authorized(next http.Handler) http.Handler {
	return s.authenticated((*login).operates, next)
}

// authenticated lets a request through that comes from a user who may, and any
// request when the node has no users.
func (s *Server) authenticated(may func(*login) bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		users := s.calls.users
		if users == nil {
			next.ServeHTTP(w, r)
			return
		}
		header := r.Header.Get("Authorization")
		if header == "" {
			unauthenticated(w, "this needs a user name and a password")
			return
		}
		l, err := users.logIn(r.Context(), header, hostOf(r.RemoteAddr))
		switch {
		case status.Code(err) == codes.Unauthenticated:
			unauthenticated(w, err.Error())
		case err != nil:
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		case !may(l):
			http.Error(w, "user "+l.Name+" may not do this: it needs the group "+OpsGroup+" or "+AdminGroup, http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func anyUser(*login) bool { return true }

func unauthenticated(w http.ResponseWriter, why string) {
	w.Header().Set("WWW-Authenticate", `Basic realm="kicau node", charset="UTF-8"`)
	http.Error(w, why, http.StatusUnauthorized)
}

// is tells whether a user is meant by one of the roles: everyone, a user's
// name, or a group.
func (l *login) is(roles []string) bool {
	return slices.ContainsFunc(roles, func(role string) bool {
		return role == everyone || role == l.Name || slices.Contains(l.Groups, role)
	})
}

// administers tells whether a user may do everything.
func (l *login) administers() bool { return slices.Contains(l.Groups, AdminGroup) }

// operates tells whether a user may manage persistent subscriptions and run
// operations.
func (l *login) operates() bool { return l.administers() || slices.Contains(l.Groups, OpsGroup) }
