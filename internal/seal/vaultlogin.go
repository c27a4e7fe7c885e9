package seal

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"holdfast/internal/problem"
)

// The mounts of the logins and where Kubernetes puts a pod's token.
const (
	certMount       = "holdfast-cert"
	approleMount    = "holdfast-approle"
	kubernetesToken = "/var/run/secrets/kubernetes.io/serviceaccount/token" //nolint:gosec // where it is, not what
	readTokenAgain  = 30 * time.Second
)

// given is a token of a person's: it is used as it is.
type given string

func (g given) login(context.Context) (lease, error) { return lease{token: string(g)}, nil }

func (g given) renew(context.Context, lease) (lease, error) { return lease{token: string(g)}, nil }

// As is the keyring for what a node may not do itself: it asks Vault with a person's token.
func (v *Vault) As(token string) *Vault {
	own := *v
	own.session = newSession(given(token), v.log)
	return &own
}

// login gets a token by the way that the configuration names.
func (v *Vault) login(ctx context.Context) (lease, error) {
	switch {
	case v.cfg.TokenFile != "":
		return v.tokenFile(ctx)
	case v.cfg.Kubernetes != "":
		return v.kubernetes(ctx)
	default:
		return v.certificate(ctx)
	}
}

// renew gives the token new time. Vault gives it to whoever shows the certificate of the login again, whatever the token says. Half a life of
// that certificate is the end: a login gets the next one.
func (v *Vault) renew(ctx context.Context, l lease) (lease, error) {
	from := v.client
	if l.by != nil && halfSpent(l.by.Leaf) {
		return v.login(ctx)
	}
	if l.by != nil {
		var err error
		if from, err = v.dial(l.by); err != nil {
			return lease{}, err
		}
	}
	c, err := with(from, l.token)
	if err != nil {
		return lease{}, err
	}
	s, err := c.Auth().Token().RenewSelfWithContext(ctx, 0)
	if err != nil {
		return lease{}, v.explain(err, "update", "auth/token/renew-self")
	}
	renewed, err := leaseOf(s)
	renewed.by = l.by
	return renewed, err
}

func leaseOf(s *api.Secret) (lease, error) {
	if s == nil || s.Auth == nil {
		return lease{}, &problem.Error{Kind: problem.Internal, What: "log in at Vault", Why: "its answer holds no token"}
	}
	return lease{token: s.Auth.ClientToken, ttl: time.Duration(s.Auth.LeaseDuration) * time.Second, renewable: s.Auth.Renewable}, nil
}

// tokenFile reads the file anew each half minute: whoever keeps it fresh tells nobody.
func (v *Vault) tokenFile(ctx context.Context) (lease, error) {
	b, err := os.ReadFile(v.cfg.TokenFile)
	token := strings.TrimSpace(string(b))
	if err != nil || token == "" {
		return lease{}, &problem.Error{
			Kind: problem.Unavailable, What: "read the token for Vault in " + v.cfg.TokenFile, Why: "there is none", Hint: "see that whoever writes it runs", Cause: err,
		}
	}
	c, err := with(v.client, token)
	if err != nil {
		return lease{}, err
	}
	if _, err := c.Auth().Token().LookupSelfWithContext(ctx); err != nil {
		return lease{}, v.explain(err, "read", "auth/token/lookup-self")
	}
	return lease{token: token, ttl: readTokenAgain}, nil
}

// kubernetes logs in as the pod's service account, by the token that is in the file now: Kubernetes replaces it long before it ends.
func (v *Vault) kubernetes(ctx context.Context) (lease, error) {
	jwt, err := os.ReadFile(cmp.Or(v.cfg.KubernetesToken, kubernetesToken))
	if err != nil {
		return lease{}, &problem.Error{
			Kind: problem.Unavailable, What: "read the token of the pod's service account", Why: "there is none",
			Hint: "let the pod mount it (automountServiceAccountToken), or use another login", Cause: err,
		}
	}
	path := "auth/" + v.cfg.Kubernetes + "/login"
	s, err := v.client.Logical().WriteWithContext(ctx, path, map[string]any{"role": v.cfg.Role, "jwt": strings.TrimSpace(string(jwt))})
	if err != nil {
		return lease{}, v.explain(err, "login", path)
	}
	return leaseOf(s)
}

