package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Rules of https://stripe.com/docs/api/idempotent_requests: the answer to the
// first request with a key is saved once its execution began, whatever it was,
// and given again to every later request with the same key and parameters.
// Nothing is saved of a request that was refused for its parameters alone, for
// its API key, or because another one with the same key was under way.
const (
	maxKeyLength = 255
	keyLifetime  = 24 * time.Hour
)

// savedKey is an idempotency key, what it was used for and what was answered.
type savedKey struct {
	Key     string
	Account string `json:",omitempty"` // connected account; "" is the platform
	Created int64
	Path    string
	Params  string // a digest; card numbers in it can only be published test cards
	Status  int
	Body    json.RawMessage
	Request string // the id of the first request
}

// keyID names a key of an account: each has its own. A line break is in no header.
func keyID(account, key string) string {
	if account == "" || key == "" {
		return key
	}
	return account + "\n" + key
}

func (k *savedKey) id() string { return keyID(k.Account, k.Key) }

// digest identifies the parameters of a request, in whatever order they came.
func digest(v url.Values) string {
	sum := sha256.Sum256([]byte(v.Encode()))
	return hex.EncodeToString(sum[:16])
}

// forgetKeys drops the keys that have lived long enough. That is not journalled:
// a replay brings them back and the first request drops them again.
func (st *state) forgetKeys() {
	for k := st.keys.first(); k != nil && st.now.Unix()-k.Created >= int64(keyLifetime/time.Second); k = st.keys.first() {
		st.keys.dropFirst(k.id())
	}
}

// conflict refuses a key that was used for something else.
func (k *savedKey) conflict(path, params string) *apiError {
	e := &apiError{Status: http.StatusBadRequest, Type: errIdempotency}
	switch {
	case k.Path != path:
		e.Message = "Keys for idempotent requests can only be used for the same endpoint they were first used for ('" + path + "' vs '" + k.Path + "'). Try using a key other than '" + k.Key + "' if you meant to execute a different request."
	case k.Params != params:
		e.Message = "Keys for idempotent requests can only be used with the same parameters they were first used with. Try using a key other than '" + k.Key + "' if you meant to execute a different request."
	default:
		return nil
	}
	return e
}

// underWay are the keys of requests that are being served right now.
type underWay struct {
	mu   sync.Mutex
	keys map[string]struct{}
}

func (u *underWay) begin(account, key string) *apiError {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, busy := u.keys[keyID(account, key)]; busy {
		return &apiError{
			Status: http.StatusConflict, Type: errIdempotency, Code: "idempotency_key_in_use",
			Message: "There is currently another in-progress request using this Idempotent Key (that probably means you submitted twice, and the other request is still going through): " + key + ". Wait for it, then send the same request again.",
		}
	}
	if u.keys == nil {
		u.keys = map[string]struct{}{}
	}
	u.keys[keyID(account, key)] = struct{}{}
	return nil
}

func (u *underWay) end(account, key string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.keys, keyID(account, key))
}
