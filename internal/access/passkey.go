package access

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// The limits of passkeys.
const (
	FreshFactor  = 10 * time.Minute // after showing the second factor, in which a person changes their ways in
	answerWithin = 2 * time.Minute  // for the answer to a challenge
	mostPasskeys = 10               // of one account
	mostLabel    = 60               // characters
)

// sessionPasskey is the key of a session that holds the challenge which its browser has yet to answer.
const sessionPasskey = "passkey"

// Passkeys let people of the plant's own accounts in by what their device, or their security key, signs once it has verified them: by
// fingerprint, face or PIN. That is two factors, and counts as a second factor shown now.
//
// A challenge is good once, for two minutes, in the session of the browser that asked for it, and for the console's own address alone. A passkey
// whose count of signatures goes back exists twice: it lets nobody in from then on, and the record says so (PasskeyCloned).
type Passkeys struct {
	sessions *Sessions
	web      *webauthn.WebAuthn
	asked    *turned // by whom challenges were asked for, by the minute
}

// Passkey is one way into an account of the plant.
type Passkey struct {
	ID      string
	Label   string // by its person
	MadeAt  time.Time
	UsedAt  time.Time // zero: never
	Suspect time.Time // when its count went back; zero: it is good
}

// NewPasskey is a passkey that was judged and is not kept yet.
type NewPasskey struct {
	owner, label string
	credential   webauthn.Credential
}

// NewPasskeys returns the passkeys of a console at an address, such as https://plant.example:8420: they are bound to it, and count nowhere else.
// Invalid for an address that browsers keep none for, such as one without a name.
func NewPasskeys(s *Sessions, address string) (*Passkeys, error) {
	bad := &problem.Error{Kind: problem.Invalid, What: "take passkeys at " + address, Hint: "open the console by a name, such as https://plant.example:8420"}
	u, err := url.Parse(address)
	if err == nil && u.Hostname() != "" {
		var web *webauthn.WebAuthn
		web, err = webauthn.New(&webauthn.Config{
			RPID: u.Hostname(), RPDisplayName: "Holdfast " + s.users.plant, RPOrigins: []string{u.Scheme + "://" + u.Host},
			AuthenticatorSelection:            protocol.AuthenticatorSelection{ResidentKey: protocol.ResidentKeyRequirementRequired, UserVerification: protocol.VerificationRequired},
			AttestationPreference:             protocol.PreferNoAttestation,
			ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore, // we ask for none, and look at none
		})
		if err == nil {
			return &Passkeys{s, web, newTurned(s.db)}, nil
		}
	}
	bad.Why, bad.Cause = "it is no address that a browser keeps one for", err
	return nil, bad
}

// holder is an account as authenticators know it.
type holder struct {
	name string
	id   []byte
	keys []webauthn.Credential
}

// WebAuthnID implements webauthn.User.
func (h holder) WebAuthnID() []byte { return h.id }

// WebAuthnName implements webauthn.User.
func (h holder) WebAuthnName() string { return h.name }

// WebAuthnDisplayName implements webauthn.User.
func (h holder) WebAuthnDisplayName() string { return h.name }

// WebAuthnCredentials implements webauthn.User.
func (h holder) WebAuthnCredentials() []webauthn.Credential { return h.keys }

func holderOf(ctx context.Context, tx *store.Tx, row userRow) (holder, error) {
	h := holder{name: row.Name}
	rows, err := passkeysOf(ctx, tx, row.Name)
	if err != nil {
		return h, err
	}
	if h.id, err = hex.DecodeString(row.Handle); err != nil {
		return h, fmt.Errorf("read the handle of %s: %w", row.Name, err)
	}
	for _, r := range rows {
		var c webauthn.Credential
		if err := json.Unmarshal(r.Credential, &c); err != nil {
			return h, fmt.Errorf("read passkey %s: %w", r.ID, err)
		}
		h.keys = append(h.keys, c)
	}
	return h, nil
}

func passkeysOf(ctx context.Context, tx *store.Tx, owner string) (rows []passkeyRow, err error) {
	if err := tx.Select(ctx, &rows, selectPasskeys+` WHERE owner = ? ORDER BY made_at, id`, owner); err != nil {
		return nil, fmt.Errorf("read the passkeys of %s: %w", owner, err)
	}
	return rows, nil
}

// ceremony is a challenge that waits for its answer in a session.
type ceremony struct {
	For  string `json:"for"` // whose account gets a passkey; "" for whoever signs in
	At   int64  `json:"at"`  // microseconds
	Data webauthn.SessionData
}

