package seal

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// HopSigner proves requests, answers and receipts with a key. It is safe for use by many goroutines.
type HopSigner struct {
	form Form
	key  func() (SigningKey, error) // of the moment
	now  func() time.Time
}

// NewHopSigner signs in the form ByHop or ByWebhook.
func NewHopSigner(form Form, key func() (SigningKey, error), now func() time.Time) *HopSigner {
	return &HopSigner{form, key, now}
}

// SignHop adds the proof of a request to its header. In the form ByWebhook only a request that carries an event is signed.
func (s *HopSigner) SignHop(_ context.Context, h *message.Hop) error {
	k, err := s.key()
	if err != nil {
		return err
	}
	if s.form != ByWebhook {
		return k.ProveHop(h, s.now(), newNonce())
	}
	id := h.Header["Ce-Id"]
	if len(id) == 0 {
		return nil
	}
	if h.Header["Content-Digest"] != nil {
		return &problem.Error{
			Kind: problem.TooLarge, What: "sign message " + id[0] + " by Standard Webhooks", Why: "its body is not in memory",
			Hint: "use proof: http-signature, which signs its digest",
		}
	}
	return k.ProveWebhook(h, id[0], s.now())
}

// SignAnswer adds the proof of an answer to its header.
func (s *HopSigner) SignAnswer(h *message.Hop) error {
	k, err := s.key()
	if err != nil {
		return err
	}
	return k.ProveHop(h, s.now(), newNonce())
}

// SignReceipt is the receipt of an event that was taken, as a document of that number, which has changed a target, if any.
func (s *HopSigner) SignReceipt(id, digest, document, target string, at time.Time) (string, error) {
	k, err := s.key()
	if err != nil {
		return "", err
	}
	return k.SignReceipt(SignedReceipt{ID: id, Digest: digest, Verdict: Accepted, Document: document, Target: target, At: at.UTC()})
}

// newNonce is one that nobody can guess and no signature had before.
func newNonce() string {
	b := make([]byte, nonces)
	_, _ = rand.Read(b) // it never fails, see crypto/rand
	return base64.RawURLEncoding.EncodeToString(b)
}
