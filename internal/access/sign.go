package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Meanings are what a person may mean by a signature (21 CFR 11.50).
func Meanings() []string { return []string{"approval", "review", "responsibility", "authorship"} }

// Signable are the actions that a person can sign, in the console or by a command: those that both do, with a reason.
func Signable() []string {
	return []string{
		MsgRetry, MsgDiscard, MsgUndiscard, MsgAmend, MsgApprove, MsgRefuse, MsgMarkDelivered, MsgSendAgain, MsgPostpone, MsgReplay, JobStart, JobApprove, JobPause, JobResume, JobCancel, JobRate,
		LanePause, LaneResume, LinkPause, LinkResume, LinkRate, QuarantineReplay, QuarantineDiscard, QuarantineAmend, InboxSkip,
		AnomalyAccept, ConflictDismiss, MappingPublish, MappingPropose, MappingApprove, MappingRollback, MappingTry, MappingEndTrial,
	}
}

// Sign is the policy under which these actions, or what fits these patterns, are done only by a person who signs each. Invalid for a word that fits
// no action of the console.
func (p *Policy) Sign(actions []string) (*Policy, error) {
	for _, word := range actions {
		if !slices.ContainsFunc(Signable(), func(name string) bool { return matches(word, name) }) {
			return nil, &problem.Error{
				Kind: problem.Invalid, What: "have acts signed", Why: fmt.Sprintf("%q is no action that can be signed, and fits none", word),
				Hint: "those that can be signed are: " + strings.Join(Signable(), ", "),
			}
		}
	}
	more := *p
	more.sign = actions
	return &more, nil
}

// signs tells whether an action has to be signed.
func (p *Policy) signs(action string) bool {
	return p != nil && matchesAny(p.sign, action) && slices.Contains(Signable(), action)
}

// Signs tells whether whoever does an action has to sign it.
func (d *Doer) Signs(action string) bool { return d.policy.signs(action) }

// Unsigned is in the tree of the error by which an act is refused that a person can do by signing it, now or once more.
type Unsigned struct{}

// Error implements error.
func (Unsigned) Error() string { return "it is not signed" }

// Signature is with what a person signs one act. Only Sessions make one: of whoever the session is of, or of whose account of the machine gives
// a command, and of nobody else.
type Signature struct {
	sessions       *Sessions
	user, from     string
	meaning        string
	password, code string
	command        bool
}

// Sign is the signature of whoever makes a request: what they mean by it, and their password with a new code. Who signs in at a provider shows who
// they are there, just before.
func (s *Sessions) Sign(r *http.Request, meaning, password, code string) *Signature {
	return &Signature{s, s.scs.GetString(r.Context(), sessionUser), address(r), meaning, password, code, false}
}

// SignHere is the signature of whoever gives a command on the plant's machine: an account of the plant or of a directory, which their password and a
// new code show. The error is of kind Denied for who has neither.
func (s *Sessions) SignHere(by Actor, meaning, password, code string) (*Signature, error) {
	if err := s.CanSignHere(by); err != nil {
		return nil, err
	}
	user := strings.TrimPrefix(by.Name, "user:")
	return &Signature{s, user, by.From, meaning, password, code, true}, nil
}

// CanSignHere refuses, before anybody is asked for a password, whoever has none that this plant or its directory can judge.
func (s *Sessions) CanSignHere(by Actor) error {
	p := &problem.Error{Kind: problem.Denied, What: "sign as " + by.Name}
	switch {
	case strings.HasPrefix(by.Name, "user:"), strings.HasPrefix(by.Name, inDirectory) && s.directory != nil:
		return nil
	case strings.HasPrefix(by.Name, elsewhere):
		p.Why, p.Hint = "whoever signs in at a provider signs by signing in there anew, which only a browser can", "do it in the console"
	default:
		p.Why, p.Hint = "nothing says which person this account of the machine belongs to", "name them in access.people, or do it in the console"
	}
	return p
}

// called is by what the attempts of the signer are counted: the same as at the sign-in.
func (g *Signature) called() string {
	if bare, elsewhere := bareName(g.user); elsewhere {
		return byName + bare
	}
	return g.user
}

// signing is a signature of which all is judged that is judged before the act: use is judged in its transaction, so that one code signs one act.
type signing struct {
	*Signature
	shown string
	use   func(ctx context.Context, tx *store.Tx) (right bool, err error)
	spent bool // use was right, in the transaction that counts
}

