package seal

import (
	"maps"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// Word is what a good signature says: who made it, and up to when its key's word was enough. Later whoever has stolen the key can have
// written it with an earlier time.
type Word struct {
	Node  string
	Key   KeyID
	Until time.Time // the certificate's end, or when the key was revoked

	revoked bool
	reason  string
}

// Late tells whether the word of the key is not enough at now.
func (w Word) Late(now time.Time) bool { return w.revoked || now.After(w.Until) }

// Counts is nil for what comes at now if its key counts then, or if something else than the key tells that it was signed while the key did:
// by the time vouched, which is zero if nothing tells that.
func (w Word) Counts(now, vouched time.Time) error {
	const hint = "have the sender show that its audit record held it by then: holdfast keys export, or holdfast msg prove"
	until := w.Until.Format(time.RFC3339)
	switch {
	case !w.Late(now) || !vouched.IsZero() && !vouched.After(w.Until):
		return nil
	case w.revoked && vouched.IsZero():
		return w.refused(problem.Denied, "the key of "+w.Node+" was revoked at "+until+": "+w.reason+"; nothing vouches that it was signed before", hint)
	case vouched.IsZero():
		return w.refused(problem.Denied, "the certificate of "+w.Node+" has ended at "+until+", and nothing vouches that it was signed before", hint)
	default:
		return w.refused(problem.Denied, "the key of "+w.Node+" counted until "+until+", and it is vouched for since "+vouched.Format(time.RFC3339)+" alone", hint)
	}
}

func (w Word) refused(kind problem.Kind, why, hint string) error {
	return &problem.Error{Kind: kind, What: "verify a signature of key " + string(w.Key), Why: why, Hint: hint}
}

// Genuine is VerifyMessage but for the time: it also passes what a key signed that was revoked since. The caller has to ask whether the Word
// counts.
func (t *Trust) Genuine(m message.Message) (Word, error) {
	if err := signedAtAll(m); err != nil {
		return Word{}, err
	}
	return t.genuine(*m.Origin, func() []byte { return message.PreAuth(m.Material(m.Digest(), m.Origin.At)) })
}

// VerifyAt is VerifyMessage of what comes at now. What was signed by a key that counts no more counts if Vouch was told of it.
func (t *Trust) VerifyAt(m message.Message, now time.Time) (node string, err error) {
	w, err := t.Genuine(m)
	if err == nil && w.Late(now) {
		err = w.Counts(now, t.vouched[m.Digest()])
	}
	if err != nil {
		return "", err
	}
	return w.Node, nil
}

// Vouch is a Trust that also knows of messages by when they were signed: of their digests, by the word of a checkpoint.
func (t *Trust) Vouch(by map[string]time.Time) *Trust { return &Trust{t.keys, maps.Clone(by)} }

// Settles tells whether it is known here what to say of the signature of a message: there is its key, and if that counts no more at now,
// somebody vouches for the message.
func (t *Trust) Settles(m message.Message, now time.Time) bool {
	k, known := t.keys[m.Origin.Key]
	if !known || k.revoked.IsZero() && !now.After(k.to) {
		return known
	}
	_, vouched := t.vouched[m.Digest()]
	return vouched
}

// End is up to when the word of the key is enough: its certificate's end, or when it was revoked.
func (c Certificate) End() time.Time {
	end := c.Revoked
	for _, x := range c.Chain {
		if end.IsZero() || x.NotAfter.Before(end) {
			end = x.NotAfter
		}
	}
	return end
}
