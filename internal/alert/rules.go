package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// How bad an alert is.
const (
	Critical = "critical" // somebody looks now
	Warning  = "warning"  // somebody looks today
)

// Kind is one sort of alert.
type Kind struct {
	Name     string
	Severity string
	Says     string // what has happened, in a user's words
}

// Kinds lists every sort of alert.
func Kinds() []Kind {
	all := []Kind{
		{"inbound.refused", Critical, "What came in cannot be believed: its signature fails, its proof has expired or was used before (a replay)"},
		{"receipt.refused", Critical, "A receipt of an ERP cannot be believed"},
		{"message.altered", Critical, "A message, or what a token stands for, was altered in the database"},
		{"anomaly.held", Warning, "A doubtful report is held"},
		{"link.denied", Critical, "An ERP refuses the plant's user or password"},
		{"link.id-forgotten", Critical, "An ERP does not keep the message's ID in its documents: nobody can tell whether it has a message whose answer was lost"},
		{"link.unposted", Warning, "An ERP has not posted goods movements that belong to what it has (SAP: COGI)"},
		{"link.unconfirmed", Warning, "An ERP has not told in time what became of an IDoc"},
		{"link.file-aside", Warning, "A file of an ERP cannot be read, and was put aside"},
		{"mapping.not-used", Warning, "A plant has started, or goes on, by the mappings from before: those in its folder have mistakes"},
		{"backup-not-proven", Warning, "No copy of the plant was proven to restore for too long"},
		{"backup-behind", Warning, "The moment to which the plant could be brought back is older than allowed"},
		{"backup-place", Warning, "One of the places for backups takes none, cannot be reached, or lags behind the others"},
		{clockJumped, Warning, "The clock of a node was put forward or back"},
		{"threat.keys-running-out", Warning, "More than half of the time is gone in which the node's key must be certified anew"},
		{"threat.seeds", Critical, "What is sealed at rest wants seeds: the last epoch goes on beyond its time, or the keyring refuses some"},
		{"threat.messages-unsigned", Warning, "Messages are kept unsigned and do not leave, for want of a key that counts"},
		{"threat.signed-late", Warning, "Messages that had no signature in the database were signed late: the node had no key, or somebody has taken their signatures away"},
		{"threat.secret-id-opened", Critical, "The wrapped secret ID of a node was opened by somebody else: whoever did can log in at Vault as the node"},
		{"threat.audit-clock", Warning, "A checkpoint of the audit record has a time that has not come: the clock of a node was ahead"},
		{"threat.traffic", Warning, "A link carries many times what it usually does"},
		{"threat.directory-unread", Critical, "The directory says nothing of some people: who is removed there stays in here"},
		{Test, Warning, "A test, by holdfast alert test"},
	}
	for _, r := range rules() {
		if !slices.Contains(all, r.Kind) { // two rules may raise the same
			all = append(all, r.Kind)
		}
	}
	return all
}

// Test is the alert of holdfast alert test.
const Test = "alert.test"

const clockJumped = "threat.clock-jump"

// SeverityOf is how bad an alert is. One that the list does not have is critical.
func SeverityOf(name string) string {
	for _, k := range Kinds() {
		if k.Name == name {
			return k.Severity
		}
	}
	return Critical
}

// rule is a threat that shows in the record: so many entries of some actions, counted by one thing, within a time; or what odd says of one.
type rule struct {
	Kind
	actions []string
	outcome string
	by      func(e audit.Entry) string // what is counted by, and told about
	times   int
	within  time.Duration
	weigh   func(e audit.Entry) int64                       // what an entry counts; nil: one
	odd     func(earlier []audit.Entry, e audit.Entry) bool // by what the same actor did before; nil: the times decide
	only    func(e audit.Entry) bool                        // of those of the actions; nil: each
}

// whatever is the action of a rule that looks at each.
const whatever = ""

// concerns tells whether a rule looks at an entry.
func (r rule) concerns(e audit.Entry) bool {
	return (slices.Contains(r.actions, e.Action) || slices.Contains(r.actions, whatever)) && (r.only == nil || r.only(e))
}

// denied tells whether somebody tried what they may not do, whatever that was. A sign-in is counted by its own rules.
func denied(e audit.Entry) bool {
	var after struct {
		Code problem.Kind `json:"code"`
	}
	return e.Action == "access.refusal" || e.Action != "access.sign-in" && json.Unmarshal(e.After, &after) == nil && after.Code == problem.Denied
}

