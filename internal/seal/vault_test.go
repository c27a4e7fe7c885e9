package seal_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/seal/vaulttest"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

func csr(t *testing.T) *x509.CertificateRequest {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return request(t, key, nodeA)
}

// patience only ends a test that would never end.
const patience = 2 * time.Minute

// certifies tries for a while: after each failure the keyring waits before it asks Vault again.
func certifies(t *testing.T, v *seal.Vault) {
	t.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if _, err = v.Certify(t.Context(), csr(t)); err == nil {
			return
		}
	}
	t.Errorf("no certificate: %v", err)
}

// TestANodeLogsInByItsCertificateAfterTheFirstTime: the wrapped secret ID is good once, the process is not.
func TestANodeLogsInByItsCertificateAfterTheFirstTime(t *testing.T) {
	dir := t.TempDir()
	v, s := vault(t, dir)
	certifies(t, v)
	certifies(t, vaultAgain(t, s, dir, "/nowhere", ""))
	s.Stop(t)
	s.Restart(t)
	s.Unseal(t)
	certifies(t, vaultAgain(t, s, dir, "/nowhere", ""))
}

// TestATokenIsRenewedPastItsEnd: the token of a login by certificate is given new time, by that certificate, instead of another login.
func TestATokenIsRenewedPastItsEnd(t *testing.T) {
	t.Parallel()
	v, s := vault(t, t.TempDir(), "TOKEN_PERIOD=2s")
	certifies(t, v)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = v.Run(ctx) })
	defer running.Wait()
	defer stop()
	admin := s.Admin(t)
	var mine []string
	all, err := admin.Logical().List("auth/token/accessors")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all.Data["keys"].([]any) {
		if about, err := admin.Auth().Token().LookupAccessor(a.(string)); err == nil && about.Data["path"] == "auth/holdfast-cert/login" {
			mine = append(mine, a.(string))
		}
	}
	if len(mine) != 1 {
		t.Fatalf("the node has %d tokens, want one", len(mine))
	}
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); <-look.C {
		if _, err := admin.Auth().Token().LookupAccessor(mine[0]); err != nil {
			t.Fatalf("the token has ended: %v", err)
		}
	}
}

// TestALoginCertificateIsReplacedWhileItsTokenIsRenewed: a node that has to log in again only after a month still can.
func TestALoginCertificateIsReplacedWhileItsTokenIsRenewed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	v, s := vault(t, dir, "TOKEN_PERIOD=2s", "LOGIN_LIFE=6s")
	certifies(t, v)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = v.Run(ctx) })
	defer running.Wait()
	defer stop()
	ended := time.NewTimer(7 * time.Second)
	defer ended.Stop()
	<-ended.C
	if _, err := vaultAgain(t, s, dir, "/nowhere", "").Certify(t.Context(), csr(t)); err != nil {
		t.Errorf("once the first login certificate has ended: %v", err)
	}
}

// TestTheNamespaceIsToldInAHeader of every request; Vault's free edition has none, so that it is taken off on the way.
func TestTheNamespaceIsToldInAHeader(t *testing.T) {
	t.Parallel()
	s := vaulttest.Start(t)
	s.Setup(t, nil, "plant", "1000")
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(s.Token), 0o600); err != nil {
		t.Fatal(err)
	}
	var told, others atomic.Int64
	between := proxied(t, s, func(r *http.Request) {
		if r.Header.Get("X-Vault-Namespace") == "plants/1000" {
			told.Add(1)
		} else {
			others.Add(1)
		}
		r.Header.Del("X-Vault-Namespace")
	})
	v, err := seal.NewVault(seal.VaultConfig{Address: between.URL, CA: certificateOf(t, between), Role: "a", Namespace: "plants/1000", TokenFile: token}, nil, nodeA, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := v.Roots(t.Context()); err != nil || told.Load() < 2 || others.Load() != 0 {
		t.Errorf("%d requests have the namespace and %d do not, %v", told.Load(), others.Load(), err)
	}
}

