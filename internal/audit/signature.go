package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Signature is a person's on an entry, as 21 CFR 11.50 asks for one: who, when, and what they mean by it.
type Signature struct {
	Signer  string    `json:"signer"`  // the entry's actor
	Meaning string    `json:"meaning"` // such as approval
	At      time.Time `json:"at"`      // the entry's time
	Shown   string    `json:"shown"`   // by what they showed who they are
	Digest  string    `json:"digest"`  // of what was signed: SHA-256, hexadecimal
}

// signedForm begins what the digest of a signature is of.
const signedForm = "holdfast/audit-signature/1"

// Sign is the entry with a signature on it. Signer, time and digest are those of the entry, which has its time already; meaning and shown are given.
func (e Entry) Sign(meaning, shown string) (Entry, error) {
	e = e.text()
	s := Signature{Signer: e.Actor, Meaning: meaning, At: store.FromMicros(store.Micros(e.At)), Shown: shown}
	var err error
	if s.Digest, err = e.digest(s); err != nil {
		return e, err
	}
	e.Signature, err = json.Marshal(s)
	return e, err
}

// digest is what a signature binds: every part of the entry but its number, which the database gives it later, and the signature's own words.
func (e Entry) digest(s Signature) (string, error) {
	e.Seq, e.Signature = 0, nil
	leaf, err := e.Leaf()
	if err != nil {
		return "", err
	}
	var b []byte
	for _, part := range [][]byte{[]byte(signedForm), leaf, []byte(s.Meaning), []byte(s.Shown)} {
		b = append(binary.BigEndian.AppendUint64(b, uint64(len(part))), part...)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// Signed is the signature of an entry, nil if it has none. The error is of kind Integrity for one that is of another entry, or of what this one was.
func (e Entry) Signed() (*Signature, error) {
	if e.Signature == nil {
		return nil, nil //nolint:nilnil // an entry without a signature is no error
	}
	var s Signature
	from := json.NewDecoder(bytes.NewReader(e.Signature))
	from.DisallowUnknownFields()
	err := from.Decode(&s)
	digest, unreadable := e.digest(s)
	if err != nil || unreadable != nil || s.Digest != digest || s.Signer != e.Actor || store.Micros(s.At) != store.Micros(e.At) {
		return nil, &problem.Error{
			Kind: problem.Integrity, What: fmt.Sprintf("read the signature of audit entry %d", e.Seq), Why: "it is not of this entry, or the entry is not what was signed",
			Hint: "the database was altered behind Holdfast: holdfast audit verify tells what else was",
		}
	}
	return &s, nil
}
