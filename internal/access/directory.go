package access

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"

	"holdfast/internal/problem"
)

// controllerWait is how long one controller may take for each answer.
const controllerWait = 5 * time.Second

// Directory is an Active Directory in which people have their accounts.
type Directory struct {
	URLs     []string                                  // of its controllers, asked in this order, one that failed within a minute last: ldaps://, or ldap://, where nothing is said before TLS (StartTLS)
	Base     string                                    // DN below which its people and groups are
	User     string                                    // that it is read as: a DN, or name@domain
	Password func(ctx context.Context) (string, error) // of that user
	Roles    map[string][]string                       // of the policy, by group: its name (sAMAccountName), DN or SID
	TLS      *tls.Config                               // by which a controller is believed; nil: by the system's certificates
	Sync     time.Duration                             // how often those who are signed in are looked up again; default 20s
	Keep     time.Duration                             // how long what it last said counts while it does not answer; default 12h
}

// directory is a Directory at work. Each use has a connection of its own, which is closed after it: what a person's password has opened never
// serves anybody else.
type directory struct {
	Directory
	now  func() time.Time
	busy chan struct{} // holds a place for each sign-in that is under way

	failed sync.Map // when a controller did last, by its address
}

// member is somebody of the directory.
type member struct {
	dn     string
	guid   string   // objectGUID, which stays whatever else is changed
	called string   // sAMAccountName
	groups []string // those of Roles that they are in, however deep
	out    string   // why the directory lets them in no more; "" if it does
}

var memberFields = []string{"objectGUID", "sAMAccountName", "userAccountControl", "accountExpires"}

// passed is how long a controller that failed is asked after the others.
const passed = time.Minute

// ask does fn on a connection to the first controller that answers, can be believed and serves: one may be half dead, and accept connections and nothing
// else. What fn has done is then done again at the next one.
func (d *directory) ask(ctx context.Context, fn func(c *ldap.Conn) error) error {
	var errs []error
	for _, at := range d.inOrder() {
		c, err := d.dial(at)
		if err == nil {
			err = fn(c)
			_ = c.Close()
			if !unserved(err) {
				d.failed.Delete(at)
				return err
			}
		}
		d.failed.Store(at, d.now())
		if errs = append(errs, fmt.Errorf("%s: %w", at, err)); ctx.Err() != nil {
			break
		}
	}
	return d.away(errors.Join(errs...))
}

// inOrder are the controllers as they are asked: those last that have failed within a minute.
func (d *directory) inOrder() []string {
	var first, last []string
	for _, at := range d.URLs {
		when, ok := d.failed.Load(at)
		if ok && d.now().Sub(when.(time.Time)).Abs() < passed {
			last = append(last, at)
		} else {
			first = append(first, at)
		}
	}
	return append(first, last...)
}

// unserved tells that another controller may answer what this one did not: not of a wrong password, which each would count.
func unserved(err error) bool {
	return ldap.IsErrorAnyOf(err, ldap.ErrorNetwork, ldap.LDAPResultBusy, ldap.LDAPResultUnavailable, ldap.LDAPResultTimeLimitExceeded)
}

func (d *directory) dial(at string) (*ldap.Conn, error) {
	u, err := url.Parse(at)
	if err != nil {
		return nil, err
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if d.TLS != nil {
		conf = d.TLS.Clone()
	}
	conf.ServerName = u.Hostname()
	c, err := ldap.DialURL(at, ldap.DialWithDialer(&net.Dialer{Timeout: controllerWait}), ldap.DialWithTLSConfig(conf))
	if err != nil {
		return nil, err
	}
	c.SetTimeout(controllerWait)
	if u.Scheme == "ldap" {
		if err := c.StartTLS(conf); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// read does fn with a connection that reads as the plant's own user; again, from its beginning, if a controller fails meanwhile.
func (d *directory) read(ctx context.Context, fn func(c *ldap.Conn) error) error {
	password, err := d.Password(ctx)
	if err != nil {
		return err
	}
	err = d.ask(ctx, func(c *ldap.Conn) error {
		if err := c.Bind(d.User, password); err != nil {
			return fmt.Errorf("sign in as %s: %w", d.User, err)
		}
		return fn(c)
	})
	if _, ok := errors.AsType[*ldap.Error](err); ok && problem.KindOf(err) != problem.Unavailable {
		return d.away(err)
	}
	return err
}

// away is told where the directory does not answer, or not as it should.
func (d *directory) away(cause error) error {
	return &problem.Error{
		Kind: problem.Unavailable, What: "ask the directory", Why: "it does not answer, or cannot be believed",
		Hint: "whoever is signed in stays so; sign in with an account of the plant, or try again later", Cause: cause,
	}
}

// find is whoever a name is of, with their groups; without a DN if the directory knows nobody of it, or more than one.
func (d *directory) find(c *ldap.Conn, name string) (member, error) {
	name = ldap.EscapeFilter(name)
	ask := ldap.NewSearchRequest(d.Base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2, int(controllerWait.Seconds()), false,
		"(&(objectCategory=person)(objectClass=user)(|(sAMAccountName="+name+")(userPrincipalName="+name+")))", memberFields, nil)
	got, err := c.Search(ask)
	if ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) || err == nil && len(got.Entries) != 1 {
		return member{}, nil
	}
	if err != nil {
		return member{}, fmt.Errorf("look up a name: %w", err)
	}
	sids, err := d.sids(c)
	if err != nil {
		return member{}, err
	}
	return d.member(c, got.Entries[0], sids)
}

// again is what the directory says now of somebody whom it knew.
func (d *directory) again(c *ldap.Conn, guid string, sids map[string]string) (member, error) {
	got, err := base(c, "<GUID="+guid+">", memberFields)
	if ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) || err == nil && len(got.Entries) != 1 {
		return member{guid: guid, out: "there is no such account any more"}, nil
	}
	if err != nil {
		return member{}, fmt.Errorf("look up an account: %w", err)
	}
	return d.member(c, got.Entries[0], sids)
}

func base(c *ldap.Conn, dn string, fields []string) (*ldap.SearchResult, error) {
	return c.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, int(controllerWait.Seconds()), false, "(objectClass=*)", fields, nil))
}

