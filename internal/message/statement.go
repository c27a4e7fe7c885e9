package message

import (
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"holdfast/internal/problem"
)

// Purpose is the payload type of the CloudEvents verifiability extension 0.1. It begins the bytes that are signed of a message, so that
// the signature serves no other use.
const Purpose = "https://cloudevents.io/verifiability/dsse/v0.1"

// Attribute is one of a CloudEvent, as text.
type Attribute struct{ Name, Value string }

// Core are the attributes of CloudEvents itself, in the order in which they are digested, but for the data.
type Core struct{ ID, Source, SpecVersion, Type, DataContentType, DataSchema, Subject, Time string }

// Material is what is signed of a CloudEvent by its verifiability extension 0.1: the digest of the digests of its attributes, its data
// and the names and values of those extensions that are signed, in their order. Time is RFC 3339 in UTC, to the second.
func (c Core) Material(data [sha256.Size]byte, extensions []Attribute) [sha256.Size]byte {
	b := make([]byte, 0, (9+2*len(extensions))*sha256.Size)
	for _, s := range [...]string{c.ID, c.Source, c.SpecVersion, c.Type, c.DataContentType, c.DataSchema, c.Subject, c.Time} {
		b = digested(b, s)
	}
	b = append(b, data[:]...)
	for _, e := range extensions {
		b = digested(digested(b, e.Name), e.Value)
	}
	return sha256.Sum256(b)
}

func digested(b []byte, s string) []byte {
	if len(s) <= longestUsual {
		if sum, ok := usual[s]; ok {
			return append(b, sum[:]...)
		}
	}
	sum := sha256.Sum256([]byte(s))
	return append(b, sum[:]...)
}

// usual are the digests of what every message has; they are computed once, since each message passes here twice.
var usual = digestsOf("", "1.0", jsonMedia, "1", string(Event), "dataversion", "creates", "causationid", "link", "role", "refers", "lane", "laneprev", "laneepoch",
	"lanenumber", "digest", "signedat")

// longestUsual spares all that is longer the search.
const longestUsual = len(jsonMedia)

func digestsOf(texts ...string) map[string][sha256.Size]byte {
	sums := make(map[string][sha256.Size]byte, len(texts))
	for _, s := range texts {
		sums[s] = sha256.Sum256([]byte(s))
	}
	return sums
}

// PreAuth is what is signed of material: DSSE's pre-authentication encoding (DSSE 1.0.2), which begins with the purpose.
func PreAuth(material [sha256.Size]byte) []byte {
	b := fmt.Appendf(make([]byte, 0, 128), "DSSEv1 %d %s %d ", len(Purpose), Purpose, len(material))
	return append(b, material[:]...)
}

// Extensions are the attributes of a message beside those of CloudEvents itself, as its CloudEvent has them and as they are signed, in
// this order. An empty one is left out. digest is the message's own, at the time of its signature.
func (m Message) Extensions(digest string, at time.Time) []Attribute {
	epoch, number := "", ""
	if m.Number > 0 {
		epoch, number = strconv.FormatInt(m.Epoch, 10), strconv.FormatInt(m.Number, 10)
	}
	list := make([]Attribute, 0, 12)
	for _, a := range [...]Attribute{
		{"dataversion", strconv.Itoa(m.Version)},
		{"creates", m.Creates},
		{"causationid", m.Cause},
		{"link", m.Link},
		{"role", string(m.Role)},
		{"refers", m.Refers},
		{"lane", m.Lane},
		{"laneprev", m.Prev},
		{"laneepoch", epoch},
		{"lanenumber", number},
		{"digest", digest},
		{"signedat", SignedAt(at)},
	} {
		if a.Value != "" {
			list = append(list, a)
		}
	}
	return list
}

