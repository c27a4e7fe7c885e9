package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// MostTokenLife is the longest that a token may be good for: who is forgotten is out within it.
const MostTokenLife = 400 * 24 * time.Hour

// prefix begins each token, so that one that got somewhere is found there by whoever looks for secrets.
const prefix = "hfat_"

// Token is what is kept of a token; the token itself is shown once and nowhere kept.
type Token struct {
	ID      string // begins the token, and is no secret
	Name    string // the actor is token:Name; an old and a new token of one machine share it while they overlap
	Rights  Rights
	MadeBy  string
	MadeAt  time.Time
	Expires time.Time
	Revoked time.Time // zero: it was not
	Used    time.Time // the beginning of the last hour in which it was used; zero: never
}

// Good tells whether the token lets anybody in.
func (t Token) Good(now time.Time) bool { return t.Revoked.IsZero() && now.Before(t.Expires) }

// nameRule is what actors may be called: they stand in the record of acts.
var nameRule = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,59}$`)

// CheckName refuses what cannot name a machine or a person.
func CheckName(name string) error {
	if nameRule.MatchString(name) {
		return nil
	}
	return &problem.Error{
		Kind: problem.Invalid, What: fmt.Sprintf("the name %q", name), Why: "a name has up to 60 small letters, digits, dots, hyphens and underscores",
		Hint: "write erp-prod, or anna.berg",
	}
}

// MakeToken keeps a new token and returns it with what is to be shown, once, to whoever will use it. It is part of the act's transaction.
// Errors: Invalid for a name, a role, an action or a time that cannot be.
func (p *Policy) MakeToken(ctx context.Context, tx *store.Tx, by string, t Token, life time.Duration) (Token, string, error) {
	if err := p.checkToken(t, life); err != nil {
		return Token{}, "", err
	}
	secret := make([]byte, 4+32) // rand.Read does not fail
	_, _ = rand.Read(secret)
	t.ID, t.MadeBy, t.MadeAt, t.Expires = hex.EncodeToString(secret[:4]), by, tx.Now, tx.Now.Add(life)
	shown := prefix + t.ID + "_" + base64.RawURLEncoding.EncodeToString(secret[4:])
	rights, err := json.Marshal(t.Rights)
	if err != nil {
		return Token{}, "", fmt.Errorf("write the rights of token %s: %w", t.Name, err)
	}
	hash := sha256.Sum256([]byte(shown))
	if _, err := tx.Exec(ctx, insertToken, t.ID, t.Name, hash[:], rights, by, store.Micros(t.MadeAt), store.Micros(t.Expires)); err != nil {
		return Token{}, "", fmt.Errorf("keep token %s: %w", t.Name, err)
	}
	return t, shown, nil
}

func (p *Policy) checkToken(t Token, life time.Duration) error {
	if err := CheckName(t.Name); err != nil {
		return err
	}
	bad := &problem.Error{Kind: problem.Invalid, What: "make token " + t.Name}
	switch {
	case life <= 0 || life > MostTokenLife:
		bad.Why, bad.Hint = fmt.Sprintf("it would be good for %s", life), fmt.Sprintf("have it expire within %d days", MostTokenLife/(24*time.Hour))
		return bad
	case len(t.Rights.Roles)+len(t.Rights.Own) == 0:
		bad.Why, bad.Hint = "it would permit nothing", "name a role, or an action of holdfast access actions"
		return bad
	}
	for _, role := range t.Rights.Roles {
		if p != nil && !p.Has(role) {
			bad.Why, bad.Hint = "there is no role "+role, "the roles are: "+strings.Join(p.Roles(), ", ")
			return bad
		}
	}
	for _, g := range t.Rights.Own {
		if err := g.check("of token " + t.Name); err != nil {
			return err
		}
	}
	return nil
}

// Tokens lists every token, the newest first.
func Tokens(ctx context.Context, tx *store.Tx) ([]Token, error) {
	var rows []tokenRow
	if err := tx.Select(ctx, &rows, selectTokens); err != nil {
		return nil, fmt.Errorf("read the tokens: %w", err)
	}
	out := make([]Token, 0, len(rows))
	for _, r := range rows {
		t, err := r.token()
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// RevokeToken has the token of an ID, or every good one of a name, count for nothing from now on, on every node. It says how many.
// NotFound if there is none.
func RevokeToken(ctx context.Context, tx *store.Tx, which string) (int64, error) {
	now := store.Micros(tx.Now)
	n, err := tx.Exec(ctx, revokeTokens, now, which, which, now)
	if err != nil {
		return 0, fmt.Errorf("revoke token %s: %w", which, err)
	}
	if n == 0 {
		return 0, &problem.Error{
			Kind: problem.NotFound, What: "revoke token " + which, Why: "no token of that ID or name is good any more", Hint: "holdfast access token list shows them",
		}
	}
	return n, nil
}

// tokenActor finds who shows a token; "" if it is none that lets anybody in. The comparison takes the same time wherever it differs, and
// an ID that there is not is told from a wrong secret by nothing.
func (g *Gate) tokenActor(ctx context.Context, shown string) (Actor, error) {
	id, _, _ := strings.Cut(strings.TrimPrefix(shown, prefix), "_")
	var rows []tokenRow
	var now time.Time
	err := g.db.View(ctx, func(tx *store.Tx) error {
		rows, now = nil, tx.Now
		return tx.Select(ctx, &rows, selectToken, id)
	})
	if err != nil {
		return Actor{}, fmt.Errorf("read a token: %w", err)
	}
	hash, known := sha256.Sum256([]byte(shown)), make([]byte, sha256.Size)
	if len(rows) == 1 {
		known = rows[0].Hash
	}
	if subtle.ConstantTimeCompare(hash[:], known) != 1 {
		return Actor{}, unknown("the token is none of this plant's")
	}
	t, err := rows[0].token()
	switch {
	case err != nil:
		return Actor{}, err
	case !t.Revoked.IsZero():
		return Actor{}, unknown("the token was revoked")
	case !t.Good(now):
		return Actor{}, unknown("the token has expired")
	}
	g.tokenUsed(ctx, t, now)
	return Actor{Name: "token:" + t.Name, Rights: t.Rights}, nil
}

// tokenUsed notes in which hour a token was used last: once an hour, since a call must not cost a write. The note is for whoever looks for
// tokens that nobody uses. One that cannot be written, as on a full disk, turns nobody away; the token's next call writes it.
func (g *Gate) tokenUsed(ctx context.Context, t Token, now time.Time) {
	hour := now.Truncate(time.Hour)
	if !t.Used.Before(hour) {
		return
	}
	_ = g.db.InTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, useToken, store.Micros(hour), t.ID, store.Micros(hour))
		return err
	})
}
