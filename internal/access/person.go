package access

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// What begins the name of who signs in at a provider, or by a directory: oidc:anna.berg, ad:anna.berg.
const (
	elsewhere   = "oidc:"
	inDirectory = "ad:"
)

// source is where a person is known who has no account of the plant.
type source interface {
	// signOut is where a browser ends its session there too; "" if there is none.
	signOut() string
	// stale says why a person has to sign in again, from how long ago the source last spoke of them; nil if that still counts.
	stale(age time.Duration, opened bool, idle time.Duration) error
}

// bareName is a name without what tells that its person is known elsewhere.
func bareName(name string) (bare string, isElsewhere bool) {
	if bare, ok := strings.CutPrefix(name, inDirectory); ok {
		return bare, true
	}
	return strings.CutPrefix(name, elsewhere)
}

// Person is somebody who has signed in at a provider, or by a directory. Issuer and Subject say who it is; the name is theirs for good.
type Person struct {
	Name     string // with oidc: or ad:
	Issuer   string
	Subject  string
	Provider string
	Groups   []string  // that count here
	Checked  time.Time // when the provider last said so
	MadeAt   time.Time // when they first signed in
	Disabled time.Time // zero: they are not
}

const selectPeople = `SELECT name, issuer, subject, provider, groups, checked_at, made_at, disabled_at, signed_out_at, totp, recovery, signed_in_at FROM access_people`

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
	TOTP      []byte `db:"totp"`
	Recovery  []byte `db:"recovery"`
	SignedIn  int64  `db:"signed_in_at"`
}

// actor is what the record calls the person.
func (r personRow) actor() string {
	if r.Issuer == ofDirectory {
		return inDirectory + r.Name
	}
	return elsewhere + r.Name
}

func (r personRow) person() (Person, error) {
	p := Person{
		Name: r.actor(), Issuer: r.Issuer, Subject: r.Subject, Provider: r.Provider, Checked: store.FromMicros(r.Checked), MadeAt: store.FromMicros(r.Made),
		Disabled: store.FromMicros(r.Disabled),
	}
	if err := json.Unmarshal(r.Groups, &p.Groups); err != nil {
		return Person{}, fmt.Errorf("read the groups of %s: %w", r.Name, err)
	}
	return p, nil
}

// People lists everybody who has signed in at a provider or by a directory, by name.
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

// changePerson changes somebody of a provider, called oidc:NAME, or of a directory, called ad:NAME.
func changePerson(ctx context.Context, tx *store.Tx, name, set string, args ...any) error {
	bare, _ := bareName(name)
	issuer := `issuer <> ?`
	if strings.HasPrefix(name, inDirectory) {
		issuer = `issuer = ?`
	}
	n, err := tx.Exec(ctx, `UPDATE access_people SET `+set+` WHERE name = ? AND `+issuer, append(args, bare, ofDirectory)...)
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
	name, now, fresh := nameFrom(t.called), store.Micros(tx.Now), false
	for i := 1; ; i++ {
		row, err := findPerson(ctx, tx, `issuer = ? AND subject = ?`, t.issuer, t.subject)
		if err != nil {
			return row, err
		}
		if row.Name != "" {
			_, err = tx.Exec(ctx, `UPDATE access_people SET provider = ?, groups = ?, checked_at = ? WHERE name = ?`, provider, groups, now, row.Name)
			if was := row.Groups; err == nil {
				if fresh {
					was = []byte("[]")
				}
				err = regrouped(ctx, tx, row.actor(), provider, was, t.groups)
			}
			return row, err
		}
		free := name
		if i > 1 {
			free += "-" + strconv.Itoa(i)
		}
		if _, err := tx.Exec(ctx, insertPerson, free, t.issuer, t.subject, provider, groups, now, now); err != nil {
			return row, fmt.Errorf("keep a person: %w", err)
		}
		fresh = true
	}
}

