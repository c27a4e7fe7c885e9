package seal

import (
	"context"
	"crypto/x509"
)

// Keyring certifies the keys of a plant's nodes. A node makes its key itself and never shows it; the keyring only says whose it is.
// Local keeps a small CA in a sealed file, Vault asks HashiCorp Vault's PKI engine.
//
// An implementation owes: a certificate only for the node that it was set up for, with its URI as the only name; the same roots for
// every node of the plant; and a list of what it has revoked that any holder of the roots can check. An error of kind Unavailable says
// that it does not answer just now, one of kind Denied that it refuses and will until a person changes something.
type Keyring interface {
	// Certify has the request signed: the chain, leaf first, without the root.
	Certify(ctx context.Context, request *x509.CertificateRequest) ([]*x509.Certificate, error)
	// Revoke has a certificate of the keyring's put on its list. To revoke it again changes nothing.
	Revoke(ctx context.Context, c *x509.Certificate) error
	// Roots is what vouches for every node, and the lists of what was revoked.
	Roots(ctx context.Context) ([]*x509.Certificate, []*x509.RevocationList, error)
}
