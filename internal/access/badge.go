package access

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// How long a PIN is, and a badge number.
const (
	LeastPIN   = 6
	MostPIN    = 12 // digits
	leastBadge = 4
	mostBadge  = 64 // characters
)

// leastBadgeKey is how long the key is that badge numbers are kept by: there are few numbers, and without it anybody could try them all.
const leastBadgeKey = 20

// Badges let people in at terminals of the shop floor whom a provider or a directory knows, by badge and PIN, also while that is away: with what it
// last said of them, for as long as that counts for a session of theirs (Provider.Keep, Directory.Keep), and for work on the shop floor alone.
//
// Of a badge's number a keyed hash is kept, of a PIN what argon2id makes of it. Wrong PINs slow down that badge at that terminal and nobody else.
type Badges struct {
	sessions  *Sessions
	key       func(ctx context.Context) (string, error)
	terminals map[string]netip.Prefix
}

// NewBadges returns the badges of a plant; key is what their numbers are hashed by, terminals are where they count: addresses or networks by name.
func NewBadges(s *Sessions, key func(ctx context.Context) (string, error), terminals map[string]netip.Prefix) *Badges {
	s.badges = &Badges{s, key, terminals}
	return s.badges
}

// Terminal is the name of the terminal that a request comes from; "" if it comes from none.
func (b *Badges) Terminal(r *http.Request) string {
	ip, err := netip.ParseAddr(address(r))
	if b == nil || err != nil {
		return ""
	}
	for _, name := range slices.Sorted(maps.Keys(b.terminals)) {
		if b.terminals[name].Contains(ip.Unmap()) {
			return name
		}
	}
	return ""
}

// onFloor are the actions that somebody has who signed in by badge: those of the shop floor that their roles have.
func onFloor() []string {
	names := []string{PlantRead, StatusRead}
	for _, a := range Actions() {
		if a.Permission == Report {
			names = append(names, a.Name)
		}
	}
	return names
}

// number is how a badge number is kept.
func (b *Badges) number(ctx context.Context, badge string) (string, error) {
	key, err := b.key(ctx)
	if err != nil {
		return "", fmt.Errorf("read the key of badges: %w", err)
	}
	if len(key) < leastBadgeKey {
		return "", &problem.Error{
			Kind: problem.Invalid, What: "read the key of badges", Why: fmt.Sprintf("it has fewer than %d characters", leastBadgeKey), Hint: "make one: openssl rand -hex 32 > badge.key",
		}
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(strings.TrimSpace(badge)))
	return hex.EncodeToString(mac.Sum(nil)), nil
}

const selectBadges = `SELECT owner, badge, pin, set_at, used_at FROM access_badges`

type badgeRow struct {
	Owner string `db:"owner"`
	Badge string `db:"badge"`
	PIN   string `db:"pin"`
	Set   int64  `db:"set_at"`
	Used  int64  `db:"used_at"`
}

func findBadge(ctx context.Context, tx *store.Tx, where, value string) (badgeRow, error) {
	var rows []badgeRow
	if err := tx.Select(ctx, &rows, selectBadges+` WHERE `+where+` = ?`, value); err != nil {
		return badgeRow{}, fmt.Errorf("read a badge: %w", err)
	}
	return append(rows, badgeRow{})[0], nil
}

// NewBadge is a badge with its PIN that was judged and is not kept yet.
type NewBadge struct{ owner, badge, pin string }

// Prepare judges a badge and a PIN for whoever acts. Denied for an account of the plant, and without a second factor shown just now; Invalid for what
// is no badge, or a PIN that is guessed at once.
func (b *Badges) Prepare(ctx context.Context, by Actor, badge, pin string) (n NewBadge, err error) {
	if n.owner, err = b.own(by); err != nil {
		return n, err
	}
	if l := len(strings.TrimSpace(badge)); l < leastBadge || l > mostBadge {
		return n, &problem.Error{Kind: problem.Invalid, What: "set a badge", Why: fmt.Sprintf("its number has %d characters, and needs %d to %d", l, leastBadge, mostBadge), Hint: "scan the badge once more"}
	}
	if err := checkPIN(pin); err != nil {
		return n, err
	}
	if n.badge, err = b.number(ctx, badge); err != nil {
		return n, err
	}
	n.pin, err = b.sessions.users.pass.hash(ctx, pin)
	return n, err
}