// sealedLogin is how the key of the login certificate is kept, with the digest of the wrapping that bought the first one.
type sealedLogin struct {
	Key, Chain []byte
	Bought     []byte
}

func (v *Vault) loginFile() string { return "login-" + url.PathEscape(v.cfg.Role) + ".age" }

// certificate logs in by the login certificate, got by AppRole the first time and by itself from then on: it is replaced at half its
// life. One that Vault does not take any more, because Vault was away for too long, is bought anew where there is a new wrapping.
func (v *Vault) certificate(ctx context.Context) (lease, error) {
	var s sealedLogin
	err := v.safe.read(v.loginFile(), &s)
	if problem.KindOf(err) == problem.NotFound {
		s, err = v.bootstrap(ctx)
	}
	if err != nil {
		return lease{}, err
	}
	l, chain, err := v.byCertificate(ctx, s)
	if isDenied(err) && v.newWrapping(s) {
		if s, err = v.bootstrap(ctx); err != nil {
			return lease{}, err
		}
		l, chain, err = v.byCertificate(ctx, s)
	}
	if err != nil || !halfSpent(chain[0]) {
		return l, err
	}
	if _, err := v.newLogin(ctx, l.token, s.Bought); err != nil {
		v.log.WarnContext(ctx, "no new login certificate yet", "part", "keys", "until", chain[0].NotAfter, "err", err)
	}
	return l, nil
}

// halfSpent tells whether half of a certificate's time is over.
func halfSpent(c *x509.Certificate) bool {
	return time.Since(c.NotBefore) >= c.NotAfter.Sub(c.NotBefore)/2
}

// newWrapping tells whether the file holds another wrapping than the one that was used.
func (v *Vault) newWrapping(s sealedLogin) bool {
	wrapping, err := v.readWrapping()
	sum := sha256.Sum256([]byte(wrapping))
	return err == nil && !bytes.Equal(sum[:], s.Bought)
}

func (v *Vault) readWrapping() (string, error) {
	b, err := os.ReadFile(v.cfg.Wrapped)
	return strings.TrimSpace(string(b)), err
}

func (v *Vault) byCertificate(ctx context.Context, s sealedLogin) (lease, []*x509.Certificate, error) {
	chain, err := x509.ParseCertificates(s.Chain)
	if err != nil || len(chain) == 0 || len(s.Key) != ed25519.SeedSize {
		return lease{}, nil, v.safe.locked(v.loginFile(), err)
	}
	shown := &tls.Certificate{Certificate: [][]byte{chain[0].Raw}, PrivateKey: ed25519.NewKeyFromSeed(s.Key), Leaf: chain[0]}
	c, err := v.dial(shown)
	if err != nil {
		return lease{}, nil, err
	}
	path := "auth/" + certMount + "/login"
	answer, err := c.Logical().WriteWithContext(ctx, path, map[string]any{"name": v.cfg.Role})
	if err != nil {
		return lease{}, nil, v.explain(err, "login", path)
	}
	l, err := leaseOf(answer)
	l.by = shown
	return l, chain, err
}

// newLogin makes the next login certificate with a token that may, and keeps it. Its common name is what Vault calls who logs in by it.
func (v *Vault) newLogin(ctx context.Context, token string, bought []byte) (sealedLogin, error) {
	key, request, err := newRequest(v.node, v.cfg.Role)
	if err != nil {
		return sealedLogin{}, err
	}
	c, err := with(v.client, token)
	if err != nil {
		return sealedLogin{}, err
	}
	path := v.cfg.PKI + "/sign/" + v.cfg.Role + "-login"
	answer, err := c.Logical().WriteWithContext(ctx, path, v.signing(request))
	if err != nil {
		return sealedLogin{}, v.explain(err, "update", path)
	}
	chain, err := chainOf(answer, path)
	if err != nil {
		return sealedLogin{}, err
	}
	s := sealedLogin{key.Seed(), chain[0].Raw, bought}
	return s, v.safe.write(v.loginFile(), s)
}

