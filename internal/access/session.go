package access

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// SessionConfig is the tunable part of Sessions; zero fields mean the default.
type SessionConfig struct {
	Idle     time.Duration // after which a session that nobody uses has ended; default 15m
	Absolute time.Duration // after which it has ended however it was used; default 12h
	Secure   bool          // the pages are served over TLS alone
}

// Sessions signs people in to the console. A browser holds a token of 256 bits, of which the database has a hash; it is replaced at each sign-in.
// What a person may do is read anew at each request: who is disabled or has lost a role has lost it at once, on every node.
type Sessions struct {
	db     *store.DB
	users  *Users
	cfg    SessionConfig
	scs    *scs.SessionManager
	turned *turned

	providers map[string]*provider // see NewProviders
	directory *directory           // see NewDirectory; nil: there is none
	badges    *Badges              // see NewBadges; nil: nobody signs in by one

	mu    sync.Mutex
	fails map[string]failed // by account and address
	right map[string]bool   // who was let in from where, by the same
}

// failed is how often somebody has failed in a row from one address, and when last.
type failed struct {
	times int
	last  time.Time
}

// The keys of a session.
const (
	sessionUser   = "user"  // an account of the plant, or somebody of a provider (oidc:) or of a directory (ad:)
	sessionBegan  = "began" // microseconds
	sessionSeen   = "seen"
	sessionFactor = "factor" // when the second factor was shown
	sessionFloor  = "floor"  // the terminal at which it began by badge and PIN
	sessionAsked  = "asked"  // the state of the sign-in that the person was sent to, to show who they are anew
	sessionSince  = "since"  // when that was, microseconds
	sessionAnew   = "anew"   // when they did, microseconds
)

// NewSessions returns Sessions for the accounts of users.
func NewSessions(db *store.DB, users *Users, cfg SessionConfig) *Sessions {
	cfg.Idle, cfg.Absolute = cmp.Or(cfg.Idle, 15*time.Minute), cmp.Or(cfg.Absolute, 12*time.Hour)
	m := scs.New()
	m.Lifetime, m.HashTokenInStore = cfg.Absolute, true
	m.Cookie.Name, m.Cookie.HttpOnly, m.Cookie.SameSite, m.Cookie.Path, m.Cookie.Persist = "holdfast_session", true, http.SameSiteLaxMode, "/", false
	if cfg.Secure {
		m.Cookie.Name, m.Cookie.Secure = "__Host-holdfast_session", true
	}
	s := &Sessions{db: db, users: users, cfg: cfg, scs: m, turned: newTurned(db), fails: map[string]failed{}, right: map[string]bool{}}
	m.Store = sessionStore{db, s.swept}
	return s
}

// Wrap gives the requests of next their sessions.
func (s *Sessions) Wrap(next http.Handler) http.Handler {
	next = s.scs.LoadAndSave(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), foundKey{}, new(string))))
	})
}

// Who tells who makes a request, and refuses what they may not see: action is a name of the registry, "" for an act, which the Doer judges.
// Unknown if nobody is signed in.
func (s *Sessions) Who(r *http.Request, action string) (Actor, error) {
	ctx := r.Context()
	by, err := s.who(r)
	by.From = address(r)
	if err != nil || action == "" || s.users.policy.May(by.Rights, action, "") {
		return by, err
	}
	return by, s.turned.away(ctx, by, Refusal, r.Method+" "+r.URL.Path, NotPermitted(by, action, ""))
}

// byItself tells whether a page asks without its reader: for hints, for figures, and for itself when it was hinted at. That is no use of a
// session, or one behind a page that is left open would never end. Pages are opened, and forms are sent, by navigation.
func byItself(r *http.Request) bool {
	mode := r.Header.Get("Sec-Fetch-Mode")
	return r.Method == http.MethodGet && (mode != "" && mode != "navigate" || r.Header.Get("HX-Request") != "" || strings.Contains(r.Header.Get("Accept"), "text/event-stream"))
}

// account is whoever a session is of, as the database has them now.
type account struct {
	actor     string // empty: there is nobody
	roles     []string
	disabled  bool
	signedOut int64     // microseconds
	checked   time.Time // when a provider last said so
	at        source    // nil for an account of the plant
}

func (s *Sessions) account(ctx context.Context, tx *store.Tx, name string) (account, error) {
	if _, ok := bareName(name); ok {
		return s.personOf(ctx, tx, name)
	}
	row, err := find(ctx, tx, name)
	if err != nil || row.Name == "" {
		return account{}, err
	}
	u, err := row.user()
	return account{actor: "user:" + name, roles: u.Roles, disabled: row.closed(tx.Now), signedOut: row.SignedOut}, err
}