// byBoth is who did it, and to what: of several changes each is told.
func byBoth(e audit.Entry) string { return e.Actor + " " + e.Object }

func byActor(e audit.Entry) string { return e.Actor }

func byObject(e audit.Entry) string { return e.Object }

// messagesOf is how many messages an entry is about: one, where it does not say. Of a job each message has an entry of its own.
func messagesOf(e audit.Entry) int64 {
	var after struct {
		Messages *int64 `json:"messages"`
	}
	if json.Unmarshal(e.After, &after) != nil || after.Messages == nil {
		return 1
	}
	return *after.Messages
}

func byPlace(e audit.Entry) string { return "from/" + placeOf(e.From) }

func rules() []rule {
	const done, refused = audit.Done, audit.Refused
	kind := func(name, severity, says string) Kind { return Kind{"threat." + name, severity, says} }
	export := kind("mass-export", Critical, "Much is taken out: messages, the record, what was learned, or what tokens stand for")
	return []rule{
		{kind("sign-ins-fail", Critical, "Sign-ins from one place fail again and again"), []string{"access.sign-in"}, refused, byPlace, 10, 5 * time.Minute, nil, nil, nil},
		{kind("account-guessed", Critical, "Sign-ins of one account fail again and again, from wherever"), []string{"access.sign-in"}, refused, byActor, 10, time.Hour, nil, nil, nil},
		{kind("denied", Warning, "Somebody tries again and again what they may not do"), []string{whatever}, refused, byActor, 20, 10 * time.Minute, nil, nil, denied},
		{kind("new-place", Warning, "Somebody signs in from where they never did"), []string{"access.signed-in"}, done, byActor, 1, 0, nil, newPlace, nil},
		{kind("new-hour", Warning, "Somebody signs in at an hour at which they never did"), []string{"access.signed-in"}, done, byActor, 1, 0, nil, newHour, nil},
		{
			kind("privileges", Warning, "Who may do what was changed"),
			[]string{"access.user-add", "access.user-enable", "access.user-password", "access.user-totp", "access.token-create", "access.groups"},
			done, byBoth, 1, 0, nil, nil, nil,
		},
		{kind("break-glass", Critical, "The account for when nobody else gets in was asked for or opened"), []string{"access.break-glass-ask", "access.break-glass-open"}, done, byObject, 1, 0, nil, nil, nil},
		{kind("key-revoked", Critical, "The keyring's list of revoked keys names a node's key, and nobody has revoked it here"), []string{"keys.listed"}, done, byObject, 1, 0, nil, nil, nil},
		{kind("key-undone", Critical, "Somebody has taken back in the database that a key was revoked: it counts for nothing still"), []string{"keys.undone"}, done, byObject, 1, 0, nil, nil, nil},
		{kind("cold-start", Warning, "A node started without its keyring, with the key that was sealed"), []string{"keys.cold-start"}, done, byObject, 1, 0, nil, nil, nil},
		{
			kind("audit-gap", Critical, "The audit record is not what it was, does not continue the copy outside, or got no checkpoint for ten minutes"),
			[]string{audit.Forged},
			done, byObject, 1, 0, nil, nil, nil,
		},
		{kind("plain-doubted", Critical, "Somebody has reset in the database whether what is owed may be unsealed"), []string{"keys.plain-doubted"}, done, byObject, 1, 0, nil, nil, nil},
		{kind("passkey-cloned", Critical, "A passkey was used whose count went back: somebody may have a copy of it"), []string{"access.passkey-cloned"}, refused, byObject, 1, 0, nil, nil, nil},
		{export, []string{"audit.export", "token.reveal", "token.find", "anomaly.export"}, done, byActor, 20, 10 * time.Minute, nil, nil, nil},
		{export, []string{"msg.export"}, done, byActor, 10_000, 10 * time.Minute, messagesOf, nil, nil},
		{
			kind("mass-replay", Critical, "Much is sent or taken in once more"),
			[]string{"msg.replay", "msg.send-again", "job.start", "quarantine.replay"},
			done, byActor, 50,
			10 * time.Minute, messagesOf, nil, nil,
		},
	}
}

// placeOf is the network that somebody calls from.
func placeOf(from string) string {
	ip, err := netip.ParseAddr(from)
	if err != nil {
		return from
	}
	bits := 24
	if ip = ip.Unmap(); ip.Is6() {
		bits = 48
	}
	of, err := ip.WithZone("").Prefix(bits)
	if err != nil {
		return from
	}
	return of.String()
}

