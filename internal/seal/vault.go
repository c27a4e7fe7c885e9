package seal

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"holdfast/internal/problem"
)

// VaultConfig says where Vault is and what its administrator has set up for this node; deploy/vault/setup does it with these defaults.
type VaultConfig struct {
	Address   string // https://vault.example:8200
	CA        string // file with the certificate that vouches for Vault's; empty: the system's
	Namespace string // of Vault Enterprise; empty: none
	PKI       string // mount of the PKI engine; default holdfast-pki
	Role      string // the node's role at PKI and logins; its role for login certificates has "-login" behind it

	// One of the three ways to a token.
	Wrapped    string // file with the wrapped secret ID of AppRole that buys the first login certificate
	RoleID     string // of AppRole, with Wrapped
	Kubernetes string // mount of the Kubernetes login; the service account's token is read at each login
	TokenFile  string // a token that somebody else keeps fresh, read at each login
}

// The mounts of the logins and where Kubernetes puts a pod's token.
const (
	certMount       = "holdfast-cert"
	approleMount    = "holdfast-approle"
	kubernetesToken = "/var/run/secrets/kubernetes.io/serviceaccount/token" //nolint:gosec // where it is, not what
	readTokenAgain  = 30 * time.Second
)

// Vault is the keyring of a plant that has HashiCorp Vault: its PKI engine certifies the node's keys. It is safe for use by many
// goroutines.
type Vault struct {
	cfg     VaultConfig
	safe    *Safe
	node    string
	client  *api.Client
	session *session
	log     *slog.Logger
}

// NewVault is the keyring of node in Vault. It asks nothing yet. The safe keeps the key of the node's login certificate.
func NewVault(cfg VaultConfig, safe *Safe, node string, log *slog.Logger) (*Vault, error) {
	if cfg.PKI == "" {
		cfg.PKI = "holdfast-pki"
	}
	v := &Vault{cfg: cfg, safe: safe, node: node, log: log}
	var err error
	if v.client, err = v.dial(nil); err != nil {
		return nil, err
	}
	v.session = newSession(v, log)
	return v, nil
}

// Run keeps the node's token alive until ctx ends.
func (v *Vault) Run(ctx context.Context) error {
	v.session.run(ctx)
	return nil
}

// dial is a client of Vault that takes nothing from the environment, tries once and waits ten seconds at most. With a certificate it
// is the client of the certificate login.
func (v *Vault) dial(certificate *tls.Certificate) (*api.Client, error) {
	c := api.DefaultConfig()
	if c.Error != nil {
		return nil, fmt.Errorf("set up the client of Vault: %w", c.Error)
	}
	c.Address, c.MaxRetries, c.Timeout = v.cfg.Address, 0, 10*time.Second
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if v.cfg.CA != "" {
		b, err := os.ReadFile(v.cfg.CA)
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if err != nil || !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(b) {
			return nil, &problem.Error{
				Kind: problem.Invalid, What: "read the certificate of Vault's CA, " + v.cfg.CA, Why: "it holds none", Hint: "write it there in PEM", Cause: err,
			}
		}
	}
	if certificate != nil {
		transport.TLSClientConfig.Certificates = []tls.Certificate{*certificate}
		transport.DisableKeepAlives = true
	}
	c.HttpClient = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	client, err := api.NewClient(c)
	if err != nil {
		return nil, fmt.Errorf("set up the client of Vault: %w", err)
	}
	client.ClearToken()
	client.ClearNamespace()
	if v.cfg.Namespace != "" {
		client.SetNamespace(v.cfg.Namespace)
	}
	return client, nil
}

// with is the client with a token.
func with(c *api.Client, token string) (*api.Client, error) {
	c, err := c.CloneWithHeaders()
	if err != nil {
		return nil, fmt.Errorf("set up the client of Vault: %w", err)
	}
	c.SetToken(token)
	return c, nil
}

// call does one thing at Vault. A token that Vault refuses is replaced once; what it refuses then, it does not allow.
func (v *Vault) call(ctx context.Context, capability, path string, do func(c *api.Client) (*api.Secret, error)) (*api.Secret, error) {
	for again := false; ; again = true {
		token, err := v.session.token(ctx)
		if err != nil {
			return nil, err
		}
		c, err := with(v.client, token)
		if err != nil {
			return nil, err
		}
		s, err := do(c)
		if err == nil {
			return s, nil
		}
		err = v.explain(err, capability, path)
		if !isDenied(err) || again {
			return nil, err
		}
		v.session.refused(token)
	}
}

func (v *Vault) write(ctx context.Context, path string, data map[string]any) (*api.Secret, error) {
	return v.call(ctx, "update", path, func(c *api.Client) (*api.Secret, error) { return c.Logical().WriteWithContext(ctx, path, data) })
}

