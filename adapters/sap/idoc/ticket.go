package idoc

import (
	"context"
	"fmt"
	"strings"
	"time"

	"holdfast/internal/message"
)

// loggedAt is the form of LOGDATE and LOGTIME together.
const loggedAt = "20060102150405"

// apart gives each time ticket of an IDoc a second of its own in its lane. PP-PDC processes tickets in the order of LOGDATE and LOGTIME, and
// those of one second in any order: a partial confirmation could come after the final one. A clock that went back in autumn would turn tickets
// round as well; what is later in the lane has the later second, whatever the clock shows.
func (l *Link) apart(ctx context.Context, d message.Delivery, doc Document) error {
	if !strings.HasPrefix(doc.Control["IDOCTYP"], "PPCC2PRETTICKET") {
		return nil
	}
	m := d.Event.Message()
	n := 0
	var each func([]*Segment) error
	each = func(segments []*Segment) error {
		for _, s := range segments {
			if at, err := time.Parse(loggedAt, s.Get("LOGDATE")+s.Get("LOGTIME")); err == nil && s.Name == "E1BP_PP_TIMETICKET" {
				n++
				second, err := l.numbers.Second(ctx, m.Lane, fmt.Sprintf("%s %d", m.ID, n), at.Unix())
				if err != nil {
					return fmt.Errorf("find a second for a time ticket of message %s: %w", m.ID, err)
				}
				logged := time.Unix(second, 0).UTC()
				s.set("LOGDATE", logged.Format("20060102"))
				s.set("LOGTIME", logged.Format("150405"))
			}
			if err := each(s.Children); err != nil {
				return err
			}
		}
		return nil
	}
	return each(doc.Segments)
}

// set changes a field that is there.
func (s *Segment) set(name, text string) {
	for i := range s.Fields {
		if s.Fields[i].Name == name {
			s.Fields[i].Text = text
		}
	}
}
