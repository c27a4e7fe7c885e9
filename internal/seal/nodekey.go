package seal

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	"holdfast/internal/problem"
)

// nodeKey is a private key with what vouches for it.
type nodeKey struct {
	private ed25519.PrivateKey
	id      KeyID
	chain   []*x509.Certificate
	made    time.Time   // when it was certified: the certificate itself begins earlier, for the sake of clocks that are behind
	revoked atomic.Bool // it vouches for nothing any more
}

func (k *nodeKey) from() time.Time { return k.chain[0].NotBefore }

func (k *nodeKey) to() time.Time {
	to := k.chain[0].NotAfter
	for _, c := range k.chain[1:] {
		if c.NotAfter.Before(to) {
			to = c.NotAfter
		}
	}
	return to
}

func newNodeKey(private ed25519.PrivateKey, chain []*x509.Certificate, made time.Time) *nodeKey {
	return &nodeKey{private: private, id: keyID(private.Public().(ed25519.PublicKey)), chain: chain, made: made}
}

// newRequest makes a key and asks for its certificate; common is the subject's common name, "" for none.
func newRequest(node, common string) (ed25519.PrivateKey, *x509.CertificateRequest, error) {
	uri, err := url.Parse(node)
	if err != nil {
		return nil, nil, fmt.Errorf("name the node %s: %w", node, err)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	asked := &x509.CertificateRequest{Subject: pkix.Name{CommonName: common}, URIs: []*url.URL{uri}}
	der, err := x509.CreateCertificateRequest(rand.Reader, asked, private)
	if err != nil {
		return nil, nil, fmt.Errorf("ask for a certificate: %w", err)
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, nil, fmt.Errorf("ask for a certificate: %w", err)
	}
	return private, request, nil
}

// fits tells why the certificate is not that of the key and node, nil if it is.
func fits(k *nodeKey, node string) error {
	why := ""
	switch leaf := k.chain[0]; {
	case !k.private.Public().(ed25519.PublicKey).Equal(leaf.PublicKey):
		why = "it is of another key"
	case len(leaf.URIs) != 1 || leaf.URIs[0].String() != node:
		why = "it does not name " + node + " alone"
	case leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		why = "it does not allow to sign"
	default:
		return nil
	}
	return &problem.Error{
		Kind: problem.Denied, What: "take the certificate that the keyring gave", Why: why,
		Hint: "set up the keyring's role for this node as docs/keys.md says",
	}
}

// due is when a key is replaced: at its age, or half way for a certificate that is shorter than that.
func due(made, to time.Time, renew time.Duration) time.Time {
	return made.Add(min(renew, to.Sub(made)/2))
}

// Budget is how long the keyring may be away without the node noticing, for a key that is replaced at the age renew; half tells that more
// than half of it is gone.
func (c Certificate) Budget(renew time.Duration, now time.Time) (budget, left time.Duration, half bool) {
	if len(c.Chain) == 0 {
		return 0, 0, true
	}
	to := c.Chain[0].NotAfter
	budget, left = to.Sub(due(c.Made, to, renew)), max(0, to.Sub(now))
	return budget, left, left < budget/2
}
