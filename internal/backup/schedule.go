package backup

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/store"
)

// Schedule makes and proves copies by itself.
type Schedule struct {
	Every  time.Duration // between two copies; 0: none is made
	Verify time.Duration // between two trials; default Every
	Alarm  time.Duration // age of the newest proven copy from which on it is an alarm; default twice Every
	Keep   Keep
	Places []Place
	// Remote tells which places do not go with the machine. Where there are any, copies count as good by what was restored from them alone; nil: none are.
	Remote func(p Place) bool
	Now    func() time.Time

	// Trust tells whose signatures are believed; none for a plant without keys. Whoever can write to a place could else keep copies and trials from
	// being made by a date alone.
	Trust func(ctx context.Context) (Trust, error)

	Make   func(ctx context.Context, to []Place) error // makes a copy for these places and records it
	Prove  func(ctx context.Context, p Place) error    // proves the newest of a place and records it
	Pruned func(ctx context.Context, p Place, ids []string) error
	Raise  func(ctx context.Context, why string) error // an alarm
	// Failing is an alarm of one place that takes nothing, or lags behind the others; nil: none.
	Failing func(ctx context.Context, p Place, why string) error

	Ship    time.Duration                                            // between two increments; 0: none are made
	Behind  time.Duration                                            // age of the recovery point from which on it is an alarm; default ten times Ship, or ten minutes
	Log     *Log                                                     // what makes them
	Shipped func(ctx context.Context) (through time.Time, err error) // makes one and ships it (Log.Ship)
	Late    func(ctx context.Context, why string) error              // an alarm of the recovery point

	Turn *store.Turn // of the plant's nodes the one that has it makes, proves and ships; nil: there is but one

	Metrics prometheus.Registerer
	Logger  *slog.Logger
}

// look is how often a schedule looks for what is due, and settle how long after its start it begins: a plant that was restarted has other things to do.
const (
	look   = 15 * time.Minute
	settle = 15 * time.Minute
)

// tryAgain is how long after one that failed the next copy is made or proven.
const tryAgain = time.Hour

// Run makes a copy whenever the newest in the places is old enough, proves the newest of one place after the other, and removes what need not be
// kept, until ctx ends. It asks the places themselves when the last was, so that nothing is done twice over restarts, and works while the turn is this
// node's.
func (s *Schedule) Run(ctx context.Context) error {
	if s.Every == 0 {
		return nil
	}
	proven := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "holdfast", Name: "backup_proven_timestamp_seconds", Help: "When the newest copy was made that has been restored on trial; 0 if there is none.",
	})
	if s.Metrics != nil {
		s.Metrics.MustRegister(proven)
		defer s.Metrics.Unregister(proven)
	}
	alarmed, began, trials := false, s.Now(), s.trials()
	tried, carried := map[string]time.Time{}, map[string]time.Time{} // when a copy was made last for a place, and when one was to be brought there
	places := failing{}
	for wait := settle; pause(ctx, wait+rand.N(look/4)); wait = look {
		if !s.mine(ctx) {
			began, alarmed, places = s.Now(), false, failing{}
			continue
		}
		err := s.carry(ctx, carried)
		has, nerr := s.newest(ctx)
		err = errors.Join(err, nerr)
		acted := false
		if to := s.lacking(has, tried); len(to) > 0 {
			err, acted = errors.Join(err, s.Make(ctx, to)), true
			for _, p := range to {
				tried[p.String()] = s.Now()
			}
		}
		for _, t := range trials {
			if s.due(t.good(has), t.tried, max(s.Verify, s.Every)) {
				err, acted = errors.Join(err, s.proveAndPrune(ctx, t.turn(s.Now()))), true
			}
		}
		if err != nil && ctx.Err() == nil {
			s.Logger.Error("a backup is not made, or not proven", "part", "backup", "err", err)
		}
		if acted {
			has, _ = s.newest(ctx) // what cannot be listed was told above
		}
		s.tellFailing(ctx, has, places, began)
		good := trials[0].good(has)
		proven.Set(seconds(good))
		since, says := standing(good, began, len(trials) > 1)
		late := s.Now().Sub(since) >= max(s.Alarm, 2*s.Every)
		if late && !alarmed {
			if err := s.Raise(ctx, says); err != nil {
				s.Logger.Error("an alarm of backups is not recorded", "part", "backup", "err", err)
				continue // and is tried again
			}
		}
		alarmed = late
	}
	return nil
}

