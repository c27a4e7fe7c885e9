package mapping

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// localTime is localTime(day, clock, zone): what an ERP's date and time of day, which have no zone, are in a named one, RFC 3339 with its
// offset. Of a time that the clocks pass twice it is the first, and one that they leave out is told by the offset before (RFC 5545, 3.3.5): a
// plan may fall there, made by rules that know no clocks. 24:00:00, as SAP writes the end of a day, is the beginning of the next.
func localTime(z *zones) cel.EnvOption {
	str := cel.StringType
	return cel.Function("localTime", cel.Overload("local_time_in_zone", []*cel.Type{str, str, str}, str, cel.FunctionBinding(
		func(a ...ref.Val) ref.Val {
			loc, err := z.load(string(a[2].(types.String)))
			if err != nil {
				return types.WrapErr(err)
			}
			out, err := inZone(string(a[0].(types.String)), string(a[1].(types.String)), loc)
			if err != nil {
				return types.WrapErr(err)
			}
			return types.String(out)
		})))
}

// inZone reads a day, with or without a time behind it, and a time of day.
func inZone(day, clock string, loc *time.Location) (string, error) {
	date, rest, _ := strings.Cut(day, "T")
	d, err := time.Parse(time.DateOnly, date)
	if err != nil || strings.Contains(day, "T") && !behindDay(rest) {
		return "", fmt.Errorf("%q is no day as 2026-11-24 is", clip(day))
	}
	c, err := time.Parse(time.TimeOnly, clock)
	if err == nil && c.Nanosecond() != 0 {
		err = errors.New("a part of a second would be lost")
	}
	if clock == "24:00:00" {
		d, err = d.AddDate(0, 0, 1), nil
	}
	if err != nil {
		return "", fmt.Errorf("%q is no time of day as 06:30:00 is", clip(clock))
	}
	asked := time.Date(d.Year(), d.Month(), d.Day(), c.Hour(), c.Minute(), c.Second(), 0, time.UTC)
	t := time.Date(d.Year(), d.Month(), d.Day(), c.Hour(), c.Minute(), c.Second(), 0, loc)
	if t.Format(time.DateTime) != asked.Format(time.DateTime) {
		return asked.Add(-before(t)).In(loc).Format(time.RFC3339), nil
	}
	return first(t).Format(time.RFC3339), nil
}

// before is the offset that a clock had before the change which is nearest to t.
func before(t time.Time) time.Duration {
	change, next := t.ZoneBounds()
	if change.IsZero() || !next.IsZero() && next.Sub(t) < t.Sub(change) {
		change = next
	}
	_, offset := change.Add(-time.Second).Zone()
	return time.Duration(offset) * time.Second
}

// first is the earlier of two times that a clock which was set back has shown alike: most by an hour, that of Lord Howe by half of one.
func first(t time.Time) time.Time {
	since, _ := t.ZoneBounds()
	if since.IsZero() {
		return t
	}
	_, now := t.Zone()
	_, before := since.Add(-time.Second).Zone()
	earlier := t.Add(time.Duration(now-before) * time.Second)
	if earlier.Before(t) && earlier.Format(time.DateTime) == t.Format(time.DateTime) {
		return earlier
	}
	return t
}

// behindDay tells whether what stands behind a day's T leaves it that day: a time without a zone, as services write one that have no type for a day,
// or a midnight of UTC's.
func behindDay(rest string) bool {
	clock, utc := strings.CutSuffix(rest, "Z")
	t, err := time.Parse(time.TimeOnly, clock)
	return err == nil && (!utc || t.Equal(t.Truncate(24*time.Hour)))
}
