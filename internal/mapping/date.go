package mapping

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// What SAP writes for a day and a time of day.
const (
	compactDay  = "20060102"
	compactTime = "150405"
)

// dayFormats are the ways in which ERPs write days and times, each in both directions: as IDocs do (20261124, 063000), and as OData V2 does
// (/Date(1795500000000)/, PT06H30M00S). What stands for no day at all (00000000) is a value that is not there.
func dayFormats() []cel.EnvOption {
	str, maybe := cel.StringType, cel.OptionalType(cel.StringType)
	one := func(name string, result *cel.Type, f func(string) (ref.Val, error)) cel.EnvOption {
		return cel.Function(name, cel.Overload(name+"_string", []*cel.Type{str}, result, cel.UnaryBinding(func(v ref.Val) ref.Val {
			out, err := f(string(v.(types.String)))
			if err != nil {
				return types.WrapErr(err)
			}
			return out
		})))
	}
	return []cel.EnvOption{
		one("compactDate", str, relaid(time.DateOnly, compactDay)), one("fromCompactDate", maybe, fromCompactDay),
		one("compactTime", str, relaid(time.TimeOnly, compactTime)), one("fromCompactTime", str, relaid(compactTime, time.TimeOnly)),
		one("edmTime", str, relaid(time.TimeOnly, "PT15H04M05S")), one("fromEdmTime", str, fromEdmTime),
		one("edmDate", str, edmDate), edmTimeIn(&zones{}), one("fromEdmDate", str, fromEdmDate),
	}
}

// relaid writes a day or time in another layout. None has a place for a part of a second, which Go reads behind any time.
func relaid(from, to string) func(string) (ref.Val, error) {
	return func(s string) (ref.Val, error) {
		t, err := time.Parse(from, s)
		if err != nil {
			return nil, fmt.Errorf("%q is not written as %s is", clip(s), example(from))
		}
		if t.Nanosecond() != 0 {
			return nil, fmt.Errorf("%q has a part of a second, which would be lost", clip(s))
		}
		return types.String(t.Format(to)), nil
	}
}

func example(layout string) string {
	return time.Date(2026, 11, 24, 6, 30, 0, 0, time.UTC).Format(layout)
}

func fromCompactDay(s string) (ref.Val, error) {
	if strings.Trim(s, "0- ") == "" {
		return types.OptionalNone, nil
	}
	v, err := relaid(compactDay, time.DateOnly)(s)
	if err != nil {
		return nil, err
	}
	return types.OptionalOf(v), nil
}

var edmTimeForm = regexp.MustCompile(`^PT(?:(\d{1,2})H)?(?:(\d{1,2})M)?(?:(\d{1,2})(?:[.]0+)?S)?$`)

func fromEdmTime(s string) (ref.Val, error) {
	m := edmTimeForm.FindStringSubmatch(s)
	if m == nil {
		return nil, fmt.Errorf("%q is no time of day as PT06H30M00S is", clip(s))
	}
	t, err := time.Parse("15:4:5", fmt.Sprintf("%02s:%s:%s", zeroIf(m[1]), zeroIf(m[2]), zeroIf(m[3])))
	if err != nil {
		return nil, fmt.Errorf("%q is no time of day", clip(s))
	}
	return types.String(t.Format(time.TimeOnly)), nil
}

func zeroIf(s string) string {
	if s == "" {
		return "0"
	}
	return s
}

// edmDate writes a day as the milliseconds since 1970 at which it begins. A time is no day before its zone is named: see edmTimeIn.
func edmDate(s string) (ref.Val, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return nil, fmt.Errorf("%q is no day: of a time name the zone, as edmDate(…, \"Europe/Berlin\")", clip(s))
	}
	return edmMillis(t)
}

// edmTimeIn is edmDate of a time with an offset: what a clock of the named zone shows, as Edm.DateTime has it, which knows no zone. In UTC it is
// the instant, as Edm.DateTimeOffset has it.
func edmTimeIn(z *zones) cel.EnvOption {
	return cel.Function("edmDate", cel.Overload("edmDate_in_zone", []*cel.Type{cel.StringType, cel.StringType}, cel.StringType, cel.BinaryBinding(
		func(text, zone ref.Val) ref.Val {
			t, err := z.in(string(text.(types.String)), string(zone.(types.String)))
			if err != nil {
				return types.WrapErr(err)
			}
			shown := time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
			out, err := edmMillis(shown)
			if err != nil {
				return types.WrapErr(err)
			}
			return out
		})))
}

func edmMillis(t time.Time) (ref.Val, error) {
	if t.Nanosecond()%int(time.Millisecond) != 0 {
		return nil, fmt.Errorf("%q has more than milliseconds, which /Date(…)/ cannot hold", t.Format(time.RFC3339Nano))
	}
	return types.String(fmt.Sprintf("/Date(%d)/", t.UnixMilli())), nil
}

var edmDateForm = regexp.MustCompile(`^/Date\((-?\d{1,15})(?:[+-]\d{4})?\)/$`)

// fromEdmDate is a time in UTC. It keeps nothing of an offset behind the milliseconds, which are those of the instant.
func fromEdmDate(s string) (ref.Val, error) {
	m := edmDateForm.FindStringSubmatch(s)
	if m == nil {
		return nil, fmt.Errorf("%q is no time as /Date(1795500000000)/ is", clip(s))
	}
	ms, err := strconv.ParseInt(m[1], 10, 64)
	t := time.UnixMilli(ms).UTC()
	if err != nil || t.Year() < 0 || t.Year() > 9999 {
		return nil, errors.New(s + " is beyond the calendar")
	}
	return types.String(t.Format(time.RFC3339Nano)), nil
}
