package backup

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Schedule makes and proves copies by itself.
type Schedule struct {
	Every  time.Duration // between two copies; 0: none is made
	Verify time.Duration // between two trials; default Every
	Alarm  time.Duration // age of the newest proven copy from which on it is an alarm; default twice Every
	Keep   Keep
	Places []Place
	Now    func() time.Time

	// Trust tells whose signatures are believed; none for a plant without keys. Whoever can write to a place could else keep copies and trials from
	// being made by a date alone.
	Trust func(ctx context.Context) (Trust, error)

	Make   func(ctx context.Context, to []Place) error // makes a copy for these places and records it
	Prove  func(ctx context.Context, p Place) error    // proves the newest of a place and records it
	Pruned func(ctx context.Context, p Place, ids []string) error
	Raise  func(ctx context.Context, why string) error // an alarm

	Ship    time.Duration                                            // between two increments; 0: none are made
	Log     *Log                                                     // what makes them
	Node    string                                                   // this one
	Shipped func(ctx context.Context) (through time.Time, err error) // makes one and ships it (Log.Ship)

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
// kept, until ctx ends. It asks the places themselves when the last was, so that nothing is done twice over restarts; two nodes that begin at the
// same moment may both make one, which harms nothing.
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
	turn, alarmed, began := 0, false, s.Now()
	tried := map[string]time.Time{} // when a copy was made last for a place
	var proved time.Time            // when one was proven last, or was to be
	for wait := settle; pause(ctx, wait+rand.N(look/4)); wait = look {
		made, good, err := s.newest(ctx)
		acted := false
		if to := s.lacking(made, tried); len(to) > 0 {
			err, acted = errors.Join(err, s.Make(ctx, to)), true
			for _, p := range to {
				tried[p.String()] = s.Now()
			}
		}
		if s.due(good, proved, max(s.Verify, s.Every)) {
			err, proved, acted = errors.Join(err, s.proveAndPrune(ctx, s.Places[turn%len(s.Places)])), s.Now(), true
			turn++
		}
		if err != nil && ctx.Err() == nil {
			s.Logger.Error("a backup is not made, or not proven", "part", "backup", "err", err)
		}
		if acted {
			_, good, _ = s.newest(ctx) // what cannot be listed was told above
		}
		proven.Set(seconds(good))
		since, says := good, "the newest backup that was proven is of "+good.Format(time.RFC3339)
		if good.IsZero() {
			since, says = began, "no backup was ever proven"
		}
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

// due tells whether it is time, and was not tried a short while ago.
func (s *Schedule) due(last, tried time.Time, every time.Duration) bool {
	now := s.Now()
	return now.Sub(last) >= every && now.Sub(tried) >= min(every, tryAgain)
}

// lacking are the places that are due: what fails in one, such as a full one, does not fill the others. One that cannot be listed is not.
func (s *Schedule) lacking(made, tried map[string]time.Time) (to []Place) {
	for _, p := range s.Places {
		if last, listed := made[p.String()]; listed && s.due(last, tried[p.String()], s.Every) {
			to = append(to, p)
		}
	}
	return to
}

// newest is when the newest copy was made that is believed, for each place that can be listed, and the newest in any that was proven. The error tells
// of the places that cannot. Where nobody knows whom to believe, no place is told.
func (s *Schedule) newest(ctx context.Context) (made map[string]time.Time, proven time.Time, err error) {
	var by Trust
	if s.Trust != nil {
		if by, err = s.Trust(ctx); err != nil {
			return nil, proven, err
		}
	}
	made = map[string]time.Time{}
	for _, p := range s.Places {
		all, lerr := List(ctx, p, by)
		if lerr != nil {
			err = errors.Join(err, lerr)
			continue
		}
		made[p.String()] = time.Time{}
		for _, c := range all {
			if c.Trouble == "" && c.Made.After(made[p.String()]) {
				made[p.String()] = c.Made
			}
			if c.Proven != nil && c.Made.After(proven) {
				proven = c.Made
			}
		}
	}
	return made, proven, err
}

// proveAndPrune proves the newest copy of a place; once one is proven, old ones need not be kept, in whatever place can be reached.
func (s *Schedule) proveAndPrune(ctx context.Context, p Place) error {
	if err := s.Prove(ctx, p); err != nil {
		return err
	}
	var by Trust
	if s.Trust != nil {
		var err error
		if by, err = s.Trust(ctx); err != nil {
			return err
		}
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

// RunLog has what the database has become shipped into the places every Ship, until ctx ends; less often where that takes long. That nothing was
// shipped for ten times as long, or ten minutes, is an alarm.
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
	last, alarmed := s.Now(), false
	var begun time.Time
	for wait := s.Ship; pause(ctx, wait); {
		began := s.Now()
		err := s.beginLog(ctx, &begun)
		through, serr := s.Shipped(ctx)
		if through.After(last) {
			last = through
			point.Set(seconds(through))
		}
		if err = errors.Join(err, serr); err != nil && ctx.Err() == nil {
			s.Logger.Error("what has changed is not shipped", "part", "backup", "err", err)
		}
		late := s.Now().Sub(last) > max(10*s.Ship, 10*time.Minute)
		if late && !alarmed {
			late = s.Raise(ctx, "nothing was shipped since "+last.Format(time.RFC3339)) == nil // else it is tried again
		}
		alarmed = late
		wait = max(s.Ship, 10*s.Now().Sub(began))
	}
	return nil
}

// beginLog makes a copy for the log to follow where there is none, unless another node's log goes on.
func (s *Schedule) beginLog(ctx context.Context, begun *time.Time) error {
	if base, _ := s.Log.Base(); base != "" || s.Now().Sub(*begun) < min(s.Every, tryAgain) {
		return nil
	}
	var by Trust
	if s.Trust != nil {
		var err error
		if by, err = s.Trust(ctx); err != nil {
			return err
		}
	}
	for _, p := range s.Places {
		all, err := List(ctx, p, by)
		if err != nil {
			continue // what is away is told when it is written to
		}
		for _, c := range all {
			if c.Node != s.Node && c.Increments > 0 && s.Now().Sub(c.Through) < 2*idle {
				return nil
			}
		}
	}
	*begun = s.Now()
	return s.Make(ctx, s.Places)
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
