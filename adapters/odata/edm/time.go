package edm

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	civil   = "2006-01-02T15:04:05.999999999"
	date    = "2006-01-02"
	clock   = "15:04:05.999999999"
	zeroDay = "0001-01-01" // ABAP's empty date
)

// milliseconds reads V2's /Date(ms±offset)/; offset is in minutes.
func milliseconds(s string) (at time.Time, offset int, zoned, ok bool) {
	s, ok = strings.CutPrefix(s, "/Date(")
	if !ok || !strings.HasSuffix(s, ")/") {
		return at, 0, false, false
	}
	s = strings.TrimSuffix(s, ")/")
	if i := strings.LastIndexAny(s, "+-"); i > 0 {
		n, err := strconv.ParseInt(s[i:], 10, 32)
		if err != nil || n < -24*60 || n > 24*60 {
			return at, 0, false, false
		}
		offset, zoned, s = int(n), true, s[:i]
	}
	ms, err := strconv.ParseInt(s, 10, 64)
	return time.UnixMilli(ms).UTC(), offset, zoned, err == nil
}

// sane bounds years to those that can be written.
func sane(t time.Time) error {
	if t.Year() < 1 || t.Year() > 9999 {
		return fmt.Errorf("the year %d cannot be written", t.Year())
	}
	return nil
}

func plainDate(_ *Field, v any) (any, error) {
	s, err := text(v)
	if err != nil {
		return nil, err
	}
	t, err := time.Parse(date, s)
	if err != nil {
		return nil, fmt.Errorf("it is no date such as 2026-11-24")
	}
	if s == zeroDay || sane(t) != nil {
		return nil, sane(t)
	}
	return t.Format(date), nil
}

// plainDateTime never converts: the number of a /Date()/ counts from the same wall clock that it is read on.
func plainDateTime(_ *Field, v any) (any, error) {
	s, err := text(v)
	if err != nil {
		return nil, err
	}
	t, _, _, ok := milliseconds(s)
	for _, layout := range []string{civil, "2006-01-02T15:04", date} {
		if !ok {
			t, err = time.Parse(layout, s)
			ok = err == nil
		}
	}
	if !ok {
		return nil, fmt.Errorf("it is no date and time without a zone, such as 2026-11-24T06:00:00")
	}
	if t.Format(date) == zeroDay || sane(t) != nil {
		return nil, sane(t)
	}
	return t.Format("2006-01-02T15:04:05.999999999"), nil
}

func wireDateTime(f *Field, v any, w Wire) (any, error) {
	t, err := time.Parse(civil, v.(string))
	if err != nil || w.Version == V4 {
		return v, err
	}
	if f.DateOnly && t.Format(clock) != "00:00:00" {
		return nil, fmt.Errorf("the field takes a date without a time of day")
	}
	return slashDate(t, "")
}

// slashDate writes /Date(ms)/, which has no room for less than a millisecond.
func slashDate(t time.Time, zone string) (any, error) {
	if t.Nanosecond()%int(time.Millisecond) != 0 {
		return nil, fmt.Errorf("OData V2 has no room for a part of a millisecond")
	}
	return fmt.Sprintf("/Date(%d%s)/", t.UnixMilli(), zone), nil
}

// plainMoment keeps the offset that was written; a /Date()/ counts in UTC whatever its offset says.
func plainMoment(_ *Field, v any) (any, error) {
	s, err := text(v)
	if err != nil {
		return nil, err
	}
	t, offset, zoned, ok := milliseconds(s)
	if ok && zoned {
		t = t.In(time.FixedZone("", offset*60))
	}
	if !ok {
		if t, err = time.Parse(time.RFC3339Nano, s); err != nil {
			return nil, fmt.Errorf("it is no time with a zone, such as 2026-11-24T06:00:00Z")
		}
	}
	if t.UTC().Format(date) == zeroDay || sane(t) != nil {
		return nil, sane(t)
	}
	return t.Format(time.RFC3339Nano), nil
}

func wireMoment(_ *Field, v any, w Wire) (any, error) {
	t, err := time.Parse(time.RFC3339Nano, v.(string))
	if err != nil || w.Version == V4 {
		return v, err
	}
	return slashDate(t, "+0000")
}

// SAP tells the end of a day from its beginning, as 24:00:00 (type TIMS), which no clock shows.
const (
	endOfDay = 24 * time.Hour
	midnight = "24:00:00"
)

// plainTime reads a time of day, of V2 as a duration since midnight, padded or not.
func plainTime(_ *Field, v any) (any, error) {
	s, err := text(v)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(s, "P") {
		d, err := duration(s)
		if err != nil || d < 0 || d > endOfDay {
			return nil, fmt.Errorf("it is no time of day such as PT06H00M00S")
		}
		if d == endOfDay {
			return midnight, nil
		}
		return time.Time{}.Add(d).Format(clock), nil
	}
	for _, layout := range []string{clock, "15:04"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.Format(clock), nil
		}
	}
	return nil, fmt.Errorf("it is no time of day such as 06:00:00")
}

func wireTime(f *Field, v any, _ Wire) (any, error) {
	if f.Type == "Edm.TimeOfDay" {
		return v, nil
	}
	return pt(v.(string)), nil
}

// pt writes a time of day as V2 has it.
func pt(clock string) string {
	h, rest, _ := strings.Cut(clock, ":")
	m, s, _ := strings.Cut(rest, ":")
	return "PT" + h + "H" + m + "M" + s + "S"
}

func plainDuration(_ *Field, v any) (any, error) {
	s, err := text(v)
	if err != nil {
		return nil, err
	}
	if _, err := duration(s); err != nil {
		return nil, err
	}
	return s, nil
}

// duration reads an xs:dayTimeDuration.
func duration(s string) (time.Duration, error) {
	bad := fmt.Errorf("it is no duration such as PT1H30M")
	rest, negative := strings.CutPrefix(s, "-")
	rest, ok := strings.CutPrefix(rest, "P")
	days, times, hasTime := strings.Cut(rest, "T")
	if !ok || hasTime && times == "" || days == "" && !hasTime || len(s) > 60 {
		return 0, bad
	}
	var total time.Duration
	take := func(in, units string) bool {
		for _, u := range units {
			n, after, found := strings.Cut(in, string(u))
			if !found {
				continue
			}
			part, err := time.ParseDuration(n + map[rune]string{'D': "h", 'H': "h", 'M': "m", 'S': "s"}[u])
			if err != nil || part < 0 || strings.Trim(n, "0123456789.") != "" {
				return false
			}
			if u == 'D' {
				part *= 24
			}
			total, in = total+part, after
		}
		return in == ""
	}
	if !take(days, "D") || !take(times, "HMS") {
		return 0, bad
	}
	if negative {
		total = -total
	}
	return total, nil
}