func isDenied(err error) bool { return err != nil && problem.KindOf(err) == problem.Denied }

// explain words an error of Vault's: what it refuses is Denied, with the path and the capability that the policy lacks.
func (v *Vault) explain(err error, capability, path string) error {
	p := &problem.Error{
		Kind: problem.Unavailable, What: "ask Vault for " + path, Why: "it does not answer",
		Hint: "see that Vault runs and can be reached; the node goes on meanwhile", Cause: err,
	}
	answer, ok := errors.AsType[*api.ResponseError](err)
	if !ok {
		return p
	}
	said := strings.Join(answer.Errors, "; ")
	switch p.Cause = nil; {
	case answer.StatusCode == http.StatusForbidden:
		p.Kind, p.Why = problem.Denied, fmt.Sprintf("Vault does not allow %s on %s (%s)", capability, path, said)
		p.Hint = fmt.Sprintf("give the policy of role %s: path %q { capabilities = [%q] }, as deploy/vault/node.hcl has it", v.cfg.Role, path, capability)
	case answer.StatusCode == http.StatusServiceUnavailable:
		p.Why, p.Hint = "Vault is sealed or in standby", "unseal it; the node goes on meanwhile"
	case answer.StatusCode >= http.StatusInternalServerError || answer.StatusCode == http.StatusTooManyRequests:
		p.Why = fmt.Sprintf("Vault answers %d (%s)", answer.StatusCode, said)
	default:
		p.Kind, p.Why = problem.Denied, fmt.Sprintf("Vault refuses it: %d (%s)", answer.StatusCode, said)
		p.Hint = "compare the node's role with deploy/vault/setup"
	}
	return p
}

// Certify has the PKI engine sign the request under the node's role.
func (v *Vault) Certify(ctx context.Context, request *x509.CertificateRequest) ([]*x509.Certificate, error) {
	return v.certify(ctx, v.cfg.PKI+"/sign/"+v.cfg.Role, request)
}

func (v *Vault) certify(ctx context.Context, path string, request *x509.CertificateRequest) ([]*x509.Certificate, error) {
	s, err := v.write(ctx, path, v.signing(request))
	if err != nil {
		return nil, err
	}
	return chainOf(s, path)
}

// signing is what the PKI engine is asked.
func (*Vault) signing(request *x509.CertificateRequest) map[string]any {
	csr := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request.Raw})
	return map[string]any{"csr": string(csr), "format": "pem", "exclude_cn_from_sans": true}
}

// chainOf reads the certificate and what is between it and the root.
func chainOf(s *api.Secret, path string) ([]*x509.Certificate, error) {
	text, _ := s.Data["certificate"].(string)
	if between, ok := s.Data["ca_chain"].([]any); ok {
		for _, b := range between {
			more, _ := b.(string)
			text += "\n" + more
		}
	}
	all, err := certificates(text)
	if err != nil || len(all) == 0 {
		return nil, &problem.Error{Kind: problem.Internal, What: "ask Vault for " + path, Why: "its answer holds no certificate", Cause: err}
	}
	chain := all[:1]
	for _, c := range all[1:] {
		if !selfSigned(c) {
			chain = append(chain, c)
		}
	}
	return chain, nil
}

func certificates(text string) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for rest := []byte(text); ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			return all, nil
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
}

func selfSigned(c *x509.Certificate) bool {
	return string(c.RawIssuer) == string(c.RawSubject) && c.CheckSignatureFrom(c) == nil
}

// Revoke has the certificate put on the engine's list. The node's own policy does not allow it: a stolen node must not revoke the
// others. Whoever does it gives a token of their own.
func (v *Vault) Revoke(ctx context.Context, c *x509.Certificate) error {
	serial := make([]string, 0, 20)
	for _, b := range c.SerialNumber.Bytes() {
		serial = append(serial, fmt.Sprintf("%02x", b))
	}
	_, err := v.write(ctx, v.cfg.PKI+"/revoke", map[string]any{"serial_number": strings.Join(serial, ":")})
	return err
}

// Roots is what the engine says of its CA.
func (v *Vault) Roots(ctx context.Context) ([]*x509.Certificate, []*x509.RevocationList, error) {
	s, err := v.read(ctx, v.cfg.PKI+"/cert/ca_chain")
	if err != nil {
		return nil, nil, err
	}
	text, _ := s.Data["certificate"].(string)
	all, err := certificates(text)
	if err != nil || len(all) == 0 {
		return nil, nil, &problem.Error{Kind: problem.Internal, What: "ask Vault for its CA", Why: "its answer holds no certificate", Cause: err}
	}
	var roots []*x509.Certificate
	for _, c := range all {
		if selfSigned(c) {
			roots = append(roots, c)
		}
	}
	if len(roots) == 0 { // the engine knows only an issuer that another CA vouches for: that one is as far as its word goes
		roots = all[len(all)-1:]
	}
	list, err := v.list(ctx)
	return roots, list, err
}