func (p *Passkeys) wait(ctx context.Context, whose string, data *webauthn.SessionData) error {
	text, err := json.Marshal(ceremony{whose, store.Micros(p.sessions.db.Now()), *data})
	if err != nil {
		return fmt.Errorf("keep a challenge: %w", err)
	}
	p.sessions.scs.Put(ctx, sessionPasskey, string(text))
	return nil
}

// answered takes the session's challenge out of it, whatever becomes of the answer.
func (p *Passkeys) answered(ctx context.Context, whose string) (webauthn.SessionData, error) {
	text := p.sessions.scs.PopString(ctx, sessionPasskey)
	var c ceremony
	if text == "" {
		return c.Data, notTaken("nothing was asked of this browser, or it was answered before")
	}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return c.Data, fmt.Errorf("read a challenge: %w", err)
	}
	if c.For != whose || p.sessions.db.Now().Sub(store.FromMicros(c.At)) > answerWithin {
		return c.Data, notTaken("what was asked of this browser was something else, or is too long ago")
	}
	return c.Data, nil
}

func notTaken(why string) *problem.Error {
	return &problem.Error{Kind: problem.Unknown, What: "take a passkey", Why: why, Hint: "try again, or sign in with password and code"}
}

// unsoundBy is what go-webauthn has against an answer.
func unsoundBy(err error) *problem.Error {
	if e, ok := errors.AsType[*protocol.Error](err); ok {
		return notTaken(cut("the answer is not sound: " + e.Details))
	}
	return notTaken("the answer is not sound")
}

// Ask begins a sign-in: it gives what the browser hands to its authenticators. TooMany for who asks without an end; nobody else is held up.
func (p *Passkeys) Ask(r *http.Request) (json.RawMessage, error) {
	ctx, s := r.Context(), p.sessions
	if _, _, seen := p.asked.count(Actor{From: address(r)}, s.db.Now()); seen > mostFailed {
		return nil, &problem.Error{Kind: problem.TooMany, What: "sign in", Why: "it was begun too often from here", Hint: "try again in a minute, or sign in with password and code"}
	}
	options, data, err := p.web.BeginDiscoverableLogin()
	if err != nil {
		return nil, fmt.Errorf("ask for a passkey: %w", err)
	}
	if s.scs.GetString(ctx, sessionUser) == "" {
		s.scs.SetDeadline(ctx, s.db.Now().Add(answerWithin)) // nobody's session is not kept for longer
	}
	if err := p.wait(ctx, "", data); err != nil {
		return nil, err
	}
	return json.Marshal(options.Response)
}

// SignIn begins a session for whoever the answer of a browser shows. Unknown, with the reason on record, for one that is not sound, is of no passkey
// of the plant, or comes from another address or session than the challenge went to.
func (p *Passkeys) SignIn(r *http.Request, answer string) error {
	ctx, s, from := r.Context(), p.sessions, address(r)
	var h holder
	data, err := p.answered(ctx, "")
	if err == nil {
		var used *passkeyUse
		if h, used, err = p.judge(ctx, data, answer); err == nil {
			err = p.enter(ctx, h.name, *used, from)
		}
	}
	switch {
	case problem.KindOf(err) == problem.Unknown:
		by := Actor{From: from}
		if h.name != "" {
			by.Name = "user:" + h.name
		}
		return s.turned.away(ctx, by, SignInRefused, "console", err)
	case err != nil:
		return err
	default:
		return s.begin(ctx, h.name, s.db.Now())
	}
}

// passkeyUse is a sound use of a passkey.
type passkeyUse struct {
	id    string
	count uint32
}

// judge tells whose passkey an answer is of.
func (p *Passkeys) judge(ctx context.Context, data webauthn.SessionData, answer string) (h holder, used *passkeyUse, err error) {
	parsed, err := protocol.ParseCredentialRequestResponseBytes([]byte(answer))
	if err != nil {
		return h, nil, unsoundBy(err)
	}
	var reading error
	_, key, err := p.web.ValidatePasskeyLogin(func(_, handle []byte) (webauthn.User, error) {
		reading = p.sessions.db.View(ctx, func(tx *store.Tx) error {
			row, err := findUser(ctx, tx, `handle = ?`, hex.EncodeToString(handle))
			if err != nil || row.Name == "" {
				return err
			}
			h, err = holderOf(ctx, tx, row)
			return err
		})
		if reading != nil || h.name == "" {
			return nil, errors.New("it is nobody's here")
		}
		return h, nil
	}, data, parsed)
	switch {
	case reading != nil:
		return h, nil, reading
	case err != nil:
		return h, nil, unsoundBy(err)
	default:
		return h, &passkeyUse{base64.RawURLEncoding.EncodeToString(key.ID), parsed.Response.AuthenticatorData.Counter}, nil
	}
}