// newPlace tells whether somebody who has signed in five times never did so from there.
func newPlace(earlier []audit.Entry, e audit.Entry) bool {
	return len(earlier) >= 5 && !slices.ContainsFunc(earlier, func(b audit.Entry) bool { return placeOf(b.From) == placeOf(e.From) })
}

// newHour tells whether somebody who has signed in twenty times never did so within two hours of this one of the day.
func newHour(earlier []audit.Entry, e audit.Entry) bool {
	minute := func(at time.Time) int { at = at.UTC(); return 60*at.Hour() + at.Minute() }
	return len(earlier) >= 20 && !slices.ContainsFunc(earlier, func(b audit.Entry) bool {
		apart := (minute(b.At) - minute(e.At) + 24*60) % (24 * 60)
		return min(apart, 24*60-apart) <= 120
	})
}

// mostCounted is how many entries are read back of the record at a time, and of what somebody did before, how many at most.
const mostCounted = 500

// broken tells whether an entry of the record breaks a rule, and why. What it is counted with is read back from the record, so that nothing is
// forgotten when the program starts anew, and every node counts the same.
func (r rule) broken(ctx context.Context, tx *store.Tx, e audit.Entry) (why string, err error) {
	if e.Outcome != r.outcome || e.Actor == actor || !r.concerns(e) || r.by(e) == "" || r.by(e) == "unknown" {
		return "", nil
	}
	if r.times == 1 && r.odd == nil {
		return fmt.Sprintf("%s: %s of %s by %s", r.Says, e.Action, e.Object, e.Actor), nil
	}
	earlier, err := r.earlier(ctx, tx, e)
	if err != nil {
		return "", err
	}
	switch {
	case r.odd != nil && r.odd(earlier, e):
		return fmt.Sprintf("%s: %s from %s at %s", r.Says, e.Actor, e.From, e.At.UTC().Format("15:04Z07:00")), nil
	case r.odd == nil:
		return r.counted(append(earlier, e)), nil
	}
	return "", nil
}

// earlier is what counts with an entry: what the actor did before, or all within the time until they are enough, however much of others there is.
func (r rule) earlier(ctx context.Context, tx *store.Tx, e audit.Entry) (all []audit.Entry, err error) {
	enough := int64(r.times) - r.weight(e)
	for _, action := range r.actions {
		f := audit.Filter{Action: action, Outcome: r.outcome, Before: e.Seq, Limit: mostCounted}
		if r.odd != nil || r.by(e) == e.Actor {
			f.Actor = e.Actor
		}
		if r.within > 0 {
			f.Since = e.At.Add(-r.within)
		}
		for more := true; more && enough > 0; {
			page, err := audit.List(ctx, tx, f)
			if err != nil {
				return nil, err
			}
			for _, b := range page {
				if f.Before = b.Seq; r.by(b) == r.by(e) && (r.only == nil || r.only(b)) {
					all = append(all, b)
					enough -= r.weight(b)
				}
			}
			more = len(page) == mostCounted && r.odd == nil
		}
	}
	return all, nil
}

// weight is what an entry counts.
func (r rule) weight(e audit.Entry) int64 {
	switch {
	case r.odd != nil:
		return 0
	case r.weigh == nil:
		return 1
	}
	return r.weigh(e)
}

// counted says why so many entries break the rule; "" if they do not.
func (r rule) counted(all []audit.Entry) string {
	n, what := int64(0), "times"
	if r.weigh != nil {
		what = "messages"
	}
	for _, e := range all {
		n += r.weight(e)
	}
	if n < int64(r.times) {
		return ""
	}
	return fmt.Sprintf("%s: %d %s in %s, last by %s", r.Says, n, what, r.within, all[len(all)-1].Actor)
}

// Probe looks for a threat that the record does not show. why is "" for none.
type Probe struct {
	Name, Object string
	Look         func(ctx context.Context) (why string, err error)
	Every        time.Duration // for what is dear to look at; default each half minute
}

// ruled is under which the rules remember how far they have come, and what they have raised.
const ruled = "!rules"

