package odata

import (
	"strings"
	"time"
)

// civil is a date and time without a zone, as Edm.DateTime is told.
const civil = "2006-01-02T15:04:05.999999999"

// digits14 is ABAP's date and time in one.
const digits14 = "20060102150405"

// wall reads a watermark that is a time: ABAP's 14 digits, with or without a fraction, or one of OData's forms. Of one that names no zone,
// zoned is false, and the time is its clock's, as if it were UTC.
func wall(watermark string) (t time.Time, layout string, zoned, ok bool) {
	if whole, fraction, cut := strings.Cut(watermark, "."); cut && len(whole) == 14 && strings.Trim(fraction, "0123456789") == "" {
		return wall(whole)
	}
	for _, layout := range []string{digits14, time.RFC3339Nano, civil} {
		if layout == digits14 && (len(watermark) != 14 || strings.Trim(watermark, "0123456789") != "") {
			continue
		}
		if t, err := time.Parse(layout, watermark); err == nil {
			return t, layout, layout == time.RFC3339Nano, true
		}
	}
	return time.Time{}, "", false, false
}

// instants are the moments at which a clock in a zone shows this time, in order: two in the hour that repeats in autumn, none in the one
// that is left out in spring.
func instants(clock time.Time, zone *time.Location) (out []time.Time) {
	for _, near := range []time.Duration{-24 * time.Hour, 24 * time.Hour} { // the offset before a change is the greater one when a clock goes back
		_, offset := clock.Add(near).In(zone).Zone()
		t := clock.Add(-time.Duration(offset) * time.Second)
		if clockAt(t, zone).Equal(clock) && (len(out) == 0 || !out[0].Equal(t)) {
			out = append(out, t)
		}
	}
	return out
}

// clockAt is what a clock in a zone shows at a moment, as if it were UTC.
func clockAt(t time.Time, zone *time.Location) time.Time {
	_, offset := t.In(zone).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// Twice tells whether the clock of the poll's zone shows this watermark a second time, an hour later.
func (p *Poll) Twice(watermark string) bool {
	t, _, zoned, ok := wall(watermark)
	return ok && !zoned && p.zone != nil && len(instants(t, p.zone)) > 1
}

// earlier is the watermark by which a reading begins that has read up to this one: overlap earlier, if it is a time. If its clock says no
// zone, it is the least that this clock shows from then on: in autumn it goes back over an hour that was read, and in spring the two minutes
// before three o'clock are an hour and two minutes away. It is never later than it would be by a clock that is not changed.
func (p *Poll) earlier(watermark string, overlap time.Duration) string {
	t, layout, zoned, ok := wall(watermark)
	if !ok {
		return watermark
	}
	begin := t.Add(-overlap)
	if zoned || p.zone == nil {
		return begin.Format(layout)
	}
	from := instants(t, p.zone)
	if len(from) == 0 { // the zone is not that of this clock
		return begin.Format(layout)
	}
	first := from[0].Add(-overlap)
	least := []time.Time{clockAt(first, p.zone)}
	if _, change := first.In(p.zone).ZoneBounds(); !change.IsZero() {
		least = append(least, clockAt(change, p.zone))
	}
	for _, c := range least {
		if c.Before(begin) {
			begin = c
		}
	}
	return begin.Format(layout)
}
