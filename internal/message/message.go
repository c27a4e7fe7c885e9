// Package message is what travels between the plant and an ERP, and what may be said of it.
//
// # Guarantees
//
//   - A Message is a CloudEvent (CloudEvents 1.0) with its place in a lane: the digest covers both, so that a receiver can tell
//     whether anything is missing, doubled, changed or out of order.
//   - A Verified can only come from Verify: code that takes one cannot be handed an unchecked message.
package message

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Role says what a message does with its number in the lane.
type Role string

// The roles.
const (
	Event     Role = "event"     // what happened, in its own words
	Void      Role = "void"      // nothing is sent under this number: discarded or expired; Refers names what it voids
	Amendment Role = "amendment" // the same number again, corrected by a person; Refers names the original
)

// Message is one thing that happened, addressed to one link.
type Message struct {
	ID      string // CloudEvents id: unique for the Source, the same at each delivery
	Source  string // CloudEvents source: the plant, a URI-reference
	Kind    string // CloudEvents type, such as "operation.confirmed"
	Version int    // version of the Body's schema, from 1
	Key     string // the plant's own unchanging ID of the object, usually the production order
	Time    time.Time
	Body    []byte // JSON, as committed; nil if it is Large
	Large   *Large // a body over the limit up to which one is held in memory; nil if it is Body
	Creates string // object that the ERP gives a number of its own, "order/…" or "lot/…"; empty if none
	Cause   string // ID of the message that this one answers or repeats; empty if none
	Trace   string // W3C traceparent of the call that made it; empty if none

	// Origin is the signature of the plant that the message comes from, made once, at its commit; nil if it is not signed. It is over
	// Material and no part of the digest.
	Origin *Signature

	Place

	known *known // the checksum of Body, once it was computed: see Summed
}

// Place is where a message stands: assigned by the outbox at append, claimed by a sender for what comes in.
type Place struct {
	Link   string
	Lane   string
	Epoch  int64  // grows when a plant is restored from a copy
	Number int64  // from 1, without gaps within an epoch; 0 means that the sender has no lanes
	Prev   string // Digest of the predecessor's original, "" for number 1 of epoch 1
	Role   Role
	Refers string // Digest of the original that a Void or an Amendment replaces
}

// New is a message of version 1 that is not yet addressed to a link; body is marshalled to JSON.
func New(id, kind, key string, at time.Time, body any) (Message, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return Message{}, fmt.Errorf("write the body of %s %s: %w", kind, id, err)
	}
	return Message{ID: id, Kind: kind, Version: 1, Key: key, Time: at, Body: b, Place: Place{Role: Event}}, nil
}

// purpose begins the digested bytes, so that a digest or signature of a message never serves another use.
const purpose = "holdfast/message/1"

// Digest is the SHA-256, in hex, of everything that is promised about the message: its attributes, its place and its body.
// Each part is preceded by its length (8 bytes, big-endian), so that no two messages share their bytes. Trace is left out:
// it may be re-sampled on the way.
func (m Message) Digest() string {
	b, after := m.Around()
	b = part(b, strconv.FormatInt(m.Epoch, 10))
	b = part(b, strconv.FormatInt(m.Number, 10))
	sum := sha256.Sum256(append(part(b, m.Prev), after...))
	return hex.EncodeToString(sum[:])
}

// Around is what is digested of a message before and after its epoch, its number and the digest of its predecessor, for a database
// that gives it these three: it puts them in between as Digest does, the numbers in decimal.
func (m Message) Around() (before, after []byte) {
	before = make([]byte, 0, 512)
	for _, s := range [...]string{
		purpose, m.ID, m.Source, m.Kind, strconv.Itoa(m.Version), m.Key, m.Time.Format(time.RFC3339Nano), m.Creates, m.Cause, m.Link, m.Lane,
	} {
		before = part(before, s)
	}
	body := m.Checksum()
	after = part(part(make([]byte, 0, 128), string(m.Role)), m.Refers)
	return before, part(after, string(body[:]))
}

func part(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint64(b, uint64(len(s))), s...)
}

// Verifier checks that a message is what its sender wrote and is allowed here. The error of a message that fails the check is a
// *problem.Error of kind Integrity or Denied.
type Verifier interface {
	Verify(ctx context.Context, m Message) error
}

// Verified is a message that a Verifier has vouched for.
type Verified struct{ m Message }

// Verify is the only way to a Verified.
func Verify(ctx context.Context, v Verifier, m Message) (Verified, error) {
	if err := v.Verify(ctx, m); err != nil {
		return Verified{}, fmt.Errorf("verify %s %s: %w", m.Kind, m.ID, err)
	}
	return Verified{m}, nil
}

// Message is a copy of what was verified; its Body must not be changed.
func (v Verified) Message() Message { return v.m }

// Document is what a mapping made of a message for one link.
type Document struct {
	Mapping string            `json:"mapping"`          // name and content hash of the mapping, "orders-out@3f2a…"
	Target  string            `json:"target"`           // operationId, entity set or IDoc type
	Params  map[string]string `json:"params,omitempty"` // path, query and header parameters by name
	Body    []byte            `json:"body,omitempty"`   // JSON
	Large   *Large            `json:"-"`                // instead of Body, where that is not in memory
	Whole   bool              `json:"whole,omitempty"`  // the body is the event's own: nothing is added to it or taken away
	Secret  Scrubber          `json:"-"`                // of values that stand in the document and nowhere else; nil if there are none
}

// Delivery is a verified message and the document to send for it.
type Delivery struct {
	Event  Verified
	Digest string // of the event, where it was checked against this one: to compute it costs a good part of what a message costs; "" if not known
	Doc    Document
	Quiet  bool // no earlier attempt at it can still be under way: what the ERP does not have now, it never gets from one

	// DoubtAt is since when it may have been sent, where nobody has sent it since: by a plant of which this one is a copy. Zero if that is not known.
	DoubtAt time.Time

	Anew bool // a person has just had it sent, whatever became of the attempts before: they do not count against this one

	Redelivery int  // how often it was delivered before: a replay, if more than 0
	Forced     bool // a person has this replay sent whether or not the ERP has what was sent before: it is another sending, also when it is asked for
}

// Tried is when it was sent last at the latest, as far as anybody but the link knows: now, where nothing is known.
func (d Delivery) Tried(now time.Time) time.Time {
	if d.DoubtAt.IsZero() {
		return now
	}
	return d.DoubtAt
}

// Incoming is what a link or the API received from an ERP, before anything of it is believed.
type Incoming struct {
	Message        // Source, ID, Kind, Body …; Lane, Epoch and Number as the sender claims them
	Claimed string // the digest that the sender claims, "" if it gives none
	// ObjectVersion orders messages about one Key where the sender has no lane numbers: a version or change time of the object
	// that grows and compares as text of equal length, or as a whole number.
	ObjectVersion string
	Mapping       string // the mapping that turns Body into an event of the plant
	Undated       bool   // the sender gave no time: Time is when it came, and proves nothing of its age
	Signature     string // of its sender over its digest: a detached JWS; "" if it has none
	Proof         Proof  // of the hop that it came by
	Deliveries    int    // how often its transport says that it has delivered it without success, 0 if it does not say
	Unread        error  // why nobody can read what came: it is kept aside as it is; nil of what could be read
}
