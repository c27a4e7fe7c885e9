package seal

import (
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"time"

	"holdfast/internal/problem"
)

// Trust is everything that the check of a signature needs, and it needs nothing else: no network, no database, no secret. It is made
// once from what a keyring and the archive say, and is then safe for use by many goroutines.
type Trust struct {
	keys    map[KeyID]trusted
	vouched map[string]time.Time // see Vouch
}

// trusted is a key whose chain has been checked. What is left to check of a signature is its time and its bytes.
type trusted struct {
	public         ed25519.PublicKey
	node           string
	from, to       time.Time // the chain is valid from … to, both included
	revoked        time.Time // since when it is; zero if it is not
	reason, broken string    // why it is revoked; why its chain is not valid, "" if it is
}

// Certificate is an archived key: the chain that certified it, leaf first, and whether somebody has revoked it.
type Certificate struct {
	Key     KeyID
	Node    string // the URI of the node, as the certificate says
	Chain   []*x509.Certificate
	Made    time.Time
	Revoked time.Time // zero if it is not
	Reason  string    // why it was revoked
}

// NewTrust trusts the keys of the archive whose chains end in one of the roots. A certificate that one of the lists of the roots (CRL)
// names is revoked, whatever the archive says.
func NewTrust(roots []*x509.Certificate, lists []*x509.RevocationList, archive []Certificate) *Trust {
	pool := x509.NewCertPool()
	for _, r := range roots {
		pool.AddCert(r)
	}
	t := &Trust{keys: make(map[KeyID]trusted, len(archive))}
	for _, c := range archive {
		k, err := check(pool, c)
		if err != nil {
			k.broken = err.Error()
		}
		k.revoked, k.reason = c.Revoked, c.Reason
		if since, is := listed(lists, roots, c.Chain); is && (k.revoked.IsZero() || since.Before(k.revoked)) {
			k.revoked = since
		}
		t.keys[c.Key] = k
	}
	return t
}

// check verifies the chain of a certificate and says how long it holds. It does so in the middle of the certificate's time, because a
// young CA may have begun a little later than the first that it certified.
func check(roots *x509.CertPool, c Certificate) (trusted, error) {
	if len(c.Chain) == 0 {
		return trusted{}, errors.New("it has no certificate")
	}
	leaf := c.Chain[0]
	public, ok := leaf.PublicKey.(ed25519.PublicKey)
	switch {
	case !ok || leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return trusted{}, errors.New("its certificate is not for signing with Ed25519")
	case keyID(public) != c.Key:
		return trusted{}, errors.New("its certificate is of another key")
	case len(leaf.URIs) != 1 || leaf.URIs[0].String() != c.Node:
		return trusted{}, errors.New("its certificate is of another node")
	}
	between := x509.NewCertPool()
	for _, i := range c.Chain[1:] {
		between.AddCert(i)
	}
	k := trusted{public: public, node: c.Node}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return k, err
	}
	k.from, k.to = leaf.NotBefore, leaf.NotAfter
	for _, c := range chains[0] {
		if c.NotBefore.After(k.from) {
			k.from = c.NotBefore
		}
		if c.NotAfter.Before(k.to) {
			k.to = c.NotAfter
		}
	}
	return k, nil
}

// listed tells whether a list that a root or a member of the chain has signed names the chain's leaf, and since when.
func listed(lists []*x509.RevocationList, roots, chain []*x509.Certificate) (since time.Time, is bool) {
	if len(chain) == 0 {
		return time.Time{}, false
	}
	for _, l := range lists {
		if !signedByAny(l, roots) && !signedByAny(l, chain[1:]) {
			continue
		}
		for _, e := range l.RevokedCertificateEntries {
			if sameSerial(e.SerialNumber, chain[0].SerialNumber) && string(l.RawIssuer) == string(chain[0].RawIssuer) {
				return e.RevocationTime, true
			}
		}
	}
	return time.Time{}, false
}

func signedByAny(l *x509.RevocationList, issuers []*x509.Certificate) bool {
	for _, i := range issuers {
		if l.CheckSignatureFrom(i) == nil {
			return true
		}
	}
	return false
}

func sameSerial(a, b *big.Int) bool { return a != nil && b != nil && a.Cmp(b) == 0 }

// Knows tells whether there is a key of that ID, whatever is to be said of it.
func (t *Trust) Knows(id KeyID) bool {
	_, known := t.keys[id]
	return known
}

// Verify is nil if s was made for this purpose over this digest, by a key that a root vouched for at the time that s says, and that
// nobody has revoked since; then node is who signed. A revoked key vouches for nothing, at whatever time: who stole it can write any
// time into a signature. Otherwise the error is a *problem.Error of kind Integrity, or Denied for a key that is unknown or revoked.
func (t *Trust) Verify(p Purpose, digest []byte, s Signature) (node string, err error) {
	return t.verify(s, func() []byte { return signed(p, s.Key, s.At, digest) })
}

// verify checks a signature over what over gives.
func (t *Trust) verify(s Signature, over func() []byte) (node string, err error) {
	w, err := t.genuine(s, over)
	if err == nil && w.revoked {
		err = w.refused(problem.Denied, "the key of "+w.Node+" was revoked: "+w.reason, "have the sender sign anew with a key that is valid")
	}
	if err != nil {
		return "", err
	}
	return w.Node, nil
}

// genuine is nil for a signature of a key that a root vouched for at the time that the signature says, also of one that was revoked since.
func (t *Trust) genuine(s Signature, over func() []byte) (Word, error) {
	k, known := t.keys[s.Key]
	w := Word{Node: k.node, Until: k.to, Key: s.Key, revoked: !k.revoked.IsZero(), reason: k.reason}
	if w.revoked && k.revoked.Before(w.Until) {
		w.Until = k.revoked
	}
	var err error
	switch {
	case !known:
		err = w.refused(problem.Denied, "no such key is known here", "import the sender's keys anew (holdfast keys export), or refuse the sender")
	case k.broken != "":
		err = w.refused(problem.Denied, k.broken, "ask whoever runs the sender's keyring for its certificate")
	case s.At.Before(k.from) || s.At.After(k.to):
		err = w.refused(problem.Integrity, fmt.Sprintf("it was made at %s, the certificate of %s is valid from %s to %s", s.At.Format(time.RFC3339), k.node,
			k.from.Format(time.RFC3339), k.to.Format(time.RFC3339)), "look at the clock of the sender, and for how long its keyring was away")
	case !ed25519.Verify(k.public, over(), s.Value[:]):
		err = w.refused(problem.Integrity, "it is not over this content, or not for this use", "something altered the content or the signature on its way")
	}
	return w, err
}
