package access

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"holdfast/internal/problem"
)

// idToken is what counts of an ID token.
type idToken struct {
	issuer, subject string
	called          string    // by the provider; no more than a wish
	groups          []string  // those that give roles here
	factor          time.Time // when the person showed who they are; zero: the token does not say it
}

// read takes what counts out of a token whose signature, issuer, audience, times and nonce are right.
func (p *provider) read(t *oidc.IDToken, f flow) (idToken, error) {
	var all map[string]json.RawMessage
	var said struct {
		Azp      string           `json:"azp"`
		AuthTime *json.Number     `json:"auth_time"`
		Names    map[string]any   `json:"_claim_names"`
		Many     *json.RawMessage `json:"hasgroups"`
	}
	if t.Claims(&all) != nil || t.Claims(&said) != nil || t.Subject == "" {
		return idToken{}, nobody("the token cannot be read")
	}
	out := idToken{issuer: t.Issuer, subject: t.Subject}
	now := p.now()
	var shown int64 // seconds
	if said.AuthTime != nil {
		if s, err := said.AuthTime.Int64(); err == nil && s > 0 {
			shown, out.factor = s, time.Unix(s, 0)
		}
	}
	_ = json.Unmarshal(all[p.Name], &out.called) // anything else is no name
	switch {
	case said.Azp != "" && said.Azp != p.Client || len(t.Audience) > 1 && said.Azp == "":
		return idToken{}, nobody("the token was given to another program")
	case t.IssuedAt.After(now.Add(clockSkew)), shown > now.Add(clockSkew).Unix(): // else it would be fresh until then
		return idToken{}, nobody("the token is of a time to come: the provider's clock, or this one, is wrong")
	case !p.MFA.in(all):
		return idToken{}, p.denied("no second factor was shown", "sign in with one; the provider says so in "+p.MFA.Claim)
	case f.Fresh && out.factor.Before(time.UnixMicro(f.Began).Add(-clockSkew)):
		return idToken{}, p.denied("the second factor was not shown now", "the provider must ask for it when it is asked to (prompt=login, max_age), and say when in auth_time")
	case len(all[p.Groups]) == 0 && (said.Names[p.Groups] != nil || said.Many != nil):
		return idToken{}, p.denied("the provider left the groups out of the token: there are too many", "have it send the groups that are assigned to this program, or its app roles")
	}
	var groups []string
	_ = json.Unmarshal(all[p.Groups], &groups) // anything else is no list of groups
	out.groups = slices.DeleteFunc(groups, func(g string) bool { return len(p.Roles[g]) == 0 })
	if len(out.groups) == 0 {
		return idToken{}, p.denied("no group of theirs has a role in this plant", "have them put into one that access.oidc."+p.name+".roles names")
	}
	return out, nil
}

func (p *provider) denied(why, hint string) error {
	return &problem.Error{Kind: problem.Denied, What: "sign in at " + p.name, Why: why, Hint: hint}
}

// in tells whether the claims say that there was a second factor.
func (m MFA) in(all map[string]json.RawMessage) bool {
	var one string
	var many []string
	if json.Unmarshal(all[m.Claim], &one) == nil {
		many = []string{one}
	} else if json.Unmarshal(all[m.Claim], &many) != nil {
		return false
	}
	return slices.ContainsFunc(many, func(v string) bool { return v != "" && slices.Contains(m.AnyOf, v) })
}

// rolesOf are those that groups have.
func (p *provider) rolesOf(groups []string) []string { return rolesBy(p.Roles, groups) }

func rolesBy(of map[string][]string, groups []string) []string {
	var roles []string
	for _, g := range groups {
		roles = append(roles, of[g]...)
	}
	slices.Sort(roles)
	return slices.Compact(roles)
}

var notOfNames = regexp.MustCompile(`[^a-z0-9._-]+`)

// nameFrom makes of what a provider calls somebody a name that can stand in the record of acts.
func nameFrom(called string) string {
	called, _, _ = strings.Cut(strings.ToLower(called), "@")
	name := strings.Trim(notOfNames.ReplaceAllString(called, "."), "._-")
	name = name[:min(len(name), 50)]
	if name == "" {
		return "somebody"
	}
	return name
}