// regrouped keeps on record, by who says so, that a person is in other groups than before, where they are: what somebody may do has changed.
func regrouped(ctx context.Context, tx *store.Tx, name, source string, was []byte, groups []string) error {
	type in struct {
		Groups []string `json:"groups"`
	}
	before, after := in{[]string{}}, in{slices.Sorted(slices.Values(groups))}
	if err := json.Unmarshal(was, &before.Groups); err != nil {
		return fmt.Errorf("read the groups of %s: %w", name, err)
	}
	if slices.Sort(before.Groups); slices.Equal(before.Groups, after.Groups) {
		return nil
	}
	old, err := json.Marshal(before)
	if err != nil {
		return fmt.Errorf("write the groups of %s: %w", name, err)
	}
	now, err := json.Marshal(after)
	if err != nil {
		return fmt.Errorf("write the groups of %s: %w", name, err)
	}
	by := source
	if source != ofDirectory {
		by = "provider:" + source
	}
	return audit.Append(ctx, tx, audit.Entry{Actor: by, Action: GroupsChanged, Object: "user/" + name, Before: old, After: now})
}

// enterFrom begins the session of somebody whom a provider knows, and keeps on record that they signed in.
func (s *Sessions) enterFrom(r *http.Request, at *provider, t idToken) error {
	ctx, from := r.Context(), address(r)
	var row personRow
	err := s.db.InTx(ctx, func(tx *store.Tx) (err error) {
		if row, err = meet(ctx, tx, at.name, t); err != nil || row.Disabled != 0 {
			return err
		}
		return audit.Append(ctx, tx, audit.Entry{Actor: row.actor(), From: from, Action: SignedIn, Object: "console"})
	})
	if err != nil {
		return err
	}
	if row.Disabled != 0 {
		return s.turnedAway(r, row.actor(), at.denied("the plant lets them in no more", "holdfast access user enable lets them in again"))
	}
	return s.begin(ctx, row.actor(), t.factor)
}

// turnedAway keeps on record that a sign-in was refused.
func (s *Sessions) turnedAway(r *http.Request, who string, why error) error {
	return s.turned.away(r.Context(), Actor{Name: who, From: address(r)}, SignInRefused, "console", why)
}

// personOf is whoever of a provider or a directory a session is of, with what they may do now.
func (s *Sessions) personOf(ctx context.Context, tx *store.Tx, name string) (a account, err error) {
	bare, _ := bareName(name)
	row, err := findPerson(ctx, tx, `name = ?`, bare)
	if err != nil || row.Name == "" || row.actor() != name {
		return a, err
	}
	p, err := row.person()
	if err != nil {
		return a, err
	}
	a = account{disabled: row.Disabled != 0, signedOut: row.SignedOut, checked: p.Checked}
	if at := s.directory; row.Issuer == ofDirectory && at != nil {
		a.actor, a.roles, a.at = name, at.rolesOf(p.Groups), at
	}
	if at := s.providers[p.Provider]; row.Issuer != ofDirectory && at != nil && at.Issuer == p.Issuer {
		a.actor, a.roles, a.at = name, at.rolesOf(p.Groups), at
	}
	return a, nil // without a name for whom the configuration has no source any more
}

// stale says why a person of a provider has to sign in again; nil if what it last said still counts. A form and what a page asks by itself have some
// time more than a page that is opened, so that nothing is lost that was just typed.
func (a account) stale(now time.Time, opened bool, idle time.Duration) error {
	if a.at == nil {
		return nil
	}
	return a.at.stale(now.Sub(a.checked), opened, idle)
}

func (p *provider) stale(age time.Duration, opened bool, idle time.Duration) error {
	fresh := p.Fresh
	if !opened {
		fresh += idle
	}
	switch {
	case age >= p.Keep:
		return nobody("what " + p.name + " said of them is too old")
	case age >= fresh && p.up():
		return nobody("it is time to ask " + p.name + " again; it may do so without a question")
	default:
		return nil
	}
}
