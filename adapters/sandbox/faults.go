package sandbox

import "net/http"

// Fault is what goes wrong with a request. See https://stripe.com/docs/error-low-level.
type Fault int

// Faults.
const (
	NoFault     Fault = iota
	RateLimited       // 429 rate_limit: not begun, nothing saved
	LockTimeout       // 429 lock_timeout: not begun, nothing saved
	KeyInUse          // 409 idempotency_key_in_use, though nobody uses it
	ErrorBefore       // 500, not done; saved under the key all the same
	ErrorAfter        // 500, but done; saved under the key
	CutBefore         // the connection breaks, not done
	CutAfter          // the connection breaks, but done
)

// fault is what goes wrong with a request, by [Options.Faults].
func (s *Server) fault(r *http.Request) Fault {
	if s.opts.Faults == nil {
		return NoFault
	}
	return s.opts.Faults(r.Method, r.URL.Path, r.Header.Get("Idempotency-Key"))
}

// turnedAway is the answer to a request that is not begun; nil: it is.
func (f Fault) turnedAway() *apiError {
	switch f {
	case RateLimited:
		return &apiError{Status: http.StatusTooManyRequests, Type: errInvalid, Code: "rate_limit", Message: "Request rate limit exceeded."}
	case LockTimeout:
		return &apiError{Status: http.StatusTooManyRequests, Type: errInvalid, Code: "lock_timeout", Message: "This object cannot be accessed right now because another API request or Stripe process is currently accessing it."}
	case KeyInUse:
		return &apiError{Status: http.StatusConflict, Type: errIdempotency, Code: "idempotency_key_in_use", Message: "There is currently another in-progress request using this Idempotent Key."}
	case CutBefore:
		panic(http.ErrAbortHandler)
	}
	return nil
}

// crashed is the answer that a crash of Stripe's leaves.
func crashed() answer {
	e := &apiError{Status: http.StatusInternalServerError, Type: errAPI, Message: "Sorry! There was an error while processing your request."}
	return answer{status: e.Status, body: mustJSON(e.wire(nil, ""))}
}