// standing says of what moment the newest copy is that counts as good, and in words; remote is that those of this machine do not count. Where none counts it is since when somebody looks.
func standing(good, began time.Time, remote bool) (since time.Time, says string) {
	from := ""
	if remote {
		from = " from a place on another machine"
	}
	if good.IsZero() {
		return began, "no backup was ever proven" + from
	}
	return good, "the newest backup that was proven" + from + " is of " + good.Format(time.RFC3339)
}

// trials are places of which one after the other has its newest copy proven.
type trials struct {
	places []Place
	next   int
	tried  time.Time // when one was proven last, or was to be
}

// trials are the places whose proofs count, and the others: with all that are remote lost or wrong, what lies beside the machine proves nothing.
func (s *Schedule) trials() []*trials {
	remote, beside := &trials{}, &trials{}
	for _, p := range s.Places {
		if s.Remote != nil && s.Remote(p) {
			remote.places = append(remote.places, p)
		} else {
			beside.places = append(beside.places, p)
		}
	}
	switch {
	case len(remote.places) == 0:
		return []*trials{beside}
	case len(beside.places) == 0:
		return []*trials{remote}
	}
	return []*trials{remote, beside}
}

// good is when the newest copy was made that is proven in any of the places.
func (t *trials) good(at map[string]kept) (newest time.Time) {
	for _, p := range t.places {
		if proven := at[p.String()].proven; proven.After(newest) {
			newest = proven
		}
	}
	return newest
}

// turn is the place whose turn it is.
func (t *trials) turn(now time.Time) Place {
	p := t.places[t.next%len(t.places)]
	t.next, t.tried = t.next+1, now
	return p
}

// unproven says that no copy of a place that is young enough was restored on trial, though each place has its turn; "" if one was.
func (s *Schedule) unproven(has kept, began time.Time) string {
	since, why := has.proven, "the newest of its copies that was restored on trial is of "+has.proven.Format(time.RFC3339)
	if since.Before(began) {
		since = began // nobody has asked it before
	}
	if has.proven.IsZero() {
		why = "none of its copies was restored on trial"
	}
	if s.Now().Sub(since) < max(s.Alarm, 2*s.Every)+time.Duration(len(s.Places))*max(s.Verify, s.Every) {
		return ""
	}
	return why
}

// failing is since when a place lacks its copy, cannot be listed or has none that restores, and whether that was told.
type failing map[string]struct {
	since time.Time
	told  bool
}

// tellFailing raises an alarm for each place that fails, lags behind the others, or has no copy that restores, for as long as it takes to try again, once.
func (s *Schedule) tellFailing(ctx context.Context, at map[string]kept, places failing, began time.Time) {
	for _, p := range s.Places {
		has, listed := at[p.String()]
		f := places[p.String()]
		lags := cmp.Or(lagOf(p.String(), at, AllowedLag(s.Every, s.Ship, s.Behind)), s.unproven(has, began))
		switch {
		case listed && s.Now().Sub(has.made) < s.Every+look && lags == "":
			delete(places, p.String())
			continue
		case f.since.IsZero():
			f.since = s.Now()
		case !f.told && s.Failing != nil && s.Now().Sub(f.since) >= tryAgain:
			why := cmp.Or(lags, "it has no copy that is young enough")
			if !listed {
				why = "it cannot be listed"
			}
			err := s.Failing(ctx, p, "since "+f.since.Format(time.RFC3339)+" "+why)
			if f.told = err == nil; err != nil {
				s.Logger.Error("an alarm of backups is not recorded", "part", "backup", "err", err) // and is tried again
			}
		}
		places[p.String()] = f
	}
}

