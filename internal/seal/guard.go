package seal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// Form is the way in which a sender proves what it sends.
type Form string

// The forms.
const (
	ByHop     Form = "http-signature"    // RFC 9421, of the request or the answer that brought the message
	ByWebhook Form = "standard-webhooks" // the same by Standard Webhooks 1.0
	ByJWS     Form = "jws"               // a detached JWS over the message's digest, in its attribute "signature"
	ByOrigin  Form = "holdfast"          // the origin signature of another plant of Holdfast
)

// SenderKeys are the keys of one sender. Find's error is a *problem.Error: Denied for a key that is not the sender's, Unavailable
// while that cannot be told.
type SenderKeys interface {
	Find(id KeyID) (Key, error)
	All() ([]Key, error)
}

// FixedKeys are keys that do not change.
type FixedKeys []Key

// Find is the key of that ID.
func (f FixedKeys) Find(id KeyID) (Key, error) {
	for _, k := range f {
		if k.ID == id {
			return k, nil
		}
	}
	return Key{}, bad(problem.Denied, "key "+shown(string(id))+" is not known for this sender")
}

// All are the keys.
func (f FixedKeys) All() ([]Key, error) { return f, nil }

// Sender is somebody who may send over a link.
type Sender struct {
	Name    string
	Form    Form
	Keys    SenderKeys
	Sources []string // CloudEvents sources as which it speaks; nobody else may
	Kinds   []string // patterns of the kinds that it may send (path.Match)

	// Trust is instead of Keys, in the form ByOrigin: what checks the signature of that message. Where that does not settle it (Trust.Settles), the
	// plant's keys have been looked at just now, or the error is of kind Unavailable.
	Trust func(message.Message) (*Trust, error)
}

// Policy says what is believed of what comes over one link.
type Policy struct {
	Senders   []Sender
	Audience  string        // the name that senders have for this link, which a signed event must bear, so that it serves no other link or plant
	Authority string        // the host that senders call, so that a request serves no other plant; "" believes the one that comes
	Age       time.Duration // of a hop proof at most; default HopAge
	Receipts  SenderKeys    // by which the ERP signs its receipts; nil if it signs none
}

// Guard decides what is believed of what comes in. It is safe for use by many goroutines.
type Guard struct {
	links map[string]Policy
	owned map[string]bool // sources that speak over guarded links alone
	now   func() time.Time
}

// NewGuard guards the links of the map; of others a message is believed if the digest is right that it claims, unless it names a source
// that belongs to a sender of these.
func NewGuard(links map[string]Policy, now func() time.Time) *Guard {
	g := &Guard{links: map[string]Policy{}, owned: map[string]bool{}, now: now}
	for name, p := range links {
		if p.Age == 0 {
			p.Age = HopAge
		}
		g.links[name] = p
		for _, s := range p.Senders {
			for _, source := range s.Sources {
				g.owned[source] = true
			}
		}
	}
	return g
}

// Check is the only way from what came over a link to a message that is believed. Its error is a *problem.Error: Integrity or Denied if
// it is not, Unavailable if that cannot be told just now.
func (g *Guard) Check(ctx context.Context, in message.Incoming, link string) (message.Verified, error) {
	return message.Verify(ctx, checker{g, in, link}, in.Message)
}

// checker is the check of one message.
type checker struct {
	*Guard
	in   message.Incoming
	link string
}

// Verify implements message.Verifier.
func (c checker) Verify(ctx context.Context, m message.Message) error {
	p, guarded := c.links[c.link]
	if !guarded || len(p.Senders) == 0 {
		if c.owned[m.Source] {
			return bad(problem.Denied, "it says that it comes from "+shown(m.Source)+", which sends over another link and signs")
		}
		return Inbound(c.in.Claimed).Verify(ctx, m)
	}
	s, err := c.sender(p, m)
	if err != nil {
		return err
	}
	if err := Inbound(c.in.Claimed).Verify(ctx, m); err != nil {
		return err
	}
	return s.may(m)
}

// sender is who has proved to have sent the message.
func (c checker) sender(p Policy, m message.Message) (Sender, error) {
	switch {
	case c.in.Signature != "":
		return c.byJWS(p, m)
	case m.Origin != nil && slices.ContainsFunc(p.Senders, func(s Sender) bool { return s.Form == ByOrigin }):
		return c.byOrigin(p, m)
	}
	w := c.in.Proof.Witness()
	for _, s := range p.Senders {
		if s.Form != ByJWS && s.Form != ByOrigin && w.Sender == c.link+"/"+s.Name {
			return s, nil
		}
	}
	if err := c.in.Proof.Err(); err != nil {
		if _, told := errors.AsType[*problem.Error](err); told {
			return Sender{}, err
		}
	}
	return Sender{}, bad(problem.Denied, "it is not signed, and link "+c.link+" takes only what is")
}

// byJWS finds the sender by the key that its signature names: that key says who it is, and by which algorithm it signs.
func (c checker) byJWS(p Policy, m message.Message) (Sender, error) {
	h, err := readJWSHeader(c.in.Signature, messageJWS)
	if err != nil {
		return Sender{}, err
	}
	s, k, err := p.find(KeyID(h.Key), ByJWS, m.Source)
	if err != nil {
		return Sender{}, err
	}
	if _, err := k.verifyJWS(c.in.Signature, messagePayload(m, c.in.ObjectVersion)); err != nil {
		return Sender{}, err
	}
	if !k.counts(c.now()) {
		return Sender{}, bad(problem.Denied, "key "+string(k.ID)+" of "+s.Name+" does not count any more, or not yet")
	}
	return s, p.addressed(m)
}

