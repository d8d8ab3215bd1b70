package sandbox

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

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

// faultNames are the words for them on a command line.
var faultNames = map[string]Fault{
	"429": RateLimited, "lock-timeout": LockTimeout, "409": KeyInUse,
	"500-before": ErrorBefore, "500-after": ErrorAfter, "cut-before": CutBefore, "cut-after": CutAfter,
}

// fault is what goes wrong with a request, by [Options.Faults].
func (s *Server) fault(r *http.Request) Fault {
	if s.opts.Faults == nil || strings.HasPrefix(r.URL.Path, clockPath) {
		return NoFault
	}
	return s.opts.Faults(r.Method, r.URL.Path, r.Header.Get("Idempotency-Key"))
}

// turnedAway is the answer to a request that is not begun; nil: it is.
func (f Fault) turnedAway() *apiError {
	switch f {
	case RateLimited:
		return tooMany()
	case LockTimeout:
		return &apiError{Status: http.StatusTooManyRequests, Type: errInvalid, Code: "lock_timeout", Message: "This object cannot be accessed right now because another API request or Stripe process is currently accessing it."}
	case KeyInUse:
		return &apiError{Status: http.StatusConflict, Type: errIdempotency, Code: "idempotency_key_in_use", Message: "There is currently another in-progress request using this Idempotent Key."}
	case CutBefore:
		panic(http.ErrAbortHandler)
	}
	return nil
}

func tooMany() *apiError {
	return &apiError{Status: http.StatusTooManyRequests, Type: errInvalid, Code: "rate_limit",
		Message: "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits."}
}

// crashed is the answer that a crash of Stripe's leaves.
func crashed() answer {
	e := &apiError{Status: http.StatusInternalServerError, Type: errAPI, Message: "Sorry! There was an error while processing your request."}
	return answer{status: e.Status, body: mustJSON(e.wire(nil, ""))}
}

// Rate is how often something happens, in ten thousand.
type Rate int

const always10k = 10_000

// ParseRate reads "1%", "0.25%".
func ParseRate(s string) (Rate, error) {
	number, percent := strings.CutSuffix(s, "%")
	whole, part, _ := strings.Cut(number, ".")
	n, err := strconv.ParseUint(whole+(part + "00")[:max(2, len(part))], 10, 32)
	if !percent || whole == "" || err != nil || len(part) > 2 || n > always10k {
		return 0, fmt.Errorf("%q is no rate: write it like 1%% or 0.25%%, up to 100%%", s)
	}
	return Rate(n), nil
}

// FaultRates are how often each fault happens to a request.
type FaultRates map[Fault]Rate

// ParseFaultRates reads "429=1%", "500-after=2%", … each once, not more than
// 100 % in all.
func ParseFaultRates(list []string) (FaultRates, error) {
	rates, sum := FaultRates{}, Rate(0)
	for _, one := range list {
		name, value, _ := strings.Cut(one, "=")
		f, known := faultNames[name]
		if !known {
			return nil, fmt.Errorf("there is no fault %q: there are %s", name, strings.Join(slices.Sorted(maps.Keys(faultNames)), ", "))
		}
		rate, err := ParseRate(value)
		if err != nil {
			return nil, fmt.Errorf("fault %s: %w", name, err)
		}
		if _, twice := rates[f]; twice {
			return nil, fmt.Errorf("the fault %s is given twice", name)
		}
		rates[f] = rate
		sum += rate
	}
	if sum > always10k {
		return nil, fmt.Errorf("the faults come to more than 100%% of all requests")
	}
	return rates, nil
}

// Seeded is an [Options.Faults] that draws from a seed: the same requests in the
// same order meet the same faults.
func (rates FaultRates) Seeded(seed uint64) func(method, path, key string) Fault {
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(seed, uint64(len("faults"))))
	return func(string, string, string) Fault {
		mu.Lock()
		defer mu.Unlock()
		n := Rate(rng.IntN(always10k))
		for f := RateLimited; f <= CutAfter; f++ {
			if n -= rates[f]; n < 0 {
				return f
			}
		}
		return NoFault
	}
}

// limiter counts the requests of a second.
type limiter struct {
	mu     sync.Mutex
	second int64
	served int
}

func (l *limiter) admits(most int, path string, now func() time.Time) bool {
	if most == 0 || strings.HasPrefix(path, clockPath) {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := now().Unix(); s != l.second {
		l.second, l.served = s, 0
	}
	l.served++
	return l.served <= most
}