// enter counts the use, ends the session that the challenge was asked in, so that it is answered once however many answers come at the same time,
// and keeps on record that somebody signed in: all of it or nothing.
func (p *Passkeys) enter(ctx context.Context, name string, use passkeyUse, from string) error {
	var refusal error
	err := p.sessions.db.InTx(ctx, func(tx *store.Tx) error {
		refusal = nil
		row, err := find(ctx, tx, name)
		if err != nil {
			return err
		}
		if row.closed(tx.Now) {
			refusal = notTaken("the account lets nobody in")
			return nil
		}
		if refusal, err = use.spend(ctx, tx, name, from); err != nil || refusal != nil {
			return err
		}
		n, err := tx.Exec(ctx, deleteSession, foundToken(ctx))
		if err != nil {
			return err
		}
		if n == 0 {
			return notTaken("the challenge was answered before")
		}
		means, err := json.Marshal(map[string]string{"by": "passkey", "passkey": use.id})
		if err != nil {
			return fmt.Errorf("write a sign-in: %w", err)
		}
		return audit.Append(ctx, tx, audit.Entry{Actor: "user:" + name, From: from, Action: SignedIn, Object: "console", After: means})
	})
	return errors.Join(refusal, err)
}

// spend takes over the count of a use. One that is not above the last one means that somebody has a copy of the passkey: whoever comes first, neither
// gets in by it again.
func (u passkeyUse) spend(ctx context.Context, tx *store.Tx, owner, from string) (refusal, err error) {
	n, err := tx.Exec(ctx, usePasskey, u.count, store.Micros(tx.Now), u.id, owner, u.count, u.count)
	if err != nil || n == 1 {
		return nil, err
	}
	var rows []passkeyRow
	if err := tx.Select(ctx, &rows, selectPasskeys+` WHERE id = ? AND owner = ?`, u.id, owner); err != nil {
		return nil, fmt.Errorf("read passkey %s: %w", u.id, err)
	}
	if len(rows) == 0 || rows[0].Suspect != 0 {
		return notTaken("the passkey counts for nothing any more"), nil
	}
	if _, err := tx.Exec(ctx, `UPDATE access_passkeys SET suspect_at = ? WHERE id = ?`, store.Micros(tx.Now), u.id); err != nil {
		return nil, fmt.Errorf("end passkey %s: %w", u.id, err)
	}
	after, err := json.Marshal(map[string]any{"code": string(problem.Unknown), "why": "its count went back", "passkey": u.id, "count": u.count, "last": rows[0].Count})
	if err != nil {
		return nil, fmt.Errorf("write the end of passkey %s: %w", u.id, err)
	}
	e := audit.Entry{Actor: "user:" + owner, From: from, Action: PasskeyCloned, Object: "user/" + owner, After: after, Outcome: audit.Refused}
	return notTaken("its count went back, as if somebody had a copy of it: it counts for nothing any more"), audit.Append(ctx, tx, e)
}

// own is the account of the plant whose ways in somebody changes: their own, soon after showing a second factor (else kind denied).
func (p *Passkeys) own(by Actor) (string, error) {
	name, ok := strings.CutPrefix(by.Name, "user:")
	if !ok {
		return "", &problem.Error{Kind: problem.Denied, What: "change the passkeys of " + by.Name, Why: "only accounts of the plant have passkeys", Hint: "sign in as you did before"}
	}
	return name, stepUp(by, p.sessions.db.Now(), "change the passkeys of "+by.Name)
}

// Invite gives what the browser hands to its authenticators for a new passkey of whoever is signed in.
func (p *Passkeys) Invite(r *http.Request, by Actor) (json.RawMessage, error) {
	ctx := r.Context()
	name, err := p.own(by)
	if err != nil {
		return nil, err
	}
	var h holder
	if err := p.sessions.db.InTx(ctx, func(tx *store.Tx) error {
		handle := make([]byte, 32)
		_, _ = rand.Read(handle) // which does not fail
		if _, err := tx.Exec(ctx, `UPDATE access_users SET handle = ? WHERE name = ? AND handle = ''`, hex.EncodeToString(handle), name); err != nil {
			return fmt.Errorf("name %s to authenticators: %w", name, err)
		}
		row, err := find(ctx, tx, name)
		if err != nil {
			return err
		}
		h, err = holderOf(ctx, tx, row)
		return err
	}); err != nil {
		return nil, err
	}
	var have []protocol.CredentialDescriptor
	for _, c := range h.keys {
		have = append(have, c.Descriptor())
	}
	options, data, err := p.web.BeginRegistration(h, webauthn.WithExclusions(have))
	if err != nil {
		return nil, fmt.Errorf("ask for a new passkey: %w", err)
	}
	if err := p.wait(ctx, name, data); err != nil {
		return nil, err
	}
	return json.Marshal(options.Response)
}

