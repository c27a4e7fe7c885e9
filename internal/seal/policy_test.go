package seal_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"holdfast/internal/problem"
	"holdfast/internal/seal"
)

// TestANodeReadsItsOwnSecretsAndThoseOfItsLinksAlone, by the policies that deploy/vault/setup has made.
func TestANodeReadsItsOwnSecretsAndThoseOfItsLinksAlone(t *testing.T) {
	t.Parallel()
	v, s := vault(t, t.TempDir())
	s.Setup(t, nil, "node", "b", seal.NodeURI(plantURI, "b"))
	s.Setup(t, nil, "kv", "a", "erp", "mes/line1")
	kv := s.Admin(t).KVv2("holdfast-kv")
	for _, path := range []string{"a/own", "b/own", "erp", "mes/line1", "mes/line2", "erp/deeper"} {
		until(t, path, func() bool {
			_, err := kv.Put(t.Context(), path, map[string]any{"hop": "secret of " + path})
			return err == nil
		})
	}
	s.Setup(t, nil, "node", "a", nodeA) // takes nothing back
	secrets := seal.NewSecrets(v, nil, time.Now, quiet())
	for path, may := range map[string]bool{"a/own": true, "erp": true, "mes/line1": true, "b/own": false, "mes/line2": false, "erp/deeper": false} {
		got, err := secrets.Get(t.Context(), "holdfast-kv/"+path+"#hop")
		if may && (err != nil || got != "secret of "+path) {
			t.Errorf("%s: got %q, %v", path, got, err)
		}
		if !may && (problem.KindOf(err) != problem.Denied || got != "" || !strings.Contains(err.Error(), "read on holdfast-kv/data/"+path)) {
			t.Errorf("%s: got %q, %v, want that path and capability are named", path, got, err)
		}
	}
}

// TestAKeyIsForItsOwnUseAlone: the certificate of what signs messages is for no TLS and logs nobody in, that of the login is for a client of TLS.
func TestAKeyIsForItsOwnUseAlone(t *testing.T) {
	t.Parallel()
	v, s := vault(t, t.TempDir())
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := v.Certify(t.Context(), request(t, key, nodeA))
	if err != nil {
		t.Fatal(err)
	}
	if c := chain[0]; len(c.ExtKeyUsage) != 0 || len(c.UnknownExtKeyUsage) != 1 || c.UnknownExtKeyUsage[0].String() != "1.3.6.1.5.5.7.3.36" || c.KeyUsage != x509.KeyUsageDigitalSignature {
		t.Errorf("it is for %v, %v, %v, want to sign documents", c.KeyUsage, c.ExtKeyUsage, c.UnknownExtKeyUsage)
	}
	cfg := api.DefaultConfig()
	cfg.Address = s.Address
	if err := cfg.ConfigureTLS(&api.TLSConfig{CACert: s.CA}); err != nil {
		t.Fatal(err)
	}
	cfg.HttpClient.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{{Certificate: [][]byte{chain[0].Raw}, PrivateKey: key, Leaf: chain[0]}}
	c, err := api.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := c.Logical().WriteWithContext(t.Context(), "auth/holdfast-cert/login", map[string]any{"name": "a"}); err == nil {
		t.Errorf("the key of messages logs in: %+v", l.Auth.Policies)
	}
}

// TestAVaultIsOnePlantsAlone: another would share its CA and its keys.
func TestAVaultIsOnePlantsAlone(t *testing.T) {
	t.Parallel()
	_, s := vault(t, t.TempDir())
	s.Setup(t, nil, "plant", "1000")
	if said, err := s.Try(nil, "plant", "2000"); err == nil || !strings.Contains(err.Error(), "Holdfast plant 1000") {
		t.Errorf("a second plant: %q, %v, want that it is refused", said, err)
	}
}

// TestNoNodeTakesThePlaceOfAnothersLogin: a role by the name of a's login would let a sign as another.
func TestNoNodeTakesThePlaceOfAnothersLogin(t *testing.T) {
	t.Parallel()
	_, s := vault(t, t.TempDir())
	for _, name := range []string{"a-login", "a-kv", "a-bootstrap", "a-revoked", "operator"} {
		if said, err := s.Try(nil, "node", name, "urn:plant:1000:node:x"); err == nil || !strings.Contains(err.Error(), "give the node another name") {
			t.Errorf("%s: %q, %v, want that it is refused", name, said, err)
		}
	}
}

// TestAPlantThatCannotBeginToSealDoesNotStart: what it kept would be readable. A word of the configuration has it start all the same.
func TestAPlantThatCannotBeginToSealDoesNotStart(t *testing.T) {
	eachRest(t, func(t *testing.T, w restWorld) {
		for _, kind := range []problem.Kind{problem.Denied, problem.Unavailable} {
			w.keys.fail(&problem.Error{Kind: kind, What: "ask Vault", Why: "the policy does not allow it"})
			if _, err := w.open(seal.RestConfig{}); problem.KindOf(err) != kind || !strings.Contains(err.Error(), "the policy does not allow it") {
				t.Errorf("got %v, want that it does not start", err)
			}
		}
		r := w.must(seal.RestConfig{Off: true})
		if kept, epoch := w.seal(r, cellA, "plain"); epoch != 0 || string(kept) != "plain" || r.AllSealed() {
			t.Errorf("switched off: kept %q by epoch %d", kept, epoch)
		}
		w.keys.fail(nil)
		if _, epoch := w.seal(w.must(seal.RestConfig{}), cellA, "secret"); epoch == 0 {
			t.Error("it does not begin when the keyring gives seeds")
		}
	})
}