func TestASecretIDThatSomebodyElseUnwrappedIsAnAlarm(t *testing.T) {
	s := vaulttest.Start(t)
	s.Setup(t, nil, "plant", "1000")
	id := strings.TrimPrefix(s.Setup(t, nil, "node", "a", nodeA), "role_id: ")
	stolen := wrapped(t, s)
	token, err := os.ReadFile(stolen)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Admin(t).Logical().Unwrap(string(token)); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(t.TempDir(), "wrapped")
	if err := os.WriteFile(foreign, []byte(wrapToken(t, s)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{"unwrapped by another": stolen, "made by another": foreign} {
		t.Run(name, func(t *testing.T) {
			var told []error
			v := vaultAgain(t, s, t.TempDir(), file, id)
			v.WhenOpened(func(why error) { told = append(told, why) })
			_, err := v.Certify(t.Context(), csr(t))
			if problem.KindOf(err) != problem.Denied || !strings.Contains(err.Error(), "unwrapped before") {
				t.Errorf("got %v, want a refusal that says so", err)
			}
			time.Sleep(2 * time.Second) // the next login may be tried by then
			may := func(context.Context, *store.Tx) (bool, bool, error) { return true, true, nil }
			_, err = seal.OpenRest(t.Context(), storetest.SQLite(t), v, seal.RestConfig{Begin: may}, quiet())
			if p, ok := errors.AsType[*problem.Error](err); !ok || !strings.HasPrefix(p.Hint, "ALARM: ") || strings.Contains(p.Hint, "at_rest") {
				t.Errorf("a start that is to begin to seal: %v, want the alarm and nothing beside it", err)
			}
			time.Sleep(2 * time.Second)
			_, again := v.Certify(t.Context(), csr(t))
			if len(told) != 1 || told[0] == nil || again == nil {
				t.Errorf("told of %v, want it once", told)
			}
		})
	}
}

// wrapToken is a wrapping of something else than a secret ID of node a.
func wrapToken(t *testing.T, s *vaulttest.Server) string {
	t.Helper()
	c := s.Admin(t)
	c.SetWrappingLookupFunc(func(string, string) string { return "5m" })
	secret, err := c.Logical().Write("sys/wrapping/wrap", map[string]any{"secret_id": "guess"})
	if err != nil {
		t.Fatal(err)
	}
	return secret.WrapInfo.Token
}

func TestAMissingCapabilityIsNamed(t *testing.T) {
	v, s := vault(t, t.TempDir())
	certifies(t, v)
	if err := s.Admin(t).Sys().PutPolicy("holdfast-a", `path "auth/token/renew-self" { capabilities = ["update"] }`); err != nil {
		t.Fatal(err)
	}
	_, err := v.Certify(t.Context(), csr(t))
	if problem.KindOf(err) != problem.Denied || !strings.Contains(err.Error(), "update on holdfast-pki/sign/a") {
		t.Errorf("got %v, want the path and the capability", err)
	}
}

// TestAPolicyWithoutDatakeyIsNamed, by the real Vault: the plant does not start, and says what to give the node.
func TestAPolicyWithoutDatakeyIsNamed(t *testing.T) {
	t.Parallel()
	v, s := vault(t, t.TempDir())
	certifies(t, v)
	admin := s.Admin(t).Sys()
	policy, err := admin.GetPolicy("holdfast-a")
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.PutPolicy("holdfast-a", strings.Replace(policy, "datakey/plaintext/rest", "datakey/none", 1)); err != nil {
		t.Fatal(err)
	}
	may := func(context.Context, *store.Tx) (bool, bool, error) { return true, true, nil }
	_, err = seal.OpenRest(t.Context(), storetest.SQLite(t), v, seal.RestConfig{Begin: may}, quiet())
	if problem.KindOf(err) != problem.Denied || !strings.Contains(err.Error(), "update on holdfast-transit/datakey/plaintext/rest") {
		t.Errorf("got %v, want the path and the capability", err)
	}
}

// TestAnOperatorRevokesAndANodeDoesNot: a node's policy does not reach so far.
func TestAnOperatorRevokesAndANodeDoesNot(t *testing.T) {
	v, s := vault(t, t.TempDir())
	chain, err := v.Certify(t.Context(), csr(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Revoke(t.Context(), chain[0]); problem.KindOf(err) != problem.Denied || !strings.Contains(err.Error(), "holdfast-pki/revoke") {
		t.Errorf("got %v, want a refusal that names the path", err)
	}
	operator, err := s.Admin(t).Auth().Token().Create(&api.TokenCreateRequest{Policies: []string{"holdfast-operator"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.As(operator.Auth.ClientToken).Revoke(t.Context(), chain[0]); err != nil {
		t.Errorf("an operator: %v", err)
	}
	_, lists, err := v.Roots(t.Context())
	if err != nil || len(lists) != 1 || len(lists[0].RevokedCertificateEntries) != 1 ||
		lists[0].RevokedCertificateEntries[0].SerialNumber.Cmp(chain[0].SerialNumber) != 0 {
		t.Errorf("Vault's list %v, %v, want the certificate on it", lists, err)
	}
}

// TestWhatAFormerCAVouchedForIsStillBelieved: the engine has a new CA, and what the node signed before is checked by the former one, whose list of
// revoked keys counts too.
func TestWhatAFormerCAVouchedForIsStillBelieved(t *testing.T) {
	v, s := vault(t, t.TempDir())
	db := storetest.SQLite(t)
	r := ring(t, db, v, nil)
	old, err := r.Sign(forTest, []byte("digest"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := s.Admin(t).Logical().Write("holdfast-pki/root/rotate/internal", map[string]any{"common_name": "The next CA", "key_type": "ed25519", "ttl": "8760h", "not_before_duration": "60s"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Admin(t).Logical().Write("holdfast-pki/config/issuers", map[string]any{"default": ca.Data["issuer_id"]}); err != nil {
		t.Fatal(err)
	}
	if err := r.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	fresh, err := r.Sign(forTest, []byte("digest"))
	if err != nil {
		t.Fatal(err)
	}
	trust := func() *seal.Trust {
		t.Helper()
		b, err := seal.ReadBundle(t.Context(), db, v)
		if err != nil {
			t.Fatal(err)
		}
		return b.Trust()
	}
	for name, signature := range map[string]seal.Signature{"before": old, "after": fresh} {
		if _, err := trust().Verify(forTest, []byte("digest"), signature); err != nil {
			t.Errorf("signed %s: %v", name, err)
		}
	}
	archive, err := seal.ReadBundle(t.Context(), db, v)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range archive.Keys {
		if k.Key == old.Key {
			if err := v.As(s.Token).Revoke(t.Context(), k.Chain[0]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := trust().Verify(forTest, []byte("digest"), old); problem.KindOf(err) != problem.Denied {
		t.Errorf("revoked at the former CA: got %v, want that it is denied", err)
	}
}

// TestANodeThatWasStolenIsShutOut: neither the token that it has nor its login is worth anything any more.
func TestANodeThatWasStolenIsShutOut(t *testing.T) {
	dir := t.TempDir()
	v, s := vault(t, dir)
	certifies(t, v)
	s.Setup(t, nil, "revoke", "a")
	if said, err := s.Try(nil, "node", "a", "urn:plant:1000:node:a"); err == nil || !strings.Contains(err.Error(), "role a was revoked") {
		t.Errorf("its role is made again: %q, %v, want that it is refused", said, err)
	}
	for name, thief := range map[string]*seal.Vault{"its token": v, "its login": vaultAgain(t, s, dir, "/nowhere", "")} {
		if _, err := thief.Certify(t.Context(), csr(t)); problem.KindOf(err) != problem.Denied {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
		if _, err := thief.AnchorCheckpoint(t.Context(), noteName, noteText); problem.KindOf(err) != problem.Denied {
			t.Errorf("%s: got %v of the anchor, want a refusal", name, err)
		}
	}
}

// TestANodeSignsThroughVaultsTroubles: sealed for longer than a token lives, stopped, its tokens revoked. The node signs on throughout,
// and has a new key once Vault answers again.
func TestANodeSignsThroughVaultsTroubles(t *testing.T) {
	v, s := vault(t, t.TempDir(), "TOKEN_PERIOD=2s")
	db := storetest.SQLite(t)
	r := ring(t, db, v, nil)
	signs := func(when string) {
		t.Helper()
		if _, err := r.Sign(forTest, []byte("digest")); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	comesBack := func(when string) {
		t.Helper()
		var err error
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
			signs(when)
			if err = r.Rotate(t.Context()); err == nil {
				return
			}
		}
		t.Errorf("%s: no new key: %v", when, err)
	}
	isAway := func(when string) {
		t.Helper()
		for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			signs(when)
		}
		if err := r.Rotate(t.Context()); problem.KindOf(err) != problem.Unavailable {
			t.Errorf("%s: got %v, want that it does not answer", when, err)
		}
	}
	time.Sleep(3 * time.Second) // nobody renews here: the token ends
	comesBack("the token ended")
	s.Seal(t)
	isAway("sealed")
	s.Unseal(t)
	comesBack("unsealed")
	s.Stop(t)
	isAway("stopped")
	s.Restart(t)
	s.Unseal(t)
	comesBack("started")
	if _, err := s.Admin(t).Logical().Write("sys/leases/revoke-prefix/auth/holdfast-cert", nil); err != nil {
		t.Fatal(err)
	}
	comesBack("all tokens revoked")
	if _, err := seal.OpenRing(t.Context(), storetest.SQLite(t), v, nil, nodeA, seal.RingConfig{}, quiet()); err != nil {
		t.Errorf("a second start: %v", err)
	}
}

func TestAVaultThatIsAwayAtTheStartIsSaidToBe(t *testing.T) {
	dir := t.TempDir()
	v, s := vault(t, dir)
	db, safe := storetest.SQLite(t), seal.NewSafe(dir, "correct horse", work)
	key := ring(t, db, v, safe).State().Key
	s.Stop(t)
	again := vaultAgain(t, s, dir, "/nowhere", "")
	if _, err := seal.OpenRing(t.Context(), db, again, nil, nodeA, seal.RingConfig{}, quiet()); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("got %v, want that Vault does not answer", err)
	}
	if got := ring(t, db, again, safe).State().Key; got != key {
		t.Errorf("from the safe: key %s, want %s", got, key)
	}
}

func TestATokenFileIsReadAgain(t *testing.T) {
	_, s := vault(t, t.TempDir())
	file := filepath.Join(t.TempDir(), "token")
	v, err := seal.NewVault(seal.VaultConfig{Address: s.Address, CA: s.CA, Role: "a", TokenFile: file}, nil, nodeA, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Certify(t.Context(), csr(t)); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("without a file: %v", err)
	}
	if err := os.WriteFile(file, []byte(s.Token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	certifies(t, v)
}