// NewRules returns a Forwarder that holds each entry of the record against the rules, and raises what it finds as alerts; see Kinds. It begins
// with what is recorded from now on. The same about the same is raised once in again.
func NewRules(db *store.DB, place func(ctx context.Context) error, node string, alerts *Alerts, again time.Duration, log *slog.Logger) *Forwarder {
	f := NewForwarder(db, place, node, Collector{Name: ruled}, ForwarderConfig{}, log)
	f.fresh, f.once = true, true
	f.carry = func(ctx context.Context, entries []placed) error {
		for _, e := range entries {
			if err := judge(ctx, db, alerts, again, e.Entry); err != nil {
				return err
			}
		}
		return nil
	}
	return f
}

func judge(ctx context.Context, db *store.DB, alerts *Alerts, again time.Duration, e audit.Entry) error {
	for _, r := range rules() {
		if !r.concerns(e) {
			continue
		}
		err := db.InTx(ctx, func(tx *store.Tx) error {
			why, err := r.broken(ctx, tx, e)
			if err != nil || why == "" {
				return err
			}
			return raiseOnce(ctx, tx, alerts, again, r.Name, r.by(e), why)
		})
		if err != nil {
			return fmt.Errorf("hold the record against %s: %w", r.Name, err)
		}
	}
	return nil
}

// raiseOnce raises an alert, unless the same was raised lately.
func raiseOnce(ctx context.Context, tx *store.Tx, alerts *Alerts, again time.Duration, name, object, why string) error {
	before, err := toldOf(ctx, tx, ruled, name, object)
	if err != nil || before.At > 0 && tx.Now.Sub(store.FromMicros(before.At)) < again {
		return err
	}
	if err := keepTold(ctx, tx, ruled, name, object, told{At: store.Micros(tx.Now), Place: -1}); err != nil {
		return err
	}
	return alerts.Raise(ctx, tx, name, object, errors.New(why))
}

// Watch looks at what probes look at, and at the clock, until ctx ends.
func Watch(ctx context.Context, db *store.DB, alerts *Alerts, again time.Duration, node string, probes []Probe, log *slog.Logger) error {
	const often = 30 * time.Second
	probes = append(slices.Clone(probes), clockProbe(node, db.Now, time.Now))
	tick := time.NewTicker(often)
	defer tick.Stop()
	next := make([]time.Time, len(probes))
	for {
		for i, p := range probes {
			if time.Now().Before(next[i]) {
				continue
			}
			next[i] = time.Now().Add(p.Every)
			if err := p.look(ctx, db, alerts, again); err != nil && ctx.Err() == nil {
				log.ErrorContext(ctx, "a threat cannot be looked for", "part", "alert", "alert", p.Name, "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (p Probe) look(ctx context.Context, db *store.DB, alerts *Alerts, again time.Duration) error {
	why, err := p.Look(ctx)
	if err != nil || why == "" {
		return err
	}
	return db.InTx(ctx, func(tx *store.Tx) error { return raiseOnce(ctx, tx, alerts, again, p.Name, p.Object, why) })
}

// clockProbe compares how far the process's clock has gone since it was last asked with what has passed: steady is a clock that nobody puts
// forward or back.
func clockProbe(node string, now, steady func() time.Time) Probe {
	const most = 30 * time.Second
	last, at := now().Round(0), steady()
	return Probe{Name: clockJumped, Object: "node/" + node, Look: func(context.Context) (string, error) {
		passed := steady().Sub(at)
		jump := now().Round(0).Sub(last) - passed
		last, at = now().Round(0), steady()
		if jump.Abs() < most {
			return "", nil
		}
		way := "forward"
		if jump < 0 {
			way = "back"
		}
		return fmt.Sprintf("the node's clock was put %s by %s", way, jump.Abs().Round(time.Second)), nil
	}}
}

// Unusual says why a number is far above those of the same sort before it, by their median and the median distance from it; "" if it is not.
func Unusual(what string, earlier []int64, n int64) string {
	if len(earlier) < 12 {
		return ""
	}
	median := middle(earlier)
	off := make([]int64, len(earlier))
	for i, x := range earlier {
		off[i] = max(x-median, median-x)
	}
	if most := max(median+12*middle(off), 5*median, 100); n <= most {
		return ""
	}
	return fmt.Sprintf("%s: %d in an hour; usual are about %d", what, n, median)
}

func middle(all []int64) int64 {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

// alertName is that of an entry of the record; "" if it is no alert.
func alertName(e audit.Entry) string {
	if e.Actor == actor && e.Outcome == audit.Refused && !strings.HasPrefix(e.Action, "access.") {
		return e.Action
	}
	return ""
}
