package seal

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"sync"
	"syscall"
	"time"

	"holdfast/internal/problem"
)

// The files of a local keyring in its folder. The list needs no seal: the CA has signed it.
const (
	authorityFile = "ca.age"
	listFile      = "ca.crl"
)

// authorityName is what a CA's name begins with, before the plant that it is of.
const authorityName = "Holdfast CA of "

const (
	authorityLife = 20 * 365 * 24 * time.Hour // messages are checked for longer than any key signs
	listLife      = 10 * 365 * 24 * time.Hour // nobody makes a new one while the plant stands still
	skew          = time.Minute               // how far the clock of a receiver may be behind
)

// Local is a keyring of one's own: a small CA whose key is in a sealed file. Nodes that share a plant share the file. It is safe for
// use by many goroutines and processes.
type Local struct {
	safe *Safe
	node string
	life time.Duration
	now  func() time.Time

	mu    sync.Mutex
	known authority // as the file was last read; guarded by mu
}

// authority is a CA with its key.
type authority struct {
	key  ed25519.PrivateKey
	root *x509.Certificate
	rest [][]byte // wrapping keys of what is sealed at rest, from version 2 on
}

// sealedAuthority is how an authority is kept.
type sealedAuthority struct {
	Key, Root []byte
	Rest      [][]byte `json:",omitempty"`
}

// NewLocal is the keyring in the safe, which certifies node alone and for life. The file is opened at the first use that it
// can be, so that a node goes on by itself once a folder that was away is back.
func NewLocal(safe *Safe, node string, life time.Duration, now func() time.Time) *Local {
	return &Local{safe: safe, node: node, life: life, now: now}
}

// InitLocal makes the CA of a plant. One that is there stays: the error is then of kind Conflict.
func InitLocal(safe *Safe, plant string, now time.Time) error {
	unlock, err := safe.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(safe.path(authorityFile)); !errors.Is(err, fs.ErrNotExist) {
		return &problem.Error{
			Kind: problem.Conflict, What: "make the keys of " + plant, Why: safe.path(authorityFile) + " is there already",
			Hint: "use it; or move it away, if no message that it vouches for is needed any more",
		}
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make the key of the CA: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return err
	}
	root := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: authorityName + plant}, NotBefore: now.Add(-skew), NotAfter: now.Add(authorityLife),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, root, root, key.Public(), key)
	if err != nil {
		return fmt.Errorf("sign the CA's certificate: %w", err)
	}
	return safe.write(authorityFile, sealedAuthority{Key: key.Seed(), Root: der})
}

func (l *Local) open() (authority, error) {
	var s sealedAuthority
	if err := l.safe.read(authorityFile, &s); err != nil {
		return authority{}, err
	}
	root, err := x509.ParseCertificate(s.Root)
	if err != nil || len(s.Key) != ed25519.SeedSize {
		return authority{}, l.safe.locked(authorityFile, err)
	}
	return authority{ed25519.NewKeyFromSeed(s.Key), root, s.Rest}, nil
}

// Certify signs the request of the keyring's own node.
func (l *Local) Certify(_ context.Context, request *x509.CertificateRequest) ([]*x509.Certificate, error) {
	if err := l.admits(request); err != nil {
		return nil, err
	}
	ca, err := l.reopen(0)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: serial, URIs: request.URIs, NotBefore: l.now().Add(-skew), NotAfter: l.now().Add(l.life),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca.root, request.PublicKey, ca.key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %s: %w", l.node, err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the certificate of %s: %w", l.node, err)
	}
	return []*x509.Certificate{c}, nil
}

func (l *Local) admits(request *x509.CertificateRequest) error {
	_, ok := request.PublicKey.(ed25519.PublicKey)
	if err := request.CheckSignature(); err != nil || !ok || len(request.URIs) != 1 || request.URIs[0].String() != l.node {
		return &problem.Error{
			Kind: problem.Denied, What: "certify a key", Why: "the request is not that of " + l.node + " for an Ed25519 key",
			Hint: "each node has a keyring of its own name (relay.node)", Cause: err,
		}
	}
	return nil
}

// Revoke adds the certificate to the list.
func (l *Local) Revoke(_ context.Context, c *x509.Certificate) error {
	ca, err := l.reopen(0)
	if err != nil {
		return err
	}
	unlock, err := l.safe.lock()
	if err != nil {
		return err
	}
	defer unlock()
	list, err := l.list(ca)
	if err != nil {
		return err
	}
	next := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: l.now().Add(-skew), NextUpdate: l.now().Add(listLife)}
	if list != nil {
		next.Number.Add(list.Number, big.NewInt(1))
		next.RevokedCertificateEntries = list.RevokedCertificateEntries
	}
	for _, e := range next.RevokedCertificateEntries {
		if sameSerial(e.SerialNumber, c.SerialNumber) {
			return nil
		}
	}
	next.RevokedCertificateEntries = append(next.RevokedCertificateEntries,
		x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: l.now()})
	der, err := x509.CreateRevocationList(rand.Reader, next, ca.root, ca.key)
	if err != nil {
		return fmt.Errorf("sign the list of revoked keys: %w", err)
	}
	return l.safe.put(listFile, der)
}

// list is what was revoked so far, nil if nothing was.
func (l *Local) list(ca authority) (*x509.RevocationList, error) {
	der, err := os.ReadFile(l.safe.path(listFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the list of revoked keys: %w", err)
	}
	list, err := x509.ParseRevocationList(der)
	if err == nil {
		err = list.CheckSignatureFrom(ca.root)
	}
	if err != nil {
		return nil, &problem.Error{
			Kind: problem.Integrity, What: "read " + l.safe.path(listFile), Why: "the plant's CA has not signed it",
			Hint: "put back a copy of it, and find out who altered it", Cause: err,
		}
	}
	return list, nil
}

// Roots is the CA's certificate and its list.
func (l *Local) Roots(context.Context) ([]*x509.Certificate, []*x509.RevocationList, error) {
	ca, err := l.reopen(0)
	if err != nil {
		return nil, nil, err
	}
	list, err := l.list(ca)
	if err != nil || list == nil {
		return []*x509.Certificate{ca.root}, nil, err
	}
	return []*x509.Certificate{ca.root}, []*x509.RevocationList{list}, nil
}

// newSerial is 128 random bits, as RFC 5280 wants at least 64.
func newSerial() (*big.Int, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b), nil
}

// lock keeps other processes from the folder's files until unlock.
func (s *Safe) lock() (unlock func(), err error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the keys: %w", err)
	}
	f, err := os.OpenFile(s.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the folder of the keys: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, fmt.Errorf("lock the folder of the keys: %w", errors.Join(err, f.Close()))
	}
	return func() { _ = f.Close() }, nil
}
