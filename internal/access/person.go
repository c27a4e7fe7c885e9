package access

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// elsewhere begins the name of who signs in at a provider: oidc:anna.berg.
const elsewhere = "oidc:"

// Person is somebody who has signed in at a provider. Issuer and Subject say who it is; the name is theirs for good.
type Person struct {
	Name     string // without oidc:
	Issuer   string
	Subject  string
	Provider string
	Groups   []string  // that count here
	Checked  time.Time // when the provider last said so
	MadeAt   time.Time // when they first signed in
	Disabled time.Time // zero: they are not
}

const selectPeople = `SELECT name, issuer, subject, provider, groups, checked_at, made_at, disabled_at, signed_out_at FROM access_people`

const insertPerson = `INSERT INTO access_people (name, issuer, subject, provider, groups, checked_at, made_at) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`

type personRow struct {
	Name      string `db:"name"`
	Issuer    string `db:"issuer"`
	Subject   string `db:"subject"`
	Provider  string `db:"provider"`
	Groups    []byte `db:"groups"`
	Checked   int64  `db:"checked_at"`
	Made      int64  `db:"made_at"`
	Disabled  int64  `db:"disabled_at"`
	SignedOut int64  `db:"signed_out_at"`
}

func (r personRow) person() (Person, error) {
	p := Person{
		Name: r.Name, Issuer: r.Issuer, Subject: r.Subject, Provider: r.Provider, Checked: store.FromMicros(r.Checked), MadeAt: store.FromMicros(r.Made),
		Disabled: store.FromMicros(r.Disabled),
	}
	if err := json.Unmarshal(r.Groups, &p.Groups); err != nil {
		return Person{}, fmt.Errorf("read the groups of %s: %w", r.Name, err)
	}
	return p, nil
}

// People lists everybody who has signed in at a provider, by name.
func People(ctx context.Context, tx *store.Tx) ([]Person, error) {
	var rows []personRow
	if err := tx.Select(ctx, &rows, selectPeople+` ORDER BY name`); err != nil {
		return nil, fmt.Errorf("read the people of the providers: %w", err)
	}
	out := make([]Person, 0, len(rows))
	for _, r := range rows {
		p, err := r.person()
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// findPerson is the row of a name; an empty one if there is none.
func findPerson(ctx context.Context, tx *store.Tx, where string, args ...any) (personRow, error) {
	var rows []personRow
	if err := tx.Select(ctx, &rows, selectPeople+` WHERE `+where, args...); err != nil {
		return personRow{}, fmt.Errorf("read a person: %w", err)
	}
	if len(rows) == 0 {
		return personRow{}, nil
	}
	return rows[0], nil
}

// changePerson changes somebody of a provider, called oidc:NAME.
func changePerson(ctx context.Context, tx *store.Tx, name, set string, args ...any) error {
	n, err := tx.Exec(ctx, `UPDATE access_people SET `+set+` WHERE name = ?`, append(args, strings.TrimPrefix(name, elsewhere))...)
	if err != nil {
		return fmt.Errorf("change user %s: %w", name, err)
	}
	if n == 0 {
		return &problem.Error{Kind: problem.NotFound, What: "user " + name, Why: "nobody of this name has signed in", Hint: "holdfast access user list shows them"}
	}
	return nil
}

// meet finds whoever a token is of, or gives them a name: what the provider calls them, with a number if somebody else has it.
func meet(ctx context.Context, tx *store.Tx, provider string, t idToken) (personRow, error) {
	groups, err := json.Marshal(t.groups)
	if err != nil {
		return personRow{}, fmt.Errorf("write the groups of a person: %w", err)
	}
	name, now := nameFrom(t.called), store.Micros(tx.Now)
	for i := 1; ; i++ {
		row, err := findPerson(ctx, tx, `issuer = ? AND subject = ?`, t.issuer, t.subject)
		if err != nil {
			return row, err
		}
		if row.Name != "" {
			_, err = tx.Exec(ctx, `UPDATE access_people SET provider = ?, groups = ?, checked_at = ? WHERE name = ?`, provider, groups, now, row.Name)
			return row, err
		}
		free := name
		if i > 1 {
			free += "-" + strconv.Itoa(i)
		}
		if _, err := tx.Exec(ctx, insertPerson, free, t.issuer, t.subject, provider, groups, now, now); err != nil {
			return row, fmt.Errorf("keep a person: %w", err)
		}
	}
}

// enterFrom begins the session of somebody whom a provider knows, and keeps on record that they signed in.
func (s *Sessions) enterFrom(r *http.Request, at *provider, t idToken) error {
	ctx, from := r.Context(), address(r)
	var row personRow
	err := s.db.InTx(ctx, func(tx *store.Tx) (err error) {
		if row, err = meet(ctx, tx, at.name, t); err != nil || row.Disabled != 0 {
			return err
		}
		return audit.Append(ctx, tx, audit.Entry{Actor: elsewhere + row.Name, From: from, Action: SignedIn, Object: "console"})
	})
	if err != nil {
		return err
	}
	if row.Disabled != 0 {
		return s.turnedAway(r, elsewhere+row.Name, at.denied("the plant lets them in no more", "holdfast access user enable lets them in again"))
	}
	return s.begin(ctx, elsewhere+row.Name, t.factor)
}

// turnedAway keeps on record that a sign-in was refused.
func (s *Sessions) turnedAway(r *http.Request, who string, why error) error {
	return s.turned.away(r.Context(), Actor{Name: who, From: address(r)}, SignInRefused, "console", why)
}

// personOf is whoever of a provider a session is of, with what they may do now.
func (s *Sessions) personOf(ctx context.Context, tx *store.Tx, name string) (a account, err error) {
	row, err := findPerson(ctx, tx, `name = ?`, strings.TrimPrefix(name, elsewhere))
	if err != nil || row.Name == "" {
		return a, err
	}
	p, err := row.person()
	at := s.providers[p.Provider]
	if err != nil || at == nil || at.Issuer != p.Issuer { // which the configuration names no more
		return a, err
	}
	return account{
		actor: elsewhere + row.Name, roles: at.rolesOf(p.Groups), disabled: row.Disabled != 0, signedOut: row.SignedOut, checked: p.Checked, at: at,
	}, nil
}

// stale says why a person of a provider has to sign in again; nil if what it last said still counts. A form and what a page asks by itself have some
// time more than a page that is opened, so that nothing is lost that was just typed.
func (a account) stale(now time.Time, opened bool, idle time.Duration) error {
	if a.at == nil {
		return nil
	}
	age, fresh := now.Sub(a.checked), a.at.Fresh
	if !opened {
		fresh += idle
	}
	switch {
	case age >= a.at.Keep:
		return nobody("what " + a.at.name + " said of them is too old")
	case age >= fresh && a.at.up():
		return nobody("it is time to ask " + a.at.name + " again; it may do so without a question")
	default:
		return nil
	}
}
