package seal_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/seal/vaulttest"
)

// cluster is what Vault asks of a Kubernetes: whose a token is. It knows one token at a time, that of the service account holdfast in plants.
type cluster struct {
	*httptest.Server
	mu    sync.Mutex
	token string // guarded by mu
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{}
	c.Server = httptest.NewTLSServer(http.HandlerFunc(c.review))
	t.Cleanup(c.Close)
	return c
}

// review answers POST /apis/authentication.k8s.io/v1/tokenreviews.
func (c *cluster) review(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Spec struct {
			Token     string
			Audiences []string
		}
	}
	if r.URL.Path != "/apis/authentication.k8s.io/v1/tokenreviews" || json.NewDecoder(r.Body).Decode(&asked) != nil {
		http.NotFound(w, r)
		return
	}
	c.mu.Lock()
	known := asked.Spec.Token == c.token
	c.mu.Unlock()
	status := map[string]any{"authenticated": false}
	if known {
		status = map[string]any{"authenticated": true, "audiences": asked.Spec.Audiences, "user": map[string]any{
			"username": "system:serviceaccount:plants:holdfast", "uid": "7b1c", "groups": []string{"system:serviceaccounts", "system:authenticated"},
		}}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": status}) // the test sees what Vault makes of it
}

// issue lays down a new token of the service account; the one before counts no more.
func (c *cluster) issue(t *testing.T, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(map[string]any{
		"iss": "https://kubernetes.default.svc", "aud": []string{"https://kubernetes.default.svc"}, "sub": "system:serviceaccount:plants:holdfast",
		"exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(), "nbf": time.Now().Add(-time.Minute).Unix(),
		"kubernetes.io": map[string]any{"namespace": "plants", "serviceaccount": map[string]any{"name": "holdfast", "uid": "7b1c"}},
	}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	c.token = token
	c.mu.Unlock()
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestAPodLogsInByItsServiceAccount at a real Vault, by the token that its file has at that moment: Kubernetes replaces it every hour.
func TestAPodLogsInByItsServiceAccount(t *testing.T) {
	s := vaulttest.Start(t)
	s.Setup(t, nil, "plant", "1000")
	s.Setup(t, nil, "node", "a", nodeA)
	k, file := newCluster(t), filepath.Join(t.TempDir(), "token")
	admin := s.Admin(t).Logical()
	if _, err := admin.WriteWithContext(t.Context(), "sys/auth/pods", map[string]any{"type": "kubernetes"}); err != nil {
		t.Fatal(err)
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.Certificate().Raw})
	if _, err := admin.WriteWithContext(t.Context(), "auth/pods/config", map[string]any{
		"kubernetes_host": k.URL, "kubernetes_ca_cert": string(ca), "disable_local_ca_jwt": true, "token_reviewer_jwt": "",
	}); err != nil {
		t.Fatal(err)
	}
	s.Setup(t, nil, "kubernetes", "a", "pods", "plants", "holdfast")
	open := func() *seal.Vault {
		v, err := seal.NewVault(seal.VaultConfig{Address: s.Address, CA: s.CA, Role: "a", Kubernetes: "pods", KubernetesToken: file}, nil, nodeA, quiet())
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	early := open()
	if _, err := early.Certify(t.Context(), csr(t)); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("without a token: got %v, want a problem of kind %s", err, problem.Unavailable)
	}
	k.issue(t, file)
	certifies(t, early)
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	k.issue(t, file)
	certifies(t, open())
	if err := os.WriteFile(file, old, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open().Certify(t.Context(), csr(t)); problem.KindOf(err) != problem.Denied {
		t.Errorf("with a token that counts no more: got %v, want a problem of kind %s", err, problem.Denied)
	}
}