// member reads an account. Its groups are asked for by themselves, at the account: tokenGroups has those that they are in through others.
func (d *directory) member(c *ldap.Conn, e *ldap.Entry, sids map[string]string) (member, error) {
	m := member{dn: e.DN, guid: hex.EncodeToString(e.GetRawAttributeValue("objectGUID")), called: e.GetAttributeValue("sAMAccountName"), out: outOf(e, d.now())}
	got, err := base(c, e.DN, []string{"tokenGroups"})
	if err != nil {
		return m, fmt.Errorf("read the groups of an account: %w", err)
	}
	in := map[string]bool{}
	for _, e := range got.Entries {
		for _, raw := range e.GetRawAttributeValues("tokenGroups") {
			in[sid(raw)] = true
		}
	}
	if len(in) == 0 || m.guid == "" { // everybody is in one at least
		return m, d.away(fmt.Errorf("user %s may not read the objectGUID or the tokenGroups of %s", d.User, cmp.Or(m.called, e.DN)))
	}
	for _, group := range slices.Sorted(maps.Keys(d.Roles)) {
		if in[sids[group]] {
			m.groups = append(m.groups, group)
		}
	}
	return m, nil
}

// outOf says why an account lets nobody in any more; "" if it does. One that is locked is not out: whoever sends wrong passwords can have it
// locked, and must not end its person's work by it.
func outOf(e *ldap.Entry, now time.Time) string {
	const disabled, never = 2, 1<<63 - 1
	flags, err := strconv.ParseInt(e.GetAttributeValue("userAccountControl"), 10, 64)
	if err != nil || flags&disabled != 0 {
		return "the account is disabled"
	}
	ends, err := strconv.ParseInt(e.GetAttributeValue("accountExpires"), 10, 64) // in 100 ns since 1601
	if err == nil && ends != 0 && ends != never && now.Unix() >= ends/1e7-11_644_473_600 {
		return "the account has expired"
	}
	return ""
}

// sids finds the SID of each group that has roles here. One that the directory does not know has none.
func (d *directory) sids(c *ldap.Conn) (map[string]string, error) {
	out, named := map[string]string{}, ""
	for group := range d.Roles {
		if out[group] = group; !strings.HasPrefix(group, "S-1-") {
			out[group] = "unknown"
			named += "(sAMAccountName=" + ldap.EscapeFilter(group) + ")(distinguishedName=" + ldap.EscapeFilter(group) + ")"
		}
	}
	if named == "" {
		return out, nil
	}
	got, err := c.Search(ldap.NewSearchRequest(d.Base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, int(controllerWait.Seconds()), false,
		"(&(objectClass=group)(|"+named+"))", []string{"sAMAccountName", "objectSid"}, nil))
	if err != nil {
		return nil, fmt.Errorf("look up the groups: %w", err)
	}
	for group := range out {
		for _, e := range got.Entries {
			if strings.EqualFold(group, e.GetAttributeValue("sAMAccountName")) || strings.EqualFold(group, e.DN) {
				out[group] = sid(e.GetRawAttributeValue("objectSid"))
			}
		}
	}
	return out, nil
}

// sid is a security identifier as it is written; "" for what is none.
func sid(raw []byte) string {
	if len(raw) < 8 || len(raw) != 8+4*int(raw[1]) {
		return ""
	}
	s := fmt.Sprintf("S-%d-%d", raw[0], binary.BigEndian.Uint64(append([]byte{0, 0}, raw[2:8]...)))
	for at := 8; at < len(raw); at += 4 {
		s += fmt.Sprintf("-%d", binary.LittleEndian.Uint32(raw[at:]))
	}
	return s
}