// who tells who is signed in. What a page asks by itself does not keep the session from ending unused.
func (s *Sessions) who(r *http.Request) (Actor, error) {
	ctx, used := r.Context(), !byItself(r)
	name := s.scs.GetString(ctx, sessionUser)
	if name == "" {
		return Actor{}, nobody("nobody is signed in")
	}
	var a account
	var now time.Time
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		now = tx.Now
		a, err = s.account(ctx, tx, name)
		return err
	})
	if err != nil {
		return Actor{}, err
	}
	began, seen := store.FromMicros(s.scs.GetInt64(ctx, sessionBegan)), store.FromMicros(s.scs.GetInt64(ctx, sessionSeen))
	switch {
	case a.actor == "" || a.disabled || store.Micros(began) <= a.signedOut:
		return Actor{}, s.end(ctx, "the session was ended")
	case now.Sub(seen) >= s.cfg.Idle || now.Sub(began) >= s.cfg.Absolute:
		return Actor{}, s.timeOut(r, a.actor, began, seen)
	}
	if err := a.stale(now, used && r.Method == http.MethodGet, s.cfg.Idle); err != nil {
		return Actor{}, err
	}
	if used && now.Sub(seen) >= time.Minute { // not at each request, which would each be a write
		s.scs.Put(ctx, sessionSeen, store.Micros(now))
	}
	factor := store.FromMicros(s.scs.GetInt64(ctx, sessionFactor))
	rights, err := s.limit(r, a, factor)
	if err != nil {
		return Actor{}, err
	}
	return Actor{Name: a.actor, Rights: rights, Person: true, Factor: factor, anew: store.FromMicros(s.scs.GetInt64(ctx, sessionAnew))}, nil
}

func (s *Sessions) end(ctx context.Context, why string) error {
	return errors.Join(nobody(why), s.scs.Destroy(ctx))
}

func nobody(why string) error {
	return &problem.Error{Kind: problem.Unknown, What: "open the console", Why: why, Hint: "sign in at /console/sign-in"}
}

// SignIn begins a session for whoever has the account's password and a code of its device, or a recovery code. Whatever is wrong is told in the
// same words after the same time: Unknown. TooMany for who goes on failing from one address; others of the same account are let in meanwhile,
// so that nobody can lock a person out.
func (s *Sessions) SignIn(r *http.Request, name, password, code string) error {
	ctx, from := r.Context(), address(r)
	row, err := s.local(ctx, name)
	if err != nil {
		return err
	}
	if row.Name == "" && s.directory != nil {
		return s.enterByDirectory(r, name, password, code)
	}
	if err := s.mayTry(name, from, s.attempt); err != nil {
		return s.turned.away(ctx, Actor{From: from}, SignInRefused, "console", err)
	}
	right, err := s.judge(ctx, row, password, code, from)
	if err != nil || right {
		s.forget(name, from, right)
	}
	if err != nil {
		return err
	}
	if !right {
		by := Actor{From: from}
		if row.Name != "" {
			by.Name = "user:" + row.Name // what was typed for a name may be a password, and is kept only if it is none
		}
		return s.turned.away(ctx, by, SignInRefused, "console", notRight())
	}
	return s.begin(ctx, row.Name, s.db.Now())
}

// local is the plant's own account of a name; an empty one if there is none.
func (s *Sessions) local(ctx context.Context, name string) (row userRow, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) (err error) {
		row, err = find(ctx, tx, name)
		return err
	})
	return row, err
}

// judge tells whether password and code are right, and uses the code up.
func (s *Sessions) judge(ctx context.Context, row userRow, password, code, from string) (right bool, err error) {
	if len(password) > 4*MostPassword {
		password = ""
	}
	right, err = s.users.pass.is(ctx, password, row.Password, caller{from: from})
	if err != nil || !right || row.closed(s.db.Now()) {
		return false, err
	}
	return s.enter(ctx, row, from, code)
}

// enter uses the code up and keeps on record that somebody signed in, both or neither. An account that was changed while the password was
// judged lets nobody in by what it was.
func (s *Sessions) enter(ctx context.Context, row userRow, from, code string) (right bool, err error) {
	err = s.db.InTx(ctx, func(tx *store.Tx) error {
		right = false
		now, err := find(ctx, tx, row.Name)
		if err != nil || now.Password != row.Password || now.closed(tx.Now) {
			return err
		}
		if right, err = useCode(ctx, tx, `access_users`, now, code); err != nil || !right {
			return err
		}
		return audit.Append(ctx, tx, audit.Entry{Actor: "user:" + row.Name, From: from, Action: SignedIn, Object: "console"})
	})
	return right, err
}

// begin gives the browser a session; factor is when the person showed the second one.
func (s *Sessions) begin(ctx context.Context, name string, factor time.Time) error {
	if err := s.scs.RenewToken(ctx); err != nil {
		return fmt.Errorf("begin a session: %w", err)
	}
	now := store.Micros(s.db.Now())
	for _, key := range []string{sessionFloor, sessionAsked, sessionSince, sessionAnew} {
		s.scs.Remove(ctx, key)
	}
	s.scs.Put(ctx, sessionUser, name)
	s.scs.Put(ctx, sessionBegan, now)
	s.scs.Put(ctx, sessionSeen, now)
	s.scs.Put(ctx, sessionFactor, store.Micros(factor))
	return nil
}