// checkPIN refuses what is no PIN, or is among the first that anybody tries: one digit again and again, or digits in a row.
func checkPIN(pin string) error {
	bad := &problem.Error{Kind: problem.Invalid, What: "take a PIN", Why: fmt.Sprintf("it needs %d to %d digits", LeastPIN, MostPIN), Hint: "choose digits that nobody would guess"}
	if len(pin) < LeastPIN || len(pin) > MostPIN || strings.Trim(pin, "0123456789") != "" {
		return bad
	}
	steps := map[int]bool{}
	for i := 1; i < len(pin); i++ {
		steps[int(pin[i])-int(pin[i-1])] = true
	}
	if len(steps) == 1 && (steps[0] || steps[1] || steps[-1]) {
		bad.Why = "it is among the first that anybody tries"
		return bad
	}
	return nil
}

// own is whose badge somebody changes: their own, soon after showing a second factor.
func (b *Badges) own(by Actor) (string, error) {
	if _, ok := bareName(by.Name); !ok {
		return "", &problem.Error{Kind: problem.Denied, What: "change the badge of " + by.Name, Why: "badges are for people whom a provider or the directory knows", Hint: "sign in there, or use a passkey"}
	}
	return by.Name, stepUp(by, b.sessions.db.Now(), "change the badge of "+by.Name)
}

// stepUp refuses whoever has not shown a second factor within FreshFactor.
func stepUp(by Actor, now time.Time, what string) error {
	if now.Sub(by.Factor) <= FreshFactor {
		return nil
	}
	return &problem.Error{
		Kind: problem.Denied, What: what, Why: fmt.Sprintf("it asks for a second factor that was shown in the last %s", FreshFactor),
		Hint: "sign in again at /console/sign-in?fresh=yes, then do it once more",
	}
}

// Set keeps badge and PIN in the act's transaction, in the place of what the person had. Conflict for a badge that somebody else has who may still sign in.
func (b *Badges) Set(ctx context.Context, tx *store.Tx, n NewBadge) error {
	row, err := findBadge(ctx, tx, "badge", n.badge)
	if err != nil {
		return err
	}
	if row.Owner != "" && row.Owner != n.owner {
		a, err := b.sessions.personOf(ctx, tx, row.Owner)
		if err != nil {
			return err
		}
		if a.actor != "" && !a.disabled && len(a.roles) > 0 {
			return &problem.Error{Kind: problem.Conflict, What: "set a badge", Why: "it is somebody else's", Hint: "scan your own; whoever gives badges out knows whose it is"}
		}
	}
	if _, err := tx.Exec(ctx, `DELETE FROM access_badges WHERE owner = ? OR badge = ?`, n.owner, n.badge); err != nil {
		return fmt.Errorf("replace a badge: %w", err)
	}
	if _, err := tx.Exec(ctx, `INSERT INTO access_badges (owner, badge, pin, set_at) VALUES (?, ?, ?, ?)`, n.owner, n.badge, n.pin, store.Micros(tx.Now)); err != nil {
		return fmt.Errorf("keep a badge: %w", err)
	}
	return nil
}

// Remove ends the badge of whoever acts, and their sessions, in the act's transaction.
func (b *Badges) Remove(ctx context.Context, tx *store.Tx, by Actor) error {
	owner, err := b.own(by)
	if err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `DELETE FROM access_badges WHERE owner = ?`, owner)
	if err != nil {
		return fmt.Errorf("remove a badge: %w", err)
	}
	if n == 0 {
		return &problem.Error{Kind: problem.NotFound, What: "remove your badge", Why: "you have none", Hint: "there is nothing to do"}
	}
	return b.sessions.users.SignOut(ctx, tx, owner)
}

// Since is when somebody set their badge; zero: they have none.
func (b *Badges) Since(ctx context.Context, tx *store.Tx, by Actor) (time.Time, error) {
	row, err := findBadge(ctx, tx, "owner", by.Name)
	return store.FromMicros(row.Set), err
}