// errNoLogin is the cause of an error that says why Vault does not let the node in for the first time, and what to do: whoever asked for something else
// has nothing to add.
var errNoLogin = errors.New("the node has no login at Vault")

// bootstrap buys the first login certificate with the wrapped secret ID. The wrapping can be undone once: if somebody has done it
// before, that somebody has the secret.
func (v *Vault) bootstrap(ctx context.Context) (sealedLogin, error) {
	wrapping, err := v.readWrapping()
	if err != nil {
		return sealedLogin{}, &problem.Error{
			Kind: problem.Denied, What: "log in at Vault for the first time", Why: "the wrapped secret ID cannot be read",
			Hint: "have one made (deploy/vault/setup node …) and name its file in keys.vault.wrapped_secret_id", Cause: errors.Join(errNoLogin, err),
		}
	}
	sum := sha256.Sum256([]byte(wrapping))
	id, err := v.unwrap(ctx, wrapping)
	if err != nil {
		v.tellOpened(sum, err)
		return sealedLogin{}, err
	}
	path := "auth/" + approleMount + "/login"
	s, err := v.client.Logical().WriteWithContext(ctx, path, map[string]any{"role_id": v.cfg.RoleID, "secret_id": id})
	if err != nil {
		return sealedLogin{}, v.explain(err, "login", path)
	}
	l, err := leaseOf(s)
	if err != nil {
		return sealedLogin{}, err
	}
	return v.newLogin(ctx, l.token, sum[:])
}

// WhenOpened has f told of each wrapped secret ID that somebody else has opened, once: whoever did has the node's secret.
func (v *Vault) WhenOpened(f func(why error)) { v.opened.Store(&f) }

// tellOpened tells of a wrapping that was opened before.
func (v *Vault) tellOpened(wrapping [sha256.Size]byte, err error) {
	tell := v.opened.Load()
	if tell == nil || !isDenied(err) {
		return
	}
	if _, told := v.toldOf.LoadOrStore(wrapping, true); !told {
		(*tell)(err)
	}
}

// unwrap takes the secret ID out of its wrapping, which must be one that the role's own path has made.
func (v *Vault) unwrap(ctx context.Context, wrapping string) (string, error) {
	stolen := &problem.Error{
		Kind: problem.Denied, What: "unwrap the secret ID of " + v.cfg.Role, Why: "it was unwrapped before, has ended, or is another's",
		Hint: "ALARM: unless it is merely old, somebody else has read it. Revoke the role's secret IDs, find out who, then have a new one made", Cause: errNoLogin,
	}
	s, err := v.client.Logical().WriteWithContext(ctx, "sys/wrapping/lookup", map[string]any{"token": wrapping})
	if err != nil {
		return "", v.wrapping(stolen, err)
	}
	if made, _ := s.Data["creation_path"].(string); made != "auth/"+approleMount+"/role/"+v.cfg.Role+"/secret-id" {
		return "", stolen
	}
	if s, err = v.client.Logical().UnwrapWithContext(ctx, wrapping); err != nil {
		return "", v.wrapping(stolen, err)
	}
	id, _ := s.Data["secret_id"].(string)
	if id == "" {
		return "", stolen
	}
	return id, nil
}

// wrapping tells a wrapping that is no good from a Vault that does not answer.
func (v *Vault) wrapping(stolen *problem.Error, err error) error {
	if answer, ok := errors.AsType[*api.ResponseError](err); ok && answer.StatusCode < http.StatusInternalServerError {
		stolen.Cause = errors.Join(errNoLogin, err)
		return stolen
	}
	return v.explain(err, "update", "sys/wrapping/unwrap")
}
