package seal

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// SignMessage makes the origin signature of a message that has this digest, over its CloudEvent and its place in its lane, in the form of
// CloudEvents' verifiability extension (message.Material). It waits for nothing and fails as Sign does.
func (r *Ring) SignMessage(m message.Message, digest string) (message.Signature, error) {
	k, now, err := r.ready()
	if err != nil {
		r.tellUnsigned(err)
		return message.Signature{}, err
	}
	return signMessage(k.private, k.id, m, digest, now), nil
}

// Ready is nil while the node can sign, and else says why not.
func (r *Ring) Ready() error {
	_, _, err := r.ready()
	return err
}

// SignedLate logs and counts a message that was committed without a signature and has one now: the node vouches for what stands in the
// database, and cannot know whether the plant has said it.
func (r *Ring) SignedLate(m message.Message) {
	r.late.Inc()
	r.lately.Add(1)
	r.log.Log(context.Background(), slog.LevelWarn, "a message that was committed without a signature is signed now", "part", "keys", "message", m.ID, "kind", m.Kind, "key", m.Key)
}

// tellUnsigned counts what is not signed, and logs it once a minute.
func (r *Ring) tellUnsigned(why error) {
	r.unsigned.Inc()
	r.missed.Add(1)
	now := r.cfg.Now().Unix() / 60
	if r.told.Swap(now) != now {
		r.log.Log(context.Background(), slog.LevelError, "messages are kept unsigned and do not leave", "part", "keys", "err", why)
	}
}

// signMessage makes a signature at the time at, cut to the microsecond.
func signMessage(key ed25519.PrivateKey, id KeyID, m message.Message, digest string, at time.Time) message.Signature {
	s := message.Signature{Key: id, At: at.UTC().Truncate(time.Microsecond)}
	copy(s.Value[:], ed25519.Sign(key, message.PreAuth(m.Material(digest, s.At))))
	return s
}

// VerifyMessage is Verify of a message's origin signature: it is over the attributes, the place, the digest and the data of this message.
// A message without one is refused. A large body is not read: what its keeper says of it is believed. Whether the key counts by now is not
// asked: see VerifyAt.
func (t *Trust) VerifyMessage(m message.Message) (node string, err error) {
	if err := signedAtAll(m); err != nil {
		return "", err
	}
	return t.verify(*m.Origin, func() []byte { return message.PreAuth(m.Material(m.Digest(), m.Origin.At)) })
}

// signedAtAll refuses a message without a signature.
func signedAtAll(m message.Message) error {
	if m.Origin != nil {
		return nil
	}
	return &problem.Error{Kind: problem.Integrity, What: "verify " + named(m), Why: "it is not signed", Hint: "have the sender sign it: docs/keys.md"}
}