// due tells whether it is time, and was not tried a short while ago.
func (s *Schedule) due(last, tried time.Time, every time.Duration) bool {
	now := s.Now()
	return now.Sub(last) >= every && now.Sub(tried) >= min(every, tryAgain)
}

// lacking are the places that are due: what fails in one, such as a full one, does not fill the others. One that cannot be listed is not.
func (s *Schedule) lacking(at map[string]kept, tried map[string]time.Time) (to []Place) {
	for _, p := range s.Places {
		if has, listed := at[p.String()]; listed && s.due(has.made, tried[p.String()], s.Every) {
			to = append(to, p)
		}
	}
	return to
}

// carry brings the copy that the log follows to the places that lack it, as long as no other is due: what is shipped would never come there.
func (s *Schedule) carry(ctx context.Context, tried map[string]time.Time) error {
	if s.Ship == 0 || s.Log == nil {
		return nil
	}
	if _, made := s.Log.Base(); s.Now().Sub(made) >= s.Every {
		return nil
	}
	from, without := s.Log.Without(ctx, s.Places)
	var errs []error
	for _, p := range without {
		if s.Now().Sub(tried[p.String()]) < min(s.Every, tryAgain) {
			continue
		}
		tried[p.String()] = s.Now()
		errs = append(errs, s.Log.Carry(ctx, from, p))
	}
	return errors.Join(errs...)
}

// kept is what a place has that is believed: when the newest copy was made, and the newest that was proven there, and how far it reaches.
type kept struct{ made, proven, through time.Time }

// newest is what each place has that can be listed. The error tells of the places that cannot. Where nobody knows whom to believe, no place is told.
func (s *Schedule) newest(ctx context.Context) (at map[string]kept, err error) {
	by, err := s.trust(ctx)
	if err != nil {
		return nil, err
	}
	at = map[string]kept{}
	for _, p := range s.Places {
		all, lerr := List(ctx, p, by)
		if lerr != nil {
			err = errors.Join(err, lerr)
			continue
		}
		has := kept{through: ReachOf(p.String(), all).Through}
		for _, c := range all {
			if c.Trouble == "" && c.Made.After(has.made) {
				has.made = c.Made
			}
			if c.Proven != nil && c.Made.After(has.proven) {
				has.proven = c.Made
			}
		}
		at[p.String()] = has
	}
	return at, err
}

