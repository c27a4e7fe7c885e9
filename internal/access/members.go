package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// ofDirectory is the issuer of those whom a directory knows; their subject is its objectGUID.
const ofDirectory = "directory"

// Members keeps up with a directory: whoever has lost a group, or the account, has lost it here within Directory.Sync of the answer.
type Members struct {
	sessions *Sessions
	at       *directory
	log      *slog.Logger
	unread   atomic.Pointer[[]string] // whom it could not look up at the last look
}

// Run looks up those who may be signed in, again and again, until ctx ends. That the directory does not answer is told once.
func (m *Members) Run(ctx context.Context) error {
	tick := time.NewTicker(m.at.Sync)
	defer tick.Stop()
	away := false
	for {
		err := m.Sync(ctx)
		switch {
		case err != nil && ctx.Err() == nil && !away:
			m.log.WarnContext(ctx, "the directory does not answer; whoever is signed in stays so", "err", errors.Join(err, errors.Unwrap(err)))
		case err == nil && away:
			m.log.InfoContext(ctx, "the directory answers again")
		}
		away = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Unread are those whom the directory answered nothing about when they were last looked up, as a controller does whose administrators took the right to read
// them away: what it said before counts for them, until it is too old.
func (m *Members) Unread() []string {
	if names := m.unread.Load(); names != nil {
		return *names
	}
	return nil
}

// Sync asks the directory once about everybody who may be signed in, or has a badge. Who cannot be read keeps nobody else from being looked up.
func (m *Members) Sync(ctx context.Context) error {
	var rows []personRow
	err := m.sessions.db.View(ctx, func(tx *store.Tx) error {
		since := store.Micros(tx.Now.Add(-m.sessions.cfg.Absolute))
		return tx.Select(ctx, &rows, selectPeople+` WHERE issuer = ? AND disabled_at = 0
AND (signed_in_at > ? OR 'ad:' || name IN (SELECT owner FROM access_badges)) ORDER BY name`, ofDirectory, since)
	})
	if err != nil {
		return err
	}
	var unread []string
	found := map[string]member{}
	err = m.at.read(ctx, func(c *ldap.Conn) error {
		unread = nil
		clear(found)
		sids, err := m.at.sids(c)
		for i := 0; i < len(rows) && err == nil; i++ {
			one, not := m.at.again(c, rows[i].Subject, sids)
			switch {
			case not == nil:
				found[rows[i].Name] = one
			case ldap.IsErrorAnyOf(not, ldap.ErrorNetwork, ldap.LDAPResultUnavailable) || c.IsClosing():
				err = not
			default:
				unread = append(unread, rows[i].actor())
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	if len(unread) > 0 && !slices.Equal(unread, m.Unread()) {
		m.log.WarnContext(ctx, "the directory says nothing of some people; what it said before counts for them", "people", len(unread))
	}
	m.unread.Store(&unread)
	return m.sessions.db.InTx(ctx, func(tx *store.Tx) error {
		for _, row := range rows {
			one, ok := found[row.Name]
			if !ok {
				continue
			}
			if err := keepUp(ctx, tx, row, one); err != nil {
				return err
			}
		}
		return nil
	})
}

// keepUp takes over what the directory says of somebody. Who signed in meanwhile was asked about later, and is left as they are.
func keepUp(ctx context.Context, tx *store.Tx, row personRow, m member) error {
	if m.out == "" && len(m.groups) == 0 {
		m.out = "no group of theirs has a role any more"
	}
	if m.out != "" {
		m.groups = []string{}
	}
	groups, err := json.Marshal(m.groups)
	if err != nil {
		return fmt.Errorf("write the groups of a person: %w", err)
	}
	same := string(groups) == string(row.Groups)
	if same && store.Micros(tx.Now)-row.Checked < time.Minute.Microseconds() {
		return nil
	}
	n, err := tx.Exec(ctx, `UPDATE access_people SET groups = ?, checked_at = ? WHERE name = ? AND signed_in_at = ? AND groups = ?`,
		groups, store.Micros(tx.Now), row.Name, row.SignedIn, row.Groups)
	if err != nil || n == 0 || same {
		return err
	}
	if err := regrouped(ctx, tx, row.actor(), ofDirectory, row.Groups, m.groups); err != nil || m.out == "" {
		return err
	}
	if err := changePerson(ctx, tx, row.actor(), `signed_out_at = ?`, store.Micros(tx.Now)); err != nil {
		return err
	}
	return audit.Append(ctx, tx, audit.Entry{Actor: "holdfast", Action: UserSignOut, Object: "user/" + row.actor(), Reason: "by the directory: " + m.out})
}

// enterByDirectory begins the session of whoever has the name and the password in the directory, and a code if they have a second factor here.
func (s *Sessions) enterByDirectory(r *http.Request, name, password, code string) (err error) {
	ctx := r.Context()
	if err := s.mayTry(byName+name, address(r), s.attempt); err != nil {
		return s.turnedAway(r, "", err)
	}
	m, settle, judged := s.proveBy(ctx, name, password, address(r))
	defer func() {
		settle(judged)
		if problem.KindOf(judged) != problem.Unknown {
			s.forget(byName+name, address(r), judged == nil)
		}
	}()
	if judged != nil {
		return s.turnedAway(r, s.knownAs(ctx, m), judged)
	}
	t := idToken{issuer: ofDirectory, subject: m.guid, called: m.called, groups: m.groups}
	var row personRow
	var factor time.Time
	var refusal error
	err = s.db.InTx(ctx, func(tx *store.Tx) (err error) {
		factor, refusal = time.Time{}, nil
		if row, err = meet(ctx, tx, ofDirectory, t); err != nil {
			return err
		}
		if factor, refusal, err = s.secondFactor(ctx, tx, row, m, code); err != nil || refusal != nil {
			return err
		}
		if err := changePerson(ctx, tx, row.actor(), `signed_in_at = ?`, store.Micros(tx.Now)); err != nil {
			return err
		}
		return audit.Append(ctx, tx, audit.Entry{Actor: row.actor(), From: address(r), Action: SignedIn, Object: "console"})
	})
	if judged = errors.Join(err, refusal); err != nil {
		return err
	}
	if refusal != nil {
		return s.turnedAway(r, row.actor(), refusal)
	}
	return s.begin(ctx, row.actor(), factor)
}

// proveBy is whoever has the name and the password in the directory. The attempt counts for the account that it is of; settle, which must be called, takes it
// back where the sign-in was not judged, and all of them where it was right.
func (s *Sessions) proveBy(ctx context.Context, name, password, from string) (m member, settle func(err error), err error) {
	counted := ""
	m, err = s.directory.signIn(ctx, name, password, func(account string) error {
		err := s.attemptAt(inDirectory+account, from)
		if err == nil {
			counted = inDirectory + account
		}
		return err
	})
	return m, func(err error) {
		if kind := problem.KindOf(err); counted != "" && kind != problem.Unknown {
			s.forget(counted, from, err == nil)
		}
	}, err
}

// secondFactor uses the code up. Who has no second factor here is let in to look on, if they have a role for that.
func (s *Sessions) secondFactor(ctx context.Context, tx *store.Tx, row personRow, m member, code string) (at time.Time, refusal, err error) {
	switch {
	case row.Disabled != 0:
		return at, outDenied("the plant lets them in no more"), nil
	case len(row.TOTP) > 0:
		right, err := useCode(ctx, tx, `access_people`, userRow{Name: row.Name, TOTP: row.TOTP, Recovery: row.Recovery}, code)
		if err != nil || !right {
			return at, notRight(), err
		}
		return tx.Now, nil, nil
	case len(byOneFactor(s.directory.rolesOf(m.groups))) == 0:
		return at, &problem.Error{
			Kind: problem.Denied, What: "sign in by the directory", Why: "they have no second factor in this plant",
			Hint: "holdfast access user totp " + row.actor() + " gives them one",
		}, nil
	default:
		return at, nil, nil
	}
}

// byOneFactor are the roles that a password alone gives.
func byOneFactor(roles []string) []string {
	return slices.DeleteFunc(slices.Clone(roles), func(role string) bool { return role != "viewer" })
}

// knownAs is what the plant calls a member; "" if it has not met them, or nobody was found.
func (s *Sessions) knownAs(ctx context.Context, m member) (name string) {
	if m.guid == "" {
		return ""
	}
	_ = s.db.View(ctx, func(tx *store.Tx) error { // it is for the record alone
		row, err := findPerson(ctx, tx, `issuer = ? AND subject = ?`, ofDirectory, m.guid)
		if err == nil && row.Name != "" {
			name = row.actor()
		}
		return err
	})
	return name
}