// SignedAt is the time of a signature as an attribute.
func SignedAt(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000000Z") }

// Media is the media type of the body.
func (m Message) Media() string {
	if m.Large != nil {
		return cmp.Or(m.Large.Media, jsonMedia)
	}
	return jsonMedia
}

const jsonMedia = "application/json"

// Material is what is signed of a message at that time: the attributes of its CloudEvent, its place in its lane, its digest and its data.
// A large body is not read.
func (m Message) Material(digest string, at time.Time) [sha256.Size]byte {
	return m.material(m.Extensions(digest, at))
}

func (m Message) material(extensions []Attribute) [sha256.Size]byte {
	c := Core{
		ID: m.ID, Source: m.Source, SpecVersion: "1.0", Type: m.Kind, DataContentType: m.Media(), Subject: m.Key,
		Time: m.Time.UTC().Format(time.RFC3339),
	}
	return c.Material(m.Checksum(), extensions)
}

// Proof are the attributes that carry the origin signature of a message: all that is needed to check it is in them and in those that
// they name. There are none of a message that is not signed.
func (m Message) Proof(digest string) []Attribute {
	if m.Origin == nil {
		return nil
	}
	extensions := m.Extensions(digest, m.Origin.At)
	names := make([]byte, 0, 128)
	for i, a := range extensions {
		if i > 0 {
			names = append(names, ',')
		}
		names = append(names, a.Name...)
	}
	return []Attribute{
		extensions[len(extensions)-1], // signedat
		{"signedextattrs", string(names)},
		{"dssematerial", m.Origin.envelope(m.material(extensions))},
	}
}

// envelope is DSSE's JSON envelope of the signature, in base64. All in it is base64 or a name that needs no escape.
func (s Signature) envelope(material [sha256.Size]byte) string {
	b := append(make([]byte, 0, 384), `{"payloadType":"`+Purpose+`","payload":"`...)
	b = base64.StdEncoding.AppendEncode(b, material[:])
	b = append(append(append(b, `","signatures":[{"keyid":"`...), s.Key...), `","sig":"`...)
	b = append(base64.StdEncoding.AppendEncode(b, s.Value[:]), `"}]}`...)
	return base64.StdEncoding.EncodeToString(b)
}

// mostEnvelope bounds what is decoded of an attribute that somebody else has written.
const mostEnvelope = 4096

// ParseProof reads the signature that the attributes of a CloudEvent carry, nil if they carry none. It checks the form alone: whether the
// signature is over this event, Trust says. An error is of kind Integrity.
func ParseProof(get func(name string) string) (*Signature, error) {
	text, at := get("dssematerial"), get("signedat")
	if text == "" && at == "" {
		return nil, nil
	}
	s, err := parseEnvelope(text)
	if err == nil {
		s.At, err = time.Parse(time.RFC3339Nano, at)
	}
	if err != nil {
		return nil, &problem.Error{
			Kind: problem.Integrity, What: "read the signature of an event", Why: err.Error(), Hint: "its sender has to sign it as docs/keys.md says",
		}
	}
	s.At = s.At.UTC()
	return &s, nil
}

func parseEnvelope(text string) (s Signature, err error) {
	var e struct {
		PayloadType string
		Payload     []byte
		Signatures  []struct {
			KeyID string
			Sig   []byte
		}
	}
	if len(text) > mostEnvelope {
		return s, errors.New("it is longer than any that is known here")
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return s, errors.New("dssematerial is not in base64")
	}
	if json.Unmarshal(b, &e) != nil || len(e.Signatures) != 1 || len(e.Signatures[0].Sig) != ed25519.SignatureSize || len(e.Payload) != sha256.Size {
		return s, errors.New("dssematerial is no envelope of DSSE with one signature of Ed25519")
	}
	if e.PayloadType != Purpose {
		return s, errors.New("it was made for another purpose: " + e.PayloadType)
	}
	s.Key = KeyID(e.Signatures[0].KeyID)
	copy(s.Value[:], e.Signatures[0].Sig)
	return s, nil
}

// claim is a message without its body, as a statement writes it.
type claim struct {
	SpecVersion string `json:"specversion"`
	ID          string `json:"id"`
	Source      string `json:"source"`
	Type        string `json:"type"`
	Subject     string `json:"subject"`
	Time        string `json:"time"`
	Media       string `json:"datacontenttype"`
	Data        []byte `json:"datasha256"`
	Version     int    `json:"dataversion"`
	Creates     string `json:"creates,omitempty"`
	Cause       string `json:"causationid,omitempty"`
	Link        string `json:"link,omitempty"`
	Role        Role   `json:"role"`
	Refers      string `json:"refers,omitempty"`
	Lane        string `json:"lane,omitempty"`
	Prev        string `json:"laneprev,omitempty"`
	Epoch       int64  `json:"laneepoch,omitempty"`
	Number      int64  `json:"lanenumber,omitempty"`
	Digest      string `json:"digest"`
	SignedAt    string `json:"signedat"`
	Names       string `json:"signedextattrs"`
	Envelope    string `json:"dssematerial"`
}

// Statement is what a message says of itself with its origin signature, for a receiver that is given something else than its body: the
// attributes of its CloudEvent and the SHA-256 of its data, JSON in base64url. It fits into a header. A message that is not signed has
// none, "".
func (m Message) Statement(digest string) string {
	if m.Origin == nil {
		return ""
	}
	proof, data := m.Proof(digest), m.Checksum()
	text, _ := json.Marshal(claim{ // texts and numbers can always be written
		SpecVersion: "1.0", ID: m.ID, Source: m.Source, Type: m.Kind, Subject: m.Key, Time: m.Time.Format(time.RFC3339Nano), Media: m.Media(), Data: data[:],
		Version: m.Version, Creates: m.Creates, Cause: m.Cause, Link: m.Link, Role: m.Role, Refers: m.Refers, Lane: m.Lane, Prev: m.Prev, Epoch: m.Epoch,
		Number: m.Number, Digest: digest, SignedAt: proof[0].Value, Names: proof[1].Value, Envelope: proof[2].Value,
	})
	return base64.RawURLEncoding.EncodeToString(text)
}

// mostStatement bounds what is decoded of a header that somebody else has written.
const mostStatement = 64 << 10

// ParseStatement reads what Statement wrote: a message whose body is known by its SHA-256 alone, with its signature, and the digest that
// it claims. The signature is not checked, but nothing is in it that the signature is not over: an error is of kind Integrity.
func ParseStatement(text string) (m Message, digest string, err error) {
	bad := func(why string) (Message, string, error) {
		return Message{}, "", &problem.Error{
			Kind: problem.Integrity, What: "read a statement of origin", Why: why, Hint: "something on its way has cut or altered it",
		}
	}
	var c claim
	b, err := base64.RawURLEncoding.DecodeString(text)
	if len(text) > mostStatement || err != nil || json.Unmarshal(b, &c) != nil || c.SpecVersion != "1.0" || len(c.Data) != sha256.Size {
		return bad("it is no attributes of a CloudEvent in base64url")
	}
	m = Message{
		ID: c.ID, Source: c.Source, Kind: c.Type, Version: c.Version, Key: c.Subject, Creates: c.Creates, Cause: c.Cause,
		Large: &Large{Digest: [sha256.Size]byte(c.Data), Media: c.Media},
		Place: Place{Link: c.Link, Lane: c.Lane, Epoch: c.Epoch, Number: c.Number, Prev: c.Prev, Role: c.Role, Refers: c.Refers},
	}
	if m.Time, err = time.Parse(time.RFC3339Nano, c.Time); err != nil {
		return bad("it has no time")
	}
	proof := map[string]string{"dssematerial": c.Envelope, "signedat": c.SignedAt}
	if m.Origin, err = ParseProof(func(name string) string { return proof[name] }); err != nil || m.Origin == nil {
		return bad("it carries no signature that can be read")
	}
	if m.Statement(m.Digest()) != text {
		return bad("something in it is not as it was signed, or was never signed: its digest, the names of what is signed, its envelope, or an attribute that was added")
	}
	return m, c.Digest, nil
}