// prove signs in as somebody, on a connection that serves for nothing else. Unknown if the password is wrong, Denied with the reason if the
// directory lets them in no more.
func (d *directory) prove(ctx context.Context, dn, password string) error {
	if password == "" { // which would let in whoever asks (RFC 4513, 5.1.2)
		return notRight()
	}
	var lost error // the answer: the controller may have counted a wrong password, which no other is asked about
	err := d.ask(ctx, func(c *ldap.Conn) error {
		err := c.Bind(dn, password)
		if ldap.IsErrorWithCode(err, ldap.ErrorNetwork) {
			lost, err = err, nil
		}
		return err
	})
	if lost != nil {
		return d.away(lost)
	}
	if err == nil || problem.KindOf(err) == problem.Unavailable {
		return err
	}
	if !ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials) {
		return d.away(err)
	}
	return refusedBy(err)
}

func notRight() error { return nobody("name, password or code is not right") }

var subCode = regexp.MustCompile(`AcceptSecurityContext error, data ([0-9a-f]+),`)

// refusedBy tells apart why a directory refuses a password, by the code that stands in its words: they are Windows' error numbers. All but 775
// are given only where the password itself is right.
func refusedBy(err error) error {
	code := subCode.FindStringSubmatch(err.Error())
	if code == nil {
		return notRight()
	}
	why := map[string]string{
		"530": "the directory does not let them in at this time",
		"531": "the directory does not let them in from this machine",
		"532": "the password has expired",
		"533": "the account is disabled",
		"701": "the account has expired",
		"773": "the password must be changed first",
		"775": "the account is locked for a time, after too many wrong passwords",
	}[code[1]]
	if why == "" { // 525 there is nobody, 52e the password is wrong
		return notRight()
	}
	return outDenied(why)
}

func outDenied(why string) error {
	return &problem.Error{Kind: problem.Denied, What: "sign in by the directory", Why: why, Hint: "whoever looks after the directory can change it there"}
}

// signIn is whoever has the name and the password, which is not tried where attempt, given who it is or the name that nobody has, refuses. What the
// directory says besides is judged after the password, so that it is told to nobody else; a name that nobody has takes as long.
func (d *directory) signIn(ctx context.Context, name, password string, attempt func(account string) error) (m member, err error) {
	select {
	case d.busy <- struct{}{}:
		defer func() { <-d.busy }()
	default:
		return m, &problem.Error{Kind: problem.TooMany, What: "sign in by the directory", Why: "too many sign in at the same time", Hint: "try again in a moment"}
	}
	if err := d.read(ctx, func(c *ldap.Conn) (err error) { m, err = d.find(c, withoutDomain(name)); return err }); err != nil {
		return m, err
	}
	if err := attempt(cmp.Or(m.guid, name)); err != nil {
		return m, err
	}
	if err := d.prove(ctx, cmp.Or(m.dn, "CN=nobody,"+d.Base), password); err != nil {
		return m, err
	}
	switch {
	case m.dn == "":
		return m, notRight()
	case m.out != "":
		return m, outDenied(m.out)
	case len(m.groups) == 0:
		return m, &problem.Error{
			Kind: problem.Denied, What: "sign in by the directory", Why: "no group of theirs has a role in this plant", Hint: "have them put into one that access.directory.roles names",
		}
	}
	return m, nil
}

// withoutDomain is a name as the directory is asked for it: PLANT\anna is anna; anna@plant.example stays.
func withoutDomain(name string) string {
	if _, after, ok := strings.Cut(name, `\`); ok {
		return after
	}
	return name
}

// rolesOf are those that groups have.
func (d *directory) rolesOf(groups []string) []string { return rolesBy(d.Roles, groups) }

// signOut: a directory has no session of its own.
func (d *directory) signOut() string { return "" }

// stale says why somebody has to sign in again.
func (d *directory) stale(age time.Duration, _ bool, _ time.Duration) error {
	if age >= d.Keep {
		return nobody("what the directory said of them is too old: it has not answered since")
	}
	return nil
}

// NewDirectory lets people in who have an account of an Active Directory; their sessions are of s. It asks nothing; Run does.
func NewDirectory(s *Sessions, cfg Directory, log *slog.Logger) *Members {
	cfg.Sync, cfg.Keep = cmp.Or(cfg.Sync, 20*time.Second), cmp.Or(cfg.Keep, 12*time.Hour)
	s.directory = &directory{Directory: cfg, now: s.db.Now, busy: make(chan struct{}, exchanges)}
	return &Members{sessions: s, at: s.directory, log: log.With("part", "access")}
}