// proveAndPrune proves the newest copy of a place; once one is proven, old ones need not be kept, in whatever place can be reached.
func (s *Schedule) proveAndPrune(ctx context.Context, p Place) error {
	if err := s.Prove(ctx, p); err != nil {
		return err
	}
	by, err := s.trust(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range s.Places {
		gone, err := Prune(ctx, p, s.Keep, by, func() int64 { return s.Now().Unix() })
		if len(gone) > 0 {
			err = errors.Join(err, s.Pruned(ctx, p, gone))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// mine tells whether it is this node that works.
func (s *Schedule) mine(ctx context.Context) bool {
	if s.Turn == nil {
		return true
	}
	mine, err := s.Turn.Mine(ctx)
	if err != nil && ctx.Err() == nil {
		s.Logger.Error("nobody knows which node makes backups", "part", "backup", "err", err)
	}
	return mine
}

// RunLog has what the database has become shipped into the places every Ship, until ctx ends; less often where that takes long. A recovery point that
// is older than Behind is an alarm, also where it is one of before a restart or of another node.
func (s *Schedule) RunLog(ctx context.Context) error {
	if s.Ship == 0 {
		return nil
	}
	point := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "holdfast", Name: "backup_recovery_point_timestamp_seconds", Help: "The moment to which the plant could be restored from one of its places.",
	})
	if s.Metrics != nil {
		s.Metrics.MustRegister(point)
		defer s.Metrics.Unregister(point)
	}
	var at recoveryPoint
	for wait := s.Ship; pause(ctx, wait); {
		if !s.mine(ctx) {
			at = recoveryPoint{}
			point.Set(0)
			continue
		}
		if err := s.round(ctx, &at); err != nil && ctx.Err() == nil {
			s.Logger.Error("what has changed is not shipped", "part", "backup", "err", err)
		}
		point.Set(seconds(at.through))
		wait = max(s.Ship, 10*s.Log.Cost()) // not how long a place takes: one that is silent would cost the others what is new
	}
	return nil
}

// recoveryPoint is how far a plant could be brought back, as long as the turn is this node's.
type recoveryPoint struct {
	through time.Time // zero: nobody has looked yet
	alarmed bool
	failed  time.Time // when a copy could not be made for the log to follow
	looked  time.Time // when it was looked last whether the log is believed
	refused error     // why it was not
}

// round ships once, and raises the alarm once if the recovery point is too old all the same.
func (s *Schedule) round(ctx context.Context, at *recoveryPoint) error {
	var err error
	if at.through.IsZero() {
		at.through, err = s.known(ctx)
	}
	err = errors.Join(err, s.doubt(ctx, at), s.beginLog(ctx, at))
	var through time.Time
	var serr error
	if at.refused == nil {
		through, serr = s.Shipped(ctx)
	}
	if through.After(at.through) {
		at.through = through
	}
	late := s.Now().Sub(at.through) > AllowedLag(s.Every, s.Ship, s.Behind)
	if late && !at.alarmed && ctx.Err() == nil {
		aerr := s.Late(ctx, "the plant could be brought back to "+at.through.Format(time.RFC3339)+" and no further: nothing was shipped since")
		late, err = aerr == nil, errors.Join(err, aerr) // one that is not recorded is tried again
	}
	at.alarmed = late
	return errors.Join(err, serr)
}

// known is the moment to which a place could bring the plant back; now where there is nothing yet. A place that cannot be listed has nothing.
func (s *Schedule) known(ctx context.Context) (point time.Time, err error) {
	by, err := s.trust(ctx)
	if err != nil {
		return point, err
	}
	for _, p := range s.Places {
		all, err := List(ctx, p, by)
		if err != nil {
			continue // it is told when it is written to
		}
		for _, c := range all {
			if c.Trouble == "" && c.Through.After(point) {
				point = c.Through
			}
		}
	}
	if point.IsZero() {
		point = s.Now()
	}
	return point, nil
}

func (s *Schedule) trust(ctx context.Context) (Trust, error) {
	if s.Trust == nil {
		return nil, nil //nolint:nilnil // a plant without keys believes all
	}
	return s.Trust(ctx)
}

// lookAgain is how often it is looked whether what was shipped is believed.
const lookAgain = time.Minute

// doubt looks whether who has signed what the log has made is still trusted. Where not, as after a key was revoked, nobody restores that, and the recovery point is the one
// before it.
func (s *Schedule) doubt(ctx context.Context, at *recoveryPoint) error {
	if s.Now().Sub(at.looked) < lookAgain {
		return nil
	}
	by, err := s.trust(ctx)
	if err != nil {
		return err
	}
	at.looked = s.Now()
	if at.refused = s.Log.Believed(by); at.refused == nil {
		return nil
	}
	point, err := s.known(ctx)
	if point.Before(at.through) {
		at.through = point
	}
	return err
}

// beginLog makes a copy for the log to follow, where there is none, no place has it any more, or it is not believed any more.
func (s *Schedule) beginLog(ctx context.Context, at *recoveryPoint) error {
	base, _ := s.Log.Base()
	if base != "" && !s.Log.Lost() && at.refused == nil || s.Now().Sub(at.failed) < min(s.Every, tryAgain) {
		return nil
	}
	err := s.Make(ctx, s.Places)
	if at.refused != nil {
		by, terr := s.trust(ctx)
		if err = errors.Join(err, terr); terr == nil {
			at.refused = s.Log.Believed(by)
			err = errors.Join(err, at.refused)
		}
	}
	if err != nil {
		at.failed = s.Now()
	}
	return err
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.Unix())
}

// pause waits, and is false once ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
