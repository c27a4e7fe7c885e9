package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"holdfast/adapters/erpmock"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
)

// erpKeys is the file, beside the demo's configuration, with the public key by which its ERP signs receipts.
const erpKeys = "erp-keys.json"

// signERP gives the demo's ERP a key of its own, with which it signs answers and receipts, and has it check each request by the plant's
// public keys.
func (s *stage) signERP(c *erpmock.Config) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make the key of the ERP: %w", err)
	}
	k := seal.NewSigningKey(private)
	set, err := json.Marshal(map[string]any{"keys": []map[string]any{{"kty": "OKP", "crv": "Ed25519", "kid": k.ID, "x": base64.RawURLEncoding.EncodeToString(public)}}})
	if err != nil {
		return fmt.Errorf("write the key of the ERP: %w", err)
	}
	if err := os.WriteFile(filepath.Join(s.flags.data, erpKeys), set, 0o600); err != nil {
		return fmt.Errorf("write the key of the ERP: %w", err)
	}
	c.Signer = seal.NewHopSigner(seal.ByHop, func() (seal.SigningKey, error) { return k, nil }, time.Now)
	c.Hops = plantHops{s}
	return nil
}

// plantHops checks the plant's requests as its ERP would: by the plant's public keys alone.
type plantHops struct{ s *stage }

// VerifyHop implements message.HopVerifier.
func (p plantHops) VerifyHop(ctx context.Context, h message.Hop) (message.Witness, error) {
	g := p.s.hops.Load()
	if g == nil {
		return message.Witness{}, &problem.Error{Kind: problem.Unavailable, What: "check a request", Why: "the plant has no keys yet"}
	}
	return g.Hops("plant").VerifyHop(ctx, h)
}

// openHops gives the ERP the plant's public keys, those of later days too.
func (s *stage) openHops(ctx context.Context) {
	keys := newReadKeys("the keys of the plant", func() ([]seal.Key, error) {
		b, err := s.plant.ring.Bundle(ctx)
		if err != nil {
			return nil, err
		}
		set, err := b.JWKS()
		if err != nil {
			return nil, err
		}
		return seal.ParseKeys(set)
	}, s.logger())
	plant := seal.Sender{Name: "plant", Form: seal.ByHop, Keys: keys}
	s.hops.Store(seal.NewGuard(map[string]seal.Policy{"plant": {Senders: []seal.Sender{plant}}}, time.Now))
}
