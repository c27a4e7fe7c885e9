package backup

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Reach is the moment to which a place could bring the plant back; zero if nothing there can be read.
type Reach struct {
	Place   string
	Through time.Time
}

// ReachOf is how far the copies of a place reach, with the increments that follow them without a gap. What is in Trouble does not count.
func ReachOf(place string, copies []Copy) Reach {
	r := Reach{Place: place}
	for _, c := range copies {
		if c.Trouble == "" && c.Through.After(r.Through) {
			r.Through = c.Through
		}
	}
	return r
}

// Lagging are the places that reach less far than the one that reaches furthest, by more than is allowed: were the others lost, more would be lost with them
// than the recovery point says.
func Lagging(all []Reach, allowed time.Duration) (behind []Reach, furthest Reach) {
	for _, r := range all {
		if r.Through.After(furthest.Through) {
			furthest = r
		}
	}
	for _, r := range all {
		if furthest.Through.Sub(r.Through) > allowed {
			behind = append(behind, r)
		}
	}
	return behind, furthest
}

// Behind says how far a place lags behind the one that reaches furthest.
func (r Reach) Behind(furthest Reach) string {
	to := "has nothing from which the plant could be brought back"
	if !r.Through.IsZero() {
		to = "could bring the plant back to " + r.Through.UTC().Format(time.RFC3339) + " and no further"
	}
	return fmt.Sprintf("it %s; %s reaches %s", to, furthest.Place, furthest.Through.UTC().Format(time.RFC3339))
}

// AllowedLag is by how much places may differ while nothing is wrong: with increments as the alarm of the recovery point (behind; 0: ten times ship, or ten minutes),
// with copies alone as long as the next one is not due, and not at all where copies are made by command.
func AllowedLag(every, ship, behind time.Duration) time.Duration {
	switch {
	case ship > 0:
		return cmp.Or(behind, max(10*ship, 10*time.Minute))
	case every > 0:
		return every + look
	}
	return 0
}

// reaches are those of some places by what is in them.
func reaches(at map[string]kept) []Reach {
	all := make([]Reach, 0, len(at))
	for _, place := range sortedKeys(at) {
		all = append(all, Reach{place, at[place].through})
	}
	return all
}

// lagOf says why a place lags; "" if it does not.
func lagOf(place string, at map[string]kept, allowed time.Duration) string {
	behind, furthest := Lagging(reaches(at), allowed)
	i := slices.IndexFunc(behind, func(r Reach) bool { return r.Place == place })
	if i < 0 {
		return ""
	}
	return behind[i].Behind(furthest)
}