// signed judges the signature of an act; nil where it needs none. Errors: Denied for what is not signed, or not by whoever acts (with Unsigned
// where they can do so), Invalid for a meaning that is none, TooMany for who goes on failing.
func (d *Doer) signed(ctx context.Context, act Act) (*signing, error) {
	if !d.policy.signs(act.Action) {
		return nil, nil //nolint:nilnil // nothing is to be signed
	}
	g := act.Signature
	switch {
	case !act.Actor.Person && g == nil:
		return nil, &problem.Error{
			Kind: problem.Denied, What: act.Action + " " + act.Object, Why: "a person must sign it, which machines, and commands over --server, cannot",
			Hint: "do it in the console, or by a command on the plant's own machine, which asks for the signature",
		}
	case g == nil:
		return nil, unsigned(act, "it must be signed", "show who you are once more, and say what your signature means")
	case !slices.Contains(Meanings(), g.meaning):
		return nil, &problem.Error{
			Kind: problem.Invalid, What: "sign " + act.Action + " " + act.Object, Why: "it does not say what the signature means",
			Hint: "choose one of: " + strings.Join(Meanings(), ", "), Cause: Unsigned{},
		}
	case strings.HasPrefix(g.user, elsewhere):
		return g.byProvider(act)
	default:
		return g.byPassword(ctx, act)
	}
}

func unsigned(act Act, why, hint string) error {
	return &problem.Error{Kind: problem.Denied, What: "sign " + act.Action + " " + act.Object, Why: why, Hint: hint, Cause: Unsigned{}}
}

// byPassword judges a password, of an account of the plant or of the directory. Wrong ones count as they do at the sign-in, and are on record.
func (g *Signature) byPassword(ctx context.Context, act Act) (*signing, error) {
	s := g.sessions
	err := g.tooOften(ctx, act)
	if err == nil {
		err = s.attempt(g.called(), g.from)
	}
	if p, _ := errors.AsType[*problem.Error](err); p != nil && p.Kind == problem.TooMany {
		return nil, unsigned(act, p.Why, p.Hint)
	}
	if err != nil {
		return nil, err
	}
	row, is, err := g.judge(ctx)
	if err != nil && problem.KindOf(err) != problem.Unknown && problem.KindOf(err) != problem.Denied {
		s.forget(g.called(), g.from, false)
		return nil, err
	}
	if err != nil || !is || "user:"+row.Name != act.Actor.Name && row.Name != act.Actor.Name {
		return nil, g.wrong(ctx, act)
	}
	return &signing{Signature: g, shown: "password and code", use: func(ctx context.Context, tx *store.Tx) (bool, error) { return useCodeOf(ctx, tx, row, g.code) }}, nil
}

// How often a command may be signed wrongly, by one person within the time: each command is a process of its own, so that the record counts.
const (
	wrongAtMost = 5
	wrongWithin = 5 * time.Minute
)

// tooOften refuses whoever goes on signing commands wrongly.
func (g *Signature) tooOften(ctx context.Context, act Act) error {
	if !g.command {
		return nil
	}
	var wrong int64
	err := g.sessions.db.View(ctx, func(tx *store.Tx) (err error) {
		_, wrong, err = audit.Search(ctx, tx, audit.Filter{Actor: act.Actor.Name, Action: SignInRefused, Object: ofSignature, Since: tx.Now.Add(-wrongWithin), Limit: 1})
		return err
	})
	if err == nil && wrong >= wrongAtMost {
		err = &problem.Error{Kind: problem.TooMany, Why: "it has failed too often", Hint: fmt.Sprintf("try again in %s", wrongWithin)}
	}
	return err
}

// ofSignature is the object of a wrong signature on record.
const ofSignature = "signature"

// judge tells whether the password is that of the session's person.
func (g *Signature) judge(ctx context.Context) (row userRow, right bool, err error) {
	s := g.sessions
	bare, inDomain := bareName(g.user)
	if !inDomain {
		if row, err = s.local(ctx, g.user); err != nil {
			return row, false, err
		}
		right, err = s.users.pass.is(ctx, g.password, row.Password, caller{from: g.from})
		return row, right && !row.closed(s.db.Now()), err
	}
	if s.directory == nil {
		return row, false, nil
	}
	var p personRow
	if err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		p, err = findPerson(ctx, tx, `name = ? AND issuer = ?`, bare, ofDirectory)
		return err
	}); err != nil {
		return row, false, err
	}
	m, settle, err := s.proveBy(ctx, bare, g.password, g.from)
	settle(err)
	return userRow{Name: p.actor()}, err == nil && m.guid == p.Subject && p.Disabled == 0, err
}

