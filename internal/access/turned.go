package access

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// How much of what is refused is told, in a minute and from one place. Beyond it each is counted, and the count stands in the next entry.
const (
	toldEach   = 10   // entries from one caller
	toldAll    = 120  // entries from all callers, of those known and of strangers each: a flood from many addresses must not fill the record either
	mostFailed = 60   // attempts of nobody known from one address, after which only 429 is answered
	mostPlaces = 4096 // that are told apart in a minute; the rest counts as one
)

// turned counts what is refused by the minute.
type turned struct {
	db *store.DB

	mu     sync.Mutex
	minute time.Time
	of     map[bool]*budget // of those known, and of strangers, who use nothing of theirs up
	from   map[string]int   // how many of strangers, by address alone
	untold int              // refusals since the last entry that no entry tells of
}

// budget is what is told in a minute of one sort of callers.
type budget struct {
	places map[string]*place // by address and actor
	told   int               // entries
}

type place struct{ seen, told int }

func newTurned(db *store.DB) *turned {
	return &turned{db: db, of: map[bool]*budget{}, from: map[string]int{}}
}

// away records one refusal, within the limits, and returns the error to answer with: cause, or TooMany for nobody known who goes on
// trying.
func (t *turned) away(ctx context.Context, by Actor, action, object string, cause error) error {
	seen, err := t.tell(ctx, by, action, object, "", cause)
	if err != nil {
		return errors.Join(cause, err)
	}
	if (by.Name == "" || action == SignInRefused) && seen > mostFailed { // at the sign-in the answer must not tell which names there are
		return tooManyFrom("call the API", "; a good one is taken all the while")
	}
	return cause
}

// tooManyFrom is what is answered to an address that goes on without saying who it is.
func tooManyFrom(what, besides string) error {
	return &problem.Error{
		Kind: problem.TooMany, What: what, Why: "too many calls from this address did not say who they are of",
		Hint: "correct the credential, and try again in a minute" + besides,
	}
}

// seen is how many calls of strangers from an address were refused this minute.
func (t *turned) seen(from string, now time.Time) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !now.Truncate(time.Minute).Equal(t.minute) {
		return 0
	}
	return t.from[from]
}

// recordWithin is how long the record of a refusal may take. It is written also for a caller who has hung up: that must not hide it.
const recordWithin = 10 * time.Second

func afterAll(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
}

// tell records one refusal, within the limits. seen is how many there were from the same caller this minute. One that cannot be written is
// told by the count in the next entry.
func (t *turned) tell(ctx context.Context, by Actor, action, object, reason string, cause error) (seen int, err error) {
	who := by
	if action == SignInRefused {
		who.Name = ""
	}
	tell, untold, seen := t.count(who, t.db.Now())
	if !tell {
		return seen, nil
	}
	e := refusalEntry(by, action, cut(object), untold, cause)
	e.Reason = reason
	ctx, stop := afterAll(ctx)
	defer stop()
	if err := t.db.InTx(ctx, func(tx *store.Tx) error { return audit.Append(ctx, tx, e) }); err != nil {
		t.mu.Lock()
		t.untold += untold + 1
		t.mu.Unlock()
		return seen, fmt.Errorf("record a refusal: %w", err)
	}
	return seen, nil
}

// count says whether a refusal is to be told, how many went untold before it, and how many there were from the same caller this minute.
func (t *turned) count(by Actor, now time.Time) (tell bool, untold, seen int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if m := now.Truncate(time.Minute); !m.Equal(t.minute) {
		t.minute = m
		clear(t.of)
		clear(t.from)
	}
	if by.Name == "" && len(t.from) < mostPlaces {
		t.from[by.From]++
	}
	b := t.of[by.Name != ""]
	if b == nil {
		b = &budget{places: map[string]*place{}}
		t.of[by.Name != ""] = b
	}
	key := network(by.From) + " " + by.Name
	p := b.places[key]
	if p == nil {
		if len(b.places) >= mostPlaces {
			key = ""
			p = b.places[key]
		}
		if p == nil {
			p = new(place)
			b.places[key] = p
		}
	}
	p.seen++
	if p.told >= toldEach || b.told >= toldAll {
		t.untold++
		return false, 0, p.seen
	}
	p.told++
	b.told++
	untold, t.untold = t.untold, 0
	return true, untold, p.seen
}

// cut keeps what strangers send from filling an entry.
func cut(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most]
	}
	return s
}

func reasonOf(err error) string {
	if p, ok := errors.AsType[*problem.Error](err); ok {
		return p.Why
	}
	return "something is wrong in Holdfast"
}
