package web

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"

	"kicau/domain/event"
)

const webhookPath = "/webhooks/stripe"

// MaxNotices are looked into at a time. The processor sends again what is turned
// away.
const MaxNotices = 32

// webhook takes a notice of the processor. It is answered 200 only once what it
// is about is in the log: until then the processor sends it again.
func (s *Server) webhook(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r, maxNotice)
	if err != nil {
		return err
	}
	about, key, err := s.o.VerifyWebhook(body, r.Header.Get("Stripe-Signature"))
	if err != nil {
		s.o.Logger.Warn("web: a notice was refused", "error", err)
		return errSignature
	}
	if about != "" {
		select {
		case s.noticing <- struct{}{}:
			defer func() { <-s.noticing }()
		default:
			return errOverloaded
		}
		// The same notice has the same id however often it comes.
		sum := sha256.Sum256(body)
		if err := s.o.Notice(r.Context(), about, key, event.NameID("notice", hex.EncodeToString(sum[:]))); err != nil {
			s.o.Logger.Warn("web: a notice could not be looked into; it comes again", "about", about, "error", err)
			return errUnavailable
		}
	}
	writeJSON(w, http.StatusOK, map[string]bool{"received": true})
	return nil
}