// Made judges what an authenticator has made of an invitation. Denied for what is not sound, Invalid for a label that is none.
func (p *Passkeys) Made(r *http.Request, by Actor, label, answer string) (n NewPasskey, err error) {
	n.label = strings.TrimSpace(label)
	if l := utf8.RuneCountInString(n.label); l == 0 || l > mostLabel {
		return n, &problem.Error{Kind: problem.Invalid, What: "add a passkey", Why: fmt.Sprintf("its label needs 1 to %d characters", mostLabel), Hint: "write where it is, such as laptop or blue key"}
	}
	if n.owner, err = p.own(by); err != nil {
		return n, err
	}
	data, err := p.answered(r.Context(), n.owner)
	var h holder
	if err == nil {
		h = holder{name: n.owner, id: data.UserID}
		var parsed *protocol.ParsedCredentialCreationData
		var key *webauthn.Credential
		if parsed, err = protocol.ParseCredentialCreationResponseBytes([]byte(answer)); err == nil {
			key, err = p.web.CreateCredential(h, data, parsed)
		}
		if err == nil {
			n.credential = *key
			n.credential.Attestation = webauthn.CredentialAttestation{} // nobody asks who built the device
			return n, nil
		}
		err = unsoundBy(err)
	}
	if bad, ok := errors.AsType[*problem.Error](err); ok {
		return n, &problem.Error{Kind: problem.Denied, What: "add a passkey", Why: bad.Why, Hint: "try again"}
	}
	return n, err
}

// Add keeps a new passkey in the act's transaction. Conflict for one that is kept already, and beyond ten of one account.
func (p *Passkeys) Add(ctx context.Context, tx *store.Tx, n NewPasskey) (Passkey, error) {
	k := Passkey{ID: base64.RawURLEncoding.EncodeToString(n.credential.ID), Label: n.label, MadeAt: tx.Now}
	bad := &problem.Error{Kind: problem.Conflict, What: "add a passkey", Why: fmt.Sprintf("the account has %d of them", mostPasskeys), Hint: "remove one that is not used any more"}
	have, err := passkeysOf(ctx, tx, n.owner)
	if err != nil {
		return k, err
	}
	if len(have) >= mostPasskeys {
		return k, bad
	}
	text, err := json.Marshal(n.credential)
	if err != nil {
		return k, fmt.Errorf("write a passkey: %w", err)
	}
	kept, err := tx.Exec(ctx, insertPasskey, k.ID, n.owner, n.label, text, n.credential.Authenticator.SignCount, store.Micros(tx.Now))
	if err != nil {
		return k, fmt.Errorf("keep a passkey: %w", err)
	}
	if kept == 0 {
		bad.Why, bad.Hint = "it is kept already", "look at the list"
		return k, bad
	}
	return k, nil
}

// Remove ends a passkey of whoever acts, and their sessions, in the act's transaction: whoever has the device is out too.
func (p *Passkeys) Remove(ctx context.Context, tx *store.Tx, by Actor, id string) error {
	name, err := p.own(by)
	if err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `DELETE FROM access_passkeys WHERE id = ? AND owner = ?`, id, name)
	if err != nil {
		return fmt.Errorf("remove passkey %s: %w", id, err)
	}
	if n == 0 {
		return &problem.Error{Kind: problem.NotFound, What: "remove passkey " + cut(id), Why: "you have none of this name", Hint: "look at the list"}
	}
	return p.sessions.users.SignOut(ctx, tx, name)
}

// List lists the passkeys of an account of the plant, the oldest first; none for anybody else, and where no passkeys are taken (p is nil).
func (p *Passkeys) List(ctx context.Context, tx *store.Tx, by Actor) ([]Passkey, error) {
	name, ok := strings.CutPrefix(by.Name, "user:")
	if !ok || p == nil {
		return nil, nil
	}
	rows, err := passkeysOf(ctx, tx, name)
	out := make([]Passkey, 0, len(rows))
	for _, r := range rows {
		out = append(out, Passkey{r.ID, r.Label, store.FromMicros(r.Made), store.FromMicros(r.Used), store.FromMicros(r.Suspect)})
	}
	return out, err
}
