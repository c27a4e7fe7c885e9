package access

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Client is a machine that is known by its certificate. One of the three names of it is given; what the certificate has must be equal.
type Client struct {
	URI    string   `yaml:"uri"`    // a URI name of the certificate, such as spiffe://plant/erp
	DNS    string   `yaml:"dns"`    // or a DNS name of it
	SHA256 string   `yaml:"sha256"` // or its fingerprint, 64 hexadecimal digits
	Roles  []string `yaml:"roles"`
	Links  []string `yaml:"links"` // patterns; empty: every link
}

// names tells whether the certificate is the client's.
func (c Client) names(cert *x509.Certificate) bool {
	sum := sha256.Sum256(cert.Raw)
	switch {
	case c.SHA256 != "":
		return strings.EqualFold(c.SHA256, hex.EncodeToString(sum[:]))
	case c.DNS != "":
		return slices.Contains(cert.DNSNames, c.DNS)
	default:
		return c.URI != "" && slices.ContainsFunc(cert.URIs, func(u *url.URL) bool { return u.String() == c.URI })
	}
}

// Bearers tells who an OAuth2 access token is of (Issuers implements it). What is no good token is refused with kind Unknown.
type Bearers interface {
	Bearer(ctx context.Context, token string) (Actor, error)
}

// Gate tells who calls, and keeps on record who was turned away.
//
// Nobody is ever locked out: a caller with a good credential is let in however many others have failed, from the same address too. Only
// what fails is slowed down, and told to the record in full up to a limit, and counted beyond it.
type Gate struct {
	db      *store.DB
	policy  *Policy
	clients map[string]Client // by the name that they act under
	bearers Bearers           // nil: there is no OAuth2 server
	turned  *turned
}

// NewGate returns a Gate; bearers may be nil.
func NewGate(db *store.DB, p *Policy, clients map[string]Client, bearers Bearers) *Gate {
	return &Gate{db, p, clients, bearers, newTurned(db)}
}

// Policy is what those that the gate lets in are held to.
func (g *Gate) Policy() *Policy { return g.policy }

// unknown is the refusal of a credential. It says nothing that a guesser could use.
func unknown(why string) error {
	return &problem.Error{
		Kind: problem.Unknown, What: "call the API", Why: why,
		Hint: "send Authorization: Bearer with a token of this plant, or a client certificate that it knows; holdfast access token create makes a token",
	}
}

// Identify tells who sends a request. A token in the header decides, a wrong one too; where there is none, the certificate of the connection
// does. Cookies are not looked at: what a browser sends by itself calls no API. Errors: Unknown for nobody, TooMany for nobody who has tried
// too often, and what the database says.
func (g *Gate) Identify(ctx context.Context, r *http.Request) (Actor, error) {
	by, err := g.identify(ctx, r)
	by.From = address(r)
	if problem.KindOf(err) == problem.Unknown {
		return by, g.turned.away(ctx, by, SignInRefused, r.Method+" "+r.URL.Path, err)
	}
	return by, err
}

func (g *Gate) identify(ctx context.Context, r *http.Request) (Actor, error) {
	if all := r.Header.Values("Authorization"); len(all) > 0 {
		return g.bearer(ctx, all)
	}
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return Actor{}, unknown("nothing says who calls")
	}
	cert := r.TLS.VerifiedChains[0][0]
	for name, c := range g.clients {
		if c.names(cert) {
			return Actor{Name: "cert:" + name, Rights: Rights{Roles: c.Roles, Links: c.Links}}, nil
		}
	}
	return Actor{}, unknown("the certificate is of no client that this plant knows")
}

func (g *Gate) bearer(ctx context.Context, all []string) (Actor, error) {
	scheme, token, _ := strings.Cut(all[0], " ")
	token = strings.TrimSpace(token)
	switch {
	case len(all) > 1 || !strings.EqualFold(scheme, "bearer") || token == "" || len(token) > 8<<10:
		return Actor{}, unknown("the Authorization header has no bearer token")
	case strings.HasPrefix(token, prefix):
		return g.tokenActor(ctx, token)
	case g.bearers != nil:
		return g.bearers.Bearer(ctx, token)
	default:
		return Actor{}, unknown("the token is none of this plant's")
	}
}

// Permit refuses what an actor may not do to something of a link, and keeps the refusal on record.
func (g *Gate) Permit(ctx context.Context, by Actor, action, link, object string) error {
	if g.policy.May(by.Rights, action, link) {
		return nil
	}
	return g.Refused(ctx, by, object, NotPermitted(by, action, link))
}

// PermitSome refuses an action that the actor may do on no link at all; the link is found and asked about later.
func (g *Gate) PermitSome(ctx context.Context, by Actor, action, object string) error {
	if g.policy.MayOnSome(by.Rights, action) {
		return nil
	}
	return g.Refused(ctx, by, object, NotPermitted(by, action, ""))
}

// Refused keeps on record that somebody known was refused, and returns why with what became of the record.
func (g *Gate) Refused(ctx context.Context, by Actor, object string, why error) error {
	return g.turned.away(ctx, by, Refusal, object, why)
}

// address is where a request comes from.
func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// network is what attempts are counted by: the address, or of IPv6 the network of 64 bits, in which a machine has as many as it likes.
func network(from string) string {
	ip, err := netip.ParseAddr(from)
	if err != nil || !ip.Is6() || ip.Is4In6() {
		return from
	}
	of, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return from
	}
	return of.String()
}

// refusalEntry is the record of a refusal.
func refusalEntry(by Actor, action, object string, more int, cause error) audit.Entry {
	why := map[string]any{"code": string(problem.KindOf(cause)), "why": reasonOf(cause)}
	if more > 0 {
		why["before_it"] = more
	}
	after, _ := json.Marshal(why) // of strings and a number: it does not fail
	name := by.Name
	if name == "" {
		name = "unknown"
	}
	return audit.Entry{Actor: name, From: by.From, Action: action, Object: object, After: after, Outcome: audit.Refused}
}
