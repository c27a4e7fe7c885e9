package seal

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// Standard Webhooks 1.0: a signature over ID, time and body, for receivers that know no more. It covers neither address nor headers, so
// that only an event that says everything in its body is believed by it.
const (
	webhookID        = "Webhook-Id"
	webhookTime      = "Webhook-Timestamp"
	webhookSignature = "Webhook-Signature"
	mostSignatures   = 10
)

func webhookText(id, at string, body []byte) []byte {
	return append([]byte(id+"."+at+"."), body...)
}

func webhookVersion(a Algorithm) string {
	if a == HMAC {
		return "v1"
	}
	return "v1a"
}

// ProveWebhook signs a request in its header. id must have no full stop.
func (k SigningKey) ProveWebhook(h *message.Hop, id string, at time.Time) error {
	stamp := strconv.FormatInt(at.Unix(), 10)
	if id == "" || strings.ContainsRune(id, '.') {
		return bad(problem.Invalid, "the ID "+shown(id)+" cannot be that of a webhook")
	}
	signature := webhookVersion(k.Algorithm) + "," + base64.StdEncoding.EncodeToString(k.sign(webhookText(id, stamp, h.Body)))
	h.Header[webhookID], h.Header[webhookTime], h.Header[webhookSignature] = []string{id}, []string{stamp}, []string{signature}
	return nil
}

// checkWebhook is nil if one of the keys has signed the request and it is fresh. It has no nonce: a sender that repeats a delivery may
// send the very same again, which the inbox knows by its ID.
func checkWebhook(h *message.Hop, keys []Key, now time.Time, age time.Duration) error {
	one := func(name string) string {
		if all := h.Header[name]; len(all) == 1 {
			return all[0]
		}
		return ""
	}
	id, stamp, signatures := one(webhookID), one(webhookTime), strings.Fields(one(webhookSignature))
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	at := time.Unix(seconds, 0)
	switch {
	case h.Status != 0 || id == "" || len(signatures) == 0:
		return bad(problem.Denied, "it has no signature of Standard Webhooks")
	case err != nil || strings.ContainsRune(id, '.') || len(id) > mostNonce || len(signatures) > mostSignatures:
		return bad(problem.Integrity, "its signature of Standard Webhooks cannot be read")
	case at.After(now.Add(hopSkew)) || !now.Before(at.Add(age)):
		return bad(problem.Integrity, "its proof has expired: it was signed at "+at.UTC().Format(time.RFC3339))
	}
	text := webhookText(id, stamp, h.Body)
	for _, s := range signatures {
		version, encoded, _ := strings.Cut(s, ",")
		value, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if err != nil {
			continue
		}
		for _, k := range keys {
			if webhookVersion(k.Algorithm) == version && k.counts(at) && k.verify(text, value) {
				return nil
			}
		}
	}
	return bad(problem.Integrity, "its signature is not over this content, or not by a key that is known")
}
