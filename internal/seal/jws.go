package seal

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// The types of JWS that are made and read here. Each serves one use, and a header that says another type is refused.
const (
	messageJWS = "holdfast-message+jws" // detached (RFC 7515 appendix F): over messagePayload
	receiptJWS = "holdfast-receipt+jws" // over a SignedReceipt
)

// mostJWS bounds a JWS before any of it is decoded.
const mostJWS = 8 << 10

// messagePayload is what a sender that speaks JOSE signs of a message: its digest, which covers the message and its place
// (message.Message.Digest), and the version of its object, which may say that a later one makes it void.
func messagePayload(m message.Message, objectVersion string) []byte {
	return []byte("holdfast/message/1 " + m.Digest() + " " + objectVersion)
}

// SignMessage is the detached JWS of a message, as a sender that speaks JOSE makes it: EdDSA, or HS256 with a shared secret.
func (k SigningKey) SignMessage(m message.Message, objectVersion string) (string, error) {
	full, err := k.jws(messageJWS, messagePayload(m, objectVersion))
	if err != nil {
		return "", fmt.Errorf("sign %s %s: %w", m.Kind, m.ID, err)
	}
	return full.DetachedCompactSerialize()
}

func (k SigningKey) jws(typ string, payload []byte) (*jose.JSONWebSignature, error) {
	key := jose.SigningKey{Algorithm: jose.EdDSA, Key: k.private}
	if k.Algorithm == HMAC {
		key = jose.SigningKey{Algorithm: jose.HS256, Key: k.secret}
	}
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)).WithHeader("kid", string(k.ID)))
	if err != nil {
		return nil, err
	}
	return signer.Sign(payload)
}

// joseHeader is all that a protected header may have. What brings a key along (jwk, jku, x5u, x5c), and what would have to be understood
// (crit), is refused with everything else that is not named here.
type joseHeader struct {
	Algorithm string `json:"alg"`
	Key       string `json:"kid"`
	Type      string `json:"typ"`
}

// readJWSHeader reads the header of a compact JWS; its bytes are not believed yet.
func readJWSHeader(token, typ string) (joseHeader, error) {
	var h joseHeader
	encoded, _, ok := strings.Cut(token, ".")
	if len(token) > mostJWS || !ok || strings.Count(token, ".") != 2 {
		return h, bad(problem.Integrity, "its signature is no compact JWS")
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err == nil {
		err = strictJSON(text, &h)
	}
	switch {
	case err != nil:
		return h, bad(problem.Integrity, "the header of its signature has more than alg, kid and typ, or cannot be read")
	case h.Type != typ:
		return h, bad(problem.Integrity, "its signature is of type "+shown(h.Type)+", not "+typ)
	case h.Key == "":
		return h, bad(problem.Integrity, "its signature names no key")
	}
	return h, nil
}

// strictJSON reads one object of text members, each of which comes once and is known.
func strictJSON(text []byte, v any) error {
	seen := map[string]bool{}
	d := json.NewDecoder(bytes.NewReader(text))
	if first, err := d.Token(); err != nil || first != json.Delim('{') {
		return errors.New("it is no object")
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var skipped json.RawMessage
		if err := d.Decode(&skipped); err != nil {
			return err
		}
		if seen[strings.ToLower(fmt.Sprint(name))] {
			return fmt.Errorf("%v comes twice", name)
		}
		seen[strings.ToLower(fmt.Sprint(name))] = true
	}
	d = json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows it")
	}
	return nil
}

// joseNames are the names by which JOSE knows the algorithms of keys.
func joseNames(a Algorithm) []jose.SignatureAlgorithm {
	switch a {
	case Ed25519:
		return []jose.SignatureAlgorithm{jose.EdDSA}
	case HMAC:
		return []jose.SignatureAlgorithm{jose.HS256}
	case P256:
		return []jose.SignatureAlgorithm{jose.ES256}
	case RSAPSS:
		return []jose.SignatureAlgorithm{jose.PS512}
	}
	return nil
}

// verifyJWS checks a compact JWS by a key; detached is its payload where it brings none. It is the payload that was signed.
func (k Key) verifyJWS(token string, detached []byte) ([]byte, error) {
	var s *jose.JSONWebSignature
	var err error
	if detached != nil {
		s, err = jose.ParseDetached(token, detached, joseNames(k.Algorithm))
	} else {
		s, err = jose.ParseSignedCompact(token, joseNames(k.Algorithm))
	}
	if err != nil {
		return nil, bad(problem.Integrity, "its signature is no JWS by "+string(k.Algorithm)+", for which key "+string(k.ID)+" is")
	}
	var with any = k.public
	if k.Algorithm == HMAC {
		with = k.secret
	}
	payload, err := s.Verify(with)
	if err != nil {
		return nil, bad(problem.Integrity, "its signature is not over this content, or not by this key")
	}
	return payload, nil
}

// SignedReceipt is what an ERP signs when it has taken a message: the only proof of receipt that holds against it later.
type SignedReceipt struct {
	ID       string    `json:"id"`                 // of the event
	Digest   string    `json:"digest"`             // of the event
	Verdict  string    `json:"verdict"`            // accepted
	Document string    `json:"document,omitempty"` // the ERP's number
	Target   string    `json:"target,omitempty"`   // what the document changed, where that is another
	At       time.Time `json:"at"`                 // when, by the ERP's clock
}

// Accepted is the verdict of a receipt.
const Accepted = "accepted"

// SignReceipt is a receipt as an ERP sends it: a compact JWS.
func (k SigningKey) SignReceipt(r SignedReceipt) (string, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("write a receipt: %w", err)
	}
	s, err := k.jws(receiptJWS, text)
	if err != nil {
		return "", fmt.Errorf("sign a receipt: %w", err)
	}
	return s.CompactSerialize()
}

// checkReceipt is nil if the ERP says by this receipt that it has taken the very message, and gave it this number. Its key must count when the
// receipt came, or have ended while it was on its way: whoever has stolen a key that has ended can write an earlier time into a receipt.
func checkReceipt(token string, keys func(KeyID) (Key, error), m message.Receipted, now time.Time) error {
	h, err := readJWSHeader(token, receiptJWS)
	if err != nil {
		return err
	}
	k, err := keys(KeyID(h.Key))
	if err != nil {
		return err
	}
	text, err := k.verifyJWS(token, nil)
	if err != nil {
		return err
	}
	var r SignedReceipt
	if err := strictJSON(text, &r); err != nil {
		return bad(problem.Integrity, "its receipt cannot be read")
	}
	came := now
	if !m.Came.IsZero() {
		came = m.Came
	}
	switch {
	case r.ID != m.ID || r.Digest != m.Digest:
		return bad(problem.Integrity, "its receipt is that of message "+shown(r.ID)+", or of another content")
	case r.Verdict != Accepted:
		return bad(problem.Integrity, "its receipt says "+shown(r.Verdict)+", and its status that it was taken")
	case m.Document != "" && r.Document != m.Document && r.Target != m.Document: // an operation without a number is for any document
		return bad(problem.Integrity, "its receipt is of document "+shown(r.Document)+", the answer of "+shown(m.Document))
	case r.At.After(came.Add(hopSkew)) || !k.counts(r.At):
		return bad(problem.Integrity, "its receipt was signed at "+r.At.Format(time.RFC3339)+", when its key did not count")
	case !k.To.IsZero() && came.After(k.To.Add(HopAge)):
		return bad(problem.Integrity, "its receipt came at "+came.Format(time.RFC3339)+", and its key has ended at "+k.To.Format(time.RFC3339)+", whatever time it names itself")
	}
	return nil
}