// SignIn begins a session of the shop floor for whoever has the badge and its PIN, at a terminal. Unknown in the same words after the same time, whatever
// of the two is wrong; Unknown too once what the person's provider last said is too old, or it is time to ask it and it answers; Denied elsewhere than at
// a terminal; TooMany for who goes on failing with one badge at one terminal.
func (b *Badges) SignIn(r *http.Request, badge, pin string) error {
	ctx, s, from, at := r.Context(), b.sessions, address(r), b.Terminal(r)
	if at == "" {
		return s.turned.away(ctx, Actor{From: from}, SignInRefused, "terminal", &problem.Error{
			Kind: problem.Denied, What: "sign in by badge", Why: "this is no terminal of the shop floor", Hint: "sign in as you do elsewhere; access.badges.terminals names the terminals",
		})
	}
	number, err := b.number(ctx, badge)
	if err != nil {
		return err
	}
	if err := s.attempt("badge-"+number, from); err != nil {
		return err
	}
	owner, right, refusal, err := b.judge(ctx, number, pin, from, at)
	if err != nil || right {
		s.forget("badge-"+number, from, right)
	}
	switch {
	case err != nil:
		return err
	case refusal != nil:
		return s.turned.away(ctx, Actor{Name: owner, From: from}, SignInRefused, "terminal/"+at, refusal)
	}
	if err := s.begin(ctx, owner, time.Time{}); err != nil {
		return err
	}
	s.scs.Put(ctx, sessionFloor, at)
	return nil
}

// judge tells whose badge it is and whether the PIN is right, and keeps on record that they signed in by it, if nothing else speaks against it.
func (b *Badges) judge(ctx context.Context, number, pin, from, at string) (owner string, right bool, refusal, err error) {
	s, wrong := b.sessions, nobody("badge or PIN is not right")
	var row badgeRow
	if err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		row, err = findBadge(ctx, tx, "badge", number)
		return err
	}); err != nil {
		return "", false, nil, err
	}
	if right, err = s.users.pass.is(ctx, cut(pin), row.PIN, caller{from, at}); err != nil || !right {
		return row.Owner, false, wrong, err
	}
	err = s.db.InTx(ctx, func(tx *store.Tx) error {
		refusal = nil
		n, err := tx.Exec(ctx, `UPDATE access_badges SET used_at = ? WHERE owner = ? AND badge = ? AND pin = ?`, store.Micros(tx.Now), row.Owner, row.Badge, row.PIN)
		if err != nil || n == 0 {
			refusal = wrong // it was changed meanwhile
			return err
		}
		a, err := s.personOf(ctx, tx, row.Owner)
		if err != nil {
			return err
		}
		if a.actor == "" || a.disabled || !slices.ContainsFunc(onFloor(), func(action string) bool {
			return action != StatusRead && action != PlantRead && s.users.policy.May(Rights{Roles: a.roles}, action, "")
		}) {
			refusal = nobody("they have no work on the shop floor any more, or the plant lets them in no more")
			return nil
		}
		if refusal = a.stale(tx.Now, true, s.cfg.Idle); refusal != nil {
			return nil
		}
		means, err := json.Marshal(map[string]string{"by": "badge and PIN", "terminal": at})
		if err != nil {
			return fmt.Errorf("write a sign-in: %w", err)
		}
		return audit.Append(ctx, tx, audit.Entry{Actor: row.Owner, From: from, Action: SignedIn, Object: "terminal/" + at, After: means})
	})
	return row.Owner, err == nil, refusal, err
}

// limit is what a session may do that began by badge: work of the shop floor, at its terminal. Without one it may do what the roles permit.
func (s *Sessions) limit(r *http.Request, a account, factor time.Time) (Rights, error) {
	began := s.scs.GetString(r.Context(), sessionFloor)
	switch {
	case began != "" && cmp.Or(s.badges.Terminal(r), "nowhere") != began:
		return Rights{}, s.end(r.Context(), "the session is of the terminal "+began+" alone")
	case began != "":
		return Rights{Roles: a.roles, Only: onFloor()}, nil
	case a.at == s.directory && s.directory != nil && factor.IsZero():
		return Rights{Roles: byOneFactor(a.roles)}, nil
	default:
		return Rights{Roles: a.roles}, nil
	}
}