// useCodeOf uses a code up. An account that was changed while the password was judged signs nothing by what it was.
func useCodeOf(ctx context.Context, tx *store.Tx, was userRow, code string) (bool, error) {
	if bare, inDomain := bareName(was.Name); inDomain {
		p, err := findPerson(ctx, tx, `name = ? AND issuer = ?`, bare, ofDirectory)
		if err != nil || p.Disabled != 0 || len(p.TOTP) == 0 {
			return false, err
		}
		return useCode(ctx, tx, `access_people`, userRow{Name: p.Name, TOTP: p.TOTP, Recovery: p.Recovery}, code)
	}
	now, err := find(ctx, tx, was.Name)
	if err != nil || now.Password != was.Password || now.closed(tx.Now) {
		return false, err
	}
	return useCode(ctx, tx, `access_users`, now, code)
}

// signWithin is how long ago a person may have signed in anew at a provider to sign by that.
const signWithin = 5 * time.Minute

// askAnew has the session of whoever is signed in know that they were sent to show who they are anew.
func (s *Sessions) askAnew(ctx context.Context, f flow) {
	if s.scs.GetString(ctx, sessionUser) == "" {
		return // nobody signs with it
	}
	s.scs.Put(ctx, sessionAsked, f.State)
	s.scs.Put(ctx, sessionSince, f.Began)
}

// anew is when whoever comes back has shown anew who they are; zero if they have not, or the plant did not ask for it. The browser's word for that
// counts for nothing, nor does a sign-in on which the session rests already: whoever finds it open could have the provider let them through unasked.
func (s *Sessions) anew(ctx context.Context, f flow, t idToken) time.Time {
	asked, since, before := s.scs.GetString(ctx, sessionAsked), s.scs.GetInt64(ctx, sessionSince), s.scs.GetInt64(ctx, sessionFactor)
	if asked == "" || f.State != asked || t.factor.Before(store.FromMicros(since).Add(-clockSkew)) || store.Micros(t.factor) <= before {
		return time.Time{}
	}
	return t.factor
}

// byProvider takes a new sign-in at the provider for the signature of one act.
func (g *Signature) byProvider(act Act) (*signing, error) {
	again := func() error {
		return unsigned(act, "it is signed by signing in anew, once for each act and at most five minutes before", "sign in again at /console/sign-in?fresh=yes, then do it once more")
	}
	at := act.Actor.anew
	if g.user != act.Actor.Name || g.sessions.db.Now().Sub(at) > signWithin {
		return nil, again()
	}
	return &signing{Signature: g, shown: "a new sign-in at the provider", use: func(ctx context.Context, tx *store.Tx) (bool, error) {
		bare, _ := bareName(g.user)
		n, err := tx.Exec(ctx, `UPDATE access_people SET totp_step = ? WHERE name = ? AND issuer <> ? AND totp_step < ?`, at.Unix(), bare, ofDirectory, at.Unix())
		if err != nil {
			return false, fmt.Errorf("use the sign-in of %s: %w", g.user, err)
		}
		if n == 0 {
			return false, again()
		}
		return true, nil
	}}, nil
}

// wrong keeps on record, beside the refusal of the act, that somebody did not show who they are.
func (g *Signature) wrong(ctx context.Context, act Act) error {
	why := unsigned(act, "password or code is not right", "try again with a code that is new")
	return g.sessions.turned.away(ctx, act.Actor, SignInRefused, ofSignature, why)
}

// errCode is a code that is not right.
type errCode struct{}

func (errCode) Error() string { return "the code is not right" }

// spend uses up what was shown, in the act's transaction; nil is no signature.
func (g *signing) spend(ctx context.Context, tx *store.Tx) error {
	if g == nil {
		return nil
	}
	var err error
	if g.spent, err = g.use(ctx, tx); err == nil && !g.spent {
		err = errCode{}
	}
	return err
}

// on is an entry with the signature on it.
func (g *signing) on(e audit.Entry) (audit.Entry, error) {
	if g == nil {
		return e, nil
	}
	return e.Sign(g.meaning, g.shown)
}

// settle ends the attempt by how the act ended: one that was not judged to its end counts for nothing.
func (g *signing) settle(ctx context.Context, act Act, err error) error {
	if g == nil {
		return err
	}
	if _, wrong := errors.AsType[errCode](err); wrong {
		return g.wrong(ctx, act)
	}
	g.sessions.forget(g.called(), g.from, err == nil && g.spent) // a repetition spends nothing, and must not forgive what was wrong before
	return err
}