// addressed refuses what is signed for another link, and everything where nobody has said what the name of this one is.
func (p Policy) addressed(m message.Message) error {
	if p.Audience == "" || m.Link != p.Audience {
		return bad(problem.Denied, "it is signed for link "+shown(m.Link)+", not for "+p.Audience)
	}
	return nil
}

// byOrigin finds the plant of which a node has signed the message. What that signature does not cover is refused.
func (c checker) byOrigin(p Policy, m message.Message) (Sender, error) {
	if c.in.ObjectVersion != "" {
		return Sender{}, bad(problem.Integrity, "it names a version of its object, which its signature does not cover")
	}
	var refused, unsure error
	for _, s := range p.Senders {
		if s.Form != ByOrigin {
			continue
		}
		t, err := s.Trust(m)
		if err != nil {
			unsure = cmp.Or(unsure, s.doubt(err, m.Source))
			continue
		}
		if _, err = t.VerifyAt(m, c.now()); err == nil {
			return s, p.addressed(m)
		}
		if refused == nil || problem.KindOf(err) == problem.Integrity { // the plant that knows the key says more than one that does not
			refused = err
		}
	}
	if unsure != nil {
		return Sender{}, unsure
	}
	if refused == nil {
		refused = bad(problem.Denied, "no sender of this link that could have signed it speaks as "+shown(m.Source))
	}
	return Sender{}, refused
}

// find is the sender that has the key among those of a form. Only the keys of a sender that may speak as source can leave that open, ""
// stands for any: whoever is away holds up what could be its own, and nothing else.
func (p Policy) find(id KeyID, form Form, source string) (Sender, Key, error) {
	var unsure error
	for _, s := range p.Senders {
		if s.Form != form {
			continue
		}
		k, err := s.Keys.Find(id)
		if err == nil {
			return s, k, nil
		}
		unsure = cmp.Or(unsure, s.doubt(err, source))
	}
	if unsure != nil {
		return Sender{}, Key{}, unsure
	}
	return Sender{}, Key{}, bad(problem.Denied, "key "+shown(string(id))+" is of no sender of this link")
}

// doubt is the error of keys that cannot be had, if what speaks as source could be this sender's.
func (s Sender) doubt(err error, source string) error {
	if problem.KindOf(err) == problem.Denied || source != "" && !slices.Contains(s.Sources, source) {
		return nil
	}
	return err
}

// may tells whether the sender may send this message.
func (s Sender) may(m message.Message) error {
	if !slices.Contains(s.Sources, m.Source) {
		return bad(problem.Denied, s.Name+" has signed it, and may not speak as "+shown(m.Source))
	}
	for _, pattern := range s.Kinds {
		if ok, err := path.Match(pattern, m.Kind); ok && err == nil {
			return nil
		}
	}
	return bad(problem.Denied, s.Name+" has signed it, and may not send "+shown(m.Kind))
}

// Hops checks the proofs of requests and answers over a link.
func (g *Guard) Hops(link string) message.HopVerifier { return hops{g, link} }

type hops struct {
	*Guard
	link string
}

// VerifyHop implements message.HopVerifier.
func (h hops) VerifyHop(_ context.Context, hop message.Hop) (message.Witness, error) {
	p := h.links[h.link]
	if p.Authority != "" && hop.Status == 0 {
		hop.Authority, hop.Scheme = p.Authority, "https"
	}
	proof, err := readHopProof(&hop)
	if errors.Is(err, errUnsigned) {
		return h.webhook(p, &hop)
	}
	if err != nil {
		return message.Witness{}, bad(problem.Integrity, "its proof cannot be read: "+err.Error())
	}
	s, k, err := p.find(proof.key, ByHop, "") // the message is not read yet
	if err != nil {
		return message.Witness{}, err
	}
	if err := proof.check(&hop, k, h.now(), p.Age); err != nil {
		return message.Witness{}, err
	}
	w := message.Witness{Sender: h.link + "/" + s.Name}
	if hop.Status == 0 {
		w.Nonce, w.Until = string(proof.key)+" "+proof.nonce, proof.until(p.Age)
	}
	return w, nil
}

// webhook tries the senders that prove what they send by Standard Webhooks, which names no key.
func (h hops) webhook(p Policy, hop *message.Hop) (message.Witness, error) {
	var unsure error
	err := bad(problem.Denied, "it is not signed, and link "+h.link+" takes only what is")
	for _, s := range p.Senders {
		if s.Form != ByWebhook {
			continue
		}
		keys, kerr := s.Keys.All()
		if kerr != nil {
			unsure = cmp.Or(unsure, kerr)
			continue
		}
		if err = checkWebhook(hop, keys, h.now(), p.Age); err == nil {
			return message.Witness{Sender: h.link + "/" + s.Name}, nil
		}
	}
	return message.Witness{}, cmp.Or(unsure, err)
}

// Receipts checks the receipts of a link; nil if its ERP signs none.
func (g *Guard) Receipts(link string) message.ReceiptVerifier {
	if g.links[link].Receipts == nil {
		return nil
	}
	return receipts{g, link}
}

type receipts struct {
	*Guard
	link string
}

// VerifyReceipt implements message.ReceiptVerifier.
func (r receipts) VerifyReceipt(_ context.Context, signed string, of message.Receipted) error {
	if signed == "" {
		return bad(problem.Integrity, "it brings no signed receipt, and link "+r.link+" believes none without")
	}
	if err := checkReceipt(signed, r.links[r.link].Receipts.Find, of, r.now()); err != nil {
		return fmt.Errorf("receipt of message %s: %w", of.ID, err)
	}
	return nil
}
