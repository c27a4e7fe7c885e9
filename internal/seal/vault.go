package seal

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
	Transit   string // mount of the transit engine, which has the key "anchor"; default holdfast-transit
	Role      string // the node's role at PKI and logins; its role for login certificates has "-login" behind it

	// One of the three ways to a token.
	Wrapped    string // file with the wrapped secret ID of AppRole that buys the first login certificate
	RoleID     string // of AppRole, with Wrapped
	Kubernetes string // mount of the Kubernetes login
	// KubernetesToken is the file with the service account's token, read at each login; default where Kubernetes mounts it.
	KubernetesToken string
	TokenFile       string // a token that somebody else keeps fresh, read at each login
}

// Vault is the keyring of a plant that has HashiCorp Vault: its PKI engine certifies the node's keys. It is safe for use by many
// goroutines.
type Vault struct {
	cfg     VaultConfig
	safe    *Safe
	node    string
	client  *api.Client
	session *session
	log     *slog.Logger
	anchors *sync.Map // version → ed25519.PublicKey
	opened  *atomic.Pointer[func(why error)]
	toldOf  *sync.Map // digests of wrappings that somebody else has opened, which were told of
}

// NewVault is the keyring of node in Vault. It asks nothing yet. The safe keeps the key of the node's login certificate.
func NewVault(cfg VaultConfig, safe *Safe, node string, log *slog.Logger) (*Vault, error) {
	cfg.PKI, cfg.Transit = cmp.Or(cfg.PKI, "holdfast-pki"), cmp.Or(cfg.Transit, "holdfast-transit")
	v := &Vault{cfg: cfg, safe: safe, node: node, log: log, anchors: &sync.Map{}, toldOf: &sync.Map{}, opened: &atomic.Pointer[func(error)]{}}
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
	c := &api.Config{Address: v.cfg.Address, Timeout: 10 * time.Second} // DefaultConfig would read an agent's address from the environment
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if v.cfg.CA != "" {
		b, err := os.ReadFile(v.cfg.CA)
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if err != nil {
			return nil, &problem.Error{Kind: problem.Invalid, What: "read the certificate of Vault's CA", Why: err.Error(), Hint: "write it there in PEM, or correct keys.vault.ca"}
		}
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(b) {
			return nil, &problem.Error{
				Kind: problem.Invalid, What: "read the certificate of Vault's CA, " + v.cfg.CA, Why: "it holds none", Hint: "write it there in PEM",
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
	client.SetHeaders(http.Header{api.RequestHeaderName: {"true"}}) // not those of VAULT_HEADERS, nor its namespace
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

// call does one thing at Vault. A token that Vault refuses is replaced once; what it refuses then, it does not allow. What it takes for a bad
// request is no matter of the token: a login for each would be all that Vault does.
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
		answer, answered := errors.AsType[*api.ResponseError](err)
		err = v.explain(err, capability, path)
		if !answered || answer.StatusCode != http.StatusForbidden {
			return nil, err
		}
		if again {
			v.session.futile(path)
			return nil, err
		}
		if !v.session.refused(token, path) {
			return nil, err
		}
	}
}

func (v *Vault) write(ctx context.Context, path string, data map[string]any) (*api.Secret, error) {
	return v.call(ctx, "update", path, func(c *api.Client) (*api.Secret, error) { return c.Logical().WriteWithContext(ctx, path, data) })
}

// Health asks Vault how it is, which needs no token. The error of one that is sealed, in standby or away is of kind Unavailable.
func (v *Vault) Health(ctx context.Context) error {
	h, err := v.client.Sys().HealthWithContext(ctx)
	if err != nil {
		return v.explain(err, "read", "sys/health")
	}
	if !h.Initialized || h.Sealed || h.Standby {
		return v.explain(&api.ResponseError{StatusCode: http.StatusServiceUnavailable}, "read", "sys/health")
	}
	return nil
}

func isDenied(err error) bool { return err != nil && problem.KindOf(err) == problem.Denied }

// explain words an error of Vault's: what it refuses is Denied, with the path and the capability that the policy lacks.
func (v *Vault) explain(err error, capability, path string) error {
	p := &problem.Error{
		Kind: problem.Unavailable, What: "ask Vault for " + path, Why: "it does not answer",
		Hint: "see that Vault runs and can be reached", Cause: err,
	}
	answer, ok := errors.AsType[*api.ResponseError](err)
	if !ok {
		if _, foreign := errors.AsType[x509.UnknownAuthorityError](err); foreign {
			p.Why, p.Hint = "its certificate is of a CA that this node does not know", "name the certificate of the CA of Vault's own certificate in keys.vault.ca"
		}
		return p
	}
	said := strings.Join(answer.Errors, "; ")
	switch p.Cause = nil; {
	case answer.StatusCode == http.StatusForbidden:
		p.Kind, p.Why = problem.Denied, fmt.Sprintf("Vault does not allow %s on %s (%s)", capability, path, said)
		p.Hint = fmt.Sprintf("give the policy of role %s: path %q { capabilities = [%q] }, as deploy/vault/node.hcl has it", v.cfg.Role, path, capability)
	case answer.StatusCode == http.StatusServiceUnavailable:
		p.Why, p.Hint = "Vault is sealed or in standby", "unseal it"
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
	if p, ok := errors.AsType[*problem.Error](err); ok && p.Kind == problem.Denied {
		own := *p
		own.Hint = "put a token of your own with the policy deploy/vault/operator.hcl into VAULT_TOKEN and revoke it again; no node may do it, or a stolen one could revoke the others"
		return &own
	}
	return err
}

// Roots is what the engine says of its CA, and of each that was its CA before: what those vouched for is checked by them.
func (v *Vault) Roots(ctx context.Context) ([]*x509.Certificate, []*x509.RevocationList, error) {
	ids, err := v.issuers(ctx)
	if isDenied(err) { // by a policy of a setup that knew one CA only
		return v.rootOf(ctx, "cert/ca_chain", "cert/crl", "certificate")
	}
	if err != nil {
		return nil, nil, err
	}
	var roots []*x509.Certificate
	var lists []*x509.RevocationList
	for _, id := range ids {
		r, l, err := v.rootOf(ctx, "issuer/"+id+"/json", "issuer/"+id+"/crl", "crl")
		if err != nil {
			return nil, nil, err
		}
		roots, lists = append(roots, r...), append(lists, l...)
	}
	return roots, lists, nil
}

// issuers are the IDs of the engine's CAs.
func (v *Vault) issuers(ctx context.Context) (ids []string, err error) {
	path := v.cfg.PKI + "/issuers"
	s, err := v.call(ctx, "list", path, func(c *api.Client) (*api.Secret, error) { return c.Logical().ListWithContext(ctx, path) })
	if err != nil {
		return nil, err
	}
	if s != nil {
		all, _ := s.Data["keys"].([]any)
		for _, one := range all {
			if id, ok := one.(string); ok {
				ids = append(ids, id)
			}
		}
	}
	if len(ids) == 0 {
		return nil, &problem.Error{Kind: problem.Internal, What: "ask Vault for its CAs", Why: "its answer names none", Hint: "set it up with deploy/vault/setup"}
	}
	slices.Sort(ids)
	return ids, nil
}

// rootOf is the root of the CA whose certificates are at one path of the engine, with the list of revoked keys in a field of what is at another.
func (v *Vault) rootOf(ctx context.Context, ca, crl, field string) ([]*x509.Certificate, []*x509.RevocationList, error) {
	s, err := v.read(ctx, v.cfg.PKI+"/"+ca)
	if err != nil {
		return nil, nil, err
	}
	text, _ := s.Data["certificate"].(string)
	chain, _ := s.Data["ca_chain"].([]any)
	for _, one := range chain {
		if more, ok := one.(string); ok {
			text += "\n" + more
		}
	}
	all, err := certificates(text)
	if err != nil || len(all) == 0 {
		return nil, nil, &problem.Error{Kind: problem.Internal, What: "ask Vault for its CA", Why: "its answer holds no certificate", Cause: err}
	}
	var roots []*x509.Certificate
	for _, c := range all {
		if selfSigned(c) && !slices.ContainsFunc(roots, c.Equal) {
			roots = append(roots, c)
		}
	}
	if len(roots) == 0 { // the engine knows only an issuer that another CA vouches for: that one is as far as its word goes
		roots = all[len(all)-1:]
	}
	if s, err = v.read(ctx, v.cfg.PKI+"/"+crl); err != nil {
		return nil, nil, err
	}
	text, _ = s.Data[field].(string)
	list, err := revocations(text)
	return roots, list, err
}

func (v *Vault) read(ctx context.Context, path string) (*api.Secret, error) {
	s, err := v.call(ctx, "read", path, func(c *api.Client) (*api.Secret, error) { return c.Logical().ReadWithContext(ctx, path) })
	if err == nil && s == nil {
		err = &problem.Error{Kind: problem.Denied, What: "ask Vault for " + path, Why: "there is nothing there", Hint: "set it up with deploy/vault/setup"}
	}
	return s, err
}

// revocations is the list of revoked keys in the PEM that Vault answers. An engine that has revoked nothing yet may answer none at all;
// words that are no list are refused, so that no broken answer takes a revocation back.
func revocations(text string) ([]*x509.RevocationList, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	b, rest := pem.Decode([]byte(text))
	if b == nil || b.Type != "X509 CRL" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, &problem.Error{Kind: problem.Internal, What: "ask Vault for its list of revoked keys", Why: "its answer holds no list, or more than one"}
	}
	l, err := x509.ParseRevocationList(b.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read Vault's list of revoked keys: %w", err)
	}
	return []*x509.RevocationList{l}, nil
}