// SignOut ends the session of a request; with everywhere every session of the person. elsewhere is where the person's session at their provider
// is ended too; "" if they have none.
func (s *Sessions) SignOut(r *http.Request, everywhere bool) (elsewhere string, err error) {
	ctx := r.Context()
	name := s.scs.GetString(ctx, sessionUser)
	if name == "" {
		return "", nil
	}
	var a account
	err = s.db.InTx(ctx, func(tx *store.Tx) (err error) {
		if a, err = s.account(ctx, tx, name); err != nil || a.actor == "" {
			return err
		}
		object := "console"
		if everywhere {
			object = "console/everywhere"
			if err := s.users.SignOut(ctx, tx, name); err != nil {
				return err
			}
		}
		return audit.Append(ctx, tx, audit.Entry{Actor: a.actor, From: address(r), Action: SignedOut, Object: object})
	})
	if a.at != nil {
		elsewhere = a.at.signOut()
	}
	return elsewhere, errors.Join(err, s.scs.Destroy(ctx))
}

// attempt counts an attempt before it is judged, so that many at once are not judged all, and refuses who has failed five times in a row from one
// address, for a time that doubles up to five minutes.
func (s *Sessions) attempt(name, from string) error {
	return s.count(attemptKey(name, from), 5, time.Second, 5*time.Minute)
}

// attemptAt counts an attempt at an account of a directory, which locks accounts by itself, and for everybody: four from one address, then one in
// ten minutes. account is the same however its name is written.
func (s *Sessions) attemptAt(account, from string) error {
	return s.count(attemptKey(account, from), 4, 10*time.Minute, 10*time.Minute)
}

// mayTry counts an attempt by the account, and refuses who goes on failing, whatever names they make up: beyond mostFailed in a minute from one address a
// name is tried there only if it was let in from there. A crowd behind one address keeps nobody out who was in.
func (s *Sessions) mayTry(name, from string, attempt func(name, from string) error) error {
	s.mu.Lock()
	known := s.right[attemptKey(name, from)]
	s.mu.Unlock()
	if !known && s.turned.seen(from, s.db.Now()) >= mostFailed {
		return tooManyFrom("sign in", "")
	}
	return attempt(name, from)
}

// count refuses who has failed so many times in a row, for a time that doubles from the first wait to the longest.
func (s *Sessions) count(key string, free int, first, longest time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, now := s.fails[key], s.db.Now()
	wait := min(first<<max(0, min(f.times-free, 9)), longest)
	if left := wait - now.Sub(f.last); f.times >= free && left > 0 {
		return &problem.Error{
			Kind: problem.TooMany, What: "sign in", Why: "it has failed too often from here", Hint: fmt.Sprintf("try again in %s", left.Round(time.Second)),
		}
	}
	if f.times == 0 && len(s.fails) >= mostPlaces {
		s.makeRoom(now)
	}
	s.fails[key] = failed{f.times + 1, now}
	return nil
}

// failsCount is how long those who have failed are remembered where there are too many of them.
const failsCount = time.Hour

// makeRoom forgets who has failed an hour ago, or else the one who has failed least, the longest ago: a flood of names ends nobody's wait.
func (s *Sessions) makeRoom(now time.Time) {
	least := ""
	for key, f := range s.fails {
		l := s.fails[least]
		switch {
		case now.Sub(f.last) > failsCount:
			delete(s.fails, key)
		case least == "" || f.times < l.times || f.times == l.times && f.last.Before(l.last):
			least = key
		}
	}
	if len(s.fails) >= mostPlaces {
		delete(s.fails, least)
	}
}

// byName begins what a name is counted by that the directory judges: whoever is right there has shown nothing of an account of the plant that has the
// same name without its domain.
const byName = "ad name:"

// attemptKey is what attempts are counted by: the name as a directory reads it, without domain, blanks that count for nothing, upper and lower case.
func attemptKey(name, from string) string {
	of := ""
	for _, begins := range []string{byName, inDirectory} {
		if rest, is := strings.CutPrefix(name, begins); is {
			of, name = begins, rest
			break
		}
	}
	account, _, _ := strings.Cut(withoutDomain(name), "@")
	return of + strings.ToLower(strings.Join(strings.Fields(account), " ")) + " " + network(from)
}

// forget takes the attempt back that could not be judged, or all of them once one was right.
func (s *Sessions) forget(name, from string, right bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := attemptKey(name, from)
	if f := s.fails[key]; !right && f.times > 1 {
		s.fails[key] = failed{f.times - 1, f.last}
		return
	}
	delete(s.fails, key)
	if right {
		if len(s.right) >= mostPlaces {
			clear(s.right)
		}
		s.right[key] = true
	}
}