func (v *Vault) read(ctx context.Context, path string) (*api.Secret, error) {
	s, err := v.call(ctx, "read", path, func(c *api.Client) (*api.Secret, error) { return c.Logical().ReadWithContext(ctx, path) })
	if err == nil && s == nil {
		err = &problem.Error{Kind: problem.Denied, What: "ask Vault for " + path, Why: "there is nothing there", Hint: "set it up with deploy/vault/setup"}
	}
	return s, err
}

func (v *Vault) list(ctx context.Context) ([]*x509.RevocationList, error) {
	s, err := v.read(ctx, v.cfg.PKI+"/cert/crl")
	if err != nil {
		return nil, err
	}
	text, _ := s.Data["certificate"].(string)
	b, _ := pem.Decode([]byte(text))
	if b == nil {
		return nil, nil
	}
	l, err := x509.ParseRevocationList(b.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read Vault's list of revoked keys: %w", err)
	}
	return []*x509.RevocationList{l}, nil
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

// renew gives the token new time.
func (v *Vault) renew(ctx context.Context, l lease) (lease, error) {
	c, err := with(v.client, l.token)
	if err != nil {
		return lease{}, err
	}
	s, err := c.Auth().Token().RenewSelfWithContext(ctx, 0)
	if err != nil {
		return lease{}, v.explain(err, "update", "auth/token/renew-self")
	}
	return leaseOf(s)
}

func leaseOf(s *api.Secret) (lease, error) {
	if s == nil || s.Auth == nil {
		return lease{}, &problem.Error{Kind: problem.Internal, What: "log in at Vault", Why: "its answer holds no token"}
	}
	return lease{s.Auth.ClientToken, time.Duration(s.Auth.LeaseDuration) * time.Second, s.Auth.Renewable}, nil
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
	return lease{token, readTokenAgain, false}, nil
}

// kubernetes logs in as the pod's service account.
func (v *Vault) kubernetes(ctx context.Context) (lease, error) {
	jwt, err := os.ReadFile(kubernetesToken)
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
	if err != nil || time.Since(chain[0].NotBefore) < chain[0].NotAfter.Sub(chain[0].NotBefore)/2 {
		return l, err
	}
	if _, err := v.newLogin(ctx, l.token, s.Bought); err != nil {
		v.log.WarnContext(ctx, "no new login certificate yet", "part", "keys", "until", chain[0].NotAfter, "err", err)
	}
	return l, nil
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
	c, err := v.dial(&tls.Certificate{Certificate: [][]byte{chain[0].Raw}, PrivateKey: ed25519.NewKeyFromSeed(s.Key)})
	if err != nil {
		return lease{}, nil, err
	}
	path := "auth/" + certMount + "/login"
	answer, err := c.Logical().WriteWithContext(ctx, path, map[string]any{"name": v.cfg.Role})
	if err != nil {
		return lease{}, nil, v.explain(err, "login", path)
	}
	l, err := leaseOf(answer)
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

// bootstrap buys the first login certificate with the wrapped secret ID. The wrapping can be undone once: if somebody has done it
// before, that somebody has the secret.
func (v *Vault) bootstrap(ctx context.Context) (sealedLogin, error) {
	wrapping, err := v.readWrapping()
	if err != nil {
		return sealedLogin{}, &problem.Error{
			Kind: problem.Denied, What: "log in at Vault for the first time", Why: "the wrapped secret ID cannot be read",
			Hint: "have one made (deploy/vault/setup node …) and name its file in keys.vault.wrapped_secret_id", Cause: err,
		}
	}
	id, err := v.unwrap(ctx, wrapping)
	if err != nil {
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
	sum := sha256.Sum256([]byte(wrapping))
	return v.newLogin(ctx, l.token, sum[:])
}

// unwrap takes the secret ID out of its wrapping, which must be one that the role's own path has made.
func (v *Vault) unwrap(ctx context.Context, wrapping string) (string, error) {
	stolen := &problem.Error{
		Kind: problem.Denied, What: "unwrap the secret ID of " + v.cfg.Role, Why: "it was unwrapped before, has ended, or is another's",
		Hint: "ALARM: unless it is merely old, somebody else has read it. Revoke the role's secret IDs, find out who, then have a new one made",
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
		stolen.Cause = err
		return stolen
	}
	return v.explain(err, "update", "sys/wrapping/unwrap")
}
